//! Who reads: joining the ring, and holding the Writer back.

use super::memory::{Memory, ReadMemory};
use crate::fault::{self, Fault};
use crate::sync::{Ordering, fence};
use crate::v2::protocol::layout::{Slot, owner_state, slot_kind, slot_state};
use crate::v2::protocol::position::Position;
use crate::values::config::StartAt;

/// The lowest cursor of all active readers, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lowest {
    pub(crate) cursor: Position,
    pub(crate) slot: Option<u32>,
}

/// Finds the lowest cursor within `[bound, head]`; `head` when nobody reads.
///
/// A cursor outside those bounds takes no part: it is a joiner's who is about to notice that the floor has
/// moved on, or damage, and then it can neither block the Writer for ever nor make it overwrite what others
/// hold. It is passed over rather than evicted, for the joiner may be storing a better one right now.
pub(crate) fn lowest_cursor(memory: &impl Memory, bound: Position, head: Position) -> Lowest {
    let (mut lowest, exports) = scan(memory, bound, head);
    // A frame is passed on by protecting it in an export, then releasing it where it came from. One scan may come to
    // the export before the first and to the other place after the second; the next one finds the export.
    for _ in 0..exports {
        let (again, _) = scan(memory, bound, head);
        if again.cursor.since(bound) < lowest.cursor.since(bound) {
            lowest = again;
        }
    }
    lowest
}

/// One look at all cursors; how many exports there are, too.
#[inline]
fn scan(memory: &impl Memory, bound: Position, head: Position) -> (Lowest, u32) {
    let mut lowest = Lowest { cursor: head, slot: None };
    let mut exports = 0;
    let mut marked = memory.registry().active.load(Ordering::Acquire);
    while marked != 0 {
        let index = marked.trailing_zeros();
        marked &= marked - 1;
        // Bits beyond the last slot can only be damage.
        let Some(slot) = memory.slots().get(index as usize) else { break };
        if slot.state.load(Ordering::Acquire) != slot_state::ACTIVE {
            continue;
        }
        // RELEASE-FRAME: pairs with the store in `ring::release`; bytes below were read before it.
        let cursor = Position(slot.cursor.load(Ordering::Acquire));
        if slot.kind.load(Ordering::Relaxed) == slot_kind::EXPORT {
            exports += 1;
            // Everything that was passed on is released.
            if cursor.0 == slot.exported.load(Ordering::Acquire) {
                continue;
            }
        }
        if !cursor.is_within(bound, head) {
            continue;
        }
        if lowest.slot.is_none() || cursor.since(bound) < lowest.cursor.since(bound) {
            lowest = Lowest { cursor, slot: Some(index) };
        }
    }
    (lowest, exports)
}

/// Registers a cursor in a slot whose lock is held; returns it.
///
/// The Writer publishes `floor` and scans again behind a fence (`Producer::refresh_floor`); here the cursor
/// is published and `floor` is read again behind a fence. Of the two second looks at least one sees the other
/// side's store, so either the Writer spares the bytes from the cursor on, or the joiner notices and retries.
/// Gives up with `None` after `attempts`: a hostile `floor` could run away for ever.
pub(crate) fn activate(
    memory: &impl Memory,
    index: u32,
    start: StartAt,
    attempts: u32,
) -> Option<Position> {
    let slot = &memory.slots()[index as usize];
    let writer = memory.writer();
    mark(memory, index);
    for _ in 0..attempts {
        let cursor = match start {
            StartAt::Oldest => writer.floor.load(Ordering::Acquire),
            // PUBLISH-HEAD: pairs with `Tail::publish`; the terminator at `head` is visible with it.
            StartAt::Newest => writer.head.load(Ordering::Acquire),
        };
        slot.cursor.store(cursor, Ordering::Relaxed);
        slot.read_position.store(cursor, Ordering::Relaxed);
        fault::point(Fault::ReaderCursorStored);
        slot.state.store(slot_state::ACTIVE, Ordering::Release);
        fence(Ordering::SeqCst);
        let floor = Position(writer.floor.load(Ordering::Acquire));
        if floor.is_at_or_before(Position(cursor)) {
            return Some(Position(cursor));
        }
        slot.state.store(slot_state::JOINING, Ordering::Release);
    }
    None
}

/// Marks a slot as one that may be active. Before its state says so, for the Writer looks here first.
pub(crate) fn mark(memory: &impl Memory, index: u32) {
    memory.registry().active.fetch_or(1 << index, Ordering::SeqCst);
}

/// Frees a slot whose lock is held, or whose owner is dead.
pub(crate) fn free(memory: &impl Memory, index: u32) {
    memory.slots()[index as usize].state.store(slot_state::FREE, Ordering::Release);
    memory.registry().active.fetch_and(!(1 << index), Ordering::SeqCst);
}

/// Whether frames are kept for the owner of a slot, present or to come.
pub(crate) fn is_served(slot: &Slot) -> bool {
    slot.state.load(Ordering::Acquire) == slot_state::ACTIVE
        && matches!(slot.kind.load(Ordering::Relaxed), slot_kind::BROADCAST | slot_kind::GROUP)
}

/// Whether an active slot has an owner who has not left (it may have died: locks tell). There is none beyond the last slot.
pub(crate) fn is_attached(memory: &impl ReadMemory, index: u32) -> bool {
    let Some(slot) = memory.slots().get(index as usize) else { return false };
    slot.state.load(Ordering::Acquire) == slot_state::ACTIVE
        && slot.owner_state.load(Ordering::Acquire) == owner_state::ATTACHED
}

/// How far somebody has come, by his own account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    /// Newest frame committed, or received.
    pub(crate) sequence: u64,
    /// Sum of the skip frames on the way.
    pub(crate) skipped_bytes: u64,
    /// End of what is published, or start of what is not released.
    pub(crate) position: Position,
}

/// How far a reader is behind: frames not received, bytes of frames not released.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lag {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

impl Lag {
    /// Of an export: what was passed on and not given back.
    pub(crate) fn of_export(cursor: Position, exported: Position) -> Self {
        let bytes = exported.since(cursor);
        Self { frames: 0, bytes: if bytes <= i64::MAX as u64 { bytes } else { 0 } }
    }

    /// None where the accounts contradict each other, as they do for a moment when one is newer.
    pub(crate) fn between(writer: &Mark, reader: &Mark) -> Self {
        let frames = writer.sequence.wrapping_sub(reader.sequence);
        let bytes = writer.position.since(reader.position);
        let bytes = if bytes <= i64::MAX as u64 { bytes } else { 0 };
        let skipped = writer.skipped_bytes.wrapping_sub(reader.skipped_bytes);
        let skipped = if skipped <= bytes { skipped } else { 0 };
        Self { frames: if frames <= i64::MAX as u64 { frames } else { 0 }, bytes: bytes - skipped }
    }
}
