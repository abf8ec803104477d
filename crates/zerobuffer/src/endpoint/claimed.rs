//! Room for a frame, claimed by a writer and not borrowed from it.

use crate::engine::Writing;
use crate::v2::rules::ring::Claim;

/// A loan without its borrow, see [`Writer::claim_timeout`](crate::Writer).
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(super) claim: Claim,
    pub(super) len: usize,
}

impl Claimed {
    pub(super) fn nothing() -> Self {
        Self { claim: Claim::foreign(0, 0), len: 0 }
    }

    /// Keeps only the first `len` bytes; longer, or zero, changes nothing.
    pub(crate) fn truncate(&mut self, len: usize) {
        if len > 0 {
            self.len = self.len.min(len);
        }
    }

    #[inline(always)]
    pub(super) fn copy_in(&self, engine: &mut Writing, skip: usize, bytes: &[u8]) {
        let fits = skip <= self.len && bytes.len() <= self.len - skip;
        assert!(fits, "more bytes than were loaned");
        engine.copy_in_behind(&self.claim, skip, bytes);
    }
}
