//! What the Writer's side asks a policy: where the next frame goes, and what is done to cache lines before they are written.
//!
//! Nothing that is correct depends on the answers: each is checked against the room that there is. [`Plain`] gives the
//! simplest ones.

use super::{Claim, Tail};
use crate::v2::protocol::layout::FrameGeometry;
use crate::v2::protocol::position::Position;
use crate::v2::rules::memory::Memory;

/// A place for a frame that is not the tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Detour {
    /// Where the frame's header goes: behind the tail, less than a lap.
    pub(crate) frame: Position,
    /// Whether it is only of use if readers have released everything.
    pub(crate) only_if_all_is_released: bool,
}

/// A policy. It is told facts and answers questions.
pub(crate) trait Placing {
    /// The Writer begins behind `tail`, or begins there again.
    fn begin(&mut self, tail: &Tail);

    /// A place where a frame of `len` bytes would be better off than at the tail. Asked only where the Writer takes a closer
    /// look anyway: the answer is taken if there is room, and [`place`](Self::place) is asked if not.
    fn detour(&mut self, frames: &FrameGeometry, tail: &Tail, len: u64) -> Option<Detour>;

    /// Where a frame of `len` bytes goes: to the tail, or behind it. If there is no room the Writer waits for it there.
    fn place(&self, frames: &FrameGeometry, tail: &Tail, len: u64) -> Position;

    /// A frame that will end at `end` was placed at the tail.
    fn went_on(&mut self, frames: &FrameGeometry, tail: &Tail, end: Position);

    /// A skip was staged, to the place of a frame; `tail` has the accounts before that frame.
    fn skipped(&mut self, frame: Position, tail: &Tail);

    /// Up to where frames go to the tail without asking again.
    fn horizon(&self, frames: &FrameGeometry, tail: &Tail) -> Position;

    /// The Writer looked around behind `tail`, for a frame of `frame_bytes` bytes, header included; `lag` looks how many bytes
    /// the last reader is behind.
    fn looked(&mut self, tail: &Tail, frame_bytes: u64, lag: impl FnOnce() -> u64);

    /// A claimed frame is about to be copied in; up to `free` lies nothing that anybody reads.
    fn copies(&mut self, memory: &impl Memory, claim: &Claim, free: Position);

    /// A claimed frame is filled in a way for which nothing should be done to its lines.
    fn leaves_alone(&mut self, claim: &Claim);

    /// A frame was committed; up to `free` lies nothing that anybody reads.
    fn committed(&mut self, memory: &impl Memory, claim: &Claim, free: Position);
}

/// Every frame goes to the tail, and nothing is done to cache lines.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain;

#[cfg(test)]
impl Placing for Plain {
    fn begin(&mut self, _tail: &Tail) {}

    fn detour(&mut self, _frames: &FrameGeometry, _tail: &Tail, _len: u64) -> Option<Detour> {
        None
    }

    fn place(&self, _frames: &FrameGeometry, tail: &Tail, _len: u64) -> Position {
        tail.position
    }

    fn went_on(&mut self, _frames: &FrameGeometry, _tail: &Tail, _end: Position) {}

    fn skipped(&mut self, _frame: Position, _tail: &Tail) {}

    fn horizon(&self, frames: &FrameGeometry, tail: &Tail) -> Position {
        tail.position.plus(2 * frames.capacity)
    }

    fn looked(&mut self, _tail: &Tail, _frame_bytes: u64, _lag: impl FnOnce() -> u64) {}

    fn copies(&mut self, _memory: &impl Memory, _claim: &Claim, _free: Position) {}

    fn leaves_alone(&mut self, _claim: &Claim) {}

    fn committed(&mut self, _memory: &impl Memory, _claim: &Claim, _free: Position) {}
}
