//! stdin and stdout as streams of frames that a signal can interrupt.
//!
//! Three ways to tell where a frame ends: all have one size, each is preceded by its size, or the stream is
//! [YUV4MPEG2](crate::y4m). What comes in is another program's word: sizes are checked before anything of that size is
//! made.

use std::io::{self, BufRead, BufReader, Read, Write};

use rustix::event::PollFlags;

use crate::messages::say;
use zerobuffer_terminal::way::ready;

use crate::output::Output;
use crate::signals::{self, SLICE};
use crate::y4m::{self, Header, Line, MOST_LINE_BYTES};

/// Most that a pipe holds without privileges.
const PIPE_BYTES: usize = 1 << 20;

/// By how much a space for a frame grows at least.
const GROWTH: usize = 1 << 20;

/// stdin.
pub(crate) struct Source {
    input: BufReader<Interruptible>,
    bounds: Bounds,
    /// Frames that began.
    begun: u64,
    told: bool,
}

/// What tells where a frame of stdin ends.
#[derive(Debug, Clone)]
pub(crate) enum Bounds {
    /// All have this size.
    Size(usize),
    /// Each is preceded by its size, as 4 bytes little-endian.
    Prefix,
    /// Each is a picture under this header, which was read.
    Y4m(Header),
}

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
    pub(crate) fn stdin(bounds: Bounds) -> Self {
        Self { input: input(), bounds, begun: 0, told: false }
    }

    /// Reads the header first. `None`: the stream is empty, or a signal came.
    pub(crate) fn y4m() -> io::Result<Option<Self>> {
        let mut input = input();
        if !begins(&mut input)? {
            return Ok(None);
        }
        let line = line(&mut input)?;
        let header =
            Header::parse(&line).map_err(|problem| invalid(&format!("stdin: {problem}")))?;
        Ok(Some(Self { input, bounds: Bounds::Y4m(header), begun: 0, told: false }))
    }

    /// The header that was read.
    pub(crate) fn header(&self) -> Option<&Header> {
        match &self.bounds {
            Bounds::Y4m(header) => Some(header),
            _ => None,
        }
    }

    /// Waits for the next frame.
    pub(crate) fn next(&mut self) -> io::Result<Arrival> {
        loop {
            if !begins(&mut self.input)? {
                return Ok(Arrival::End);
            }
            let size = match &self.bounds {
                Bounds::Size(size) => *size,
                Bounds::Prefix => {
                    let mut prefix = [0; 4];
                    self.fill(&mut prefix)?;
                    match u32::from_le_bytes(prefix) {
                        0 => return Ok(Arrival::Empty),
                        size => size as usize,
                    }
                }
                Bounds::Y4m(header) => {
                    let line = line(&mut self.input)?;
                    let number = self.begun + 1;
                    match header.between(&line) {
                        Ok(Line::Picture { parameters }) => {
                            if parameters && !self.told {
                                self.told = true;
                                say(format_args!(
                                    "parameters of FRAME lines, as picture {number} has them, are not kept"
                                ));
                            }
                            header.frame_bytes()
                        }
                        Ok(Line::Again) => continue,
                        Err(problem) => {
                            return Err(invalid(&format!("stdin, picture {number}: {problem}")));
                        }
                    }
                }
            };
            self.begun += 1;
            return Ok(Arrival::Frame(size));
        }
    }

    /// Reads all of `bytes`, straight into it.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let wanted = bytes.len();
        let mut got = 0;
        while got < wanted {
            got += self.some(&mut bytes[got..], got, wanted)?;
        }
        Ok(())
    }

    /// Reads `wanted` bytes into the beginning of `space`, which grows with what comes rather than with what is
    /// promised.
    pub(crate) fn collect(&mut self, wanted: usize, space: &mut Vec<u8>) -> io::Result<()> {
        let mut got = 0;
        while got < wanted {
            let room = wanted.min(space.len().max(got + GROWTH.max(got)));
            if space.len() < room {
                space.resize(room, 0);
            }
            got += self.some(&mut space[got..room], got, wanted)?;
        }
        Ok(())
    }

    /// At least one byte of a frame of `wanted`, of which `got` are there.
    fn some(&mut self, space: &mut [u8], got: usize, wanted: usize) -> io::Result<usize> {
        match self.input.read(space)? {
            0 => Err(invalid(&format!(
                "stdin ended inside a frame: {got} of {wanted} bytes; the frames before it were written"
            ))),
            more => Ok(more),
        }
    }
}

fn input() -> BufReader<Interruptible> {
    // Only a pipe has a size; anything else works as it is.
    let _ = rustix::pipe::fcntl_setpipe_size(rustix::stdio::stdin(), PIPE_BYTES);
    BufReader::with_capacity(64 << 10, Interruptible { between_frames: true })
}

