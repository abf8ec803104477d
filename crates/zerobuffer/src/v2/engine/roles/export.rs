//! The role of those who hold an origin's Writer back for the readers of another buffer.

use super::slots::{clear, damaged, sign, slot_name, take_free};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::sync::Ordering;
use crate::sys::lock;
use crate::v2::ground::segment::{Segment, io_error};
use crate::v2::protocol::layout::{SlotName, slot_kind, slot_lock, slot_state};
use crate::v2::rules::memory::ReadMemory;
use crate::v2::rules::registry;
use crate::v2::rules::sharing;
use crate::values::error::OpenError;
use crate::values::name::Location;

/// As much of a name for people as a slot's has room for.
fn beginning(name: &str) -> SlotName {
    let ends = name.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = ends.take_while(|end| *end <= SlotName::default().len()).last().unwrap_or(0);
    slot_name(&name[..end]).unwrap_or_default()
}

/// How often, a millisecond apart, to try to take part in an export that somebody looks at.
const EXPORT_ATTEMPTS: u32 = 50;

/// Makes, or takes over, the slot in an origin's registry by which the target of that id holds the origin's Writer back;
/// its number and generation. All who hold a lock on it together own it.
pub(crate) fn attach_export(
    segment: &Segment,
    fd: BorrowedFd<'_>,
    place: &Location,
    target_id: u64,
    target_name: &str,
) -> Result<(u32, u64), OpenError> {
    let _registration = segment.registration()?;
    let share = |index| lock::try_shared(fd, slot_lock(index)).map_err(io_error(place, "lock"));
    for (index, slot) in (0..).zip(segment.slots()) {
        if sharing::is_export(slot, target_id) && share(index)? {
            return Ok((index, slot.generation.load(Ordering::Acquire)));
        }
    }
    let index = take_free(segment, segment.probe(), place)?;
    let slot = &segment.slots()[index as usize];
    slot.state.store(slot_state::JOINING, Ordering::Release);
    slot.set_name(&beginning(target_name));
    clear(slot, slot_kind::EXPORT);
    slot.group.store(target_id, Ordering::Relaxed);
    let start = segment.writer().floor.load(Ordering::Acquire);
    for word in [&slot.cursor, &slot.read_position, &slot.exported] {
        word.store(start, Ordering::Relaxed);
    }
    let generation = sign(segment, index, 0);
    registry::mark(segment, index);
    slot.state.store(slot_state::ACTIVE, Ordering::Release);
    // From one lock to the other: whoever reaps takes part in registration.
    let _ = lock::release(segment.probe(), slot_lock(index));
    share(index)?;
    Ok((index, generation))
}

/// Takes part in the export of the target of that id, which is in slot `index`; its generation.
pub(crate) fn attach_origin(
    segment: &Segment,
    fd: BorrowedFd<'_>,
    place: &Location,
    index: u32,
    target_id: u64,
) -> Result<u64, OpenError> {
    let slot = segment.slots().get(index as usize);
    let slot = slot.ok_or_else(|| damaged(place, "a reference to a slot that is not there"))?;
    let lock = || lock::try_shared(fd, slot_lock(index)).map_err(io_error(place, "lock"));
    // Somebody may be looking whether anyone will come for it.
    let mut attempts = 0;
    while !lock()? && attempts < EXPORT_ATTEMPTS {
        attempts += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    // Locked, so it stays what it is.
    if attempts == EXPORT_ATTEMPTS || !sharing::is_export(slot, target_id) {
        return Err(damaged(place, "a reference to what was given back"));
    }
    Ok(slot.generation.load(Ordering::Acquire))
}
