//! Which stores large frames are copied in with: those that go through the caches, or past them.
//!
//! Where Writer and readers share a cache, ordinary stores are the better ones, as the readers find the frame in the
//! cache. Where their cores lie far from each other every line has to be fetched from over there before it can be
//! written, a few at a time; streaming stores need not wait for that, and are several times as fast. Nobody tells a
//! program where its cores lie, and the system moves threads. So both ways are tried now and then, and timed.

use std::time::Duration;

use crate::sys::{copy, streaming, time};
use crate::values::config::StreamingStores;

/// Frames from this length on are copied in one way or the other; shorter ones at once, without a look at anything else.
pub(crate) const LARGE: usize = copy::SHORT;
/// Copies that are timed of each way. The fastest of them counts: others may have been interrupted.
const COPIES: u32 = 4;
/// A way is used for so many bytes of the ring, once round, before it is timed: how fast the one is depends on where the
/// other left the lines. Behind a longer lap no cache remembers.
const LONGEST_LAP: u64 = 32 << 20;
/// Laps until the way in use is timed again, at most. At first there is one, and so many times as many each time that a
/// trial changed nothing.
const MOST_LAPS: u64 = 64;
const MORE_LAPS: u64 = 8;
/// The other way is tried only if the one in use takes this many times as long as it did, or as little of it; or once in so
/// many times. For the copies of a trial take several times as long, and those of the next lap do.
const SAME: f64 = 1.5;
const MOST_SAME: u32 = 32;
/// What the Writer saves by going past the caches the readers pay for in part, who fetch the frame from memory. So it has
/// to be more than this many times as fast to be taken, and to be less than that many times to be given up.
const TAKEN_FROM: f64 = 2.2;
const GIVEN_UP_BELOW: f64 = 1.8;

/// A way to copy a frame in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ThroughCaches,
    PastCaches,
}

impl Way {
    fn other(self) -> Self {
        match self {
            Self::ThroughCaches => Self::PastCaches,
            Self::PastCaches => Self::ThroughCaches,
        }
    }
}

/// What to do with the next copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Copy(Way),
    /// And note how long it took until the bytes had reached where they go.
    Time(Way),
}

/// Timed copies of one way.
#[derive(Debug, Clone, Copy)]
struct Timed {
    copies: u32,
    /// Least time for a byte.
    least: f64,
}

impl Timed {
    const NONE: Self = Self { copies: 0, least: f64::INFINITY };

    fn with(self, bytes: usize, took: Duration) -> Self {
        let time = took.as_secs_f64() / bytes as f64;
        Self { copies: self.copies + 1, least: self.least.min(time) }
    }
}

/// How far a trial has come.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// There are none: the way is prescribed.
    Never,
    /// None, for so many bytes.
    Between { left: u64 },
    /// The way in use is timed.
    TimesUsed(Timed),
    /// The other one goes round the ring once, for so many bytes.
    Other { left: u64, used: Timed },
    /// It is timed.
    TimesOther { used: Timed, other: Timed },
}

/// Chooses the way, and learns which one is faster.
#[derive(Debug)]
pub(crate) struct Copying {
    way: Way,
    lap: u64,
    /// Until the way in use is timed again.
    laps: u64,
    /// How long it took in the last trial, and how often it was about as long since.
    least: f64,
    same: u32,
    phase: Phase,
    streamed: u64,
}

impl Copying {
    /// For a ring of `capacity` bytes.
    pub(crate) fn new(wish: StreamingStores, capacity: u64) -> Self {
        let (way, learns) = match wish {
            StreamingStores::Auto => (Way::ThroughCaches, streaming::IS_THERE),
            StreamingStores::Never => (Way::ThroughCaches, false),
            StreamingStores::Always => (Way::PastCaches, false),
        };
        let lap = capacity.min(LONGEST_LAP);
        let phase = if learns { Phase::Between { left: lap } } else { Phase::Never };
        Self { way, lap, laps: 1, least: 0.0, same: 0, phase, streamed: 0 }
    }

    /// Copies `bytes` bytes in: `copy` does it, by the way that it is told and that is returned.
    pub(crate) fn run(&mut self, bytes: usize, copy: impl FnOnce(Way)) -> Way {
        debug_assert!(bytes >= LARGE, "others need no choice");
        let next = self.next(bytes);
        let (Next::Copy(way) | Next::Time(way)) = next;
        self.streamed += u64::from(way == Way::PastCaches);
        match next {
            Next::Copy(way) => copy(way),
            Next::Time(way) => {
                let took = time::time(|| copy(way));
                self.note(bytes, took);
            }
        }
        way
    }

    /// How many went past the caches.
    pub(crate) fn streamed(&self) -> u64 {
        self.streamed
    }

