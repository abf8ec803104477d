//! A Reader's engine: the ring's rules with waiting, holding frames, and messages around them.

use std::cell::Cell;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::layout::{Layout, WRITER_LOCK, slot_flags, slot_state, writer_state};
use super::members::{self, ReaderRole, ReaderWish};
use super::memory::Memory;
use super::metadata::{self, Version};
use super::position::Position;
use super::ring::{self, Consumer, Damage, Found};
use super::segment::{Access, Segment};
use super::wake::{self, Announced, Barrier};
use super::writer::create_or_join;
use crate::config::{BufferConfig, WaitStrategy};
use crate::error::{MetadataError, OpenError, ReadError, WriterPresence};
use crate::events::Noticed;
use crate::name::Place;
use crate::stats::ReaderStats;
use crate::sync::{Mutex, MutexGuard, Ordering, Shared};
use crate::wait::{Awaited, Patience, Progress, Spin, Spinner, wait};

/// A reader's place in the registry. Lives as long as the reader or any frame it still holds.
#[derive(Debug)]
pub(crate) struct Seat {
    segment: Segment,
    slot: u32,
    generation: u64,
    barrier: Barrier,
    /// Releases need a closer look: some frame is kept, so that they go through `holds`, or they need a fence.
    careful: AtomicBool,
    /// Frames handed out and not passed by the cursor, oldest first; empty while none is kept.
    holds: Mutex<VecDeque<Hold>>,
    leaves_for_good: AtomicBool,
}

#[derive(Debug)]
struct Hold {
    end: Position,
    released: bool,
}

impl Seat {
    #[inline]
    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Releases the frame, or frames, that the reader lent and that end at `end`.
    #[inline(always)]
    pub(crate) fn release_lent(&self, end: Position) {
        if self.careful.load(Ordering::Acquire) {
            return self.release_with_care(end);
        }
        ring::release(&self.segment, self.slot, end);
        wake::wake_writer(&self.segment, Barrier::LeftToSleeper, end);
    }

    #[cold]
    fn release_with_care(&self, end: Position) {
        let mut holds = self.lock_holds();
        holds.push_back(Hold { end, released: true });
        self.pass_released(&mut holds);
    }

    /// Notes that the frame ending at `end`, the newest handed out, is kept.
    pub(crate) fn keep(&self, end: Position) {
        let mut holds = self.lock_holds();
        holds.push_back(Hold { end, released: false });
        self.careful.store(true, Ordering::Release);
    }

    /// Releases a kept frame, from any thread and in any order.
    pub(crate) fn release_kept(&self, end: Position) {
        if !self.segment.is_sound() {
            return;
        }
        let mut holds = self.lock_holds();
        if let Some(hold) = holds.iter_mut().find(|hold| hold.end == end) {
            hold.released = true;
        }
        self.pass_released(&mut holds);
    }

    /// Moves the cursor over the released prefix.
    fn pass_released(&self, holds: &mut VecDeque<Hold>) {
        let mut cursor = None;
        while holds.front().is_some_and(|hold| hold.released) {
            cursor = holds.pop_front().map(|hold| hold.end);
        }
        if let Some(cursor) = cursor {
            self.publish_cursor(cursor);
        }
        if holds.is_empty() {
            // After the cursor: a later release by the reader itself must not be overtaken by this one.
            self.careful.store(self.barrier == Barrier::Fence, Ordering::Release);
        }
    }

    fn publish_cursor(&self, cursor: Position) {
        ring::release(&self.segment, self.slot, cursor);
        wake::wake_writer(&self.segment, self.barrier, cursor);
    }

    fn lock_holds(&self) -> MutexGuard<'_, VecDeque<Hold>> {
        // Nothing panics while it is held; and its contents are consistent between any two statements.
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this seat is still the one that was taken.
    fn is_taken(&self) -> bool {
        let slot = &self.segment.slots()[self.slot as usize];
        slot.state.load(Ordering::Acquire) == slot_state::ACTIVE
            && slot.generation.load(Ordering::Acquire) == self.generation
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.segment.is_sound() && self.is_taken() {
            let for_good = self.leaves_for_good.load(Ordering::Relaxed);
            members::detach_reader(&self.segment, self.slot, for_good);
        }
    }
}

/// How a reader behaves; not part of the buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behaviour {
    pub(crate) wait: WaitStrategy,
    pub(crate) wish: ReaderWish,
    pub(crate) prefault: bool,
}

