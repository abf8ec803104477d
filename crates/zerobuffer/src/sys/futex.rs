//! Sleeping on a word of shared memory.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::futex;

/// Sleeps while `word` is `expected`, at most `limit`. False when the limit passed.
///
/// The flag PRIVATE stays off: the waker is another process.
pub(crate) fn wait(word: &AtomicU32, expected: u32, limit: Duration) -> bool {
    let limit = rustix::time::Timespec {
        tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    };
    let result = futex::wait(word, futex::Flags::empty(), expected, Some(&limit));
    result != Err(Errno::TIMEDOUT)
}

/// Wakes whoever sleeps on `word`.
pub(crate) fn wake(word: &AtomicU32) {
    // Cannot fail for a mapped, aligned word; and nobody to wake is no failure.
    let _ = futex::wake(word, futex::Flags::empty(), i32::MAX as u32);
}
