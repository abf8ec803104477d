//! A Writer as commands use it: it waits in slices, says what it waits for, and leaves no frame behind unsaid.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use zerobuffer::{Forwarded, Frame, Protocol, WriteError, Writer, Written};

use crate::args::{Full, Personality};
use crate::messages::say;
use crate::pipes::Source;
use crate::signals::{self, SLICE};

/// A Writer with a policy.
pub(crate) struct Outlet {
    writer: Writer,
    full: Full,
    /// Longest wait for room; `None`: no limit.
    timeout: Option<Duration>,
    /// Whether to give up waiting for room.
    give_up: fn() -> bool,
    /// Whether a reader that went away is waited for.
    patient: bool,
    /// Whether frames that nobody came for stay when there is no time to wait for anybody: they were another's.
    precious: bool,
    /// Holds a frame that may be dropped.
    scratch: Vec<u8>,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sent {
    /// Readers can have it; its sequence number.
    Committed(u64),
    /// There was no room, and the policy says that this is all right.
    Dropped,
    /// A signal came while there was no room; nothing was written.
    Stopped,
}

/// How a buffer was left.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Left {
    /// Frames that nobody will get.
    pub(crate) lost: u64,
    /// Because the buffer was removed: its name leads elsewhere, or nowhere.
    pub(crate) was_removed: bool,
}

/// Why a frame could not be written.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The buffer refused it.
    Write(WriteError),
    /// Its content could not be had.
    Fill(io::Error),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(error) => {
                error.fmt(f)?;
                f.write_str(&way_out(error))
            }
            Self::Fill(error) => error.fmt(f),
        }
    }
}

/// How this command is told that a reader which holds the ring back will not come back.
fn way_out(error: &WriteError) -> String {
    match error {
        WriteError::Full { name, holder, .. }
        | WriteError::ReaderGone { name, holder, took_buffer: false }
            if holder.is_gone() =>
        {
            let reader = holder.name();
            format!("; if it does not come back: `zerobuffer forget {name} {reader}`")
        }
        _ => String::new(),
    }
}

/// Says once per wait who holds the ring back.
struct Wait {
    begun: Instant,
    told: bool,
}

impl Outlet {
    pub(crate) fn new(
        writer: Writer,
        full: Full,
        timeout: Option<Duration>,
        who: Personality,
    ) -> Self {
        // In protocol 1.0 the buffer goes with its reader.
        let patient = who == Personality::Command && writer.protocol() == Protocol::V2;
        let (give_up, scratch) = (signals::stopping as fn() -> bool, Vec::new());
        Self { writer, full, timeout, give_up, patient, precious: false, scratch }
    }

    /// Goes on after the first signal, for what is still on its way, and leaves what it has no time for to the next
    /// reader, whenever it comes: it was taken from elsewhere, and is nowhere else any more.
    pub(crate) fn for_others(mut self) -> Self {
        (self.give_up, self.precious) = (signals::insisting, true);
        self
    }

    pub(crate) fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// Whether a frame of `len` bytes can ever be written; asked before anything else is done for it.
    pub(crate) fn check_fits(&self, len: usize) -> Result<(), SendError> {
        let max = self.writer.max_frame_bytes();
        if len <= max {
            return Ok(());
        }
        let name = self.writer.name().into();
        Err(SendError::Write(WriteError::FrameTooLarge { name, bytes: len, max }))
    }

    /// Writes one frame of `len` bytes, which come from `source`.
    pub(crate) fn send_from(&mut self, len: usize, source: &mut Source) -> Result<Sent, SendError> {
        self.check_fits(len)?;
        if self.full != Full::Drop {
            return self.send(len, |bytes| source.fill(bytes));
        }
        source.collect(len, &mut self.scratch).map_err(SendError::Fill)?;
        self.write_or_drop(len)
    }

    /// Writes one frame of `len` bytes; `fill` makes its content, in the buffer itself where it can.
    pub(crate) fn send(
        &mut self,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> io::Result<()>,
    ) -> Result<Sent, SendError> {
        if self.full == Full::Drop {
            self.check_fits(len)?;
            if self.scratch.len() < len {
                self.scratch.resize(len, 0);
            }
            fill(&mut self.scratch[..len]).map_err(SendError::Fill)?;
            return self.write_or_drop(len);
        }
        let mut wait = Wait { begun: Instant::now(), told: false };
        loop {
            let loan = match self.full {
                Full::Fail => self.writer.try_loan(len),
                _ => self.writer.loan_timeout(len, SLICE),
            };
            let error = match loan {
                Ok(mut frame) => {
                    fill(&mut frame).map_err(SendError::Fill)?;
                    signals::moved();
                    return Ok(Sent::Committed(frame.commit()));
                }
                Err(error) => error,
            };
            if self.keeps_waiting(error, &mut wait).map_err(SendError::Write)? {
                continue;
            }
            return Ok(Sent::Stopped);
        }
    }

    /// Passes a frame on, by reference if that can be; `None`: a signal came while there was no room.
    pub(crate) fn forward(&mut self, frame: &Frame<'_>) -> Result<Option<Forwarded>, SendError> {
        let mut wait = Wait { begun: Instant::now(), told: false };
        loop {
            // Waits in slices by its policy, as the relay's writer has it.
            match self.writer.forward(frame) {
                Ok(forwarded) => {
                    signals::moved();
                    return Ok(Some(forwarded));
                }
                Err(error)
                    if self
                        .keeps_waiting(error.clone(), &mut wait)
                        .map_err(SendError::Write)? => {}
                Err(_) => return Ok(None),
            }
        }
    }

