//! A work group's table: one entry for each frame in turn, which names the frame, its holder, and whether it is held or done.

use crate::sync::{AtomicU64, Ordering};
use crate::v2::protocol::layout::{GroupHeader, SLOT_INDEX_BITS};

/// A group's part of the segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table<'a> {
    pub(crate) header: &'a GroupHeader,
    /// A power of two of them.
    pub(crate) entries: &'a [AtomicU64],
}

impl<'a> Table<'a> {
    /// The entry that frame `number` has in turn.
    pub(super) fn entry(&self, number: u64) -> &'a AtomicU64 {
        // There is at least one, and a power of two of them.
        &self.entries[(number & (self.entries.len() as u64 - 1)) as usize]
    }

    /// Frames that can be held and done before the oldest of them is passed.
    pub(super) fn window(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Makes the table one of a new group, whose first frame has a number of at least `newest - 2^32`.
    pub(crate) fn clear(&self, newest: u64) {
        for word in [&self.header.waiting, &self.header.tickets, &self.header.redelivered] {
            word.store(0, Ordering::Relaxed);
        }
        for entry in self.entries {
            entry.store(Entry::done(newest.wrapping_sub(1 << 32)).0, Ordering::Relaxed);
        }
    }
}

/// What an entry says: bit 0 held, 6 bits slot, 17 bits generation of its owner, 40 bits number of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(pub(super) u64);

pub(super) const HELD: u64 = 1;
const SLOT_SHIFT: u32 = 1;
const GENERATION_SHIFT: u32 = SLOT_SHIFT + SLOT_INDEX_BITS;
const NUMBER_SHIFT: u32 = 24;
const SLOT_MASK: u64 = (1 << SLOT_INDEX_BITS) - 1;
const GENERATION_MASK: u64 = (1 << (NUMBER_SHIFT - GENERATION_SHIFT)) - 1;
const NUMBER_MASK: u64 = u64::MAX >> NUMBER_SHIFT;

/// How an entry stands to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is of an earlier frame, and that one is done.
    Free,
    /// It is of an earlier frame, which somebody holds.
    Occupied,
    Held,
    Done,
    /// It is of a later frame: this one was passed long ago.
    Passed,
}

impl Entry {
    pub(super) fn held(number: u64, slot: u32, generation: u64) -> Self {
        let generation = (generation & GENERATION_MASK) << GENERATION_SHIFT;
        Self(HELD | u64::from(slot) << SLOT_SHIFT | generation | number << NUMBER_SHIFT)
    }

    pub(super) fn done(number: u64) -> Self {
        Self(number << NUMBER_SHIFT)
    }

    pub(super) fn standing(self, number: u64) -> Standing {
        let held = self.0 & HELD != 0;
        match number.wrapping_sub(self.0 >> NUMBER_SHIFT) & NUMBER_MASK {
            0 if held => Standing::Held,
            0 => Standing::Done,
            ahead if ahead > NUMBER_MASK / 2 => Standing::Passed,
            _ if held => Standing::Occupied,
            _ => Standing::Free,
        }
    }

    pub(super) fn owner(self) -> Owner {
        Owner {
            slot: (self.0 >> SLOT_SHIFT & SLOT_MASK) as u32,
            generation: self.0 >> GENERATION_SHIFT & GENERATION_MASK,
        }
    }
}

/// How many of a group's entries say that their frames are held: by the member with that slot and generation, or by
/// anybody.
#[cfg(not(loom))]
pub(crate) fn held_frames(entries: impl Iterator<Item = u64>, by: Option<(u32, u64)>) -> u64 {
    let is_held = |entry: &Entry| {
        let owner = entry.owner();
        entry.0 & HELD != 0
            && by.is_none_or(|(slot, generation)| {
                owner.slot == slot && owner.has_generation(generation)
            })
    };
    entries.map(Entry).filter(is_held).count() as u64
}

/// Who holds a frame, as far as its entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) slot: u32,
    /// Its low bits.
    generation: u64,
}

impl Owner {
    /// Whether the owner of a slot by that generation is meant.
    pub(crate) fn has_generation(self, generation: u64) -> bool {
        generation & GENERATION_MASK == self.generation
    }
}
