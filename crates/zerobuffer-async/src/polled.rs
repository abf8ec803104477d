//! Endpoints with a file descriptor to poll: for `epoll`, GLib, Python's asyncio, and everything else that waits for
//! descriptors.
//!
//! The descriptor is an `eventfd`. It is readable from the beginning, and as long as the last try was not in vain; a try in
//! vain makes it unreadable, until the waiting thread finds that there is something to try for. So it costs nothing while
//! frames come, and is fit for level- and for edge-triggered waiting alike.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::task::{Wake, Waker};

use rustix::event::{EventfdFlags, eventfd};
use zerobuffer::{Batch, Frame, FrameMut, ReadError, Reader, WriteError, Writer, Written};

use crate::hub::Registration;
use crate::when::unless_told;

/// A descriptor that a waker makes readable.
#[derive(Debug)]
struct Alarm(OwnedFd);

impl Alarm {
    fn new() -> io::Result<Arc<Self>> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Arc::new(Self(eventfd(1, flags)?)))
    }

    fn raise(&self) {
        // It fails only if the count is at its end, and then it is readable.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    fn clear(&self) {
        // It fails only if there is nothing to clear.
        let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.raise();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.raise();
    }
}

/// A [`Reader`] with a descriptor that is readable when there is something to try for: a frame, the end of the writer (it
/// closed, died, or the buffer was removed), or a new writer.
///
/// When the descriptor is readable, call a `try_` method; after [`ReadError::Timeout`], and only then, wait again. One call
/// for each event is enough with level-triggered waiting. It may be readable for nothing: when the frame was read already,
/// and, where nobody wakes (protocol 1.0, observers, members of a work group), a thousand times a second.
///
/// The other side of a fork or a duplicate of the descriptor has no use for it: who polls has to be who reads.
///
/// ```
/// use zerobuffer::{BufferConfig, Reader, Writer};
/// use zerobuffer_async::PolledReader;
/// # use rustix::event::{PollFd, PollFlags, poll};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let name = &format!("doc-polled-{}", std::process::id());
/// # let mut writer = Writer::create(name, &BufferConfig::new())?;
/// let mut reader = PolledReader::new(Reader::join(name)?)?;
/// # writer.write(b"hello")?;
/// loop {
///     poll(&mut [PollFd::new(&reader, PollFlags::IN)], None)?;
///     match reader.try_read() {
///         Ok(Some(frame)) => {
///             assert_eq!(&frame[..], b"hello");
///             break;
///         }
///         Ok(None) => println!("the writer has closed"),
///         Err(error) if error.is_timeout() => {} // wait again
///         Err(error) => return Err(error.into()),
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct PolledReader {
    // Before the reader, which it must not outlive; see `words`.
    registration: Registration,
    reader: Reader,
    waker: Waker,
    alarm: Arc<Alarm>,
}

impl PolledReader {
    /// Gives a reader a descriptor, and a place at the waiting thread.
    ///
    /// # Errors
    /// No more descriptors (it needs two), or no more threads, when that thread was yet to be started.
    pub fn new(reader: Reader) -> io::Result<Self> {
        let registration = Registration::new()?;
        registration.look_after(reader.peer_watch()?);
        let alarm = Alarm::new()?;
        Ok(Self { registration, reader, waker: Waker::from(Arc::clone(&alarm)), alarm })
    }

    /// The next frame, if it is there; as [`Reader::try_read`].
    ///
    /// # Errors
    /// [`ReadError::Timeout`] when it is not, and then the descriptor tells when to try again; otherwise as
    /// [`Reader::try_read`].
    pub fn try_read(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        loop {
            let not_now = unless_told!(reader = self.reader, reader.try_read());
            if self.sleep() {
                return Err(not_now);
            }
        }
    }

