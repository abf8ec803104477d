//! Where large frames of one length go.

use crate::v2::protocol::layout::{CACHE_LINE, FrameGeometry};
use crate::v2::protocol::position::Position;
use crate::v2::rules::ring::Tail;

/// From this length on, a page, or in a small ring this part of it, it matters where frames lie. Of smaller ones several share
/// pages and lines anyway.
pub(super) const LEAST_PLACED: u64 = 4096;
const LEAST_PLACED_PART: u64 = 64;

/// Whether it matters where a frame of `len` bytes lies.
pub(super) fn is_large(frames: &FrameGeometry, len: u64) -> bool {
    len >= LEAST_PLACED.min(frames.capacity / LEAST_PLACED_PART)
}

/// The frames since a position, as many as the ring has room for at once.
///
/// If large frames of one length went on where a lap ended, each would lie where none lay before, on lines and pages that
/// neither side has seen lately. So the first that would run over the end of the lap goes (nearly) where its first one lay.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lap {
    /// Position of its first frame, its number, and the bytes that were committed before.
    first: Position,
    number: u64,
    bytes_before: u64,
}

impl Lap {
    pub(super) fn at(first: Position, tail: &Tail) -> Self {
        Self { first, number: tail.next, bytes_before: tail.bytes_committed }
    }

    /// No frame of this lap goes beyond.
    pub(super) fn end(&self, frames: &FrameGeometry) -> Position {
        self.first.plus(frames.capacity)
    }

    /// Where a frame of `len` bytes goes: to the tail; or, if it would run over the end of this lap and all frames of the lap have
    /// `len` bytes, to (nearly) the place of the lap's first frame.
    pub(super) fn place(&self, frames: &FrameGeometry, tail: &Tail, len: u64) -> Position {
        let behind = tail.position;
        let end = frames.extent(behind, len).end;
        let skipped = self.end(frames).since(behind);
        let runs_over = skipped < end.since(behind);
        // A line before that of the first, or a ring of such frames would have room for one less: its terminator would
        // lie in the header of the frame behind.
        let is_placed = runs_over && is_large(frames, len) && self.is_even(tail, len);
        if is_placed { behind.plus(skipped.saturating_sub(CACHE_LINE)) } else { behind }
    }

    /// Whether all frames of this lap have `len` bytes.
    fn is_even(&self, tail: &Tail, len: u64) -> bool {
        let count = tail.next.wrapping_sub(self.number);
        let bytes = tail.bytes_committed.wrapping_sub(self.bytes_before);
        count > 0 && count.checked_mul(len) == Some(bytes)
    }
}
