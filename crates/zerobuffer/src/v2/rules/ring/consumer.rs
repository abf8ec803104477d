//! A reader's side of the ring.

use super::{Damage, Found, REDELIVERED, Step, Walk, attribute_block, find_frame, number_at};
use crate::fault::{self, Fault};
use crate::sync::Ordering;
use crate::v2::protocol::layout::{Extent, FrameGeometry, Slot};
use crate::v2::protocol::position::Position;
use crate::v2::protocol::word;
use crate::v2::rules::memory::Memory;

/// What the next frame looks like if it is as long as the last one, as in most streams.
///
/// Then one comparison tells all about it, and where it lies takes no loads that the processor would have to wait for: it works
/// on several frames at once, and has several cache lines on their way.
#[derive(Debug, Clone, Copy)]
struct Guess {
    word: u64,
    /// 0 where there is a guess.
    nothing: u64,
    /// How far behind its header the payload begins, and the frame ends.
    start: u64,
    end: u64,
}

impl Guess {
    const NONE: Self = Self { word: 0, nothing: 1, start: 0, end: 0 };

    /// Whether `word` is that of the frame. As one comparison, for two are made of six instructions.
    #[inline(always)]
    fn is_right(&self, word: u64) -> bool {
        (word ^ self.word) | self.nothing == 0
    }

    /// What follows `found`, a plain frame.
    fn behind(found: &Found, frames: &FrameGeometry) -> Self {
        let extent = frames.extent(found.end, found.len);
        Self {
            word: word::frame(found.len, found.sequence.wrapping_add(1)),
            nothing: 0,
            start: extent.start.since(found.end),
            end: extent.end.since(found.end),
        }
    }
}

