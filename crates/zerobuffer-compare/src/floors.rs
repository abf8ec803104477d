//! What nobody can get below: a cache line moved from core to core, a copy, a futex and a semaphore (those two are in
//! `work/wake.rs`, beside what they are compared with).
//!
//! The cache line is also the ruler: a virtual machine's cores are moved between physical ones invisibly, and the cost
//! of a line with them, so it is probed before and after every sample.

use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::pair::Pair;
use crate::request::Request;
use crate::shared::Shared;
use crate::work::{Found, median};

/// The two words are a pair of lines apart, so that no prefetch moves both.
const PING: usize = 0;
const PONG: usize = 128;
/// Several short batches, of which the median counts: an interrupt spoils one, not the probe.
const BATCHES: u64 = 31;
const ROUNDS: u64 = 300;

/// Where the two cores lie to each other, as the cost of a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Placement {
    /// Under 42 ns a line, one way.
    Near,
    /// Under 85 ns.
    Mid,
    /// More.
    Far,
}

impl Placement {
    pub(crate) fn of(line_ns: f64) -> Self {
        match line_ns {
            ns if ns < 42.0 => Self::Near,
            ns if ns < 85.0 => Self::Mid,
            _ => Self::Far,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Mid => "mid",
            Self::Far => "far",
        }
    }
}

/// Spins until the word holds `value`; gives up after ten seconds, in which the other side must have died.
fn await_word(shared: &Shared, word: usize, value: u64) -> anyhow::Result<()> {
    let word = shared.word(word);
    let mut polls = 0_u64;
    let mut started = None;
    while word.load(Acquire) != value {
        std::hint::spin_loop();
        polls += 1;
        if polls.is_multiple_of(1 << 20) {
            let started = *started.get_or_insert_with(Instant::now);
            let patient = started.elapsed() < Duration::from_secs(10);
            anyhow::ensure!(patient, "the other process stopped answering");
        }
    }
    Ok(())
}

/// Cost of moving one line one way, in ns.
pub(crate) fn line(pair: &mut Pair) -> anyhow::Result<f64> {
    pair.shared.word(PING).store(0, Release);
    pair.shared.word(PONG).store(0, Release);
    pair.ask(&Request::Probe)?;
    pair.ready()?;
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

/// The other side of [`line()`].
pub(crate) fn answer(shared: &Shared) -> anyhow::Result<()> {
    for round in 1..=BATCHES * ROUNDS {
        await_word(shared, PING, round)?;
        shared.word(PONG).store(round, Release);
    }
    Ok(())
}

/// Bytes a second that one core copies, over blocks of this size in private memory, one after the other in as much
/// memory as a ring for them has.
pub(crate) fn copy(bytes: usize, ring: usize, millis: u64) -> Found {
    let from = vec![1_u8; bytes];
    let mut to = vec![0_u8; ring.max(bytes)];
    let (started, limit) = (Instant::now(), Duration::from_millis(millis));
    let mut rates = Vec::new();
    while started.elapsed() < limit || rates.len() < 2 {
        let lap = Instant::now();
        let mut copied = 0;
        for block in to.chunks_exact_mut(bytes) {
            block.copy_from_slice(std::hint::black_box(&from));
            copied += bytes;
        }
        std::hint::black_box(&to);
        rates.push(copied as f64 / lap.elapsed().as_secs_f64());
    }
    // The first lap was page faults.
    Found { value: median(&mut rates[1..]), ages: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::Placement;

    #[test]
    fn a_line_has_a_class() {
        let classes = [20.0, 41.9, 42.0, 84.9, 85.0, 300.0].map(Placement::of);
        use Placement::{Far, Mid, Near};
        assert_eq!(classes, [Near, Near, Mid, Mid, Far, Far]);
    }
}
