//! The reading end of a 1.0 buffer, which makes it and owns it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::sync::{Mutex, MutexGuard, Shared};
use crate::v1::ground::process::Process;
use crate::v1::ground::segment::{Role, Segment, announced};
use crate::v1::protocol::layout::metadata_bytes;
use crate::v1::rules::ring::{Corrupt, Found, NextError, ReaderRing};
use crate::v2::rules::wake::Announced;
use crate::values::config::WaitStrategy;
use crate::values::error::{MetadataError, OpenError, ReadError, WriterPresence};
use crate::values::events::Noticed;
use crate::values::stats::ReaderStats;
use crate::wait::{Awaited, Patience, Progress, Spinner, wait};

/// What came of waiting.
enum Arrival {
    Frame(Found),
    Closed,
}

/// What the reader and the frames that it handed out share. Lives as long as any of them.
#[derive(Debug)]
pub(crate) struct V1Seat {
    segment: Segment,
    ring: Mutex<ReaderRing>,
}

impl V1Seat {
    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    fn ring(&self) -> MutexGuard<'_, ReaderRing> {
        // Nothing panics while it is held.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a frame back, from any thread; a second time is without effect. The writer gets the bytes once
    /// every frame read before it is given back too (L20).
    pub(crate) fn release(&self, ticket: u64) {
        if !self.segment.mapping.is_sound() {
            return;
        }
        let freed = self.ring().release(&self.segment.mapping, ticket);
        if freed {
            self.wake_writer();
        }
    }

    /// Gives the frames from `first` to `last` back.
    pub(crate) fn release_all(&self, first: u64, last: u64) {
        if !self.segment.mapping.is_sound() {
            return;
        }
        let mut freed = false;
        for ticket in first..=last {
            freed |= self.ring().release(&self.segment.mapping, ticket);
        }
        if freed {
            self.wake_writer();
        }
    }

    fn wake_writer(&self) {
        // WAKE: a writer that sleeps has taken every unit, so with two or more left nobody sleeps, and it
        // takes them and looks at the ring again before it does. Not posting more keeps the value, which
        // peers never count down, from reaching its limit (L9). The fence keeps this load behind the release
        // of the bytes.
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.segment.space.value() < 2 {
            self.segment.space.post();
        }
    }
}

