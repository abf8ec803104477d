//! A Reader's engine: the ring's rules with waiting, holding frames, and messages around them.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::arrival::{Source, Watch};
use super::liveness;
use super::metadata::{self, Version};
use super::open::create_or_join;
use super::origin::{self, Borrowed, Exports, Origin, Reference, WhyGone};
use super::roles::{self, ReaderRole, ReaderWish};
use crate::sync::{Mutex, MutexGuard, Ordering, Shared};
use crate::v2::ground::segment::{Access, Segment};
use crate::v2::protocol::layout::{Slot, slot_flags, slot_state};
use crate::v2::protocol::position::Position;
use crate::v2::rules::memory::ReadMemory;
use crate::v2::rules::ring::{self, Consumer, Damage, Found};
use crate::v2::rules::wake::{self, Announced, Barrier};
use crate::values::config::{BufferConfig, WaitStrategy};
use crate::values::error::{MetadataError, OpenError, ReadError};
use crate::values::name::Location;
use crate::values::stats::ReaderStats;
use crate::wait::armed::Armed;
use crate::wait::{Patience, Progress};

/// A reader's place in the registry. Lives as long as the reader or any frame it still holds.
#[derive(Debug)]
pub(crate) struct ReaderSeat {
    segment: Segment,
    index: u32,
    generation: u64,
    barrier: Barrier,
    /// Releases need a closer look: some frame is kept, so that they go through `holds`, or they need a fence.
    careful: AtomicBool,
    /// Frames handed out and not passed by the cursor, oldest first; empty while none is kept.
    holds: Mutex<VecDeque<Hold>>,
    /// Of frames that lie in other buffers: what is to be given back there.
    borrowed: Borrowed,
    /// Through which its frames were passed on.
    pub(crate) exports: Exports,
    leaves_for_good: AtomicBool,
}

#[derive(Debug)]
struct Hold {
    end: Position,
    released: bool,
}

impl ReaderSeat {
    #[inline]
    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    /// The slot that it is.
    #[inline(always)]
    fn slot(&self) -> &Slot {
        self.segment.own_slot()
    }

    /// Releases the frame, or frames, that the reader lent and that end at `end`.
    #[inline(always)]
    pub(crate) fn release_lent(&self, end: Position) {
        if self.careful.load(Ordering::Acquire) {
            return self.release_with_care(end);
        }
        ring::release(self.slot(), end);
        wake::wake_writer(&self.segment, Barrier::LeftToSleeper, end);
    }

    #[cold]
    fn release_with_care(&self, end: Position) {
        // A forked child may have inherited the lock taken, by a thread that it has not.
        if !self.segment.is_ours() {
            return;
        }
        let mut holds = self.lock_holds();
        holds.push_back(Hold { end, released: true });
        self.pass_released(&mut holds);
    }

    /// Notes that the frame ending at `end`, the newest handed out, is kept.
    pub(crate) fn keep(&self, end: Position) {
        if !self.segment.is_ours() {
            return;
        }
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
        ring::release(self.slot(), cursor);
        wake::wake_writer(&self.segment, self.barrier, cursor);
    }

    /// Gives back what was released of other buffers' frames.
    pub(crate) fn settle(&self) {
        if self.segment.layout().sharing {
            self.borrowed.settle(&self.segment, self.index);
        }
    }

    fn lock_holds(&self) -> MutexGuard<'_, VecDeque<Hold>> {
        // Nothing panics while it is held; and its contents are consistent between any two statements.
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this seat is still the one that was taken.
    fn is_taken(&self) -> bool {
        let slot = self.slot();
        slot.state.load(Ordering::Acquire) == slot_state::ACTIVE
            && slot.generation.load(Ordering::Acquire) == self.generation
    }
}

/// A frame that lies in another buffer.
#[derive(Debug)]
pub(crate) struct Referred {
    seat: Shared<ReaderSeat>,
    pub(crate) origin: Arc<Origin>,
    /// Where it lies there: its header, and the next frame.
    pub(crate) header: Position,
    pub(crate) end: Position,
}

impl Referred {
    /// The reader's own seat, in the buffer that it reads.
    pub(crate) fn seat(&self) -> &Shared<ReaderSeat> {
        &self.seat
    }

    /// Releases the frame that was lent.
    pub(crate) fn release_lent(&self, found: &Found) {
        self.seat.release_lent(found.end);
        self.seat.settle();
    }

    /// Releases the frame that was kept.
    pub(crate) fn release_kept(&self, found: &Found) {
        self.seat.release_kept(found.end);
        self.seat.settle();
    }
}

impl Drop for ReaderSeat {
    fn drop(&mut self) {
        if self.segment.is_sound() && self.is_taken() {
            let for_good = self.leaves_for_good.load(Ordering::Relaxed);
            roles::detach_reader(&self.segment, self.index, for_good);
        }
    }
}

