//! The reading end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use zerobuffer::{Armed, Batch, Frame, OwnedFrame, ReadError, Reader};

use crate::hub::Registration;
use crate::when::when_ready;

/// A [`Reader`] whose waiting is asynchronous.
#[derive(Debug)]
pub struct AsyncReader {
    // Before the reader, which it must not outlive; see `words`.
    registration: Registration,
    /// The waiting thread looks after this very reader's writer.
    is_looked_after: bool,
    reader: Reader,
}

impl AsyncReader {
    /// Gives a reader a place at the waiting thread.
    ///
    /// # Errors
    /// No more descriptors (it needs one), or no more threads, when that thread was yet to be started.
    pub fn new(reader: Reader) -> io::Result<Self> {
        let registration = Registration::new()?;
        registration.look_after(reader.peer_watch()?);
        Ok(Self { registration, is_looked_after: true, reader })
    }

    /// The next frame, as [`Reader::read`].
    ///
    /// Cancellation safe: a frame is received only by the poll that hands it out.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub async fn read(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        when_ready!(self, reader, self.arm(), reader.try_read())
    }

    /// Up to `max` frames, as [`Reader::read_batch`].
    ///
    /// Cancellation safe: frames are received only once the batch is there, one by one as it is gone through.
    ///
    /// # Errors
    /// As [`Reader::read_batch`].
    pub async fn next_batch(&mut self, max: usize) -> Result<Option<Batch<'_>>, ReadError> {
        when_ready!(self, reader, self.arm(), reader.try_read_batch(max))
    }

    /// The next frame, kept beyond its borrow; for those who write futures by hand.
    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<OwnedFrame>, ReadError>> {
        loop {
            match self.reader.try_read() {
                Err(error) if error.is_timeout() => {}
                told => return Poll::Ready(told.map(|frame| frame.map(Frame::into_owned))),
            }
            let armed = self.arm();
            if self.registration.call_when(armed, context.waker()) {
                return Poll::Pending;
            }
        }
    }

    /// Frames as a [`Stream`]. Each keeps its place in the ring until it is dropped, so who collects them fills the ring. An
    /// error is an item. The stream ends when the writer has closed; polled again, it waits for the writer's successor.
    pub fn into_stream(self) -> Frames {
        Frames { reader: self }
    }

    /// The reader itself.
    pub fn get_ref(&self) -> &Reader {
        &self.reader
    }

    /// The reader itself, for everything that does not wait.
    pub fn get_mut(&mut self) -> &mut Reader {
        // Whoever has it may replace it: then the word it was armed with is gone, and its writer another one.
        self.registration.forget();
        self.registration.look_after(None);
        self.is_looked_after = false;
        &mut self.reader
    }

    /// The reader itself, blocking again.
    pub fn into_inner(self) -> Reader {
        let Self { registration, reader, .. } = self;
        drop(registration);
        reader
    }

    fn arm(&mut self) -> Armed {
        if !self.is_looked_after {
            // Without a descriptor for it, the task is called a dozen times a second, and looks by itself.
            self.registration.look_after(self.reader.peer_watch().ok().flatten());
            self.is_looked_after = true;
        }
        self.reader.arm()
    }
}

/// Frames of an [`AsyncReader`] as a stream.
#[derive(Debug)]
pub struct Frames {
    reader: AsyncReader,
}

impl Frames {
    /// The reader back; nothing of it was lost.
    pub fn into_reader(self) -> AsyncReader {
        self.reader
    }
}

impl Stream for Frames {
    type Item = Result<OwnedFrame, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.reader.poll_read(context).map(Result::transpose)
    }
}
