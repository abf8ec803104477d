//! The roles of a work group's members, and the group's anchor.

use super::slots::{REGISTRATION_ATTEMPTS, clear, damaged, sign, take_free, take_reserved};
use crate::v2::engine::liveness::live_member;
use std::os::fd::BorrowedFd;

use crate::fault::{self, Fault};
use crate::sync::Ordering;
use crate::sys::{barrier, lock};
use crate::v2::ground::segment::Segment;
use crate::v2::protocol::layout::{
    Slot, SlotName, owner_state, slot_flags, slot_kind, slot_lock, slot_state,
};
use crate::v2::protocol::position::Position;
use crate::v2::rules::accounts::name_text;
use crate::v2::rules::group::Membership;
use crate::v2::rules::memory::{Memory, ReadMemory};
use crate::v2::rules::registry;
use crate::v2::rules::ring::number_of;
use crate::v2::rules::wake::{self, Barrier};
use crate::values::config::StartAt;
use crate::values::error::OpenError;
use crate::values::name::Location;

/// What a member asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemberWish {
    pub(crate) group: SlotName,
    /// Where the group begins, if this is its first member.
    pub(crate) start: StartAt,
    pub(crate) may_sleep: bool,
}

/// Takes a slot as a member of the group of that name, which the first one makes.
pub(crate) fn attach_member(
    segment: &Segment,
    fd: BorrowedFd<'_>,
    place: &Location,
    wish: &MemberWish,
) -> Result<(Membership, Barrier), OpenError> {
    if segment.layout().sharing {
        return Err(OpenError::InvalidConfig {
            name: place.name.to_string(),
            problem: "it takes part in payload sharing, and work groups cannot read such a buffer: create it without \
                      `payload_sharing`, or read every frame"
                .to_owned(),
        });
    }
    let _registration = segment.registration()?;
    let anchor = match find_group(segment, place, &wish.group)? {
        Some(anchor) => anchor,
        None => found_group(segment, place, wish)?,
    };
    let slots = segment.slots();
    let table = slots[anchor as usize].group.load(Ordering::Relaxed);
    let groups = segment.layout().group_count;
    let Some(table) = u32::try_from(table).ok().filter(|table| *table < groups) else {
        return Err(damaged(place, "a work group without a table"));
    };
    // The Writer is told once of each time that nobody is left in it.
    let revived = slots[anchor as usize].generation.load(Ordering::Relaxed).wrapping_add(1);
    slots[anchor as usize].generation.store(revived, Ordering::Release);
    let index = take_free(segment, fd, place)?;
    fault::point(Fault::ReaderTookFree);
    let relies = barrier::register();
    let mut flags = if wish.may_sleep { slot_flags::MAY_SLEEP } else { 0 };
    if relies {
        flags |= slot_flags::RELIES_ON_MEMBARRIER;
    }
    let slot = &slots[index as usize];
    slot.state.store(slot_state::JOINING, Ordering::Release);
    slot.set_name(&wish.group);
    clear(slot, slot_kind::MEMBER);
    slot.group.store(anchor.into(), Ordering::Relaxed);
    let generation = sign(segment, index, flags);
    slot.state.store(slot_state::ACTIVE, Ordering::Release);
    let barrier = if relies { Barrier::LeftToSleeper } else { Barrier::Fence };
    Ok((Membership { anchor, table, slot: index, generation }, barrier))
}

/// The anchor of the group of that name.
fn find_group(
    segment: &Segment,
    place: &Location,
    name: &SlotName,
) -> Result<Option<u32>, OpenError> {
    for (index, slot) in (0..).zip(segment.slots()) {
        let active = slot.state.load(Ordering::Acquire) == slot_state::ACTIVE;
        if !active || slot.name() != *name {
            continue;
        }
        match slot.kind.load(Ordering::Acquire) {
            slot_kind::GROUP => return Ok(Some(index)),
            slot_kind::BROADCAST
                if slot.owner_state.load(Ordering::Acquire) != owner_state::NEVER =>
            {
                return Err(OpenError::NameTaken {
                    name: place.name.to_string(),
                    reader: name_text(name),
                    by: "a reader that gets every frame",
                });
            }
            _ => {}
        }
    }
    Ok(None)
}

/// Makes the group: in the place that was kept for the first reader, with its frames, or in a free slot.
fn found_group(segment: &Segment, place: &Location, wish: &MemberWish) -> Result<u32, OpenError> {
    let slots = segment.slots();
    let is_group = |slot: &&Slot| {
        slot.state.load(Ordering::Acquire) == slot_state::ACTIVE
            && slot.kind.load(Ordering::Acquire) == slot_kind::GROUP
    };
    let in_use: Vec<u64> =
        slots.iter().filter(is_group).map(|slot| slot.group.load(Ordering::Relaxed)).collect();
    let groups = segment.layout().group_count;
    let table = (0..groups)
        .find(|table| !in_use.contains(&u64::from(*table)))
        .ok_or_else(|| OpenError::NoWorkGroup { name: place.name.to_string(), groups })?;
    segment.group(table).clear(segment.writer().sequence.load(Ordering::Acquire));
    // The lock only for as long as this takes: nobody owns a group.
    let (kept, index) = match take_reserved(segment, segment.probe(), place)? {
        Some(index) => (wish.start != StartAt::Newest, index),
        None => (false, take_free(segment, segment.probe(), place)?),
    };
    let slot = &slots[index as usize];
    slot.group.store(table.into(), Ordering::Relaxed);
    if kept {
        slot.set_name(&wish.group);
        slot.flags.store(slot_flags::DURABLE, Ordering::Relaxed);
        slot.kind.store(slot_kind::GROUP, Ordering::Release);
    } else {
        slot.state.store(slot_state::JOINING, Ordering::Release);
        slot.set_name(&wish.group);
        clear(slot, slot_kind::GROUP);
        slot.flags.store(slot_flags::DURABLE, Ordering::Relaxed);
        // Lower than it is, until it is known: see `group::Membership::is_in_window`.
        let newest = segment.writer().sequence.load(Ordering::Acquire);
        slot.read_sequence.store(newest.wrapping_sub(1 << 32), Ordering::Relaxed);
        let skipped = segment.writer().skipped_bytes.load(Ordering::Relaxed);
        slot.skipped_bytes.store(skipped, Ordering::Relaxed);
        let cursor = registry::activate(segment, index, wish.start, REGISTRATION_ATTEMPTS);
        wake::wake_writer_anyway(segment);
        cursor.ok_or_else(|| damaged(place, "its floor does not stand still"))?;
    }
    slot.owner_state.store(owner_state::ATTACHED, Ordering::Release);
    fault::point(Fault::GroupFounded);
    let first = number_of(segment, Position(slot.cursor.load(Ordering::Acquire)));
    slot.read_sequence.store(first.wrapping_sub(1), Ordering::Release);
    let _ = lock::release(segment.probe(), slot_lock(index));
    Ok(index)
}

/// Leaves a group gracefully. `for_good`: the group ends if nobody else is in it.
pub(crate) fn detach_member(segment: &Segment, member: &Membership, for_good: bool) {
    let slot = &segment.slots()[member.slot as usize];
    slot.owner_state.store(owner_state::LEFT, Ordering::Release);
    fault::point(Fault::ReaderLeft);
    registry::free(segment, member.slot);
    if for_good
        && let Ok(_registration) = segment.registration()
        && live_member(segment, member.anchor).is_none()
    {
        registry::free(segment, member.anchor);
    }
    wake::wake_waiting_writer(segment);
}