/// The reader of a 1.0 buffer.
#[derive(Debug)]
pub(crate) struct V1Reader {
    seat: Shared<V1Seat>,
    spinner: Spinner,
    /// A unit of the data semaphore was taken whose frame was not handed out yet.
    unit: bool,
    /// Found and not yet handed out.
    found: Option<Found>,
    /// Ticket of the first frame of the batch that is open.
    batch: Option<u64>,
    /// The writer as last seen, also after it left.
    writer: Option<Process>,
    /// Its departure was reported; the next one to report is a successor's.
    departure_reported: bool,
    /// It left, so that whoever is named next is a successor, be it under the same pid.
    writer_left: bool,
    /// Writers seen, and whether the newest has been seen to begin.
    writers: u64,
    has_begun: bool,
    pub(crate) noticed: Noticed,
    stats: ReaderStats,
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
        let ring = Mutex::new(ReaderRing::new(segment.mapping.sizes()));
        Ok(Self {
            seat: Shared::new(V1Seat { segment, ring }),
            spinner: Spinner::new(strategy),
            unit: false,
            found: None,
            batch: None,
            writer: None,
            departure_reported: false,
            writer_left: false,
            writers: 0,
            has_begun: false,
            noticed: Noticed::default(),
            stats: ReaderStats::default(),
        })
    }

    /// What it shares with its frames.
    pub(crate) fn seat(&self) -> &Shared<V1Seat> {
        &self.seat
    }

    /// Name of the buffer.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.seat.segment.names.name
    }

    /// Size of the ring.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.seat.segment.mapping.sizes().payload_bytes as usize
    }

    /// Largest frame that fits wherever the ring stands.
    pub(crate) fn max_frame_bytes(&self) -> usize {
        self.seat.segment.mapping.sizes().max_frame_bytes() as usize
    }

    /// The metadata, copied out; `None` while there is none.
    pub(crate) fn metadata(&self) -> Result<Option<Vec<u8>>, MetadataError> {
        let mapping = &self.seat.segment.mapping;
        if !mapping.is_sound() {
            return Err(mapping.lost().to_metadata_error(self.name()));
        }
        // METADATA: pairs with `V1Writer::set_metadata`.
        let written = self.seat.segment.oieb().metadata_written_bytes.load(Ordering::Acquire);
        if written == 0 {
            return Ok(None);
        }
        let (sizes, length) =
            (self.seat.segment.mapping.sizes(), self.seat.segment.mapping.metadata_length());
        let length = metadata_bytes(written, length, sizes).map_err(|found| {
            MetadataError::Damaged { name: self.name_cloned(), problem: found.problem() }
        })?;
        let mut bytes = vec![0; length as usize];
        self.seat.segment.mapping.read_metadata(&mut bytes);
        Ok(Some(bytes))
    }

    /// Finds the next frame without handing it out. `Ok(None)` once when the writer has closed and everything is
    /// read; then it waits for a successor.
    pub(crate) fn find(&mut self, patience: Patience) -> Result<Option<Found>, ReadError> {
        self.check()?;
        if self.found.is_some() {
            return Ok(self.found);
        }
        let arrival = match (Frame { reader: self }).poll() {
            Ok(None) => self.wait_for_frame(patience),
            Ok(Some(arrival)) => Ok(arrival),
            Err(error) => Err(error),
        };
        // What was found amiss in a segment that was cut short meanwhile is not what is wrong with it.
        let arrival = arrival.or_else(|error| self.check().and(Err(error)))?;
        if let Arrival::Frame(found) = arrival {
            self.found = Some(found);
        }
        Ok(self.found)
    }

    /// Fails if the segment's memory is not to be used any more.
    pub(crate) fn check(&self) -> Result<(), ReadError> {
        let segment = &self.seat.segment;
        if segment.is_sound() { Ok(()) } else { Err(segment.lost().to_read_error(self.name())) }
    }

    /// The frame behind the one handed out last, if it is there already.
    pub(crate) fn find_behind(&mut self) -> Option<Found> {
        if !self.seat.segment.mapping.is_ours() {
            return None;
        }
        if self.found.is_none()
            && let Ok(Some(Arrival::Frame(found))) = (Frame { reader: self }).poll()
        {
            self.found = Some(found);
        }
        self.found
    }

    /// Hands out the frame that was found. Its bytes stay until it is [released](V1Seat::release), in any order.
    pub(crate) fn take(&mut self) {
        if let Some(found) = self.found.take() {
            self.stats.frames += 1;
            self.stats.bytes += found.length;
            if found.restarted && self.has_begun {
                // Nobody saw it come: it was there before anybody waited. It may have left again.
                let pid = self.seat.segment.oieb().writer_pid.load(Ordering::Acquire);
                self.writer_left = true;
                self.observe_writer(pid);
                self.writers += u64::from(pid == 0);
            }
            self.has_begun = true;
        }
    }

    /// Hands out the frame that was found, to be released with the others of its batch.
    pub(crate) fn take_into_batch(&mut self) {
        self.batch = self.batch.or(self.found.map(|found| found.ticket));
        self.take();
    }

    /// Releases the frames of a batch, the last of which has this ticket.
    pub(crate) fn release_batch(&mut self, last: u64) {
        if let Some(first) = self.batch.take() {
            self.seat.release_all(first, last);
        }
    }

    #[cold]
    fn wait_for_frame(&mut self, patience: Patience) -> Result<Arrival, ReadError> {
        self.stats.waits += 1;
        let begin = Instant::now();
        let mut spinner = self.spinner;
        let capacity = self.payload_bytes() as u64;
        let (frames, bytes) = (self.stats.frames, self.stats.bytes);
        let spin = spinner.begin(Progress { frames, bytes }, capacity);
        let result = wait(&mut Frame { reader: self }, &mut spinner, spin, patience);
        self.spinner = spinner;
        result?.ok_or_else(|| ReadError::Timeout {
            name: self.name().clone(),
            waited: if patience == Patience::None { Duration::ZERO } else { begin.elapsed() },
            writer: self.writer_presence(),
        })
    }

    /// Bytes committed and not yet handed out, headers and skipped ends included.
    pub(crate) fn backlog_bytes(&self) -> u64 {
        if !self.seat.segment.mapping.is_sound() {
            return 0;
        }
        let found = self.found.map_or(0, |found| found.length);
        self.seat.ring().unread_bytes(&self.seat.segment.mapping).unwrap_or(0) + found
    }

    /// Whether a writer is there. Asks the kernel.
    pub(crate) fn writer_presence(&self) -> WriterPresence {
        if !self.seat.segment.mapping.is_sound() {
            return WriterPresence::Never;
        }
        let pid = self.seat.segment.oieb().writer_pid.load(Ordering::Acquire);
        if pid == 0 {
            return if self.has_had_writer() {
                WriterPresence::Closed
            } else {
                WriterPresence::Never
            };
        }
        let alive = match self.writer {
            Some(writer) if writer.pid == pid => {
                self.seat.segment.is_role_held(Role::Writer) || writer.is_alive()
            }
            _ => self.seat.segment.is_peer_alive(Role::Writer, pid),
        };
        if alive { WriterPresence::Attached } else { WriterPresence::Dead }
    }

    /// What this reader has done.
    pub(crate) fn stats(&self) -> ReaderStats {
        self.stats
    }

    /// Writers that this reader has seen, and versions of the metadata: none, or one.
    pub(crate) fn generations(&mut self) -> Option<(u64, u64)> {
        if !self.seat.segment.mapping.is_sound() {
            return None;
        }
        let oieb = self.seat.segment.oieb();
        let (pid, metadata) = (
            oieb.writer_pid.load(Ordering::Acquire),
            oieb.metadata_written_bytes.load(Ordering::Acquire),
        );
        self.observe_writer(pid);
        Some((self.writers, u64::from(metadata > 0)))
    }

    fn has_had_writer(&self) -> bool {
        self.writer.is_some() || self.stats.frames > 0
    }

    fn name_cloned(&self) -> Arc<str> {
        self.name().clone()
    }

    fn damaged(&self, corrupt: Corrupt) -> ReadError {
        ReadError::Damaged {
            name: self.name_cloned(),
            position: self.seat.ring().read_pos(),
            problem: corrupt.problem(),
        }
    }

    /// Notes whom the control block names now.
    fn observe_writer(&mut self, pid: u64) {
        let is_another = self.writer.is_none_or(|writer| writer.pid != pid) || self.writer_left;
        if pid != 0 && is_another {
            self.writer = Some(Process::observe(pid));
            self.departure_reported = false;
            self.writer_left = false;
            self.writers += 1;
            self.has_begun = false;
        }
    }

    /// The frame that a unit announced, or one that a dead writer could not announce any more.
    fn look_for_frame(&mut self, pid: u64) -> Result<Option<Arrival>, ReadError> {
        let before = self.writer.map_or(0, |writer| writer.pid);
        let pid = if pid == 0 { before } else { pid };
        // The lock ends here: reporting damage takes it again.
        let next = self.seat.ring().next(&self.seat.segment.mapping, pid);
        match next {
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
        self.reader.writer_left = true;
        self.reader.noticed.ended = self.reader.writers;
        self.reader.noticed.closed = true;
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
            if !reader.seat.segment.data.try_wait() {
                return Ok(None);
            }
            reader.unit = true;
        }
        let pid = reader.seat.segment.oieb().writer_pid.load(Ordering::Acquire);
        reader.look_for_frame(pid)
    }

    /// A writer that has closed cleanly announced everything before: no unit means nothing more (L7, L22).
    fn glance(&mut self) -> Result<Option<Arrival>, ReadError> {
        self.reader.check()?;
        let pid = self.reader.seat.segment.oieb().writer_pid.load(Ordering::Acquire);
        if pid != 0 {
            self.reader.observe_writer(pid);
            return self.poll();
        }
        if let Some(arrival) = self.poll()? {
            return Ok(Some(arrival));
        }
        // Bytes without a unit: perhaps a live writer whose pid was zeroed is about to post (L10).
        let seat = &self.reader.seat;
        let drained = seat.ring().unread_bytes(&seat.segment.mapping) == Ok(0);
        Ok(if self.reader.has_had_writer() && drained { self.closed() } else { None })
    }

    fn probe(&mut self) -> Result<Option<Arrival>, ReadError> {
        let pid = self.reader.seat.segment.oieb().writer_pid.load(Ordering::Acquire);
        if pid == 0 {
            if let Some(arrival) = self.poll()? {
                return Ok(Some(arrival));
            }
            // Bytes that nobody announces any more: a wrap without its frame (L23).
            return Ok(if self.reader.has_had_writer() { self.closed() } else { None });
        }
        self.reader.observe_writer(pid);
        let writer = self.reader.writer;
        if self.reader.seat.segment.is_role_held(Role::Writer)
            || writer.is_none_or(Process::is_alive)
        {
            return Ok(None);
        }
        // Dead. What it announced comes first, then what it could not announce any more: the position was
        // stored, the post did not come. Only while the control block still names the dead one, so that it is
        // not a successor's frame, whose unit is yet to come. The position is loaded before the pid.
        if let Some(arrival) = self.poll()? {
            return Ok(Some(arrival));
        }
        let reader = &mut *self.reader;
        let unread = reader.seat.ring().unread_bytes(&reader.seat.segment.mapping);
        let unread = unread.map_err(|corrupt| reader.damaged(corrupt))?;
        let still = reader.seat.segment.oieb().writer_pid.load(Ordering::Acquire) == pid;
        if unread > 0
            && still
            && let Some(arrival) = reader.look_for_frame(pid)?
        {
            return Ok(Some(arrival));
        }
        if !still || reader.departure_reported {
            return Ok(None);
        }
        reader.departure_reported = true;
        let pid = announced(pid);
        reader.noticed.ended = reader.writers;
        reader.noticed.died = Some(pid);
        Err(ReadError::WriterGone { name: reader.name_cloned(), pid })
    }

    /// The semaphore remembers, so there is nothing to announce.
    fn announce(&mut self) -> Announced {
        Announced::Safely
    }

    fn is_announced(&self) -> bool {
        true
    }

    fn sleep(&mut self, limit: Duration) -> bool {
        self.reader.stats.parks += 1;
        let woken = self.reader.seat.segment.data.wait(limit);
        self.reader.unit |= woken;
        woken
    }

    fn overslept(&mut self) {
        self.reader.stats.late_wakes += 1;
    }
}

