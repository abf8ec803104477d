//! Segment files: opening without following links, creating complete before they get a name, comparing a
//! descriptor with a name.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, FallocateFlags, FileType, Gid, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::lock;

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
    match rustix::fs::open(own_path(fd), flags, Mode::empty()) {
        Ok(other) => Ok(other),
        // Without /proc, or where a sandbox closes it: by name, if the name still stands for this file.
        Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => Err(error.into()),
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

/// Why a new file was not made.
#[derive(Debug)]
pub(crate) enum NotMade {
    /// The directory does not take another file.
    Create(io::Error),
    /// It cannot be given to that group.
    Group(u32, io::Error),
    /// It cannot have that mode.
    Mode(u32, io::Error),
    /// It cannot be locked.
    Lock(io::Error),
}

/// What a new file is to be.
#[derive(Debug)]
pub(crate) struct Making<'a> {
    /// Its name while it has no other, where files without any cannot be used.
    pub(crate) provisional: &'a str,
    /// A byte of it that is locked, together with others, before anybody else can take it for a left-over.
    pub(crate) life: Option<u64>,
    /// Who may open it.
    pub(crate) mode: NewMode,
    pub(crate) group: Option<u32>,
}

/// Permission bits of a new file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NewMode {
    /// These.
    Exactly(u32),
    /// These, less the process's umask.
    LessUmask(u32),
}

/// What became of giving a new file its name.
#[derive(Debug)]
pub(crate) enum Linked {
    Yes,
    /// Something has the name already.
    Taken,
    /// The system does not give names to files that have none. One made by [`Unnamed::provisional`] can have it.
    NotWithoutName,
}

/// A new file without its name yet.
#[derive(Debug)]
pub(crate) struct Unnamed {
    fd: OwnedFd,
    /// Where files without a name cannot be used: its provisional one.
    provisional: Option<Provisional>,
}

/// A name that goes when this does.
#[derive(Debug)]
struct Provisional(PathBuf);

impl Drop for Provisional {
    fn drop(&mut self) {
        // Unless it has become the file's proper name. Nobody else makes files of such a name.
        let _ = rustix::fs::unlink(&self.0);
    }
}

/// How often to make a file of a provisional name that somebody takes for a left-over at the same moment.
const PROVISIONAL_ATTEMPTS: u32 = 10;

/// Set once the system has refused to give a name to a file that had none.
static NEEDS_NAMES: AtomicBool = AtomicBool::new(false);