/// A reader's side of the ring. What it tells others goes to its slot, which its calls are given.
#[derive(Debug)]
pub(crate) struct Consumer {
    /// The newest frame that was handed out. Behind it the next one begins, with the number after its number. Before there is
    /// one, made up to say so.
    newest: Found,
    guess: Guess,
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
        let area = &memory.slots()[slot as usize];
        let position = Position(area.cursor.load(Ordering::Acquire));
        let received = Position(area.read_position.load(Ordering::Relaxed));
        // Not compared with `head`: a committed frame can be read a moment before the head shows it. Nor with
        // `floor`, which runs ahead of a new cursor for a moment (`Producer::refresh_floor`).
        if received.since(position) > memory.frames().farthest() || !position.0.is_multiple_of(8) {
            return Err("a reader slot whose positions contradict each other");
        }
        let next = next_number(memory, area, position);
        Ok(Self {
            newest: Found::before(position, next),
            guess: Guess::NONE,
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
    pub(crate) fn pass_skip(&mut self, memory: &impl Memory, slot: &Slot) -> bool {
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
        self.guess = Guess::NONE;
        self.skipped_bytes = self.skipped_bytes.wrapping_add(bytes);
        slot.skipped_bytes.store(self.skipped_bytes, Ordering::Relaxed);
        true
    }

    /// Whether nothing at all has been committed at the next position.
    #[inline(always)]
    pub(crate) fn is_next_empty(&self, memory: &impl Memory) -> bool {
        word::is_empty(memory.word(self.position()).load(Ordering::Relaxed))
    }

    /// Goes behind the next frame without telling, if it is plain to see that there is one; false if not.
    #[inline(always)]
    pub(crate) fn advance_ready(&mut self, memory: &impl Memory) -> bool {
        let position = self.position();
        // COMMIT: as in `look`.
        let word = memory.word(position).load(Ordering::Acquire);
        if !self.guess.is_right(word) {
            return !word::is_empty(word) && self.advance_unguessed(memory);
        }
        // Of the same length, and with no marks either.
        self.newest.header = position;
        self.newest.start = position.plus(self.guess.start);
        self.newest.end = position.plus(self.guess.end);
        self.newest.sequence = self.newest.sequence.wrapping_add(1);
        self.guess.word = word::next_of_same_length(word);
        self.bytes = self.bytes.wrapping_add(self.newest.len);
        true
    }

    /// Whether the next frame is there and as long as the last one.
    #[inline(always)]
    pub(crate) fn is_next_plain(&self, memory: &impl Memory) -> bool {
        self.guess.is_right(memory.word(self.position()).load(Ordering::Relaxed))
    }

    // Cold, so that it is not in the way of the others. Field by field: a `Found` that is moved is loaded in wider pieces than it
    // was just stored, which stalls.
    #[cold]
    #[inline(never)]
    fn advance_unguessed(&mut self, memory: &impl Memory) -> bool {
        let (position, sequence) = (self.position(), self.next_sequence());
        let Some((len, extent)) = self.look(memory, position, sequence) else {
            return self.advance_with_attributes(memory);
        };
        let is_usual = len == self.newest.len;
        self.newest.header = position;
        self.newest.start = extent.start;
        self.newest.len = len;
        self.newest.end = extent.end;
        self.newest.sequence = sequence;
        self.newest.marks = 0;
        self.bytes = self.bytes.wrapping_add(len);
        let frames = memory.frames();
        self.guess = if is_usual { Guess::behind(&self.newest, frames) } else { Guess::NONE };
        true
    }

    /// Goes behind the next frame if it is plain to see that there is one, with attributes.
    fn advance_with_attributes(&mut self, memory: &impl Memory) -> bool {
        if self.redelivers {
            return false;
        }
        let (position, sequence, frames) = (self.position(), self.next_sequence(), memory.frames());
        // COMMIT: as in `look`.
        let word = memory.word(position).load(Ordering::Acquire);
        let Some(len) = word::frame_with_attributes(word, sequence, frames) else { return false };
        let extent = frames.extent(position, len);
        let head = memory.word(extent.start).load(Ordering::Relaxed);
        let Ok(block) = attribute_block(head, len) else { return false };
        self.newest.header = position;
        self.newest.start = extent.start.plus(block);
        self.newest.len = len - block;
        self.newest.end = extent.end;
        self.newest.sequence = sequence;
        self.newest.marks = block;
        self.bytes = self.bytes.wrapping_add(len - block);
        self.guess = Guess::NONE;
        true
    }

    /// As [`advance_ready`](Self::advance_ready), and publishes that the frame was received.
    #[inline(always)]
    pub(crate) fn take_ready(&mut self, memory: &impl Memory, slot: &Slot) -> bool {
        let is_there = self.advance_ready(memory);
        if is_there {
            self.tell_received(slot, false);
        }
        is_there
    }

    #[inline(always)]
    fn find_ready(&self, memory: &impl Memory, position: Position, sequence: u64) -> Option<Found> {
        let (len, extent) = self.look(memory, position, sequence)?;
        let Extent { start, end } = extent;
        Some(Found { header: position, start, len, end, sequence, marks: 0 })
    }

    /// How long the frame at a position is, and where it lies, if that is plain to see.
    #[inline(always)]
    fn look(
        &self,
        memory: &impl Memory,
        position: Position,
        sequence: u64,
    ) -> Option<(u64, Extent)> {
        if self.redelivers {
            return None;
        }
        // COMMIT: pairs with the Release stores in `Producer::{stage, publish}`.
        let word = memory.word(position).load(Ordering::Acquire);
        let frames = memory.frames();
        let len = word::plain_frame(word, sequence, frames)?;
        Some((len, frames.extent(position, len)))
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
    pub(crate) fn take(&mut self, slot: &Slot, found: &Found) {
        self.advance(found);
        if found.skipped() != 0 {
            slot.skipped_bytes.store(self.skipped_bytes, Ordering::Relaxed);
        }
        self.tell_received(slot, found.is_redelivered());
    }

    /// Goes behind a found frame without telling; a later [`take`](Self::take) tells for all before it.
    #[inline(always)]
    pub(crate) fn advance(&mut self, found: &Found) {
        self.newest = *found;
        self.guess = Guess::NONE;
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
    pub(crate) fn pass_over(&mut self, slot: &Slot, found: &Found) {
        self.newest = Found::before(found.end, found.sequence.wrapping_add(1));
        self.guess = Guess::NONE;
        self.begun = self.begun.wrapping_add(1);
        self.redelivers = !self.redeliver_until.is_at_or_before(self.position());
        self.skipped_bytes = self.skipped_bytes.wrapping_add(found.skipped());
        self.publish_received(slot, found);
    }

    /// Publishes that everything up to and including `newest` was received.
    pub(crate) fn publish_received(&self, slot: &Slot, newest: &Found) {
        slot.skipped_bytes.store(self.skipped_bytes, Ordering::Relaxed);
        self.tell_received(slot, newest.is_redelivered());
    }

    #[inline(always)]
    fn tell_received(&self, slot: &Slot, is_redelivered: bool) {
        slot.bytes_read.store(self.bytes, Ordering::Relaxed);
        if !is_redelivered {
            slot.read_sequence.store(self.newest.sequence, Ordering::Relaxed);
            fault::point(Fault::ReceivedNumbered);
            // Release: a successor that sees this position sees a sequence at least as new.
            slot.read_position.store(self.position().0, Ordering::Release);
            fault::point(Fault::ReceivedTold);
        }
    }
}

/// Lets the Writer have everything below `cursor`, which must not pass a frame that is still held.
#[inline(always)]
pub(crate) fn release(slot: &Slot, cursor: Position) {
    fault::point(Fault::ReleaseBegun);
    // RELEASE-FRAME: pairs with the load in `lowest_cursor`; the frame's bytes were read before this store.
    slot.cursor.store(cursor.0, Ordering::Release);
    fault::point(Fault::ReleaseStored);
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
