//! A segment in this process's address space: control regions once, the payload twice in a row.
//!
//! # Safety
//! Address space is reserved first and only the reserved range is mapped over, so no mapping of somebody else
//! is replaced. Pointers given out are valid while the [`Mapping`] lives; what they point at is shared with
//! other processes, so callers use atomics or accept that bytes may change (see `v2::ground::segment`).
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};

use super::guard::{Guard, Lost};

/// A range of the file with one kind of access.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Region {
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) writable: bool,
}

/// The mapped segment. Unmapping it ends the locks taken on the description it was mapped from.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
    /// Dropped by hand, before the range is unmapped.
    guard: ManuallyDrop<Guard>,
    /// Where the addresses given out are instead.
    #[cfg(tsan)]
    view: super::one_view::OneView,
}

// SAFETY: the mapping belongs to the process, not to a thread; shared bytes are accessed by atomics or under
// the frame protocol.
unsafe impl Send for Mapping {}
// SAFETY: as above; `&Mapping` only gives out raw pointers.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the regions, which lie in file order without gaps from offset 0; the last one twice.
    ///
    /// The mapping is not inherited by forked children and left out of core dumps.
    pub(crate) fn new(fd: BorrowedFd<'_>, regions: &[Region]) -> io::Result<Self> {
        let last = regions.last().ok_or(io::ErrorKind::InvalidInput)?;
        let end = (last.offset + last.len).checked_add(last.len);
        let len =
            end.and_then(|end| usize::try_from(end).ok()).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: an anonymous reservation at an address of the kernel's choice.
        let address = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                len,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )?
        };
        let base = NonNull::new(address.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        // From here on dropping `mapping` unmaps the whole reservation, whatever was mapped into it.
        let mapping = Self {
            base,
            len,
            guard: ManuallyDrop::new(Guard::new(base, len)),
            #[cfg(tsan)]
            view: super::one_view::OneView::of(fd, last.offset, last.offset + last.len)?,
        };
        let twice = Region { offset: last.offset, ..*last };
        for (region, at) in regions
            .iter()
            .map(|region| (region, region.offset))
            .chain([(&twice, last.offset + last.len)])
        {
            if region.len > 0 {
                mapping.place(fd, region, at)?;
            }
        }
        // SAFETY: the whole range is ours. Old kernels may lack an advice; the fork mark still guards.
        unsafe {
            let _ = madvise(mapping.base.as_ptr().cast(), len, Advice::LinuxDontFork);
            let _ = madvise(mapping.base.as_ptr().cast(), len, Advice::LinuxDontDump);
        }
        Ok(mapping)
    }

    fn place(&self, fd: BorrowedFd<'_>, region: &Region, at: u64) -> io::Result<()> {
        let access =
            if region.writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        // SAFETY: `at + region.len` lies within the reservation, by construction of `len` in `new`.
        unsafe {
            mmap(
                self.base.as_ptr().add(at as usize).cast::<c_void>(),
                region.len as usize,
                access,
                flags,
                fd,
                region.offset,
            )?;
        }
        Ok(())
    }

    /// Whether this process made the mapping, and it is whole as far as is known.
    #[inline(always)]
    pub(crate) fn is_sound(&self) -> bool {
        self.guard.is_sound()
    }

    /// Whether this process made the mapping.
    #[inline(always)]
    pub(crate) fn is_ours(&self) -> bool {
        self.guard.is_ours()
    }

    /// Notes that the file was found to be shorter than what is mapped of it.
    pub(crate) fn note_cut_short(&self) {
        self.guard.note_cut_short();
    }

    /// See [`Guard::if_sound`].
    #[inline(always)]
    pub(crate) fn if_sound(&self, number: u64) -> u64 {
        self.guard.if_sound(number)
    }

    /// Why it is not sound.
    pub(crate) fn lost(&self) -> Lost {
        self.guard.lost()
    }

    /// The address of a file offset (or of the payload's second appearance behind the file's end).
    pub(crate) fn at(&self, offset: u64) -> NonNull<u8> {
        debug_assert!(offset < self.len as u64, "offsets come from a checked layout");
        #[cfg(tsan)]
        return self.view.at(offset);
        // SAFETY: within the reservation.
        #[cfg(not(tsan))]
        unsafe {
            self.base.add(offset as usize)
        }
    }

    /// Touches every page now, so that the first lap does not pay for it. Best effort.
    pub(crate) fn prefault(&self, writable: bool) {
        let advice = if writable { Advice::LinuxPopulateWrite } else { Advice::LinuxPopulateRead };
        // SAFETY: the whole range is mapped and ours; populating does not change its contents.
        let _ = unsafe { madvise(self.base.as_ptr().cast(), self.len, advice) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let is_mapped = self.guard.is_mapped();
        // SAFETY: dropped here only, and not used behind it.
        unsafe { ManuallyDrop::drop(&mut self.guard) };
        // In a forked child without zeros there the range was never mapped, and may hold something else by now.
        if is_mapped {
            // SAFETY: our reservation, or zeros in its place, and nobody uses pointers into it any more.
            let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
        }
    }
}
