//! Frames as readers see them.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::time::Duration;

use super::lender::Lender;
use crate::engine::{OwnedSeat, SeatRef};
use crate::sys::time;
use crate::v2::rules::ring::Found;
use crate::values::attributes::{AttributesError, AttributesRef};

/// What a frame says about itself, wherever its bytes are held.
#[derive(Debug, Clone, Copy)]
struct Facts {
    found: Found,
}

impl Facts {
    fn age(&self, seat: SeatRef<'_>) -> Option<Duration> {
        let now = Duration::from_nanos(time::monotonic_ns());
        seat.committed_at(&self.found).and_then(|then| now.checked_sub(then))
    }

    fn copy_to(&self, seat: SeatRef<'_>, skip: usize, space: &mut [u8]) -> usize {
        if !seat.is_ours() {
            return 0;
        }
        let len = space.len().min((self.found.len as usize).saturating_sub(skip));
        seat.copy_out(&self.found, skip, &mut space[..len]);
        len
    }
}

/// A frame, read in place: no copy was made. Released when dropped.
///
/// The bytes are shared memory. A conforming writer does not touch a committed frame before its release; a
/// program that does not trust its peers uses [`copy_to`](Self::copy_to), which never forms a reference to
/// shared bytes, instead of dereferencing.
///
/// A frame stays with the process that read it. A forked child sees zeros in its place, [`copy_to`](Self::copy_to) copies
/// nothing, and dropping it releases nothing. Children made without libc's `fork` must neither look at it nor drop it.
#[derive(Debug)]
#[must_use = "dropping a frame releases it"]
pub struct Frame<'a> {
    /// Borrowed as long as the frame is lent: the next call on it needs this one gone. It remembers where the frame lies,
    /// so that what a read returns is one word: more would be moved on the stack, and loaded there in wider pieces than
    /// it was just stored, which stalls.
    lender: &'a Lender,
}

impl<'a> Frame<'a> {
    /// The frame that a reader has just noted as lent.
    #[inline(always)]
    pub(crate) fn new(lender: &'a mut Lender) -> Self {
        Self { lender }
    }

    /// Where it lies.
    #[inline(always)]
    pub(crate) fn place(&self) -> (SeatRef<'a>, &'a Found) {
        self.lender.lent()
    }

    fn facts(&self) -> Facts {
        Facts { found: *self.place().1 }
    }

    /// Number of the frame: from 1, without gaps, across writers, as long as the buffer lives. A new buffer of the same name begins
    /// at 1 again: after everybody had left with nothing unread, after it was removed, or after a reboot.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.place().1.sequence
    }

    /// Whether a reader that died had received this frame and not released it.
    pub fn is_redelivered(&self) -> bool {
        self.place().1.is_redelivered()
    }

    /// When it was committed, on this process's `CLOCK_MONOTONIC`; `None` in a buffer without timestamps, and where the
    /// clocks of writer and reader cannot be compared (without `/proc`, in sandboxes with clocks of their own).
    pub fn committed_at(&self) -> Option<Duration> {
        let (seat, found) = self.place();
        seat.committed_at(found)
    }

    /// Time since it was committed, in time namespaces too; `None` where [`committed_at`](Self::committed_at) is, or lies ahead.
    pub fn age(&self) -> Option<Duration> {
        self.facts().age(self.place().0)
    }

    /// What belongs to the frame and is not its bytes; empty if the writer gave it nothing.
    ///
    /// # Errors
    /// [`AttributesError`]: they are damaged. The payload is not, as far as that shows.
    pub fn attributes(&self) -> Result<AttributesRef<'_>, AttributesError> {
        let (seat, found) = self.place();
        AttributesRef::from_block(seat.lend_block(found, self))
    }

    /// Copies as much as fits into `space`; the number of bytes copied.
    pub fn copy_to(&self, space: &mut [u8]) -> usize {
        self.facts().copy_to(self.place().0, 0, space)
    }

    /// Keeps the frame beyond the next read: still no copy, and its place in the ring stays taken.
    pub fn into_owned(self) -> OwnedFrame {
        // Its release is the owned frame's now.
        let lent = ManuallyDrop::new(self);
        let (seat, found) = lent.place();
        OwnedFrame { seat: seat.keep(found), facts: lent.facts() }
    }
}

impl Deref for Frame<'_> {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        let (seat, found) = self.place();
        seat.lend(found, self)
    }
}

impl AsRef<[u8]> for Frame<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Frame<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let (seat, found) = self.place();
        seat.release_lent(found);
    }
}

/// A frame that can be kept, sent to another thread, and released (dropped) in any order.
///
/// Its bytes are still those in the ring; the writer does not get them back before it is dropped, even when the
/// [`Reader`](crate::Reader) is gone. Kept frames take up room: a writer may find the ring full because of them.
#[derive(Debug)]
#[must_use = "dropping a frame releases it"]
pub struct OwnedFrame {
    seat: OwnedSeat,
    facts: Facts,
}

impl OwnedFrame {
    /// Where it lies.
    pub(crate) fn place(&self) -> (SeatRef<'_>, &Found) {
        (self.seat.as_ref(), &self.facts.found)
    }

    /// Its bytes, to be changed where they lie; `None` if its reader may not.
    pub(crate) fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        let found = self.facts.found;
        let OwnedSeat::V2(seat) = &self.seat else { return None };
        seat.segment().lend_to_change(found.start, found.len as usize, &mut self.facts)
    }

    /// Number of the frame: from 1, without gaps, across writers, as long as the buffer lives. A new buffer of the same name begins
    /// at 1 again: after everybody had left with nothing unread, after it was removed, or after a reboot.
    pub fn sequence(&self) -> u64 {
        self.facts.found.sequence
    }

    /// Whether a reader that died had received this frame and not released it.
    pub fn is_redelivered(&self) -> bool {
        self.facts.found.is_redelivered()
    }

    /// When it was committed, on this process's `CLOCK_MONOTONIC`; `None` in a buffer without timestamps, and where the
    /// clocks of writer and reader cannot be compared (without `/proc`, in sandboxes with clocks of their own).
    pub fn committed_at(&self) -> Option<Duration> {
        self.seat.as_ref().committed_at(&self.facts.found)
    }

    /// Time since it was committed, in time namespaces too; `None` where [`committed_at`](Self::committed_at) is, or lies ahead.
    pub fn age(&self) -> Option<Duration> {
        self.facts.age(self.seat.as_ref())
    }

    /// What belongs to the frame and is not its bytes; empty if the writer gave it nothing.
    ///
    /// # Errors
    /// [`AttributesError`]: they are damaged. The payload is not, as far as that shows.
    pub fn attributes(&self) -> Result<AttributesRef<'_>, AttributesError> {
        let (seat, found) = self.place();
        AttributesRef::from_block(seat.lend_block(found, self))
    }

    /// Copies as much as fits into `space`; the number of bytes copied.
    pub fn copy_to(&self, space: &mut [u8]) -> usize {
        self.copy_from(0, space)
    }

    /// As [`copy_to`](Self::copy_to), without the first `skip` bytes.
    pub(crate) fn copy_from(&self, skip: usize, space: &mut [u8]) -> usize {
        self.facts.copy_to(self.seat.as_ref(), skip, space)
    }
}

impl Deref for OwnedFrame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.seat.as_ref().lend(&self.facts.found, self)
    }
}

impl AsRef<[u8]> for OwnedFrame {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for OwnedFrame {
    fn drop(&mut self) {
        self.seat.release(&self.facts.found);
    }
}
