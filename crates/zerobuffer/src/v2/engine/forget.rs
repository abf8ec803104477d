//! Giving up the place of a durable reader, or of a work group, that does not come back: what was kept for it is lost, and
//! the Writer goes on.
//!
//! Registration is locked meanwhile, so nobody comes for that place, and the place's own lock is taken before its words are
//! believed: a reader that is alive has it. So a place is given up only when nobody can read there any more. Who comes
//! afterwards by that name is new.

use super::liveness;
use super::roles;
use crate::sync::Ordering;
use crate::sys::lock;
use crate::v2::ground::segment::{Segment, io_error};
use crate::v2::protocol::layout::{Slot, SlotName, slot_flags, slot_kind, slot_lock, slot_state};
use crate::v2::rules::accounts::{self, name_text};
use crate::v2::rules::memory::ReadMemory;
use crate::v2::rules::registry;
use crate::v2::rules::wake;
use crate::values::config::ReaderKind;
use crate::values::error::OpenError;
use crate::values::printable::printable;

/// What was kept at a place that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) kind: ReaderKind,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

/// Gives up the place of that name, if nobody has it.
pub(crate) fn forget(segment: &Segment, name: &SlotName) -> Result<Loss, OpenError> {
    let _registration = segment.registration()?;
    let index = find(segment, name).ok_or_else(|| no_such_reader(segment, name))?;
    let alive = || OpenError::ReaderAlive {
        name: segment.name().to_string(),
        reader: liveness::peer(segment, index).to_string(),
    };
    if is_group(&segment.slots()[index as usize]) && liveness::is_looked_after(segment, index) {
        return Err(alive());
    }
    let attached = || registry::is_attached(segment, index);
    let (probe, byte) = (segment.probe(), slot_lock(index));
    if !roles::take_lock(probe, byte, segment.place(), attached)? {
        return Err(alive());
    }
    // It may have left for good, or have been reaped, before the lock was ours.
    let loss = (find(segment, name) == Some(index)).then(|| give_up(segment, index));
    lock::release(probe, byte).map_err(io_error(segment.place(), "unlock"))?;
    wake::wake_writer_anyway(segment);
    loss.ok_or_else(|| no_such_reader(segment, name))
}

/// Gives up the place in a slot, if its owner is still that one and is gone; without waiting for anybody.
pub(crate) fn forget_absent(segment: &Segment, index: u32, generation: u64) -> Option<Loss> {
    let _registration = segment.registration().ok()?;
    let slot = &segment.slots()[index as usize];
    if is_group(slot) && liveness::is_looked_after(segment, index) {
        return None;
    }
    let (probe, byte) = (segment.probe(), slot_lock(index));
    if !lock::try_exclusive(probe, byte).unwrap_or(false) {
        return None;
    }
    let is_same = is_kept(slot) && slot.generation.load(Ordering::Acquire) == generation;
    let loss = is_same.then(|| give_up(segment, index));
    let _ = lock::release(probe, byte);
    loss
}

/// Frees a slot whose lock is held; what was kept there, as far as it was published.
fn give_up(segment: &Segment, index: u32) -> Loss {
    let lag = accounts::lag(segment, index);
    let held = accounts::held_frames(segment, index);
    let kind = accounts::reader_kind(segment.slots()[index as usize].kind.load(Ordering::Relaxed));
    let loss = Loss { kind, frames: lag.frames.saturating_add(held), bytes: lag.bytes };
    registry::free(segment, index);
    loss
}

/// The place that is kept for readers of that name; if there is none, the one through which frames were passed on to the
/// buffer of that name.
fn find(segment: &Segment, name: &SlotName) -> Option<u32> {
    let find = |is_meant: fn(&Slot) -> bool| {
        (0..).zip(segment.slots()).find_map(|(index, slot)| {
            let is_there = slot.state.load(Ordering::Acquire) == slot_state::ACTIVE;
            (is_there && is_meant(slot) && slot.name() == *name).then_some(index)
        })
    };
    find(is_kept).or_else(|| find(is_export))
}

/// Whether frames are kept at a place while nobody is there.
fn is_kept(slot: &Slot) -> bool {
    registry::is_served(slot) && slot.flags.load(Ordering::Relaxed) & slot_flags::DURABLE != 0
}

fn is_group(slot: &Slot) -> bool {
    slot.kind.load(Ordering::Relaxed) == slot_kind::GROUP
}

fn is_export(slot: &Slot) -> bool {
    slot.kind.load(Ordering::Relaxed) == slot_kind::EXPORT
}

fn no_such_reader(segment: &Segment, name: &SlotName) -> OpenError {
    let kept: Vec<_> = segment
        .slots()
        .iter()
        .filter(|slot| is_kept(slot))
        .map(|slot| format!("`{}`", printable(&name_text(&slot.name()))))
        .collect();
    OpenError::NoSuchReader {
        name: segment.name().to_string(),
        reader: name_text(name),
        kept: if kept.is_empty() { "nobody".to_owned() } else { kept.join(", ") },
    }
}
