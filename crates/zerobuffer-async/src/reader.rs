//! The reading end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use zerobuffer::{Batch, Frame, OwnedFrame, ReadError, Reader};

use crate::hub::Registration;
use crate::when::when_ready;

/// A [`Reader`] whose waiting is asynchronous.
#[derive(Debug)]
pub struct AsyncReader {
    // Before the reader, which it must not outlive; see `words`.
    registration: Registration,
    reader: Reader,
}

impl AsyncReader {
    /// Gives a reader a place at the waiting thread.
    ///
    /// # Errors
    /// When that thread was yet to be started and the system did not.
    pub fn new(reader: Reader) -> io::Result<Self> {
        Ok(Self { registration: Registration::new()?, reader })
    }

    /// The next frame, as [`Reader::read`].
    ///
    /// Cancellation safe: a frame is received only by the poll that hands it out.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub async fn read(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        when_ready!(self, reader, self.reader.arm(), reader.try_read())
    }

    /// Up to `max` frames, as [`Reader::read_batch`].
    ///
    /// Cancellation safe: frames are received only once the batch is there, one by one as it is gone through.
    ///
    /// # Errors
    /// As [`Reader::read_batch`].
    pub async fn next_batch(&mut self, max: usize) -> Result<Option<Batch<'_>>, ReadError> {
        when_ready!(self, reader, self.reader.arm(), reader.try_read_batch(max))
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
            if !self.sleep(context) {
                continue;
            }
            return Poll::Pending;
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
        // Whoever has it may replace it, and then the word it was armed with is gone.
        self.registration.forget();
        &mut self.reader
    }

    /// The reader itself, blocking again.
    pub fn into_inner(self) -> Reader {
        let Self { registration, reader } = self;
        drop(registration);
        reader
    }

    /// False: try again now.
    fn sleep(&mut self, context: &Context<'_>) -> bool {
        let armed = self.reader.arm();
        self.registration.call_when(armed, context.waker())
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
