//! The end of a row of frames.

use std::hint::black_box;

use super::Claim;
use crate::fault::{self, Fault};
use crate::sync::Ordering;
use crate::v2::protocol::layout::WriterArea;
use crate::v2::protocol::position::Position;

/// The end of a row of frames, and the accounts up to there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tail {
    pub(crate) position: Position,
    /// Number of the next frame.
    pub(crate) next: u64,
    /// Payload bytes since the buffer was created.
    pub(crate) bytes_committed: u64,
    /// Sum of the skips since then.
    pub(crate) skipped_bytes: u64,
}

impl Tail {
    /// Goes behind one more frame.
    #[inline(always)]
    pub(super) fn pass(&mut self, claim: &Claim) {
        self.position = claim.extent.end;
        self.next = self.next.wrapping_add(1);
        self.bytes_committed = self.bytes_committed.wrapping_add(claim.len);
    }

    /// A copy, word by word: the words were stored one by one a moment ago, and whoever loads them in wider pieces waits until
    /// these stores, and all before them, are out of the store buffer, some of which wait for lines that a reader has.
    #[inline(always)]
    pub(super) fn copied(&self) -> Self {
        Self {
            position: Position(black_box(self.position.0)),
            next: black_box(self.next),
            bytes_committed: black_box(self.bytes_committed),
            skipped_bytes: black_box(self.skipped_bytes),
        }
    }

    /// Tells that everything before this end is committed, the last of it at `newest`.
    #[inline(always)]
    pub(super) fn publish(self, writer: &WriterArea, newest: Position) {
        writer.bytes_committed.store(self.bytes_committed, Ordering::Relaxed);
        // Release, both: whoever starts from them must find that frame's commit word (observers, `next_number`).
        writer.newest.store(newest.0, Ordering::Release);
        fault::point(Fault::FrameNewest);
        writer.sequence.store(self.next.wrapping_sub(1), Ordering::Release);
        fault::point(Fault::FrameNumbered);
        // PUBLISH-HEAD: pairs with `registry::activate`, observers, and a successor.
        writer.head.store(self.position.0, Ordering::Release);
        fault::point(Fault::FramePublished);
    }
}
