//! Which of two ways to use the ring moves more bytes in the same time: found out by trying.

/// Windows for whose bytes the other way is used before it is timed: what the one left in the caches is gone by then.
const WARM_UP: u64 = 2;
/// Part of a window whose bytes are a sample, and samples of each way that are timed. The fastest counts: in others the caller
/// did something else.
const SAMPLE_PART: u64 = 2;
const SAMPLES: u32 = 4;
/// Windows between two trials: at first, and at most. Twice as many each time that a trial changed nothing.
const FIRST_PAUSE: u64 = 8;
const LONGEST_PAUSE: u64 = 512;
/// The other way is taken if it needs less than this part of the time. And a trial ends early if the other way needs so many
/// times as long.
const BETTER: f64 = 0.9;
const WORSE: f64 = 1.5;

#[derive(Debug, Clone, Copy)]
enum Phase {
    Pause,
    /// The way in use is timed.
    TimesUsed(Samples),
    /// The other way is in use, after one that took so many nanoseconds a byte.
    WarmsUp {
        used: f64,
    },
    /// It is timed.
    TimesOther {
        used: f64,
        samples: Samples,
    },
}

/// Samples of one way.
#[derive(Debug, Clone, Copy)]
struct Samples {
    /// When the one under way began.
    from_ns: u64,
    left: u32,
    /// Least nanoseconds for a byte.
    least: f64,
}

impl Samples {
    fn begin(now_ns: u64) -> Self {
        Self { from_ns: now_ns, left: SAMPLES, least: f64::INFINITY }
    }

    fn with(self, bytes: u64, now_ns: u64) -> Self {
        let time = now_ns.saturating_sub(self.from_ns) as f64 / bytes as f64;
        Self { from_ns: now_ns, left: self.left - 1, least: self.least.min(time) }
    }
}

/// A choice between two ways. Rates of a caller that sends at its own pace are the same either way; then the choice stays.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial {
    now_ns: fn() -> u64,
    /// Bytes of the window that is one of the ways.
    window: u64,
    /// The way in use.
    first: bool,
    phase: Phase,
    /// Bytes that had been committed when the phase, or its last sample, began.
    begun: u64,
    /// Until the next trial, in windows.
    pause: u64,
}

impl Trial {
    /// Begins with the first way. `now_ns` tells the time in nanoseconds.
    pub(super) fn new(now_ns: fn() -> u64, window: u64) -> Self {
        Self { now_ns, window, first: true, phase: Phase::Pause, begun: 0, pause: FIRST_PAUSE }
    }

    /// Whether to use the first way now that `bytes` have been committed.
    pub(super) fn takes_first(&mut self, bytes: u64) -> bool {
        let done = bytes.wrapping_sub(self.begun);
        let enough = match self.phase {
            Phase::Pause => self.pause * self.window,
            Phase::WarmsUp { .. } => WARM_UP * self.window,
            Phase::TimesUsed(_) | Phase::TimesOther { .. } => self.window / SAMPLE_PART,
        };
        if done >= enough {
            self.begun = bytes;
            self.phase = self.next(done);
        }
        let tries = matches!(self.phase, Phase::WarmsUp { .. } | Phase::TimesOther { .. });
        self.first != tries
    }

    /// The next phase, after one in which `bytes` were committed.
    fn next(&mut self, bytes: u64) -> Phase {
        let now_ns = (self.now_ns)();
        match self.phase {
            Phase::Pause => Phase::TimesUsed(Samples::begin(now_ns)),
            Phase::TimesUsed(samples) => match samples.with(bytes, now_ns) {
                Samples { left: 0, least, .. } => Phase::WarmsUp { used: least },
                samples => Phase::TimesUsed(samples),
            },
            Phase::WarmsUp { used } => Phase::TimesOther { used, samples: Samples::begin(now_ns) },
            Phase::TimesOther { used, samples } => {
                let samples = samples.with(bytes, now_ns);
                if samples.left > 0 && samples.least <= used * WORSE {
                    return Phase::TimesOther { used, samples };
                }
                if samples.least < used * BETTER {
                    self.first = !self.first;
                    self.pause = FIRST_PAUSE;
                } else {
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
                Phase::Pause
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const WINDOW: u64 = 4 << 20;

    thread_local!(static NOW_NS: Cell<u64> = const { Cell::new(0) });

    /// Commits 64 GiB in steps of 64 KiB, which take so many nanoseconds in each way; the part of them that went the first way.
    fn share_of_first(
        trial: &mut Trial,
        committed: &mut u64,
        first_ns: u64,
        second_ns: u64,
    ) -> f64 {
        const STEP: u64 = 64 << 10;
        const STEPS: u64 = 1 << 20;
        let mut firsts = 0;
        for _ in 0..STEPS {
            let first = trial.takes_first(*committed);
            *committed = committed.wrapping_add(STEP);
            firsts += u64::from(first);
            NOW_NS.set(NOW_NS.get() + if first { first_ns } else { second_ns });
        }
        firsts as f64 / STEPS as f64
    }

    #[test]
    fn the_faster_way_is_found_and_found_again_when_it_changes() {
        let mut trial = Trial::new(|| NOW_NS.get(), WINDOW);
        let mut committed = u64::MAX - (1 << 30);
        assert!(share_of_first(&mut trial, &mut committed, 1000, 4000) > 0.99);
        assert!(share_of_first(&mut trial, &mut committed, 4000, 1000) < 0.15);
        assert!(share_of_first(&mut trial, &mut committed, 4000, 1000) < 0.01);
        assert!(share_of_first(&mut trial, &mut committed, 1000, 1300) > 0.85);
    }

    #[test]
    fn a_caller_that_keeps_its_own_pace_changes_nothing() {
        let mut trial = Trial::new(|| NOW_NS.get(), WINDOW);
        assert!(share_of_first(&mut trial, &mut 0, 50_000, 50_000) > 0.99);
    }
}
