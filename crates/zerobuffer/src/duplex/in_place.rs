//! Answers that are their requests, changed where they lie: no byte is copied, whatever their size.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{Ordering, compiler_fence};

use super::answers::{AnswerLoan, Answered, Request};
use super::wire::{AnswerHeader, Consent, HEADER_BYTES};
use crate::values::error::WriteError;

/// A request that is being changed to its own answer. Dropped without [`commit`](Self::commit), nothing was sent, and what was
/// changed stays changed.
///
/// Where the bytes lie in the request buffer itself, the client reads them there ([`is_shared`](Self::is_shared)). Where that
/// cannot be, because one side did not agree to it or the channel speaks protocol 1.0, this is a copy in the response
/// buffer. The result is the same.
#[derive(Debug)]
#[must_use = "a request that was changed and not committed is no answer"]
pub struct InPlace<'a>(Bytes<'a>);

#[derive(Debug)]
enum Bytes<'a> {
    /// The request's own bytes, of which the first `len` are the answer.
    Shared {
        request: &'a mut Request,
        len: usize,
    },
    Copied(AnswerLoan<'a>),
}

impl Request {
    /// Begins to change the request to its own answer.
    ///
    /// If the server dies before the answer is committed, the request is refused, even by one that
    /// [does interrupted requests again](super::ServerOptions::redo_interrupted): what it said is lost.
    ///
    /// # Errors
    /// As [`answer`](Self::answer), where a copy has to be made.
    ///
    /// # Panics
    /// If it was answered before.
    pub fn in_place(&mut self) -> Result<InPlace<'_>, WriteError> {
        self.check_process()?;
        if self.may_be_changed() {
            assert!(!self.is_answered(), "a request is answered once");
            self.beginning()[..].copy_from_slice(&Consent::Changing.to_bytes());
            // Before the first change, also for whoever looks after this process died in the next instruction.
            compiler_fence(Ordering::SeqCst);
            let len = self.len();
            return Ok(InPlace(Bytes::Shared { request: self, len }));
        }
        let mut loan = self.loan(self.len())?;
        loan.copy_from_slice(self);
        Ok(InPlace(Bytes::Copied(loan)))
    }

    /// Where the client left room for the header of an answer. Only of requests that may be changed.
    fn beginning(&mut self) -> &mut [u8] {
        &mut self.bytes_mut().expect("it may be changed")[..HEADER_BYTES]
    }
}

impl InPlace<'_> {
    /// Whether these are the request's own bytes, which the client is going to read where they are.
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Bytes::Shared { .. })
    }

    /// Only the first `len` bytes are the answer; longer changes nothing.
    pub fn truncate(&mut self, to: usize) {
        match &mut self.0 {
            Bytes::Shared { len, .. } => *len = to.min(*len),
            Bytes::Copied(loan) => loan.truncate(to),
        }
    }

    /// Sends the answer.
    ///
    /// # Errors
    /// As [`Request::answer`]: nothing was sent.
    pub fn commit(self) -> Result<Answered, WriteError> {
        match self.0 {
            Bytes::Copied(loan) => Ok(loan.commit()),
            Bytes::Shared { request, len } => {
                let cut = request.len() - len;
                // More than a header can say is copied.
                let Ok(code) = u32::try_from(cut) else { return request.answer(&request[..len]) };
                let header = AnswerHeader { code, ..AnswerHeader::answer(request.number()) };
                request.beginning().copy_from_slice(&header.to_bytes());
                request.give_back()
            }
        }
    }
}

impl Deref for InPlace<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Shared { request, len } => &request[..*len],
            Bytes::Copied(loan) => loan,
        }
    }
}

impl DerefMut for InPlace<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Bytes::Shared { request, len } => {
                let all = request.bytes_mut().expect("it may be changed");
                &mut all[HEADER_BYTES..HEADER_BYTES + *len]
            }
            Bytes::Copied(loan) => loan,
        }
    }
}
