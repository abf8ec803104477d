//! Reading without holding the Writer back: copy, then check that it was not overtaken meanwhile.
//!
//! ```text
//! w = word[p] (Acquire); copy the bytes word by word; fence; whole if reserve - p <= C
//! ```
//!
//! The Writer raises `reserve`, fences, and only then changes bytes that lie a lap below it. So whoever copied
//! a changed byte sees the raised `reserve` behind its fence, and discards the copy.
//!
//! # Invariants
//! * Nothing is believed of a word, and nothing copied is shown, before the look at `reserve` that follows it.
//! * Nothing shared is written; every loop is bounded.

use super::memory::Memory;
use super::ring::{self, Damage, Found, number_in_sight};
use crate::sync::{Ordering, fence};
use crate::v2::protocol::position::Position;
use crate::v2::protocol::word::{self, Word};
use crate::values::config::StartAt;

/// Attempts in one look before it is left to the next one.
const ATTEMPTS: u32 = 4;

/// A frame's bytes, copied out of the ring.
#[derive(Debug, Clone, Default)]
pub(crate) struct Copied {
    /// The payload, and what was left of larger ones before it.
    bytes: Vec<u8>,
    /// How many of them are the attribute block in front of the payload.
    block: usize,
    /// When it was committed; 0 in a buffer without timestamps.
    committed_ns: u64,
}

impl Copied {
    /// The frame that was copied last, which has `len` bytes, alone.
    pub(crate) fn only(&self, len: u64) -> Self {
        Self { bytes: self.bytes[..self.block + len as usize].to_vec(), ..*self }
    }

    /// What it was stamped with when it was committed; 0: with nothing.
    pub(crate) fn committed_ns(&self) -> u64 {
        self.committed_ns
    }

    /// The payload of the frame that was copied last, which has `len` bytes.
    #[inline]
    pub(crate) fn payload(&self, len: u64) -> &[u8] {
        &self.bytes[self.block..][..len as usize]
    }

    /// The attribute block of the frame that was copied last; empty if it has none.
    pub(crate) fn block(&self) -> &[u8] {
        &self.bytes[..self.block]
    }

    /// Copies a frame in another ring, that was passed on by reference as `found`; `None` if it was overwritten.
    pub(crate) fn follow(
        &mut self,
        memory: &impl Memory,
        found: &Found,
        header: Position,
        start: Position,
        len: u64,
    ) -> Option<Found> {
        let word = memory.word(header).load(Ordering::Acquire);
        if !is_whole(memory, header) {
            return None;
        }
        // As in `look_here`: what was loaded can be believed now.
        let is_it = matches!(word::parse(word, memory.frames()), Ok(Word::Frame { len: there, .. }) if there == len);
        if !is_it || start != memory.frames().extent(header, len).start {
            return None;
        }
        self.take(memory, start, len);
        if !is_whole(memory, header) {
            return None;
        }
        let resolved = found.resolved(start, len, self.head()).ok()?;
        self.block = resolved.block() as usize;
        Some(resolved)
    }

    /// The first word of what was copied.
    fn head(&self) -> u64 {
        self.bytes.first_chunk().map_or(0, |head| u64::from_ne_bytes(*head))
    }

    /// Copies word by word, for the Writer may be changing them.
    fn take(&mut self, memory: &impl Memory, start: Position, len: u64) {
        let room = len.next_multiple_of(8) as usize;
        self.block = 0;
        if self.bytes.len() < room {
            self.bytes.resize(room, 0);
        }
        let mut from = start;
        for place in self.bytes[..room].chunks_exact_mut(8) {
            place.copy_from_slice(&memory.word(from).load(Ordering::Relaxed).to_ne_bytes());
            from = from.plus(8);
        }
    }
}

/// What a look at one position told.
enum Sight {
    Nothing,
    Overtaken,
    Frame(Found),
}

/// A way along committed frames that the Writer may overtake.
#[derive(Debug)]
pub(crate) struct Observation {
    /// Where the next frame is looked for, and its number if it is there.
    position: Position,
    number: u64,
    /// Number of the frame behind the last one taken.
    next: u64,
    frames: u64,
    bytes: u64,
    missed: u64,
    skipped_bytes: u64,
}

impl Observation {
    /// Begins at the oldest frame that is still there, or behind the newest.
    pub(crate) fn begin(memory: &impl Memory, start: StartAt) -> Self {
        let mut observation = Self {
            position: Position(0),
            number: 0,
            next: 0,
            frames: 0,
            bytes: 0,
            missed: 0,
            skipped_bytes: 0,
        };
        let writer = memory.writer();
        let first = match start {
            StartAt::Oldest => &writer.floor,
            // PUBLISH-HEAD: what was committed before it is visible with it.
            StartAt::Newest => &writer.head,
        };
        observation.go_to(memory, Position(first.load(Ordering::Acquire)));
        observation.next = observation.number;
        observation.skipped_bytes = writer.skipped_bytes.load(Ordering::Relaxed);
        observation
    }

