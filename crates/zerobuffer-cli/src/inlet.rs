//! A Reader as commands use it: it waits in slices, says what it waits for, and drains before it ends.

use std::time::{Duration, Instant};

use zerobuffer::{Event, Frame, MetadataError, OpenError, ReadError, Reader, WriterPresence};

use crate::messages::say;
use crate::signals::{self, SLICE};

/// A Reader with patience.
pub(crate) struct Inlet<'a> {
    reader: Reader,
    /// Longest wait for the first frame; `None`: no limit.
    first: Option<Duration>,
    /// Longest wait for any later one.
    each: Option<Duration>,
    /// Where the end of one writer is not the end: how to open the buffer again when it was removed.
    follow: Option<&'a dyn Fn() -> Result<Reader, OpenError>>,
    /// Frames that came again, and that were missed, in buffers that were removed since.
    before: (u64, u64),
    /// Whether the taker wants to know of metadata before it gets the frames that follow.
    heed: bool,
    /// Whether frames that were not taken come again to the next reader, whatever form they have.
    keeps: bool,
    /// Metadata was shown, or there was none to show.
    shown: bool,
    any: bool,
    told: bool,
    /// After a signal: bytes that were committed by then and are still to be read.
    drain: Option<u64>,
}

/// One frame, while it is lent.
pub(crate) struct Item<'a> {
    pub(crate) sequence: u64,
    pub(crate) payload: &'a [u8],
    /// Time since its commit, if the buffer notes it. Not known for frames taken as a batch.
    pub(crate) age: Option<Duration>,
    /// Whether it has a time stamp, by which it would have an age.
    pub(crate) stamped: bool,
    /// The frame itself, unless it was taken as part of a batch.
    pub(crate) frame: Option<&'a Frame<'a>>,
}

/// What is done with frames while they are lent.
pub(crate) trait Taker {
    /// The metadata of the frames that follow, for one that [heeds](Inlet::heed) it.
    fn metadata(&mut self, _metadata: Result<&[u8], MetadataError>) {}
    /// One frame.
    fn take(&mut self, item: &Item<'_>);
    /// The last of those that came together; whether all were taken. They are released then; otherwise they come again,
    /// to whoever reads next.
    fn done(&mut self) -> bool;
}

/// What a wait for frames ended with.
pub(crate) enum Next {
    /// Frames came and were taken.
    Frames,
    /// The writer closed, everything was read.
    Closed,
    /// A signal came and everything committed by then was read, or a second signal came.
    Stopped,
    /// Nothing in time, the writer died, or the buffer is unusable: what to say of it.
    Failed(String),
}

impl<'a> Inlet<'a> {
    pub(crate) fn new(
        reader: Reader,
        first: Option<Duration>,
        each: Option<Duration>,
        follow: Option<&'a dyn Fn() -> Result<Reader, OpenError>>,
    ) -> Self {
        let (heed, keeps, shown, any, told) = (false, false, false, false, false);
        let (drain, before) = (None, (0, 0));
        Self { reader, first, each, follow, before, heed, keeps, shown, any, told, drain }
    }

    /// A frame that was not taken is kept for the next reader also by one that [heeds](Self::heed) metadata. This
    /// process then ends as if it were killed while it held the frame: only for those that end soon, and leave a place.
    pub(crate) fn keeps_untaken(mut self, on: bool) -> Self {
        self.keeps = on;
        self
    }

    /// Tells the taker of the metadata when it changes, as soon as a frame comes behind the change. That frames
    /// which were written before a change, and read after it, come behind it too, the buffer does not tell.
    pub(crate) fn heed(mut self, on: bool) -> Self {
        self.heed = on;
        self
    }

    /// What is left to read when a signal cut reading short, in bytes.
    pub(crate) fn undone(&self) -> u64 {
        if signals::insisting() { self.reader.backlog_bytes() } else { 0 }
    }

