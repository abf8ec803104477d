//! Shared memory of a size and a shape: mapped once, or twice in a row as the ring is.
//!
//! # Safety
//!
//! A [`Mapped`] owns an address range from `mmap` to `munmap`, backed by a file of its own that is never shortened. All
//! access goes through `&mut self`, and no slice is longer than one view.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::os::fd::OwnedFd;
use std::ptr::{NonNull, null_mut};

use anyhow::Context as _;
use rustix::mm::{Advice, MapFlags, ProtFlags};

/// Distance of two touches that meet different pages.
const PAGE: usize = 4096;

/// How the pages come to be there before they are written for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// Allocated, not mapped: the first touch faults.
    Allocated,
    /// Touched in advance, by one call.
    Prefaulted,
    /// Touched in advance and put together to pages of 2 MiB.
    Huge,
}

/// A mapping of shared memory.
#[derive(Debug)]
pub struct Mapped {
    base: NonNull<u8>,
    len: usize,
    views: usize,
}

fn file(len: usize) -> anyhow::Result<OwnedFd> {
    let file = rustix::fs::memfd_create("zerobuffer-micro", rustix::fs::MemfdFlags::CLOEXEC)?;
    rustix::fs::ftruncate(&file, len as u64)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, len as u64)?;
    Ok(file)
}

impl Mapped {
    /// `len` bytes, a multiple of a page, `views` times in a row.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn new(len: usize, views: usize) -> anyhow::Result<Self> {
        let file = file(len).context("no shared memory")?;
        let (read_write, all) = (ProtFlags::READ | ProtFlags::WRITE, len * views);
        // SAFETY: a new range wherever the kernel likes.
        let base = unsafe {
            rustix::mm::mmap_anonymous(null_mut(), all, ProtFlags::empty(), MapFlags::PRIVATE)
        }?;
        let mapped = Self { base: NonNull::new(base.cast()).context("mapped at 0")?, len, views };
        for view in 0..views {
            // SAFETY: inside the range just mapped, which nothing refers to.
            let place = unsafe { mapped.base.as_ptr().add(view * len) }.cast::<c_void>();
            let flags = MapFlags::SHARED | MapFlags::FIXED;
            // SAFETY: as above.
            unsafe { rustix::mm::mmap(place, len, read_write, flags, &file, 0) }?;
        }
        Ok(mapped)
    }

    /// Brings the pages of the first view to where `pages` says.
    ///
    /// # Errors
    ///
    /// What the system says; huge pages, for one, it may not have.
    pub fn prepare(&mut self, pages: Pages) -> anyhow::Result<()> {
        if pages == Pages::Allocated {
            return Ok(());
        }
        let first = self.base.as_ptr().cast::<c_void>();
        // SAFETY: the range is this mapping's.
        unsafe { rustix::mm::madvise(first, self.len, Advice::LinuxPopulateWrite) }
            .context("MADV_POPULATE_WRITE")?;
        if pages == Pages::Huge {
            // SAFETY: as above; the call moves pages about and changes no byte.
            let failed = unsafe { libc::madvise(first, self.len, libc::MADV_COLLAPSE) } != 0;
            if failed {
                return Err(std::io::Error::last_os_error()).context("MADV_COLLAPSE");
            }
        }
        Ok(())
    }

    /// Writes a word to every page of the first view.
    pub fn touch(&mut self) {
        for offset in (0..self.len).step_by(PAGE) {
            // SAFETY: inside the first view.
            unsafe { self.base.as_ptr().add(offset).write_volatile(1) };
        }
    }

    /// Room of one view, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// False: there is none of length 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `len` bytes from `offset`, over the end of the first view if the mapping has a second one.
    ///
    /// # Panics
    ///
    /// If they are more than one view holds, for then the slice would contain a byte twice, or reach beyond the last view.
    #[inline]
    #[must_use]
    pub fn bytes(&mut self, offset: usize, len: usize) -> &mut [u8] {
        let inside = offset.saturating_add(len) <= self.len * self.views;
        assert!(inside && len <= self.len, "beyond the mapping");
        // SAFETY: inside the mapping and no longer than one view, as asserted, so no two of its bytes are the same one;
        // borrowed from `self`, which alone reaches this memory.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr().add(offset), len) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped by us, and nothing borrows from it any more.
        let unmapped =
            unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len * self.views) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_over_the_end_is_at_the_start() {
        let mut ring = Mapped::new(2 * PAGE, 2).unwrap();
        ring.bytes(2 * PAGE - 2, 4).copy_from_slice(b"abcd");
        assert_eq!(ring.bytes(0, 2), b"cd");
    }

    #[test]
    fn pages_that_were_prepared_are_touched_like_others() {
        for pages in [Pages::Allocated, Pages::Prefaulted] {
            let mut memory = Mapped::new(16 * PAGE, 1).unwrap();
            memory.prepare(pages).unwrap();
            memory.touch();
            assert_eq!(memory.bytes(15 * PAGE, 1), [1]);
        }
    }

    #[test]
    #[should_panic(expected = "beyond the mapping")]
    fn nothing_beyond_the_last_view() {
        let mut memory = Mapped::new(PAGE, 1).unwrap();
        let _ = memory.bytes(PAGE - 1, 2);
    }
}
