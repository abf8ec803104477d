//! Prefetching the cache lines of frames to come.
//!
//! A store to a line that a reader has looked at is not done before that reader's copy is gone, and stores are done in
//! their order. A processor overlaps such waits only for stores that follow each other closely, and between two lines of a
//! stream of frames come the words behind and before a payload, the accounts, and the caller's own. So lines to come are
//! prefetched for writing. On such a hint some processors do nothing for a line that they have a copy of; there free lines
//! are stored to, many in a row; what they hold means nothing.

use super::lap::LEAST_PLACED;
use crate::sync::Ordering;
use crate::v2::protocol::layout::{CACHE_LINE, Extent, FrameGeometry};
use crate::v2::protocol::position::Position;
use crate::v2::rules::memory::Memory;
use crate::v2::rules::ring::Claim;

/// Lines that are prefetched at once, and how near the tail may come to the last of them before the next are.
const LINES: u64 = 24;
const LEFT: u64 = 2 * CACHE_LINE;
/// From this length on a frame that is filled where it lies has its first lines prefetched, and no others: perhaps no others
/// are written.
const ALL_BELOW: u64 = 512;
/// Up to this size a ring lies in the processors' own caches, as a rule. In a larger one they are faster by themselves at
/// copying what is longer than that.
const COPIES_UP_TO: u64 = 1 << 20;
/// How long before it is stored to a line is hinted at, or in a small ring this part of it; and where a hint is all there is
/// to do.
const HINT_AHEAD: u64 = 4096;
const HINT_AHEAD_PART: u64 = 64;
const HINT_ONLY_AHEAD: u64 = 512;
/// Nothing is prefetched up to here: further than any ring reaches.
const FAR: u64 = 1 << 62;
/// Readers that lag by so many frames read a stream. One who waits for each frame has it sooner when its lines were not
/// prefetched.
const STREAM_LAG: u64 = if cfg!(loom) { 1 } else { 4 };

/// Which lines are prefetched.
#[derive(Debug)]
pub(super) struct Lines {
    /// How many at once; none while readers wait for each frame.
    at_once: u64,
    /// Up to where they are, or are not to be.
    until: Position,
    hint_ahead: u64,
    only_hints: bool,
}

impl Lines {
    /// `only_hints`: a hint takes a line away from those who have a copy of it, as a store does.
    pub(super) fn new(frames: &FrameGeometry, only_hints: bool) -> Self {
        let ahead = if only_hints { HINT_ONLY_AHEAD } else { HINT_AHEAD };
        let hint_ahead = ahead.min(frames.capacity / HINT_AHEAD_PART);
        Self { at_once: 0, until: Position(FAR), hint_ahead, only_hints }
    }

    pub(super) fn begin(&mut self, tail: Position) {
        (self.at_once, self.until) = (0, tail.plus(FAR));
    }

    /// Decides anew, behind `tail`: large frames have their lines prefetched, and those of a stream.
    pub(super) fn looked(&mut self, tail: Position, frame_bytes: u64, lag: impl FnOnce() -> u64) {
        let prefetches = frame_bytes >= LEAST_PLACED || lag() >= STREAM_LAG * frame_bytes;
        let did = self.at_once > 0;
        self.at_once = if prefetches { LINES } else { self.at_once / 4 };
        if self.at_once == 0 {
            self.until = tail.plus(FAR);
        } else if !did {
            self.until = tail;
        }
    }

    /// Prefetches for the frames to come, if they are as long as this one, which is committed.
    #[inline(always)]
    pub(super) fn committed(&mut self, memory: &impl Memory, claim: &Claim, free: Position) {
        let end = claim.end();
        if self.reaches(end) {
            return;
        }
        if claim.len() < ALL_BELOW {
            self.row(memory, end.plus(8), self.at_once, free);
        } else if claim.len() < LEAST_PLACED {
            self.heads(memory, end, end.since(claim.header()), free);
        } else {
            // Where the header goes that comes here in the next lap; see `Lap::place`.
            memory.hint_to_write(claim.header().minus(CACHE_LINE));
        }
    }

    /// Prefetches the lines of a claimed frame that is to be copied, and some behind it; then none are when it is committed.
    #[inline(always)]
    pub(super) fn copies(&mut self, memory: &impl Memory, claim: &Claim, free: Position) {
        if claim.len() < ALL_BELOW || self.at_once == 0 {
            return;
        }
        let Extent { start, end } = claim.extent();
        if claim.len() >= LEAST_PLACED || memory.frames().capacity > COPIES_UP_TO {
            self.leave(claim);
        } else if !self.reaches(end) {
            self.row(memory, start, end.plus(LEFT).since(start).div_ceil(CACHE_LINE), free);
        }
    }

    /// Prefetches nothing for a claimed frame, nor when it is committed.
    #[inline(always)]
    pub(super) fn leave(&mut self, claim: &Claim) {
        if self.at_once > 0 {
            self.until = claim.end().plus(LEFT);
        }
    }

    #[inline(always)]
    fn reaches(&self, end: Position) -> bool {
        end.plus(LEFT).is_at_or_before(self.until)
    }

    /// Prefetches `count` lines from `begin` on, or from the first that is not yet; fewer where they may not be free.
    #[inline(never)]
    fn row(&mut self, memory: &impl Memory, begin: Position, count: u64, free: Position) {
        let begin = begin.round_up(CACHE_LINE);
        let is_new = self.until.is_at_or_before(begin);
        let first = if is_new { begin } else { self.until };
        let last = first.plus(count * CACHE_LINE).minus(8).earlier(free);
        let mut line = first;
        while line.is_at_or_before(last) {
            if !self.only_hints {
                memory.word(line).store(0, Ordering::Relaxed);
            }
            memory.hint_to_write(line.plus(self.hint_ahead));
            line = line.plus(CACHE_LINE);
        }
        self.until = line;
    }

    /// Prefetches the first two lines of frames to come of `frame_bytes` each, that of the header and that of the payload.
    #[inline(never)]
    fn heads(&mut self, memory: &impl Memory, end: Position, frame_bytes: u64, free: Position) {
        let mut frame = end;
        for _ in 0..self.at_once / 2 {
            frame = frame.plus(frame_bytes);
            let payload = frame.plus(CACHE_LINE);
            if !(self.line(memory, frame.plus(8), free) && self.line(memory, payload.plus(8), free))
            {
                break;
            }
            self.until = frame;
        }
    }

    /// Prefetches a free line; false where the line may not be free.
    #[inline(always)]
    fn line(&self, memory: &impl Memory, position: Position, free: Position) -> bool {
        let is_free = position.is_at_or_before(free);
        if is_free && self.only_hints {
            memory.hint_to_write(position);
        } else if is_free {
            memory.word(position).store(0, Ordering::Relaxed);
        }
        is_free
    }
}
