//! The reading end of a 1.0 buffer, which makes it and owns it.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::layout::metadata_bytes;
use super::process::Process;
use super::ring::{Corrupt, Found, NextError, ReaderRing};
use super::segment::{Role, Segment, announced};
use super::wait::{Awaited, Patience, Spinner, wait};
use crate::config::WaitStrategy;
use crate::error::{MetadataError, OpenError, ReadError, WriterPresence};

/// What a reader has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct V1ReaderStats {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    /// Calls that did not find a frame at once.
    pub(crate) waits: u64,
    /// Times that it slept for a frame.
    pub(crate) parks: u64,
    /// Writers that began again at sequence 1.
    pub(crate) restarts: u64,
}

/// A frame as handed out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    /// The first data byte, at any address. Valid until the frame is released or the reader goes.
    pub(crate) data: NonNull<u8>,
    pub(crate) len: usize,
    /// Where that is in the payload.
    pub(crate) index: u64,
    pub(crate) sequence: u64,
    /// The first frame of another writer.
    pub(crate) restarted: bool,
    /// To release it with.
    pub(crate) ticket: u64,
}

/// What came of waiting.
enum Arrival {
    Frame(Found),
    Closed,
}

/// The reader of a 1.0 buffer.
#[derive(Debug)]
pub(crate) struct V1Reader {
    segment: Segment,
    ring: ReaderRing,
    spinner: Spinner,
    /// A unit of the data semaphore was taken whose frame was not handed out yet.
    unit: bool,
    /// The writer as last seen, also after it left.
    writer: Option<Process>,
    /// Its departure was reported; the next one to report is a successor's.
    departure_reported: bool,
    stats: V1ReaderStats,
}

impl V1Reader {
    /// Makes a buffer; takes over what a dead reader left under the name.
    pub(crate) fn create(
        name: &str,
        metadata_bytes: usize,
        payload_bytes: usize,
        strategy: WaitStrategy,
    ) -> Result<Self, OpenError> {
        let segment = Segment::create(name, metadata_bytes as u64, payload_bytes as u64)?;
        let ring = ReaderRing::new(segment.mapping.sizes());
        Ok(Self {
            segment,
            ring,
            spinner: Spinner::new(strategy),
            unit: false,
            writer: None,
            departure_reported: false,
            stats: V1ReaderStats::default(),
        })
    }

