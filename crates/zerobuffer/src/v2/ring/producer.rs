//! The Writer's side of the ring.

use std::hint::black_box;

use super::footprint::{Footprint, Part};
use super::lap::{LEAST_PLACED, Lap};
use super::room::Room;
use super::{Claim, Damage, Full, SMALLEST_FRAME, Step, Walk, number_at};
use crate::fault::{self, Fault};
use crate::sync::{Ordering, fence};
use crate::v2::layout::{CACHE_LINE, Extent, FrameGeometry, WriterArea};
use crate::v2::memory::Memory;
use crate::v2::position::Position;
use crate::v2::registry::{Lowest, lowest_cursor};
use crate::v2::word;

/// Lines that are prepared at once, and how near the tail may come to the last of them before the next are;
/// see [`Producer::prepare`].
const PREPARE_LINES: u64 = 24;
const PREPARE_LEFT: u64 = 2 * CACHE_LINE;
/// From this length on a frame that is filled where it lies has its first lines prepared, and no others: perhaps no others are
/// written.
const PREPARE_ALL_BELOW: u64 = 512;
/// Up to this size a ring lies in the processors' own caches, as a rule. In a larger one they are faster by themselves at copying
/// what is longer than that.
const PREPARE_COPIES_UP_TO: u64 = 1 << 20;
/// How long before it is prepared a line is asked for, or in a small ring this part of it; and where asking is all there is to do.
const ASK_AHEAD: u64 = 4096;
const ASK_AHEAD_PART: u64 = 64;
const ASK_ONLY_AHEAD: u64 = 512;
/// "Prepared" up to here, from where no lines are prepared: further than any ring reaches.
const FAR: u64 = 1 << 62;
/// Readers that lag by so many frames read a stream. One who waits for each frame has it sooner when its lines
/// were not prepared.
const STREAM_LAG: u64 = if cfg!(loom) { 1 } else { 4 };

/// So many large frames in a row are waited for before the place of one is enough for them.
const ALONE: u32 = 16;

/// The end of a row of frames, and the accounts up to there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    pub(super) position: Position,
    /// Number of the next frame.
    pub(super) next: u64,
    pub(super) bytes_committed: u64,
    skipped_bytes: u64,
}

impl Tail {
    /// Goes behind one more frame.
    #[inline(always)]
    fn pass(&mut self, claim: &Claim) {
        self.position = claim.extent.end;
        self.next = self.next.wrapping_add(1);
        self.bytes_committed = self.bytes_committed.wrapping_add(claim.len);
    }

    /// A copy, word by word: the words were stored one by one a moment ago, and whoever loads them in wider pieces waits until
    /// these stores, and all before them, are out of the store buffer, some of which wait for lines that a reader has.
    #[inline(always)]
    fn copied(&self) -> Self {
        Self {
            position: Position(black_box(self.position.0)),
            next: black_box(self.next),
            bytes_committed: black_box(self.bytes_committed),
            skipped_bytes: black_box(self.skipped_bytes),
        }
    }

