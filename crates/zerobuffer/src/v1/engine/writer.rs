//! The writing end of a 1.0 buffer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::sys::copying::{self, Copying, Way};
use crate::v1::ground::process::Process;
use crate::v1::ground::segment::{Role, Segment, announced, own_pid};
use crate::v1::protocol::layout::{HEADER_BYTES, METADATA_PREFIX_BYTES};
use crate::v1::rules::ring::{Claim, ClaimError, Corrupt, Fit, WriterRing};
use crate::v2::rules::wake::Announced;
use crate::values::config::{MAIN_READER, StreamingStores, WaitStrategy};
use crate::values::error::{MetadataError, OpenError, Peer, Presence, WriteError};
use crate::values::stats::{ReaderInfo, Undelivered, WriterStats};
use crate::wait::{Awaited, Patience, Progress, Spinner, wait};

/// In a ring that holds so many frames the writer looks for room after a nap, a few times, before it sleeps.
const MANY_FRAMES: u64 = 32;
const SHORT_NAP: Duration = Duration::from_micros(50);
const LONG_NAP: Duration = Duration::from_millis(2);
const MOST_NAPS: u32 = 50;
/// Frames between two times that the units of the space semaphore are taken (L9).
const FRAMES_PER_DRAIN: u32 = 256;

/// Why a writer can do nothing more.
#[derive(Debug, Clone, Copy)]
enum Broken {
    Corrupt(Corrupt),
    TakenOver,
}

/// The writer of a 1.0 buffer.
#[derive(Debug)]
pub(crate) struct V1Writer {
    segment: Segment,
    ring: WriterRing,
    spinner: Spinner,
    copying: Copying,
    reader: Option<Process>,
    broken: Option<Broken>,
    metadata_set: bool,
    until_drain: u32,
    nap: Duration,
    staged_bytes: u64,
    stats: WriterStats,
}