/// How a reader behaves; not part of the buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behaviour {
    pub(crate) wait: WaitStrategy,
    pub(crate) wish: ReaderWish,
    pub(crate) prefault: bool,
    /// Whether it may change frames where they lie.
    pub(crate) changes_frames: bool,
}

impl Behaviour {
    fn access(&self) -> Access {
        if self.changes_frames { Access::ChangingReader } else { Access::Reader }
    }
}

/// A reader of a 2.0 buffer.
#[derive(Debug)]
pub(crate) struct V2Reader {
    seat: Shared<ReaderSeat>,
    consumer: Consumer,
    /// As in [`ReaderRole`]; and nothing was received since.
    new_at: Option<Position>,
    pub(crate) watch: Watch,
    /// Other buffers that frames lie in, and the one that was found last.
    origins: Vec<Arc<Origin>>,
    shared: Option<Arc<Referred>>,
    /// Looks at each metadata copy that are still going on.
    metadata_looks: Mutex<[u32; 2]>,
}

impl V2Reader {
    pub(crate) fn create(
        name: &str,
        dir: Option<&Path>,
        config: &BufferConfig,
        behaviour: Behaviour,
    ) -> Result<Self, OpenError> {
        let place = Location::new(name, dir)?;
        let (segment, role) = create_or_join(&place, config, behaviour.access(), |segment, fd| {
            roles::attach_reader(segment, fd, &place, &behaviour.wish)
        })?;
        Ok(Self::new(segment, role, behaviour))
    }

    pub(crate) fn join(
        name: &str,
        dir: Option<&Path>,
        behaviour: Behaviour,
    ) -> Result<Self, OpenError> {
        let place = Location::new(name, dir)?;
        let (segment, role) = Segment::join(&place, behaviour.access(), |segment, fd| {
            roles::attach_reader(segment, fd, &place, &behaviour.wish)
        })?;
        Ok(Self::new(segment, role, behaviour))
    }

    fn new(mut segment: Segment, role: ReaderRole, behaviour: Behaviour) -> Self {
        segment.note_own_slot(role.slot);
        if behaviour.prefault {
            segment.prefault(Access::Reader);
        }
        let watch = Watch::new(&segment, behaviour.wait);
        let seat = ReaderSeat {
            segment,
            index: role.slot,
            generation: role.generation,
            barrier: role.barrier,
            careful: AtomicBool::new(role.barrier == Barrier::Fence),
            holds: Mutex::default(),
            borrowed: Borrowed::default(),
            exports: Exports::default(),
            leaves_for_good: AtomicBool::new(false),
        };
        Self {
            seat: Shared::new(seat),
            consumer: role.consumer,
            new_at: role.new_at,
            watch,
            origins: Vec::new(),
            shared: None,
            metadata_looks: Default::default(),
        }
    }

    pub(crate) fn seat(&self) -> &Shared<ReaderSeat> {
        &self.seat
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.seat.segment
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        self.seat.segment.name()
    }

    /// Receives the next frame, if it is plain to see that there is one; false if not.
    #[inline(always)]
    pub(crate) fn next_ready(&mut self) -> bool {
        let seat = &*self.seat;
        seat.segment.is_sound() && self.consumer.take_ready(&seat.segment, seat.slot())
    }

    /// The frame that was received last.
    #[inline(always)]
    pub(crate) fn newest(&self) -> &Found {
        self.consumer.newest()
    }

    /// Finds the next frame without receiving it, if it is plain to see that there is one.
    #[inline(always)]
    fn find_ready(&self) -> Option<Found> {
        if !self.seat.segment.is_sound() {
            return None;
        }
        self.consumer.poll_ready(&self.seat.segment)
    }

    /// Receives the next frame, which is then the newest; false when the writer has closed.
    #[inline(never)]
    pub(crate) fn receive(&mut self, patience: Patience) -> Result<bool, ReadError> {
        let is_ready = self.receive_behind_skip()
            || self.comes_soon(patience) && (self.next_ready() || self.receive_behind_skip());
        if is_ready {
            return Ok(true);
        }
        let found = self.find_with_care(patience)?;
        if let Some(found) = &found {
            self.take(found);
            if found.skipped() != 0 {
                self.release_skipped(found);
            }
        }
        Ok(found.is_some())
    }

    /// Receives the next frame, if it is plain to see that there is one behind a skip.
    fn receive_behind_skip(&mut self) -> bool {
        let seat = &*self.seat;
        if !seat.segment.is_sound() || !self.consumer.pass_skip(&seat.segment, seat.slot()) {
            return false;
        }
        let is_there = self.next_ready();
        if is_there {
            self.release_skipped(self.consumer.newest());
        }
        is_there
    }