    /// Tells that everything before this end is committed, the last of it at `newest`.
    #[inline(always)]
    fn publish(self, writer: &WriterArea, newest: Position) {
        writer.bytes_committed.store(self.bytes_committed, Ordering::Relaxed);
        // Release, both: whoever starts from them must find that frame's commit word (observers, `next_number`).
        writer.newest.store(newest.0, Ordering::Release);
        fault::point(Fault::FrameNewest);
        writer.sequence.store(self.next.wrapping_sub(1), Ordering::Release);
        fault::point(Fault::FrameNumbered);
        // PUBLISH-HEAD: pairs with `registry::activate`, observers, and a successor.
        writer.head.store(self.position.0, Ordering::Release);
        fault::point(Fault::FramePublished);
    }
}

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
struct Batch {
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
pub(crate) struct Producer {
    /// End of everything staged.
    tail: Tail,
    batch: Batch,
    /// Where the next frame may end, and its terminator begin, without a closer look: see [`Producer::look_ahead`].
    ready_until: Position,
    usual: Usual,
    /// How many lines to prepare at once, and up to where they are, or are not to be; see [`Producer::prepare`].
    lines_at_once: u64,
    prepared_until: Position,
    ask_ahead: u64,
    only_asks: bool,
    room: Room,
    /// Copy of `reserve`.
    reserve: Position,
    part: Part,
    /// See [`Producer::expect_one_alone`].
    is_next_alone: bool,
    /// Frames in a row, as far as was looked, before which readers had released everything.
    alone: u32,
    lap: Lap,
    /// Up to here, what readers gave back is filled.
    #[cfg(all(feature = "fault-points", not(loom)))]
    poisoned: Position,
}

impl Producer {
    /// Finds the end of what was committed, as a new Writer or as the successor of a dead one.
    ///
    /// Walks from the published head over frames that were committed and not published, at most one lap. The
    /// Writer may have died between any two stores of `Tail::publish`, so their numbers are told by their words.
    pub(crate) fn attach(memory: &impl Memory, footprint: Footprint) -> Result<Self, Damage> {
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
        let only_asks = memory.hints_take_lines();
        let ask_ahead = if only_asks { ASK_ONLY_AHEAD } else { ASK_AHEAD };
        let room = Room::find(memory, floor, tail.position);
        room.tell(memory, tail.position);
        let producer = Self {
            tail,
            batch: Batch { is_open: false, first: (head, 0), before: tail, room, newest },
            ready_until: head,
            usual: Usual::default(),
            lines_at_once: 0,
            prepared_until: head.plus(FAR),
            ask_ahead: ask_ahead.min(frames.capacity / ASK_AHEAD_PART),
            only_asks,
            room,
            reserve,
            part: Part::new(footprint, frames.capacity),
            is_next_alone: false,
            alone: 0,
            lap: Lap::at(tail.position, &tail),
            #[cfg(all(feature = "fault-points", not(loom)))]
            poisoned: head,
        };
        writer.skipped_bytes.store(tail.skipped_bytes, Ordering::Relaxed);
        tail.publish(writer, newest);
        Ok(producer)
    }

    /// End of everything published.
    pub(crate) fn head(&self) -> Position {
        if self.batch.is_open { self.batch.before.position } else { self.tail.position }
    }

    /// Number of the next frame.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.tail.next
    }

