//! The ring's rules: claiming, committing, reading and releasing as arithmetic on positions.
//!
//! `PROTOCOL.md`, section 6, is the specification. In short, for a frame at head `h` that ends at `e`:
//!
//! ```text
//! Writer   space: e + 8 <= floor_seen + C, else look at the cursors
//!          reserve >= e + 8, fence             (observers may no longer trust what lies a lap below)
//!          payload;  word[e] = 0               (the terminator)
//!          word[h] = length | number           COMMIT (Release)
//!          head = e                            (Release)
//! Reader   w = word[p]                         COMMIT (Acquire); 0: nothing yet
//!          check w;  read_position = e;  lend;  cursor = e (Release) once all before it are released
//! ```
//!
//! # Invariants
//! * The word at the Writer's tail is 0 until a commit; whoever walks committed words never meets a stale one.
//! * `floor_seen` ≤ every active cursor ≤ head; bytes at or above a cursor are never written.
//! * Nothing here blocks, reads a clock, or calls the operating system.

use super::layout::{CACHE_LINE, Extent, FrameGeometry, Slot, WriterArea};
use super::memory::Memory;
use super::position::Position;
use super::registry::{Lowest, lowest_cursor};
use super::word::{self, Word};
use crate::fault::{self, Fault};
use crate::sync::{Ordering, fence};

/// Space for one frame, claimed and not yet visible.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    /// Where the commit word (of the skip, if there is one) goes.
    position: Position,
    /// Where the frame's own commit word goes: `position` unless a skip leads there.
    frame: Position,
    extent: Extent,
    len: u64,
}

impl Claim {
    /// A claim whose accounts are kept by another protocol's rules.
    pub(crate) fn foreign(start: u64, len: u64) -> Self {
        let start = Position(start);
        let extent = Extent { start, end: start.plus(len) };
        Self { position: start, frame: start, extent, len }
    }

    /// First byte of the payload.
    pub(crate) fn start(&self) -> Position {
        self.extent.start
    }

    /// Position of the frame's header.
    pub(crate) fn header(&self) -> Position {
        self.frame
    }

    /// Length of the payload in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The claim for the first `len` bytes only; the payload's start may move.
    pub(crate) fn shortened(self, frames: &FrameGeometry, len: u64) -> Self {
        debug_assert!(len >= 1 && len <= self.len, "only ever shorter");
        Self { extent: frames.extent(self.frame, len), len, ..self }
    }
}

/// No room: whose cursor is in the way, and where it would have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) holder: Option<u32>,
    pub(crate) wants: Position,
}

/// Bytes that a frame takes at least: a header and a byte, rounded up.
const SMALLEST_FRAME: u64 = 16;
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
/// How long before it is prepared a line is asked for, or in a small ring this part of it.
const ASK_AHEAD: u64 = 4096;
const ASK_AHEAD_PART: u64 = 64;
/// Readers that lag by so many frames read a stream. One who waits for each frame has it sooner when its lines
/// were not prepared.
const STREAM_LAG: u64 = if cfg!(loom) { 1 } else { 4 };

/// Frames from this length on, a page, or in a small ring this part of it, go where those of the lap before lay. Of smaller
/// ones several share pages and lines anyway.
const LEAST_PLACED: u64 = 4096;
const LEAST_PLACED_PART: u64 = 64;

/// Part of a window that is enough while readers wait for each frame, and how often it is looked behind that whether they do.
const NARROW_PART: u64 = 4;
const STEP_PART: u64 = 16;

/// How a writer uses a large ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Footprint {
    /// All of it, lap after lap.
    Whole,
    /// Its first bytes, at least this many, while readers keep up.
    Window(u64),
}

impl Footprint {
    /// Offset beyond which no frame goes while readers are near.
    fn window(self) -> u64 {
        match self {
            Self::Whole => u64::MAX,
            Self::Window(bytes) => bytes,
        }
    }

    /// Offset beyond which no frame goes while readers wait for each.
    fn narrow(self) -> u64 {
        match self {
            Self::Whole => u64::MAX,
            Self::Window(bytes) => bytes / NARROW_PART,
        }
    }

    /// From `offset` on, up to where frames go without a look at how near readers are.
    fn step(self, offset: u64) -> u64 {
        match self {
            Self::Whole => u64::MAX,
            Self::Window(_) if offset < self.narrow() => self.narrow(),
            Self::Window(bytes) => offset + bytes / STEP_PART,
        }
    }
}

/// The end of a row of frames, and the accounts up to there.
#[derive(Debug, Clone, Copy)]
struct Tail {
    position: Position,
    /// Number of the next frame.
    next: u64,
    bytes_committed: u64,
    skipped_bytes: u64,
}