/// Waits for the first byte of something; `false`: the stream ended, or a signal came.
fn begins(input: &mut BufReader<Interruptible>) -> io::Result<bool> {
    input.get_mut().between_frames = true;
    if signals::stopping() {
        return Ok(false);
    }
    match input.fill_buf() {
        Ok([]) => return Ok(false),
        Ok(_) => {}
        Err(_) if signals::stopping() => return Ok(false),
        Err(error) => return Err(error),
    }
    // From here on it is worth finishing, as long as it keeps coming.
    input.get_mut().between_frames = false;
    Ok(true)
}

/// The next line, without its end. What is no line of a header is cut off, and then not understood.
fn line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.take(MOST_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(line)
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
        loop {
            // Inside a frame its sender, stopped by the same Ctrl-C, may still be sending the rest.
            let stalled = self.between_frames || silent >= 10 || signals::insisting();
            if signals::stopping() && stalled {
                return Err(io::Error::other(
                    "stopped by a signal inside a frame, which was not written",
                ));
            }
            if !ready(stdin, PollFlags::IN, SLICE)? {
                silent += 1;
                continue;
            }
            match rustix::io::read(stdin, &mut *bytes) {
                Ok(got) => {
                    signals::moved();
                    return Ok(got);
                }
                // Somebody else who has it took what there was, or made it non-blocking.
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => silent += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// How frames go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// One after the other.
    Raw,
    /// Each behind its size, as 4 bytes little-endian.
    Prefix,
    /// As pictures of a YUV4MPEG2 stream, under the header that is the metadata.
    Y4m,
}

/// stdout.
pub(crate) struct Sink {
    output: Output,
    small: Vec<u8>,
    framing: Framing,
    /// Of a YUV4MPEG2 stream; `None`: none came yet.
    header: Option<Header>,
}

/// Frames up to this size are gathered; larger ones go out from where they lie.
const SMALL: usize = 16 << 10;

impl Sink {
    pub(crate) fn stdout(framing: Framing) -> Self {
        let _ = rustix::pipe::fcntl_setpipe_size(rustix::stdio::stdout(), PIPE_BYTES);
        let small = Vec::with_capacity(4 * SMALL);
        Self { output: Output::stdout(), small, framing, header: None }
    }

    /// Takes the metadata of the frames that follow.
    pub(crate) fn metadata(&mut self, metadata: &[u8]) -> io::Result<()> {
        if self.framing != Framing::Y4m {
            return Ok(());
        }
        let header = Header::parse(metadata).map_err(|problem| {
            invalid(&format!("the metadata is no YUV4MPEG2 header ({problem}): was the buffer written with --y4m?"))
        })?;
        match &self.header {
            None => {
                self.small.extend_from_slice(header.line().as_bytes());
                self.small.push(b'\n');
                self.header = Some(header);
                Ok(())
            }
            Some(first) if *first == header => Ok(()),
            Some(first) => Err(invalid(&format!(
                "the writer's header changed from `{}` to `{}`, and a YUV4MPEG2 stream has one: start again for the rest",
                first.line(),
                header.line()
            ))),
        }
    }

    /// Takes a frame; small ones may wait for [`Sink::flush`].
    pub(crate) fn frame(&mut self, payload: &[u8]) -> io::Result<()> {
        match self.framing {
            Framing::Raw => {}
            Framing::Prefix => {
                let size = u32::try_from(payload.len())
                    .map_err(|_| invalid("a frame of 4 GiB or more does not fit a 4-byte size"))?;
                self.small.extend_from_slice(&size.to_le_bytes());
            }
            Framing::Y4m => {
                let Some(header) = &self.header else {
                    return Err(invalid(
                        "the writer set no metadata, where a YUV4MPEG2 header is expected: was the buffer written with --y4m?",
                    ));
                };
                if header.frame_bytes() != payload.len() {
                    return Err(invalid(&format!(
                        "a frame of {} bytes, where a picture under `{}` has {}",
                        payload.len(),
                        header.line(),
                        header.frame_bytes()
                    )));
                }
                self.small.extend_from_slice(y4m::FRAME_LINE);
            }
        }
        if payload.len() > SMALL {
            self.flush()?;
            return self.output.write_all(payload);
        }
        self.small.extend_from_slice(payload);
        if self.small.len() > 2 * SMALL { self.flush() } else { Ok(()) }
    }

    /// Everything taken is in the pipe.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let small = std::mem::take(&mut self.small);
        let result = self.output.write_all(&small);
        self.small = small;
        self.small.clear();
        result
    }
}
