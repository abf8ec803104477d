//! Rounds, one after the other: how long one takes, and how long the slow ones take.

use std::time::{Duration, Instant};

use super::ages::Ages;
use super::{Found, median};

/// Times `round`, of which each goes so many `ways` that are told apart, for `millis`; `warm_up`: rounds before, at most.
pub(crate) fn time(
    warm_up: u64,
    ways: u32,
    millis: u64,
    mut round: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Found> {
    // So many rounds or a quarter of the time, so that neither page faults nor cold code are measured.
    let (begun, quarter) = (Instant::now(), Duration::from_millis(millis) / 4);
    let mut warmed = 0_u64;
    while warmed < warm_up && (warmed < 10 || begun.elapsed() < quarter) {
        round()?;
        warmed += 1;
    }
    let one_round = begun.elapsed().as_nanos() / u128::from(warmed);

    // Half of the time in batches between two readings of the clock, of which the median is the headline; half
    // with a reading each round, for the percentiles.
    let half = Duration::from_millis(millis) / 2;
    let rounds = (1_000_000 / one_round.max(1)).clamp(1, 1000) as u32;
    let (mut batches, started) = (Vec::new(), Instant::now());
    while started.elapsed() < half || batches.is_empty() {
        let batch = Instant::now();
        for _ in 0..rounds {
            round()?;
        }
        batches.push(batch.elapsed().as_nanos() as f64 / f64::from(ways * rounds));
    }
    let mut ages = Ages::new();
    let started = Instant::now();
    let mut before = started;
    while before - started < half || ages.len() < 10 {
        round()?;
        let now = Instant::now();
        ages.note((now - before).as_nanos() as u64 / u64::from(ways));
        before = now;
    }
    Ok(Found { value: median(&mut batches), ages: ages.counts() })
}
