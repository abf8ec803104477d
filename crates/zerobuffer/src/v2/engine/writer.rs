//! The Writer's engine: the ring's rules with waiting and messages around them. The full-policy is decided by the endpoint.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::liveness::{self};
use super::metadata;
use super::open::create_or_join;
use super::origin::{Export, Exports};
use super::roles::{self, WriterRole};
use super::room_wait::{Absent, Drained, RoomWait, Wanted};
use crate::sync::Ordering;
use crate::sys::clock;
use crate::sys::copying::{self, Copying, Way};
use crate::v2::ground::segment::{Access, Segment};
use crate::v2::placing::Footprint;
use crate::v2::placing::Producer;
use crate::v2::protocol::layout::{Layout, MAX_SLOTS, owner_state};
use crate::v2::protocol::position::Position;
use crate::v2::rules::accounts;
use crate::v2::rules::memory::{Memory, ReadMemory};
use crate::v2::rules::registry::{self, Lag};
use crate::v2::rules::ring::{Claim, Full};
use crate::v2::rules::sharing;
use crate::v2::rules::wake::{self, Barrier};
use crate::values::config::{BufferConfig, StreamingStores, WaitStrategy};
use crate::values::error::{MetadataError, OpenError, Peer, WriteError};
use crate::values::name::Location;
use crate::values::stats::{ReaderInfo, Undelivered, WhyCopied, WriterStats};
use crate::wait::armed::Armed;
use crate::wait::{Patience, Progress, Spin, Spinner, wait};

/// Between two looks at the locks of live readers under `require_reader`.
const READER_CHECK: Duration = Duration::from_millis(100);

/// Frames longer than this are worth a look at the clock each, for whether it is time to look at the file.
const LOOKED_AROUND: u64 = 64 << 10;

/// How long a Writer that may wait does so before it goes beyond what readers have yet to read, and a nanosecond more for each
/// byte of the frame: as long as one who is kept busy by memory alone takes for it, amply. In a part of the ring that the cache
/// holds such a reader and its Writer are faster than in all of it.
const LEAST_RELUCTANCE: Duration = Duration::from_micros(20);

/// How a Writer behaves; not part of the buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behaviour {
    pub(crate) wait: WaitStrategy,
    pub(crate) require_reader: bool,
    pub(crate) footprint: Footprint,
    pub(crate) prefault: bool,
    pub(crate) streaming: StreamingStores,
    /// Places whose durable owner has been gone for so long are given up.
    pub(crate) forget_after: Option<Duration>,
}

/// A frame as it lies in another buffer, held by one of its readers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elsewhere<'a> {
    pub(crate) origin: &'a Segment,
    /// Of the reader that holds it.
    pub(crate) exports: &'a Exports,
    pub(crate) header: Position,
    pub(crate) start: Position,
    pub(crate) end: Position,
    pub(crate) len: u64,
    /// Whether its bytes begin with an attribute block.
    pub(crate) has_attributes: bool,
}

/// The Writer of a 2.0 buffer.
#[derive(Debug)]
pub(crate) struct V2Writer {
    // Dropped first to last: the role is given up in `drop`, then the segment is left.
    segment: Segment,
    producer: Producer,
    barrier: Barrier,
    behaviour: Behaviour,
    /// Largest frame that [`is_plain`](Self::is_plain) need not look at closer.
    plain_frame: u64,
    spinner: Spinner,
    copying: Copying,
    metadata_was_set: bool,
    /// Per slot: the generation of the owner whose end the caller was told of.
    told: [u64; MAX_SLOTS as usize],
    stats: WriterStats,
    /// Number of the next frame, and payload bytes before it, when this writer attached.
    begun_at: (u64, u64),
    readers_checked: Option<Instant>,
    absent: Option<Absent>,
    /// By which frames of other buffers are passed on here.
    exports: Vec<Arc<Export>>,
}

