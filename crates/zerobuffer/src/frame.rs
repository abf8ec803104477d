//! Frames as readers see them.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::time::Duration;

use crate::engine::{OwnedSeat, SeatRef};
use crate::sys::process;
use crate::v2::ring::Found;

/// What a frame says about itself, wherever its bytes are held.
#[derive(Debug, Clone, Copy)]
struct Facts {
    found: Found,
}

impl Facts {
    fn age(&self, seat: SeatRef<'_>) -> Option<Duration> {
        let now = Duration::from_nanos(process::monotonic_ns());
        seat.committed_at(&self.found).map(|then| now.saturating_sub(then))
    }

    fn copy_to(&self, seat: SeatRef<'_>, skip: usize, space: &mut [u8]) -> usize {
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
/// A frame stays with the process that read it: a forked child must neither look at it nor drop it.
#[derive(Debug)]
#[must_use = "dropping a frame releases it"]
pub struct Frame<'a> {
    seat: SeatRef<'a>,
    facts: Facts,
    // One lent frame at a time: the next call on the reader needs this one gone.
    _reader: PhantomData<&'a mut ()>,
}

impl<'a> Frame<'a> {
    #[inline(always)]
    pub(crate) fn new(seat: SeatRef<'a>, found: Found) -> Self {
        Self { seat, facts: Facts { found }, _reader: PhantomData }
    }

    /// Where it lies.
    pub(crate) fn place(&self) -> (SeatRef<'_>, &Found) {
        (self.seat, &self.facts.found)
    }

    /// Number of the frame: from 1, without gaps, across writers.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.facts.found.sequence
    }

    /// Whether a reader that died had received this frame and not released it.
    pub fn is_redelivered(&self) -> bool {
        self.facts.found.is_redelivered()
    }

    /// When it was committed, on `CLOCK_MONOTONIC`; `None` in a buffer without timestamps.
    pub fn committed_at(&self) -> Option<Duration> {
        self.seat.committed_at(&self.facts.found)
    }

    /// Time since it was committed; `None` in a buffer without timestamps.
    pub fn age(&self) -> Option<Duration> {
        self.facts.age(self.seat)
    }

    /// Copies as much as fits into `space`; the number of bytes copied.
    pub fn copy_to(&self, space: &mut [u8]) -> usize {
        self.facts.copy_to(self.seat, 0, space)
    }

    /// Keeps the frame beyond the next read: still no copy, and its place in the ring stays taken.
    pub fn into_owned(self) -> OwnedFrame {
        // Its release is the owned frame's now.
        let lent = ManuallyDrop::new(self);
        OwnedFrame { seat: lent.seat.keep(&lent.facts.found), facts: lent.facts }
    }
}

impl Deref for Frame<'_> {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        self.seat.lend(&self.facts.found, self)
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
        self.seat.release_lent(&self.facts.found);
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

    /// Number of the frame: from 1, without gaps, across writers.
    pub fn sequence(&self) -> u64 {
        self.facts.found.sequence
    }

    /// Whether a reader that died had received this frame and not released it.
    pub fn is_redelivered(&self) -> bool {
        self.facts.found.is_redelivered()
    }

    /// When it was committed, on `CLOCK_MONOTONIC`; `None` in a buffer without timestamps.
    pub fn committed_at(&self) -> Option<Duration> {
        self.seat.as_ref().committed_at(&self.facts.found)
    }

    /// Time since it was committed; `None` in a buffer without timestamps.
    pub fn age(&self) -> Option<Duration> {
        self.facts.age(self.seat.as_ref())
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