/// A reader of a 2.0 buffer.
#[derive(Debug)]
pub(crate) struct Engine {
    seat: Shared<Seat>,
    consumer: Consumer,
    spinner: Spinner,
    pub(crate) noticed: Noticed,
    damage: Option<Damage>,
    stats: ReaderStats,
    /// Looks at each metadata copy that are still going on.
    metadata_looks: [Cell<u32>; 2],
}

/// How a read ended without a frame.
enum End {
    Closed,
    Failed(ReadError),
}

impl Engine {
    pub(crate) fn create(
        name: &str,
        dir: Option<&Path>,
        config: &BufferConfig,
        behaviour: Behaviour,
    ) -> Result<Self, OpenError> {
        let place = Place::new(name, dir)?;
        let (segment, role) = create_or_join(&place, config, Access::Reader, |segment, fd| {
            members::attach_reader(segment, fd, &place, &behaviour.wish)
        })?;
        Ok(Self::new(segment, role, behaviour))
    }

    pub(crate) fn join(
        name: &str,
        dir: Option<&Path>,
        behaviour: Behaviour,
    ) -> Result<Self, OpenError> {
        let place = Place::new(name, dir)?;
        let (segment, role) = Segment::join(&place, Access::Reader, |segment, fd| {
            members::attach_reader(segment, fd, &place, &behaviour.wish)
        })?;
        Ok(Self::new(segment, role, behaviour))
    }

    fn new(segment: Segment, role: ReaderRole, behaviour: Behaviour) -> Self {
        if behaviour.prefault {
            segment.prefault(Access::Reader);
        }
        let noticed = Noticed {
            writer: segment.writer().writer_generation.load(Ordering::Acquire),
            metadata: metadata::generation(&segment),
            ..Noticed::default()
        };
        let seat = Seat {
            segment,
            slot: role.slot,
            generation: role.generation,
            barrier: role.barrier,
            careful: AtomicBool::new(role.barrier == Barrier::Fence),
            holds: Mutex::default(),
            leaves_for_good: AtomicBool::new(false),
        };
        Self {
            seat: Shared::new(seat),
            consumer: role.consumer,
            spinner: Spinner::new(behaviour.wait),
            noticed,
            damage: None,
            stats: ReaderStats::default(),
            metadata_looks: Default::default(),
        }
    }

    pub(crate) fn seat(&self) -> &Shared<Seat> {
        &self.seat
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.seat.segment
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        self.seat.segment.name()
    }

    pub(crate) fn layout(&self) -> &Layout {
        self.seat.segment.layout()
    }

    /// Receives the next frame, if it is plain to see that there is one.
    #[inline(always)]
    pub(crate) fn next_ready(&mut self) -> Option<Found> {
        let found = self.find_ready()?;
        self.take(&found);
        Some(found)
    }

    /// Finds the next frame without receiving it, if it is plain to see that there is one.
    #[inline(always)]
    fn find_ready(&self) -> Option<Found> {
        if !self.seat.segment.is_sound() {
            return None;
        }
        self.consumer.poll_ready(&self.seat.segment)
    }

    /// Receives the next frame.
    #[inline(never)]
    pub(crate) fn next(&mut self, patience: Patience) -> Result<Option<Found>, ReadError> {
        let found = self.find_with_care(patience)?;
        if let Some(found) = &found {
            self.take(found);
        }
        Ok(found)
    }

    /// Finds the next frame without receiving it.
    #[inline]
    pub(crate) fn find(&mut self, patience: Patience) -> Result<Option<Found>, ReadError> {
        match self.find_ready() {
            Some(found) => Ok(Some(found)),
            None => self.find_with_care(patience),
        }
    }

    #[inline(never)]
    fn find_with_care(&mut self, patience: Patience) -> Result<Option<Found>, ReadError> {
        self.check()?;
        // What was found amiss in a segment that was cut short meanwhile is not what is wrong with it.
        self.find_in_sound(patience).or_else(|error| self.check().and(Err(error)))
    }

    /// Fails if the segment's memory is not to be used any more.
    pub(crate) fn check(&self) -> Result<(), ReadError> {
        let segment = self.segment();
        if segment.is_sound() { Ok(()) } else { Err(segment.lost().to_read_error(segment.name())) }
    }

    fn find_in_sound(&mut self, patience: Patience) -> Result<Option<Found>, ReadError> {
        if self.damage.is_none() {
            match self.consumer.poll(&self.seat.segment) {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(damage) => self.damage = Some(damage),
            }
        }
        self.find_later(patience)
    }

