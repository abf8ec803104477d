//! What waits in a segment, seen from outside: without mapping it, and whoever is attached.
//!
//! A frame waits for a durable reader that has not released it. A frame that was passed on by reference waits for the
//! readers of the target, which have not released the reference: durable ones, and such as are alive.

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd, BorrowedFd};

use super::segment::{SEGMENT_STATE_OFFSET, open, read_layout};
use crate::sys::{file, lock};
use crate::v2::protocol::layout::{
    Layout, REGISTRY_HEADER_BYTES, SLOT_BYTES, Slot, SlotName, WRITER_AREA_OFFSET, segment_state,
    slot_flags, slot_kind, slot_lock, slot_state,
};
use crate::v2::protocol::position::Position;
use crate::values::name::Place;

pub(crate) const SLOT_STATE: u64 = offset_of!(Slot, state) as u64;
pub(crate) const SLOT_OWNER: u64 = offset_of!(Slot, owner_state) as u64;
const SLOT_CURSOR: u64 = offset_of!(Slot, cursor) as u64;
const SLOT_EXPORTED: u64 = offset_of!(Slot, exported) as u64;
const SLOT_FLAGS: u64 = offset_of!(Slot, flags) as u64;
const SLOT_KIND: u64 = offset_of!(Slot, kind) as u64;
const SLOT_GROUP: u64 = offset_of!(Slot, group) as u64;
const SLOT_NAME: u64 = Slot::NAME_OFFSET;

/// Whether somebody will come for committed frames: a durable reader, or one behind a relay.
pub(crate) fn has_unread(place: &Place, fd: BorrowedFd<'_>, layout: &Layout) -> io::Result<bool> {
    let head = Position(read_u64(fd, WRITER_AREA_OFFSET as u64)?);
    // A dead Writer may have committed a frame and not published it.
    let unpublished = layout.payload_offset + (layout.frames.offset(head) & !7);
    let unpublished = read_u64(fd, unpublished)? != 0;
    for at in slots(layout) {
        if read_u32(fd, at + SLOT_STATE)? != slot_state::ACTIVE {
            continue;
        }
        let cursor = read_u64(fd, at + SLOT_CURSOR)?;
        let waits = if read_u32(fd, at + SLOT_KIND)? == slot_kind::EXPORT {
            cursor != read_u64(fd, at + SLOT_EXPORTED)? && is_export_awaited_at(place, fd, at)?
        } else {
            let is_durable = read_u32(fd, at + SLOT_FLAGS)? & slot_flags::DURABLE != 0;
            is_durable && (unpublished || cursor != head.0)
        };
        if waits {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_export_awaited_at(place: &Place, fd: BorrowedFd<'_>, at: u64) -> io::Result<bool> {
    let mut name = SlotName::default();
    file::read_at(fd, &mut name, at + SLOT_NAME)?;
    Ok(is_export_awaited(place, read_u64(fd, at + SLOT_GROUP)?, &name))
}

/// Whether anybody will come for what an export holds: a reader of the target that has that id, and whose name begins so.
pub(crate) fn is_export_awaited(origin: &Place, target_id: u64, name: &SlotName) -> bool {
    let beginning = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let Ok(entries) = std::fs::read_dir(&origin.dir) else { return false };
    entries.flatten().any(|entry| {
        let file_name = entry.file_name();
        let Some(name) = file_name.to_str().and_then(Place::buffer_of) else { return false };
        name.as_bytes().starts_with(beginning)
            && Place::new(name, Some(&origin.dir)).is_ok_and(|target| awaits(&target, target_id))
    })
}

/// Whether a buffer has that id, and a reader that is behind and durable, or alive.
fn awaits(target: &Place, id: u64) -> bool {
    let Ok(fd) = open(target, false) else { return false };
    let fd = fd.as_fd();
    let Ok(layout) = read_layout(target, fd, true) else { return false };
    layout.segment_id == id
        && read_state(fd).is_ok_and(|state| state == segment_state::READY)
        && is_anybody_behind(fd, &layout).unwrap_or(false)
}

fn is_anybody_behind(fd: BorrowedFd<'_>, layout: &Layout) -> io::Result<bool> {
    let head = read_u64(fd, WRITER_AREA_OFFSET as u64)?;
    for (index, at) in (0..).zip(slots(layout)) {
        let is_reader = read_u32(fd, at + SLOT_STATE)? == slot_state::ACTIVE
            && read_u32(fd, at + SLOT_KIND)? == slot_kind::BROADCAST;
        if is_reader
            && read_u64(fd, at + SLOT_CURSOR)? != head
            && (read_u32(fd, at + SLOT_FLAGS)? & slot_flags::DURABLE != 0
                || lock::is_held(fd, slot_lock(index))?)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where each slot lies in the file.
fn slots(layout: &Layout) -> impl Iterator<Item = u64> {
    let first = layout.registry_offset + REGISTRY_HEADER_BYTES;
    (0..u64::from(layout.slot_count)).map(move |index| first + index * u64::from(SLOT_BYTES))
}

pub(crate) fn read_state(fd: BorrowedFd<'_>) -> io::Result<u32> {
    read_u32(fd, SEGMENT_STATE_OFFSET)
}

pub(crate) fn read_u32(fd: BorrowedFd<'_>, offset: u64) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file::read_at(fd, &mut bytes, offset)?;
    Ok(u32::from_le_bytes(bytes))
}

fn read_u64(fd: BorrowedFd<'_>, offset: u64) -> io::Result<u64> {
    let mut bytes = [0; 8];
    file::read_at(fd, &mut bytes, offset)?;
    Ok(u64::from_le_bytes(bytes))
}
