//! A 1.0 segment in this process's address space, and the only place that touches its bytes.
//!
//! # Safety
//! The mapping is at least [`Sizes::total_bytes`] long, which [`Mapping::new`] checks against the file; blocks
//! and indexes are checked against those sizes, never against shared memory. Control words are reached as
//! atomics. Other bytes are copied in and out, or given out as raw pointers; no reference to them is formed
//! here. A peer
//! with write access can still shrink the file under us; see `sys::guard`.
#![allow(unsafe_code)]

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

use crate::sys::copy::copy;
use crate::sys::guard::{Guard, Lost};
use crate::sys::streaming;
use crate::v1::protocol::layout::{HEADER_BYTES, METADATA_PREFIX_BYTES, Oieb, Sizes};
use crate::v1::rules::ring::{FrameHeader, Memory};

/// The whole segment, mapped once, readable and writable.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    sizes: Sizes,
    /// Dropped by hand, before the range is unmapped.
    guard: ManuallyDrop<Guard>,
    pid: u32,
    /// Where the addresses used are instead.
    #[cfg(tsan)]
    view: crate::sys::one_view::OneView,
}

// SAFETY: the mapping belongs to the process, not to a thread; what is shared is reached as described above.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a file that holds at least `sizes.total_bytes()`.
    pub(crate) fn new(fd: BorrowedFd<'_>, sizes: Sizes) -> io::Result<Self> {
        let len = sizes.total_bytes();
        let file_bytes = u64::try_from(rustix::fs::fstat(fd)?.st_size).unwrap_or(0);
        if file_bytes < len {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file was cut short"));
        }
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe { mmap(std::ptr::null_mut(), len, access, MapFlags::SHARED, fd, 0)? };
        // SAFETY: our own mapping; a child must not keep it, see `guard`.
        let _ = unsafe { madvise(base, len, Advice::LinuxDontFork) };
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let guard = ManuallyDrop::new(Guard::new(base, len));
        Ok(Self {
            base,
            sizes,
            guard,
            pid: std::process::id(),
            #[cfg(tsan)]
            view: crate::sys::one_view::OneView::of(fd, len as u64, len as u64)?,
        })
    }

    /// Sizes of its blocks.
    pub(crate) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Whether this process mapped it, and it is whole as far as is known.
    #[inline]
    pub(crate) fn is_sound(&self) -> bool {
        self.guard.is_sound()
    }

    /// Whether this process mapped it.
    pub(crate) fn is_ours(&self) -> bool {
        self.guard.is_ours()
    }

    /// Why it is not sound.
    pub(crate) fn lost(&self) -> Lost {
        self.guard.lost()
    }

    /// The process that mapped it.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// The address of an offset.
    ///
    /// # Safety
    /// `offset` lies within the mapping.
    #[inline(always)]
    unsafe fn at(&self, offset: u64) -> NonNull<u8> {
        #[cfg(tsan)]
        return self.view.at(offset);
        // SAFETY: the caller keeps the offset inside.
        #[cfg(not(tsan))]
        unsafe {
            self.base.add(offset as usize)
        }
    }

    /// Where `len` bytes at `index` of the payload lie.
    ///
    /// # Panics
    /// If they do not lie within the payload.
    pub(crate) fn payload(&self, index: u64, len: u64) -> NonNull<u8> {
        let end = index.checked_add(len);
        assert!(end.is_some_and(|end| end <= self.sizes.payload_bytes), "outside the payload");
        // SAFETY: within the payload, which lies within the mapping.
        unsafe { self.at(self.sizes.payload_offset() + index) }
    }

    /// Lends frame bytes, for as long as `_holder` keeps the writer from touching them.
    ///
    /// A conforming peer does not change them meanwhile; who must reckon with others copies.
    ///
    /// # Panics
    /// If they do not lie within the payload.
    pub(crate) fn lend<'a, T: ?Sized>(&self, index: u64, len: usize, _holder: &'a T) -> &'a [u8] {
        let start = self.payload(index, len as u64);
        // SAFETY: within the payload. The holder owns or borrows what keeps the segment mapped, and its frame is
        // unreleased, or claimed: nobody conforming writes to it.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), len) }
    }

    /// Lends claimed bytes to the one writer.
    ///
    /// # Panics
    /// If they do not lie within the payload.
    pub(crate) fn lend_mut(&mut self, index: u64, len: usize) -> &mut [u8] {
        let start = self.payload(index, len as u64);
        // SAFETY: as in `lend`; exclusive, for the one writer is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), len) }
    }

    /// Copies frame bytes in.
    ///
    /// # Panics
    /// If they do not lie within the payload.
    pub(crate) fn write_payload(&self, index: u64, bytes: &[u8]) {
        let to = self.payload(index, bytes.len() as u64);
        // SAFETY: within the payload, as just checked; `bytes` is private memory.
        unsafe { copy(bytes.as_ptr(), to.as_ptr(), bytes.len()) }
    }

    /// As [`write_payload`](Self::write_payload), with stores that go past the caches.
    ///
    /// # Panics
    /// If they do not lie within the payload.
    pub(crate) fn stream_payload(&self, index: u64, bytes: &[u8]) {
        let to = self.payload(index, bytes.len() as u64);
        // SAFETY: as in `write_payload`.
        unsafe { streaming::copy(bytes.as_ptr(), to.as_ptr(), bytes.len()) }
    }

    /// Copies frame bytes out, without a reference to what a peer may change.
    ///
    /// # Panics
    /// If they do not lie within the payload.
    pub(crate) fn read_payload(&self, index: u64, space: &mut [u8]) {
        let from = self.payload(index, space.len() as u64);
        // SAFETY: within the payload, as just checked; `space` is private memory.
        unsafe { copy(from.as_ptr(), space.as_mut_ptr(), space.len()) }
    }

    /// The length word of the metadata block; 0 where the block has no room for one.
    pub(crate) fn metadata_length(&self) -> u64 {
        if self.sizes.metadata_bytes < METADATA_PREFIX_BYTES {
            return 0;
        }
        let mut word = [0; 8];
        // SAFETY: the block begins within the mapping and holds at least eight bytes.
        unsafe { self.copy_out(self.sizes.metadata().offset(), &mut word) };
        u64::from_le_bytes(word)
    }

    /// Copies metadata out.
    ///
    /// # Panics
    /// If the block is smaller.
    pub(crate) fn read_metadata(&self, space: &mut [u8]) {
        assert!(space.len() as u64 <= self.sizes.metadata_capacity(), "outside the metadata");
        // SAFETY: checked above.
        unsafe { self.copy_out(self.sizes.metadata().offset() + METADATA_PREFIX_BYTES, space) };
    }

    /// Copies metadata and its length in.
    ///
    /// # Panics
    /// If the block is smaller.
    pub(crate) fn write_metadata(&self, bytes: &[u8]) {
        assert!(bytes.len() as u64 <= self.sizes.metadata_capacity(), "outside the metadata");
        let at = self.sizes.metadata().offset();
        // SAFETY: checked above; a non-empty capacity means that the length word fits too.
        unsafe {
            self.copy_in(at, &(bytes.len() as u64).to_le_bytes());
            self.copy_in(at + METADATA_PREFIX_BYTES, bytes);
        }
    }

    /// # Safety
    /// `at + space.len()` lies within the mapping.
    unsafe fn copy_out(&self, at: u64, space: &mut [u8]) {
        // SAFETY: the caller keeps the range inside; `space` is private memory, so they do not overlap.
        unsafe {
            let from = self.at(at).as_ptr();
            std::ptr::copy_nonoverlapping(from, space.as_mut_ptr(), space.len());
        }
    }

    /// # Safety
    /// `at + bytes.len()` lies within the mapping.
    unsafe fn copy_in(&self, at: u64, bytes: &[u8]) {
        // SAFETY: the caller keeps the range inside; `bytes` is private memory, so they do not overlap.
        unsafe {
            let to = self.at(at).as_ptr();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
    }
}

