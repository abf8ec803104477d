//! Frames filled where they lie in the ring.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::claimed::Claimed;
use super::writer::Writer;
use crate::values::error::WriteError;
use crate::wait::Patience;

impl Writer {
    /// Lends `len` bytes of the ring to be filled in place and committed: no copy.
    ///
    /// The bytes hold what was there before. When the ring is full, waits as the full-policy says;
    /// under [`FullPolicy::DropNewest`](crate::FullPolicy::DropNewest) there is nothing to drop yet, and the call fails and counts a drop.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[inline(always)]
    pub fn loan(&mut self, len: usize) -> Result<FrameMut<'_>, WriteError> {
        match self.engine.try_claim(len) {
            Some(claim) => self.loaned = Claimed { claim, len },
            None => self.claim_by_policy(len)?,
        }
        Ok(FrameMut { writer: self })
    }

    #[inline(never)]
    fn claim_by_policy(&mut self, len: usize) -> Result<(), WriteError> {
        let patience = self.default_patience();
        let claimed = self.claim_within(len, patience);
        if let Err(error) = &claimed
            && self.drops_newest()
            && (error.is_timeout() || error.is_peer_gone())
        {
            self.engine.count_dropped(len);
        }
        claimed
    }

    #[inline(never)]
    fn claim_within(&mut self, len: usize, patience: Patience) -> Result<(), WriteError> {
        let claim = self.engine.claim(len, true, patience)?;
        self.loaned = Claimed { claim, len };
        Ok(())
    }

    /// Like [`loan`](Self::loan), but never waits.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[inline]
    pub fn try_loan(&mut self, len: usize) -> Result<FrameMut<'_>, WriteError> {
        match self.engine.try_claim(len) {
            Some(claim) => self.loaned = Claimed { claim, len },
            None => self.claim_within(len, Patience::None)?,
        }
        Ok(FrameMut { writer: self })
    }

    /// Like [`loan`](Self::loan), but waits at most `timeout`. Without any time this is [`try_loan`](Self::try_loan).
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn loan_timeout(
        &mut self,
        len: usize,
        timeout: Duration,
    ) -> Result<FrameMut<'_>, WriteError> {
        self.claim_within(len, Patience::up_to(timeout))?;
        Ok(FrameMut { writer: self })
    }

    /// Like [`loan_timeout`](Self::loan_timeout), for whoever keeps this writer beside the loan. The loan is given back by
    /// doing nothing.
    #[inline]
    pub(crate) fn claim_timeout(
        &mut self,
        len: usize,
        timeout: Duration,
    ) -> Result<Claimed, WriteError> {
        let claim = match self.engine.try_claim(len) {
            Some(claim) => claim,
            None => self.engine.claim(len, true, Patience::up_to(timeout))?,
        };
        Ok(Claimed { claim, len })
    }

    /// A loan, if there is room for it and nothing else has to be looked at.
    #[inline(always)]
    pub(crate) fn loan_ready(&mut self, len: usize) -> Option<FrameMut<'_>> {
        let claim = self.engine.try_claim(len)?;
        self.loaned = Claimed { claim, len };
        Some(FrameMut { writer: self })
    }

    #[inline]
    pub(crate) fn lend(&self, claimed: &Claimed) -> &[u8] {
        self.engine.lend(&claimed.claim, claimed.len)
    }

    #[inline]
    pub(crate) fn lend_mut(&mut self, claimed: &Claimed) -> &mut [u8] {
        self.engine.lend_mut(&claimed.claim, claimed.len)
    }

    /// Copies `bytes` into a loan behind its first `skip` bytes, a multiple of 8.
    ///
    /// # Panics
    /// If they do not fit.
    pub(crate) fn copy_in(&mut self, claimed: &Claimed, skip: usize, bytes: &[u8]) {
        if !self.engine.is_ours() {
            return;
        }
        claimed.copy_in(&mut self.engine, skip, bytes);
    }

    /// Commits the frame that was claimed last; its number.
    #[inline]
    pub(crate) fn commit(&mut self, claimed: Claimed) -> u64 {
        self.loaned = claimed;
        FrameMut { writer: self }.commit()
    }
}

/// A frame being filled in place. Dropped without [`commit`](Self::commit), nothing happened.
///
/// Filling it with streaming (non-temporal) stores needs an `sfence` before the commit. A device or an
/// `io_uring` that fills it must be done before the commit, and before this process ends.
#[derive(Debug)]
#[must_use = "a loan that is not committed is given back unused"]
pub struct FrameMut<'a> {
    writer: &'a mut Writer,
}

impl FrameMut<'_> {
    /// Commits the frame; its number.
    ///
    /// In a forked child nothing is committed, and the number is 0, which no frame has.
    #[inline(always)]
    pub fn commit(self) -> u64 {
        let Writer { engine, loaned: Claimed { claim, len }, .. } = self.writer;
        engine.commit_loan(claim, *len)
    }

    /// Keeps only the first `len` bytes; longer, or zero, changes nothing.
    pub fn truncate(&mut self, len: usize) {
        self.writer.loaned.truncate(len);
    }

    /// Copies `bytes`, as many as were loaned, into the frame, as [`Writer::write`] does: large ones past the caches where that
    /// is faster (see [`WriterOptions::streaming_stores`](crate::WriterOptions::streaming_stores)), which the method of slices that it stands before cannot know.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Examples
    /// ```
    /// # use zerobuffer::{BufferConfig, Writer};
    /// # fn main() -> zerobuffer::Result<()> {
    /// # let name = format!("doc-copy-{}", std::process::id());
    /// # let mut writer = Writer::create(&name, &BufferConfig::new())?;
    /// let image = vec![7; 100_000];
    /// let mut frame = writer.loan(image.len())?;
    /// frame.copy_from_slice(&image);
    /// frame.commit();
    /// # writer.discard_undelivered();
    /// # Ok(()) }
    /// ```
    pub fn copy_from_slice(&mut self, bytes: &[u8]) {
        assert_eq!(bytes.len(), self.writer.loaned.len, "copied from one length to another");
        if self.writer.engine.is_ours() {
            self.copy_in(0, bytes);
        }
    }

    /// Copies `bytes` behind the first `skip` bytes, a multiple of 8.
    ///
    /// # Panics
    /// If they do not fit.
    #[inline(always)]
    pub(crate) fn copy_in(&mut self, skip: usize, bytes: &[u8]) {
        let Writer { engine, loaned, .. } = &mut *self.writer;
        loaned.copy_in(engine, skip, bytes);
    }
}

impl Deref for FrameMut<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.writer.lend(&self.writer.loaned)
    }
}

impl DerefMut for FrameMut<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        let Writer { engine, loaned, .. } = &mut *self.writer;
        engine.lend_mut(&loaned.claim, loaned.len)
    }
}
