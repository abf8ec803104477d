//! How much of a large ring a writer uses.

use super::trial::Trial;
use crate::v2::protocol::layout::{CACHE_LINE, FrameGeometry};
use crate::v2::rules::ring::{Detour, Tail};

/// Part of a window that is enough while readers wait for each frame.
const NARROW_PART: u64 = 4;
/// Part of a window after which the Writer looks again whether readers wait for each frame.
const STEP_PART: u64 = 16;
/// Part of a window in which its laps begin.
const SLACK_PART: u64 = 64;
/// A ring of two windows at most is in the cache anyway, and one of two narrow ones in that of one core.
const SMALL_RING: u64 = 2;

/// How a writer uses a large ring.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Footprint {
    /// All of it, lap after lap.
    Whole,
    /// Its first bytes, at least this many, while readers keep up.
    Window(u64),
    /// Whichever of the two is faster. Rings of up to `cached()` bytes are in the cache anyway: of them only as much as is enough
    /// while readers wait for each frame. It is asked where the ring is large enough for that to matter. `now_ns` tells the
    /// time in nanoseconds.
    Learned { window: u64, cached: fn() -> u64, now_ns: fn() -> u64 },
}

/// The first bytes of a ring.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// While readers keep up.
    bytes: u64,
    /// While they wait for each frame.
    narrow: u64,
}

impl Part {
    /// One of `bytes`, or of all of a ring that has fewer.
    fn new(bytes: u64, capacity: u64) -> Option<Self> {
        let narrow = bytes / NARROW_PART;
        (narrow < capacity).then_some(Self { bytes: bytes.min(capacity), narrow })
    }
}

/// The part of the ring that is in use.
#[derive(Debug)]
pub(super) struct Window {
    /// The part, if frames keep to one now.
    part: Option<Part>,
    /// One that is tried beside the whole ring.
    learned: Option<(Part, Trial)>,
    /// Offset at which the next lap begins.
    start: u64,
}

impl Window {
    pub(super) fn new(footprint: Footprint, capacity: u64) -> Self {
        let (part, learned) = match footprint {
            Footprint::Whole => (None, None),
            Footprint::Window(bytes) => (Part::new(bytes, capacity), None),
            Footprint::Learned { window, cached, now_ns } => {
                let part = Part::new(window, capacity);
                if capacity > SMALL_RING * window && capacity > cached() {
                    (part, part.map(|part| (part, Trial::new(now_ns, window))))
                } else {
                    // While readers wait for each frame, in any case.
                    let narrow = part.filter(|part| capacity > SMALL_RING * part.narrow);
                    (narrow.map(|part| Part { bytes: capacity, ..part }), None)
                }
            }
        };
        Self { part, learned, start: 0 }
    }

    /// The start of the ring's next lap, where the part in use ends. Within its narrow part that is of use only if readers
    /// wait for each frame.
    pub(super) fn detour(
        &mut self,
        frames: &FrameGeometry,
        tail: &Tail,
        len: u64,
    ) -> Option<Detour> {
        if let Some((part, trial)) = &mut self.learned {
            self.part = trial.takes_first(tail.bytes_committed).then_some(*part);
        }
        let part = self.part?;
        let offset = frames.offset(tail.position);
        let frame = tail.position.plus(frames.capacity - offset + self.start);
        let size = frames.extent(frame, len).end.since(frame);
        // In less than two frames both sides would take turns.
        let is_behind = offset >= part.narrow && offset >= size.saturating_mul(2);
        let only_if_all_is_released = offset + size <= part.bytes;
        is_behind.then_some(Detour { frame, only_if_all_is_released })
    }

    /// A lap of the window has begun. The next lap begins a cache line before this one: its last frame then ends before the word
    /// of the skip that ends this lap, and need not wait until readers have passed that skip.
    pub(super) fn begin_lap(&mut self) {
        let slack = self.part.map_or(0, |part| part.bytes / SLACK_PART) & !(CACHE_LINE - 1);
        self.start = if self.start == 0 { slack } else { self.start } - CACHE_LINE.min(slack);
    }

    /// From `offset` on, up to where frames go without a look at how near readers are.
    pub(super) fn step(&self, offset: u64) -> u64 {
        match self.part {
            None => u64::MAX,
            Some(Part { narrow, .. }) if offset < narrow => narrow,
            Some(Part { bytes, .. }) => offset + bytes / STEP_PART,
        }
    }
}
