//! One view of a file for the whole process, however many endpoints map it: for ThreadSanitizer only (`--cfg tsan`).
//!
//! Each endpoint has a mapping of its own, which its locks hang on, and ThreadSanitizer knows memory by its address:
//! to it the two ends of a buffer share nothing, and no race between them exists. So under `tsan` an endpoint keeps
//! its mapping and gives out addresses in the view instead, which is the same for all of them.
//!
//! The mutex here is an ordering between endpoints that come and go. It stands in for the kernel's locks, which
//! ThreadSanitizer does not see either; an endpoint that neither comes nor goes does not touch it.
//!
//! # Safety
//! As in `mapping`: address space is reserved first and only the reservation is mapped over; what is given out is
//! valid while the [`OneView`] lives.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::PoisonError;

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use crate::sync::{Mutex, MutexGuard};

/// What a view is a view of: device, inode, and where the part that appears twice begins.
type Key = (u64, u64, u64);

static VIEWS: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// A file in the address space, from its start to `end`, and behind it what lies from `again` on once more.
#[derive(Debug)]
struct Entry {
    key: Key,
    users: usize,
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the process; only raw pointers into it are given out.
unsafe impl Send for Entry {}

/// A use of the view that this process has of a file.
#[derive(Debug)]
pub(crate) struct OneView {
    key: Key,
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: as for `Entry`.
unsafe impl Send for OneView {}
// SAFETY: as for `Entry`.
unsafe impl Sync for OneView {}

impl OneView {
    /// The view that this process has of the file, made now if there is none.
    pub(crate) fn of(fd: BorrowedFd<'_>, again: u64, end: u64) -> io::Result<Self> {
        let facts = rustix::fs::fstat(fd)?;
        let key = (facts.st_dev, facts.st_ino, again);
        let mut views = views();
        let index = match views.iter().position(|entry| entry.key == key) {
            Some(index) => index,
            None => {
                let (base, len) = map(fd, again, end)?;
                views.push(Entry { key, users: 0, base, len });
                views.len() - 1
            }
        };
        let entry = &mut views[index];
        entry.users += 1;
        Ok(Self { key, base: entry.base, len: entry.len })
    }

    /// The address of an offset.
    pub(crate) fn at(&self, offset: u64) -> NonNull<u8> {
        debug_assert!(offset < self.len as u64, "offsets come from a checked layout");
        // SAFETY: within the reservation.
        unsafe { self.base.add(offset as usize) }
    }
}

impl Drop for OneView {
    fn drop(&mut self) {
        let mut views = views();
        let Some(index) = views.iter().position(|entry| entry.key == self.key) else { return };
        views[index].users -= 1;
        if views[index].users == 0 {
            let entry = views.swap_remove(index);
            // SAFETY: our reservation, and nobody uses pointers into it any more.
            let _ = unsafe { munmap(entry.base.as_ptr().cast(), entry.len) };
        }
    }
}

fn views() -> MutexGuard<'static, Vec<Entry>> {
    VIEWS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn map(fd: BorrowedFd<'_>, again: u64, end: u64) -> io::Result<(NonNull<u8>, usize)> {
    // A description of its own: the endpoint's carries locks, which must end with the endpoint.
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let file = File::options().read(true).write(true).open(path)?;
    let access = ProtFlags::READ | ProtFlags::WRITE;
    let (free, placed) =
        (MapFlags::PRIVATE | MapFlags::NORESERVE, MapFlags::SHARED | MapFlags::FIXED);
    let len = (end + (end - again)) as usize;
    // SAFETY: a reservation at an address of the kernel's choice; then both parts within it, which is as long as both
    // together. What fails stays reserved: there is a test to end, not a process to keep small.
    unsafe {
        let start = mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::empty(), free)?;
        mmap(start, end as usize, access, placed, &file, 0)?;
        if again < end {
            let behind = start.byte_add(end as usize);
            mmap(behind, (end - again) as usize, access, placed, &file, again)?;
        }
        let base = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok((base, len))
    }
}