impl Tail {
    /// The end behind one more frame.
    #[inline(always)]
    fn behind(self, claim: &Claim) -> Self {
        Self {
            position: claim.extent.end,
            next: self.next.wrapping_add(1),
            bytes_committed: self.bytes_committed.wrapping_add(claim.len),
            skipped_bytes: self.skipped_bytes,
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

/// The frames since a position, as many as the ring has room for at once.
///
/// If large frames of one length went on where a lap ended, each would lie where none lay before, on lines and pages that
/// neither side has seen lately. So the first that would run over the end of the lap goes (nearly) where its first one lay.
#[derive(Debug, Clone, Copy)]
struct Lap {
    /// Position of its first frame, its number, and the bytes that were committed before.
    first: Position,
    number: u64,
    bytes_before: u64,
}

impl Lap {
    fn at(first: Position, tail: &Tail) -> Self {
        Self { first, number: tail.next, bytes_before: tail.bytes_committed }
    }

    /// No frame of this lap goes beyond.
    fn end(&self, frames: &FrameGeometry) -> Position {
        self.first.plus(frames.capacity)
    }

    /// Where a frame of `len` bytes behind `tail` goes: elsewhere than there if it would run over the end of this lap, and
    /// all frames of that were as long.
    fn place(&self, frames: &FrameGeometry, tail: &Tail, len: u64) -> Position {
        let behind = tail.position;
        let end = frames.extent(behind, len).end;
        let skipped = self.end(frames).since(behind);
        let runs_over = skipped < end.since(behind);
        let is_large = len >= LEAST_PLACED.min(frames.capacity / LEAST_PLACED_PART);
        // A line before that of the first, or a ring of such frames would have room for one less: its terminator would
        // lie in the header of the frame behind.
        let is_placed = runs_over && is_large && self.is_even(tail, len);
        if is_placed { behind.plus(skipped.saturating_sub(CACHE_LINE)) } else { behind }
    }

    /// Whether all frames of this lap have `len` bytes.
    fn is_even(&self, tail: &Tail, len: u64) -> bool {
        let count = tail.next.wrapping_sub(self.number);
        let bytes = tail.bytes_committed.wrapping_sub(self.bytes_before);
        count > 0 && count.checked_mul(len) == Some(bytes)
    }
}

/// Frames staged and not yet visible.
#[derive(Debug)]
struct Batch {
    /// Position and word that make them visible.
    first: (Position, u64),
    /// The end of what is published.
    before: Tail,
    /// Position of the newest frame.
    newest: Position,
}

/// The Writer's side of the ring.
#[derive(Debug)]
pub(crate) struct Producer {
    /// End of everything staged.
    tail: Tail,
    batch: Option<Batch>,
    /// Where the next terminator may end without a closer look: see [`Producer::look_ahead`].
    ready_until: Position,
    /// How many lines to prepare at once, and up to where they are; see [`Producer::prepare`].
    lines_at_once: u64,
    prepared_until: Position,
    ask_ahead: u64,
    /// No active cursor is below; copy of the lowest, may lag.
    floor_seen: Position,
    /// Copy of `reserve`.
    reserve: Position,
    footprint: Footprint,
    /// See [`Producer::expect_one_alone`].
    is_next_alone: bool,
    lap: Lap,
    /// Up to here, what readers gave back is filled.
    #[cfg(all(feature = "fault-points", not(loom)))]
    poisoned: Position,
}

/// What a successor found: a word that no Writer wrote.
pub(crate) type Damage = &'static str;

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
        if head.since(floor) > frames.capacity || !head.0.is_multiple_of(8) {
            return Err("head and floor are further apart than the ring is long");
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
            if walk.position.since(floor) > frames.capacity
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
        let producer = Self {
            tail,
            batch: None,
            ready_until: head,
            lines_at_once: 0,
            prepared_until: head,
            ask_ahead: ASK_AHEAD.min(frames.capacity / ASK_AHEAD_PART),
            floor_seen: floor,
            reserve,
            footprint,
            is_next_alone: false,
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
        self.batch.as_ref().map_or(self.tail, |batch| batch.before).position
    }

    /// Number of the next frame.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.tail.next
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
        let extent = memory.frames().extent(position, len);
        let ready = extent.end.plus(8).is_at_or_before(self.ready_until);
        ready.then_some(Claim { position, frame: position, extent, len })
    }

    /// Tells that no frame follows the next one before readers have released it, so that it may have the place of the last
    /// one. There it lies on lines and pages that both sides have just used.
    pub(crate) fn expect_one_alone(&mut self) {
        self.is_next_alone = self.batch.is_none();
        self.ready_until = self.tail.position;
    }

    /// Claims room for a frame of `len` bytes behind what is staged, if there is some.
    #[inline(always)]
    pub(crate) fn try_claim(&mut self, memory: &impl Memory, len: u64) -> Option<Claim> {
        if let Some(claim) = self.claim_ready(memory, len) {
            return Some(claim);
        }
        let position = self.tail.position;
        let frame = self.make_room(memory, len)?;
        Some(Claim { position, frame, extent: memory.frames().extent(frame, len), len })
    }

    /// As [`try_claim`](Self::try_claim); or who is in the way.
    pub(crate) fn claim(&mut self, memory: &impl Memory, len: u64) -> Result<Claim, Full> {
        self.try_claim(memory, len).ok_or_else(|| {
            let frames = memory.frames();
            let place = self.lap.place(frames, &self.tail, len);
            let wants = frames.extent(place, len).end.plus(8).minus(frames.capacity);
            let holder = lowest_cursor(memory, self.floor_seen, self.head()).slot;
            Full { holder, wants }
        })
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
        if frames.offset(self.tail.position) >= self.footprint.narrow()
            && let Some(frame) = self.place_at_ring_start(memory, len)
        {
            return Some(frame);
        }
        let frame = self.lap.place(frames, &self.tail, len);
        let extent = frames.extent(frame, len);
        let mut lowest = None;
        if !self.has_room(frames, extent) {
            lowest = Some(self.refresh_floor(memory).cursor);
            if !self.has_room(frames, extent) {
                return None;
            }
        }
        // Behind a skip the lap begins when the frame is staged: until then it may be given up, and another go to the tail.
        if frame == self.tail.position && !extent.end.is_at_or_before(self.lap.end(frames)) {
            self.lap = Lap::at(frame, &self.tail);
        }
        self.raise_reserve(memory, extent);
        self.look_ahead(memory, extent.end.since(frame), lowest);
        Some(frame)
    }

    /// Finds room at the start of the ring's next lap, if the readers have left that free; within the narrow part of a
    /// window, if they have left everything free.
    #[cold]
    fn place_at_ring_start(&mut self, memory: &impl Memory, len: u64) -> Option<Position> {
        let frames = memory.frames();
        let offset = frames.offset(self.tail.position);
        let frame = self.ring_start(frames);
        let extent = frames.extent(frame, len);
        let size = extent.end.since(frame);
        // Until readers have passed the skip, there is room for no more than what lies below it. In a window of less than two
        // frames both sides would take turns.
        if offset < size.saturating_mul(2) {
            return None;
        }
        if offset + size <= self.footprint.window() {
            return self.place_if_all_is_free(memory, frame, len);
        }
        if !self.has_room(frames, extent) {
            self.refresh_floor(memory);
            if !self.has_room(frames, extent) {
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
        self.place_if_all_is_free(memory, frame, len)
    }

    /// Where the ring's next lap begins.
    fn ring_start(&self, frames: &FrameGeometry) -> Position {
        let position = self.tail.position;
        position.plus(frames.capacity - frames.offset(position))
    }

    /// Takes a place if the readers have released everything.
    fn place_if_all_is_free(
        &mut self,
        memory: &impl Memory,
        frame: Position,
        len: u64,
    ) -> Option<Position> {
        let frames = memory.frames();
        let extent = frames.extent(frame, len);
        let position = self.tail.position;
        // The second look is the one that counts.
        let is_taken = self.lowest_cursor(memory) == position
            && self.refresh_floor(memory).cursor == position
            && self.has_room(frames, extent);
        if is_taken {
            self.raise_reserve(memory, extent);
        }
        is_taken.then_some(frame)
    }

    /// The frame and the terminator behind it lie within one lap above the lowest cursor.
    #[inline(always)]
    fn has_room(&self, frames: &FrameGeometry, extent: Extent) -> bool {
        extent.end.plus(8).since(self.floor_seen) <= frames.capacity
    }

    /// Notes how far frames can be claimed with no more than a look at `ready_until`: within one lap above the
    /// lowest cursor, within the reserve, and within the window of this lap. And whether lines are prepared: of large
    /// frames, and if readers, of whom the last one is at `lowest` if that is known, lag, as they do in a stream, and do not
    /// wait for each frame.
    fn look_ahead(&mut self, memory: &impl Memory, frame_bytes: u64, lowest: Option<Position>) {
        let frames = memory.frames();
        let offset = frames.offset(self.tail.position);
        let window = self.footprint.step(offset).min(2 * frames.capacity);
        self.ready_until = self
            .floor_seen
            .plus(frames.capacity)
            .earlier(self.reserve)
            .earlier(self.tail.position.minus(offset).plus(window))
            .earlier(self.lap.end(frames).plus(8));
        let prepares = frame_bytes >= LEAST_PLACED || {
            let lowest = lowest.unwrap_or_else(|| self.lowest_cursor(memory));
            self.head().since(lowest) >= STREAM_LAG * frame_bytes
        };
        self.lines_at_once = if prepares { PREPARE_LINES } else { self.lines_at_once / 4 };
    }

    /// The lowest cursor as it is now.
    fn lowest_cursor(&self, memory: &impl Memory) -> Position {
        lowest_cursor(memory, self.floor_seen, self.head()).cursor
    }

    /// Looks at the cursors again; the counterpart of `registry::activate`.
    #[cold]
    pub(crate) fn refresh_floor(&mut self, memory: &impl Memory) -> Lowest {
        let writer = memory.writer();
        let head = self.head();
        let seen = lowest_cursor(memory, self.floor_seen, head);
        writer.floor.store(seen.cursor.0, Ordering::Release);
        fault::point(Fault::FloorStored);
        // Store floor, then load cursors; the joiner stores its cursor, then loads floor. Excluded: neither
        // sees the other's store.
        fence(Ordering::SeqCst);
        let mut lowest = lowest_cursor(memory, self.floor_seen, head);
        if lowest.cursor.since(self.floor_seen) < seen.cursor.since(self.floor_seen) {
            writer.floor.store(lowest.cursor.0, Ordering::Release);
        } else {
            lowest = seen;
        }
        self.floor_seen = lowest.cursor;
        let fill = head.since(lowest.cursor);
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
        let end = self.reserve.earlier(self.floor_seen.plus(memory.frames().capacity));
        while position != end && position.is_at_or_before(end) {
            memory.word(position).store(poison, Ordering::Relaxed);
            position = position.plus(8);
        }
        self.poisoned = position;
    }

    /// Completes and publishes a claimed frame whose payload is in place; with what is staged before it.
    #[inline(always)]
    pub(crate) fn commit(&mut self, memory: &impl Memory, claim: &Claim) {
        if claim.frame != claim.position || self.batch.is_some() {
            self.stage(memory, claim);
            self.publish(memory);
            return;
        }
        terminate(memory, claim);
        // COMMIT: pairs with the Acquire load in `Walk::step`.
        let word = word::frame(claim.len, self.tail.next);
        memory.word(claim.frame).store(word, Ordering::Release);
        fault::point(Fault::FrameCommitted);
        let tail = self.tail.behind(claim);
        tail.publish(memory.writer(), claim.frame);
        self.tail = tail;
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
        let mut tail = self.tail.behind(claim);
        if claim.frame != claim.position {
            // The skip is stored last and commits both; nobody parses `frame` before it.
            memory.word(claim.frame).store(word, Ordering::Release);
            fault::point(Fault::SkipTargetStored);
            let bytes = claim.frame.since(claim.position);
            visible = word::skip(bytes, self.tail.next);
            tail.skipped_bytes = tail.skipped_bytes.wrapping_add(bytes);
            self.lap = Lap::at(claim.frame, &self.tail);
        }
        let newest = claim.frame;
        match &mut self.batch {
            None => {
                let first = (claim.position, visible);
                self.batch = Some(Batch { first, before: self.tail, newest });
            }
            Some(batch) => {
                batch.newest = newest;
                memory.word(claim.position).store(visible, Ordering::Release);
            }
        }
        self.tail = tail;
        fault::point(Fault::BatchStaged);
        self.prepare(memory, claim);
    }

    /// Makes everything staged visible at once.
    #[inline]
    pub(crate) fn publish(&mut self, memory: &impl Memory) {
        if let Some(Batch { first: (position, word), newest, .. }) = self.batch.take() {
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
    /// frames come the words behind and before a payload, the accounts, and the caller's own. Hints are no way out: some processors
    /// do nothing on one for a line that they have a copy of. So free lines are stored to, many in a row; what they hold
    /// means nothing.
    #[inline(always)]
    fn prepare(&mut self, memory: &impl Memory, claim: &Claim) {
        let end = claim.extent.end;
        if self.lines_at_once == 0 || self.is_prepared(end) {
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
            self.prepared_until = end.plus(PREPARE_LEFT);
        } else if !self.is_prepared(end) {
            let lines = end.plus(PREPARE_LEFT).since(start).div_ceil(CACHE_LINE);
            self.prepare_lines(memory, start, lines);
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
        let end = first.plus(count * CACHE_LINE).earlier(self.ready_until);
        let mut line = first;
        while line.plus(8).is_at_or_before(end) {
            memory.word(line).store(0, Ordering::Relaxed);
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

    /// Stores to a free line; false where the line may not be free.
    #[inline(always)]
    fn prepare_line(&self, memory: &impl Memory, position: Position) -> bool {
        let is_free = position.plus(8).is_at_or_before(self.ready_until);
        if is_free {
            memory.word(position).store(0, Ordering::Relaxed);
        }
        is_free
    }

    /// Forgets what was staged and not published.
    pub(crate) fn abort(&mut self, memory: &impl Memory) {
        if let Some(batch) = self.batch.take() {
            self.tail = batch.before;
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

/// A way along committed words.
#[derive(Debug, Clone, Copy)]
struct Walk {
    position: Position,
    /// The last step was a skip.
    skipped: bool,
}

enum Step {
    Empty,
    Skip { bytes: u64 },
    Frame { position: Position, len: u64, extent: Extent, marks: u64 },
}

impl Walk {
    /// Looks at the word here and goes behind it. `number` is the next frame's.
    #[inline]
    fn step(&mut self, memory: &impl Memory, number: u64) -> Result<Step, Damage> {
        // COMMIT: pairs with the Release stores in `Producer::{stage, publish}`.
        let word = memory.word(self.position).load(Ordering::Acquire);
        let frames = memory.frames();
        match word::parse(word, frames)? {
            Word::Empty if self.skipped => Err("a skip that leads to no frame"),
            Word::Empty => Ok(Step::Empty),
            Word::Skip { number_bits, .. }
            | Word::Frame { number_bits, .. }
            | Word::Reference { number_bits, .. }
                if !word::is_number(number_bits, number) =>
            {
                Err("a frame whose number is not the next one")
            }
            Word::Skip { .. } if self.skipped => Err("two skips in a row"),
            Word::Skip { bytes, .. } => {
                self.position = self.position.plus(bytes);
                self.skipped = true;
                Ok(Step::Skip { bytes })
            }
            Word::Frame { len, .. } => Ok(self.pass(frames, len, 0)),
            Word::Reference { len, .. } => Ok(self.pass(frames, len, REFERENCE)),
        }
    }
}

impl Walk {
    /// Goes behind the frame here.
    #[inline]
    fn pass(&mut self, frames: &FrameGeometry, len: u64, marks: u64) -> Step {
        let position = self.position;
        let extent = frames.extent(position, len);
        self.position = extent.end;
        self.skipped = false;
        Step::Frame { position, len, extent, marks }
    }
}

/// A committed frame that a reader has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// Position of its header.
    pub(crate) header: Position,
    /// First payload byte.
    pub(crate) start: Position,
    /// Length of the payload.
    pub(crate) len: u64,
    /// The next frame's position: where the cursor goes when this one is released.
    pub(crate) end: Position,
    /// Its number.
    pub(crate) sequence: u64,
    /// What else is to be said of it, and in the upper half the bytes skipped on the way to it. One word, which is 0 for
    /// nearly all: a `bool` here is moved byte by byte on the hot path, which tripled the cost of a read.
    marks: u64,
}

/// In `marks`: a predecessor of this reader had received it and not released it.
const REDELIVERED: u64 = 1;
/// In `marks`: what lies here says where the payload is.
const REFERENCE: u64 = 2;
/// In `marks`: where the bytes begin that were skipped, less than a lap.
const SKIPPED_SHIFT: u32 = 32;

impl Found {
    /// A frame whose accounts are kept by another protocol's rules; `end` is what it is released by.
    pub(crate) fn foreign(start: u64, len: u64, end: u64, sequence: u64) -> Self {
        let (start, end) = (Position(start), Position(end));
        Self { header: start, start, len, end, sequence, marks: 0 }
    }

    /// What ends where the frame `next` begins.
    fn before(position: Position, next: u64) -> Self {
        Self::foreign(position.0, 1, position.0, next.wrapping_sub(1))
    }

    /// A frame that was copied out by a reader who holds nobody back.
    pub(crate) fn copied(
        header: Position,
        extent: Extent,
        len: u64,
        sequence: u64,
        skipped: u64,
        refers: bool,
    ) -> Self {
        let Extent { start, end } = extent;
        let marks = if refers { REFERENCE } else { 0 };
        Self { header, start, len, end, sequence, marks: marks | skipped << SKIPPED_SHIFT }
    }

    /// Whether its payload lies in another buffer, and the bytes here say where.
    #[inline(always)]
    pub(crate) fn is_reference(&self) -> bool {
        self.marks & REFERENCE != 0
    }

    /// The same frame, with its payload where it lies in the other buffer.
    pub(crate) fn resolved(self, start: Position, len: u64) -> Self {
        Self { start, len, ..self }
    }

    /// The same, handed out for the second time at least.
    pub(crate) fn redelivered(self) -> Self {
        Self { marks: self.marks | REDELIVERED, ..self }
    }

    /// Bytes skipped on the way to it.
    #[inline(always)]
    pub(crate) fn skipped(&self) -> u64 {
        self.marks >> SKIPPED_SHIFT
    }

    /// Whether a predecessor of this reader had received it and not released it.
    #[inline(always)]
    pub(crate) fn is_redelivered(&self) -> bool {
        self.marks & REDELIVERED != 0
    }
}

/// The frame `sequence` at `position`, or behind the skip there, if it is committed.
pub(crate) fn find_frame(
    memory: &impl Memory,
    position: Position,
    sequence: u64,
) -> Result<Option<Found>, Damage> {
    let mut walk = Walk { position, skipped: false };
    let mut skipped = 0;
    // At most two steps: a second skip in a row is damage.
    loop {
        match walk.step(memory, sequence)? {
            Step::Empty => return Ok(None),
            Step::Skip { bytes } => skipped = bytes,
            Step::Frame { position: header, len, extent: Extent { start, end }, marks } => {
                let marks = marks | skipped << SKIPPED_SHIFT;
                return Ok(Some(Found { header, start, len, end, sequence, marks }));
            }
        }
    }
}

/// A reader's side of the ring.
#[derive(Debug)]
pub(crate) struct Consumer {
    slot: usize,
    /// The newest frame that was handed out. Behind it the next one begins, with the number after its number, and in
    /// most streams of its length. Before there is one, made up to say so.
    newest: Found,
    /// Frames before this position are redelivered, and whether there are any to come.
    redeliver_until: Position,
    redelivers: bool,
    redelivered: u64,
    /// What the number of the next frame would be if none had been handed out here.
    begun: u64,
    /// Payload bytes handed out, and those of them by predecessors in the slot.
    bytes: u64,
    bytes_before: u64,
    skipped_bytes: u64,
}

impl Consumer {
    /// A reader that goes on at the cursor of its slot, which it holds.
    ///
    /// `read_position` as a predecessor left it says what that one had received already.
    pub(crate) fn attach(memory: &impl Memory, slot: u32) -> Result<Self, Damage> {
        let slot = slot as usize;
        let area = &memory.slots()[slot];
        let position = Position(area.cursor.load(Ordering::Acquire));
        let received = Position(area.read_position.load(Ordering::Relaxed));
        // Not compared with `head`: a committed frame can be read a moment before the head shows it. Nor with
        // `floor`, which runs ahead of a new cursor for a moment (`Producer::refresh_floor`).
        if received.since(position) > memory.frames().capacity || !position.0.is_multiple_of(8) {
            return Err("a reader slot whose positions contradict each other");
        }
        let next = next_number(memory, area, position);
        Ok(Self {
            slot,
            newest: Found::before(position, next),
            redeliver_until: received,
            redelivers: received != position,
            redelivered: 0,
            begun: next,
            bytes: area.bytes_read.load(Ordering::Relaxed),
            bytes_before: area.bytes_read.load(Ordering::Relaxed),
            skipped_bytes: area.skipped_bytes.load(Ordering::Relaxed),
        })
    }

    /// Next position to hand out.
    pub(crate) fn position(&self) -> Position {
        self.newest.end
    }

    /// The newest frame that was handed out, if there was one.
    #[inline(always)]
    pub(crate) fn newest(&self) -> &Found {
        &self.newest
    }

    /// Number of the next frame.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.newest.sequence.wrapping_add(1)
    }

    /// Whether neither this reader nor a predecessor in its slot was handed out a frame.
    pub(crate) fn has_received_nothing(&self) -> bool {
        self.bytes == 0
    }

    /// Frames handed out by this reader.
    pub(crate) fn frames_read(&self) -> u64 {
        self.next_sequence().wrapping_sub(self.begun)
    }

    /// Those of them that a predecessor had received.
    pub(crate) fn redelivered(&self) -> u64 {
        self.redelivered
    }

    /// Payload bytes handed out by this reader.
    pub(crate) fn bytes_read_here(&self) -> u64 {
        self.bytes.wrapping_sub(self.bytes_before)
    }

    /// Sum of the skip frames passed.
    pub(crate) fn skipped_bytes(&self) -> u64 {
        self.skipped_bytes
    }

    #[inline(always)]
    fn marks_at(&self, position: Position) -> u64 {
        if self.redeliver_until.is_at_or_before(position) { 0 } else { REDELIVERED }
    }

    /// The next frame, if it is plain to see: what nearly every call to a busy ring finds. Everything else,
    /// nothing yet, a skip, a frame that comes again, damage, is for [`poll`](Self::poll).
    #[inline(always)]
    pub(crate) fn poll_ready(&self, memory: &impl Memory) -> Option<Found> {
        self.find_ready(memory, self.position(), self.next_sequence())
    }

    /// Goes behind the skip at the next position, if there is one and a plain frame behind it.
    ///
    /// That [`poll`](Self::poll) finds it too; this is for those who go on with [`poll_ready`](Self::poll_ready), whose
    /// result need not go through memory.
    #[inline]
    pub(crate) fn pass_skip(&mut self, memory: &impl Memory) -> bool {
        if !word::is_skip(memory.word(self.position()).load(Ordering::Relaxed)) {
            return false;
        }
        let mut walk = Walk { position: self.position(), skipped: false };
        let Ok(Step::Skip { bytes }) = walk.step(memory, self.next_sequence()) else {
            return false;
        };
        if self.find_ready(memory, walk.position, self.next_sequence()).is_none() {
            return false;
        }
        self.newest.end = walk.position;
        self.skipped_bytes = self.skipped_bytes.wrapping_add(bytes);
        if let Some(slot) = memory.slots().get(self.slot) {
            slot.skipped_bytes.store(self.skipped_bytes, Ordering::Relaxed);
        }
        true
    }

    /// Whether nothing at all has been committed at the next position.
    #[inline(always)]
    pub(crate) fn is_next_empty(&self, memory: &impl Memory) -> bool {
        memory.word(self.position()).load(Ordering::Relaxed) == 0
    }

    #[inline(always)]
    fn find_ready(&self, memory: &impl Memory, position: Position, sequence: u64) -> Option<Found> {
        if self.redelivers {
            return None;
        }
        // COMMIT: pairs with the Release stores in `Producer::{stage, publish}`.
        let word = memory.word(position).load(Ordering::Acquire);
        let frames = memory.frames();
        // Guessing the length takes the load of the word out of the way to the next word, so that the processor
        // works on several frames at once, and has several cache lines on their way.
        // Not the length of a frame that lay elsewhere: that of another ring was not checked against this one's.
        let usual_len = self.newest.len;
        let len = if !self.newest.is_reference() && word == word::frame(usual_len, sequence) {
            usual_len
        } else {
            word::plain_frame(word, sequence, frames)?
        };
        let extent = frames.extent(position, len);
        Some(Found {
            header: position,
            start: extent.start,
            len,
            end: extent.end,
            sequence,
            marks: 0,
        })
    }

    /// Looks for the next committed frame. Changes nothing.
    #[inline]
    pub(crate) fn poll(&self, memory: &impl Memory) -> Result<Option<Found>, Damage> {
        self.find(memory, self.position(), self.next_sequence())
    }

    /// Looks for the frame behind `previous`, which was found and not yet taken.
    #[inline]
    pub(crate) fn poll_behind(
        &self,
        memory: &impl Memory,
        previous: &Found,
    ) -> Result<Option<Found>, Damage> {
        let (position, sequence) = (previous.end, previous.sequence.wrapping_add(1));
        match self.find_ready(memory, position, sequence) {
            Some(found) => Ok(Some(found)),
            None => self.find(memory, position, sequence),
        }
    }

    fn find(
        &self,
        memory: &impl Memory,
        position: Position,
        sequence: u64,
    ) -> Result<Option<Found>, Damage> {
        let found = find_frame(memory, position, sequence)?;
        let marks = |found: &Found| found.marks | self.marks_at(found.header);
        Ok(found.map(|found| Found { marks: marks(&found), ..found }))
    }

    /// Hands a found frame out: publishes that it was received.
    #[inline(always)]
    pub(crate) fn take(&mut self, memory: &impl Memory, found: &Found) {
        self.advance(found);
        if let Some(slot) = memory.slots().get(self.slot) {
            if found.skipped() != 0 {
                slot.skipped_bytes.store(self.skipped_bytes, Ordering::Relaxed);
            }
            self.tell_received(slot, found);
        }
    }

    /// Goes behind a found frame without telling; a later [`take`](Self::take) tells for all before it.
    #[inline(always)]
    pub(crate) fn advance(&mut self, found: &Found) {
        self.newest = *found;
        if found.is_redelivered() {
            self.note_redelivered();
        }
        self.bytes = self.bytes.wrapping_add(found.len);
        self.skipped_bytes = self.skipped_bytes.wrapping_add(found.skipped());
    }

    #[cold]
    fn note_redelivered(&mut self) {
        self.redelivered += 1;
        self.redelivers = !self.redeliver_until.is_at_or_before(self.position());
    }

    /// Goes behind a found frame whose payload cannot be had, and counts nothing.
    pub(crate) fn pass_over(&mut self, memory: &impl Memory, found: &Found) {
        self.newest = Found::before(found.end, found.sequence.wrapping_add(1));
        self.begun = self.begun.wrapping_add(1);
        self.redelivers = !self.redeliver_until.is_at_or_before(self.position());
        self.skipped_bytes = self.skipped_bytes.wrapping_add(found.skipped());
        self.publish_received(memory, found);
    }

    /// Publishes that everything up to and including `newest` was received.
    pub(crate) fn publish_received(&self, memory: &impl Memory, newest: &Found) {
        if let Some(slot) = memory.slots().get(self.slot) {
            slot.skipped_bytes.store(self.skipped_bytes, Ordering::Relaxed);
            self.tell_received(slot, newest);
        }
    }

    #[inline(always)]
    fn tell_received(&self, slot: &Slot, newest: &Found) {
        slot.bytes_read.store(self.bytes, Ordering::Relaxed);
        if !newest.is_redelivered() {
            slot.read_sequence.store(newest.sequence, Ordering::Relaxed);
            fault::point(Fault::ReceivedNumbered);
            // Release: a successor that sees this position sees a sequence at least as new.
            slot.read_position.store(self.position().0, Ordering::Release);
            fault::point(Fault::ReceivedTold);
        }
    }
}

/// Lets the Writer have everything below `cursor`, which must not pass a frame that is still held.
#[inline(always)]
pub(crate) fn release(memory: &impl Memory, slot: u32, cursor: Position) {
    fault::point(Fault::ReleaseBegun);
    // RELEASE-FRAME: pairs with the load in `lowest_cursor`; the frame's bytes were read before this store.
    if let Some(slot) = memory.slots().get(slot as usize) {
        slot.cursor.store(cursor.0, Ordering::Release);
        fault::point(Fault::ReleaseStored);
    }
}

/// The number of the frame at a reader's first position, whether it is there already or not.
///
/// The newest published number is loaded before the word is looked at. If there is no frame at `position`,
/// none after that one had been committed, so the next is one more. If there is one, its low bits tell which:
/// frames are committed a moment before they are published, so it is at most one more. A predecessor of this
/// reader may have read on in a batch before that moment; then what it had received is the newer mark.
fn next_number(memory: &impl Memory, slot: &Slot, position: Position) -> u64 {
    let received = slot.read_sequence.load(Ordering::Acquire);
    let published = memory.writer().sequence.load(Ordering::Acquire);
    let received_is_newer = received.wrapping_sub(published) <= i64::MAX as u64;
    let next = if received_is_newer { received } else { published }.wrapping_add(1);
    number_at(memory, position, next)
}

/// The number of the frame at a position that begins one, or where the next one will begin.
///
/// Frames are seen before they are published: whoever read a batch, or a frame that the Writer died on, may be
/// beyond `head`. If there is no frame yet, those from there on are counted.
pub(crate) fn number_of(memory: &impl Memory, position: Position) -> u64 {
    number_in_sight(memory, position).unwrap_or_else(|| number_counted(memory, position))
}

/// As [`number_of`], in a few steps whatever the memory holds; `None` where only counting would tell.
pub(crate) fn number_in_sight(memory: &impl Memory, position: Position) -> Option<u64> {
    let (head, next, capacity) = published(memory);
    if position.is_at_or_before(head) || position.since(head) > capacity {
        return Some(number_at(memory, position, next));
    }
    // Beyond `head` lie at most as many frames as the ring holds.
    let not_before = next.wrapping_add(capacity / SMALLEST_FRAME);
    number_bits_at(memory, position).map(|bits| word::rebuild_number(bits, not_before))
}

/// `head`, the number at or behind it, and the ring's capacity.
fn published(memory: &impl Memory) -> (Position, u64, u64) {
    let writer = memory.writer();
    let head = Position(writer.head.load(Ordering::Acquire));
    // Loaded after `head`: at least the number of the frame before it. And before the words: so if there is none,
    // no newer one.
    let next = writer.sequence.load(Ordering::Acquire).wrapping_add(1);
    (head, next, memory.frames().capacity)
}

#[cold]
fn number_counted(memory: &impl Memory, position: Position) -> u64 {
    let (head, next, _) = published(memory);
    let mut number = number_at(memory, head, next);
    let mut walk = Walk { position: head, skipped: false };
    while walk.position != position && walk.position.is_at_or_before(position) {
        match walk.step(memory, number) {
            Ok(Step::Frame { .. }) => number = number.wrapping_add(1),
            Ok(Step::Skip { .. }) => {}
            // It was overwritten meanwhile, or is damaged: the first step will report.
            Ok(Step::Empty) | Err(_) => break,
        }
    }
    number
}

/// Frames that a reader was handed, the newest with the number `read_sequence`, and has not released: `word` stands at its
/// cursor, where the oldest of them begins.
#[cfg(not(loom))]
pub(crate) fn held_frames(word: u64, read_sequence: u64, frames: &FrameGeometry) -> u64 {
    match word::parse(word, frames) {
        Ok(
            Word::Frame { number_bits, .. }
            | Word::Skip { number_bits, .. }
            | Word::Reference { number_bits, .. },
        ) => {
            let oldest = word::rebuild_number(number_bits, read_sequence);
            read_sequence.wrapping_sub(oldest).wrapping_add(1)
        }
        // It is being released, or damaged.
        _ => 0,
    }
}

/// The number of the frame at a position, which is at most `next`; that one where there is no frame.
fn number_at(memory: &impl Memory, position: Position, next: u64) -> u64 {
    number_bits_at(memory, position).map_or(next, |bits| word::rebuild_number(bits, next))
}

/// What the word at a position says of its frame's number.
fn number_bits_at(memory: &impl Memory, position: Position) -> Option<u64> {
    match word::parse(memory.word(position).load(Ordering::Acquire), memory.frames()) {
        Ok(
            Word::Frame { number_bits, .. }
            | Word::Skip { number_bits, .. }
            | Word::Reference { number_bits, .. },
        ) => Some(number_bits),
        // Empty; or damage, which the first step will report.
        _ => None,
    }
}

#[cfg(test)]
impl Producer {
    /// Number of the next frame, payload bytes and skipped bytes so far.
    pub(crate) fn accounts(&self) -> (u64, u64, u64) {
        (self.tail.next, self.tail.bytes_committed, self.tail.skipped_bytes)
    }
}