impl V2Writer {
    pub(crate) fn create(
        name: &str,
        dir: Option<&Path>,
        config: &BufferConfig,
        behaviour: Behaviour,
    ) -> Result<Self, OpenError> {
        let place = Location::new(name, dir)?;
        let (segment, role) = create_or_join(&place, config, Access::Writer, |segment, fd| {
            roles::attach_writer(segment, fd, &place, behaviour.footprint)
        })?;
        Ok(Self::new(segment, role, behaviour))
    }

    pub(crate) fn connect(
        name: &str,
        dir: Option<&Path>,
        behaviour: Behaviour,
    ) -> Result<Self, OpenError> {
        let place = Location::new(name, dir)?;
        let (segment, role) = Segment::join(&place, Access::Writer, |segment, fd| {
            roles::attach_writer(segment, fd, &place, behaviour.footprint)
        })?;
        Ok(Self::new(segment, role, behaviour))
    }

    fn new(segment: Segment, role: WriterRole, behaviour: Behaviour) -> Self {
        if behaviour.prefault {
            segment.prefault(Access::Writer);
        }
        let frames = segment.layout().frames;
        let max_frame = frames.max_frame();
        Self {
            segment,
            plain_frame: if behaviour.require_reader { 0 } else { max_frame.min(LOOKED_AROUND) },
            begun_at: (role.producer.next_sequence(), role.producer.bytes_committed()),
            producer: role.producer,
            barrier: role.barrier,
            behaviour,
            copying: Copying::new(behaviour.streaming, frames.capacity),
            spinner: Spinner::new(behaviour.wait),
            metadata_was_set: false,
            told: [0; MAX_SLOTS as usize],
            stats: WriterStats::default(),
            readers_checked: None,
            absent: None,
            exports: Vec::new(),
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        self.segment.name()
    }

    pub(crate) fn layout(&self) -> &Layout {
        self.segment.layout()
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Counts a frame of `bytes` that the full-policy dropped.
    pub(crate) fn count_dropped(&mut self, bytes: usize) {
        self.stats.dropped_frames += 1;
        self.stats.dropped_bytes += bytes as u64;
        let shared = &self.segment.writer().dropped_frames;
        shared.store(shared.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Claims room for a frame and copies it there, if it is plain to see that there is some.
    #[inline(always)]
    pub(crate) fn copy_in_ready(&mut self, payload: &[u8]) -> Option<Claim> {
        let len = payload.len();
        if !self.is_plain(len) {
            return None;
        }
        let claim = self.producer.claim_ready(&self.segment, len as u64)?;
        self.copy_in(&claim, payload);
        Some(claim)
    }

    /// Claims room for a frame, if there is some and nothing else has to be looked at.
    #[inline(always)]
    pub(crate) fn try_claim(&mut self, len: usize) -> Option<Claim> {
        if self.is_plain(len) { self.producer.try_claim(&self.segment, len as u64) } else { None }
    }

    /// Whether a frame needs nothing but room.
    #[inline(always)]
    fn is_plain(&self, len: usize) -> bool {
        (len as u64).wrapping_sub(1) < self.plain_frame && self.segment.is_sound()
    }

    /// Claims room for a frame; waits for it as long as `patience` allows.
    #[inline(never)]
    pub(crate) fn claim(&mut self, len: usize, patience: Patience) -> Result<Claim, WriteError> {
        if len == 0 || len as u64 > self.layout().frames.max_frame() {
            return Err(self.unfit(len));
        }
        self.check()?;
        // What was found amiss in a segment that was cut short meanwhile is not what is wrong with it.
        self.claim_in_sound(len, patience).or_else(|error| self.check().and(Err(error)))
    }

    /// Fails if the segment's memory is not to be used any more.
    fn check(&self) -> Result<(), WriteError> {
        self.segment.check_for_writing()
    }

    fn claim_in_sound(&mut self, len: usize, patience: Patience) -> Result<Claim, WriteError> {
        self.look_around();
        if self.segment.is_retired() {
            return Err(WriteError::Retired { name: self.name().clone() });
        }
        if self.behaviour.require_reader {
            self.check_reader()?;
        }
        // Who may not wait goes beyond at once; so does a batch: readers may have nothing to read but what is to stay whole.
        let claimed = if patience == Patience::None || self.producer.has_staged() {
            self.producer.claim_beyond(&self.segment, len as u64)
        } else {
            self.producer.claim(&self.segment, len as u64)
        };
        claimed.or_else(|full| self.claim_when_room(len, full, patience))
    }

    /// Looks whether the buffer was removed, and now and then whether its file was. From then on no frame is plain.
    fn look_around(&mut self) {
        self.segment.look_around();
        if self.segment.is_retired() {
            self.plain_frame = 0;
        }
    }

    fn begin_wait(&mut self) -> Spin {
        let (frames, position) = (self.producer.next_sequence(), self.producer.tail());
        let capacity = self.layout().frames.capacity;
        self.spinner.begin(Progress { frames, bytes: position.0 }, capacity)
    }

    /// Announces a sleep until there is room for `len` bytes, and looks once more.
    pub(crate) fn arm(&mut self, len: usize) -> Armed {
        let is_valid = (1..=self.layout().frames.max_frame()).contains(&(len as u64));
        if !is_valid || !self.segment.is_sound() {
            return Armed::Ready;
        }
        let Err(full) = self.producer.claim_beyond(&self.segment, len as u64) else {
            return Armed::Ready;
        };
        self.publish();
        let announced = wake::announce_writer(&self.segment, full.wants);
        let has_room = self.producer.claim_beyond(&self.segment, len as u64).is_ok();
        if has_room || self.segment.is_retired() {
            return Armed::Ready;
        }
        // Which reader is in the way changes: it is the next try that looks after it.
        let look_again_after = self.spinner.look_again_after();
        Armed::until(&self.segment.registry().writer_waiting, announced, look_again_after)
    }

    fn unfit(&self, len: usize) -> WriteError {
        let name = self.name().clone();
        match len {
            0 => WriteError::EmptyFrame { name },
            bytes => WriteError::FrameTooLarge {
                name,
                bytes,
                max: self.layout().frames.max_frame() as usize,
            },
        }
    }

    fn claim_when_room(
        &mut self,
        len: usize,
        full: Full,
        patience: Patience,
    ) -> Result<Claim, WriteError> {
        if self.producer.place_beyond(&self.layout().frames, len as u64).is_some() {
            let reluctance = patience.at_most(LEAST_RELUCTANCE + Duration::from_nanos(len as u64));
            let (claim, _) = self.wait_for_room(len, full, reluctance, Wanted::AtTheTail)?;
            let beyond = || self.producer.claim_beyond(&self.segment, len as u64).ok();
            if let Some(claim) = claim.or_else(beyond) {
                return Ok(claim);
            }
        }
        // What is staged and not visible can never be read, so it must not be what fills the ring.
        self.publish();
        let area = self.segment.writer();
        area.full_waits
            .store(area.full_waits.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        self.stats.full_waits += 1;
        let (claim, holder) = self.wait_for_room(len, full, patience, Wanted::Anywhere)?;
        claim.ok_or_else(|| WriteError::Full {
            name: self.name().clone(),
            waited: patience.limit(),
            holder: holder.map_or_else(Peer::nobody, |slot| liveness::peer(&self.segment, slot)),
        })
    }

    /// Waits for the room that is wished for; in the end also whose cursor the lowest was.
    fn wait_for_room(
        &mut self,
        len: usize,
        full: Full,
        patience: Patience,
        wanted: Wanted,
    ) -> Result<(Option<Claim>, Option<u32>), WriteError> {
        let spin = self.begin_wait();
        if patience != Patience::None {
            let (producer, segment) = (&mut self.producer, &self.segment);
            let mut claimed = None;
            self.spinner.poll_briefly(spin, || {
                claimed = wanted.claim(producer, segment, len as u64).ok();
                claimed.is_some()
            });
            if claimed.is_some() {
                return Ok((claimed, None));
            }
        }
        let mut room = RoomWait {
            segment: &self.segment,
            producer: &mut self.producer,
            len: len as u64,
            wanted,
            full,
            told: &mut self.told,
            forget_after: self.behaviour.forget_after,
            absent: &mut self.absent,
            stats: &mut self.stats,
        };
        let claimed = wait(&mut room, &mut self.spinner, spin, patience)?;
        Ok((claimed, room.full.holder))
    }

    /// Copies a frame to where it was claimed.
    #[inline(always)]
    pub(crate) fn copy_in(&mut self, claim: &Claim, payload: &[u8]) {
        if payload.len() < copying::LARGE {
            self.producer.copies(&self.segment, claim);
            self.segment.copy_in(claim.start(), payload);
        } else {
            self.copy_large_in(claim.start(), payload, Some(claim));
        }
    }

    /// Copies a part of a frame to a place within its claim.
    #[inline(always)]
    pub(crate) fn copy_part_in(&mut self, start: Position, part: &[u8]) {
        if part.len() < copying::LARGE {
            self.segment.copy_in(start, part);
        } else {
            self.copy_large_in(start, part, None);
        }
    }

    /// Copies in a frame of that claim, or a part of one: then lines are not prepared, for other parts may be there already.
    #[inline(never)]
    fn copy_large_in(&mut self, start: Position, part: &[u8], whole: Option<&Claim>) {
        let Self { segment, producer, copying, .. } = self;
        copying.run(part.len(), |way| match way {
            Way::ThroughCaches => {
                if let Some(claim) = whole {
                    producer.copies(segment, claim);
                }
                segment.copy_large_in(start, part);
            }
            Way::PastCaches => {
                if let Some(claim) = whole {
                    producer.leaves_alone(claim);
                }
                segment.stream_in(start, part);
            }
        });
    }

    /// Completes a claimed frame and makes it visible. Returns its number.
    #[inline(always)]
    pub(crate) fn commit(&mut self, claim: &Claim) -> u64 {
        self.stamp(claim);
        let sequence = self.producer.next_sequence();
        self.producer.commit(&self.segment, claim);
        self.wake();
        sequence
    }

    /// Passes a frame of another buffer on by reference; its number, or why it has to be copied.
    pub(crate) fn pass_on(
        &mut self,
        frame: &Elsewhere<'_>,
        patience: Patience,
    ) -> Result<Result<u64, WhyCopied>, WriteError> {
        self.check()?;
        let export = match self.export_in(frame) {
            Ok(export) => export,
            Err(why) => return Ok(Err(why)),
        };
        let reference = export.reference(frame.header, frame.start, frame.end, frame.len);
        let claim = match self.try_claim(reference.bytes()) {
            Some(claim) => claim,
            None => self.claim(reference.bytes(), patience)?,
        };
        reference.write_to(self.lend_mut(claim.start(), reference.bytes()));
        self.stamp(&claim);
        let sequence = self.producer.next_sequence();
        let committed = export.pass_on(frame.header, frame.end, || {
            self.producer.commit_reference(&self.segment, &claim, frame.has_attributes);
        });
        self.wake();
        Ok(committed.map(|()| sequence).ok_or(WhyCopied::OutOfOrder))
    }

    /// The export in the buffer that a frame lies in.
    fn export_in(&mut self, frame: &Elsewhere<'_>) -> Result<Arc<Export>, WhyCopied> {
        let origin = frame.origin;
        if !self.layout().sharing {
            return Err(WhyCopied::NotAllowedHere);
        }
        if !origin.layout().sharing {
            return Err(WhyCopied::NotAllowedThere);
        }
        if origin.dir() != self.segment.dir() {
            return Err(WhyCopied::OtherDirectory);
        }
        let (here, there) = (self.layout().segment_id, origin.layout().segment_id);
        let is_target = |slot| sharing::is_export(slot, there);
        if here == there || self.segment.slots().iter().any(is_target) {
            return Err(WhyCopied::Circle);
        }
        if let Some(export) = self.exports.iter().find(|export| export.is_in(origin)) {
            return Ok(Arc::clone(export));
        }
        let export = Export::open(origin, &self.segment).map_err(|error| match error {
            OpenError::NoReaderSlot { .. } => WhyCopied::NoReaderSlot,
            _ => WhyCopied::NoAccess,
        })?;
        let export = Arc::new(export);
        frame.exports.note(&export);
        self.exports.push(Arc::clone(&export));
        Ok(export)
    }

    /// Completes a claimed frame; visible with [`publish`](Self::publish). Returns its number.
    #[inline(always)]
    pub(crate) fn stage(&mut self, claim: &Claim) -> u64 {
        self.stamp(claim);
        let sequence = self.producer.next_sequence();
        self.producer.stage(&self.segment, claim);
        sequence
    }

    /// Completes a claimed frame whose first `block` bytes are its attribute block, and makes it visible. Returns its
    /// number.
    pub(crate) fn commit_with_attributes(&mut self, claim: &Claim, block: usize) -> u64 {
        self.stamp(claim);
        let sequence = self.producer.next_sequence();
        self.producer.commit_with_attributes(&self.segment, claim, block as u64);
        self.wake();
        sequence
    }

    /// Completes a claimed frame whose first `block` bytes are its attribute block; visible with
    /// [`publish`](Self::publish). Returns its number.
    pub(crate) fn stage_with_attributes(&mut self, claim: &Claim, block: usize) -> u64 {
        self.stamp(claim);
        let sequence = self.producer.next_sequence();
        self.producer.stage_with_attributes(&self.segment, claim, block as u64);
        sequence
    }

    #[inline(always)]
    fn stamp(&self, claim: &Claim) {
        if self.layout().timestamps() {
            self.store_stamp(claim.header());
        }
    }

    // By value: what is passed by reference has to lie in memory, for every frame.
    #[cold]
    fn store_stamp(&self, header: Position) {
        if let Some(stamp) = self.layout().frames.stamp(header) {
            self.segment.word(stamp).store(clock::stamp_ns(), Ordering::Relaxed);
        }
    }

    /// Makes what is staged visible and wakes who waits for it.
    #[inline(always)]
    pub(crate) fn publish(&mut self) {
        self.producer.publish(&self.segment);
        self.wake();
    }

    #[inline(always)]
    fn wake(&mut self) {
        let woken = wake::wake_readers(&self.segment, self.barrier);
        if woken > 0 {
            self.count_wakes(woken);
        }
    }

    #[cold]
    fn count_wakes(&mut self, woken: u32) {
        self.stats.wakes += u64::from(woken);
        self.segment.writer().wakes.store(self.stats.wakes, Ordering::Relaxed);
        self.look_around();
    }

    /// Forgets what is staged.
    pub(crate) fn abort(&mut self) {
        self.producer.abort(&self.segment);
    }

    fn check_reader(&mut self) -> Result<(), WriteError> {
        let now = Instant::now();
        if self.readers_checked.is_some_and(|at| now.duration_since(at) < READER_CHECK) {
            let attached =
                (0..self.layout().slot_count).any(|i| registry::is_attached(&self.segment, i));
            return if attached { Ok(()) } else { Err(self.no_reader()) };
        }
        if !self.has_live_reader() {
            return Err(self.no_reader());
        }
        self.readers_checked = Some(now);
        Ok(())
    }

    fn no_reader(&self) -> WriteError {
        WriteError::NoReader { name: self.name().clone() }
    }

    pub(crate) fn has_live_reader(&self) -> bool {
        self.segment.is_sound()
            && (0..self.layout().slot_count).any(|index| liveness::is_alive(&self.segment, index))
    }

    pub(crate) fn has_had_reader(&self) -> bool {
        self.segment.is_sound()
            && self
                .segment
                .slots()
                .iter()
                .any(|slot| slot.owner_state.load(Ordering::Relaxed) != owner_state::NEVER)
    }

    pub(crate) fn readers(&self) -> Vec<ReaderInfo> {
        if !self.segment.is_sound() {
            return Vec::new();
        }
        let is_alive = |index| liveness::is_alive(&self.segment, index);
        (0..self.layout().slot_count)
            .filter_map(|index| accounts::reader_info(&self.segment, index, |_| is_alive(index)))
            .collect()
    }

    pub(crate) fn undelivered(&self) -> Undelivered {
        let mut most = Undelivered::default();
        if !self.segment.is_sound() {
            return most;
        }
        for index in 0..self.layout().slot_count {
            let slot = &self.segment.slots()[index as usize];
            if !registry::is_served(slot) {
                continue;
            }
            let Lag { frames, bytes } = accounts::lag(&self.segment, index);
            if bytes > most.bytes {
                most = Undelivered {
                    frames,
                    bytes,
                    reader: Some(liveness::peer(&self.segment, index)),
                };
            }
        }
        most
    }

    /// Waits until every registered reader has released everything; false if that will not or did not happen.
    pub(crate) fn wait_drained(&mut self, timeout: Option<Duration>) -> bool {
        if !self.segment.is_sound() {
            return false;
        }
        let spin = self.begin_wait();
        let mut drained =
            Drained { segment: &self.segment, producer: &mut self.producer, holder: None };
        matches!(wait(&mut drained, &mut self.spinner, spin, Patience::For(timeout)), Ok(Some(())))
    }

    pub(crate) fn set_metadata(&mut self, bytes: &[u8]) -> Result<(), MetadataError> {
        self.check_metadata(bytes)?;
        let set = metadata::is_set(&self.segment);
        if self.metadata_was_set || (set && !metadata::equals(&self.segment, bytes)) {
            return Err(MetadataError::AlreadySet { name: self.name().clone() });
        }
        if !set {
            metadata::publish(&self.segment, bytes);
            wake::wake_readers(&self.segment, Barrier::Fence);
        }
        self.metadata_was_set = true;
        Ok(())
    }

    pub(crate) fn replace_metadata(&mut self, bytes: &[u8]) -> Result<(), MetadataError> {
        self.check_metadata(bytes)?;
        if let Some(slot) = metadata::holder_of_next(&self.segment)
            && liveness::is_alive(&self.segment, slot)
        {
            let holder = liveness::peer(&self.segment, slot);
            return Err(MetadataError::Held { name: self.name().clone(), holder });
        }
        metadata::publish(&self.segment, bytes);
        wake::wake_readers(&self.segment, Barrier::Fence);
        self.metadata_was_set = true;
        Ok(())
    }

    fn check_metadata(&self, bytes: &[u8]) -> Result<(), MetadataError> {
        let capacity = self.layout().metadata_bytes as usize;
        if !self.segment.is_sound() {
            return Err(self.segment.lost().to_metadata_error(self.name()));
        }
        if bytes.len() > capacity || capacity == 0 {
            return Err(MetadataError::TooLarge {
                name: self.name().clone(),
                bytes: bytes.len(),
                capacity,
            });
        }
        Ok(())
    }

    pub(crate) fn stats(&self) -> WriterStats {
        let (sequence, bytes) = self.begun_at;
        WriterStats {
            frames: self.producer.next_sequence().wrapping_sub(sequence),
            bytes: self.producer.bytes_committed().wrapping_sub(bytes),
            skipped_bytes: self.producer.skipped_bytes(),
            streamed_frames: self.copying.streamed(),
            ..self.stats
        }
    }

    /// Lends claimed bytes to be filled.
    #[inline]
    pub(crate) fn lend_mut(&mut self, start: Position, len: usize) -> &mut [u8] {
        self.segment.lend_mut(start, len)
    }

    pub(crate) fn head(&self) -> Position {
        self.producer.head()
    }

    pub(crate) fn next_sequence(&self) -> u64 {
        self.producer.next_sequence()
    }
}

impl Drop for V2Writer {
    fn drop(&mut self) {
        if self.segment.is_sound() {
            roles::detach_writer(&self.segment);
        }
    }
}
