//! Which bytes of the ring are free.

use super::skip_at;
use crate::sync::Ordering;
use crate::v2::protocol::layout::{CACHE_LINE, Extent, FrameGeometry, GAPS};
use crate::v2::protocol::position::Position;
use crate::v2::rules::memory::Memory;

/// What a skip leads over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gap {
    skip: Position,
    /// The frame that it leads to.
    frame: Position,
}

impl Gap {
    const NONE: Self = Self { skip: Position(0), frame: Position(0) };

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

/// Which bytes are free: all that no frame above the lowest cursor lies in.
///
/// Without skips that is one lap above the lowest cursor. A skip leaves a *gap*: while readers are before the skip, the gap
/// lies more than a lap above them when the writer comes there again, and is free all the same. So where the room at the
/// tail ends, another skip, a *hop*, leads over what readers have yet to release, into the gap behind it. What lies above
/// the lowest cursor is then in at most four rows of frames with a skip behind each but the last:
///
/// ```text
///   gaps  rows in the order of positions, and in the ring   room at the tail ends at      a hop leads to   room there ends at
///   0     A                A......                          A + C
///   1     A B              B....A......                     A + C                         behind A         B + C
///   2     A B C            B....AC.....                     B + C                         behind B         A + 2 C
///   3     A B C D          BD...AC.....                     A + 2 C                       nowhere
/// ```
///
/// A row name stands for where its first frame that is not released begins. When A is released, the rest is one step
/// higher in the table. Each hop goes right behind a row, so there are never more than two separate stretches of free
/// bytes, and a frame is refused only if it fits neither.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// No active cursor is below; copy of the lowest, may lag.
    floor: Position,
    /// Skips longer than a line that not all readers have passed, in the order of their positions.
    gaps: [Gap; GAPS],
    count: usize,
}

impl Room {
    /// The room of a Writer that has come to `tail`, where a predecessor may have left gaps.
    pub(super) fn find(memory: &impl Memory, floor: Position, tail: Position) -> Self {
        let frames = memory.frames();
        let empty = Self { floor, gaps: [Gap::NONE; GAPS], count: 0 };
        let mut room = empty;
        for word in &memory.writer().gaps {
            let skip = Position(word.load(Ordering::Relaxed));
            // A predecessor may have died while it moved the words up: then one stands there twice.
            let first = room.gaps().last().map_or(floor, |last| last.frame);
            if !skip.0.is_multiple_of(8) || !skip.is_within(first, tail) || skip == tail {
                continue;
            }
            let frame = skip_at(memory, skip).map(|bytes| skip.plus(bytes));
            if let Some(frame) = frame.filter(|frame| frame.is_within(skip, tail)) {
                room.push(Gap { skip, frame });
            }
        }
        // Whoever does not know all of them must not use any: the plain lap above the floor is free in any case.
        if room.explains(frames, tail) { room } else { empty }
    }

    /// Whether the rows of frames lie as a Writer places them.
    fn explains(&self, frames: &FrameGeometry, tail: Position) -> bool {
        let ends = self.gaps().iter().map(|gap| gap.skip).chain([tail]);
        let mut before = Self { count: 0, ..*self };
        for (row, end) in ends.enumerate() {
            before.count = row;
            let is_behind_a_row =
                row < 2 || self.gaps[row - 1].frame == self.gaps[row - 2].begin_again(frames);
            if !is_behind_a_row || !before.ends_in_time(frames, end) {
                return false;
            }
        }
        true
    }

    /// Whether a row of frames that began behind these gaps, with its terminator, may end there.
    fn ends_in_time(&self, frames: &FrameGeometry, end: Position) -> bool {
        end.plus(8).since(self.floor) <= self.limit(frames).since(self.floor)
    }

    /// Tells a successor of the gaps behind which `tail` may be.
    pub(super) fn tell(&self, memory: &impl Memory, tail: Position) {
        // From the first word on: a position that moves up stands in two words for a moment, and at any moment in one.
        for (index, word) in memory.writer().gaps.iter().enumerate() {
            // A word that is not needed gets the place of the next frame, where no skip longer than a line stands, now or later.
            let place = self.gaps().get(index).map_or(tail, |gap| gap.skip);
            word.store(place.0, Ordering::Relaxed);
        }
    }

    fn gaps(&self) -> &[Gap] {
        &self.gaps[..self.count]
    }

    fn push(&mut self, gap: Gap) {
        self.gaps[self.count] = gap;
        self.count += 1;
    }

    pub(super) fn floor(&self) -> Position {
        self.floor
    }

    /// Whether the room is one stretch: no reader is before a skip.
    pub(super) fn is_whole(&self) -> bool {
        self.count == 0
    }

    /// Whether a frame behind the tail, and the terminator behind the frame, lie in free bytes.
    #[inline(always)]
    pub(super) fn holds(&self, frames: &FrameGeometry, extent: Extent) -> bool {
        self.ends_in_time(frames, extent.end)
    }

    /// Up to where all is free behind what is staged.
    #[inline(always)]
    pub(super) fn limit(&self, frames: &FrameGeometry) -> Position {
        match self.count {
            0 | 1 => self.floor.plus(frames.capacity),
            2 => self.gaps[0].end_again(frames),
            _ => self.floor.plus(2 * frames.capacity),
        }
    }

    /// Where a frame of `len` bytes goes by a hop, if there is room for it.
    pub(super) fn beyond(&self, frames: &FrameGeometry, len: u64) -> Option<Position> {
        let (frame, limit) = self.hop(frames)?;
        let end = frames.extent(frame, len).end.plus(8);
        (end.since(self.floor) <= limit.since(self.floor)).then_some(frame)
    }

    /// Where a hop leads, and up to where all is free there.
    fn hop(&self, frames: &FrameGeometry) -> Option<(Position, Position)> {
        let last = self.gaps().last()?;
        let limit = match self.count {
            1 => last.end_again(frames),
            2 => self.floor.plus(2 * frames.capacity),
            _ => return None,
        };
        Some((last.begin_again(frames), limit))
    }

    /// The lowest cursor with which there may be room for a frame of `len` bytes, which ends at `end` if it goes to the tail.
    pub(super) fn wants(&self, frames: &FrameGeometry, end: Position, len: u64) -> Position {
        let (two_laps, end) = (2 * frames.capacity, end.plus(8));
        let first_row_released = self.gaps[0].frame;
        match self.count {
            0 | 1 => end.minus(frames.capacity),
            2 => {
                let hop = self.gaps[1].begin_again(frames);
                let end = frames.extent(hop, len).end.plus(8);
                end.minus(two_laps).earlier(first_row_released)
            }
            _ => end.minus(two_laps).earlier(first_row_released),
        }
    }

    /// All active cursors are at `floor` or above.
    pub(super) fn raise(&mut self, floor: Position) {
        self.floor = floor;
        while self.count > 0 && !floor.is_at_or_before(self.gaps[0].skip) {
            self.gaps.copy_within(1.., 0);
            self.count -= 1;
        }
    }

    /// A skip is staged that leads to `frame`.
    pub(super) fn note_skip(&mut self, memory: &impl Memory, skip: Position, frame: Position) {
        let gap = Gap { skip, frame };
        // A shorter one counts as used.
        if gap.bytes() > CACHE_LINE && self.count < GAPS {
            self.push(gap);
            self.tell(memory, skip);
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
        let skipped: u64 = self.gaps().iter().map(|gap| gap.bytes()).sum();
        tail.since(self.floor).saturating_sub(skipped)
    }
}
