//! Calls: the ways to send a request.

use std::time::Duration;

use super::Client;
use super::call::{PendingCall, RequestLoan};
use crate::duplex::response::Response;
use crate::duplex::turn::Deadline;
use crate::duplex::wire::bytes_before_a_request;
use crate::values::call_error::CallError;
use crate::values::config::Protocol;
use crate::values::error::WriteError;

impl Client {
    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// [`CallError`]. A request that timed out, or whose server went, may have been executed.
    pub fn call(&self, request: &[u8], timeout: Duration) -> Result<Response, CallError> {
        self.call_filled(request.len(), |loan| loan.copy_from_slice(request), timeout)
    }

    /// As [`call`](Self::call), with a request of `len` bytes that `fill` makes in place: no copy.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_with(
        &self,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
        timeout: Duration,
    ) -> Result<Response, CallError> {
        self.call_filled(len, |loan| fill(loan), timeout)
    }

    fn call_filled(
        &self,
        len: usize,
        fill: impl FnOnce(&mut RequestLoan<'_>),
        timeout: Duration,
    ) -> Result<Response, CallError> {
        let deadline = Deadline::after(timeout);
        self.check_process()?;
        // A deployed server whose handler fails says nothing, and the next answer would be taken for its. With one
        // call at a time there is no next answer.
        let turn = match self.protocol {
            Protocol::V1 => {
                Some(self.in_order.take(deadline).ok_or_else(|| self.not_sent(deadline))?)
            }
            Protocol::V2 => None,
        };
        let mut loan = self.loan_until(len, deadline)?;
        fill(&mut loan);
        let number = loan.send()?;
        let outcome = self.wait(number, deadline);
        if let Err(CallError::Timeout { .. }) = &outcome {
            self.abandon(number);
        }
        drop(turn);
        outcome
    }

    /// Sends a request; its answer is waited for later, or, if the call is dropped, ignored. Any number can be under
    /// way, as far as the buffers have room.
    ///
    /// In protocol 1.0 answers are told apart by their order alone. A deployed server whose handler fails says nothing,
    /// so that the next answer is taken for its: use [`call`](Self::call) there, unless handlers do not fail.
    ///
    /// # Errors
    /// As [`call`](Self::call), but nothing was sent.
    pub fn send(&self, request: &[u8], timeout: Duration) -> Result<PendingCall<'_>, CallError> {
        let mut loan = self.loan(request.len(), timeout)?;
        loan.copy_from_slice(request);
        loan.commit()
    }

    /// Lends `len` bytes of the request buffer to be filled and sent: no copy. Others cannot send meanwhile.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn loan(&self, len: usize, timeout: Duration) -> Result<RequestLoan<'_>, CallError> {
        self.loan_until(len, Deadline::after(timeout))
    }

    fn loan_until(&self, len: usize, deadline: Deadline) -> Result<RequestLoan<'_>, CallError> {
        self.require_server(deadline)?;
        let mut writer = self.requests.take(deadline).ok_or_else(|| self.not_sent(deadline))?;
        let all = len.saturating_add(bytes_before_a_request(writer.protocol()));
        let claimed = writer.claim_timeout(all, deadline.left()).map_err(|error| match error {
            WriteError::ReaderGone { .. } | WriteError::NoReader { .. } => self.no_server(),
            WriteError::Retired { .. } => self.no_server(),
            other => other.into(),
        })?;
        Ok(RequestLoan::new(self, writer, claimed, self.consent()))
    }
}
