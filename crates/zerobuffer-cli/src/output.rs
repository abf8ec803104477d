//! What was asked for, on its way out: frames, tables, reports.
//!
//! Whatever stdout is (a pipe, a socket, a terminal, non-blocking because its other owners want it so), all of it is
//! written, or an error says why not; and a signal ends the wait for somebody who does not read. A blocked `write`
//! would not see one, since the handlers restart system calls: so a pipe is opened a second time, non-blocking,
//! because that flag belongs to the open file and must not be changed under the program at the other end of ours.
//! A socket is told so with each call. Where neither can be, as with a pipe of another user, `poll` says when there is
//! room, and no more is written than fits then.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::net::SendFlags;

use crate::signals::{self, SLICE};

/// So many bytes fit a pipe that `poll` calls writable.
const SURE: usize = 4096;

/// How a descriptor is written to without blocking for longer than wanted.
#[derive(Debug)]
pub(crate) enum Way {
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
    fn of(fd: BorrowedFd<'static>, paths: &[&str]) -> Self {
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
    pub(crate) fn careful(fd: BorrowedFd<'static>) -> Self {
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
    pub(crate) fn write(&self, bytes: &[u8], patience: Duration) -> io::Result<Option<usize>> {
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

/// stdout or stderr, for what must arrive.
#[derive(Debug)]
pub(crate) struct Output {
    way: Way,
    what: &'static str,
}

impl Output {
    pub(crate) fn stdout() -> Self {
        let paths = ["/proc/self/fd/1", "/dev/stdout", "/dev/fd/1"];
        Self { way: Way::of(rustix::stdio::stdout(), &paths), what: "stdout" }
    }

    pub(crate) fn stderr() -> Self {
        Self { way: Way::careful(rustix::stdio::stderr()), what: "stderr" }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            let patience = if signals::insisting() { Duration::ZERO } else { SLICE };
            if let Some(written) = self.way.write(bytes, patience)? {
                signals::moved();
                return Ok(written);
            }
            if patience.is_zero() {
                let message =
                    format!("stopped by {} while nobody read {}", signals::name(), self.what);
                return Err(io::Error::other(message));
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints `text`, all of it. Whoever reads it and went away (`| head`) has seen enough, and that is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    match Output::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| io::Error::new(error.kind(), format!("stdout: {error}"))),
    }
}

/// JSON for people and programs: nothing in it is obeyed by a terminal, and it means the same.
pub(crate) fn json(value: &impl serde::Serialize) -> serde_json::Result<String> {
    Ok(escape_json(&serde_json::to_string_pretty(value)?))
}

/// Escapes within JSON what JSON need not escape, and a terminal obeys.
pub(crate) fn escape_json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        // Lines are the layout; within strings JSON has none.
        if c == '\n' || c.is_ascii_graphic() || c == ' ' {
            escaped.push(c);
            continue;
        }
        let mut bytes = [0; 4];
        let shown = zerobuffer::printable(&*c.encode_utf8(&mut bytes)).to_string();
        if shown.starts_with('\\') {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Waits for `what`, at most so long.
pub(crate) fn ready(fd: BorrowedFd<'_>, what: PollFlags, patience: Duration) -> io::Result<bool> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::escape_json;

    proptest! {
        #[test]
        fn escaped_json_means_the_same_and_commands_no_terminal(text: String) {
            let json = serde_json::to_string_pretty(&vec![&text]).unwrap();
            let escaped = escape_json(&json);
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&escaped).unwrap(), vec![text]);
            prop_assert!(!escaped.chars().any(|c| c.is_control() && c != '\n'));
        }
    }
}
