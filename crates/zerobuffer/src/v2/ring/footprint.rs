//! How much of a large ring a writer uses.

use super::lap::is_large;
use super::nearness::Nearness;
use super::producer::Tail;
use crate::v2::layout::CACHE_LINE;
use crate::v2::memory::Memory;

/// Part of a window that is enough while readers wait for each frame, and how often it is looked behind that whether they do.
const NARROW_PART: u64 = 4;
const STEP_PART: u64 = 16;
/// Part of a window in which its laps begin.
const SLACK_PART: u64 = 64;
/// A ring of two windows at most is in the cache anyway, and one of two narrow ones in that of one core.
const SMALL_RING: u64 = 2;
/// Between two looks at the clock, beside a window's bytes.
const FRAMES_PER_LOOK: u64 = 16;
/// Frames that come faster than this, in bytes a nanosecond, are not filled: no core writes as fast. A loan may be of a place
/// whose bytes are to be left as they are, and then a window saves nothing, and its skips cost more than the loans.
const FASTEST_FILL: u64 = 80;

/// How a writer uses a large ring.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Footprint {
    /// All of it, lap after lap.
    Whole,
    /// Its first bytes, at least this many, while readers keep up.
    Window(u64),
    /// A `window` for frames that are better off in one. Rings of up to `cached()` bytes are in the cache anyway: of them only as
    /// much as is enough while readers wait for each frame. It is asked where the ring is large enough for that to matter.
    Suited { window: u64, cached: fn() -> u64 },
}

/// The first bytes of a ring.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// While readers keep up.
    bytes: u64,
    /// While they wait for each frame.
    narrow: u64,
}

impl Window {
    /// One of `bytes`, or of all of a ring that has fewer.
    fn new(bytes: u64, capacity: u64) -> Option<Self> {
        let narrow = bytes / NARROW_PART;
        (narrow < capacity).then_some(Self { bytes: bytes.min(capacity), narrow })
    }

    /// One that is of use in a ring of `capacity` bytes.
    fn suited(bytes: u64, cached: fn() -> u64, capacity: u64) -> Option<Self> {
        let window = Self::new(bytes, capacity)?;
        if capacity > SMALL_RING * bytes && capacity > cached() {
            Some(window)
        } else if capacity > SMALL_RING * window.narrow {
            Some(Self { bytes: capacity, ..window })
        } else {
            None
        }
    }
}

/// The part of the ring that is in use.
#[derive(Debug)]
pub(super) struct Part {
    /// The window, if frames keep to one.
    window: Option<Window>,
    /// That of frames that are better off in one.
    suited: Option<Window>,
    /// Offset at which the next lap of a window begins.
    start: u64,
    /// Whether frames are copied past the caches.
    pub(super) is_past_caches: bool,
    /// Whether frames are filled, and what had been committed at the last look.
    are_filled: bool,
    frames: u64,
    bytes: u64,
    looked_ns: u64,
    nearness: Nearness,
}

impl Part {
    pub(super) fn new(footprint: Footprint, capacity: u64) -> Self {
        let (window, suited) = match footprint {
            Footprint::Whole => (None, None),
            Footprint::Window(bytes) => (Window::new(bytes, capacity), None),
            Footprint::Suited { window, cached } => {
                (None, Window::suited(window, cached, capacity))
            }
        };
        Self {
            window,
            suited,
            start: 0,
            is_past_caches: false,
            are_filled: true,
            frames: 0,
            bytes: 0,
            looked_ns: 0,
            nearness: Nearness::default(),
        }
    }

    /// Chooses anew, for a frame of `len` bytes behind `tail`; `look` looks at the readers.
    pub(super) fn suit(&mut self, memory: &impl Memory, tail: &Tail, len: u64, look: impl Fn()) {
        let Some(window) = self.suited else { return };
        let frames = tail.next.wrapping_sub(self.frames);
        let bytes = tail.bytes_committed.wrapping_sub(self.bytes);
        if frames >= FRAMES_PER_LOOK && bytes >= window.bytes {
            let now_ns = memory.now_ns();
            let took_ns = now_ns.saturating_sub(self.looked_ns);
            self.are_filled = bytes <= took_ns.saturating_mul(FASTEST_FILL);
            (self.frames, self.bytes, self.looked_ns) = (tail.next, tail.bytes_committed, now_ns);
            self.nearness.time(memory, look);
        }
        // Where the cores are far apart, the more time goes by until a line is used again the better; large frames go past the caches
        // then.
        let is_better = is_large(memory.frames(), len) || self.nearness.is_near();
        let is_suited = is_better && self.are_filled && !self.is_past_caches;
        self.window = is_suited.then_some(window);
    }

    /// Offset at which the next lap of a window begins.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// A lap has begun. The next one does a line before it, or its last frame would have to wait until the skip behind this one's
    /// last, where its terminator goes, is passed.
    pub(super) fn begin_again(&mut self) {
        let slack = self.window.map_or(0, |window| window.bytes / SLACK_PART) & !(CACHE_LINE - 1);
        self.start = if self.start == 0 { slack } else { self.start } - CACHE_LINE.min(slack);
    }

    /// Offset beyond which no frame goes while readers are near.
    pub(super) fn window(&self) -> u64 {
        self.window.map_or(u64::MAX, |window| window.bytes)
    }

    /// Offset beyond which no frame goes while readers wait for each.
    pub(super) fn narrow(&self) -> u64 {
        self.window.map_or(u64::MAX, |window| window.narrow)
    }

    /// From `offset` on, up to where frames go without a look at how near readers are.
    pub(super) fn step(&self, offset: u64) -> u64 {
        match self.window {
            None => u64::MAX,
            Some(Window { narrow, .. }) if offset < narrow => narrow,
            Some(Window { bytes, .. }) => offset + bytes / STEP_PART,
        }
    }
}
