//! Memory for tests and models: the segment's words on the heap, sleeping by a condition variable.

use std::time::Duration;

#[cfg(loom)]
use loom::sync::{Condvar, Mutex};
#[cfg(not(loom))]
use std::sync::{Condvar, Mutex};

use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::v2::protocol::layout::{
    FrameGeometry, GroupHeader, RegistryHeader, Slot, SlotName, WriterArea, owner_state,
    slot_flags, slot_state,
};
use crate::v2::protocol::position::Position;
use crate::v2::rules::group::Table;
use crate::v2::rules::memory::{Memory, ReadMemory};

/// Entries of the one group: few, so that models meet the end of its window.
pub(crate) const GROUP_ENTRIES: usize = 4;

/// A segment's words, without a segment.
pub(crate) struct Heap {
    frames: FrameGeometry,
    writer: WriterArea,
    registry: RegistryHeader,
    slots: Vec<Slot>,
    group: GroupHeader,
    entries: Vec<AtomicU64>,
    words: Vec<AtomicU64>,
    sleeping: Mutex<()>,
    woken: Condvar,
}

impl Heap {
    pub(crate) fn new(frames: FrameGeometry, slots: usize, start: Position) -> Self {
        let writer = WriterArea::default();
        for word in [&writer.head, &writer.newest, &writer.reserve, &writer.floor] {
            word.store(start.0, Ordering::Relaxed);
        }
        Self {
            frames,
            writer,
            registry: RegistryHeader::default(),
            slots: (0..slots).map(|_| Slot::default()).collect(),
            group: GroupHeader::default(),
            entries: (0..GROUP_ENTRIES).map(|_| AtomicU64::new(0)).collect(),
            words: (0..frames.capacity / 8).map(|_| AtomicU64::new(0)).collect(),
            sleeping: Mutex::new(()),
            woken: Condvar::new(),
        }
    }

    /// Registers a durable reader at `start`, as a creator lays down its first slot.
    pub(crate) fn reserve(&self, index: usize, start: Position) {
        let slot = &self.slots[index];
        slot.set_name(&SlotName::default());
        slot.cursor.store(start.0, Ordering::Relaxed);
        slot.read_position.store(start.0, Ordering::Relaxed);
        slot.flags.store(slot_flags::DURABLE, Ordering::Relaxed);
        slot.owner_state.store(owner_state::ATTACHED, Ordering::Relaxed);
        crate::v2::rules::registry::mark(self, index as u32);
        slot.state.store(slot_state::ACTIVE, Ordering::Release);
    }

    /// Stores `value` in every word of a payload.
    pub(crate) fn fill(&self, start: Position, len: u64, value: u64) {
        for at in (0..len).step_by(8) {
            self.word(start.plus(at)).store(value, Ordering::Relaxed);
        }
    }

    /// Whether every word of a payload is `value`.
    pub(crate) fn is_filled(&self, start: Position, len: u64, value: u64) -> bool {
        let mut words = (0..len).step_by(8);
        words.all(|at| self.word(start.plus(at)).load(Ordering::Relaxed) == value)
    }
}

impl ReadMemory for Heap {
    fn frames(&self) -> &FrameGeometry {
        &self.frames
    }

    fn writer(&self) -> &WriterArea {
        &self.writer
    }

    fn slots(&self) -> &[Slot] {
        &self.slots
    }

    fn find_group(&self, table: u64) -> Option<Table<'_>> {
        (table == 0).then(|| self.group(0))
    }

    fn load_word(&self, position: Position) -> u64 {
        self.word(position).load(Ordering::Acquire)
    }
}

impl Memory for Heap {
    fn registry(&self) -> &RegistryHeader {
        &self.registry
    }

    fn group(&self, _table: u32) -> Table<'_> {
        Table { header: &self.group, entries: &self.entries }
    }

    fn word(&self, position: Position) -> &AtomicU64 {
        &self.words[(self.frames.offset(position) / 8) as usize]
    }

    /// Without a limit: a lost wake-up is a deadlock, which the model checker reports.
    fn sleep(&self, word: &AtomicU32, expected: u32, _limit: Duration) -> bool {
        #[cfg(loom)]
        crate::mortal::step();
        let mut guard = self.sleeping.lock().unwrap();
        while word.load(Ordering::Relaxed) == expected {
            guard = self.woken.wait(guard).unwrap();
        }
        true
    }

    fn wake(&self, _word: &AtomicU32) {
        #[cfg(loom)]
        crate::mortal::step();
        // The lock makes the sleeper's look at the word and its falling asleep one step, as in the kernel.
        drop(self.sleeping.lock().unwrap());
        self.woken.notify_all();
    }

    fn sleeper_barrier(&self) -> bool {
        true
    }
}
