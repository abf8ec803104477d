//! Writing to a descriptor without blocking for longer than wanted.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::net::SendFlags;

/// How long a command waits for anything before it looks at the signals again.
pub const SLICE: Duration = Duration::from_millis(100);
/// So many bytes fit a pipe that `poll` calls writable.
const SURE: usize = 4096;

/// How a descriptor is written to without blocking for longer than wanted.
#[derive(Debug)]
pub enum Way {
    /// Our own way into the pipe or terminal, which does not block.
    Own(File),
    /// Told with each call not to block.
    Socket(BorrowedFd<'static>),
    /// Asked before each call.
    Careful(BorrowedFd<'static>),
    /// Files do not keep anybody waiting.
    Plain(BorrowedFd<'static>),
}

impl Way {
    /// The fastest way; `paths` lead to the same open file.
    pub fn of(fd: BorrowedFd<'static>, paths: &[&str]) -> Self {
        let kind = rustix::fs::fstat(fd).map(|stat| FileType::from_raw_mode(stat.st_mode));
        match kind {
            Ok(FileType::Socket) => return Self::Socket(fd),
            Ok(FileType::Fifo) => {}
            Ok(FileType::CharacterDevice) if rustix::termios::isatty(fd) => {}
            // stdout is `/dev/null`, a regular file, or the like.
            _ => return Self::Plain(fd),
        }
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        let flags = i32::try_from(flags.bits()).expect("flags of open(2)");
        let mut options = File::options();
        options.write(true).custom_flags(flags);
        match paths.iter().find_map(|path| options.open(path).ok()) {
            Some(own) => Self::Own(own),
            None => Self::Careful(fd),
        }
    }

    /// A way that opens nothing.
    pub fn careful(fd: BorrowedFd<'static>) -> Self {
        let kind = rustix::fs::fstat(fd).map(|stat| FileType::from_raw_mode(stat.st_mode));
        if kind == Ok(FileType::Socket) { Self::Socket(fd) } else { Self::Careful(fd) }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Own(file) => file.as_fd(),
            Self::Socket(fd) | Self::Careful(fd) | Self::Plain(fd) => *fd,
        }
    }

    /// Writes some of `bytes`; `None`: there was no room for any within `patience`.
    pub fn write(&self, bytes: &[u8], patience: Duration) -> io::Result<Option<usize>> {
        let mut asked = false;
        loop {
            let written = match self {
                Self::Own(file) => rustix::io::write(file, bytes),
                Self::Socket(fd) => {
                    rustix::net::send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
                }
                Self::Plain(fd) => rustix::io::write(fd, bytes),
                Self::Careful(_) if !asked => Err(rustix::io::Errno::AGAIN),
                Self::Careful(fd) => rustix::io::write(fd, &bytes[..bytes.len().min(SURE)]),
            };
            match written {
                Ok(written) => return Ok(Some(written)),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) if asked => return Ok(None),
                Err(rustix::io::Errno::AGAIN) => {
                    if !ready(self.fd(), PollFlags::OUT, patience)? {
                        return Ok(None);
                    }
                    asked = true;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Waits for `what`, at most so long.
pub fn ready(fd: BorrowedFd<'_>, what: PollFlags, patience: Duration) -> io::Result<bool> {
    let end = Instant::now() + patience;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::from_borrowed_fd(fd, what)], Some(&left)) {
            Ok(count) => return Ok(count > 0),
            Err(rustix::io::Errno::INTR) if patience.is_zero() => return Ok(false),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
