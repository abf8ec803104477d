//! Lock files of protocol 1.0 readers: `flock` on `NAME.lock`, in every directory where a peer looks.
//!
//! C++ and Python peers use `/tmp/zerobuffer`, C# peers `locks` below `zerobuffer` in the temporary directory
//! (D1). Holding all of them excludes readers of every language (L11).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

/// Another's stale scan holds a lock for a moment; so often we look again before we call it taken.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(5);
/// Who looks for leavings takes a lock for some microseconds.
pub(super) const LOOKS: u32 = 4;
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// Directories of lock files, in the order in which they are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockDirs(Vec<PathBuf>);

impl LockDirs {
    /// Where peers on this host look, given this process's environment.
    pub(crate) fn deployed() -> Self {
        Self::below(Path::new("/tmp"), std::env::var_os("TMPDIR").map(PathBuf::from).as_deref())
    }

    pub(crate) fn below(tmp: &Path, tmpdir: Option<&Path>) -> Self {
        let mut dirs = vec![tmp.join("zerobuffer"), tmp.join("zerobuffer/locks")];
        if let Some(other) = tmpdir.filter(|dir| dir.is_absolute()) {
            let dir = other.join("zerobuffer/locks");
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
        Self(dirs)
    }

    /// The directories.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(PathBuf::as_path)
    }

    /// Lock files of one buffer.
    pub(crate) fn paths(&self, name: &str) -> impl Iterator<Item = PathBuf> {
        self.0.iter().map(move |dir| dir.join(format!("{name}.lock")))
    }
}

/// One lock file, held.
#[derive(Debug)]
pub(crate) struct LockFile {
    path: PathBuf,
    fd: OwnedFd,
    pid: u32,
    remove: bool,
}

impl LockFile {
    /// Takes the lock, making the file if need be; `Ok(None)` when another holds it.
    pub(crate) fn acquire(path: &Path) -> io::Result<Option<Self>> {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(PAUSE);
            }
            match Self::try_acquire(path, OFlags::CREATE)? {
                Some(lock) => return Ok(Some(lock)),
                None => continue,
            }
        }
        Ok(None)
    }

    /// Takes the lock of an existing file if nobody holds it.
    pub(crate) fn try_stale(path: &Path) -> Option<Self> {
        Self::try_acquire(path, OFlags::empty()).ok().flatten()
    }

    fn try_acquire(path: &Path, create: OFlags) -> io::Result<Option<Self>> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | create;
        let fd = rustix::fs::open(path, flags, Mode::from_raw_mode(0o666))?;
        match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK | Errno::INTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // Between our open and our flock a leaving owner may have unlinked it (L12).
        let lock = Self { path: path.to_owned(), fd, pid: std::process::id(), remove: true };
        Ok(lock.is_named().then_some(lock))
    }

    /// Whether the path still stands for the locked file.
    fn is_named(&self) -> bool {
        FileId::of_path(&self.path).is_some_and(|id| Some(id) == FileId::of(&self.fd))
    }

    /// Time since the file was made.
    pub(crate) fn age(&self) -> Duration {
        let made = std::fs::metadata(&self.path).and_then(|found| found.modified());
        made.ok().and_then(|made| made.elapsed().ok()).unwrap_or_default()
    }

    /// Lets go of the lock but leaves the file.
    pub(crate) fn leave(mut self) {
        self.remove = false;
    }
}

impl Drop for LockFile {
    /// Removes the file while it is still locked, so that nobody locks a file that is about to go (L12).
    fn drop(&mut self) {
        if self.pid != std::process::id() {
            return;
        }
        if self.remove && self.is_named() {
            let _ = std::fs::remove_file(&self.path);
        }
        // Not left to closing: a child that another thread has just forked holds the description a little longer.
        let _ = flock(&self.fd, FlockOperation::Unlock);
    }
}

/// All lock files of one buffer, held.
#[derive(Debug)]
pub(crate) struct Locks {
    _files: Vec<LockFile>,
}