    /// Lets the Writer have what the skip led over, which is most of the ring perhaps, while the frame behind it is in use.
    /// Not before that was received: the cursor never passes what was received.
    fn release_skipped(&self, found: &Found) {
        self.seat.release_lent(found.header);
    }

    /// Waits as long as it pays to spin; whether anything came.
    fn comes_soon(&mut self, patience: Patience) -> bool {
        let (segment, consumer) = (&self.seat.segment, &self.consumer);
        if patience == Patience::None || !segment.is_sound() || !consumer.is_next_empty(segment) {
            return false;
        }
        self.watch.spin(segment, progress(consumer), || !consumer.is_next_empty(segment))
    }

    /// Finds the next frame without receiving it.
    #[inline]
    pub(crate) fn find(&mut self, patience: Patience) -> Result<Option<Found>, ReadError> {
        let mut ready = self.find_ready();
        if ready.is_none() && self.comes_soon(patience) {
            ready = self.find_ready();
        }
        match ready {
            Some(found) => Ok(Some(found)),
            None => self.find_with_care(patience),
        }
    }

    /// Announces a sleep, and looks once more.
    pub(crate) fn arm(&mut self) -> Armed {
        let mut source = Every { seat: &self.seat, consumer: &self.consumer };
        self.watch.arm(&mut source).map_or(Armed::Ready, |(announced, lived)| {
            Armed::on(&self.seat.slot().wait_flag, announced, Some(lived))
        })
    }

    /// Whether the next try finds nothing, as far as memory shows.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut source = Every { seat: &self.seat, consumer: &self.consumer };
        self.watch.is_quiet(&mut source)
    }

    fn find_with_care(&mut self, patience: Patience) -> Result<Option<Found>, ReadError> {
        if patience.is_limited() {
            self.find_since(Some(Instant::now()), patience)
        } else {
            self.find_since(None, patience)
        }
    }

    /// Finds the next frame of a wait that began then. Twice in the program, for one that does not wait needs no clock.
    #[inline(always)]
    fn find_since(
        &mut self,
        begun: Option<Instant>,
        patience: Patience,
    ) -> Result<Option<Found>, ReadError> {
        let mut left = patience;
        loop {
            let mut source = Every { seat: &self.seat, consumer: &self.consumer };
            let found = match self.watch.find(&mut source, progress(&self.consumer), left)? {
                Some(found) if found.is_reference() => found,
                found => return Ok(found),
            };
            let problem = match self.follow(&found) {
                Ok(elsewhere) => {
                    self.new_at = self.new_at.filter(|begun| !begun.is_at_or_before(found.end));
                    return Ok(Some(elsewhere));
                }
                Err(problem) => problem,
            };
            // Its payload is gone.
            self.consumer.pass_over(self.seat.slot(), &found);
            self.seat.release_lent(found.end);
            // It was gone when this reader came, if nobody had kept it.
            if self.new_at.is_none() {
                let (name, sequence) = (self.name().clone(), found.sequence);
                return Err(ReadError::PayloadLost { name, sequence, problem });
            }
            left = begun.map_or(patience, |begun| patience.less(begun.elapsed()));
        }
    }

    fn follow(&mut self, found: &Found) -> Result<Found, WhyGone> {
        let target = &self.seat.segment;
        let reference = origin::read(target, found).ok_or("its reference is none")?;
        let known = self.origins.iter().find(|origin| origin.is_meant_by(&reference));
        let origin = match known {
            Some(origin) => Arc::clone(origin),
            None => {
                // Those that nothing lies in any more were replaced, as a rule.
                self.origins.retain(|origin| !self.seat.borrowed.is_free(origin));
                let origin = Arc::new(Origin::follow(target, &reference)?);
                if !origin.is_meant_by(&reference) {
                    return Err("the buffer that it lies in was replaced, or has taken it back");
                }
                self.origins.push(Arc::clone(&origin));
                origin
            }
        };
        if !origin.is_there(&reference) {
            return Err("the buffer that it lies in has taken it back");
        }
        let Reference { header, start, end, len, .. } = reference;
        let mut head = [0; 8];
        if found.has_attributes() {
            origin.segment.copy_out(start, &mut head);
        }
        let resolved = found.resolved(start, len, u64::from_le_bytes(head))?;
        self.seat.borrowed.note(found.end, end, &origin);
        let seat = &self.seat;
        match self.shared.as_mut().and_then(Arc::get_mut) {
            Some(shared) => (shared.origin, shared.header, shared.end) = (origin, header, end),
            None => {
                let shared = Referred { seat: Shared::clone(seat), origin, header, end };
                self.shared = Some(Arc::new(shared));
            }
        }
        Ok(resolved)
    }

    /// Where a found frame lies that is not in this buffer.
    pub(crate) fn shared(&self) -> Option<&Arc<Referred>> {
        self.shared.as_ref()
    }

    /// Whether the next frame is there and as long as the last one.
    #[inline(always)]
    pub(crate) fn is_next_plain(&self) -> bool {
        self.seat.segment.is_sound() && self.consumer.is_next_plain(&self.seat.segment)
    }

    /// Goes behind the next frame, if it is plain to see that there is one, as a part of a batch; false if not.
    #[inline(always)]
    pub(crate) fn advance_ready(&mut self) -> bool {
        self.seat.segment.is_sound() && self.consumer.advance_ready(&self.seat.segment)
    }

    /// The frame behind one that was found, if it is there already.
    pub(crate) fn find_behind(&mut self, previous: &Found) -> Option<Found> {
        if !self.segment().is_ours() {
            return None;
        }
        match self.consumer.poll_behind(&self.seat.segment, previous) {
            Ok(Some(found)) if found.is_reference() => self.follow_behind(previous, &found),
            Ok(found) => found,
            Err(damage) => {
                self.watch.damage = Some(damage);
                None
            }
        }
    }

    /// As part of a batch a reference must lead where the one before it did, for there is one `shared`.
    #[cold]
    fn follow_behind(&mut self, previous: &Found, found: &Found) -> Option<Found> {
        let reference = origin::read(&self.seat.segment, found)?;
        let meant = self.shared.as_ref().is_some_and(|s| s.origin.is_meant_by(&reference));
        if previous.is_reference() && !meant { None } else { self.follow(found).ok() }
    }

    /// Receives a found frame.
    #[inline(always)]
    pub(crate) fn take(&mut self, found: &Found) {
        self.consumer.take(self.seat.slot(), found);
    }

    /// Goes behind a found frame; [`take`](Self::take) of a later one tells for all.
    #[inline]
    pub(crate) fn advance(&mut self, found: &Found) {
        self.consumer.advance(found);
    }

    /// Tells that everything up to `newest` was received.
    pub(crate) fn publish_received(&self) {
        self.consumer.publish_received(self.seat.slot(), self.newest());
    }

    pub(crate) fn is_durable(&self) -> bool {
        if !self.segment().is_sound() {
            return false;
        }
        self.seat.slot().flags.load(Ordering::Relaxed) & slot_flags::DURABLE != 0
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
            redelivered: self.consumer.redelivered(),
            ..self.watch.stats
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
        let mut looks = self.lock_metadata_looks();
        let version =
            metadata::hold(self.segment(), self.seat.index, |g| looks[(g & 1) as usize] > 0)
                .map_err(|problem| MetadataError::Damaged { name: self.name().clone(), problem })?;
        if let Some(version) = &version {
            looks[(version.generation & 1) as usize] += 1;
        }
        Ok(version)
    }

    pub(crate) fn let_metadata_go(&self, generation: u64) {
        if !self.segment().is_ours() {
            return;
        }
        let mut all = self.lock_metadata_looks();
        let looks = &mut all[(generation & 1) as usize];
        *looks -= 1;
        if *looks == 0 && self.segment().is_sound() {
            metadata::let_go(self.segment(), self.seat.index, generation);
        }
    }

    fn lock_metadata_looks(&self) -> MutexGuard<'_, [u32; 2]> {
        // Nothing panics while it is held.
        self.metadata_looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Frames of a reader that gets every one of them.
