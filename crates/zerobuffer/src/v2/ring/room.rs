//! Which bytes of the ring are free.

use super::skip_at;
use crate::sync::Ordering;
use crate::v2::layout::{CACHE_LINE, Extent, FrameGeometry};
use crate::v2::memory::Memory;
use crate::v2::position::Position;

/// What a skip leads over.
#[derive(Debug, Clone, Copy)]
struct Gap {
    skip: Position,
    /// The frame that it leads to.
    frame: Position,
}

impl Gap {
    fn bytes(self) -> u64 {
        self.frame.since(self.skip)
    }

    /// Where its bytes begin in the next lap; not on the line of the skip, which readers have yet to look at.
    fn begin_again(self, frames: &FrameGeometry) -> Position {
        self.skip.plus(frames.capacity + CACHE_LINE)
    }

    /// Where they end in the next lap.
    fn end_again(self, frames: &FrameGeometry) -> Position {
        self.frame.plus(frames.capacity)
    }
}

/// Which bytes are free: those of one lap above the lowest cursor, and those that a skip led over.
///
/// While readers are before a skip, what it leads over lies more than a lap above them when the writer comes there again,
/// and is free all the same: nothing was written there. So from the end of the lap a second skip, a *hop*, leads over what
/// they have yet to read, and the ring has as much room as if the first had not been made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// No active cursor is below; copy of the lowest, may lag.
    floor: Position,
    /// A skip that not all readers have passed. Of several the first: while there is one, no long ones are made.
    gap: Option<Gap>,
    /// Bytes of the skip that led into it, if there was one.
    hop: Option<u64>,
}

impl Room {
    /// The room of a Writer that has come to `tail`, where a predecessor may have left a gap.
    pub(super) fn find(memory: &impl Memory, floor: Position, tail: Position) -> Self {
        let skip = Position(memory.writer().gap.load(Ordering::Relaxed));
        let is_committed = skip.0.is_multiple_of(8) && skip.is_within(floor, tail) && skip != tail;
        let bytes = if is_committed { skip_at(memory, skip) } else { None };
        let frame = bytes.map(|bytes| skip.plus(bytes));
        let gap = frame.filter(|frame| frame.is_within(skip, tail));
        let gap = gap.map(|frame| Gap { skip, frame });
        let begin = gap.map(|gap| gap.begin_again(memory.frames()));
        // How long the hop was only counts for statistics.
        let hop = begin.filter(|begin| begin.is_at_or_before(tail)).map(|_| 0);
        Self { floor, gap, hop }
    }

    /// Tells a successor of the gap behind which `tail` may be.
    pub(super) fn tell(&self, memory: &impl Memory, tail: Position) {
        // Where there is none, the place of a frame: no word there, now or later, leads anywhere that is not free.
        let place = self.gap.map_or(tail, |gap| gap.skip);
        memory.writer().gap.store(place.0, Ordering::Relaxed);
    }

    pub(super) fn floor(&self) -> Position {
        self.floor
    }

    /// Whether a frame and the terminator behind it lie in free bytes.
    #[inline(always)]
    pub(super) fn holds(&self, frames: &FrameGeometry, frame: Position, extent: Extent) -> bool {
        let end = extent.end.plus(8);
        end.since(self.floor) <= frames.capacity
            || self.gap.is_some_and(|gap| {
                gap.begin_again(frames).is_at_or_before(frame)
                    && end.is_at_or_before(gap.end_again(frames))
            })
    }

    /// Up to where all is free behind what is staged.
    pub(super) fn limit(&self, frames: &FrameGeometry) -> Position {
        match (self.gap, self.hop) {
            (Some(gap), Some(_)) => gap.end_again(frames),
            _ => self.floor.plus(frames.capacity),
        }
    }

    /// Whether readers are before a skip.
    pub(super) fn has_gap(&self) -> bool {
        self.gap.is_some()
    }

    /// Where a hop would lead.
    pub(super) fn beyond(&self, frames: &FrameGeometry) -> Option<Position> {
        let gap = self.gap.filter(|_| self.hop.is_none());
        gap.map(|gap| gap.begin_again(frames))
    }

    /// All active cursors are at `floor` or above.
    pub(super) fn raise(&mut self, floor: Position) {
        self.floor = floor;
        if self.gap.is_some_and(|gap| !floor.is_at_or_before(gap.skip)) {
            (self.gap, self.hop) = (None, None);
        }
    }

    /// A skip is staged that leads to `frame`.
    pub(super) fn note_skip(&mut self, memory: &impl Memory, skip: Position, frame: Position) {
        let frames = memory.frames();
        let new = Gap { skip, frame };
        match (self.gap, self.hop) {
            (Some(gap), None) if gap.begin_again(frames).is_at_or_before(frame) => {
                self.hop = Some(new.bytes());
            }
            (None, _) if new.bytes() > CACHE_LINE => {
                self.gap = Some(new);
                self.tell(memory, skip);
            }
            _ => {}
        }
    }

    /// The same room without the skips that were noted since `before`.
    pub(super) fn without_skips_since(self, before: Self) -> Self {
        let mut room = before;
        room.raise(self.floor);
        room
    }

    /// Bytes between the lowest cursor and `tail`, without what the long skips among them led over.
    pub(super) fn unread(&self, tail: Position) -> u64 {
        let skipped = self.gap.map_or(0, Gap::bytes) + self.hop.unwrap_or(0);
        tail.since(self.floor).saturating_sub(skipped)
    }
}
