//! Memory that both processes share outside anything that is measured: the ruler, and the floors.
//!
//! # Safety
//!
//! [`Shared`] owns one mapping for its whole life. Its first page holds words, which are only handed out as atomics;
//! two more pages hold the two semaphores, which only the kernel's library touches. Nothing else is done with it.

#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use anyhow::Context as _;
use rustix::fs::MemfdFlags;
use rustix::mm::{MapFlags, ProtFlags};

const WORDS: usize = 4096;
const SEMAPHORE: usize = WORDS;
const BYTES: usize = 2 * 4096;

/// One mapping shared by the two processes.
#[derive(Debug)]
pub(crate) struct Shared {
    base: NonNull<u8>,
}

// SAFETY: the mapping belongs to this value alone and is no thread's own; access goes through atomics and through
// semaphores, which are made for several threads.
unsafe impl Send for Shared {}
// SAFETY: as above; no method hands out a plain reference into the mapping.
unsafe impl Sync for Shared {}

impl Shared {
    /// Makes the memory. The descriptor survives `exec`.
    pub(crate) fn create() -> anyhow::Result<(Self, OwnedFd)> {
        let fd = rustix::fs::memfd_create("zerobuffer-compare", MemfdFlags::empty())
            .context("make the memory that the measurement shares")?;
        rustix::fs::ftruncate(&fd, BYTES as u64).context("size the shared memory")?;
        let shared = Self::map(&fd)?;
        // SAFETY: inside the mapping, aligned to a page, and nobody uses it yet; shared between processes.
        let made = unsafe { libc::sem_init(shared.semaphore(), 1, 0) };
        anyhow::ensure!(made == 0, "make the semaphore: {}", std::io::Error::last_os_error());
        Ok((shared, fd))
    }

    /// Maps what the parent process made; `fd` is a number inherited from it.
    pub(crate) fn inherit(fd: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/self/fd/{fd}");
        let file = File::options().read(true).write(true).open(path);
        Self::map(&file.context("open the inherited shared memory")?)
    }

    fn map(fd: impl std::os::fd::AsFd) -> anyhow::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address the kernel chooses; it replaces nothing.
        let base = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), BYTES, access, MapFlags::SHARED, fd, 0)
        }
        .context("map the shared memory")?;
        Ok(Self { base: NonNull::new(base.cast()).context("the kernel mapped at address zero")? })
    }

    /// The word at `offset`.
    pub(crate) fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset < WORDS);
        // SAFETY: aligned and inside the words, checked above; those bytes are only ever used as atomics, and the
        // mapping outlives the borrow of `self`.
        unsafe { self.base.add(offset).cast::<AtomicU64>().as_ref() }
    }

    /// The futex word at `offset`.
    pub(crate) fn futex(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset < WORDS);
        // SAFETY: as in `word`; no caller uses one offset in both widths.
        unsafe { self.base.add(offset).cast::<AtomicU32>().as_ref() }
    }

    fn semaphore(&self) -> *mut libc::sem_t {
        // SAFETY: the second page of the mapping, which has two.
        unsafe { self.base.add(SEMAPHORE) }.as_ptr().cast()
    }

    /// Posts the semaphore.
    pub(crate) fn post(&self) {
        // SAFETY: `create` made it, and the mapping is alive.
        unsafe { libc::sem_post(self.semaphore()) };
    }

    /// Waits for the semaphore.
    pub(crate) fn wait(&self) {
        // SAFETY: as in `post`. A signal interrupts it; then it is asked again.
        while unsafe { libc::sem_wait(self.semaphore()) } != 0 {}
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `map` made; every borrow of it has ended with `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), BYTES) };
        debug_assert!(unmapped.is_ok());
    }
}
