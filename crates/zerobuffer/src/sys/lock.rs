//! Open-file-description locks: held by the kernel as long as the description lives, whatever its pid.
//!
//! # Safety
//! `fcntl` reads and writes one `flock` structure that lives across the call.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

fn byte(kind: libc::c_int, offset: u64) -> libc::flock {
    // SAFETY: `flock` is a plain C structure for which all zeros is valid.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = offset as libc::off_t;
    lock.l_len = 1;
    lock
}

fn fcntl(fd: BorrowedFd<'_>, command: libc::c_int, lock: &mut libc::flock) -> io::Result<()> {
    loop {
        // SAFETY: `fd` is open, and `lock` is a valid structure for the whole call.
        if unsafe { libc::fcntl(fd.as_raw_fd(), command, std::ptr::from_mut(lock)) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn try_lock(fd: BorrowedFd<'_>, kind: libc::c_int, offset: u64) -> io::Result<bool> {
    match fcntl(fd, libc::F_OFD_SETLK, &mut byte(kind, offset)) {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Takes one byte for this description alone; false when another description has it.
pub(crate) fn try_exclusive(fd: BorrowedFd<'_>, offset: u64) -> io::Result<bool> {
    try_lock(fd, libc::F_WRLCK, offset)
}

/// Takes one byte together with other sharers; false when a description has it exclusively.
pub(crate) fn try_shared(fd: BorrowedFd<'_>, offset: u64) -> io::Result<bool> {
    try_lock(fd, libc::F_RDLCK, offset)
}

/// Gives one byte back. Never used for a role of protocol 2.0: those end with their mapping.
pub(crate) fn release(fd: BorrowedFd<'_>, offset: u64) -> io::Result<()> {
    fcntl(fd, libc::F_OFD_SETLK, &mut byte(libc::F_UNLCK, offset))
}

/// Whether another description holds the byte exclusively. Takes nothing.
pub(crate) fn is_held(fd: BorrowedFd<'_>, offset: u64) -> io::Result<bool> {
    probe(fd, libc::F_RDLCK, offset)
}

/// Whether another description holds the byte in any way. Takes nothing.
pub(crate) fn is_shared_or_held(fd: BorrowedFd<'_>, offset: u64) -> io::Result<bool> {
    probe(fd, libc::F_WRLCK, offset)
}

fn probe(fd: BorrowedFd<'_>, kind: libc::c_int, offset: u64) -> io::Result<bool> {
    let mut lock = byte(kind, offset);
    fcntl(fd, libc::F_OFD_GETLK, &mut lock)?;
    Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
}