    /// Name of the buffer.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.segment.names.name
    }

    /// Size of the ring.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.segment.mapping.sizes().payload_bytes as usize
    }

    /// The metadata, copied out; `None` while there is none.
    pub(crate) fn metadata(&self) -> Result<Option<Vec<u8>>, MetadataError> {
        // METADATA: pairs with `V1Writer::set_metadata`.
        let written = self.segment.oieb().metadata_written_bytes.load(Ordering::Acquire);
        if written == 0 {
            return Ok(None);
        }
        let (sizes, length) =
            (self.segment.mapping.sizes(), self.segment.mapping.metadata_length());
        let length = metadata_bytes(written, length, sizes).map_err(|found| {
            MetadataError::Damaged { name: self.name_cloned(), problem: found.problem() }
        })?;
        let mut bytes = vec![0; length as usize];
        self.segment.mapping.read_metadata(&mut bytes);
        Ok(Some(bytes))
    }

    /// The next frame. `Ok(None)` once when the writer has closed and everything is read; then it waits for a
    /// successor. The frame's bytes stay until it is [released](Self::release), in any order.
    pub(crate) fn next(&mut self, patience: Patience) -> Result<Option<Received>, ReadError> {
        let mut frame = Frame { reader: self };
        let arrival = match frame.poll()? {
            Some(arrival) => arrival,
            None => match self.wait_for_frame(patience)? {
                Some(arrival) => arrival,
                None => return Ok(None),
            },
        };
        match arrival {
            Arrival::Closed => Ok(None),
            Arrival::Frame(found) => {
                let data = self.segment.mapping.payload(found.data_index, found.length);
                let Found { sequence, restarted, ticket, .. } = found;
                self.stats.restarts += u64::from(restarted);
                Ok(Some(Received {
                    data,
                    len: found.length as usize,
                    index: found.data_index,
                    sequence,
                    restarted,
                    ticket,
                }))
            }
        }
    }

    #[cold]
    fn wait_for_frame(&mut self, patience: Patience) -> Result<Option<Arrival>, ReadError> {
        self.stats.waits += 1;
        let begin = Instant::now();
        let mut spinner = std::mem::replace(&mut self.spinner, Spinner::new(WaitStrategy::Park));
        let result = wait(&mut Frame { reader: self }, &mut spinner, patience);
        self.spinner = spinner;
        match result? {
            None => {
                let waited =
                    if patience == Patience::None { Duration::ZERO } else { begin.elapsed() };
                let (name, writer) = (self.segment.names.name.clone(), self.writer_presence());
                Err(ReadError::Timeout { name, waited, writer })
            }
            found => Ok(found),
        }
    }

    /// Copies a frame that is not yet released out, without a reference to its bytes.
    pub(crate) fn copy_out(&self, frame: &Received, space: &mut [u8]) {
        self.segment.mapping.read_payload(frame.index, &mut space[..frame.len]);
    }

    /// Gives a frame back; a second time is without effect. The writer gets the bytes once every frame read
    /// before it is given back too (L20).
    pub(crate) fn release(&mut self, ticket: u64) {
        if !self.ring.release(&self.segment.mapping, ticket) {
            return;
        }
        // WAKE: a writer that sleeps has taken every unit, so with two or more left nobody sleeps, and it
        // takes them and looks at the ring again before it does. Not posting more keeps the value, which
        // peers never count down, from reaching its limit (L9). The fence keeps this load behind the release
        // of the bytes.
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.segment.space.value() < 2 {
            self.segment.space.post();
        }
    }

    /// Frames handed out and not yet given back to the writer.
    pub(crate) fn held(&self) -> usize {
        self.ring.held()
    }

    /// Bytes committed and not yet handed out, headers and skipped ends included.
    pub(crate) fn backlog_bytes(&self) -> u64 {
        self.ring.unread_bytes(&self.segment.mapping).unwrap_or(0)
    }

    /// Whether a writer is there. Asks the kernel.
    pub(crate) fn writer_presence(&self) -> WriterPresence {
        let pid = self.segment.oieb().writer_pid.load(Ordering::Acquire);
        if pid == 0 {
            return if self.writer.is_some() || self.ring.totals().0 > 0 {
                WriterPresence::Closed
            } else {
                WriterPresence::Never
            };
        }
        let alive = match self.writer {
            Some(writer) if writer.pid == pid => {
                self.segment.is_role_held(Role::Writer) || writer.is_alive()
            }
            _ => self.segment.is_peer_alive(Role::Writer, pid),
        };
        if alive { WriterPresence::Attached } else { WriterPresence::Dead }
    }

    /// Pid that the writer announced; 0 when there is none.
    pub(crate) fn writer_pid(&self) -> u32 {
        announced(self.segment.oieb().writer_pid.load(Ordering::Acquire))
    }

    /// What this reader has done.
    pub(crate) fn stats(&self) -> V1ReaderStats {
        let (frames, bytes) = self.ring.totals();
        V1ReaderStats { frames, bytes, ..self.stats }
    }

    /// The control block's own words, for tests and inspection.
    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Leaves and removes the buffer. A writer notices and stops.
    pub(crate) fn close(self) {}

    fn name_cloned(&self) -> Arc<str> {
        self.segment.names.name.clone()
    }

    fn damaged(&self, corrupt: Corrupt) -> ReadError {
        ReadError::Damaged {
            name: self.name_cloned(),
            position: self.ring.read_pos(),
            problem: corrupt.problem(),
        }
    }

    /// Notes whom the control block names now.
    fn observe_writer(&mut self, pid: u64) {
        if pid != 0 && self.writer.is_none_or(|writer| writer.pid != pid) {
            self.writer = Some(Process::observe(pid));
            self.departure_reported = false;
        }
    }

    /// The frame that a unit announced, or one that a dead writer could not announce any more.
    fn take(&mut self, pid: u64) -> Result<Option<Arrival>, ReadError> {
        let before = self.writer.map_or(0, |writer| writer.pid);
        match self.ring.next(&self.segment.mapping, if pid == 0 { before } else { pid }) {
            Ok(found) => {
                self.unit = false;
                // Whoever wrote it has not been reported as gone since.
                self.departure_reported = false;
                Ok(Some(Arrival::Frame(found)))
            }
            // A post too many, or of a wrap whose frame never came (L21, L23).
            Err(NextError::Nothing) => {
                self.unit = false;
                Ok(None)
            }
            // The unit is kept: the next call hands this frame out (L16).
            Err(NextError::Gap { expected, found }) => {
                Err(ReadError::SequenceGap { name: self.name_cloned(), expected, found })
            }
            Err(NextError::Corrupt(corrupt)) => Err(self.damaged(corrupt)),
        }
    }
}