    /// Writes as many of `frames` as there is room for, with one wake-up, and waits for room for the first.
    /// Returns how many were written; zero: a signal came.
    pub(crate) fn send_batch(&mut self, frames: &[&[u8]]) -> Result<usize, SendError> {
        let mut batch = self.writer.batch();
        for frame in frames {
            match batch.push(frame) {
                Ok(_) => {}
                Err(error) if error.is_timeout() || error.is_peer_gone() => break,
                Err(error) => return Err(SendError::Write(error)),
            }
        }
        let sent = batch.commit();
        if sent > 0 {
            return Ok(sent);
        }
        let Some(first) = frames.first() else {
            return Ok(0);
        };
        let sent = self.send(first.len(), |bytes| {
            bytes.copy_from_slice(first);
            Ok(())
        })?;
        Ok(usize::from(matches!(sent, Sent::Committed(_))))
    }

    /// Writes the first `len` bytes of the scratch space, if there is room.
    fn write_or_drop(&mut self, len: usize) -> Result<Sent, SendError> {
        match self.writer.write(&self.scratch[..len]).map_err(SendError::Write)? {
            Written::Committed(sequence) => Ok(Sent::Committed(sequence)),
            Written::Dropped => Ok(Sent::Dropped),
        }
    }

    /// Whether to try again after `error`; an error if waiting will not help or has lasted too long.
    fn keeps_waiting(&self, error: WriteError, wait: &mut Wait) -> Result<bool, WriteError> {
        let may_help = error.is_timeout() || (error.is_peer_gone() && self.patient);
        if !may_help || self.full == Full::Fail {
            return Err(error);
        }
        let waited = wait.begun.elapsed();
        if self.timeout.is_some_and(|limit| waited >= limit) {
            return Err(match error {
                WriteError::Full { name, holder, .. } => WriteError::Full { name, waited, holder },
                other => other,
            });
        }
        if (self.give_up)() {
            return Ok(false);
        }
        if !wait.told && (error.is_peer_gone() || !self.writer.has_had_reader()) {
            say(format_args!("waiting for a reader: {error}{}", way_out(&error)));
            wait.told = true;
        }
        if error.is_peer_gone() {
            // The library reports a missing reader without waiting for it.
            std::thread::sleep(SLICE / 10);
        }
        Ok(true)
    }

    /// Leaves the buffer. Unread frames stay with the reader they are for; if none ever came, one is waited for,
    /// and when none comes they are removed.
    pub(crate) fn leave(mut self, keep: bool, linger: Option<Duration>) -> Left {
        let begun = Instant::now();
        if self.writer.protocol() == Protocol::V1 {
            return Left { lost: self.leave_v1(begun, linger), was_removed: false };
        }
        let mut told = false;
        // Nothing stays in a buffer that nobody finds, and no reader comes.
        while !keep && !self.writer.is_removed() && !self.writer.has_had_reader() {
            let unread = self.writer.undelivered().frames;
            if unread == 0 {
                return Left::default();
            }
            let over = linger.is_some_and(|limit| begun.elapsed() >= limit);
            let insisting = signals::insisting();
            if insisting && self.precious {
                break;
            }
            if over || insisting {
                self.writer.discard_undelivered();
                return Left { lost: unread, was_removed: false };
            }
            if !told {
                let end = match linger {
                    Some(limit) => format!("for {limit:?}"),
                    None if signals::stopping() => "for a moment".to_owned(),
                    None => "until one comes, or Ctrl-C is pressed".to_owned(),
                };
                let keep = if self.precious {
                    ""
                } else {
                    "; --keep leaves them and the buffer for later"
                };
                say(format_args!(
                    "{unread} frames wait for a reader of `{}` {end}{keep}",
                    self.writer.name()
                ));
                told = true;
            }
            let left =
                linger.map_or(SLICE, |limit| limit.saturating_sub(begun.elapsed()).min(SLICE));
            self.writer.wait_drained(Some(left));
        }
        let unread = self.writer.undelivered();
        if self.writer.is_removed() {
            return Left { lost: unread.frames, was_removed: true };
        }
        if unread.frames > 0 && !self.writer.has_live_reader() {
            say(format_args!(
                "{} frames stay in `{}` for the next reader (`zerobuffer ls` shows, `zerobuffer rm` removes them)",
                unread.frames,
                self.writer.name()
            ));
        }
        Left::default()
    }

    /// Leaves a 1.0 buffer: some deployed readers stop when the writer has closed, whatever is unread, so it
    /// stays until they have taken it, or are gone. Returns how many frames nobody will get.
    fn leave_v1(mut self, begun: Instant, linger: Option<Duration>) -> u64 {
        let mut before = u64::MAX;
        loop {
            // What was taken need not have been released: some hold a frame until the next one comes.
            if self.writer.wait_drained(Some(SLICE)) || self.writer.undelivered().frames == 0 {
                return 0;
            }
            if !self.writer.has_live_reader() {
                return self.writer.undelivered().frames;
            }
            if linger.is_some_and(|limit| begun.elapsed() >= limit) || signals::insisting() {
                return 0;
            }
            let unread = self.writer.undelivered().frames;
            if unread != std::mem::replace(&mut before, unread) {
                signals::moved();
            }
        }
    }
}