    /// Whether the metadata was set or replaced since the last question.
    pub(crate) fn metadata_changed(&mut self) -> bool {
        self.reader.events().any(|event| matches!(event, Event::MetadataChanged { .. }))
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Frames that came again because a reader had died with them.
    pub(crate) fn redelivered(&self) -> u64 {
        self.before.0 + self.reader.stats().redelivered
    }

    /// Frames that were overwritten before they were read.
    pub(crate) fn missed(&self) -> u64 {
        self.before.1 + self.reader.stats().missed
    }

    /// Goes on with the buffer that has the name now, after the one at hand was removed.
    fn rejoin(&mut self, open: &dyn Fn() -> Result<Reader, OpenError>) -> Result<(), OpenError> {
        let reader = open()?;
        self.before = (self.redelivered(), self.missed());
        self.reader = reader;
        (self.told, self.shown) = (false, false);
        Ok(())
    }

    pub(crate) fn into_reader(self) -> Reader {
        self.reader
    }

    /// Waits for up to `most` frames and lends them to `taker`, in order.
    pub(crate) fn next(&mut self, most: usize, taker: &mut impl Taker) -> Next {
        let begun = Instant::now();
        loop {
            if signals::insisting() {
                return Next::Stopped;
            }
            if signals::stopping() && self.drain.is_none() {
                self.drain = Some(self.reader.backlog_bytes());
            }
            let slice = match self.drain {
                Some(0) => return Next::Stopped,
                Some(_) => Duration::ZERO,
                None => self.slice(begun),
            };
            match self.take(most, slice, taker) {
                Ok(Some(bytes)) => {
                    self.any = true;
                    if let Some(left) = &mut self.drain {
                        *left = left.saturating_sub(bytes);
                    }
                    return Next::Frames;
                }
                Ok(None) if self.follow.is_some() => {
                    say("the writer closed; waiting for the next one")
                }
                Ok(None) => return Next::Closed,
                Err(error) if error.is_timeout() && self.drain.is_some() => return Next::Stopped,
                Err(error) if error.is_peer_gone() && self.follow.is_some() => {
                    say(format_args!("{error}; waiting for it"));
                }
                Err(ReadError::Retired { .. }) if self.drain.is_some() => return Next::Stopped,
                Err(error @ ReadError::Retired { .. }) => {
                    let Some(open) = self.follow else { return Next::Failed(error.to_string()) };
                    let name = self.reader.name();
                    say(format_args!(
                        "buffer `{name}` was removed; going on with one of that name"
                    ));
                    if let Err(error) = self.rejoin(open) {
                        return Next::Failed(error.to_string());
                    }
                }
                Err(error) if error.is_timeout() => {
                    if self.limit().is_some_and(|limit| begun.elapsed() >= limit) {
                        return Next::Failed(error_after(error, begun.elapsed()).to_string());
                    }
                    if !self.any && !self.told {
                        self.told = true;
                        say(format_args!(
                            "waiting for the first frame of `{}`",
                            self.reader.name()
                        ));
                    }
                }
                Err(error) => return Next::Failed(error.to_string()),
            }
        }
    }

    /// One attempt; how many bytes of payload were taken.
    fn take(
        &mut self,
        most: usize,
        slice: Duration,
        taker: &mut impl Taker,
    ) -> Result<Option<u64>, ReadError> {
        let mut bytes = 0;
        if self.heed {
            if !self.keeps || self.reader.backlog_bytes() == 0 {
                return self.take_heeding(slice, taker);
            }
            // The frame is there, and so is what was set before it.
            self.tell(taker);
        }
        let stamped = self.reader.has_timestamps();
        if most == 1 || self.heed {
            let Some(frame) = self.reader.read_timeout(slice)? else {
                return Ok(None);
            };
            bytes += frame.len() as u64;
            let (sequence, age) = (frame.sequence(), frame.age());
            taker.take(&Item { sequence, payload: &frame, age, stamped, frame: Some(&frame) });
            if taker.done() {
                signals::moved();
            } else {
                // Unreleased: the next reader gets it again.
                std::mem::forget(frame);
            }
            return Ok(Some(bytes));
        }
        let Some(mut batch) = self.reader.read_batch_timeout(most, slice)? else {
            return Ok(None);
        };
        while let Some(frame) = batch.next() {
            bytes += frame.payload.len() as u64;
            let (sequence, payload) = (frame.sequence, frame.payload);
            taker.take(&Item { sequence, payload, age: None, stamped: false, frame: None });
        }
        if taker.done() {
            signals::moved();
            // Only now may the writer have the space back.
            drop(batch);
        } else {
            std::mem::forget(batch);
        }
        Ok(Some(bytes))
    }

    /// The same for one frame, and the metadata before it if that is news.
    fn take_heeding(
        &mut self,
        slice: Duration,
        taker: &mut impl Taker,
    ) -> Result<Option<u64>, ReadError> {
        let stamped = self.reader.has_timestamps();
        let Some(frame) = self.reader.read_timeout(slice)? else {
            return Ok(None);
        };
        let age = frame.age();
        // Whoever wrote the frame had set the metadata before: now is the time to look.
        let frame = frame.into_owned();
        self.tell(taker);
        taker.take(&Item {
            sequence: frame.sequence(),
            payload: &frame,
            age,
            stamped,
            frame: None,
        });
        let bytes = frame.len() as u64;
        if taker.done() {
            signals::moved();
        } else if self.keeps {
            std::mem::forget(frame);
        }
        Ok(Some(bytes))
    }

    /// Shows the metadata, if it is news.
    fn tell(&mut self, taker: &mut impl Taker) {
        if !self.metadata_changed() && self.shown {
            return;
        }
        match self.reader.metadata() {
            Ok(Some(metadata)) => taker.metadata(Ok(&metadata)),
            Ok(None) => {}
            Err(error) => taker.metadata(Err(error)),
        }
        self.shown = true;
    }

    fn limit(&self) -> Option<Duration> {
        if self.follow.is_some() && self.reader.writer_presence() != WriterPresence::Attached {
            return None;
        }
        if self.any { self.each } else { self.first }
    }

    fn slice(&self, begun: Instant) -> Duration {
        self.limit().map_or(SLICE, |limit| limit.saturating_sub(begun.elapsed()).min(SLICE))
    }
}

/// The error of the whole wait rather than of its last slice.
fn error_after(error: ReadError, waited: Duration) -> ReadError {
    match error {
        ReadError::Timeout { name, writer, .. } => {
            let waited =
                Duration::from_millis(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
            ReadError::Timeout { name, waited, writer }
        }
        other => other,
    }
}
