//! Frames received at once.

use std::time::Duration;

use super::lender::Lender;
use super::reader::Reader;
use crate::engine::SeatRef;
use crate::v2::rules::ring::Found;
use crate::values::attributes::{AttributesError, AttributesRef};
use crate::values::error::ReadError;
use crate::wait::Patience;

impl Reader {
    /// Up to `max` frames at once: waits for the first, takes what else is there, releases all together.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_batch(&mut self, max: usize) -> Result<Option<Batch<'_>>, ReadError> {
        self.batch_within(max, Patience::For(None))
    }

    /// Like [`read_batch`](Self::read_batch), but waits at most `timeout`.
    ///
    /// # Errors
    /// As [`read_timeout`](Self::read_timeout).
    pub fn read_batch_timeout(
        &mut self,
        max: usize,
        timeout: Duration,
    ) -> Result<Option<Batch<'_>>, ReadError> {
        self.batch_within(max, Patience::up_to(timeout))
    }

    /// Like [`read_batch`](Self::read_batch), but never waits.
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read).
    pub fn try_read_batch(&mut self, max: usize) -> Result<Option<Batch<'_>>, ReadError> {
        self.batch_within(max, Patience::None)
    }

    fn batch_within(
        &mut self,
        max: usize,
        patience: Patience,
    ) -> Result<Option<Batch<'_>>, ReadError> {
        let mut first = None;
        if !self.lender.engine.is_next_plain() {
            first = self.lender.engine.find(patience)?;
            if first.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(Batch { reader: self, first, has_begun: false, left: max.max(1) }))
    }
}

/// Frames taken at once; a lending iterator over them. All are released when it is dropped.
#[derive(Debug)]
pub struct Batch<'a> {
    reader: &'a mut Reader,
    /// Found by the call that began the batch, and not handed out yet, if that needed more than a look.
    first: Option<Found>,
    /// Whether any was handed out: the newest is the one that the reader lends.
    has_begun: bool,
    left: usize,
}

/// One frame of a [`Batch`].
#[derive(Debug, Clone, Copy)]
pub struct BatchFrame<'a> {
    /// Number of the frame.
    pub sequence: u64,
    /// A reader that died had received it and not released it.
    pub redelivered: bool,
    /// When it was committed, on this process's `CLOCK_MONOTONIC`; `None` in a buffer without timestamps, and where the
    /// clocks of writer and reader cannot be compared (without `/proc`, in sandboxes with clocks of their own).
    pub committed_at: Option<Duration>,
    /// Its bytes; see [`Frame`](crate::Frame) for what may happen to them.
    pub payload: &'a [u8],
    seat: SeatRef<'a>,
    found: &'a Found,
}

impl<'a> Batch<'a> {
    /// The next frame of the batch.
    #[allow(clippy::should_implement_trait)] // An `Iterator` could let frames outlive the batch.
    #[inline(always)]
    pub fn next(&mut self) -> Option<BatchFrame<'_>> {
        if self.left == 0 {
            return None;
        }
        let is_ready = self.first.is_none() && self.reader.lender.engine.advance_ready();
        let is_there = is_ready || self.next_with_care();
        // What comes later belongs to the next batch.
        self.left = if is_there { self.left - 1 } else { 0 };
        self.has_begun |= is_there;
        is_there.then(|| {
            let (seat, found) = self.reader.lender.lent();
            BatchFrame::new(found, seat)
        })
    }

    #[inline(never)]
    fn next_with_care(&mut self) -> bool {
        // A forked child must not be handed what was found before the fork.
        if self.reader.lender.engine.check().is_err() {
            return false;
        }
        let newest = *self.reader.lender.lent().1;
        let Lender { engine, lent } = &mut self.reader.lender;
        let found = match self.first.take() {
            None if self.has_begun => engine.find_behind(&newest),
            first => first,
        };
        let Some(found) = found else { return false };
        engine.advance(&found);
        *lent = found;
        true
    }
}

impl<'a> BatchFrame<'a> {
    #[inline(always)]
    fn new(found: &'a Found, seat: SeatRef<'a>) -> Self {
        Self {
            seat,
            found,
            sequence: found.sequence,
            redelivered: found.is_redelivered(),
            committed_at: seat.committed_at(found),
            payload: seat.lend_in_batch(found),
        }
    }

    /// What belongs to the frame and is not its bytes; empty if the writer gave it nothing.
    ///
    /// # Errors
    /// [`AttributesError`]: they are damaged. The payload is not, as far as that shows.
    pub fn attributes(&self) -> Result<AttributesRef<'a>, AttributesError> {
        AttributesRef::from_block(self.seat.lend_block(self.found, &()))
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if self.has_begun {
            let Lender { engine, lent } = &mut self.reader.lender;
            engine.release_batch(lent);
        }
    }
}