    /// Where the next frame is looked for.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Frames taken.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// Payload bytes taken.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Frames that went by without being taken.
    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }

    /// Sum of the skip frames passed, and of those before it began.
    pub(crate) fn skipped_bytes(&self) -> u64 {
        self.skipped_bytes
    }

    /// Number of the frame behind the last one taken.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.next
    }

    /// Goes on at the newest frame, if that is not behind already.
    pub(crate) fn go_to_newest(&mut self, memory: &impl Memory) {
        let newest = Position(memory.writer().newest.load(Ordering::Acquire));
        if !newest.is_at_or_before(self.position) {
            self.go_to(memory, newest);
        }
    }

    /// Goes on at `position`, where a frame begins or will begin.
    fn go_to(&mut self, memory: &impl Memory, mut position: Position) {
        for _ in 0..ATTEMPTS {
            if let Some(number) = number_in_sight(memory, position) {
                self.number = number;
                self.position = position;
                return;
            }
            // It was overwritten meanwhile.
            position = Position(memory.writer().newest.load(Ordering::Acquire));
        }
    }

    /// Copies the next frame, if it is there. Takes nothing: looking again finds it again, or a newer one.
    pub(crate) fn look(
        &mut self,
        memory: &impl Memory,
        copied: &mut Copied,
    ) -> Result<Option<Found>, Damage> {
        for _ in 0..ATTEMPTS {
            match self.look_here(memory, copied)? {
                Sight::Nothing => return Ok(None),
                Sight::Frame(found) => return Ok(Some(found)),
                Sight::Overtaken => {
                    let newest = Position(memory.writer().newest.load(Ordering::Acquire));
                    self.go_to(memory, newest);
                }
            }
        }
        // The Writer went round the ring each time: not now.
        Ok(None)
    }

    fn look_here(&self, memory: &impl Memory, copied: &mut Copied) -> Result<Sight, Damage> {
        let mut position = self.position;
        let mut skipped = 0;
        // At most two steps: a second skip in a row is damage.
        loop {
            // COMMIT: pairs with the Release stores in `Producer::{stage, publish}`.
            let word = memory.word(position).load(Ordering::Acquire);
            if !is_whole(memory, position) {
                return Ok(Sight::Overtaken);
            }
            let mut marks = 0;
            let mut begins_with_block = false;
            let (len, number_bits) = match word::parse(word, memory.frames())? {
                Word::Empty if skipped == 0 => return Ok(Sight::Nothing),
                Word::Empty => return Err("a skip that leads to no frame"),
                Word::Skip { bytes, number_bits }
                    if skipped == 0 && word::is_number(number_bits, self.number) =>
                {
                    skipped = bytes;
                    position = position.plus(bytes);
                    continue;
                }
                Word::Skip { .. } if skipped != 0 => return Err("two skips in a row"),
                Word::Skip { number_bits, .. } => (0, number_bits),
                Word::Frame { len, number_bits, has_attributes } => {
                    begins_with_block = has_attributes;
                    (len, number_bits)
                }
                Word::Reference { len, number_bits, has_attributes } => {
                    marks = ring::reference_marks(has_attributes);
                    (len, number_bits)
                }
            };
            if !word::is_number(number_bits, self.number) {
                return Err("a frame whose number is not the next one");
            }
            let mut extent = memory.frames().extent(position, len);
            let mut payload = len;
            copied.take(memory, extent.start, len);
            let stamp = memory.frames().stamp(position);
            copied.committed_ns = stamp.map_or(0, |at| memory.word(at).load(Ordering::Relaxed));
            if !is_whole(memory, position) {
                return Ok(Sight::Overtaken);
            }
            if begins_with_block {
                marks = ring::attribute_block(copied.head(), len)?;
                copied.block = marks as usize;
                payload = len - marks;
                extent.start = extent.start.plus(marks);
            }
            let found = Found::copied(position, extent, payload, self.number, skipped, marks);
            return Ok(Sight::Frame(found));
        }
    }

    /// Whether the word of a committed frame is gone where the next one is looked for.
    pub(crate) fn is_wiped_out(&self, memory: &impl Memory) -> bool {
        // Not overtaken, either: then the word may be anything.
        ring::is_wiped_out(memory, self.position) && is_whole(memory, self.position)
    }

    /// Goes behind a frame that was looked at and cannot be had.
    pub(crate) fn pass_over(&mut self, found: &Found) {
        self.position = found.end;
        self.number = found.sequence.wrapping_add(1);
        self.skipped_bytes = self.skipped_bytes.wrapping_add(found.skipped());
    }

    /// Goes behind a frame that was looked at.
    pub(crate) fn take(&mut self, found: &Found) {
        self.missed = self.missed.wrapping_add(found.sequence.wrapping_sub(self.next));
        self.pass_over(found);
        self.next = self.number;
        self.frames += 1;
        self.bytes = self.bytes.wrapping_add(found.len);
    }
}

/// Whether nothing at or above `position` had been overwritten when it was loaded.
fn is_whole(memory: &impl Memory, position: Position) -> bool {
    // RESERVE: pairs with the Writer's fence between raising `reserve` and changing bytes below it. Excluded: a
    // changed byte was loaded before, and the old `reserve` is loaded now.
    fence(Ordering::Acquire);
    let reserve = Position(memory.writer().reserve.load(Ordering::Acquire));
    reserve.since(position) <= memory.frames().capacity
}
