//! The Writer's side of the ring.

use super::placing::{Detour, Placing};
use super::room::Room;
use super::tail::Tail;
use super::{Claim, Damage, Full, SMALLEST_FRAME, Step, Walk, number_at};
use crate::fault::{self, Fault};
use crate::sync::{Ordering, fence};
use crate::v2::protocol::layout::{Extent, FrameGeometry};
use crate::v2::protocol::position::Position;
use crate::v2::protocol::word;
use crate::v2::rules::memory::Memory;
use crate::v2::rules::registry::{Lowest, lowest_cursor};

/// How long frames are of late, if they are short ones, whose place does not depend on where the last one ended: what
/// follows from that need not be worked out for each.
#[derive(Debug, Clone, Copy, Default)]
struct Usual {
    /// 0, as no frame is, where there is none such.
    len: u64,
    /// How far behind its header a frame ends.
    end: u64,
}

impl Usual {
    fn new(frames: &FrameGeometry, len: u64) -> Self {
        let is_short = len < frames.align_threshold;
        if is_short {
            Self { len, end: frames.extent(Position(0), len).end.0 }
        } else {
            Self::default()
        }
    }

    #[inline(always)]
    fn extent(&self, frames: &FrameGeometry, position: Position, len: u64) -> Extent {
        if len == self.len {
            Extent { start: position.plus(frames.header), end: position.plus(self.end) }
        } else {
            frames.extent(position, len)
        }
    }
}

/// Frames staged and not yet visible.
#[derive(Debug)]
struct Staged {
    /// Whether there are any. If not, the rest is of an earlier batch.
    is_open: bool,
    /// Position and word that make them visible.
    first: (Position, u64),
    /// The end of what is published, and the room as it was when nothing was staged behind.
    before: Tail,
    room: Room,
    /// Position of the newest frame.
    newest: Position,
}

/// The Writer's side of the ring.
#[derive(Debug)]
pub(crate) struct Producer<P> {
    /// End of everything staged.
    tail: Tail,
    staged: Staged,
    /// Where the next frame may end, and its terminator begin, without a closer look: see [`Producer::look_ahead`].
    ready_until: Position,
    usual: Usual,
    room: Room,
    /// Copy of `reserve`.
    reserve: Position,
    placing: P,
    /// Up to here, what readers gave back is filled.
    #[cfg(all(feature = "fault-points", not(loom)))]
    poisoned: Position,
}

impl<P: Placing> Producer<P> {
    /// Finds the end of what was committed, as a new Writer or as the successor of a dead one.
    ///
    /// Walks from the published head over frames that were committed and not published, at most one lap. The
    /// Writer may have died between any two stores of `Tail::publish`, so their numbers are told by their words.
    pub(crate) fn attach(memory: &impl Memory, mut placing: P) -> Result<Self, Damage> {
        let writer = memory.writer();
        let frames = *memory.frames();
        let head = Position(writer.head.load(Ordering::Acquire));
        let floor = Position(writer.floor.load(Ordering::Acquire));
        let reserve = Position(writer.reserve.load(Ordering::Acquire));
        if head.since(floor) > frames.farthest() || !head.0.is_multiple_of(8) {
            return Err("head and floor are further apart than two laps");
        }
        let told = Position(writer.newest.load(Ordering::Relaxed));
        let mut newest = told;
        let numbered = writer.sequence.load(Ordering::Relaxed).wrapping_add(1);
        let mut tail = Tail {
            position: head,
            next: number_at(memory, head, numbered),
            bytes_committed: 0,
            skipped_bytes: 0,
        };
        let mut walk = Walk { position: head, skipped: false };
        loop {
            match walk.step(memory, tail.next)? {
                Step::Empty => break,
                Step::Skip { bytes } => tail.skipped_bytes += bytes,
                Step::Frame { position, len, .. } => {
                    newest = position;
                    tail.next = tail.next.wrapping_add(1);
                    tail.bytes_committed += len;
                }
            }
            if walk.position.since(floor) > frames.farthest()
                || !walk.position.is_at_or_before(reserve)
            {
                return Err("committed frames run beyond what the Writer had reserved");
            }
        }
        if tail.next.wrapping_sub(numbered) > i64::MAX as u64 {
            return Err("more frames were numbered than are there");
        }
        tail.position = walk.position;
        // Frames behind the head that are numbered, or told of by `newest` (which is where the first frame goes
        // before there is one), are in these accounts already.
        let was_numbered = tail.next == numbered;
        if was_numbered || (newest == told && numbered != 1) {
            (tail.bytes_committed, tail.skipped_bytes) = (0, 0);
        }
        let (bytes, skipped) = (&writer.bytes_committed, &writer.skipped_bytes);
        tail.bytes_committed = tail.bytes_committed.wrapping_add(bytes.load(Ordering::Relaxed));
        tail.skipped_bytes = tail.skipped_bytes.wrapping_add(skipped.load(Ordering::Relaxed));
        placing.begin(&tail);
        let room = Room::find(memory, floor, tail.position);
        room.tell(memory, tail.position);
        let producer = Self {
            tail,
            staged: Staged { is_open: false, first: (head, 0), before: tail, room, newest },
            ready_until: head,
            usual: Usual::default(),
            room,
            reserve,
            placing,
            #[cfg(all(feature = "fault-points", not(loom)))]
            poisoned: head,
        };
        writer.skipped_bytes.store(tail.skipped_bytes, Ordering::Relaxed);
        tail.publish(writer, newest);
        Ok(producer)
    }

