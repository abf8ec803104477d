//! Answers as their callers get them.

use std::ops::Deref;

use crate::endpoint::frame::OwnedFrame;
use crate::values::call_error::CallError;

/// What a call comes to.
pub(crate) type Outcome = Result<Response, CallError>;

/// An answer, read in place: no copy was made. Its place in the response buffer, or in the request buffer if it was
/// [given in place](super::Server::serve_in_place), is taken until it is dropped: who keeps too many finds a buffer full.
///
/// Its bytes are shared memory: see [`Frame`](crate::Frame).
#[derive(Debug)]
#[must_use = "dropping an answer releases it"]
pub struct Response {
    pub(super) request: u64,
    pub(super) frame: OwnedFrame,
    /// Bytes before and behind the answer's own.
    pub(super) skip: usize,
    pub(super) cut: usize,
}

impl Response {
    /// Number of the request that it answers, as [`PendingCall::number`](crate::duplex::PendingCall::number) has it.
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
        &self.frame[self.skip..self.frame.len() - self.cut]
    }
}

impl AsRef<[u8]> for Response {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
