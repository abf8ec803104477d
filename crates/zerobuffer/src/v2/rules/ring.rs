//! The ring's rules: claiming, committing, reading and releasing as arithmetic on positions.
//!
//! `docs/protocol/2.0.md`, section 6, is the specification. In short, for a frame at head `h` that ends at `e`:
//!
//! ```text
//! Writer   space: e + 8 <= floor_seen + C, else look at the cursors (or e lies in what a skip led over: room.rs)
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
//! * `floor_seen` ≤ every active cursor ≤ head ≤ `floor_seen` + 2 C; bytes of a frame at or above a cursor are never written.
//! * Nothing here blocks, reads a clock, or calls the operating system.

mod consumer;
mod missing;
mod placing;
mod producer;
mod room;
mod tail;

use super::memory::ReadMemory;
use crate::sync::Ordering;
use crate::v2::protocol::layout::{Extent, FrameGeometry};
use crate::v2::protocol::position::Position;
use crate::v2::protocol::word::{self, Word};
use crate::values::attributes;

pub(crate) use consumer::{Consumer, release};
pub(crate) use missing::{WIPED_OUT, is_wiped_out};
#[cfg(test)]
pub(crate) use placing::Plain;
pub(crate) use placing::{Detour, Placing};
pub(crate) use producer::Producer;
pub(crate) use tail::Tail;

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

    /// Where the payload lies.
    pub(crate) fn extent(&self) -> Extent {
        self.extent
    }

    /// The next frame's position.
    pub(crate) fn end(&self) -> Position {
        self.extent.end
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

/// What a successor found: a word that no Writer wrote.
pub(crate) type Damage = &'static str;

/// A way along committed words.
#[derive(Debug, Clone, Copy)]
struct Walk {
    position: Position,
    /// The last step was a skip.
    skipped: bool,
}

enum Step {
    Empty,
    Skip {
        bytes: u64,
    },
    /// `extent` begins with the payload, which `len` bytes have; behind the attribute block, if there is one.
    Frame {
        position: Position,
        len: u64,
        extent: Extent,
        marks: u64,
    },
}

impl Walk {
    /// Looks at the word here and goes behind it. `number` is the next frame's.
    #[inline]
    fn step(&mut self, memory: &impl ReadMemory, number: u64) -> Result<Step, Damage> {
        // COMMIT: pairs with the Release stores in `Producer::{stage, publish}`.
        let frames = memory.frames();
        match word::parse(memory.load_word(self.position), frames)? {
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
            Word::Frame { len, has_attributes, .. } => {
                let extent = frames.extent(self.position, len);
                if !has_attributes {
                    return Ok(self.pass(extent, len, 0));
                }
                let head = memory.load_word(extent.start);
                let block = attribute_block(head, len)?;
                let payload = Extent { start: extent.start.plus(block), ..extent };
                Ok(self.pass(payload, len - block, block))
            }
            Word::Reference { len, has_attributes, .. } => {
                let extent = frames.extent(self.position, len);
                Ok(self.pass(extent, len, reference_marks(has_attributes)))
            }
        }
    }
}

impl Walk {
    /// Goes behind the frame here.
    #[inline]
    fn pass(&mut self, extent: Extent, len: u64, marks: u64) -> Step {
        let position = self.position;
        self.position = extent.end;
        self.skipped = false;
        Step::Frame { position, len, extent, marks }
    }
}

/// Length of the attribute block that begins with the word `head`, in a frame of `len` bytes.
pub(crate) fn attribute_block(head: u64, len: u64) -> Result<u64, Damage> {
    match attributes::split(head.to_le_bytes(), len as usize) {
        Ok((block, _)) => Ok(block as u64),
        Err(_) => Err("an attribute block that is longer than its frame, or none"),
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
/// In `marks`: the bytes that the reference leads to begin with an attribute block.
const REFERRED_ATTRIBUTES: u64 = 4;
/// In `marks`: the length of the attribute block in front of the payload, a multiple of 8 below 2^16; 0: there is none.
const BLOCK: u64 = 0xfff8;
/// In `marks`: where the bytes begin that were skipped, less than a lap.
const SKIPPED_SHIFT: u32 = 32;

/// Marks of a frame that lies in another buffer.
pub(crate) fn reference_marks(has_attributes: bool) -> u64 {
    if has_attributes { REFERENCE | REFERRED_ATTRIBUTES } else { REFERENCE }
}

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
        marks: u64,
    ) -> Self {
        let Extent { start, end } = extent;
        Self { header, start, len, end, sequence, marks: marks | skipped << SKIPPED_SHIFT }
    }

    /// Whether the bytes that it stands for, here or in another buffer, begin with an attribute block.
    pub(crate) fn has_attributes(&self) -> bool {
        self.marks & (REFERRED_ATTRIBUTES | BLOCK) != 0
    }

    /// Whether its payload lies in another buffer, and the bytes here say where.
    #[inline(always)]
    pub(crate) fn is_reference(&self) -> bool {
        self.marks & REFERENCE != 0
    }

    /// The same frame, with its payload where it lies in the other buffer, whose bytes begin with the word `head`.
    pub(crate) fn resolved(self, start: Position, len: u64, head: u64) -> Result<Self, Damage> {
        if self.marks & REFERRED_ATTRIBUTES == 0 {
            return Ok(Self { start, len, ..self });
        }
        let block = attribute_block(head, len)?;
        let marks = self.marks & !BLOCK | block;
        Ok(Self { start: start.plus(block), len: len - block, marks, ..self })
    }

    /// The attribute block in front of the payload, as a frame of its own.
    pub(crate) fn only_block(self) -> Self {
        let block = self.block();
        Self { start: self.start.minus(block), len: block, ..self }
    }

    /// Bytes of the attribute block, which ends where the payload begins; 0: there is none.
    #[inline(always)]
    pub(crate) fn block(&self) -> u64 {
        self.marks & BLOCK
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
    memory: &impl ReadMemory,
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

/// The number of the frame at a position that begins one, or where the next one will begin.
///
/// Frames are seen before they are published: whoever read a batch, or a frame that the Writer died on, may be
/// beyond `head`. If there is no frame yet, those from there on are counted.
pub(crate) fn number_of(memory: &impl ReadMemory, position: Position) -> u64 {
    number_in_sight(memory, position).unwrap_or_else(|| number_counted(memory, position))
}

/// As [`number_of`], in a few steps whatever the memory holds; `None` where only counting would tell.
pub(crate) fn number_in_sight(memory: &impl ReadMemory, position: Position) -> Option<u64> {
    let (head, next) = published(memory);
    let frames = memory.frames();
    if position.is_at_or_before(head) || position.since(head) > frames.farthest() {
        return Some(number_at(memory, position, next));
    }
    // Beyond `head` lie at most as many frames as the ring holds.
    let not_before = next.wrapping_add(frames.capacity / SMALLEST_FRAME);
    number_bits_at(memory, position).map(|bits| word::rebuild_number(bits, not_before))
}

/// `head`, and the number at or behind it.
fn published(memory: &impl ReadMemory) -> (Position, u64) {
    let writer = memory.writer();
    let head = Position(writer.head.load(Ordering::Acquire));
    // Loaded after `head`: at least the number of the frame before it. And before the words: so if there is none,
    // no newer one.
    let next = writer.sequence.load(Ordering::Acquire).wrapping_add(1);
    (head, next)
}

#[cold]
fn number_counted(memory: &impl ReadMemory, position: Position) -> u64 {
    let (head, next) = published(memory);
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

/// The number of the frame at a position, which is at most `next`; that one where there is no frame.
fn number_at(memory: &impl ReadMemory, position: Position, next: u64) -> u64 {
    number_bits_at(memory, position).map_or(next, |bits| word::rebuild_number(bits, next))
}

/// Bytes of the skip at a position, if there is one.
fn skip_at(memory: &impl ReadMemory, position: Position) -> Option<u64> {
    match word::parse(memory.load_word(position), memory.frames()) {
        Ok(Word::Skip { bytes, .. }) => Some(bytes),
        _ => None,
    }
}

/// What the word at a position says of its frame's number; `None` for damage, too, which the first step will report.
fn number_bits_at(memory: &impl ReadMemory, position: Position) -> Option<u64> {
    word::number_bits(memory.load_word(position), memory.frames())
}
