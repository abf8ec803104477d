//! Frames that become visible together.

use super::writer::{Writer, Written};
use crate::v2::rules::ring::Claim;
use crate::values::error::WriteError;

impl Writer {
    /// Begins a batch: several frames that become visible together, with one wake-up.
    ///
    /// ```
    /// # use zerobuffer::{BufferConfig, Reader, Writer};
    /// # fn main() -> zerobuffer::Result<()> {
    /// # let name = format!("doc-batch-{}", std::process::id());
    /// # let mut writer = Writer::create(&name, &BufferConfig::new())?;
    /// let mut batch = writer.batch();
    /// for record in [b"a", b"b", b"c"] {
    ///     batch.push(record)?;
    /// }
    /// assert_eq!(batch.commit(), 3);
    /// # writer.discard_undelivered();
    /// # Ok(()) }
    /// ```
    pub fn batch(&mut self) -> WriteBatch<'_> {
        WriteBatch { writer: self, frames: 0, committed: 0 }
    }
}

/// Several frames that become visible together. Dropped without [`commit`](Self::commit), those not yet
/// visible never happened.
#[derive(Debug)]
#[must_use = "a batch that is not committed is forgotten"]
pub struct WriteBatch<'a> {
    pub(super) writer: &'a mut Writer,
    pub(super) frames: u64,
    committed: usize,
}

impl WriteBatch<'_> {
    /// Copies a frame into the batch.
    ///
    /// When the ring is full, what the batch holds so far is committed first, so that readers can make room;
    /// then the full-policy applies.
    ///
    /// # Errors
    /// As [`Writer::write`]; the frame is not part of the batch then.
    #[inline(always)]
    pub fn push(&mut self, payload: &[u8]) -> Result<Written, WriteError> {
        match self.writer.engine.stage_ready(payload) {
            Some(sequence) => {
                self.frames += 1;
                Ok(Written::Committed(sequence))
            }
            None => self.push_by_policy(payload),
        }
    }

    #[inline(always)]
    fn stage(&mut self, claim: &Claim, payload: &[u8]) -> Written {
        let engine = &mut self.writer.engine;
        engine.copy_in(claim, payload);
        self.frames += 1;
        Written::Committed(engine.stage(claim))
    }

    #[inline(never)]
    fn push_by_policy(&mut self, payload: &[u8]) -> Result<Written, WriteError> {
        match self.claim_by_policy(payload.len(), payload.len())? {
            Some(claim) => Ok(self.stage(&claim, payload)),
            None => Ok(Written::Dropped),
        }
    }

    /// Claims `len` bytes as the full-policy says; `None`: a frame with so many bytes of `payload` was dropped.
    pub(super) fn claim_by_policy(
        &mut self,
        len: usize,
        payload: usize,
    ) -> Result<Option<Claim>, WriteError> {
        let (patience, drops) = (self.writer.default_patience(), self.writer.drops_newest());
        let engine = &mut self.writer.engine;
        let before = engine.stats().full_waits;
        let claim = engine.claim(len, false, patience);
        if engine.stats().full_waits != before {
            self.committed += self.frames as usize;
            self.frames = 0;
        }
        match claim {
            Ok(claim) => Ok(Some(claim)),
            Err(error) if drops && (error.is_timeout() || error.is_peer_gone()) => {
                engine.count_dropped(payload);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the frames visible and wakes readers once; how many frames the batch had in all.
    ///
    /// In a forked child nothing is committed, and the result is 0.
    pub fn commit(mut self) -> usize {
        let frames = std::mem::take(&mut self.frames);
        if !self.writer.engine.is_ours() {
            return 0;
        }
        self.writer.engine.publish();
        self.committed + frames as usize
    }
}

impl Drop for WriteBatch<'_> {
    fn drop(&mut self) {
        if self.frames > 0 && self.writer.engine.is_ours() {
            self.writer.engine.abort();
        }
    }
}
