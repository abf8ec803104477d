//! Segment files: opening without following links, creating complete before they get a name, comparing a
//! descriptor with a name.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FallocateFlags, FileType, Gid, Mode, OFlags};
use rustix::io::Errno;

/// Opens an existing regular file, read-write or (for looking only) read-only.
///
/// Without `O_CREAT`, which `fs.protected_regular` forbids on other users' files.
pub(crate) fn open(path: &Path, writable: bool) -> io::Result<OwnedFd> {
    let access = if writable { OFlags::RDWR } else { OFlags::RDONLY };
    // NONBLOCK keeps a FIFO under this name from blocking us; regular files ignore it.
    let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let fd = rustix::fs::open(path, flags, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(fd)
}

/// Another description of the same file, for probing locks and for outliving the role's own.
pub(crate) fn reopen(fd: BorrowedFd<'_>, path: &Path, writable: bool) -> io::Result<OwnedFd> {
    let access = if writable { OFlags::RDWR } else { OFlags::RDONLY };
    let flags = access | OFlags::CLOEXEC;
    match rustix::fs::open(format!("/proc/self/fd/{}", fd.as_raw_fd()), flags, Mode::empty()) {
        Ok(other) => Ok(other),
        // Without /proc: by name, if the name still stands for this file.
        Err(_) => {
            let other = open(path, writable)?;
            if same_file(fd, other.as_fd())? {
                Ok(other)
            } else {
                Err(io::Error::other("the file was replaced meanwhile"))
            }
        }
    }
}

/// A new file without a name yet.
#[derive(Debug)]
pub(crate) struct Unnamed {
    fd: OwnedFd,
    /// Where the file system has no unnamed files: its provisional name.
    provisional: Option<std::path::PathBuf>,
}

impl Unnamed {
    /// Makes one in `dir`; `token` makes a provisional name unique.
    pub(crate) fn create(
        dir: &Path,
        token: u64,
        mode: u32,
        group: Option<u32>,
    ) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let private = Mode::RUSR | Mode::WUSR;
        let this = match rustix::fs::open(dir, flags | OFlags::TMPFILE, private) {
            Ok(fd) => Self { fd, provisional: None },
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let path = dir.join(format!(".zerobuffer-{token:016x}.new"));
                let fd = rustix::fs::open(&path, flags | OFlags::CREATE | OFlags::EXCL, private)?;
                Self { fd, provisional: Some(path) }
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(gid) = group {
            rustix::fs::fchown(&this.fd, None, Some(Gid::from_raw(gid)))?;
        }
        // Not left to the umask: the mode was chosen.
        rustix::fs::fchmod(&this.fd, Mode::from_raw_mode(mode))?;
        Ok(this)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Gives the file its name, unless something has it already (false).
    pub(crate) fn link(&self, path: &Path) -> io::Result<bool> {
        let result = match &self.provisional {
            None => {
                let own = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
                rustix::fs::linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW)
            }
            Some(provisional) => rustix::fs::link(provisional, path),
        };
        match result {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if let Some(path) = &self.provisional {
            let _ = rustix::fs::unlink(path);
        }
    }
}

/// Takes the space for the whole file now.
pub(crate) fn allocate(fd: BorrowedFd<'_>, bytes: u64) -> io::Result<()> {
    loop {
        match rustix::fs::fallocate(fd, FallocateFlags::empty(), 0, bytes) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Size of the file in bytes.
pub(crate) fn size(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(rustix::fs::fstat(fd)?.st_size as u64)
}

/// Whether two descriptors mean the same file.
pub(crate) fn same_file(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> io::Result<bool> {
    let (one, other) = (rustix::fs::fstat(one)?, rustix::fs::fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// Whether the name (still) stands for this file.
pub(crate) fn is_named(fd: BorrowedFd<'_>, path: &Path) -> io::Result<bool> {
    let own = rustix::fs::fstat(fd)?;
    match rustix::fs::lstat(path) {
        Ok(named) => Ok((own.st_dev, own.st_ino) == (named.st_dev, named.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Which directory one is: another that comes to have its path is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirectoryId(Option<(u64, u64)>);

impl DirectoryId {
    /// That of the directory which has this path now.
    pub(crate) fn of(dir: &Path) -> Self {
        Self(rustix::fs::stat(dir).ok().map(|facts| (facts.st_dev, facts.st_ino)))
    }
}

/// What became of a file that was opened by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is found by its name, as far as this process can tell.
    Named,
    /// Nobody finds it by that name any more: it was removed, renamed, or another file was put in its place.
    Nameless,
    /// It has fewer bytes than it had.
    CutShort,
}

/// How a file stands that had `bytes` bytes and the name `path`, in the directory `dir`. In doubt it is what it was: this
/// process may have changed its root or its rights, or the directory may have been moved.
pub(crate) fn standing(fd: BorrowedFd<'_>, path: &Path, dir: DirectoryId, bytes: u64) -> Standing {
    let Ok(own) = rustix::fs::fstat(fd) else { return Standing::Named };
    if (own.st_size as u64) < bytes {
        return Standing::CutShort;
    }
    if own.st_nlink == 0 {
        return Standing::Nameless;
    }
    let is_other = match rustix::fs::lstat(path) {
        Ok(named) => (own.st_dev, own.st_ino) != (named.st_dev, named.st_ino),
        Err(error) => error == Errno::NOENT,
    };
    let is_same_dir = || path.parent().is_some_and(|now| DirectoryId::of(now) == dir);
    if is_other && dir.0.is_some() && is_same_dir() { Standing::Nameless } else { Standing::Named }
}

/// Reads exactly `space` from `offset`. Never a bus error, whatever happened to the file.
pub(crate) fn read_at(fd: BorrowedFd<'_>, space: &mut [u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < space.len() {
        match rustix::io::pread(fd, &mut space[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Writes all of `bytes` at `offset`.
pub(crate) fn write_at(fd: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::pwrite(fd, &bytes[done..], offset + done as u64) {
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What kind of file system a directory is on, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileSystem {
    /// Memory: what is allocated counts against RAM.
    Memory,
    /// A local disk: the page cache holds it.
    Disk,
    /// Locks or shared mappings are not coherent between its users.
    Unsuitable(&'static str),
}

/// Kind and free bytes of the file system that `dir` is on.
pub(crate) fn file_system(dir: &Path) -> io::Result<(FileSystem, u64)> {
    let facts = rustix::fs::statfs(dir)?;
    let kind = match facts.f_type as u32 {
        0x0102_1994 | 0x8584_58f6 => FileSystem::Memory,
        0x6969 => FileSystem::Unsuitable("NFS"),
        0x0102_1997 => FileSystem::Unsuitable("9p"),
        0x6573_5546 => FileSystem::Unsuitable("FUSE or virtiofs"),
        0xff53_4d42 | 0xfe53_4d42 => FileSystem::Unsuitable("SMB"),
        _ => FileSystem::Disk,
    };
    Ok((kind, facts.f_bavail.saturating_mul(facts.f_bsize as u64)))
}