impl V1Writer {
    /// Attaches to an existing buffer.
    pub(crate) fn connect(
        name: &str,
        strategy: WaitStrategy,
        stores: StreamingStores,
    ) -> Result<Self, OpenError> {
        let segment = Segment::connect(name)?;
        let ring =
            WriterRing::new(&segment.mapping, segment.mapping.sizes()).map_err(|corrupt| {
                let announce = &segment.oieb().writer_pid;
                let _ =
                    announce.compare_exchange(own_pid(), 0, Ordering::AcqRel, Ordering::Acquire);
                OpenError::Damaged { name: name.to_owned(), problem: corrupt.problem().to_owned() }
            })?;
        let capacity = segment.mapping.sizes().payload_bytes;
        // Now, while its pid is known to be its own: another process may have it later.
        let reader = Process::observe(segment.oieb().reader_pid.load(Ordering::Acquire));
        Ok(Self {
            segment,
            ring,
            spinner: Spinner::new(strategy),
            copying: Copying::new(stores, capacity),
            reader: Some(reader),
            broken: None,
            metadata_set: false,
            until_drain: FRAMES_PER_DRAIN,
            nap: SHORT_NAP,
            staged_bytes: 0,
            stats: WriterStats::default(),
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

    /// Largest frame that fits wherever the ring stands. Larger ones, up to the payload less 16 bytes, fit at
    /// some positions only.
    pub(crate) fn max_frame_bytes(&self) -> usize {
        self.segment.mapping.sizes().max_frame_bytes() as usize
    }

    /// Stores the metadata; once per buffer, but a successor may store the same bytes again. Nothing at all is
    /// stored for empty metadata, whose stored form C++ and Python readers refuse (D14).
    pub(crate) fn set_metadata(&mut self, bytes: &[u8]) -> Result<(), MetadataError> {
        let (mapping, sizes) = (&self.segment.mapping, self.segment.mapping.sizes());
        let name = || self.segment.names.name.clone();
        if !mapping.is_sound() {
            return Err(mapping.lost().to_metadata_error(&name()));
        }
        if bytes.len() as u64 > sizes.metadata_capacity() {
            let capacity = sizes.metadata_capacity() as usize;
            return Err(MetadataError::TooLarge { name: name(), bytes: bytes.len(), capacity });
        }
        let oieb = self.segment.oieb();
        let is_stored = oieb.metadata_written_bytes.load(Ordering::Acquire) > 0;
        if self.metadata_set || (is_stored && !self.has_stored(bytes)) {
            return Err(MetadataError::AlreadySet { name: name() });
        }
        if !is_stored && !bytes.is_empty() {
            mapping.write_metadata(bytes);
            let written = METADATA_PREFIX_BYTES + bytes.len() as u64;
            // METADATA: pairs with `V1Reader::metadata`.
            oieb.metadata_written_bytes.store(written, Ordering::Release);
            oieb.metadata_free_bytes.store(sizes.metadata_bytes - written, Ordering::Release);
        }
        self.metadata_set = is_stored || !bytes.is_empty();
        Ok(())
    }

    /// Sets metadata where none is set; what is set stays in protocol 1.0.
    pub(crate) fn replace_metadata(&mut self, bytes: &[u8]) -> Result<(), MetadataError> {
        let name = self.segment.names.name.clone();
        match self.set_metadata(bytes) {
            Err(MetadataError::AlreadySet { .. }) => Err(MetadataError::NotReplaceable { name }),
            other => other,
        }
    }

    fn has_stored(&self, bytes: &[u8]) -> bool {
        let mapping = &self.segment.mapping;
        let mut stored = vec![0; bytes.len()];
        mapping.read_metadata(&mut stored);
        mapping.metadata_length() == bytes.len() as u64 && stored == bytes
    }

    /// Finds room for a frame of `len` bytes, waiting for it if need be. An open claim is given up; frames
    /// that were staged stay staged.
    pub(crate) fn claim(
        &mut self,
        len: usize,
        fit: Fit,
        patience: Patience,
    ) -> Result<Claim, WriteError> {
        self.check_memory()?;
        // What was found amiss in a segment that was cut short meanwhile is not what is wrong with it.
        self.claim_in_sound(len, fit, patience).or_else(|error| self.check_memory().and(Err(error)))
    }

    fn claim_in_sound(
        &mut self,
        len: usize,
        fit: Fit,
        patience: Patience,
    ) -> Result<Claim, WriteError> {
        self.check()?;
        let mut room = RoomWait { writer: self, len: len as u64, fit, naps: 0 };
        // Most claims find room at once.
        match room.poll()? {
            Some(claim) => Ok(claim),
            None => self.wait_for_room(len, fit, patience),
        }
    }

    #[cold]
    fn wait_for_room(
        &mut self,
        len: usize,
        fit: Fit,
        patience: Patience,
    ) -> Result<Claim, WriteError> {
        // What is staged and not visible can never be read, so it must not be what fills the ring.
        self.publish();
        self.stats.full_waits += 1;
        let mut spinner = self.spinner;
        let (frames, bytes) = (self.stats.frames, self.stats.bytes);
        let spin = spinner.begin(Progress { frames, bytes }, self.payload_bytes() as u64);
        let mut room = RoomWait { writer: self, len: len as u64, fit, naps: 0 };
        let result = wait(&mut room, &mut spinner, spin, patience);
        self.spinner = spinner;
        result?.ok_or_else(|| WriteError::Full {
            name: self.segment.names.name.clone(),
            waited: patience.limit(),
            holder: self.holder(),
        })
    }

    /// Copies bytes to a place within the open claim.
    pub(crate) fn copy_in(&mut self, index: u64, part: &[u8]) {
        if part.len() < copying::LARGE {
            return self.segment.mapping.write_payload(index, part);
        }
        let mapping = &self.segment.mapping;
        self.copying.run(part.len(), |way| match way {
            Way::ThroughCaches => mapping.write_payload(index, part),
            Way::PastCaches => mapping.stream_payload(index, part),
        });
    }

    /// Completes the open claim, whose first `len` bytes are the frame; nobody sees it before [`publish`](Self::publish). Its
    /// number; `None` where there is no claim, or `len` is 0 or more than was claimed: then the claim is given up.
    pub(crate) fn stage(&mut self, len: usize) -> Option<u64> {
        let sequence = self.ring.stage(&self.segment.mapping, len as u64)?;
        self.staged_bytes += len as u64;
        Some(sequence)
    }

    /// Publishes the staged frames; returns how many.
    pub(crate) fn publish(&mut self) -> u64 {
        let frames = self.ring.publish(&self.segment.mapping);
        for _ in 0..frames {
            self.segment.data.post();
        }
        self.stats.frames += frames;
        self.stats.bytes += std::mem::take(&mut self.staged_bytes);
        // The reader posts once a release; unless someone takes the units, the value reaches its limit, which
        // ends C++ peers (L9). We are the only one who waits for them, and look at the ring before we do.
        self.until_drain =
            self.until_drain.saturating_sub(u32::try_from(frames).unwrap_or(u32::MAX));
        if self.until_drain == 0 {
            self.until_drain = FRAMES_PER_DRAIN;
            self.segment.space.take_all();
        }
        frames
    }

    /// Forgets the staged frames and the open claim. Nobody has seen them.
    pub(crate) fn discard_staged(&mut self) {
        self.ring.discard_staged();
        self.staged_bytes = 0;
    }

    /// Whether the reader is attached and alive.
    pub(crate) fn is_reader_alive(&self) -> bool {
        if !self.segment.mapping.is_sound() {
            return false;
        }
        let pid = self.segment.oieb().reader_pid.load(Ordering::Acquire);
        self.segment.is_reader_alive(pid, self.reader)
    }

    /// The one reader that such a buffer has.
    pub(crate) fn reader(&self) -> Option<ReaderInfo> {
        if !self.segment.mapping.is_sound() {
            return None;
        }
        let sizes = self.segment.mapping.sizes();
        let header = self.segment.oieb().load();
        Some(super::inspect::reader_info(&header, sizes, self.is_reader_alive(), self.units()))
    }

    /// What was published and not yet released. The frames are what the data semaphore counts; it may lag for
    /// a moment.
    pub(crate) fn undelivered(&self) -> Undelivered {
        if !self.segment.mapping.is_sound() {
            return Undelivered::default();
        }
        let free = self.ring.free_bytes(&self.segment.mapping).unwrap_or(0);
        let bytes = self.segment.mapping.sizes().payload_bytes - free;
        let (frames, reader) = (u64::from(self.units()), (bytes > 0).then(|| self.holder()));
        Undelivered { frames, bytes, reader }
    }

    fn units(&self) -> u32 {
        self.segment.data.value()
    }

    /// Waits until the reader has released everything; false when `timeout` passed or the reader went.
    pub(crate) fn wait_drained(&mut self, timeout: Option<Duration>) -> bool {
        if !self.segment.is_sound() {
            return false;
        }
        let capacity = self.segment.mapping.sizes().payload_bytes;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        while self.segment.is_sound() {
            // As in `RoomWait::sleep`: what is released from here on posts.
            self.segment.space.take_all();
            std::sync::atomic::fence(Ordering::SeqCst);
            let counted = self.segment.oieb().payload_free_bytes.load(Ordering::Acquire);
            if counted >= capacity && self.segment.data.value() == 0 {
                return true;
            }
            let left = deadline.map_or(Duration::from_millis(20), |end| {
                end.saturating_duration_since(Instant::now()).min(Duration::from_millis(20))
            });
            if left.is_zero() || !self.is_reader_alive() {
                return false;
            }
            self.segment.space.wait(left);
        }
        false
    }

    /// What this writer has done.
    pub(crate) fn stats(&self) -> WriterStats {
        WriterStats { streamed_frames: self.copying.streamed(), ..self.stats }
    }

    /// Counts a frame of `bytes` that the full-policy dropped.
    pub(crate) fn count_dropped(&mut self, bytes: usize) {
        self.stats.dropped_frames += 1;
        self.stats.dropped_bytes += bytes as u64;
    }

    /// Number that the next frame will have; each writer of such a buffer begins with 1.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.ring.next_sequence()
    }

    /// Where the ring stands behind what is published.
    pub(crate) fn head(&self) -> u64 {
        if !self.segment.mapping.is_ours() {
            return 0;
        }
        self.segment.oieb().payload_write_pos.load(Ordering::Relaxed)
    }

    /// Lends claimed bytes to be filled.
    pub(crate) fn lend_mut(&mut self, index: u64, len: usize) -> &mut [u8] {
        self.segment.mapping.lend_mut(index, len)
    }

    /// The control block's own words, for tests and inspection.
    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Fails if the segment's memory is not to be used any more.
    fn check_memory(&self) -> Result<(), WriteError> {
        let (segment, name) = (&self.segment, &self.segment.names.name);
        if segment.is_sound() { Ok(()) } else { Err(segment.lost().to_write_error(name)) }
    }

    fn check(&mut self) -> Result<(), WriteError> {
        let name = &self.segment.names.name;
        match self.broken {
            Some(Broken::Corrupt(corrupt)) => return Err(damaged(name, corrupt.problem())),
            Some(Broken::TakenOver) => return Err(damaged(name, TAKEN_OVER)),
            None => {}
        }
        let oieb = self.segment.oieb();
        if oieb.reader_pid.load(Ordering::Acquire) == 0 {
            return Err(self.reader_gone());
        }
        let announced = oieb.writer_pid.load(Ordering::Relaxed);
        if announced != own_pid_cached(&self.segment) {
            return self.reassert(announced);
        }
        Ok(())
    }

    /// Our pid is gone from the control block. A second writer that failed to connect may have zeroed it (L10);
    /// another pid is a writer that took us for dead.
    #[cold]
    fn reassert(&mut self, found: u64) -> Result<(), WriteError> {
        let own = own_pid_cached(&self.segment);
        let announce = &self.segment.oieb().writer_pid;
        if found == 0
            && announce.compare_exchange(0, own, Ordering::AcqRel, Ordering::Acquire).is_ok()
        {
            return Ok(());
        }
        self.broken = Some(Broken::TakenOver);
        Err(damaged(&self.segment.names.name, TAKEN_OVER))
    }

    fn holder(&self) -> Peer {
        let pid = self.segment.oieb().reader_pid.load(Ordering::Acquire);
        let mut name = [0; 32];
        name[..MAIN_READER.len()].copy_from_slice(MAIN_READER.as_bytes());
        let presence = match pid {
            0 => Presence::Left,
            _ if self.is_reader_alive() => Presence::Attached,
            _ => Presence::Died,
        };
        let pid = if pid == 0 { self.reader.map_or(0, |reader| reader.pid) } else { pid };
        Peer { name, pid: announced(pid), presence }
    }

    fn reader_gone(&self) -> WriteError {
        let name = self.segment.names.name.clone();
        WriteError::ReaderGone { name, holder: self.holder(), took_buffer: true }
    }
}

const TAKEN_OVER: &str = "another writer has attached to it";

fn own_pid_cached(segment: &Segment) -> u64 {
    u64::from(segment.mapping.pid())
}

fn damaged(name: &Arc<str>, problem: &'static str) -> WriteError {
    WriteError::Damaged { name: name.clone(), problem }
}

struct RoomWait<'a> {
    writer: &'a mut V1Writer,
    len: u64,
    fit: Fit,
    naps: u32,
}

impl RoomWait<'_> {
    /// Looks again soon rather than be woken, for a while, if that is worth it. Who sleeps on the semaphore costs the
    /// reader a system call with its next release; where that frees one small frame of many, it would pay for every
    /// frame. A nap lasts as long as the reader takes for a small part of the ring.
    fn takes_nap(&mut self, limit: Duration) -> bool {
        let writer = &mut *self.writer;
        let ring = writer.segment.mapping.sizes().payload_bytes;
        self.naps += 1;
        if self.naps > MOST_NAPS || ring / (HEADER_BYTES + self.len) < MANY_FRAMES {
            return false;
        }
        std::thread::sleep(writer.nap.min(limit));
        let free = writer.ring.free_bytes(&writer.segment.mapping).unwrap_or(0);
        let nap = if free < ring / 16 { writer.nap * 2 } else { writer.nap / 2 };
        writer.nap = nap.clamp(SHORT_NAP, LONG_NAP);
        true
    }
}