impl Unnamed {
    /// Makes one in `dir`, in the way that works there: without a name, or with a provisional one.
    pub(crate) fn create(dir: &Path, making: &Making<'_>) -> Result<Self, NotMade> {
        if NEEDS_NAMES.load(Ordering::Relaxed) {
            return Self::provisional(dir, making);
        }
        match rustix::fs::open(dir, NEW | OFlags::TMPFILE, making.first_mode()) {
            // Without /proc, or where that is closed, it could neither be opened a second time nor get its name.
            Ok(fd) if rustix::fs::stat(own_path(fd.as_fd())).is_ok() => {
                making.finish(fd.as_fd())?;
                Ok(Self { fd, provisional: None })
            }
            Ok(_) | Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                Self::provisional(dir, making)
            }
            Err(error) => Err(NotMade::Create(error.into())),
        }
    }

    /// Makes one that has a provisional name.
    pub(crate) fn provisional(dir: &Path, making: &Making<'_>) -> Result<Self, NotMade> {
        for _ in 0..PROVISIONAL_ATTEMPTS {
            let path = dir.join(making.provisional);
            let fd =
                rustix::fs::open(&path, NEW | OFlags::CREATE | OFlags::EXCL, making.first_mode())
                    .map_err(|error| NotMade::Create(error.into()))?;
            let this = Self { fd, provisional: Some(Provisional(path)) };
            making.finish(this.fd())?;
            // Between our open and our lock it looked as what one that died leaves.
            match &this.provisional {
                Some(name) if !is_named(this.fd(), &name.0).map_err(NotMade::Create)? => {}
                _ => return Ok(this),
            }
        }
        Err(NotMade::Create(io::Error::other("others keep removing it half made")))
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether it has a name that it would leave behind if this process died now.
    pub(crate) fn is_provisional(&self) -> bool {
        self.provisional.is_some()
    }

    /// Another description of it.
    pub(crate) fn reopen(&self, writable: bool) -> io::Result<OwnedFd> {
        let path = self.provisional.as_ref().map_or(Path::new(""), |name| &name.0);
        reopen(self.fd(), path, writable)
    }

    /// Gives the file its name, unless something has it already.
    pub(crate) fn link(&mut self, path: &Path) -> io::Result<Linked> {
        let result = match &self.provisional {
            None => {
                let own = own_path(self.fd());
                match rustix::fs::linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW) {
                    Err(error) if is_refusal(error) => {
                        NEEDS_NAMES.store(true, Ordering::Relaxed);
                        return Ok(Linked::NotWithoutName);
                    }
                    other => other,
                }
            }
            Some(provisional) => name_without_replacing(&provisional.0, path),
        };
        match result {
            Ok(()) => Ok(Linked::Yes),
            Err(Errno::EXIST) => Ok(Linked::Taken),
            Err(error) => Err(error.into()),
        }
    }

    /// The file alone, which has its name by now.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl Making<'_> {
    fn first_mode(&self) -> Mode {
        match self.mode {
            NewMode::Exactly(_) => Mode::RUSR | Mode::WUSR,
            NewMode::LessUmask(mode) => Mode::from_raw_mode(mode),
        }
    }

    fn finish(&self, fd: BorrowedFd<'_>) -> Result<(), NotMade> {
        if let Some(byte) = self.life {
            lock::try_shared(fd, byte).map_err(NotMade::Lock)?;
        }
        if let Some(gid) = self.group {
            rustix::fs::fchown(fd, None, Some(Gid::from_raw(gid)))
                .map_err(|error| NotMade::Group(gid, error.into()))?;
        }
        if let NewMode::Exactly(mode) = self.mode {
            // Not left to the umask: the mode was chosen.
            rustix::fs::fchmod(fd, Mode::from_raw_mode(mode))
                .map_err(|error| NotMade::Mode(mode, error.into()))?;
        }
        Ok(())
    }
}

const NEW: OFlags = OFlags::RDWR.union(OFlags::CLOEXEC);

/// The open file as a path.
pub(super) fn own_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Whether a way of doing something is closed here, by the kernel, the file system or a sandbox; another may be open.
fn is_refusal(error: Errno) -> bool {
    [
        Errno::NOENT,
        Errno::ACCESS,
        Errno::PERM,
        Errno::NOSYS,
        Errno::OPNOTSUPP,
        Errno::INVAL,
        Errno::XDEV,
    ]
    .contains(&error)
}

/// Gives a file that has one name another; leaves what has that already.
pub(super) fn name_without_replacing(from: &Path, to: &Path) -> rustix::io::Result<()> {
    match rename_without_replacing(from, to) {
        Err(error) if is_refusal(error) => rustix::fs::link(from, to),
        other => other,
    }
}

/// Moves a name; leaves what has the new one already.
fn rename_without_replacing(from: &Path, to: &Path) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
}

/// How much is written at once where space can be taken in no other way.
const ZEROS: usize = 1 << 20;

/// Takes the space for the whole file now. Where the file system cannot be asked for it, by writing zeros.
pub(crate) fn allocate(fd: BorrowedFd<'_>, bytes: u64) -> io::Result<()> {
    loop {
        match rustix::fs::fallocate(fd, FallocateFlags::empty(), 0, bytes) {
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM | Errno::INVAL) => {
                return write_zeros(fd, bytes);
            }
            other => return Ok(other?),
        }
    }
}

fn write_zeros(fd: BorrowedFd<'_>, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS.min(usize::try_from(bytes).unwrap_or(ZEROS))];
    let mut done = 0;
    while done < bytes {
        let now = &zeros[..zeros.len().min(usize::try_from(bytes - done).unwrap_or(ZEROS))];
        write_at(fd, now, done)?;
        done += now.len() as u64;
    }
    Ok(())
}

