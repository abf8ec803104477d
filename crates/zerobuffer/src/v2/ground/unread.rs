//! What waits in a segment, seen from outside: without mapping it, and whoever is attached.
//!
//! A frame waits for a durable reader that has not released it. A frame that was passed on by reference waits for the
//! readers of the target, which have not released the reference: durable ones, and such as are alive.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::file::{open, read_layout, segment_state_of};
use super::image::Image;
use crate::sync::Ordering;
use crate::sys::lock;
use crate::v2::protocol::layout::{
    Layout, Slot, SlotName, segment_state, slot_flags, slot_kind, slot_lock, slot_state,
};
use crate::v2::rules::accounts;
use crate::v2::rules::memory::ReadMemory as _;
use crate::values::name::Location;

/// Whether somebody will come for committed frames: a durable reader, or one behind a relay.
pub(crate) fn has_unread(
    place: &Location,
    fd: BorrowedFd<'_>,
    layout: &Layout,
) -> io::Result<bool> {
    let image = Image::take(fd, layout)?;
    let unpublished = image.checked(accounts::has_unpublished(&image))?;
    let head = image.writer().head.load(Ordering::Relaxed);
    let waits = |slot: &Slot| {
        let cursor = slot.cursor.load(Ordering::Relaxed);
        if slot.kind.load(Ordering::Relaxed) == slot_kind::EXPORT {
            let target = slot.group.load(Ordering::Relaxed);
            cursor != slot.exported.load(Ordering::Relaxed)
                && is_export_awaited(place, target, &slot.name())
        } else {
            is_durable(slot) && (unpublished || cursor != head)
        }
    };
    Ok(image.slots().iter().any(|slot| is_active(slot) && waits(slot)))
}

fn is_active(slot: &Slot) -> bool {
    slot.state.load(Ordering::Relaxed) == slot_state::ACTIVE
}

fn is_durable(slot: &Slot) -> bool {
    slot.flags.load(Ordering::Relaxed) & slot_flags::DURABLE != 0
}

/// Whether anybody will come for what an export holds: a reader of the target that has that id, and whose name begins so.
pub(crate) fn is_export_awaited(origin: &Location, target_id: u64, name: &SlotName) -> bool {
    let beginning = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let Ok(entries) = std::fs::read_dir(&origin.dir) else { return false };
    entries.flatten().any(|entry| {
        let file_name = entry.file_name();
        let Some(name) = file_name.to_str().and_then(Location::buffer_of) else { return false };
        name.as_bytes().starts_with(beginning)
            && Location::new(name, Some(&origin.dir)).is_ok_and(|target| awaits(&target, target_id))
    })
}

/// Whether a buffer has that id, and a reader that is behind and durable, or alive.
fn awaits(target: &Location, id: u64) -> bool {
    let Ok(fd) = open(target, false) else { return false };
    let fd = fd.as_fd();
    let Ok(layout) = read_layout(target, fd, true) else { return false };
    layout.segment_id == id
        && segment_state_of(fd).is_ok_and(|state| state == segment_state::READY)
        && is_anybody_behind(fd, &layout).unwrap_or(false)
}

fn is_anybody_behind(fd: BorrowedFd<'_>, layout: &Layout) -> io::Result<bool> {
    let image = Image::take(fd, layout)?;
    let head = image.writer().head.load(Ordering::Relaxed);
    for (index, slot) in (0..).zip(image.slots()) {
        if is_active(slot)
            && slot.kind.load(Ordering::Relaxed) == slot_kind::BROADCAST
            && slot.cursor.load(Ordering::Relaxed) != head
            && (is_durable(slot) || lock::is_held(fd, slot_lock(index))?)
        {
            return Ok(true);
        }
    }
    Ok(false)
}
