//! Words of shared memory, read and slept on.
//!
//! # Safety
//! An address comes from [`zerobuffer::WaitWord`], which promises that it can be read as long as its endpoint exists. The
//! [hub](crate::hub) reads it with its table locked, and an endpoint's place in the table is given up, with the table
//! locked, before the endpoint is dropped; both are in one struct, or one future, so who forgets one forgets both. A [set](crate::fan_in) reads it while it owns the endpoint. The kernel is also given addresses that may be stale by then: it checks them.
#![allow(unsafe_code)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::futex::{self, Wait, WaitFlags, WaitPtr, WaitvFlags, waitv};
use rustix::time::{ClockId, Timespec, clock_gettime};
use zerobuffer::WaitWord;

/// Most words that one call can wait for.
const MOST_WORDS: usize = 128;
/// Most words of endpoints that one sleeper waits for; the last one is its own, by which it is told of changes.
pub(crate) const MOST_AWAITED: usize = MOST_WORDS - 1;
/// Set to anything, it makes this process look every millisecond, as where the kernel cannot wait for many words.
const NO_WAITV: &str = "ZEROBUFFER_NO_WAITV";
/// Between two looks where the kernel cannot.
const WITHOUT_WAITV: Duration = Duration::from_millis(1);

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

/// A sleep on many words.
#[derive(Debug)]
pub(crate) struct Sleep {
    waits: Vec<Wait>,
    can_waitv: bool,
}

impl Sleep {
    pub(crate) fn new() -> Self {
        static FORBIDDEN: OnceLock<bool> = OnceLock::new();
        let forbidden = *FORBIDDEN.get_or_init(|| std::env::var_os(NO_WAITV).is_some());
        Self { waits: Vec::with_capacity(MOST_WORDS), can_waitv: !forbidden }
    }

    /// Begins to collect words anew.
    pub(crate) fn clear(&mut self) {
        self.waits.clear();
    }

    pub(crate) fn add(&mut self, word: WaitWord) {
        let mut wait = Wait::new();
        wait.val = u64::from(word.expected);
        wait.uaddr = WaitPtr::new(std::ptr::without_provenance_mut(word.address));
        wait.flags = WaitFlags::SIZE_U32;
        self.waits.push(wait);
    }

    /// Sleeps until one of the words, or `news`, is woken or changes, at most `limit`. Which one was woken, if that is known.
    pub(crate) fn sleep(
        &mut self,
        news: &AtomicU32,
        expected: u32,
        limit: Duration,
    ) -> Option<usize> {
        let limit = limit.min(Duration::from_secs(3600)); // No sum below overflows.
        if self.can_waitv {
            let address = std::ptr::from_ref(news).addr();
            self.add(WaitWord { address, expected });
            let now = clock_gettime(ClockId::Monotonic);
            let nanoseconds = now.tv_nsec + i64::from(limit.subsec_nanos());
            let until = Timespec {
                tv_sec: now.tv_sec + limit.as_secs().cast_signed() + nanoseconds / 1_000_000_000,
                tv_nsec: nanoseconds % 1_000_000_000,
            };
            let slept = waitv(&self.waits, WaitvFlags::empty(), Some(&until), ClockId::Monotonic);
            // EPERM: a container's filter that does not know the call. Others: somebody's word went meanwhile.
            self.can_waitv = !matches!(slept, Err(Errno::NOSYS | Errno::PERM));
            return slept.ok();
        }
        let limit = if self.waits.is_empty() { limit } else { limit.min(WITHOUT_WAITV) };
        let limit = Timespec {
            tv_sec: limit.as_secs().cast_signed(),
            tv_nsec: limit.subsec_nanos().into(),
        };
        let _ = futex::wait(news, futex::Flags::empty(), expected, Some(&limit));
        None
    }
}
