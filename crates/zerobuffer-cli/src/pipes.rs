//! stdin and stdout as streams of frames that a signal can interrupt.
//!
//! The signal handlers restart system calls, so a blocked `read` would never see Ctrl-C: both directions wait in
//! `poll`, in slices. On stdout a pipe is opened a second time, non-blocking, because the flag belongs to the open
//! file and must not be changed under the program at the other end of ours.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::signals::{self, SLICE};

/// Most that a pipe holds without privileges.
const PIPE_BYTES: usize = 1 << 20;

/// stdin.
pub(crate) struct Source(BufReader<Interruptible>);

/// Where the next frame stands.
pub(crate) enum Arrival {
    /// It begins; so many bytes long.
    Frame(usize),
    /// One of 0 bytes, all of which was read.
    Empty,
    /// The stream ended between frames, or a signal came there.
    End,
}

impl Source {
    pub(crate) fn stdin() -> Self {
        // Only a pipe has a size; anything else works as it is.
        let _ = rustix::pipe::fcntl_setpipe_size(rustix::stdio::stdin(), PIPE_BYTES);
        Self(BufReader::with_capacity(64 << 10, Interruptible { between_frames: true }))
    }

    /// Waits for the next frame: of `size` bytes, or of the size that precedes it.
    pub(crate) fn next(&mut self, size: Option<usize>) -> io::Result<Arrival> {
        self.0.get_mut().between_frames = true;
        if signals::stopping() {
            return Ok(Arrival::End);
        }
        match self.0.fill_buf() {
            Ok([]) => return Ok(Arrival::End),
            Ok(_) => {}
            Err(_) if signals::stopping() => return Ok(Arrival::End),
            Err(error) => return Err(error),
        }
        // From here on the frame is worth finishing, as long as it keeps coming.
        self.0.get_mut().between_frames = false;
        if let Some(size) = size {
            return Ok(Arrival::Frame(size));
        }
        let mut prefix = [0; 4];
        self.fill(&mut prefix)?;
        match u32::from_le_bytes(prefix) {
            0 => Ok(Arrival::Empty),
            size => Ok(Arrival::Frame(size as usize)),
        }
    }

    /// Reads all of `bytes`, straight into it.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let wanted = bytes.len();
        let mut got = 0;
        while got < wanted {
            match self.0.read(&mut bytes[got..])? {
                0 => {
                    return Err(invalid(&format!(
                        "stdin ended inside a frame: {got} of {wanted} bytes; the frames before it were written"
                    )));
                }
                more => got += more,
            }
        }
        Ok(())
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

struct Interruptible {
    between_frames: bool,
}

impl Read for Interruptible {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let stdin = rustix::stdio::stdin();
        let mut silent = 0;
        while !ready(stdin, PollFlags::IN)? {
            silent += 1;
            // Inside a frame its sender, stopped by the same Ctrl-C, may still be sending the rest.
            let stalled = self.between_frames || silent >= 10 || signals::insisting();
            if signals::stopping() && stalled {
                return Err(io::Error::other(
                    "stopped by a signal inside a frame, which was not written",
                ));
            }
        }
        Ok(rustix::io::read(stdin, bytes)?)
    }
}

/// stdout.
pub(crate) struct Sink {
    /// Our own way into the pipe, if it is one.
    pipe: Option<File>,
    small: Vec<u8>,
    framed: bool,
}

/// Frames up to this size are gathered; larger ones go out from where they lie.
const SMALL: usize = 16 << 10;

impl Sink {
    pub(crate) fn stdout(framed: bool) -> Self {
        let stdout = rustix::stdio::stdout();
        let _ = rustix::pipe::fcntl_setpipe_size(stdout, PIPE_BYTES);
        let is_pipe = rustix::fs::fstat(stdout)
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_fifo());
        let flag = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("a flag of open(2)");
        let pipe = is_pipe
            .then(|| File::options().write(true).custom_flags(flag).open("/proc/self/fd/1").ok())
            .flatten();
        Self { pipe, small: Vec::with_capacity(4 * SMALL), framed }
    }

    /// Takes a frame; small ones may wait for [`Sink::flush`].
    pub(crate) fn frame(&mut self, payload: &[u8]) -> io::Result<()> {
        if self.framed {
            let size = u32::try_from(payload.len())
                .map_err(|_| invalid("a frame of 4 GiB or more does not fit a 4-byte size"))?;
            self.small.extend_from_slice(&size.to_le_bytes());
        }
        if payload.len() > SMALL {
            self.flush()?;
            return self.write(payload);
        }
        self.small.extend_from_slice(payload);
        if self.small.len() > 2 * SMALL { self.flush() } else { Ok(()) }
    }

    /// Everything taken is in the pipe.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let small = std::mem::take(&mut self.small);
        let result = self.write(&small);
        self.small = small;
        self.small.clear();
        result
    }

    fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        let Some(mut pipe) = self.pipe.as_ref() else {
            let stdout = rustix::stdio::stdout();
            while !bytes.is_empty() {
                let written = rustix::io::write(stdout, bytes)?;
                bytes = &bytes[written..];
            }
            return Ok(());
        };
        while !bytes.is_empty() {
            match pipe.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready(pipe.as_fd(), PollFlags::OUT)?;
                    if signals::insisting() {
                        return Err(io::Error::other(
                            "stopped by a signal while stdout was not being read",
                        ));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Waits for one slice.
fn ready(fd: BorrowedFd<'_>, what: PollFlags) -> io::Result<bool> {
    let slice = Timespec { tv_sec: 0, tv_nsec: SLICE.subsec_nanos().into() };
    match poll(&mut [PollFd::from_borrowed_fd(fd, what)], Some(&slice)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
