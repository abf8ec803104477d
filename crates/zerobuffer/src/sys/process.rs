//! Who this process is, and whether it still is the one that opened an endpoint.
//!
//! # Safety
//! One page is mapped for the process's lifetime, with `MADV_WIPEONFORK`, and read as an atomic word;
//! `pthread_atfork` gets handlers that only touch a static atomic.
#![allow(unsafe_code)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// What an endpoint announces of its process: for people, never for decisions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    pub(crate) start_time: u64,
    pub(crate) pid_namespace: u64,
    pub(crate) now_ns: u64,
}

/// This process, now. What `/proc` does not tell is 0.
pub(crate) fn identity() -> Identity {
    Identity {
        pid: std::process::id(),
        start_time: start_time_of("self").unwrap_or(0),
        pid_namespace: fs::metadata("/proc/self/ns/pid").map_or(0, |m| m.ino()),
        now_ns: unix_ns(),
    }
}

/// This process's id, in its own PID namespace.
pub(crate) fn id() -> u32 {
    std::process::id()
}

/// Field 22 of `/proc/PID/stat`. The name in field 2 may contain anything, so fields count from its last `)`.
fn start_time_of(pid: &str) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Nanoseconds since 1970.
pub(crate) fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}

/// Nanoseconds of `CLOCK_MONOTONIC`, the same for all processes of this boot.
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

/// The kernel's id of this boot, zeros where it does not tell.
pub(crate) fn boot_id() -> [u8; 16] {
    let mut id = [0; 16];
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mut digits = text.bytes().filter_map(|b| char::from(b).to_digit(16));
    for byte in &mut id {
        let (Some(high), Some(low)) = (digits.next(), digits.next()) else {
            return [0; 16];
        };
        *byte = (high << 4 | low) as u8;
    }
    id
}

/// A number that nobody else has, as far as that can be.
pub(crate) fn random_u64() -> u64 {
    let mut token = [0; 8];
    let filled = rustix::rand::getrandom(&mut token, rustix::rand::GetRandomFlags::empty());
    // It only has to differ from others; the clock does where there is no randomness.
    filled.map_or_else(|_| monotonic_ns(), |_| u64::from_le_bytes(token))
}

/// CPUs this process may run on.
pub(crate) fn allowed_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Tells a process from its forked children: differs in a child, without a system call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForkMark {
    word: &'static AtomicU64,
    mark: u64,
}

impl ForkMark {
    /// This process's mark.
    pub(crate) fn current() -> Self {
        let word = mark_word();
        match word.load(Ordering::Relaxed) {
            0 => Self::renew(word),
            mark => Self { word, mark },
        }
    }

    /// What tells this process from others that it forks; never all ones.
    pub(crate) fn value(&self) -> u64 {
        self.mark
    }

    /// Whether `mark` is that of the process that runs now.
    #[inline(always)]
    pub(crate) fn is(&self, mark: u64) -> bool {
        self.word.load(Ordering::Relaxed) == mark
    }

    /// Whether this is still the process that took the mark.
    #[inline(always)]
    pub(crate) fn is_current(&self) -> bool {
        self.is(self.mark)
    }

    #[cold]
    fn renew(word: &'static AtomicU64) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let fresh = NEXT.fetch_add(1, Ordering::Relaxed) << 32 | u64::from(std::process::id());
        match word.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Self { word, mark: fresh },
            Err(other) => Self { word, mark: other },
        }
    }
}

/// A word that the kernel sets to 0 in every forked child.
static MARK_WORD: OnceLock<&'static AtomicU64> = OnceLock::new();

fn mark_word() -> &'static AtomicU64 {
    MARK_WORD.get_or_init(map_mark_word)
}

/// Whether a mark is that of the process that runs now. For signal handlers too.
pub(crate) fn is_current_mark(mark: u64) -> bool {
    MARK_WORD.get().is_some_and(|word| word.load(Ordering::Relaxed) == mark)
}

#[cold]
fn map_mark_word() -> &'static AtomicU64 {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
    static FALLBACK: AtomicU64 = AtomicU64::new(0);
    let page = rustix::param::page_size();
    // SAFETY: a fresh anonymous mapping, never unmapped, zero-filled and page-aligned: a valid `AtomicU64`
    // for the rest of the process.
    unsafe {
        let flags = MapFlags::PRIVATE;
        match mmap_anonymous(std::ptr::null_mut(), page, ProtFlags::READ | ProtFlags::WRITE, flags)
        {
            // WIPEONFORK came with Linux 4.14; before it a child is not told, and finds its mappings gone.
            Ok(address) => {
                let _ = madvise(address, page, Advice::LinuxWipeOnFork);
                &*address.cast::<AtomicU64>()
            }
            Err(_) => &FALLBACK,
        }
    }
}

static FORK_BARRED: AtomicBool = AtomicBool::new(false);

/// Keeps this process from forking while it lives, so that no child inherits a half-made endpoint.
#[derive(Debug)]
pub(crate) struct ForkBar(());

impl ForkBar {
    /// Bars forks; waits for another thread's bar to lift.
    pub(crate) fn new() -> Self {
        static HANDLERS: OnceLock<()> = OnceLock::new();
        HANDLERS.get_or_init(|| {
            // SAFETY: the handlers are functions of this program that touch one static atomic.
            unsafe { libc::pthread_atfork(Some(bar_forks), Some(allow_forks), Some(allow_forks)) };
        });
        bar_forks();
        Self(())
    }
}

impl Drop for ForkBar {
    fn drop(&mut self) {
        allow_forks();
    }
}

extern "C" fn bar_forks() {
    while FORK_BARRED.swap(true, Ordering::Acquire) {
        std::thread::yield_now();
    }
}

extern "C" fn allow_forks() {
    FORK_BARRED.store(false, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_knows_itself() {
        let identity = identity();
        assert_eq!(identity.pid, std::process::id());
        assert!(identity.start_time > 0 && identity.pid_namespace > 0);
        assert_ne!(boot_id(), [0; 16]);
        assert!(ForkMark::current().is_current());
    }

    #[test]
    fn a_forked_child_has_another_mark() {
        let mark = ForkMark::current();
        // SAFETY: the child calls only async-signal-safe functions: an atomic load and `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(mark.is_current())) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above; `status` outlives the call.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "the child still had its parent's mark");
    }
}
