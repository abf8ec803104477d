//! One call, from its loan to its answer, as the one who asks has it in hand.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::{Client, ServerState};
use crate::duplex::response::Response;
use crate::duplex::turn::{Deadline, Taken, lock};
use crate::duplex::wire::{Consent, bytes_before_a_request};
use crate::endpoint::claimed::Claimed;
use crate::endpoint::writer::Writer;
use crate::values::call_error::CallError;
use crate::values::config::Protocol;

/// A request being filled in place. Dropped without [`commit`](Self::commit), nothing was sent.
#[derive(Debug)]
#[must_use = "a loan that is not committed is given back unused"]
pub struct RequestLoan<'a> {
    pub(crate) client: &'a Client,
    writer: Taken<'a, Writer>,
    claimed: Claimed,
    /// Bytes before the request's own.
    skip: usize,
}

impl<'a> RequestLoan<'a> {
    /// What was claimed is [`bytes_before_a_request`] longer than the request. `consent`: may it be changed in place?
    pub(crate) fn new(
        client: &'a Client,
        mut writer: Taken<'a, Writer>,
        claimed: Claimed,
        consent: Consent,
    ) -> Self {
        let skip = bytes_before_a_request(writer.protocol());
        if skip > 0 {
            writer.copy_in(&claimed, 0, &consent.to_bytes());
        }
        Self { client, writer, claimed, skip }
    }

    /// Sends the request.
    ///
    /// # Errors
    /// The server went meanwhile, or, in protocol 1.0, the channel got out of step; nothing was sent.
    pub fn commit(self) -> Result<PendingCall<'a>, CallError> {
        let client = self.client;
        Ok(PendingCall { client, number: self.send()?, was_polled: false })
    }

    pub(crate) fn send(mut self) -> Result<u64, CallError> {
        self.client.check_process()?;
        let mut table = lock(&self.client.table);
        if let ServerState::Gone(server) = table.server {
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

    /// Copies `bytes`, as many as were loaned, into the request, as [`Client::call`] does: see
    /// [`FrameMut::copy_from_slice`](crate::FrameMut::copy_from_slice).
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn copy_from_slice(&mut self, bytes: &[u8]) {
        assert_eq!(bytes.len(), self.len(), "copied from one length to another");
        self.writer.copy_in(&self.claimed, self.skip, bytes);
    }

    /// Keeps only the first `len` bytes; longer, or zero, changes nothing.
    pub fn truncate(&mut self, len: usize) {
        if len > 0 {
            self.claimed.truncate(len.saturating_add(self.skip));
        }
    }
}

impl Deref for RequestLoan<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.writer.lend(&self.claimed)[self.skip..]
    }
}

impl DerefMut for RequestLoan<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.writer.lend_mut(&self.claimed)[self.skip..]
    }
}

/// A request that was sent. Dropped, its answer is ignored.
#[derive(Debug)]
#[must_use = "dropping it gives its answer up"]
pub struct PendingCall<'a> {
    pub(crate) client: &'a Client,
    pub(crate) number: u64,
    /// By a task, which gives the call up by dropping it.
    pub(crate) was_polled: bool,
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
        if !self.client.is_ours() {
            return;
        }
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
        if !self.client.is_ours() {
            return;
        }
        let error = CallError::Cancelled { name: self.client.name.clone() };
        let waiter = lock(&self.client.table).pending.settle_one(self.number, Err(error));
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}
