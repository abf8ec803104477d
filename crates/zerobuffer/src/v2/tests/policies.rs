//! Both policies in tests: the one that ships, and the plain one. What the rules promise holds with either.

use super::heap::Heap;
use crate::v2::placing::{Cached, Footprint};
use crate::v2::protocol::layout::FrameGeometry;
use crate::v2::protocol::position::Position;
use crate::v2::rules::memory::Memory;
use crate::v2::rules::ring::{self, Claim, Detour, Placing, Plain, Tail};

/// Which policy a test is to use.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Choice {
    Plain,
    Cached(Footprint),
}

/// All of the ring, by the policy that ships.
pub(crate) const WHOLE: Choice = Choice::Cached(Footprint::Whole);

/// The Writer's side of the ring in tests.
pub(crate) type Producer = ring::Producer<Policy>;

/// The Writer's side of the ring, attached.
pub(crate) fn attach(heap: &Heap, choice: Choice) -> Producer {
    try_attach(heap, choice).unwrap()
}

/// The same, or what is wrong with the ring.
pub(crate) fn try_attach(heap: &Heap, choice: Choice) -> Result<Producer, ring::Damage> {
    let policy = match choice {
        Choice::Plain => Policy::Plain(Plain),
        Choice::Cached(footprint) => Policy::Cached(Cached::new(heap, footprint)),
    };
    Producer::attach(heap, policy)
}

/// One of the two.
#[derive(Debug)]
pub(crate) enum Policy {
    Plain(Plain),
    Cached(Cached),
}

/// Calls a method of whichever it is.
macro_rules! either {
    ($policy:expr, $of:ident => $call:expr) => {
        match $policy {
            Policy::Plain($of) => $call,
            Policy::Cached($of) => $call,
        }
    };
}

impl Placing for Policy {
    fn begin(&mut self, tail: &Tail) {
        either!(self, of => of.begin(tail))
    }

    fn detour(&mut self, frames: &FrameGeometry, tail: &Tail, len: u64) -> Option<Detour> {
        either!(self, of => of.detour(frames, tail, len))
    }

    fn place(&self, frames: &FrameGeometry, tail: &Tail, len: u64) -> Position {
        either!(self, of => of.place(frames, tail, len))
    }

    fn went_on(&mut self, frames: &FrameGeometry, tail: &Tail, end: Position) {
        either!(self, of => of.went_on(frames, tail, end))
    }

    fn skipped(&mut self, frame: Position, tail: &Tail) {
        either!(self, of => of.skipped(frame, tail))
    }

    fn horizon(&self, frames: &FrameGeometry, tail: &Tail) -> Position {
        either!(self, of => of.horizon(frames, tail))
    }

    fn looked(&mut self, tail: &Tail, frame_bytes: u64, lag: impl FnOnce() -> u64) {
        either!(self, of => of.looked(tail, frame_bytes, lag))
    }

    fn copies(&mut self, memory: &impl Memory, claim: &Claim, free: Position) {
        either!(self, of => of.copies(memory, claim, free))
    }

    fn leaves_alone(&mut self, claim: &Claim) {
        either!(self, of => of.leaves_alone(claim))
    }

    fn committed(&mut self, memory: &impl Memory, claim: &Claim, free: Position) {
        either!(self, of => of.committed(memory, claim, free))
    }
}
