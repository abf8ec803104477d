//! Where frames go, and which cache lines are prefetched: tuning. What is correct does not depend on it.
//!
//! * [`window`]: streams keep to a part of a large ring that stays in the cache, if that is faster ([`trial`])
//! * [`lap`]: large frames of one length go where those of the lap before lay
//! * [`lines`]: lines of frames to come are prefetched

mod lap;
mod lines;
mod trial;
mod window;

use lap::Lap;
use lines::Lines;
use window::Window;

use crate::v2::protocol::layout::FrameGeometry;
use crate::v2::protocol::position::Position;
use crate::v2::rules::memory::Memory;
use crate::v2::rules::ring::{Claim, Detour, Placing, Tail};

pub(crate) use window::Footprint;

/// The policy that ships.
#[derive(Debug)]
pub(crate) struct Cached {
    window: Window,
    lap: Lap,
    lines: Lines,
}

impl Cached {
    pub(crate) fn new(memory: &impl Memory, footprint: Footprint) -> Self {
        let frames = memory.frames();
        Self {
            window: Window::new(footprint, frames.capacity),
            lap: Lap::default(),
            lines: Lines::new(frames, memory.hints_take_lines()),
        }
    }
}

impl Placing for Cached {
    fn begin(&mut self, tail: &Tail) {
        self.lap = Lap::at(tail.position, tail);
        self.lines.begin(tail.position);
    }

    fn detour(&mut self, frames: &FrameGeometry, tail: &Tail, len: u64) -> Option<Detour> {
        self.window.detour(frames, tail, len)
    }

    fn place(&self, frames: &FrameGeometry, tail: &Tail, len: u64) -> Position {
        self.lap.place(frames, tail, len)
    }

    fn went_on(&mut self, frames: &FrameGeometry, tail: &Tail, end: Position) {
        if !end.is_at_or_before(self.lap.end(frames)) {
            self.lap = Lap::at(tail.position, tail);
        }
    }

    fn skipped(&mut self, frame: Position, tail: &Tail) {
        self.lap = Lap::at(frame, tail);
        self.window.begin_lap();
    }

    fn horizon(&self, frames: &FrameGeometry, tail: &Tail) -> Position {
        let offset = frames.offset(tail.position);
        let window = self.window.step(offset).min(2 * frames.capacity);
        tail.position.minus(offset).plus(window).earlier(self.lap.end(frames).plus(8))
    }

    fn looked(&mut self, tail: &Tail, frame_bytes: u64, lag: impl FnOnce() -> u64) {
        self.lines.looked(tail.position, frame_bytes, lag);
    }

    #[inline(always)]
    fn copies(&mut self, memory: &impl Memory, claim: &Claim, free: Position) {
        self.lines.copies(memory, claim, free);
    }

    #[inline(always)]
    fn leaves_alone(&mut self, claim: &Claim) {
        self.lines.leave(claim);
    }

    #[inline(always)]
    fn committed(&mut self, memory: &impl Memory, claim: &Claim, free: Position) {
        self.lines.committed(memory, claim, free);
    }
}

/// The Writer's side of the ring, with the policy that ships.
pub(crate) type Producer = super::rules::ring::Producer<Cached>;