impl Drop for V1Reader {
    fn drop(&mut self) {
        let segment = &self.seat.segment;
        if !segment.mapping.is_sound() {
            return;
        }
        segment.oieb().reader_pid.store(0, Ordering::Release);
        // Every writer looks at the pid before it uses the unit (L21).
        segment.space.post();
        segment.remove();
    }
}

#[cfg(test)]
impl V1Reader {
    /// Frames handed out and not yet given back to the writer.
    pub(crate) fn held(&self) -> usize {
        self.seat.ring().held()
    }

    /// Pid that the writer announced; 0 when there is none.
    pub(crate) fn writer_pid(&self) -> u32 {
        announced(self.seat.segment.oieb().writer_pid.load(Ordering::Acquire))
    }

    /// The control block's own words, for tests and inspection.
    pub(crate) fn segment(&self) -> &Segment {
        &self.seat.segment
    }

    /// Leaves and removes the buffer. A writer notices and stops.
    pub(crate) fn close(self) {}

    /// The next frame.
    pub(crate) fn next(&mut self, patience: Patience) -> Result<Option<Received>, ReadError> {
        let found = self.find(patience)?;
        self.take();
        Ok(found.map(|found| Received {
            len: found.length as usize,
            index: found.data_index,
            sequence: found.sequence,
            ticket: found.ticket,
        }))
    }

    /// Copies a frame that is not yet released out.
    pub(crate) fn copy_out(&self, frame: &Received, space: &mut [u8]) {
        self.seat.segment.mapping.read_payload(frame.index, &mut space[..frame.len]);
    }

    /// Gives a frame back.
    pub(crate) fn release(&mut self, ticket: u64) {
        self.seat.release(ticket);
    }
}

/// A frame as tests hold it.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    pub(crate) len: usize,
    pub(crate) index: u64,
    pub(crate) sequence: u64,
    /// To release it with.
    pub(crate) ticket: u64,
}