    /// End of everything published.
    pub(crate) fn head(&self) -> Position {
        if self.staged.is_open { self.staged.before.position } else { self.tail.position }
    }

    /// Number of the next frame.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.tail.next
    }

    /// Whether frames are staged and not visible.
    pub(crate) fn has_staged(&self) -> bool {
        self.staged.is_open
    }

    /// End of everything staged.
    pub(crate) fn tail(&self) -> Position {
        self.tail.position
    }

    /// Payload bytes committed since the buffer was created, staged ones included.
    pub(crate) fn bytes_committed(&self) -> u64 {
        self.tail.bytes_committed
    }

    /// Sum of the skip frames, as of the newest frame.
    pub(crate) fn skipped_bytes(&self) -> u64 {
        self.tail.skipped_bytes
    }

    /// Claims room for a frame if it is plain to see that there is some: what nearly every call finds.
    /// `1 <= len <= max_frame`, here and below.
    #[inline(always)]
    pub(crate) fn claim_ready(&self, memory: &impl Memory, len: u64) -> Option<Claim> {
        let position = self.tail.position;
        self.claim_if_ready(self.usual.extent(memory.frames(), position, len), len)
    }

    #[inline(always)]
    fn claim_if_ready(&self, extent: Extent, len: u64) -> Option<Claim> {
        let position = self.tail.position;
        let ready = extent.end.is_at_or_before(self.ready_until);
        ready.then_some(Claim { position, frame: position, extent, len })
    }

    /// Claims room for a frame of `len` bytes behind what is staged, if there is some.
    #[inline(always)]
    pub(crate) fn try_claim(&mut self, memory: &impl Memory, len: u64) -> Option<Claim> {
        let position = self.tail.position;
        // Not as in `claim_ready`: what one of two ways leads to is put together in memory, and loans are slower.
        let extent = memory.frames().extent(position, len);
        if let Some(claim) = self.claim_if_ready(extent, len) {
            return Some(claim);
        }
        let frame = self.make_room(memory, len)?;
        Some(Claim { position, frame, extent: memory.frames().extent(frame, len), len })
    }

    /// As [`try_claim`](Self::try_claim); or who is in the way.
    pub(crate) fn claim(&mut self, memory: &impl Memory, len: u64) -> Result<Claim, Full> {
        self.try_claim(memory, len).ok_or_else(|| {
            let frames = memory.frames();
            let end = frames.extent(self.place(frames, len), len).end;
            let wants = self.room.wants(frames, end, len);
            let holder = lowest_cursor(memory, self.room.floor(), self.head()).slot;
            Full { holder, wants }
        })
    }

    /// As [`claim`](Self::claim), or beyond what readers have yet to read, in what a skip led over that they have not passed.
    #[cold]
    pub(crate) fn claim_beyond(&mut self, memory: &impl Memory, len: u64) -> Result<Claim, Full> {
        self.claim(memory, len).or_else(|full| {
            let frame = self.place_beyond(memory.frames(), len).ok_or(full)?;
            let extent = memory.frames().extent(frame, len);
            self.raise_reserve(memory, extent);
            Ok(Claim { position: self.tail.position, frame, extent, len })
        })
    }

    /// Where [`claim_beyond`](Self::claim_beyond) finds room for what [`claim`](Self::claim) has none for, if it does.
    pub(crate) fn place_beyond(&self, frames: &FrameGeometry, len: u64) -> Option<Position> {
        self.room.beyond(frames, len)
    }

    /// Where a frame goes that takes no detour: where the policy says; while readers are before a skip, to the tail. A second skip
    /// for the policy's sake would leave three stretches of free bytes, each perhaps too short; see [`Room`].
    fn place(&self, frames: &FrameGeometry, len: u64) -> Position {
        if self.room.is_whole() {
            self.placing.place(frames, &self.tail, len)
        } else {
            self.tail.position
        }
    }

    /// Finds room behind what is staged: where the frame's header goes.
    ///
    /// A position and no claim, for that comes back in registers: a claim would be written word by word, and whoever loads
    /// it in wider pieces waits until all of that has left the store buffer.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self, memory: &impl Memory, len: u64) -> Option<Position> {
        let frames = memory.frames();
        debug_assert!(len >= 1 && len <= frames.max_frame(), "checked by the endpoint");
        if let Some(frame) = self.take_detour(memory, len) {
            return Some(frame);
        }
        let mut frame = self.place(frames, len);
        let mut extent = frames.extent(frame, len);
        let mut lowest = None;
        if !self.room.holds(frames, extent) {
            lowest = Some(self.refresh_floor(memory).cursor);
            frame = self.place(frames, len);
            extent = frames.extent(frame, len);
            if !self.room.holds(frames, extent) {
                return None;
            }
        }
        // Of a skip the policy is told when the frame is staged: until then it may be given up, and another go to the tail.
        if frame == self.tail.position {
            self.placing.went_on(frames, &self.tail, extent.end);
        }
        self.raise_reserve(memory, extent);
        self.look_ahead(memory, extent.end.since(frame), lowest);
        self.usual = Usual::new(frames, len);
        Some(frame)
    }

    /// Takes the place that the policy would like better than the tail, if there is room.
    #[cold]
    fn take_detour(&mut self, memory: &impl Memory, len: u64) -> Option<Position> {
        let frames = memory.frames();
        let Detour { frame, only_if_all_is_released } =
            self.placing.detour(frames, &self.tail, len)?;
        let extent = frames.extent(frame, len);
        let tail = self.tail.position;
        // As in `place`.
        let is_free = |room: &Room| room.is_whole() && room.holds(frames, extent);
        let is_taken = if only_if_all_is_released {
            // The first look is a glance, the second one counts, and costs a fence.
            self.lowest_cursor(memory) == tail
                && self.refresh_floor(memory).cursor == tail
                && is_free(&self.room)
        } else {
            is_free(&self.room) || {
                self.refresh_floor(memory);
                is_free(&self.room)
            }
        };
        if is_taken {
            self.raise_reserve(memory, extent);
        }
        is_taken.then_some(frame)
    }

    /// Notes how far frames can be claimed with no more than a look at `ready_until`: within the room, within the reserve, and
    /// up to where the policy wants to be asked. The last reader is at `lowest`, if that is known.
    fn look_ahead(&mut self, memory: &impl Memory, frame_bytes: u64, lowest: Option<Position>) {
        let frames = memory.frames();
        self.ready_until = self
            .room
            .limit(frames)
            .earlier(self.reserve)
            .earlier(self.placing.horizon(frames, &self.tail))
            .minus(8);
        let (head, floor) = (self.head(), self.room.floor());
        let lag = || {
            let lowest = lowest.unwrap_or_else(|| lowest_cursor(memory, floor, head).cursor);
            head.since(lowest)
        };
        self.placing.looked(&self.tail, frame_bytes, lag);
    }

    /// The lowest cursor as it is now.
    fn lowest_cursor(&self, memory: &impl Memory) -> Position {
        lowest_cursor(memory, self.room.floor(), self.head()).cursor
    }

    /// Looks at the cursors again; the counterpart of `registry::activate`.
    #[cold]
    pub(crate) fn refresh_floor(&mut self, memory: &impl Memory) -> Lowest {
        let writer = memory.writer();
        let head = self.head();
        let bound = self.room.floor();
        let seen = lowest_cursor(memory, bound, head);
        writer.floor.store(seen.cursor.0, Ordering::Release);
        fault::point(Fault::FloorStored);
        // Store floor, then load cursors; the joiner stores its cursor, then loads floor. Excluded: neither
        // sees the other's store.
        fence(Ordering::SeqCst);
        let mut lowest = lowest_cursor(memory, bound, head);
        if lowest.cursor.since(bound) < seen.cursor.since(bound) {
            writer.floor.store(lowest.cursor.0, Ordering::Release);
        } else {
            lowest = seen;
        }
        self.room.raise(lowest.cursor);
        let fill = self.room.unread(self.tail.position);
        if fill > writer.high_water_bytes.load(Ordering::Relaxed) {
            writer.high_water_bytes.store(fill, Ordering::Relaxed);
        }
        lowest
    }

    /// Announces how far bytes may change, in steps of an eighth of the ring, so that the fence is paid once
    /// in many frames; observers lose that much of their lap.
    #[inline]
    fn raise_reserve(&mut self, memory: &impl Memory, extent: Extent) {
        let end = extent.end.plus(8);
        if !end.is_at_or_before(self.reserve) {
            self.reserve = end.plus(memory.frames().capacity / 8);
            memory.writer().reserve.store(self.reserve.0, Ordering::Relaxed);
            fault::point(Fault::ReserveRaised);
            // RESERVE: pairs with the observers' fence between copying and loading `reserve`.
            memory.order_streaming_stores();
        }
        #[cfg(all(feature = "fault-points", not(loom)))]
        self.poison(memory);
    }

    /// Fills what readers gave back, as far as bytes may change, so that whoever still looks there can be found out.
    #[cfg(all(feature = "fault-points", not(loom)))]
    fn poison(&mut self, memory: &impl Memory) {
        let Some(poison) = fault::poison() else { return };
        // The word at the tail says that nothing is there.
        let tail = self.tail.position.plus(8);
        let mut position = if tail.is_at_or_before(self.poisoned) { self.poisoned } else { tail };
        let end = self.reserve.earlier(self.room.limit(memory.frames()));
        while position != end && position.is_at_or_before(end) {
            memory.word(position).store(poison, Ordering::Relaxed);
            position = position.plus(8);
        }
        self.poisoned = position;
    }

    /// Completes and publishes a claimed frame whose payload is in place; with what is staged before it.
    #[inline(always)]
    pub(crate) fn commit(&mut self, memory: &impl Memory, claim: &Claim) {
        if claim.frame != claim.position || self.staged.is_open {
            self.stage(memory, claim);
            self.publish(memory);
            return;
        }
        terminate(memory, claim);
        // COMMIT: pairs with the Acquire load in `Walk::step`.
        let word = word::frame(claim.len, self.tail.next);
        memory.word(claim.frame).store(word, Ordering::Release);
        fault::point(Fault::FrameCommitted);
        self.tail.pass(claim);
        self.tail.publish(memory.writer(), claim.frame);
        self.placing.committed(memory, claim, self.ready_until);
    }

    /// Completes and publishes a claimed frame that says where the payload lies; with what is staged before it.
    /// `has_attributes`: what lies there begins with an attribute block.
    pub(crate) fn commit_reference(
        &mut self,
        memory: &impl Memory,
        claim: &Claim,
        has_attributes: bool,
    ) {
        let word = word::reference(claim.len, self.tail.next);
        let word = if has_attributes { word::with_attributes(word) } else { word };
        self.stage_as(memory, claim, word);
        self.publish(memory);
    }

    /// Completes and publishes a claimed frame whose first `block` bytes are its attribute block; with what is staged
    /// before it.
    pub(crate) fn commit_with_attributes(
        &mut self,
        memory: &impl Memory,
        claim: &Claim,
        block: u64,
    ) {
        if claim.frame != claim.position || self.staged.is_open {
            self.stage_with_attributes(memory, claim, block);
            self.publish(memory);
            return;
        }
        terminate(memory, claim);
        let word = word::with_attributes(word::frame(claim.len, self.tail.next));
        // COMMIT: pairs with the Acquire load in `Walk::step`.
        memory.word(claim.frame).store(word, Ordering::Release);
        fault::point(Fault::FrameCommitted);
        self.tail.pass(claim);
        self.tail.bytes_committed = self.tail.bytes_committed.wrapping_sub(block);
        self.tail.publish(memory.writer(), claim.frame);
        self.placing.committed(memory, claim, self.ready_until);
    }

    /// Completes a claimed frame whose first `block` bytes are its attribute block; invisible until
    /// [`publish`](Self::publish).
    pub(crate) fn stage_with_attributes(
        &mut self,
        memory: &impl Memory,
        claim: &Claim,
        block: u64,
    ) {
        let word = word::with_attributes(word::frame(claim.len, self.tail.next));
        self.stage_as(memory, claim, word);
        // Only payload counts.
        self.tail.bytes_committed = self.tail.bytes_committed.wrapping_sub(block);
    }

    /// Completes a claimed frame whose payload is in place; invisible until [`publish`](Self::publish).
    #[inline(always)]
    pub(crate) fn stage(&mut self, memory: &impl Memory, claim: &Claim) {
        self.stage_as(memory, claim, word::frame(claim.len, self.tail.next));
    }

    #[inline(always)]
    fn stage_as(&mut self, memory: &impl Memory, claim: &Claim, word: u64) {
        terminate(memory, claim);
        let mut visible = word;
        let is_first = !self.staged.is_open;
        if is_first {
            self.open_batch();
        }
        if claim.frame != claim.position {
            // The skip is stored last and commits both; nobody parses `frame` before it.
            memory.word(claim.frame).store(word, Ordering::Release);
            fault::point(Fault::SkipTargetStored);
            let bytes = claim.frame.since(claim.position);
            visible = word::skip(bytes, self.tail.next);
            self.tail.skipped_bytes = self.tail.skipped_bytes.wrapping_add(bytes);
            self.placing.skipped(claim.frame, &self.tail);
            self.room.note_skip(memory, claim.position, claim.frame);
        }
        if is_first {
            self.staged.first = (claim.position, visible);
        } else {
            memory.word(claim.position).store(visible, Ordering::Release);
        }
        self.staged.newest = claim.frame;
        self.tail.pass(claim);
        fault::point(Fault::BatchStaged);
        self.placing.committed(memory, claim, self.ready_until);
    }

    #[inline(never)]
    fn open_batch(&mut self) {
        self.staged.is_open = true;
        self.staged.before = self.tail.copied();
        self.staged.room = self.room;
    }

    /// Makes everything staged visible at once.
    #[inline]
    pub(crate) fn publish(&mut self, memory: &impl Memory) {
        if std::mem::take(&mut self.staged.is_open) {
            let Staged { first: (position, word), newest, .. } = self.staged;
            // COMMIT: pairs with the Acquire load in `Walk::step`.
            memory.word(position).store(word, Ordering::Release);
            fault::point(Fault::FrameCommitted);
            memory.writer().skipped_bytes.store(self.tail.skipped_bytes, Ordering::Relaxed);
            self.tail.publish(memory.writer(), newest);
        }
    }

    /// Tells that a claimed frame is about to be copied in.
    #[inline(always)]
    pub(crate) fn copies(&mut self, memory: &impl Memory, claim: &Claim) {
        self.placing.copies(memory, claim, self.ready_until);
    }

    /// Tells that a claimed frame is filled in a way for which nothing should be done to its lines.
    #[inline(always)]
    pub(crate) fn leaves_alone(&mut self, claim: &Claim) {
        self.placing.leaves_alone(claim);
    }

    /// Forgets what was staged and not published.
    pub(crate) fn abort(&mut self, memory: &impl Memory) {
        if std::mem::take(&mut self.staged.is_open) {
            self.tail = self.staged.before;
            self.room = self.room.without_skips_since(self.staged.room);
            self.room.tell(memory, self.tail.position);
            self.placing.begin(&self.tail);
            self.look_ahead(memory, SMALLEST_FRAME, None);
        }
    }
}

/// Stores the terminator behind a claimed frame.
#[inline(always)]
fn terminate(memory: &impl Memory, claim: &Claim) {
    fault::point(Fault::FrameFilled);
    memory.word(claim.extent.end).store(0, Ordering::Relaxed);
    fault::point(Fault::FrameTerminated);
}

#[cfg(test)]
impl<P> Producer<P> {
    /// Number of the next frame, payload bytes and skipped bytes so far.
    pub(crate) fn accounts(&self) -> (u64, u64, u64) {
        (self.tail.next, self.tail.bytes_committed, self.tail.skipped_bytes)
    }
}