    /// How to copy the next `bytes`.
    fn next(&mut self, bytes: usize) -> Next {
        let (used, other) = (self.way, self.way.other());
        match &mut self.phase {
            Phase::Never => Next::Copy(used),
            Phase::Between { left } => {
                *left = left.saturating_sub(bytes as u64);
                if *left == 0 {
                    self.phase = Phase::TimesUsed(Timed::NONE);
                }
                Next::Copy(used)
            }
            Phase::TimesUsed(_) => Next::Time(used),
            Phase::Other { left, used } => {
                *left = left.saturating_sub(bytes as u64);
                if *left == 0 {
                    self.phase = Phase::TimesOther { used: *used, other: Timed::NONE };
                }
                Next::Copy(other)
            }
            Phase::TimesOther { .. } => Next::Time(other),
        }
    }

    /// Notes that the copy that was to be timed took so long.
    fn note(&mut self, bytes: usize, took: Duration) {
        self.phase = match self.phase {
            Phase::TimesUsed(used) => match used.with(bytes, took) {
                used if used.copies < COPIES => Phase::TimesUsed(used),
                used if self.is_same(used.least) => Phase::Between { left: self.laps * self.lap },
                used => Phase::Other { left: self.lap, used },
            },
            Phase::TimesOther { used, other } => match other.with(bytes, took) {
                other if other.copies < COPIES => Phase::TimesOther { used, other },
                other => self.decide(used.least, other.least),
            },
            phase => phase,
        };
    }

    /// Whether nothing has changed since the last trial, as it seems.
    fn is_same(&mut self, used: f64) -> bool {
        self.same += 1;
        let is_same = used < SAME * self.least && self.least < SAME * used;
        self.laps == MOST_LAPS && is_same && self.same < MOST_SAME
    }

    /// The end of a trial.
    fn decide(&mut self, used: f64, other: f64) -> Phase {
        let changes = match self.way {
            Way::ThroughCaches => used > TAKEN_FROM * other,
            Way::PastCaches => other < GIVEN_UP_BELOW * used,
        };
        (self.least, self.same) = (if changes { other } else { used }, 0);
        if changes {
            (self.way, self.laps) = (self.way.other(), 1);
        } else {
            self.laps = (MORE_LAPS * self.laps).min(MOST_LAPS);
        }
        Phase::Between { left: self.laps * self.lap }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = 64 << 10;
    const LAP: u32 = 16;
    const RING: u64 = LAP as u64 * FRAME as u64;

    /// Copies `count` frames, which take so many ns through the caches and past them; how many went past.
    fn copy(copying: &mut Copying, count: u32, through: u64, past: u64) -> u32 {
        let copies = (0..count).map(|index| {
            let took = |way| match way {
                Way::ThroughCaches => through,
                Way::PastCaches => past,
            };
            match copying.next(FRAME) {
                Next::Copy(way) => way,
                Next::Time(way) => {
                    // Now and then somebody else had the processor.
                    let interrupted = if index % 3 == 0 { 50_000 } else { 0 };
                    copying.note(FRAME, Duration::from_nanos(took(way) + interrupted));
                    way
                }
            }
        });
        copies.filter(|way| *way == Way::PastCaches).count() as u32
    }

    /// Until a change is found out, at the longest: by a trial, or before the next one by what the way in use takes.
    const LATE: u32 = MOST_SAME * MOST_LAPS as u32 * LAP;
    const SOON: u32 = (MOST_LAPS as u32 + 2) * LAP + 3 * COPIES;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_faster_way_is_found_and_found_again_when_the_cores_moved() {
        let mut copying = Copying::new(StreamingStores::Auto, RING);
        let near = |copying: &mut Copying| copy(copying, 100_000, 2_000, 3_500);
        let far = |copying: &mut Copying| copy(copying, 100_000, 37_000, 3_000);
        assert!(near(&mut copying) < 500);
        copy(&mut copying, SOON, 37_000, 3_000);
        assert!(far(&mut copying) > 99_500);
        copy(&mut copying, LATE + SOON, 2_000, 3_000);
        assert!(near(&mut copying) < 500);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn what_the_readers_would_pay_for_changes_nothing() {
        let mut copying = Copying::new(StreamingStores::Auto, RING);
        let past = copy(&mut copying, 100_000, 3_000, 1_500);
        // Trials only, a lap of each: two at first, then one in a long while.
        let trials = 2 + 100_000 / LATE;
        assert_eq!(past, trials * (LAP + COPIES));
    }

    #[test]
    fn what_is_prescribed_is_never_tried() {
        let mut copying = Copying::new(StreamingStores::Never, RING);
        assert_eq!(copy(&mut copying, 100_000, 37_000, 3_000), 0);
        let mut copying = Copying::new(StreamingStores::Always, RING);
        assert_eq!(copy(&mut copying, 100_000, 2_000, 3_500), 100_000);
    }
}