struct Every<'a> {
    seat: &'a ReaderSeat,
    consumer: &'a Consumer,
}

fn progress(consumer: &Consumer) -> Progress {
    Progress { frames: consumer.frames_read(), bytes: consumer.position().0 }
}

impl Source for Every<'_> {
    fn segment(&self) -> &Segment {
        &self.seat.segment
    }

    #[inline]
    fn poll(&mut self) -> Result<Option<Found>, Damage> {
        self.consumer.poll(&self.seat.segment)
    }

    fn position(&self) -> Position {
        self.consumer.position()
    }

    fn is_wiped_out(&self) -> bool {
        // As long as the seat is taken, its cursor keeps the Writer away.
        ring::is_wiped_out(&self.seat.segment, self.consumer.position()) && self.seat.is_taken()
    }

    fn is_registered(&self) -> bool {
        self.seat.is_taken()
    }

    fn announce(&mut self) -> Announced {
        wake::announce_reader(&self.seat.segment, self.seat.index)
    }

    fn is_announced(&self) -> bool {
        wake::is_reader_announced(&self.seat.segment, self.seat.index)
    }

    fn sleep(&mut self, limit: Duration) -> bool {
        wake::sleep_as_reader(&self.seat.segment, self.seat.index, limit)
    }

    fn look_after_others(&mut self) {
        if self.seat.borrowed.is_waiting() {
            // For others to release what this reader has: they may be dead.
            liveness::reap_dead_readers(&self.seat.segment);
        }
        self.seat.settle();
        self.seat.exports.tidy();
    }
}