impl Awaited for RoomWait<'_> {
    type Output = Claim;
    type Error = WriteError;

    #[inline]
    fn poll(&mut self) -> Result<Option<Claim>, WriteError> {
        let writer = &mut *self.writer;
        let error = match writer.ring.claim(&writer.segment.mapping, self.len, self.fit) {
            Ok(claim) => return Ok(Some(claim)),
            Err(ClaimError::Full) => return Ok(None),
            Err(error) => error,
        };
        let (name, sizes) = (writer.segment.names.name.clone(), writer.segment.mapping.sizes());
        let (bytes, always_fits) = (self.len as usize, sizes.max_frame_bytes() as usize);
        Err(match error {
            ClaimError::Empty => WriteError::EmptyFrame { name },
            ClaimError::TooLarge => WriteError::FrameTooLarge { name, bytes, max: always_fits },
            ClaimError::NeverFitsHere => WriteError::NeverFitsHere { name, bytes, always_fits },
            ClaimError::Corrupt(corrupt) => {
                writer.broken = Some(Broken::Corrupt(corrupt));
                damaged(&name, corrupt.problem())
            }
            ClaimError::Full => unreachable!("handled above"),
        })
    }

    fn glance(&mut self) -> Result<Option<Claim>, WriteError> {
        self.writer.check_memory()?;
        self.writer.check()?;
        self.poll()
    }

    fn probe(&mut self) -> Result<Option<Claim>, WriteError> {
        if self.writer.is_reader_alive() {
            return Ok(None);
        }
        // It may have released frames before it died.
        match self.poll()? {
            None => Err(self.writer.reader_gone()),
            found => Ok(found),
        }
    }

    /// The semaphore remembers, so there is nothing to announce.
    fn announce(&mut self) -> Announced {
        Announced::Safely
    }

    fn is_announced(&self) -> bool {
        true
    }

    fn sleep(&mut self, limit: Duration) -> bool {
        let writer = &mut *self.writer;
        // However many peers have left (L9). One by one they would keep us awake, each for a look at the ring.
        writer.segment.space.take_all();
        // WAKE: pairs with `V1Reader::release`: either it sees that the units are taken, and posts, or we see the bytes
        // that it freed.
        std::sync::atomic::fence(Ordering::SeqCst);
        let found = writer.ring.claim(&writer.segment.mapping, self.len, self.fit);
        if found != Err(ClaimError::Full) {
            return true;
        }
        writer.stats.parks += 1;
        if self.takes_nap(limit) {
            return true;
        }
        self.writer.segment.space.wait(limit)
    }

    /// Not counted: a reader posts no more than it must, so a wait may well end by its limit.
    fn overslept(&mut self) {}
}

