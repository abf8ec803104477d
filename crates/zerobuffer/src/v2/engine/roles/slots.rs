//! What all roles need: slots found, locked, signed and laid down.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::fault::{self, Fault};
use crate::sync::Ordering;
use crate::sys::{lock, process};
use crate::v2::ground::segment::{Segment, io_error};
use crate::v2::protocol::layout::{
    Slot, SlotName, owner_state, slot_flags, slot_kind, slot_lock, slot_state,
};
use crate::v2::protocol::position::Position;
use crate::v2::rules::memory::ReadMemory;
use crate::v2::rules::registry;
use crate::values::error::OpenError;
use crate::values::name::Location;

/// Attempts to register a cursor before a running `floor` is called damage.
pub(super) const REGISTRATION_ATTEMPTS: u32 = 10_000;
/// How often to try for the lock of a role whose owner says it has left, and how long to wait between.
pub(super) const LOCK_ATTEMPTS: u32 = 50;
pub(super) const LOCK_INTERVAL: Duration = Duration::from_millis(1);

/// Turns a name for people into a slot's; `None` if it does not fit.
pub(crate) fn slot_name(name: &str) -> Option<SlotName> {
    let mut bytes = SlotName::default();
    let fits = !name.is_empty() && name.len() <= bytes.len() && !name.contains('\0');
    fits.then(|| {
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        bytes
    })
}

/// Lays down an active durable slot that waits for its first owner. Only before the segment has its name.
pub(crate) fn reserve_slot(segment: &Segment, index: u32, name: &SlotName) {
    let slot = &segment.slots()[index as usize];
    let start = segment.layout().start_position.0;
    slot.set_name(name);
    slot.cursor.store(start, Ordering::Relaxed);
    slot.read_position.store(start, Ordering::Relaxed);
    slot.flags.store(slot_flags::DURABLE, Ordering::Relaxed);
    registry::mark(segment, index);
    slot.state.store(slot_state::ACTIVE, Ordering::Release);
}

/// Takes the slot that keeps frames for the first reader, whatever its name, if none has come yet.
pub(super) fn take_reserved(
    segment: &Segment,
    fd: BorrowedFd<'_>,
    place: &Location,
) -> Result<Option<u32>, OpenError> {
    for (index, slot) in (0..).zip(segment.slots()) {
        if slot.state.load(Ordering::Acquire) == slot_state::ACTIVE
            && slot.kind.load(Ordering::Acquire) == slot_kind::BROADCAST
            && slot.owner_state.load(Ordering::Acquire) == owner_state::NEVER
            && lock::try_exclusive(fd, slot_lock(index)).map_err(io_error(place, "lock"))?
        {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// Takes the lock of a slot that is free, or whose ephemeral owner died.
pub(super) fn take_free(
    segment: &Segment,
    fd: BorrowedFd<'_>,
    place: &Location,
) -> Result<u32, OpenError> {
    for _ in 0..LOCK_ATTEMPTS {
        let mut lingering = false;
        for (index, slot) in (0..).zip(segment.slots()) {
            let state = slot.state.load(Ordering::Acquire);
            let durable = slot.flags.load(Ordering::Relaxed) & slot_flags::DURABLE != 0;
            if state == slot_state::ACTIVE && durable {
                continue;
            }
            if lock::try_exclusive(fd, slot_lock(index)).map_err(io_error(place, "lock"))? {
                registry::free(segment, index);
                return Ok(index);
            }
            lingering |= state == slot_state::FREE;
        }
        if !lingering {
            break;
        }
        std::thread::sleep(LOCK_INTERVAL);
    }
    Err(OpenError::NoReaderSlot {
        name: place.name.to_string(),
        slots: segment.layout().slot_count,
    })
}

/// Takes a role's lock. Waits a moment for one whose owner is not `attached` (any more): its mapping is just
/// going, or a child that another thread is spawning has a copy of its descriptor until its `exec`.
pub(in crate::v2::engine) fn take_lock(
    fd: BorrowedFd<'_>,
    byte: u64,
    place: &Location,
    attached: impl Fn() -> bool,
) -> Result<bool, OpenError> {
    for _ in 0..LOCK_ATTEMPTS {
        if lock::try_exclusive(fd, byte).map_err(io_error(place, "lock"))? {
            return Ok(true);
        }
        if attached() {
            break;
        }
        std::thread::sleep(LOCK_INTERVAL);
    }
    Ok(false)
}

pub(super) fn head_of(segment: &Segment) -> Position {
    Position(segment.writer().head.load(Ordering::Acquire))
}

/// Resets what a slot's last owner left.
pub(super) fn clear(slot: &Slot, kind: u32) {
    slot.kind.store(kind, Ordering::Relaxed);
    slot.wait_flag.store(0, Ordering::Relaxed);
    for word in [
        &slot.bytes_read,
        &slot.missed,
        &slot.parks,
        &slot.frames_read,
        &slot.exported,
        &slot.metadata_held[0],
        &slot.metadata_held[1],
    ] {
        word.store(0, Ordering::Relaxed);
    }
}

/// Writes the new owner's identity; the generation it now has.
pub(super) fn sign(segment: &Segment, index: u32, flags: u32) -> u64 {
    let slot = &segment.slots()[index as usize];
    let identity = process::identity();
    let generation = slot.generation.load(Ordering::Relaxed).wrapping_add(1);
    slot.metadata_held[0].store(0, Ordering::Relaxed);
    slot.metadata_held[1].store(0, Ordering::Relaxed);
    slot.pid.store(identity.pid, Ordering::Relaxed);
    slot.start_time.store(identity.start_time, Ordering::Relaxed);
    slot.pid_namespace.store(identity.pid_namespace, Ordering::Relaxed);
    slot.attached_ns.store(identity.now_ns, Ordering::Relaxed);
    fault::point(Fault::ReaderSigning);
    slot.flags.store(flags, Ordering::SeqCst);
    slot.generation.store(generation, Ordering::Release);
    slot.owner_state.store(owner_state::ATTACHED, Ordering::Release);
    fault::point(Fault::ReaderSigned);
    generation
}

pub(crate) fn damaged(place: &Location, problem: &str) -> OpenError {
    OpenError::Damaged { name: place.name.to_string(), problem: problem.to_owned() }
}
