//! Words of shared memory, read and slept on.
//!
//! # Safety
//! An address comes from [`zerobuffer::WaitWord`], which promises that it can be read as long as its endpoint exists. The
//! [hub](crate::hub) reads it with its table locked, and an endpoint's place in the table is given up, with the table
//! locked, before the endpoint is dropped. The kernel is also given addresses that may be stale by then: it checks them.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::futex::{Wait, WaitFlags, WaitPtr, WaitvFlags, waitv};
use rustix::time::{ClockId, Timespec, clock_gettime};
use zerobuffer::WaitWord;

/// Most words that one call can wait for.
pub(crate) const MOST_WORDS: usize = 128;

/// Whether the sleeper on `word` was called.
///
/// # Safety
/// The endpoint that `word` came from exists until this returns.
pub(crate) unsafe fn is_called(word: WaitWord) -> bool {
    let atomic = std::ptr::with_exposed_provenance_mut::<u32>(word.address);
    // SAFETY: mapped and aligned while the endpoint exists, which the caller sees to; only accessed through atomics.
    let atomic = unsafe { AtomicU32::from_ptr(atomic) };
    atomic.load(Ordering::Acquire) != word.expected
}

/// Sleeps until one of `words` is woken or changes, at most `limit`. False if the kernel cannot.
pub(crate) fn sleep_on(words: &[WaitWord], limit: Duration) -> bool {
    let waits: Vec<Wait> = words.iter().map(to_wait).collect();
    let now = clock_gettime(ClockId::Monotonic);
    let nanoseconds = now.tv_nsec + i64::from(limit.subsec_nanos());
    let seconds = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX / 2);
    let until = Timespec {
        tv_sec: now.tv_sec + seconds + nanoseconds / 1_000_000_000,
        tv_nsec: nanoseconds % 1_000_000_000,
    };
    let result = waitv(&waits, WaitvFlags::empty(), Some(&until), ClockId::Monotonic);
    // EPERM: a container's filter that does not know the call.
    !matches!(result, Err(Errno::NOSYS | Errno::PERM))
}

fn to_wait(word: &WaitWord) -> Wait {
    let mut wait = Wait::new();
    wait.val = u64::from(word.expected);
    wait.uaddr = WaitPtr::new(std::ptr::without_provenance_mut(word.address));
    wait.flags = WaitFlags::SIZE_U32;
    wait
}