impl Drop for V1Writer {
    fn drop(&mut self) {
        if !self.segment.mapping.is_sound() {
            return;
        }
        // Only our own pid; no post: a successor's reader would take it for a frame (L10, L21).
        let (announce, own) = (&self.segment.oieb().writer_pid, own_pid_cached(&self.segment));
        let _ = announce.compare_exchange(own, 0, Ordering::AcqRel, Ordering::Acquire);
        self.segment.give_role_back(Role::Writer);
    }
}

#[cfg(test)]
impl V1Writer {
    /// Copies a frame in and publishes it.
    /// Publishes the open claim, whose first `len` bytes are the frame, and wakes the reader; its number.
    pub(crate) fn commit(&mut self, len: usize) -> Option<u64> {
        let sequence = self.stage(len)?;
        self.publish();
        Some(sequence)
    }

    pub(crate) fn write(&mut self, payload: &[u8], patience: Patience) -> Result<u64, WriteError> {
        let claim = self.claim(payload.len(), Fit::Exact, patience)?;
        self.copy_in(claim.data_index, payload);
        Ok(self.commit(payload.len()).expect("the claim is open and has this length"))
    }

    /// Leaves. The frames that were published stay for the reader.
    pub(crate) fn close(self) {}

    /// Publishes the open claim but does not announce it: what a crash in between leaves.
    pub(crate) fn publish_without_post(&mut self) {
        let claimed = self.ring.claimed().expect("a claim is open");
        self.ring.stage(&self.segment.mapping, claimed);
        self.ring.publish(&self.segment.mapping);
    }
}
