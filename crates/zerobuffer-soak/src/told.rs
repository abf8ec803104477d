//! What a process tells once a second, as a line of JSON on its standard output.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// One second of a process, and what it came to so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Frames written or read, or turns of whoever does something else.
    pub(crate) done: u64,
    /// Frames that were not as they should be.
    pub(crate) wrong: u64,
    /// The first thing that was wrong, in words.
    pub(crate) first_wrong: Option<String>,
    /// Times that memory was refused, for the glutton.
    pub(crate) refused: u64,
    /// Latency of this second's frames in microseconds: median and 99th percentile.
    pub(crate) p50_us: Option<f64>,
    /// The 99th percentile.
    pub(crate) p99_us: Option<f64>,
}

/// Collects that.
pub(crate) struct Teller {
    told: Told,
    latencies: Histogram<u64>,
    last: Instant,
}

impl Teller {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let latencies = Histogram::new_with_max(60_000_000_000, 3).context("a histogram")?;
        Ok(Self { told: Told::default(), latencies, last: Instant::now() })
    }

    pub(crate) fn done(&mut self, age: Option<Duration>) {
        self.told.done += 1;
        if let Some(age) = age {
            self.latencies.saturating_record(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn refused(&mut self) {
        self.told.refused += 1;
    }

    pub(crate) fn wrong(&mut self, text: impl FnOnce() -> String) {
        self.told.wrong += 1;
        self.told.first_wrong.get_or_insert_with(text);
    }

    /// Once a second.
    pub(crate) fn tell_if_due(&mut self) -> anyhow::Result<()> {
        if self.last.elapsed() >= Duration::from_secs(1) { self.tell() } else { Ok(()) }
    }

    pub(crate) fn tell(&mut self) -> anyhow::Result<()> {
        self.last = Instant::now();
        let at = |quantile| {
            (!self.latencies.is_empty())
                .then(|| self.latencies.value_at_quantile(quantile) as f64 / 1000.0)
        };
        (self.told.p50_us, self.told.p99_us) = (at(0.5), at(0.99));
        self.latencies.reset();
        let mut out = std::io::stdout();
        writeln!(out, "{}", serde_json::to_string(&self.told)?).context("nobody listens")?;
        out.flush().context("nobody listens")
    }
}
