//! A progress bar on a terminal, nothing in a pipe.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Counts frames and bytes, and shows them a few times a second.
#[derive(Debug)]
pub(crate) struct Meter {
    bar: Option<ProgressBar>,
    frames: u64,
    bytes: u64,
    unseen: u64,
    begun: Instant,
    shown: Instant,
}

const INTERVAL: Duration = Duration::from_millis(100);
/// The clock is looked at once per so many bytes (or 256 frames): small frames must not pay for the bar.
const LOOK_EVERY: u64 = 1 << 20;

impl Meter {
    /// `total` frames, or an open end.
    pub(crate) fn new(verb: &'static str, total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let (bar, template) = match total {
                Some(total) => (ProgressBar::new(total), "{prefix} {bar:30} {pos}/{len} {msg}"),
                None => (ProgressBar::new_spinner(), "{prefix} {spinner} {pos} {msg}"),
            };
            let style =
                ProgressStyle::with_template(template).expect("a constant template is valid");
            bar.with_style(style).with_prefix(verb)
        });
        let now = Instant::now();
        Self { bar, frames: 0, bytes: 0, unseen: 0, begun: now, shown: now }
    }

    /// One more frame.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes as u64;
        let Some(bar) = &self.bar else { return };
        self.unseen += (bytes as u64).max(LOOK_EVERY / 256);
        if self.unseen < LOOK_EVERY {
            return;
        }
        self.unseen = 0;
        let now = Instant::now();
        if now - self.shown < INTERVAL {
            return;
        }
        self.shown = now;
        let seconds = (now - self.begun).as_secs_f64();
        bar.set_position(self.frames);
        bar.set_message(format!(
            "frames, {:.0} frames/s, {:.2} GB/s",
            self.frames as f64 / seconds,
            self.bytes as f64 / seconds / 1e9
        ));
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
