//! Commit-to-receive latency: what is collected and how it is shown.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Ages of frames, in nanoseconds, kept to three digits.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

/// Percentiles in microseconds, as they stand in the JSON.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) frames: u64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// One minute: a frame that old waited for a reader, and how long exactly no longer matters.
const LONGEST_NS: u64 = 60_000_000_000;

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_max(LONGEST_NS, 3).expect("constant bounds are valid"))
    }

    pub(crate) fn record(&mut self, age: Duration) {
        self.0.saturating_record(u64::try_from(age.as_nanos()).unwrap_or(LONGEST_NS));
    }

    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    /// Nothing when no frame had a time stamp.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        if self.0.is_empty() {
            return None;
        }
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1000.0;
        Some(Percentiles {
            frames: self.0.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.0.max() as f64 / 1000.0,
        })
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (p50, p99, max) = (show(self.p50), show(self.p99), show(self.max));
        write!(f, "p50 {p50}, p99 {p99}, max {max}")
    }
}

fn show(us: f64) -> String {
    if us < 1000.0 { format!("{us:.1} µs") } else { format!("{:.2} ms", us / 1000.0) }
}
