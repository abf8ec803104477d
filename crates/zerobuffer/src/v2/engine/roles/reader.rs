//! The roles of readers: of those that get every frame, and of lossy ones.

use super::slots::{
    REGISTRATION_ATTEMPTS, clear, damaged, head_of, sign, take_free, take_lock, take_reserved,
};
use std::os::fd::BorrowedFd;

use crate::fault::{self, Fault};
use crate::sync::Ordering;
use crate::sys::barrier;
use crate::v2::ground::segment::Segment;
use crate::v2::protocol::layout::{
    SlotName, owner_state, slot_flags, slot_kind, slot_lock, slot_state,
};
use crate::v2::protocol::position::Position;
use crate::v2::rules::accounts::name_text;
use crate::v2::rules::memory::ReadMemory;
use crate::v2::rules::registry;
use crate::v2::rules::ring::Consumer;
use crate::v2::rules::wake::{self, Barrier};
use crate::values::config::StartAt;
use crate::values::error::OpenError;
use crate::values::name::Location;

/// What a reader asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReaderWish {
    /// Name of the durable slot; `None`: ephemeral.
    pub(crate) name: Option<SlotName>,
    pub(crate) start: StartAt,
    pub(crate) may_sleep: bool,
}

/// A reader's role, taken.
#[derive(Debug)]
pub(crate) struct ReaderRole {
    pub(crate) slot: u32,
    pub(crate) generation: u64,
    pub(crate) consumer: Consumer,
    pub(crate) barrier: Barrier,
    /// It is new: nobody had kept for it what was published up to here.
    pub(crate) new_at: Option<Position>,
}

/// Takes a reader slot on the description `fd`: the durable one of that name, or a free one.
pub(crate) fn attach_reader(
    segment: &Segment,
    fd: BorrowedFd<'_>,
    place: &Location,
    wish: &ReaderWish,
) -> Result<ReaderRole, OpenError> {
    let _registration = segment.registration()?;
    let relies = barrier::register();
    let barrier = if relies { Barrier::LeftToSleeper } else { Barrier::Fence };
    let mut flags = if wish.may_sleep { slot_flags::MAY_SLEEP } else { 0 };
    if relies {
        flags |= slot_flags::RELIES_ON_MEMBARRIER;
    }
    if let Some(name) = &wish.name {
        flags |= slot_flags::DURABLE;
        if let Some(slot) = take_over(segment, fd, place, name)? {
            fault::point(Fault::ReaderTookOver);
            match Consumer::attach(segment, slot) {
                Ok(consumer) => {
                    let generation = sign(segment, slot, flags);
                    wake::wake_writer_anyway(segment);
                    // One that died before it had received anything leaves a place that is new.
                    let new_at = consumer.has_received_nothing().then(|| head_of(segment));
                    return Ok(ReaderRole { slot, generation, consumer, barrier, new_at });
                }
                // Its lock is ours already, so it can be made anew in place.
                Err(_) => return register(segment, place, slot, wish, flags, barrier),
            }
        }
    }
    let slot = match take_reserved(segment, fd, place)? {
        Some(slot) => {
            fault::point(Fault::ReaderTookReserved);
            if wish.start != StartAt::Newest
                && let Ok(consumer) = Consumer::attach(segment, slot)
            {
                segment.slots()[slot as usize].set_name(&wish.name.unwrap_or_default());
                let generation = sign(segment, slot, flags);
                return Ok(ReaderRole { slot, generation, consumer, barrier, new_at: None });
            }
            slot
        }
        None => take_free(segment, fd, place)?,
    };
    fault::point(Fault::ReaderTookFree);
    register(segment, place, slot, wish, flags, barrier)
}

