//! The writing end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_sink::Sink;
use zerobuffer::{FrameMut, WriteError, Writer, Written};

use crate::hub::Registration;
use crate::when::when_ready;

/// A [`Writer`] whose waiting is asynchronous. It waits for room without limit, whatever the full-policy of the writer says:
/// the runtime's own timeout ends that at any time.
#[derive(Debug)]
pub struct AsyncWriter {
    // Before the writer, which it must not outlive; see `words`.
    registration: Registration,
    writer: Writer,
}

impl AsyncWriter {
    /// Gives a writer a place at the waiting thread.
    ///
    /// # Errors
    /// When that thread was yet to be started and the system did not.
    pub fn new(writer: Writer) -> io::Result<Self> {
        Ok(Self { registration: Registration::new()?, writer })
    }

    /// Copies a frame into the ring and commits it, once there is room.
    ///
    /// Cancellation safe: the frame is written by the poll that says so, or not at all.
    ///
    /// # Errors
    /// As [`Writer::write`], without `Full`.
    pub async fn write(&mut self, payload: &[u8]) -> Result<Written, WriteError> {
        when_ready!(self, writer, self.writer.arm(payload.len()), writer.try_write(payload))
    }

    /// Lends `len` bytes of the ring to be filled in place and committed, once there is room.
    ///
    /// Cancellation safe: a loan that is not committed never happened.
    ///
    /// # Errors
    /// As [`Writer::loan`], without `Full`.
    pub async fn loan(&mut self, len: usize) -> Result<FrameMut<'_>, WriteError> {
        when_ready!(self, writer, self.writer.arm(len), writer.try_loan(len))
    }

    /// As [`write`](Self::write); for those who write futures by hand.
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        payload: &[u8],
    ) -> Poll<Result<Written, WriteError>> {
        loop {
            match self.writer.try_write(payload) {
                Err(error) if error.is_timeout() => {}
                told => return Poll::Ready(told),
            }
            let armed = self.writer.arm(payload.len());
            if self.registration.call_when(armed, context.waker()) {
                return Poll::Pending;
            }
        }
    }

    /// A [`Sink`] of whatever is bytes.
    pub fn into_sink<B: AsRef<[u8]>>(self) -> FrameSink<B> {
        FrameSink { writer: self, waiting: None }
    }

    /// The writer itself.
    pub fn get_ref(&self) -> &Writer {
        &self.writer
    }

    /// The writer itself, for everything that does not wait.
    pub fn get_mut(&mut self) -> &mut Writer {
        // Whoever has it may replace it, and then the word it was armed with is gone.
        self.registration.forget();
        &mut self.writer
    }

    /// The writer itself, blocking again.
    pub fn into_inner(self) -> Writer {
        let Self { registration, writer } = self;
        drop(registration);
        writer
    }
}

/// An [`AsyncWriter`] as a sink. It holds at most one item that found no room yet, and tries it again with each call, also
/// after an error; an item that can never be written (empty, too large) is gone with its error.
///
/// To close it only flushes; the buffer closes when the writer is dropped.
#[derive(Debug)]
pub struct FrameSink<B> {
    writer: AsyncWriter,
    waiting: Option<B>,
}

impl<B> FrameSink<B> {
    /// The writer back, and the item that found no room.
    pub fn into_parts(self) -> (AsyncWriter, Option<B>) {
        (self.writer, self.waiting)
    }
}

// An item is never pinned.
impl<B> Unpin for FrameSink<B> {}

impl<B: AsRef<[u8]>> Sink<B> for FrameSink<B> {
    type Error = WriteError;

    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        self.poll_flush(context)
    }

    fn start_send(mut self: Pin<&mut Self>, item: B) -> Result<(), WriteError> {
        assert!(self.waiting.is_none(), "`start_send` comes after `poll_ready`");
        match self.writer.writer.try_write(item.as_ref()) {
            Err(error) if error.is_timeout() => {
                self.waiting = Some(item);
                Ok(())
            }
            told => told.map(|_| ()),
        }
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), WriteError>> {
        let sink = &mut *self;
        let Some(item) = &sink.waiting else { return Poll::Ready(Ok(())) };
        let written = sink.writer.poll_write(context, item.as_ref());
        if let Poll::Ready(Ok(_)) = written {
            sink.waiting = None;
        }
        written.map_ok(|_| ())
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        self.poll_flush(context)
    }
}