impl Memory for Mapping {
    #[inline]
    fn oieb(&self) -> &Oieb {
        // SAFETY: the control block begins the page-aligned mapping and consists of atomics only.
        unsafe { self.at(0).cast::<Oieb>().as_ref() }
    }

    #[inline]
    fn read_header(&self, index: u64) -> FrameHeader {
        let at = self.payload(index, HEADER_BYTES).cast::<Unaligned>();
        // SAFETY: within the payload. Volatile, so that it is one copy: a peer may change it meanwhile.
        let [length, sequence] = unsafe { at.read_volatile() }.0;
        FrameHeader { length, sequence }
    }

    #[inline]
    fn write_header(&self, index: u64, header: FrameHeader) {
        let at = self.payload(index, HEADER_BYTES).cast::<Unaligned>();
        // SAFETY: within the payload; `Unaligned` has alignment 1.
        unsafe { at.write_volatile(Unaligned([header.length, header.sequence])) };
    }
}

/// Two words at any byte address.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Unaligned([u64; 2]);

impl Drop for Mapping {
    fn drop(&mut self) {
        let is_mapped = self.guard.is_mapped();
        // SAFETY: dropped here only, and not used behind it.
        unsafe { ManuallyDrop::drop(&mut self.guard) };
        if is_mapped {
            let len = self.sizes.total_bytes() as usize;
            // SAFETY: our mapping, or zeros in its place, and nobody uses pointers into it any more.
            let _ = unsafe { munmap(self.base.as_ptr().cast(), len) };
        }
    }
}