impl Locks {
    /// Takes the lock of `name` in every directory; `Ok(None)` when another reader holds one.
    ///
    /// A directory that another user made and that we may not write to is passed over: no peer running as this
    /// user could take a lock there either.
    pub(crate) fn acquire(dirs: &LockDirs, name: &str) -> io::Result<Option<Self>> {
        let mut files = Vec::new();
        for (dir, path) in dirs.iter().zip(dirs.paths(name)) {
            match std::fs::create_dir_all(dir) {
                Err(e) if is_forbidden(&e) => continue,
                other => other?,
            }
            match LockFile::acquire(&path) {
                Ok(Some(file)) => files.push(file),
                Ok(None) => return Ok(None),
                Err(e) if is_forbidden(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(Some(Self { _files: files }))
    }

    /// Whether somebody holds a lock of `name`. Takes it for a moment, so for doubtful cases only.
    pub(crate) fn are_held(dirs: &LockDirs, name: &str) -> bool {
        dirs.paths(name).any(|path| is_held(&path))
    }

    /// As [`are_held`](Self::are_held), and not only by somebody who looks whether it is held.
    pub(crate) fn are_kept(dirs: &LockDirs, name: &str) -> bool {
        (0..LOOKS).all(|look| {
            if look > 0 {
                std::thread::sleep(BETWEEN_LOOKS);
            }
            Self::are_held(dirs, name)
        })
    }

    /// Whether there is a lock file of `name`, held or not.
    pub(crate) fn exist(dirs: &LockDirs, name: &str) -> bool {
        dirs.paths(name).any(|path| path.symlink_metadata().is_ok())
    }

    /// Whether somebody holds a lock of `name` in another directory than the one held here.
    pub(crate) fn are_held_beside(dirs: &LockDirs, name: &str, own: &LockFile) -> bool {
        dirs.paths(name).any(|path| path != own.path && is_held(&path))
    }
}

fn is_held(path: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let Ok(fd) = rustix::fs::open(path, flags, Mode::empty()) else {
        return false;
    };
    flock(&fd, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// Which file something is, independent of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl FileId {
    pub(crate) fn of(fd: impl AsFd) -> Option<Self> {
        let stat = rustix::fs::fstat(fd).ok()?;
        Some(Self { device: stat.st_dev, inode: stat.st_ino })
    }

    pub(crate) fn of_path(path: &Path) -> Option<Self> {
        let stat = rustix::fs::lstat(path).ok()?;
        Some(Self { device: stat.st_dev, inode: stat.st_ino })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l11_locks_are_held_in_every_directory_where_a_peer_looks() {
        let tmp = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let dirs = LockDirs::below(tmp.path(), Some(other.path()));
        let locks = Locks::acquire(&dirs, "cam").unwrap().unwrap();
        for dir in ["zerobuffer", "zerobuffer/locks"] {
            assert!(tmp.path().join(dir).join("cam.lock").exists());
        }
        assert!(other.path().join("zerobuffer/locks/cam.lock").exists());
        assert!(Locks::are_held(&dirs, "cam") && !Locks::are_held(&dirs, "other"));
        // A peer that looks in one directory only.
        let csharp = LockDirs(vec![other.path().join("zerobuffer/locks")]);
        assert!(Locks::acquire(&csharp, "cam").unwrap().is_none());
        drop(locks);
        assert!(!tmp.path().join("zerobuffer/cam.lock").exists());
        assert!(Locks::acquire(&csharp, "cam").unwrap().is_some());
    }

    #[test]
    fn l12_a_lock_on_a_file_that_lost_its_name_is_no_lock() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("cam.lock");
        let first = LockFile::acquire(&path).unwrap().unwrap();
        // A peer's scan or close removes the name under us; a successor makes a new file.
        std::fs::remove_file(&path).unwrap();
        let second = LockFile::acquire(&path).unwrap().unwrap();
        drop(first);
        assert!(path.exists(), "the successor's file was removed");
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn the_directories_follow_the_environment_without_repeating() {
        let plain = LockDirs::below(Path::new("/tmp"), None);
        assert_eq!(LockDirs::below(Path::new("/tmp"), Some(Path::new("/tmp"))), plain);
        assert_eq!(LockDirs::below(Path::new("/tmp"), Some(Path::new("relative"))), plain);
        assert_eq!(LockDirs::below(Path::new("/tmp"), Some(Path::new("/run"))).iter().count(), 3);
    }
}