    /// Whether frames are staged and not visible.
    pub(crate) fn has_staged(&self) -> bool {
        self.batch.is_open
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

    /// Tells that no frame follows the next one before readers have released it, so that it may have the place of the last
    /// one. There it lies on lines and pages that both sides have just used.
    pub(crate) fn expect_one_alone(&mut self) {
        self.is_next_alone = !self.batch.is_open;
        self.ready_until = self.tail.position;
    }

    /// Tells whether frames are copied past the caches.
    #[inline(always)]
    pub(crate) fn copies_past_caches(&mut self, is_so: bool) {
        self.part.is_past_caches = is_so;
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

    /// Where a frame goes that is not to go to the start of the ring: to the tail, or where the lap before began. While
    /// readers are before a skip there is no second one but hops, or what both lead over would be too short for either.
    fn place(&self, frames: &FrameGeometry, len: u64) -> Position {
        if self.room.is_whole() {
            self.lap.place(frames, &self.tail, len)
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
        if std::mem::take(&mut self.is_next_alone)
            && let Some(frame) = self.place_again(memory, len)
        {
            return Some(frame);
        }
        let (floor, head) = (self.room.floor(), self.head());
        let look = || _ = black_box(lowest_cursor(memory, floor, head));
        self.part.suit(memory, &self.tail, len, look);
        if frames.offset(self.tail.position) >= self.part.narrow()
            && let Some(frame) = self.place_at_ring_start(memory, len)
        {
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
        // Behind a skip the lap begins when the frame is staged: until then it may be given up, and another go to the tail.
        if frame == self.tail.position && !extent.end.is_at_or_before(self.lap.end(frames)) {
            self.lap = Lap::at(frame, &self.tail);
        }
        self.raise_reserve(memory, extent);
        self.look_ahead(memory, extent.end.since(frame), lowest);
        self.usual = Usual::new(frames, len);
        Some(frame)
    }

    /// Finds room at the start of the ring's next lap, if the readers have left that free; within the narrow part of a
    /// window, or of one or two frames, if they have left everything free.
    #[cold]
    fn place_at_ring_start(&mut self, memory: &impl Memory, len: u64) -> Option<Position> {
        let frames = memory.frames();
        let offset = frames.offset(self.tail.position);
        let frame = self.ring_start(frames);
        let extent = frames.extent(frame, len);
        let size = extent.end.since(frame);
        if offset < size {
            return None;
        }
        let has_two = offset >= size.saturating_mul(2);
        if !has_two || offset + size <= self.part.window() {
            let is_all_free = self.is_all_free(memory);
            self.alone = if is_all_free { self.alone.saturating_add(1) } else { 0 };
            // In a window of less than two frames both sides take turns. So only if they did anyway.
            let is_wanted = is_all_free && (has_two || self.alone > ALONE);
            return if is_wanted { self.place_if_all_is_free(memory, frame, len) } else { None };
        }
        // As in `place`.
        let is_free = |room: &Room| room.is_whole() && room.holds(frames, extent);
        if !is_free(&self.room) {
            self.refresh_floor(memory);
            if !is_free(&self.room) {
                return None;
            }
        }
        self.raise_reserve(memory, extent);
        Some(frame)
    }

    /// Finds room where the last frame lay, or at the start of the ring's next lap, if the readers have left everything free.
    #[cold]
    fn place_again(&mut self, memory: &impl Memory, len: u64) -> Option<Position> {
        let frames = memory.frames();
        let position = self.tail.position;
        let last = Position(memory.writer().newest.load(Ordering::Relaxed));
        let bytes = position.since(last);
        let is_last = last.0.is_multiple_of(8) && bytes <= frames.capacity - 2 * CACHE_LINE;
        // A line before it: the terminator behind this frame must not lie where readers look for the skip.
        let again = is_last.then(|| last.plus(frames.capacity - CACHE_LINE));
        let places = [again, Some(self.ring_start(frames))];
        let fits = |frame: &Position| {
            frames.extent(*frame, len).end.plus(8).since(position) <= frames.capacity
        };
        let frame = places.into_iter().flatten().find(fits)?;
        if self.is_all_free(memory) { self.place_if_all_is_free(memory, frame, len) } else { None }
    }

    /// Where the ring's next lap begins, or a little behind.
    fn ring_start(&self, frames: &FrameGeometry) -> Position {
        let position = self.tail.position;
        position.plus(frames.capacity - frames.offset(position) + self.part.start())
    }

    /// Whether the readers have released everything, at a glance.
    fn is_all_free(&self, memory: &impl Memory) -> bool {
        self.lowest_cursor(memory) == self.tail.position
    }

    /// Takes a place if the readers have released everything. For those whom [`is_all_free`](Self::is_all_free) gave hope: this
    /// look is the one that counts, and costs a fence.
    fn place_if_all_is_free(
        &mut self,
        memory: &impl Memory,
        frame: Position,
        len: u64,
    ) -> Option<Position> {
        let frames = memory.frames();
        let extent = frames.extent(frame, len);
        let is_taken = self.refresh_floor(memory).cursor == self.tail.position
            && self.room.holds(frames, extent);
        if is_taken {
            self.raise_reserve(memory, extent);
        }
        is_taken.then_some(frame)
    }

    /// Notes how far frames can be claimed with no more than a look at `ready_until`: within one lap above the
    /// lowest cursor, within the reserve, and within the window of this lap. And whether lines are prepared: of large
    /// frames, and if readers, of whom the last one is at `lowest` if that is known, lag, as they do in a stream, and do not
    /// wait for each frame.
    fn look_ahead(&mut self, memory: &impl Memory, frame_bytes: u64, lowest: Option<Position>) {
        let frames = memory.frames();
        let offset = frames.offset(self.tail.position);
        let window = self.part.step(offset).min(2 * frames.capacity);
        self.ready_until = self
            .room
            .limit(frames)
            .earlier(self.reserve)
            .earlier(self.tail.position.minus(offset).plus(window))
            .earlier(self.lap.end(frames).plus(8))
            .minus(8);
        let prepares = frame_bytes >= LEAST_PLACED || {
            let lowest = lowest.unwrap_or_else(|| self.lowest_cursor(memory));
            self.head().since(lowest) >= STREAM_LAG * frame_bytes
        };
        let prepared = self.lines_at_once > 0;
        self.lines_at_once = if prepares { PREPARE_LINES } else { self.lines_at_once / 4 };
        if self.lines_at_once == 0 {
            self.prepared_until = self.tail.position.plus(FAR);
        } else if !prepared {
            self.prepared_until = self.tail.position;
        }
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
        if claim.frame != claim.position || self.batch.is_open {
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
        self.prepare(memory, claim);
    }

    /// Completes and publishes a claimed frame that says where the payload lies; with what is staged before it.
    pub(crate) fn commit_reference(&mut self, memory: &impl Memory, claim: &Claim) {
        self.stage_as(memory, claim, word::reference(claim.len, self.tail.next));
        self.publish(memory);
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
        let is_first = !self.batch.is_open;
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
            self.lap = Lap::at(claim.frame, &self.tail);
            self.room.note_skip(memory, claim.position, claim.frame);
            self.part.begin_again();
        }
        if is_first {
            self.batch.first = (claim.position, visible);
        } else {
            memory.word(claim.position).store(visible, Ordering::Release);
        }
        self.batch.newest = claim.frame;
        self.tail.pass(claim);
        fault::point(Fault::BatchStaged);
        self.prepare(memory, claim);
    }

    #[inline(never)]
    fn open_batch(&mut self) {
        self.batch.is_open = true;
        self.batch.before = self.tail.copied();
        self.batch.room = self.room;
    }

    /// Makes everything staged visible at once.
    #[inline]
    pub(crate) fn publish(&mut self, memory: &impl Memory) {
        if std::mem::take(&mut self.batch.is_open) {
            let Batch { first: (position, word), newest, .. } = self.batch;
            // COMMIT: pairs with the Acquire load in `Walk::step`.
            memory.word(position).store(word, Ordering::Release);
            fault::point(Fault::FrameCommitted);
            memory.writer().skipped_bytes.store(self.tail.skipped_bytes, Ordering::Relaxed);
            self.tail.publish(memory.writer(), newest);
        }
    }

    /// Prepares lines for the frames to come, if they are as long as this one, which is committed.
    ///
    /// A store to a line that a reader has looked at is not done before that reader's copy is gone, and stores are done in
    /// their order. A processor overlaps such waits only for stores that follow each other closely, and between two lines of a stream of
    /// frames come the words behind and before a payload, the accounts, and the caller's own. So lines to come are asked for. On a
    /// hint some processors do nothing for a line that they have a copy of; there free lines are stored to, many in a row; what
    /// they hold means nothing.
    #[inline(always)]
    fn prepare(&mut self, memory: &impl Memory, claim: &Claim) {
        let end = claim.extent.end;
        if self.is_prepared(end) {
            return;
        }
        if claim.len < PREPARE_ALL_BELOW {
            self.prepare_lines(memory, end.plus(8), self.lines_at_once);
        } else if claim.len < LEAST_PLACED {
            self.prepare_heads(memory, end, end.since(claim.frame));
        } else {
            // Where the header goes that comes here in the next lap; see `Lap::place`.
            memory.hint_to_write(claim.frame.minus(CACHE_LINE));
        }
    }

    /// Prepares the lines of a claimed frame that is to be copied, and some behind it; then none are when it is committed.
    #[inline(always)]
    pub(crate) fn prepare_copy(&mut self, memory: &impl Memory, claim: &Claim) {
        if claim.len < PREPARE_ALL_BELOW || self.lines_at_once == 0 {
            return;
        }
        let Extent { start, end } = claim.extent;
        if claim.len >= LEAST_PLACED || memory.frames().capacity > PREPARE_COPIES_UP_TO {
            self.leave_unprepared(claim);
        } else if !self.is_prepared(end) {
            let lines = end.plus(PREPARE_LEFT).since(start).div_ceil(CACHE_LINE);
            self.prepare_lines(memory, start, lines);
        }
    }

    /// No lines are prepared for a claimed frame, nor when it is committed.
    #[inline(always)]
    pub(crate) fn leave_unprepared(&mut self, claim: &Claim) {
        if self.lines_at_once > 0 {
            self.prepared_until = claim.extent.end.plus(PREPARE_LEFT);
        }
    }

    #[inline(always)]
    fn is_prepared(&self, end: Position) -> bool {
        end.plus(PREPARE_LEFT).is_at_or_before(self.prepared_until)
    }

    /// Prepares `count` lines from `begin` on, or from the first that is not yet; fewer where they may not be free.
    #[inline(never)]
    fn prepare_lines(&mut self, memory: &impl Memory, begin: Position, count: u64) {
        let begin = begin.round_up(CACHE_LINE);
        let is_new = self.prepared_until.is_at_or_before(begin);
        let first = if is_new { begin } else { self.prepared_until };
        let last = first.plus(count * CACHE_LINE).minus(8).earlier(self.ready_until);
        let mut line = first;
        while line.is_at_or_before(last) {
            if !self.only_asks {
                memory.word(line).store(0, Ordering::Relaxed);
            }
            memory.hint_to_write(line.plus(self.ask_ahead));
            line = line.plus(CACHE_LINE);
        }
        self.prepared_until = line;
    }

    /// Prepares the first two lines of frames to come of `frame_bytes` each, that of the header and that of the payload.
    #[inline(never)]
    fn prepare_heads(&mut self, memory: &impl Memory, end: Position, frame_bytes: u64) {
        let mut frame = end;
        for _ in 0..self.lines_at_once / 2 {
            frame = frame.plus(frame_bytes);
            let payload = frame.plus(CACHE_LINE);
            if !(self.prepare_line(memory, frame.plus(8))
                && self.prepare_line(memory, payload.plus(8)))
            {
                break;
            }
            self.prepared_until = frame;
        }
    }

    /// Prepares a free line; false where the line may not be free.
    #[inline(always)]
    fn prepare_line(&self, memory: &impl Memory, position: Position) -> bool {
        let is_free = position.is_at_or_before(self.ready_until);
        if is_free && self.only_asks {
            memory.hint_to_write(position);
        } else if is_free {
            memory.word(position).store(0, Ordering::Relaxed);
        }
        is_free
    }

    /// Forgets what was staged and not published.
    pub(crate) fn abort(&mut self, memory: &impl Memory) {
        if std::mem::take(&mut self.batch.is_open) {
            self.tail = self.batch.before;
            self.room = self.room.without_skips_since(self.batch.room);
            self.room.tell(memory, self.tail.position);
            self.lap = Lap::at(self.tail.position, &self.tail);
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
impl Producer {
    /// Number of the next frame, payload bytes and skipped bytes so far.
    pub(crate) fn accounts(&self) -> (u64, u64, u64) {
        (self.tail.next, self.tail.bytes_committed, self.tail.skipped_bytes)
    }
}