    /// Up to `max` frames, if any are there; as [`Reader::try_read_batch`].
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read).
    pub fn try_read_batch(&mut self, max: usize) -> Result<Option<Batch<'_>>, ReadError> {
        loop {
            let not_now = unless_told!(reader = self.reader, reader.try_read_batch(max));
            if self.sleep() {
                return Err(not_now);
            }
        }
    }

    /// Makes the descriptor unreadable until there is something to try for. False: there is.
    fn sleep(&mut self) -> bool {
        self.alarm.clear();
        let armed = self.reader.arm();
        let sleeps = self.registration.call_when(armed, &self.waker);
        if !sleeps {
            self.alarm.raise();
        }
        sleeps
    }

    /// The reader itself, for what does not read.
    pub fn get_ref(&self) -> &Reader {
        &self.reader
    }

    /// The reader itself, without its descriptor.
    pub fn into_inner(self) -> Reader {
        let Self { registration, reader, .. } = self;
        drop(registration);
        reader
    }
}

impl AsFd for PolledReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.alarm.0.as_fd()
    }
}

impl AsRawFd for PolledReader {
    fn as_raw_fd(&self) -> RawFd {
        self.alarm.0.as_raw_fd()
    }
}

/// A [`Writer`] with a descriptor that is readable (so wait for `POLLIN`) when it is worth while to try again after the ring
/// was full.
///
/// As with a [`PolledReader`] it is readable as long as the last try was not in vain. While a writer waits for room it is
/// also readable a dozen times a second, for dead readers have to be looked for by the writer itself.
#[derive(Debug)]
pub struct PolledWriter {
    // Before the writer, which it must not outlive; see `words`.
    registration: Registration,
    writer: Writer,
    waker: Waker,
    alarm: Arc<Alarm>,
}

impl PolledWriter {
    /// Gives a writer a descriptor, and a place at the waiting thread.
    ///
    /// # Errors
    /// No more descriptors, or no more threads, when that thread was yet to be started.
    pub fn new(writer: Writer) -> io::Result<Self> {
        let registration = Registration::new()?;
        let alarm = Alarm::new()?;
        Ok(Self { registration, writer, waker: Waker::from(Arc::clone(&alarm)), alarm })
    }

    /// Copies a frame into the ring and commits it, if there is room; as [`Writer::try_write`].
    ///
    /// # Errors
    /// [`WriteError::Full`] when there is not, and then the descriptor tells when to try again; otherwise as
    /// [`Writer::try_write`].
    pub fn try_write(&mut self, payload: &[u8]) -> Result<Written, WriteError> {
        loop {
            let not_now = unless_told!(writer = self.writer, writer.try_write(payload));
            if self.sleep(payload.len()) {
                return Err(not_now);
            }
        }
    }

    /// Lends `len` bytes of the ring, if there is room; as [`Writer::try_loan`].
    ///
    /// # Errors
    /// As [`try_write`](Self::try_write).
    pub fn try_loan(&mut self, len: usize) -> Result<FrameMut<'_>, WriteError> {
        loop {
            let not_now = unless_told!(writer = self.writer, writer.try_loan(len));
            if self.sleep(len) {
                return Err(not_now);
            }
        }
    }

    fn sleep(&mut self, len: usize) -> bool {
        self.alarm.clear();
        let armed = self.writer.arm(len);
        let sleeps = self.registration.call_when(armed, &self.waker);
        if !sleeps {
            self.alarm.raise();
        }
        sleeps
    }

    /// The writer itself, for what does not write.
    pub fn get_ref(&self) -> &Writer {
        &self.writer
    }

    /// The writer itself, without its descriptor.
    pub fn into_inner(self) -> Writer {
        let Self { registration, writer, .. } = self;
        drop(registration);
        writer
    }
}

impl AsFd for PolledWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.alarm.0.as_fd()
    }
}

impl AsRawFd for PolledWriter {
    fn as_raw_fd(&self) -> RawFd {
        self.alarm.0.as_raw_fd()
    }
}
