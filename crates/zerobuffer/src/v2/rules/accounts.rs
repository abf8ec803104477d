//! What the registry says of its readers: how far they are behind, what they hold. For the Writer and for those who look
//! from outside.

use super::group;
use super::memory::ReadMemory;
use super::registry::{self, Lag, Mark};
use crate::sync::Ordering;
use crate::v2::protocol::layout::{Slot, SlotName, slot_flags, slot_kind, slot_state};
use crate::v2::protocol::position::Position;
use crate::v2::protocol::word;
use crate::values::config::ReaderKind;
use crate::values::stats::ReaderInfo;

/// What the reader of a slot of some `kind` gets.
pub(crate) fn reader_kind(kind: u32) -> ReaderKind {
    match kind {
        slot_kind::LOSSY => ReaderKind::Lossy,
        slot_kind::GROUP => ReaderKind::Group,
        slot_kind::MEMBER => ReaderKind::Member,
        slot_kind::EXPORT => ReaderKind::Export,
        _ => ReaderKind::Every,
    }
}

/// A slot's name for people.
pub(crate) fn name_text(name: &SlotName) -> String {
    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    String::from_utf8_lossy(&name[..end]).into_owned()
}

/// The reader that is registered in a slot, if one is. `is_alive` asks the kernel about the owner, who says to be attached.
pub(crate) fn reader_info(
    memory: &impl ReadMemory,
    index: u32,
    is_alive: impl FnOnce(ReaderKind) -> bool,
) -> Option<ReaderInfo> {
    let slot = memory.slots().get(index as usize)?;
    if slot.state.load(Ordering::Acquire) != slot_state::ACTIVE {
        return None;
    }
    let kind = reader_kind(slot.kind.load(Ordering::Relaxed));
    let attached = registry::is_attached(memory, index);
    let lag = lag(memory, index);
    Some(ReaderInfo {
        name: name_text(&slot.name()),
        kind,
        missed: slot.missed.load(Ordering::Relaxed),
        pid: slot.pid.load(Ordering::Relaxed),
        durable: slot.flags.load(Ordering::Relaxed) & slot_flags::DURABLE != 0,
        attached,
        alive: attached && is_alive(kind),
        position: slot.cursor.load(Ordering::Relaxed),
        read_position: slot.read_position.load(Ordering::Relaxed),
        read_sequence: slot.read_sequence.load(Ordering::Relaxed),
        lag_frames: lag.frames,
        lag_bytes: lag.bytes,
        held_frames: held_frames(memory, index),
        generation: slot.generation.load(Ordering::Relaxed),
    })
}

/// How far the reader of a slot is behind.
pub(crate) fn lag(memory: &impl ReadMemory, index: u32) -> Lag {
    let (area, slot) = (memory.writer(), &memory.slots()[index as usize]);
    if slot.kind.load(Ordering::Relaxed) == slot_kind::EXPORT {
        let exported = Position(slot.exported.load(Ordering::Acquire));
        return Lag::of_export(Position(slot.cursor.load(Ordering::Acquire)), exported);
    }
    let reader = Mark {
        sequence: slot.read_sequence.load(Ordering::Acquire),
        skipped_bytes: slot.skipped_bytes.load(Ordering::Relaxed),
        position: Position(slot.cursor.load(Ordering::Acquire)),
    };
    let writer = Mark {
        sequence: area.sequence.load(Ordering::Acquire),
        skipped_bytes: area.skipped_bytes.load(Ordering::Relaxed),
        position: Position(area.head.load(Ordering::Acquire)),
    };
    Lag::between(&writer, &reader)
}

/// Frames that the reader in a slot was handed and has not released.
pub(crate) fn held_frames(memory: &impl ReadMemory, index: u32) -> u64 {
    let slots = memory.slots();
    let slot = &slots[index as usize];
    let held_in = |anchor: &Slot, by| {
        memory.find_group(anchor.group.load(Ordering::Relaxed)).map_or(0, |table| {
            let entries = table.entries.iter().map(|entry| entry.load(Ordering::Relaxed));
            group::held_frames(entries, by)
        })
    };
    match slot.kind.load(Ordering::Relaxed) {
        slot_kind::BROADCAST => {
            let cursor = slot.cursor.load(Ordering::Acquire);
            if cursor == slot.read_position.load(Ordering::Acquire) || !cursor.is_multiple_of(8) {
                return 0;
            }
            let newest = slot.read_sequence.load(Ordering::Relaxed);
            let oldest = word::number_bits(memory.load_word(Position(cursor)), memory.frames());
            // None: the frame there is being released, or damaged.
            oldest.map_or(0, |bits| {
                let oldest = word::rebuild_number(bits, newest);
                newest.wrapping_sub(oldest).wrapping_add(1)
            })
        }
        slot_kind::GROUP => held_in(slot, None),
        slot_kind::MEMBER => {
            let anchor = usize::try_from(slot.group.load(Ordering::Relaxed)).ok();
            let anchor = anchor.and_then(|anchor| slots.get(anchor));
            let me = (index, slot.generation.load(Ordering::Relaxed));
            anchor.map_or(0, |anchor| held_in(anchor, Some(me)))
        }
        _ => 0,
    }
}

/// Whether a committed frame lies behind those that are published: its Writer may have died in between.
pub(crate) fn has_unpublished(memory: &impl ReadMemory) -> bool {
    let head = Position(memory.writer().head.load(Ordering::Acquire));
    !word::is_empty(memory.load_word(head))
}
