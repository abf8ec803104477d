//! What moving one cache line from core to core costs: the ruler every other result is read against.
//!
//! A virtual machine's cores are moved between physical ones within seconds and invisibly, and the cost of
//! a line with them, by up to ten times. So the line is probed before and after every case between the
//! same two processes, each result is filed under the class it was measured in, and one whose class
//! changed in between counts for nothing.

use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::peer::{Pair, Request};
use super::raw::Shared;

/// The parent's word; the peer's is a line pair away, so that no prefetch moves both.
const PING: usize = 0;
const PONG: usize = 128;
/// Several short batches, of which the median counts: an interrupt spoils one, not the probe.
const BATCHES: u64 = 31;
const ROUNDS: u64 = 300;

/// Where the two cores lie to each other, as the cost of a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Placement {
    /// 20 to 42 ns a line, one way.
    Near,
    /// 42 to 85 ns.
    Mid,
    /// 200 to 330 ns.
    Far,
    /// Anything else.
    Other,
    /// Not the same before and after: the sample is left out.
    Changed,
}

impl Placement {
    /// The class of one probe.
    pub(super) fn of(line_ns: f64) -> Self {
        match line_ns {
            ns if (20.0..42.0).contains(&ns) => Self::Near,
            ns if (42.0..85.0).contains(&ns) => Self::Mid,
            ns if (200.0..330.0).contains(&ns) => Self::Far,
            _ => Self::Other,
        }
    }

    /// The class of what was measured between two probes.
    pub(super) fn between(before_ns: f64, after_ns: f64) -> Self {
        let (before, after) = (Self::of(before_ns), Self::of(after_ns));
        let ratio = before_ns.max(after_ns) / before_ns.min(after_ns).max(1e-9);
        if before != after || (before == Self::Other && ratio > 1.5) {
            Self::Changed
        } else {
            before
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Mid => "mid",
            Self::Far => "far",
            Self::Other => "other",
            Self::Changed => "changed",
        }
    }
}

/// Spins until `word` holds `value`; gives up after ten seconds, in which a peer must have died.
fn await_word(shared: &Shared, word: usize, value: u64) -> anyhow::Result<()> {
    let word = shared.word(word);
    let mut polls = 0_u64;
    let mut started = None;
    while word.load(Acquire) != value {
        std::hint::spin_loop();
        polls += 1;
        if polls.is_multiple_of(1 << 20) {
            let started = *started.get_or_insert_with(Instant::now);
            anyhow::ensure!(
                started.elapsed() < Duration::from_secs(10),
                "the other process of the measurement stopped answering"
            );
        }
    }
    Ok(())
}

/// Cost of moving one line one way, in ns: the median of some short batches.
pub(super) fn probe(pair: &mut Pair) -> anyhow::Result<f64> {
    pair.shared.word(PING).store(0, Release);
    pair.shared.word(PONG).store(0, Release);
    pair.start(&Request::Probe)?;
    let mut batches = Vec::with_capacity(BATCHES as usize);
    let mut round = 0;
    for _ in 0..BATCHES {
        let started = Instant::now();
        for _ in 0..ROUNDS {
            round += 1;
            pair.shared.word(PING).store(round, Release);
            await_word(&pair.shared, PONG, round)?;
        }
        batches.push(started.elapsed().as_nanos() as f64 / (2 * ROUNDS) as f64);
    }
    pair.finish()?;
    Ok(median(&mut batches))
}

/// The peer's side of [`probe`].
pub(super) fn answer(shared: &Shared) -> anyhow::Result<()> {
    for round in 1..=BATCHES * ROUNDS {
        await_word(shared, PING, round)?;
        shared.word(PONG).store(round, Release);
    }
    Ok(())
}

/// The middle value; of an even number, the mean of the two in the middle. Zero of none.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        n if n.is_multiple_of(2) => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::Placement;

    #[test]
    fn a_case_is_filed_under_the_class_of_both_probes() {
        assert_eq!(Placement::between(30.0, 35.0), Placement::Near);
        assert_eq!(Placement::between(60.0, 70.0), Placement::Mid);
        assert_eq!(Placement::between(210.0, 300.0), Placement::Far);
        assert_eq!(Placement::between(100.0, 120.0), Placement::Other);
        assert_eq!(Placement::between(41.0, 43.0), Placement::Changed);
        assert_eq!(Placement::between(90.0, 190.0), Placement::Changed);
    }
}
