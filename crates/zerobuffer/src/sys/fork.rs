//! Telling a process from its forked children, without a system call; and keeping it from forking for a moment.
//!
//! # Safety
//! Pages are mapped for the process's lifetime, with `MADV_WIPEONFORK`, and read as atomic words;
//! `pthread_atfork` gets handlers that only touch a static atomic.
#![allow(unsafe_code)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Words that are mapped at once: a page of them.
const WORDS: usize = 4096 / size_of::<AtomicU64>();

/// A word of its own, 0 at first, that the kernel sets to 0 in every forked child. It is never given back.
pub(crate) fn wiped_word() -> &'static AtomicU64 {
    static FIRST: OnceLock<&'static [AtomicU64; WORDS]> = OnceLock::new();
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let first = FIRST.get_or_init(map_wiped_words);
    match first.get(TAKEN.fetch_add(1, Ordering::Relaxed)) {
        Some(word) => word,
        // Of so many it matters no more that each takes a page.
        None => &map_wiped_words()[0],
    }
}

#[cold]
fn map_wiped_words() -> &'static [AtomicU64; WORDS] {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
    let bytes = WORDS * size_of::<AtomicU64>();
    // SAFETY: a fresh anonymous mapping, never unmapped, zero-filled and page-aligned: valid `AtomicU64`s for the rest
    // of the process.
    unsafe {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        match mmap_anonymous(std::ptr::null_mut(), bytes, access, flags) {
            // WIPEONFORK came with Linux 4.14; before it a child is not told, and finds its mappings gone.
            Ok(address) => {
                let _ = madvise(address, bytes, Advice::LinuxWipeOnFork);
                &*address.cast()
            }
            Err(_) => Box::leak(Box::new([const { AtomicU64::new(0) }; WORDS])),
        }
    }
}

/// Tells a process from its forked children, without a system call. For `zerobuffer-async`.
#[derive(Debug, Clone, Copy)]
pub struct ForkMark {
    word: &'static AtomicU64,
    mark: u64,
}

impl ForkMark {
    /// This process's mark.
    pub fn current() -> Self {
        static WORD: OnceLock<&'static AtomicU64> = OnceLock::new();
        let word = WORD.get_or_init(wiped_word);
        match word.load(Ordering::Relaxed) {
            0 => Self::renew(word),
            mark => Self { word, mark },
        }
    }

    /// Whether this is still the process that took the mark.
    #[inline]
    pub fn is_current(&self) -> bool {
        self.word.load(Ordering::Relaxed) == self.mark
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
