//! Who is alive, by the locks that the kernel holds; and freeing the slots of those who are not.

use crate::sync::Ordering;
use crate::sys::lock;
use crate::v2::ground::segment::Segment;
use crate::v2::ground::unread::is_export_awaited;
use crate::v2::protocol::layout::{owner_state, slot_flags, slot_kind, slot_lock, slot_state};
use crate::v2::rules::group::Owner;
use crate::v2::rules::memory::ReadMemory;
use crate::v2::rules::registry;
use crate::values::error::{Peer, Presence};

/// A member of a group that is alive.
pub(super) fn live_member(segment: &Segment, anchor: u32) -> Option<u32> {
    (0..).zip(segment.slots()).find_map(|(index, slot)| {
        let is_member = slot.kind.load(Ordering::Relaxed) == slot_kind::MEMBER
            && slot.group.load(Ordering::Relaxed) == u64::from(anchor);
        (is_member && is_alive(segment, index)).then_some(index)
    })
}

/// Whether the holder of a group's frame lives.
pub(crate) fn is_owner_alive(segment: &Segment, owner: Owner) -> bool {
    segment.slots().get(owner.slot as usize).is_some_and(|slot| {
        owner.has_generation(slot.generation.load(Ordering::Acquire))
            && is_alive(segment, owner.slot)
    })
}

/// Whether somebody is there to release what holds the Writer back at a slot, or will come.
pub(crate) fn is_looked_after(segment: &Segment, index: u32) -> bool {
    let slot = &segment.slots()[index as usize];
    match slot.kind.load(Ordering::Relaxed) {
        slot_kind::GROUP => return live_member(segment, index).is_some(),
        slot_kind::EXPORT => return segment.is_lock_shared(slot_lock(index)),
        _ => {}
    }
    match slot.owner_state.load(Ordering::Acquire) {
        owner_state::NEVER => true,
        owner_state::ATTACHED => segment.is_lock_held(slot_lock(index)),
        _ => false,
    }
}

/// Frees the slots of ephemeral readers that died.
pub(crate) fn reap_dead_readers(segment: &Segment) {
    for (index, slot) in (0..).zip(segment.slots()) {
        let is_there = slot.state.load(Ordering::Acquire) == slot_state::ACTIVE
            && slot.kind.load(Ordering::Relaxed) == slot_kind::BROADCAST
            && slot.flags.load(Ordering::Relaxed) & slot_flags::DURABLE == 0;
        if is_there && !is_looked_after(segment, index) {
            reap(segment, index);
        }
    }
}

/// What became of an attempt to free a slot whose owner seems to have died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaped {
    Freed,
    /// It turned out to live.
    Lives,
    /// Those who owned it are gone, and somebody will come for what it holds.
    Awaited,
}

/// Frees the slot of an ephemeral reader that died, or of an export that nobody owns or will come for.
pub(crate) fn reap(segment: &Segment, index: u32) -> Reaped {
    let Ok(_registration) = segment.registration() else {
        return Reaped::Lives;
    };
    let (slot, byte) = (&segment.slots()[index as usize], slot_lock(index));
    if slot.kind.load(Ordering::Acquire) != slot_kind::EXPORT {
        if segment.is_lock_held(byte) {
            return Reaped::Lives;
        }
        registry::free(segment, index);
        return Reaped::Freed;
    }
    if segment.is_lock_shared(byte) {
        return Reaped::Lives;
    }
    let target = slot.group.load(Ordering::Relaxed);
    let is_awaited = || is_export_awaited(segment.place(), target, &slot.name());
    if is_awaited() {
        return Reaped::Awaited;
    }
    // Its owners do not register, so this must keep them out.
    if !lock::try_exclusive(segment.probe(), byte).unwrap_or(false) {
        return Reaped::Lives;
    }
    // Somebody may have come meanwhile.
    let reaped = if is_awaited() {
        Reaped::Awaited
    } else {
        registry::free(segment, index);
        Reaped::Freed
    };
    let _ = lock::release(segment.probe(), byte);
    reaped
}

/// Whether the owner of a slot is attached and alive.
pub(crate) fn is_alive(segment: &Segment, index: u32) -> bool {
    registry::is_attached(segment, index) && segment.is_lock_held(slot_lock(index))
}

/// How a slot's owner is named in messages.
pub(crate) fn peer(segment: &Segment, index: u32) -> Peer {
    let slot = &segment.slots()[index as usize];
    if slot.kind.load(Ordering::Relaxed) == slot_kind::EXPORT {
        let presence =
            if is_looked_after(segment, index) { Presence::Export } else { Presence::Died };
        return Peer { name: slot.name(), pid: slot.pid.load(Ordering::Relaxed), presence };
    }
    if slot.kind.load(Ordering::Relaxed) == slot_kind::GROUP {
        let member = live_member(segment, index);
        let pid = member.map_or(0, |i| segment.slots()[i as usize].pid.load(Ordering::Relaxed));
        let presence = if member.is_some() { Presence::Group } else { Presence::EmptyGroup };
        return Peer { name: slot.name(), pid, presence };
    }
    let presence = match slot.owner_state.load(Ordering::Relaxed) {
        owner_state::NEVER => Presence::Never,
        owner_state::ATTACHED if segment.is_lock_held(slot_lock(index)) => Presence::Attached,
        owner_state::ATTACHED => Presence::Died,
        _ => Presence::Left,
    };
    Peer { name: slot.name(), pid: slot.pid.load(Ordering::Relaxed), presence }
}