/// Takes the lock of the active durable slot of that name, if there is one.
fn take_over(
    segment: &Segment,
    fd: BorrowedFd<'_>,
    place: &Location,
    name: &SlotName,
) -> Result<Option<u32>, OpenError> {
    for (index, slot) in (0..).zip(segment.slots()) {
        let durable = slot.flags.load(Ordering::Relaxed) & slot_flags::DURABLE != 0;
        if slot.state.load(Ordering::Acquire) != slot_state::ACTIVE
            || !durable
            || slot.name() != *name
        {
            continue;
        }
        if slot.kind.load(Ordering::Acquire) == slot_kind::GROUP {
            return Err(OpenError::NameTaken {
                name: place.name.to_string(),
                reader: name_text(name),
                by: "a work group",
            });
        }
        let attached = || registry::is_attached(segment, index);
        if take_lock(fd, slot_lock(index), place, attached)? {
            return Ok(Some(index));
        }
        return Err(OpenError::ReaderConnected {
            name: place.name.to_string(),
            reader: name_text(name),
            pid: slot.pid.load(Ordering::Relaxed),
        });
    }
    Ok(None)
}

/// Registers anew in a slot whose lock is ours.
fn register(
    segment: &Segment,
    place: &Location,
    index: u32,
    wish: &ReaderWish,
    flags: u32,
    barrier: Barrier,
) -> Result<ReaderRole, OpenError> {
    let slot = &segment.slots()[index as usize];
    slot.state.store(slot_state::JOINING, Ordering::Release);
    fault::point(Fault::ReaderJoining);
    slot.set_name(&wish.name.unwrap_or_default());
    clear(slot, slot_kind::BROADCAST);
    // Nothing was received yet; `Consumer::attach` finds the first frame's number from the published one.
    let published = segment.writer().sequence.load(Ordering::Acquire);
    slot.read_sequence.store(published, Ordering::Relaxed);
    slot.skipped_bytes
        .store(segment.writer().skipped_bytes.load(Ordering::Relaxed), Ordering::Relaxed);
    let generation = sign(segment, index, flags);
    let cursor = registry::activate(segment, index, wish.start, REGISTRATION_ATTEMPTS);
    // The Writer may have found the ring full because of a cursor that was taken back.
    wake::wake_writer_anyway(segment);
    cursor.ok_or_else(|| damaged(place, "its floor does not stand still"))?;
    fault::point(Fault::ReaderActivated);
    let consumer = Consumer::attach(segment, index).map_err(|problem| {
        registry::free(segment, index);
        damaged(place, problem)
    })?;
    slot.read_sequence.store(consumer.next_sequence().wrapping_sub(1), Ordering::Relaxed);
    let new_at = Some(head_of(segment));
    Ok(ReaderRole { slot: index, generation, consumer, barrier, new_at })
}

/// Takes a slot as a lossy reader, which the Writer does not wait for; its number and generation.
pub(crate) fn attach_lossy(
    segment: &Segment,
    fd: BorrowedFd<'_>,
    place: &Location,
    may_sleep: bool,
) -> Result<(u32, u64), OpenError> {
    let _registration = segment.registration()?;
    let index = take_free(segment, fd, place)?;
    let slot = &segment.slots()[index as usize];
    slot.state.store(slot_state::JOINING, Ordering::Release);
    slot.set_name(&SlotName::default());
    clear(slot, slot_kind::LOSSY);
    let generation = sign(segment, index, if may_sleep { slot_flags::MAY_SLEEP } else { 0 });
    slot.state.store(slot_state::ACTIVE, Ordering::Release);
    Ok((index, generation))
}

/// Leaves a reader's role gracefully; the lock goes with the mapping.
pub(crate) fn detach_reader(segment: &Segment, index: u32, for_good: bool) {
    let slot = &segment.slots()[index as usize];
    slot.owner_state.store(owner_state::LEFT, Ordering::Release);
    fault::point(Fault::ReaderLeft);
    if for_good || slot.flags.load(Ordering::Relaxed) & slot_flags::DURABLE == 0 {
        registry::free(segment, index);
        fault::point(Fault::ReaderFreed);
    }
    wake::wake_waiting_writer(segment);
}