struct Frame<'a> {
    reader: &'a mut V1Reader,
}

impl Frame<'_> {
    fn closed(&mut self) -> Option<Arrival> {
        if self.reader.departure_reported {
            return None;
        }
        self.reader.departure_reported = true;
        Some(Arrival::Closed)
    }
}

impl Awaited for Frame<'_> {
    type Output = Arrival;
    type Error = ReadError;

    #[inline]
    fn poll(&mut self) -> Result<Option<Arrival>, ReadError> {
        let reader = &mut *self.reader;
        if !reader.unit {
            if !reader.segment.data.try_wait() {
                return Ok(None);
            }
            reader.unit = true;
        }
        let pid = reader.segment.oieb().writer_pid.load(Ordering::Acquire);
        reader.take(pid)
    }

    /// A writer that has closed cleanly announced everything before: no unit means nothing more (L7, L22).
    fn glance(&mut self) -> Result<Option<Arrival>, ReadError> {
        let pid = self.reader.segment.oieb().writer_pid.load(Ordering::Acquire);
        if pid != 0 {
            self.reader.observe_writer(pid);
            return self.poll();
        }
        if let Some(arrival) = self.poll()? {
            return Ok(Some(arrival));
        }
        let reader = &mut *self.reader;
        let had_writer = reader.writer.is_some() || reader.ring.totals().0 > 0;
        // Bytes without a unit: perhaps a live writer whose pid was zeroed is about to post (L10).
        let drained = reader.ring.unread_bytes(&reader.segment.mapping) == Ok(0);
        Ok(if had_writer && drained { self.closed() } else { None })
    }

    fn probe(&mut self) -> Result<Option<Arrival>, ReadError> {
        let pid = self.reader.segment.oieb().writer_pid.load(Ordering::Acquire);
        if pid == 0 {
            if let Some(arrival) = self.poll()? {
                return Ok(Some(arrival));
            }
            // Bytes that nobody announces any more: a wrap without its frame (L23).
            let had_writer = self.reader.writer.is_some() || self.reader.ring.totals().0 > 0;
            return Ok(if had_writer { self.closed() } else { None });
        }
        self.reader.observe_writer(pid);
        let writer = self.reader.writer;
        if self.reader.segment.is_role_held(Role::Writer) || writer.is_none_or(Process::is_alive) {
            return Ok(None);
        }
        // Dead. What it announced comes first, then what it could not announce any more: the position was
        // stored, the post did not come. Only while the control block still names the dead one, so that it is
        // not a successor's frame, whose unit is yet to come. The position is loaded before the pid.
        if let Some(arrival) = self.poll()? {
            return Ok(Some(arrival));
        }
        let reader = &mut *self.reader;
        let unread = reader.ring.unread_bytes(&reader.segment.mapping);
        let unread = unread.map_err(|corrupt| reader.damaged(corrupt))?;
        let still = reader.segment.oieb().writer_pid.load(Ordering::Acquire) == pid;
        if unread > 0
            && still
            && let Some(arrival) = reader.take(pid)?
        {
            return Ok(Some(arrival));
        }
        if !still || reader.departure_reported {
            return Ok(None);
        }
        reader.departure_reported = true;
        Err(ReadError::WriterGone { name: reader.name_cloned(), pid: announced(pid) })
    }

    fn sleep(&mut self, limit: Duration) {
        self.reader.stats.parks += 1;
        if self.reader.segment.data.wait(limit) {
            self.reader.unit = true;
        }
    }
}

impl Drop for V1Reader {
    fn drop(&mut self) {
        if !self.segment.mapping.is_ours() {
            return;
        }
        self.segment.oieb().reader_pid.store(0, Ordering::Release);
        // Every writer looks at the pid before it uses the unit (L21).
        self.segment.space.post();
        self.segment.remove();
    }
}