    /// The frame behind one that was found, if it is there already.
    #[inline]
    pub(crate) fn find_behind(&mut self, previous: &Found) -> Option<Found> {
        match self.consumer.poll_behind(&self.seat.segment, previous) {
            Ok(found) => found,
            Err(damage) => {
                self.damage = Some(damage);
                None
            }
        }
    }

    /// Receives a found frame.
    #[inline(always)]
    pub(crate) fn take(&mut self, found: &Found) {
        self.consumer.take(&self.seat.segment, found);
        self.stats.redelivered += u64::from(found.is_redelivered());
    }

    /// Goes behind a found frame; [`take`](Self::take) of a later one tells for all.
    #[inline]
    pub(crate) fn advance(&mut self, found: &Found) {
        self.consumer.advance(found);
        self.stats.redelivered += u64::from(found.is_redelivered());
    }

    /// Tells that everything up to `newest` was received.
    pub(crate) fn publish_received(&self, newest: &Found) {
        self.consumer.publish_received(&self.seat.segment, newest);
    }

    fn find_later(&mut self, patience: Patience) -> Result<Option<Found>, ReadError> {
        if let Some(problem) = self.damage {
            return Err(self.damaged(problem));
        }
        self.stats.waits += 1;
        let spin = self.begin_wait();
        if patience != Patience::None {
            let (consumer, segment) = (&self.consumer, &self.seat.segment);
            if self.spinner.poll_briefly(spin, || consumer.poll_ready(segment).is_some()) {
                return Ok(self.consumer.poll_ready(&self.seat.segment));
            }
        }
        let mut awaited = Arrival {
            seat: &self.seat,
            consumer: &self.consumer,
            noticed: &mut self.noticed,
            damage: &mut self.damage,
            stats: &mut self.stats,
        };
        match wait(&mut awaited, &mut self.spinner, spin, patience) {
            Ok(Some(found)) => Ok(Some(found)),
            Ok(None) => Err(ReadError::Timeout {
                name: self.name().clone(),
                waited: patience.limit(),
                writer: self.writer_presence(),
            }),
            Err(End::Closed) => Ok(None),
            Err(End::Failed(error)) => Err(error),
        }
    }

    fn begin_wait(&mut self) -> Spin {
        let (frames, position) = (self.consumer.frames_read(), self.consumer.position());
        let capacity = self.layout().frames.capacity;
        self.spinner.begin(Progress { frames, bytes: position.0 }, capacity)
    }

    fn damaged(&self, problem: Damage) -> ReadError {
        let position = self.consumer.position().0;
        ReadError::Damaged { name: self.name().clone(), position, problem }
    }

    pub(crate) fn writer_presence(&self) -> WriterPresence {
        let segment = &self.seat.segment;
        if !segment.is_sound() {
            return WriterPresence::Never;
        }
        match segment.writer().writer_state.load(Ordering::Acquire) {
            writer_state::NEVER => WriterPresence::Never,
            writer_state::ATTACHED if segment.is_lock_held(WRITER_LOCK) => WriterPresence::Attached,
            writer_state::ATTACHED => WriterPresence::Dead,
            _ => WriterPresence::Closed,
        }
    }

    pub(crate) fn is_durable(&self) -> bool {
        if !self.segment().is_sound() {
            return false;
        }
        let slot = &self.seat.segment.slots()[self.seat.slot as usize];
        slot.flags.load(Ordering::Relaxed) & slot_flags::DURABLE != 0
    }

    pub(crate) fn backlog_bytes(&self) -> u64 {
        if !self.segment().is_sound() {
            return 0;
        }
        let head = Position(self.segment().writer().head.load(Ordering::Acquire));
        let position = self.consumer.position();
        if position.is_at_or_before(head) { head.since(position) } else { 0 }
    }

    pub(crate) fn stats(&self) -> ReaderStats {
        ReaderStats {
            frames: self.consumer.frames_read(),
            bytes: self.consumer.bytes_read_here(),
            skipped_bytes: self.consumer.skipped_bytes(),
            ..self.stats
        }
    }

    /// The slot is given up for good when the last frame is released.
    pub(crate) fn leave_for_good(&self) {
        self.seat.leaves_for_good.store(true, Ordering::Relaxed);
    }

