//! What the rules need from the memory they work on: a mapped segment in production, loom words in models.

use std::time::Duration;

use super::table::Table;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};
use crate::v2::protocol::layout::{FrameGeometry, RegistryHeader, Slot, WriterArea};
use crate::v2::protocol::position::Position;

/// Shared memory as those see it who only look: a mapped segment, or the bytes of a file. Every value in it is another
/// program's word.
pub(crate) trait ReadMemory {
    /// Sizes of the ring.
    fn frames(&self) -> &FrameGeometry;
    /// The part of the OIEB that the Writer changes.
    fn writer(&self) -> &WriterArea;
    /// The reader slots.
    fn slots(&self) -> &[Slot];
    /// A work group's table, if one of that number was laid out.
    fn find_group(&self, table: u64) -> Option<Table<'_>>;
    /// Loads (Acquire) the commit word at a position, a multiple of 8.
    fn load_word(&self, position: Position) -> u64;
}

/// Shared memory as those see it who take part.
pub(crate) trait Memory: ReadMemory {
    /// The registry's header.
    fn registry(&self) -> &RegistryHeader;
    /// A work group's table, which was laid out.
    fn group(&self, table: u32) -> Table<'_>;
    /// The commit word at a position (a multiple of 8), in the first mapping.
    fn word(&self, position: Position) -> &AtomicU64;

    /// Hints that the cache line at a position is about to be written.
    #[inline(always)]
    fn hint_to_write(&self, _position: Position) {}

    /// Whether such a hint takes the line away from those who have a copy of it, as a store does.
    fn hints_take_lines(&self) -> bool {
        false
    }

    /// A Release fence that orders streaming stores too: those that lent bytes may be filled with pass earlier stores.
    ///
    /// Executed so seldom that a segment takes it for an occasion to look at its file, too.
    #[inline(always)]
    fn order_streaming_stores(&self) {
        fence(Ordering::SeqCst);
    }

    /// Sleeps while `word` is `expected`, at most `limit`; false when the limit passed.
    fn sleep(&self, word: &AtomicU32, expected: u32, limit: Duration) -> bool;
    /// Wakes whoever sleeps on `word`.
    fn wake(&self, word: &AtomicU32);
    /// The barrier of a party about to sleep, for those who rely on it; false when the system has none.
    fn sleeper_barrier(&self) -> bool;
}
