//! What time it is, and how long something takes.

use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970.
pub(crate) fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}

/// Nanoseconds of `CLOCK_MONOTONIC`, the same for all processes of this boot and time namespace; see [`clock`](super::clock).
#[inline]
pub(crate) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// As [`monotonic_ns`], of the last tick: some milliseconds old, for a fraction of the price.
#[inline]
pub(crate) fn coarse_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// How long `work` takes until what it loads is there, and what it stores has reached the caches, or the memory.
pub(crate) fn time(work: impl FnOnce()) -> Duration {
    // Stores before it are not its own.
    fence(Ordering::SeqCst);
    let begun = Instant::now();
    // Nor is anything of it done before the clock was read.
    fence(Ordering::SeqCst);
    work();
    fence(Ordering::SeqCst);
    begun.elapsed()
}