/// What stands in the way of removing a file, as far as the permissions of its directory tell.
pub(crate) fn obstacle(path: &Path, error: &io::Error) -> Option<String> {
    let sticky = match error.raw_os_error()? {
        libc::EPERM => true,
        libc::EACCES => false,
        libc::EROFS => return Some("it is mounted read-only here".into()),
        _ => return None,
    };
    let file = rustix::fs::lstat(path).ok()?;
    let dir = rustix::fs::stat(path.parent()?).ok()?;
    let mode = dir.st_mode & 0o7777;
    Some(if sticky && mode & libc::S_ISVTX != 0 {
        format!(
            "it belongs to user {}, and its directory is sticky, mode {mode:o}: only that user, user {} whose directory it \
             is, or root can remove it; nothing was changed",
            file.st_uid, dir.st_uid
        )
    } else {
        format!(
            "this user, or a sandbox that it is in, may not change its directory, mode {mode:o}, which belongs to user {} and \
             group {}; nothing was changed",
            dir.st_uid, dir.st_gid
        )
    })
}

/// Removes files of provisional names that nobody holds: what creators that died left.
pub(crate) fn sweep(dir: &Path, is_provisional: impl Fn(&str) -> bool, life: u64) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_name().to_str().is_some_and(&is_provisional)
            && let Ok(fd) = open(&path, true)
            && lock::try_exclusive(fd.as_fd(), life).unwrap_or(false)
            && is_named(fd.as_fd(), &path).unwrap_or(false)
        {
            let _ = rustix::fs::unlink(&path);
        }
    }
}

/// Size of the file in bytes.
pub(crate) fn size(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(rustix::fs::fstat(fd)?.st_size as u64)
}

/// When the file, or what the system notes of it, was last changed. Nobody can set that.
pub(crate) fn changed_at(fd: BorrowedFd<'_>) -> io::Result<SystemTime> {
    let stat = rustix::fs::fstat(fd)?;
    let seconds = Duration::from_secs(u64::try_from(stat.st_ctime).unwrap_or(0));
    Ok(UNIX_EPOCH + seconds)
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

/// What a file system tells of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileSystemFacts {
    pub(crate) kind: FileSystem,
    /// Bytes to be had; `None` where it has no limit of its own, or tells of none.
    pub(crate) free: Option<u64>,
}

/// `statfs` types: what lives in memory and is gone with it.
const TMPFS: u32 = 0x0102_1994;
const RAMFS: u32 = 0x8584_58f6;

/// What the file system that `dir` is on tells.
pub(crate) fn file_system(dir: &Path) -> io::Result<FileSystemFacts> {
    Ok(facts_of(&rustix::fs::statfs(dir)?))
}

/// Whether a file is in memory, so that it is of this boot.
pub(crate) fn is_in_memory(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(facts_of(&rustix::fs::fstatfs(fd)?).kind == FileSystem::Memory)
}

fn facts_of(facts: &rustix::fs::StatFs) -> FileSystemFacts {
    let kind = match facts.f_type as u32 {
        TMPFS | RAMFS => FileSystem::Memory,
        0x6969 => FileSystem::Unsuitable("NFS"),
        0x0102_1997 => FileSystem::Unsuitable("9p"),
        0x6573_5546 => FileSystem::Unsuitable("FUSE or virtiofs"),
        0xff53_4d42 | 0xfe53_4d42 => FileSystem::Unsuitable("SMB"),
        // Its files can be mapped, and not written to.
        0x9584_58f6 => FileSystem::Unsuitable("hugetlbfs"),
        _ => FileSystem::Disk,
    };
    // A tmpfs without a limit (`size=0`), ramfs and some sandboxes have no blocks at all: unknown, not full.
    let free = (facts.f_blocks > 0)
        .then(|| facts.f_bavail.saturating_mul(u64::try_from(facts.f_bsize).unwrap_or(0)));
    FileSystemFacts { kind, free }
}
