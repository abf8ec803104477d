//! Calls and requests for tasks: what an async layer needs beside the calls that block. Most programs want
//! `zerobuffer-async`.
//!
//! A task that waits for an answer is entered in the table like a thread. But tasks may not be polled for long, so it is not
//! one of them that looks for the answers of all: it is whoever is called when the response buffer has something, a
//! [`Doorbell`], which then calls [`Client::look_for_answers`].

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::answers::Request;
use super::client::{Client, PendingCall};
use super::response::{Outcome, Response};
use super::server::Server;
use super::turn::lock;
use super::waiter::{Doorbell, Waiter};
use super::wire::bytes_before_a_request;
use crate::values::call_error::CallError;
use crate::values::error::ReadError;
use crate::wait::armed::Armed;

impl Client {
    /// Lets tasks wait for answers, too. False if it has a doorbell already.
    pub fn set_doorbell(&self, bell: Arc<dyn Doorbell>) -> bool {
        self.bell.set(bell).is_ok()
    }

    /// Arms the writer of requests after a request of `len` bytes found no room, and gives that to `sleep` while nobody can
    /// replace the writer; what `sleep` returns.
    pub fn arm_requests(&self, len: usize, sleep: impl FnOnce(Armed) -> bool) -> bool {
        match self.requests.try_take() {
            Some(mut writer) => {
                let before = bytes_before_a_request(writer.protocol());
                sleep(writer.arm(len.saturating_add(before)))
            }
            // Somebody fills a request.
            None => sleep(Armed::unattended()),
        }
    }
}

impl PendingCall<'_> {
    /// The answer, for a task: the client needs a [doorbell](Client::set_doorbell). The call is over then.
    ///
    /// In protocol 1.0 a call that was polled and is dropped puts the channel [out of step](CallError::OutOfStep) until its
    /// answer has come.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Response, CallError>> {
        if !self.client.is_ours() {
            let name = self.client.name.clone();
            return Poll::Ready(Err(ReadError::Forked { name }.into()));
        }
        self.was_polled = true;
        let mut outcome = self.take(context.waker());
        if outcome.is_none() {
            // It is in the table by now: if somebody else has the reader, he wakes it.
            self.client.look_for_answers();
            outcome = self.take(context.waker());
        }
        let Some(outcome) = outcome else { return Poll::Pending };
        let number = self.number;
        Poll::Ready(outcome.map(|answer| Response { request: number, ..answer }))
    }

    fn take(&self, waker: &Waker) -> Option<Outcome> {
        let mut table = lock(&self.client.table);
        table.pending.leave(self.number);
        table.pending.take(self.number, || Waiter::Task(waker.clone()))
    }
}

impl Server {
    /// Announces that [`receive`](Self::receive), which was in vain, is to be tried again when a request comes.
    pub fn arm(&self) -> Armed {
        self.armed()
    }
}

impl Request {
    /// Announces that an answer of `len` bytes, or the longest that the buffer can carry, which found no room, is to be tried
    /// again when there is some. The word lives as long as this request, or what [`keep_buffer`](Self::keep_buffer) returned.
    pub fn arm(&self, len: usize) -> Armed {
        self.armed(len)
    }

    /// Keeps the buffer of its answer open, for whoever may sleep longer than the request lives.
    pub fn keep_buffer(&self) -> Arc<dyn fmt::Debug + Send + Sync> {
        self.kept_answers()
    }
}
