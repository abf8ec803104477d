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
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EINVAL | libc::ENOSYS | libc::EPERM | libc::EOPNOTSUPP) => {
                return Err(lacking(&error));
            }
            _ => return Err(error),
        }
    }
}

/// Where the kernel does not know them. Not an error of ours: the structure has the same form for all file locks.
fn lacking(error: &io::Error) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!(
            "this system has no open-file-description locks (F_OFD_SETLK: {error}), by which one end knows that \
             the other lives; Linux has them from 3.15 on, some sandboxes and emulations of it (gVisor, proot, lx) do \
             not: run both ends outside of it (`zerobuffer doctor` tries them)"
        ),
    )
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

/// Whether anybody has the file open, or mapped, through another description than this one, in whichever namespaces.
///
/// A lease for writing is only granted where nobody has. It is taken for a moment; who opens the file without blocking
/// in that moment is refused (`EWOULDBLOCK`).
///
/// # Errors
/// Where leases are not known, or not for this user: on files of others without `CAP_LEASE`.
pub(crate) fn is_open_elsewhere(fd: BorrowedFd<'_>) -> io::Result<bool> {
    const SETSIG: libc::c_int = 10;
    let set = |command, value: libc::c_int| {
        // SAFETY: `fd` is open, and these commands take a number.
        match unsafe { libc::fcntl(fd.as_raw_fd(), command, value) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // Who opens the file meanwhile makes the kernel send a signal: one that does nothing, instead of one that ends us.
    set(SETSIG, libc::SIGURG)?;
    match set(libc::F_SETLEASE, libc::c_int::from(libc::F_WRLCK as i16)) {
        Ok(()) => set(libc::F_SETLEASE, libc::c_int::from(libc::F_UNLCK as i16)).map(|()| false),
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_file_is_open_elsewhere_as_long_as_anybody_has_it_open() {
        let file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
        let is_open = || is_open_elsewhere(file.as_file().as_fd()).unwrap();
        assert!(!is_open());
        for writable in [false, true] {
            let other =
                std::fs::OpenOptions::new().read(true).write(writable).open(file.path()).unwrap();
            assert!(is_open());
            drop(other);
            assert!(!is_open());
        }
    }
}
