//! The end of a segment: when its file is removed, and by whom.
//!
//! `docs/protocol/2.0.md` section 5 is the specification.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::file::{io_error, open, read_layout, segment_state_of, set_segment_state};
use super::unread::has_unread;
use crate::fault::{self, Fault};
use crate::field::{At, Value as _, field};
use crate::sys::file::{DirectoryId, Standing};
use crate::sys::{fields, file, lock, process};
use crate::v2::protocol::layout::{
    LIFE_LOCK, Layout, Oieb, RegistryHeader, Slot, owner_state, segment_state, slot_state,
    writer_state,
};
use crate::values::error::OpenError;
use crate::values::name::Location;

/// How often, a millisecond apart, to look whether a segment is really in use.
const RETIRE_ATTEMPTS: u32 = 50;

/// What became of an attempt to remove a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retired {
    /// The file is gone.
    Removed,
    /// Somebody is attached.
    InUse,
    /// Committed frames wait in it for a durable reader.
    HasUnread,
    /// The name stands for another file by now.
    NotThere,
}

/// As [`retire`], but believes only for a moment that it is in use when nobody is attached: somebody may just
/// be coming or going, or a child that another thread is spawning may still have the descriptors of an endpoint
/// that is gone, until its `exec`.
pub(super) fn retire_patiently(
    place: &Location,
    probe: BorrowedFd<'_>,
    layout: &Layout,
    even_unread: bool,
) -> io::Result<Retired> {
    let mut attempts = 0;
    loop {
        let retired = retire(place, probe, layout, even_unread)?;
        attempts += 1;
        if retired != Retired::InUse
            || attempts == RETIRE_ATTEMPTS
            || is_anybody_attached(probe, layout)
        {
            return Ok(retired);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether anybody says to be attached; when in doubt, yes.
fn is_anybody_attached(fd: BorrowedFd<'_>, layout: &Layout) -> bool {
    let writer = fields::load(fd, Layout::OIEB, field!(Oieb.writer.writer_state));
    let in_slot = |index, field| fields::load(fd, layout.slot(index), field).unwrap_or(u32::MAX);
    !matches!(writer, Ok(writer_state::NEVER | writer_state::CLOSED))
        || (0..layout.slot_count).any(|index| {
            let owner = || in_slot(index, field!(Slot.owner_state));
            in_slot(index, field!(Slot.state)) != slot_state::FREE
                && !matches!(owner(), owner_state::NEVER | owner_state::LEFT)
        })
}

/// Removes the segment if nobody is attached, and nothing waits in it (or `even_unread`).
fn retire(
    place: &Location,
    probe: BorrowedFd<'_>,
    layout: &Layout,
    even_unread: bool,
) -> io::Result<Retired> {
    if !lock::try_exclusive(probe, LIFE_LOCK)? {
        return Ok(Retired::InUse);
    }
    fault::point(Fault::RetireLocked);
    let result = (|| {
        if !file::is_named(probe, &place.path)? {
            return Ok(Retired::NotThere);
        }
        if !even_unread
            && segment_state_of(probe)? == segment_state::READY
            && has_unread(place, probe, layout)?
        {
            return Ok(Retired::HasUnread);
        }
        // The name first, for that can be refused; a mark on what keeps its name would make it useless to everybody.
        // Nobody is attached who would have to read the mark, and who comes compares the name.
        if let Err(error) = rustix::fs::unlink(&place.path) {
            if !even_unread {
                await_writer(probe)?;
            }
            return Err(error.into());
        }
        fault::point(Fault::RetireUnlinked);
        mark_retired(probe)?;
        fault::point(Fault::RetireMarked);
        Ok(Retired::Removed)
    })();
    let _ = lock::release(probe, LIFE_LOCK);
    result
}

/// Makes a segment that nobody uses, and that cannot be removed, as one that no Writer has come to yet: who reads it next
/// waits for one, instead of being told of the end of one that it never saw.
fn await_writer(probe: BorrowedFd<'_>) -> io::Result<()> {
    fields::store(probe, Layout::OIEB, field!(Oieb.writer.writer_state), writer_state::NEVER)
}

/// Takes the mark back from a segment that was marked as removed, by a program that could not remove it, and that this user
/// cannot remove either; unless somebody else is at it.
pub(super) fn revive(place: &Location) -> Result<(), OpenError> {
    let io = |operation| io_error(place, operation);
    let fd = open(place, true)?;
    let fd = fd.as_fd();
    // The lock goes with the description.
    let is_ours = lock::try_exclusive(fd, LIFE_LOCK).map_err(io("lock"))?
        && file::is_named(fd, &place.path).map_err(io("look up"))?
        && segment_state_of(fd).map_err(io("read"))? == segment_state::RETIRED;
    if is_ours {
        await_writer(fd).map_err(io("write to"))?;
        set_segment_state(fd, segment_state::READY).map_err(io("write to"))?;
    }
    Ok(())
}

/// Whether the segment was neither removed nor cut short, read from its file.
pub(crate) fn is_ready(probe: BorrowedFd<'_>) -> bool {
    segment_state_of(probe).is_ok_and(|state| state == segment_state::READY)
}

/// Whether somebody is attached to the segment that has the name.
pub(crate) fn is_live(place: &Location) -> bool {
    open(place, false)
        .is_ok_and(|fd| lock::is_shared_or_held(fd.as_fd(), LIFE_LOCK).unwrap_or(true))
}

/// Removes whatever has the name, if nobody is attached to it.
pub(crate) fn remove_if_unused(place: &Location, even_unread: bool) -> Result<Retired, OpenError> {
    let fd = open(place, true)?;
    let layout = read_layout(place, fd.as_fd(), true);
    let retired = match layout {
        Ok(layout) => retire_patiently(place, fd.as_fd(), &layout, even_unread),
        // Damaged: the lock still tells whether somebody uses it.
        Err(_) if even_unread => retire_damaged(place, fd.as_fd()),
        Err(error) => return Err(error),
    };
    retired.map_err(|error| removal_error(place, error))
}

/// Says what stands in the way of taking a name away.
fn removal_error(place: &Location, error: io::Error) -> OpenError {
    match file::obstacle(&place.path, &error) {
        Some(why) => OpenError::Io {
            name: place.name.to_string(),
            operation: format!("remove {} ({why})", place.path.display()),
            source: error,
        },
        None => io_error(place, "remove")(error),
    }
}

/// Whether the machine has certainly been started anew since anybody used the segment, which nobody does now.
///
/// A boot id alone says nothing: containers have some of their own. What is in memory is gone with the boot that it was
/// made in. Elsewhere the file must not have been touched in this boot. When in doubt, no: what is kept loses no frame.
pub(crate) fn is_from_before_reboot(fd: BorrowedFd<'_>, layout: &Layout) -> bool {
    let boot = process::boot_id();
    if layout.boot_id == boot || layout.boot_id == [0; 16] || boot == [0; 16] {
        return false;
    }
    let is_on_disk = file::is_in_memory(fd).is_ok_and(|in_memory| !in_memory);
    let is_used = || lock::is_shared_or_held(fd, LIFE_LOCK).unwrap_or(true);
    let is_older = || match (file::changed_at(fd), process::booted_at()) {
        (Ok(changed), Some(booted)) => changed.max(made_at(layout)) < booted,
        _ => false,
    };
    is_on_disk && is_older() && !is_used()
}

/// When its creator says that it was made.
fn made_at(layout: &Layout) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_nanos(layout.created_ns)).unwrap_or(UNIX_EPOCH)
}

pub(super) fn retire_damaged(place: &Location, fd: BorrowedFd<'_>) -> io::Result<Retired> {
    if !lock::try_exclusive(fd, LIFE_LOCK)? {
        return Ok(Retired::InUse);
    }
    if !file::is_named(fd, &place.path)? {
        return Ok(Retired::NotThere);
    }
    rustix::fs::unlink(&place.path)?;
    Ok(Retired::Removed)
}

/// Takes the name away from a segment that is in use, and tells those who use it.
pub(crate) fn remove_by_force(place: &Location) -> Result<(), OpenError> {
    let io = |operation| io_error(place, operation);
    let fd = open(place, true)?;
    if !file::is_named(fd.as_fd(), &place.path).map_err(io("look up"))? {
        return Err(OpenError::NotFound { name: place.name.to_string(), dir: place.dir.clone() });
    }
    // The name first, for that can be refused; those who use the segment are not to be told for nothing.
    rustix::fs::unlink(&place.path).map_err(|error| removal_error(place, error.into()))?;
    if file::size(fd.as_fd()).map_err(io("measure"))? >= Oieb::BYTES as u64 {
        mark_retired(fd.as_fd()).map_err(io("retire"))?;
    }
    if let Ok(layout) = read_layout(place, fd.as_fd(), true) {
        have_writer_look(fd.as_fd(), layout.registry()).map_err(io("retire"))?;
    }
    Ok(())
}

/// Marks a segment as one that is not to be used any more.
fn mark_retired(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_segment_state(fd, segment_state::RETIRED)
}

/// Has the Writer look around at its next commit, by the one word that it looks at each time: whoever seems to sleep is to be
/// woken, and who wakes others looks around.
fn have_writer_look(fd: BorrowedFd<'_>, registry: At<RegistryHeader>) -> io::Result<()> {
    fields::store(fd, registry, field!(RegistryHeader.sleepers), u64::MAX)
}

/// Where a segment's file is found, and how long it is.
#[derive(Debug, Clone)]
pub(crate) struct Whereabouts {
    path: PathBuf,
    dir: DirectoryId,
    bytes: u64,
    registry: At<RegistryHeader>,
}

impl Whereabouts {
    /// Of a segment that has its name in the directory which is there now.
    pub(super) fn of(place: &Location, layout: &Layout) -> Self {
        // Not relative to where this process may go.
        let path = std::path::absolute(&place.path).unwrap_or_else(|_| place.path.clone());
        let dir = DirectoryId::of(&place.dir);
        Self { path, dir, bytes: layout.segment_bytes, registry: layout.registry() }
    }

    /// How its file stands. One that lost its name without a mark (somebody's `rm` or `mv`, a cleaner) is marked, if
    /// `probe` is open for that: the others who use it need not find out for themselves.
    pub(crate) fn look(&self, probe: BorrowedFd<'_>) -> Standing {
        let standing = file::standing(probe, &self.path, self.dir, self.bytes);
        if standing == Standing::Nameless && is_ready(probe) {
            // Where that fails each finds out by itself.
            let _ = mark_retired(probe).and_then(|()| have_writer_look(probe, self.registry));
        }
        standing
    }
}
