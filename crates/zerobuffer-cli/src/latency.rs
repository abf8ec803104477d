//! Commit-to-receive latency: what is collected and how it is shown.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Ages of frames, in nanoseconds, kept to three digits.
#[derive(Debug)]
pub(crate) struct Latencies {
    known: Histogram<u64>,
    /// Frames with a time stamp that cannot be compared with the clock here.
    unknown: u64,
}

/// Commit-to-receive latency as it stands in a report; nothing where frames have no time stamps.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Latency {
    /// `null`: they have, but their age is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_us: Option<Option<Percentiles>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_unknown: Option<&'static str>,
}

/// Why an age is not known.
pub(crate) const UNKNOWN: &str =
    "the clocks of writer and reader cannot be compared (time namespaces, sandboxes, or no /proc)";

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
        let known = Histogram::new_with_max(LONGEST_NS, 3).expect("constant bounds are valid");
        Self { known, unknown: 0 }
    }

    pub(crate) fn record(&mut self, age: Duration) {
        self.known.saturating_record(u64::try_from(age.as_nanos()).unwrap_or(LONGEST_NS));
    }

    /// Of a frame of a buffer with time stamps; without an age where that is not known.
    pub(crate) fn note(&mut self, age: Option<Duration>) {
        match age {
            Some(age) => self.record(age),
            None => self.unknown += 1,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.known.reset();
        self.unknown = 0;
    }

    /// For a report.
    pub(crate) fn latency(&self) -> Latency {
        let known = self.percentiles();
        let has_stamps = known.is_some() || self.unknown > 0;
        Latency {
            latency_us: has_stamps.then_some(known),
            latency_unknown: (self.unknown > 0).then_some(UNKNOWN),
        }
    }

    /// Nothing when no frame had a time stamp.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        if self.known.is_empty() {
            return None;
        }
        let at = |quantile| self.known.value_at_quantile(quantile) as f64 / 1000.0;
        Some(Percentiles {
            frames: self.known.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.known.max() as f64 / 1000.0,
        })
    }
}

impl Latency {
    /// For people.
    pub(crate) fn shown(&self) -> Option<String> {
        Some(match (self.latency_us?, self.latency_unknown) {
            (Some(known), None) => known.to_string(),
            (Some(known), Some(why)) => {
                format!("{known} ({} frames; of the others not known: {why})", known.frames)
            }
            (None, why) => format!("not known: {}", why.unwrap_or(UNKNOWN)),
        })
    }

    /// The same, as a line behind others.
    pub(crate) fn line(&self) -> String {
        self.shown().map(|shown| format!("\nlatency {shown}")).unwrap_or_default()
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
