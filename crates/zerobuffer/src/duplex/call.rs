//! One call, from its loan to its answer, as the one who asks has it in hand.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::client::{Client, Server};
use super::error::CallError;
use super::turn::{Deadline, Taken, lock};
use crate::config::Protocol;
use crate::frame::OwnedFrame;
use crate::writer::{Claimed, Writer};

/// A request being filled in place. Dropped without [`commit`](Self::commit), nothing was sent.
#[derive(Debug)]
#[must_use = "a loan that is not committed is given back unused"]
pub struct RequestLoan<'a> {
    pub(super) client: &'a Client,
    pub(super) writer: Taken<'a, Writer>,
    pub(super) claimed: Claimed,
}

impl<'a> RequestLoan<'a> {
    /// Sends the request.
    ///
    /// # Errors
    /// The server went meanwhile, or, in protocol 1.0, the channel got out of step; nothing was sent.
    pub fn commit(self) -> Result<PendingCall<'a>, CallError> {
        let client = self.client;
        Ok(PendingCall { client, number: self.send()?, was_polled: false })
    }

    pub(super) fn send(mut self) -> Result<u64, CallError> {
        let mut table = lock(&self.client.table);
        if let Server::Gone(server) = table.server {
            return Err(CallError::NoServer { name: self.client.name.clone(), server });
        }
        if !table.pending.is_in_step() {
            return Err(self.client.out_of_step());
        }
        // Known before it is sent: its answer may be here before this call returns.
        let number = table.base + self.writer.next_sequence();
        table.newest = number;
        table.pending.begin(number);
        drop(table);
        self.writer.commit(self.claimed);
        Ok(number)
    }

    /// Keeps only the first `len` bytes; longer, or zero, changes nothing.
    pub fn truncate(&mut self, len: usize) {
        self.claimed.truncate(len);
    }
}

impl Deref for RequestLoan<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.writer.lend(&self.claimed)
    }
}

impl DerefMut for RequestLoan<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.writer.lend_mut(&self.claimed)
    }
}

/// A request that was sent. Dropped, its answer is ignored.
#[derive(Debug)]
#[must_use = "dropping it gives its answer up"]
pub struct PendingCall<'a> {
    pub(super) client: &'a Client,
    pub(super) number: u64,
    /// By a task, which gives the call up by dropping it.
    pub(super) was_polled: bool,
}

impl<'a> PendingCall<'a> {
    /// Number of the request on this channel.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// [`CallError`]; the call is over then, also after [`CallError::Timeout`].
    pub fn wait(self, timeout: Duration) -> Result<Response, CallError> {
        let outcome = self.client.wait(self.number, Deadline::after(timeout));
        if let Err(CallError::Timeout { .. }) = &outcome {
            self.client.abandon(self.number);
        }
        outcome
    }

    /// Waits for the answer; `None` if it did not come in time, and may yet.
    ///
    /// # Errors
    /// [`CallError`]; the call is over then.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<Response, CallError>> {
        match self.client.wait(self.number, Deadline::after(timeout)) {
            Err(CallError::Timeout { .. }) => None,
            outcome => Some(outcome),
        }
    }

    /// What ends the waiting from another thread.
    pub fn canceller(&self) -> Canceller<'a> {
        Canceller { client: self.client, number: self.number }
    }
}

impl Drop for PendingCall<'_> {
    fn drop(&mut self) {
        if self.was_polled && self.client.protocol() == Protocol::V1 {
            self.client.abandon(self.number);
        }
        lock(&self.client.table).pending.ignore(self.number);
    }
}

/// Cancels one call: it returns [`CallError::Cancelled`] within 100 ms, at once unless it looks for the answers of others
/// too. The server is not told.
#[derive(Debug, Clone, Copy)]
pub struct Canceller<'a> {
    client: &'a Client,
    number: u64,
}

impl Canceller<'_> {
    /// Cancels; does nothing if the call is over.
    pub fn cancel(&self) {
        let error = CallError::Cancelled { name: self.client.name.clone() };
        let waiter = lock(&self.client.table).pending.settle_one(self.number, Err(error));
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

/// An answer, read in place: no copy was made. Its place in the response buffer is taken until it is dropped, and a
/// server that answers finds the buffer full if too many are kept.
///
/// Its bytes are shared memory: see [`Frame`](crate::Frame).
#[derive(Debug)]
#[must_use = "dropping an answer releases it"]
pub struct Response {
    pub(super) request: u64,
    pub(super) frame: OwnedFrame,
    pub(super) skip: usize,
}

impl Response {
    /// Number of the request that it answers, as [`PendingCall::number`] has it.
    pub fn request(&self) -> u64 {
        self.request
    }

    /// Number of the answer in the response buffer.
    pub fn sequence(&self) -> u64 {
        self.frame.sequence()
    }
}

impl Deref for Response {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.frame[self.skip..]
    }
}

impl AsRef<[u8]> for Response {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
