//! Who is attached: taking a role, and telling who holds what. Registration touches locks; `registry` has the rules.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::writer::Producer;
use crate::fault::{self, Fault};
use crate::sync::Ordering;
use crate::sys::{barrier, lock, process};
use crate::v2::ground::segment::{Segment, io_error};
use crate::v2::ground::unread::is_export_awaited;
use crate::v2::placing::{Cached, Footprint};
use crate::v2::protocol::layout::{
    Slot, SlotName, WRITER_LOCK, WRITER_RELIES_ON_MEMBARRIER, owner_state, slot_flags, slot_kind,
    slot_lock, slot_state, writer_state,
};
use crate::v2::protocol::position::Position;
use crate::v2::rules::accounts::name_text;
use crate::v2::rules::group::{Membership, Owner};
use crate::v2::rules::memory::{Memory, ReadMemory};
use crate::v2::rules::registry;
use crate::v2::rules::ring::{Consumer, WIPED_OUT, number_of};
use crate::v2::rules::sharing;
use crate::v2::rules::wake::{self, Barrier};
use crate::values::config::StartAt;
use crate::values::error::{OpenError, Peer, Presence};
use crate::values::name::Place;

/// Attempts to register a cursor before a running `floor` is called damage.
const REGISTRATION_ATTEMPTS: u32 = 10_000;
/// How often to try for the lock of a role whose owner says it has left, and how long to wait between.
const LOCK_ATTEMPTS: u32 = 50;
const LOCK_INTERVAL: Duration = Duration::from_millis(1);

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

/// As much of a name for people as a slot's has room for.
fn beginning(name: &str) -> SlotName {
    let ends = name.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = ends.take_while(|end| *end <= SlotName::default().len()).last().unwrap_or(0);
    slot_name(&name[..end]).unwrap_or_default()
}

/// How often, a millisecond apart, to try to take part in an export that somebody looks at.
const EXPORT_ATTEMPTS: u32 = 50;

/// A Writer's role, taken.
#[derive(Debug)]
pub(crate) struct WriterRole {
    pub(crate) producer: Producer,
    pub(crate) barrier: Barrier,
}

/// Takes the Writer's role on the description `fd`, after whoever had it last.
pub(crate) fn attach_writer(
    segment: &Segment,
    fd: BorrowedFd<'_>,
    place: &Place,
    footprint: Footprint,
) -> Result<WriterRole, OpenError> {
    let area = segment.writer();
    let attached = || area.writer_state.load(Ordering::Acquire) == writer_state::ATTACHED;
    if !take_lock(fd, WRITER_LOCK, place, attached)? {
        return Err(OpenError::WriterConnected {
            name: place.name.to_string(),
            pid: area.writer_pid.load(Ordering::Relaxed),
        });
    }
    fault::point(Fault::WriterLocked);
    // A predecessor that died before it had moved `head` on told of its frame here.
    let newest = Position(area.newest.load(Ordering::Acquire));
    let producer = Producer::attach(segment, Cached::new(segment, footprint))
        .map_err(|problem| damaged(place, problem))?;
    let has_been_written = producer.next_sequence() != 1;
    if has_been_written && producer.head().is_at_or_before(newest) {
        return Err(damaged(place, WIPED_OUT));
    }
    fault::point(Fault::WriterFoundTail);
    let relies = barrier::register();
    let identity = process::identity();
    if area.writer_state.load(Ordering::Acquire) == writer_state::ATTACHED {
        let takeovers = area.takeovers.load(Ordering::Relaxed);
        area.takeovers.store(takeovers.wrapping_add(1), Ordering::Relaxed);
    }
    let generation = area.writer_generation.load(Ordering::Relaxed).wrapping_add(1);
    area.writer_pid.store(identity.pid, Ordering::Relaxed);
    area.writer_pid_namespace.store(identity.pid_namespace, Ordering::Relaxed);
    area.writer_start_time.store(identity.start_time, Ordering::Relaxed);
    area.writer_attached_ns.store(identity.now_ns, Ordering::Relaxed);
    let flags = if relies { WRITER_RELIES_ON_MEMBARRIER } else { 0 };
    area.writer_flags.store(flags, Ordering::SeqCst);
    area.writer_generation.store(generation, Ordering::Release);
    fault::point(Fault::WriterSigned);
    area.writer_state.store(writer_state::ATTACHED, Ordering::Release);
    fault::point(Fault::WriterAttached);
    wake::wake_every_reader(segment);
    let barrier = if relies { Barrier::LeftToSleeper } else { Barrier::Fence };
    Ok(WriterRole { producer, barrier })
}

/// Leaves the Writer's role gracefully; the lock goes with the mapping.
pub(crate) fn detach_writer(segment: &Segment) {
    segment.writer().writer_state.store(writer_state::CLOSED, Ordering::Release);
    fault::point(Fault::WriterClosed);
    wake::wake_readers(segment, Barrier::Fence);
}

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
    place: &Place,
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

/// Takes the slot that keeps frames for the first reader, whatever its name, if none has come yet.
fn take_reserved(
    segment: &Segment,
    fd: BorrowedFd<'_>,
    place: &Place,
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

/// Takes the lock of the active durable slot of that name, if there is one.
fn take_over(
    segment: &Segment,
    fd: BorrowedFd<'_>,
    place: &Place,
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

/// Takes the lock of a slot that is free, or whose ephemeral owner died.
fn take_free(segment: &Segment, fd: BorrowedFd<'_>, place: &Place) -> Result<u32, OpenError> {
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
pub(super) fn take_lock(
    fd: BorrowedFd<'_>,
    byte: u64,
    place: &Place,
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

/// Registers anew in a slot whose lock is ours.
fn register(
    segment: &Segment,
    place: &Place,
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

fn head_of(segment: &Segment) -> Position {
    Position(segment.writer().head.load(Ordering::Acquire))
}

/// Takes a slot as a lossy reader, which the Writer does not wait for; its number and generation.
pub(crate) fn attach_lossy(
    segment: &Segment,
    fd: BorrowedFd<'_>,
    place: &Place,
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
    place: &Place,
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
fn find_group(segment: &Segment, place: &Place, name: &SlotName) -> Result<Option<u32>, OpenError> {
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
fn found_group(segment: &Segment, place: &Place, wish: &MemberWish) -> Result<u32, OpenError> {
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

/// A member of a group that is alive.
fn live_member(segment: &Segment, anchor: u32) -> Option<u32> {
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

/// Makes, or takes over, the slot in an origin's registry by which the target of that id holds the origin's Writer back;
/// its number and generation. All who hold a lock on it together own it.
pub(crate) fn attach_export(
    segment: &Segment,
    fd: BorrowedFd<'_>,
    place: &Place,
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
    place: &Place,
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

/// Resets what a slot's last owner left.
fn clear(slot: &Slot, kind: u32) {
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
fn sign(segment: &Segment, index: u32, flags: u32) -> u64 {
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

pub(crate) fn damaged(place: &Place, problem: &str) -> OpenError {
    OpenError::Damaged { name: place.name.to_string(), problem: problem.to_owned() }
}
