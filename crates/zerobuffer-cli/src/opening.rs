//! Getting hold of a buffer: create it, join it, or wait for it to appear and say so.

use std::path::Path;
use std::time::{Duration, Instant};

use zerobuffer::{BufferConfig, OpenError, printable};

use crate::messages::say;
use crate::signals::{self, SLICE};
use crate::sizes;

/// Repeats `attempt` while there is no such buffer. `None`: a signal came first.
///
/// Each attempt may itself wait for the time it is given.
pub(crate) fn wait_for<T>(
    name: &str,
    dir: &Path,
    patience: Option<Duration>,
    hint: &str,
    attempt: impl Fn(Duration) -> Result<T, OpenError>,
) -> Result<Option<T>, OpenError> {
    let begun = Instant::now();
    let mut told = false;
    loop {
        let left = patience.map_or(SLICE, |limit| limit.saturating_sub(begun.elapsed()).min(SLICE));
        match attempt(if told { left } else { Duration::ZERO }) {
            Err(error) if error.is_not_found() && !left.is_zero() => {
                if !told {
                    say(format_args!("waiting for buffer `{name}` in {} ({hint})", printable(dir)));
                    told = true;
                }
            }
            result => return result.map(Some),
        }
        if signals::stopping() {
            return Ok(None);
        }
    }
}

/// Joins the buffer or creates it, whichever works: another process may be doing the same right now.
pub(crate) fn join_or_create<T>(
    join: impl Fn() -> Result<T, OpenError>,
    create: impl Fn() -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    match join() {
        Err(error) if error.is_not_found() => {}
        result => return result,
    }
    match create() {
        Err(OpenError::ConfigMismatch { .. }) => join(),
        result => result,
    }
}

/// Creates with the largest ring that fits, at most `wanted` bytes; says so when it is less.
///
/// Only for sizes that nobody asked for: the contract's default is larger than what containers have.
pub(crate) fn create_what_fits<T>(
    config: &BufferConfig,
    wanted: usize,
    create: impl Fn(&BufferConfig) -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    /// Below this a test frame of the contract's default size no longer fits comfortably.
    const LEAST: usize = 64 << 10;
    let mut bytes = wanted;
    loop {
        match create(&config.clone().payload_bytes(bytes)) {
            Err(error @ OpenError::NoSpace { .. }) if bytes / 2 < LEAST => return Err(error),
            Err(OpenError::NoSpace { .. }) => bytes /= 2,
            Ok(created) => {
                if bytes < wanted {
                    say(format_args!(
                        "warning: no room for a ring of {}; this one has {}",
                        sizes::show(wanted as u64),
                        sizes::show(bytes as u64)
                    ));
                }
                return Ok(created);
            }
            Err(error) => return Err(error),
        }
    }
}
