//! Calls and requests for tasks: what an async layer needs beside the calls that block. Most programs want
//! `zerobuffer-async`.
//!
//! A task that waits for an answer is entered in the table like a thread. But tasks may not be polled for long, so it is not
//! one of them that looks for the answers of all: it is whoever is called when the response buffer has something, a
//! [`Doorbell`], which then calls [`Client::look_for_answers`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::thread::Thread;
use std::time::Duration;

use super::answers::Request;
use super::call::{PendingCall, Response, bytes_before_a_request};
use super::client::{Client, Outcome};
use super::server::Server;
use super::turn::{Taken, lock};
use crate::endpoint::reader::Reader;
use crate::values::call_error::CallError;
use crate::values::error::ReadError;
use crate::wait::armed::Armed;

/// So many answers are looked for before others have a turn.
const MOST_ANSWERS: u32 = 1024;

/// Who waits for an answer.
#[derive(Debug, Clone)]
pub(super) enum Waiter {
    Thread(Thread),
    Task(Waker),
}

impl Waiter {
    pub(super) fn current_thread() -> Self {
        Self::Thread(std::thread::current())
    }

    /// Not with the table locked: a waker is somebody else's code.
    pub(super) fn wake(&self) {
        match self {
            Self::Thread(thread) => thread.unpark(),
            Self::Task(waker) => waker.wake_by_ref(),
        }
    }
}

/// What has [`Client::look_for_answers`] called when there may be answers, for the tasks that wait for them.
///
/// Its methods may be called by any thread, never call back, and never wait for long.
pub trait Doorbell: fmt::Debug + Send + Sync {
    /// The reader of answers is armed. False: try again now.
    fn ring_when(&self, armed: Armed) -> bool;
    /// There is nothing to wait for.
    fn silence(&self);
    /// The client is about to open its ends anew: every word that it, or [`Client::arm_requests`], has given is as good as
    /// gone, and must not be read after this returns.
    fn ends_go(&self);
}

impl Client {
    /// Lets tasks wait for answers, too. False if it has a doorbell already.
    pub fn set_doorbell(&self, bell: Arc<dyn Doorbell>) -> bool {
        self.bell.set(bell).is_ok()
    }

    /// Looks for answers and gives them to their callers, then arms the doorbell: also while nobody waits, for answers that
    /// nobody wants any more must not fill their buffer.
    pub fn look_for_answers(&self) {
        let Some(bell) = self.bell.get().filter(|_| self.is_ours()) else { return };
        while let Some(mut reader) = self.take_reader_or_want_it() {
            self.is_reader_wanted.store(false, Ordering::SeqCst);
            // Not without end, whatever the server sends: behind that the bell rings at once.
            let _ = (0..MOST_ANSWERS)
                .take_while(|_| self.receive(&mut reader, Duration::ZERO).is_some())
                .count();
            let is_done = if lock(&self.table).lost {
                // Everybody was told, and nothing comes before it is opened anew.
                bell.silence();
                true
            } else {
                // While the reader is ours, nobody can replace it.
                bell.ring_when(reader.arm())
            };
            drop(reader);
            // It may have rung already, for one who found the reader taken.
            if is_done && !self.is_reader_wanted.swap(false, Ordering::SeqCst) {
                return;
            }
        }
    }

    /// Whoever has the reader looks again, for us, when he has returned it.
    fn take_reader_or_want_it(&self) -> Option<Taken<'_, Reader>> {
        self.responses.try_take().or_else(|| {
            self.is_reader_wanted.store(true, Ordering::SeqCst);
            // He may have returned it before he could see that.
            self.responses.try_take()
        })
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