    pub(crate) fn hold_metadata(&self) -> Result<Option<Version>, MetadataError> {
        if !self.segment().is_sound() {
            return Err(self.segment().lost().to_metadata_error(self.name()));
        }
        let version = metadata::hold(self.segment(), self.seat.slot, |g| {
            self.metadata_looks[(g & 1) as usize].get() > 0
        })
        .map_err(|problem| MetadataError::Damaged { name: self.name().clone(), problem })?;
        if let Some(version) = &version {
            let looks = &self.metadata_looks[(version.generation & 1) as usize];
            looks.set(looks.get() + 1);
        }
        Ok(version)
    }

    pub(crate) fn let_metadata_go(&self, generation: u64) {
        let looks = &self.metadata_looks[(generation & 1) as usize];
        looks.set(looks.get() - 1);
        if looks.get() == 0 && self.segment().is_sound() {
            metadata::let_go(self.segment(), self.seat.slot, generation);
        }
    }

    /// Newest generations of the Writer and of the metadata; `None` in a forked child.
    pub(crate) fn generations(&self) -> Option<(u64, u64)> {
        let segment = self.segment();
        segment.is_sound().then(|| {
            let writer = segment.writer().writer_generation.load(Ordering::Acquire);
            (writer, metadata::generation(segment))
        })
    }
}

/// A frame, waited for; or the news that none will come from this Writer.
struct Arrival<'a> {
    seat: &'a Seat,
    consumer: &'a Consumer,
    noticed: &'a mut Noticed,
    damage: &'a mut Option<Damage>,
    stats: &'a mut ReaderStats,
}

impl Arrival<'_> {
    fn failed<T>(&self, error: impl FnOnce(Arc<str>) -> ReadError) -> Result<T, End> {
        Err(End::Failed(error(self.seat.segment.name().clone())))
    }
}

impl Awaited for Arrival<'_> {
    type Output = Found;
    type Error = End;

    #[inline]
    fn poll(&mut self) -> Result<Option<Found>, End> {
        self.consumer.poll(&self.seat.segment).or_else(|problem| {
            *self.damage = Some(problem);
            let position = self.consumer.position().0;
            self.failed(|name| ReadError::Damaged { name, position, problem })
        })
    }

    fn glance(&mut self) -> Result<Option<Found>, End> {
        let segment = &self.seat.segment;
        if !segment.is_sound() || segment.is_retired() {
            return self.failed(|name| ReadError::Retired { name });
        }
        if !self.seat.is_taken() {
            return self.failed(|name| ReadError::Evicted { name });
        }
        let area = segment.writer();
        let generation = area.writer_generation.load(Ordering::Acquire);
        if area.writer_state.load(Ordering::Acquire) != writer_state::CLOSED
            || self.noticed.ended == generation
        {
            return Ok(None);
        }
        // Closed, seen with Acquire: every frame of that Writer is visible by now.
        if let Some(found) = self.poll()? {
            return Ok(Some(found));
        }
        self.noticed.ended = generation;
        self.noticed.closed = true;
        Err(End::Closed)
    }

    fn probe(&mut self) -> Result<Option<Found>, End> {
        let segment = &self.seat.segment;
        let area = segment.writer();
        let generation = area.writer_generation.load(Ordering::Acquire);
        if area.writer_state.load(Ordering::Acquire) != writer_state::ATTACHED
            || self.noticed.ended == generation
            || segment.is_lock_held(WRITER_LOCK)
        {
            return Ok(None);
        }
        // The lock is free: what that Writer committed is visible. It may also have closed, or a successor come.
        if let Some(found) = self.poll()? {
            return Ok(Some(found));
        }
        if area.writer_state.load(Ordering::Acquire) != writer_state::ATTACHED
            || area.writer_generation.load(Ordering::Acquire) != generation
        {
            return Ok(None);
        }
        let pid = area.writer_pid.load(Ordering::Relaxed);
        self.noticed.ended = generation;
        self.noticed.died = Some(pid);
        self.failed(|name| ReadError::WriterGone { name, pid })
    }

    fn announce(&mut self) -> Announced {
        wake::announce_reader(&self.seat.segment, self.seat.slot)
    }

    fn is_announced(&self) -> bool {
        wake::is_reader_announced(&self.seat.segment, self.seat.slot)
    }

    fn sleep(&mut self, limit: Duration) -> bool {
        self.stats.parks += 1;
        let parks = &self.seat.segment.slots()[self.seat.slot as usize].parks;
        parks.store(parks.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        wake::reader_sleeps(&self.seat.segment, self.seat.slot, limit)
    }

    fn overslept(&mut self) {
        self.stats.late_wakes += 1;
    }
}
