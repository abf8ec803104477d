//! Memory that both processes of a measurement share outside any buffer: what the ring is compared with.
//!
//! A line bounced between two words, a bare futex, a bare copy and a bare sum. Nothing here is part of the
//! protocol.
//!
//! # Safety
//!
//! [`Shared`] owns one mapping for its whole life. Words are only handed out as atomics, inside the first
//! [`CONTROL_BYTES`], and copies and sums go only into the bytes behind them; both are checked on every
//! call, so no reference to plain bytes ever overlaps an atomic. Who may touch which slot at what time is
//! agreed through those atomics, by the two sides of `throughput`'s bare copy.

#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use anyhow::Context as _;
use rustix::fs::MemfdFlags;
use rustix::mm::{MapFlags, ProtFlags};

/// Bytes at the start that hold words; plain bytes come behind them.
pub(crate) const CONTROL_BYTES: usize = 256 << 10;
/// First of the words that flag a slot of the bare ring, 64 bytes apart.
pub(crate) const FIRST_FLAG: usize = 4096;
/// How many such words there are.
pub(crate) const FLAG_COUNT: usize = (CONTROL_BYTES - FIRST_FLAG) / 64;

/// One mapping shared by the two processes.
#[derive(Debug)]
pub(crate) struct Shared {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone and is no thread's own; access goes through atomics and
// through slots whose owner the atomics decide.
unsafe impl Send for Shared {}
// SAFETY: as above; no method hands out a plain reference into the mapping.
unsafe impl Sync for Shared {}

impl Shared {
    /// Makes a mapping with `payload_bytes` behind the words. The descriptor survives `exec`.
    pub(crate) fn create(payload_bytes: usize) -> anyhow::Result<(Self, OwnedFd)> {
        let fd = rustix::fs::memfd_create("zerobuffer-bench", MemfdFlags::empty())
            .context("make the memory that the measurement shares")?;
        let len = CONTROL_BYTES + payload_bytes;
        rustix::fs::ftruncate(&fd, len as u64).context("size the shared memory")?;
        Ok((Self::map(&fd, len)?, fd))
    }

    /// Maps what the parent process made; `fd` is a number inherited from it.
    pub(crate) fn inherit(fd: u32) -> anyhow::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .open(format!("/proc/self/fd/{fd}"))
            .context("open the inherited shared memory")?;
        let len = usize::try_from(file.metadata()?.len())?;
        anyhow::ensure!(len >= CONTROL_BYTES, "the inherited shared memory is too short");
        Self::map(&file, len)
    }

    fn map(fd: impl std::os::fd::AsFd, len: usize) -> anyhow::Result<Self> {
        // SAFETY: a new mapping at an address the kernel chooses; it replaces nothing.
        let base = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                fd,
                0,
            )
        }
        .context("map the shared memory")?;
        let base = NonNull::new(base.cast()).context("the kernel mapped at address zero")?;
        Ok(Self { base, len })
    }

    fn at(&self, offset: usize, bytes: usize) -> NonNull<u8> {
        assert!(offset.checked_add(bytes).is_some_and(|end| end <= self.len));
        // SAFETY: `offset` lies inside the mapping, checked in the line above.
        unsafe { self.base.add(offset) }
    }

    /// The word at `offset` of the control part.
    pub(crate) fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset < CONTROL_BYTES);
        // SAFETY: aligned and inside the control part, checked above; those bytes are only ever used as
        // atomics, and the mapping outlives the borrow of `self`.
        unsafe { self.at(offset, 8).cast::<AtomicU64>().as_ref() }
    }

    /// The futex word at `offset` of the control part.
    pub(crate) fn futex(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset < CONTROL_BYTES);
        // SAFETY: as in `word`; no caller uses one offset in both widths.
        unsafe { self.at(offset, 4).cast::<AtomicU32>().as_ref() }
    }

    /// Copies `from` behind the words, at `offset` of the plain part.
    pub(crate) fn copy_in(&self, offset: usize, from: &[u8]) {
        let to = self.at(CONTROL_BYTES + offset, from.len());
        // SAFETY: `at` checked the target; `from` is private memory, so they do not overlap; the slot's
        // flag says that the other side is not looking (see the module's text).
        unsafe { to.copy_from_nonoverlapping(NonNull::from(from).cast(), from.len()) };
    }

    /// Sums the `bytes` bytes at `offset` of the plain part.
    pub(crate) fn sum(&self, offset: usize, bytes: usize) -> u64 {
        let from = self.at(CONTROL_BYTES + offset, bytes);
        // SAFETY: `at` checked the range, and the slot's flag says that the other side does not write it
        // until this side gives it back, after this borrow ended.
        super::sum_bytes(unsafe { NonNull::slice_from_raw_parts(from, bytes).as_ref() })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `map` made; every borrow of it has ended with `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok());
    }
}
