//! Trying what a new segment needs, in the directory where it is to be.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags};

use super::mapping::{Mapping, Region};
use super::{file, lock};

/// Enough to be allocated, locked and mapped.
const BYTES: u64 = 1 << 16;

/// Whether a file can be opened that has no name.
pub(crate) fn unnamed(dir: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::TMPFILE;
    Ok(rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR)?)
}

/// Whether a file without a name can be given one.
pub(crate) fn naming(fd: BorrowedFd<'_>, dir: &Path, token: u64) -> io::Result<()> {
    let name = Name::new(dir, token);
    rustix::fs::linkat(CWD, file::own_path(fd), CWD, &name.0, AtFlags::SYMLINK_FOLLOW)?;
    Ok(())
}

/// Whether an open file can be opened once more by its descriptor.
pub(crate) fn reopening(fd: BorrowedFd<'_>) -> io::Result<()> {
    rustix::fs::open(file::own_path(fd), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    Ok(())
}

/// A file with a provisional name.
#[derive(Debug)]
pub(crate) struct Named {
    fd: OwnedFd,
    first: Name,
    second: Name,
}

/// A name that goes when this does.
#[derive(Debug)]
struct Name(PathBuf);

impl Name {
    fn new(dir: &Path, token: u64) -> Self {
        Self(dir.join(format!(".zerobuffer-{token:016x}.try")))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = rustix::fs::unlink(&self.0);
    }
}

impl Named {
    pub(crate) fn new(dir: &Path, token: u64) -> io::Result<Self> {
        let (first, second) = (Name::new(dir, token), Name::new(dir, !token));
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::CREATE | OFlags::EXCL;
        let fd = rustix::fs::open(&first.0, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(Self { fd, first, second })
    }

    /// Whether it can be given another name that nobody has.
    pub(crate) fn renaming(&self) -> io::Result<()> {
        Ok(file::name_without_replacing(&self.first.0, &self.second.0)?)
    }

    /// Whether space can be had for it beforehand.
    pub(crate) fn allocation(&self) -> io::Result<()> {
        Ok(rustix::fs::fallocate(&self.fd, FallocateFlags::empty(), 0, BYTES)?)
    }

    /// Whether a lock on it is seen through another description.
    pub(crate) fn locks(&self) -> io::Result<()> {
        let other =
            file::open(&self.first.0, true).or_else(|_| file::open(&self.second.0, true))?;
        lock::try_shared(self.fd.as_fd(), 0)?;
        if !lock::is_shared_or_held(other.as_fd(), 0)? {
            return Err(io::Error::other("a lock is not seen through another description"));
        }
        Ok(())
    }

    /// Whether it can be mapped as segments are.
    pub(crate) fn mapping(&self) -> io::Result<()> {
        file::allocate(self.fd.as_fd(), BYTES)?;
        let region = Region { offset: 0, len: BYTES, writable: true };
        Mapping::new(self.fd.as_fd(), &[region]).map(drop)
    }
}
