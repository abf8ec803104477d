//! Creating a segment, or joining the one that is there.

use std::time::Duration;

use super::roles::{self};
use crate::sys::{process, time};
use crate::v2::ground::removal::{Retired, remove_if_unused};
use crate::v2::ground::segment::{Access, Permissions, Segment};
use crate::v2::protocol::layout::{Birth, Layout, Wish};
use crate::values::config::{BufferConfig, MAIN_READER};
use crate::values::error::OpenError;
use crate::values::name::Location;

/// The layout that a configuration asks for.
pub(crate) fn layout_for(place: &Location, config: &BufferConfig) -> Result<Layout, OpenError> {
    let wish = Wish {
        payload_bytes: config.payload_bytes as u64,
        metadata_bytes: config.metadata_bytes as u64,
        slot_count: config.reader_slots,
        group_count: config.work_groups,
        group_entries: config.group_window,
        timestamps: config.timestamps,
        sharing: config.payload_sharing,
        attributes: config.attributes,
        start_position: config.start_position,
        page_bytes: rustix::param::page_size() as u64,
    };
    let birth = Birth {
        segment_id: process::random_u64(),
        boot_id: process::boot_id(),
        created_ns: time::unix_ns(),
        creator_pid: process::id(),
    };
    Layout::build(&wish, birth)
        .map_err(|problem| OpenError::InvalidConfig { name: place.name.to_string(), problem })
}

/// Creates the segment, or joins the one that is there if it has the same configuration.
pub(crate) fn create_or_join<T>(
    place: &Location,
    config: &BufferConfig,
    access: Access,
    attach: impl Fn(&Segment, std::os::fd::BorrowedFd<'_>) -> Result<T, OpenError>,
) -> Result<(Segment, T), OpenError> {
    let layout = layout_for(place, config)?;
    check_mode(place, config.mode)?;
    let permissions = Permissions { mode: config.mode, group: config.group };
    // Somebody may create or remove between our two looks; that cannot go on for long.
    for _ in 0..100 {
        let joined = Segment::join(place, access, |segment, fd| {
            check_same(place, segment.layout(), &layout)?;
            attach(segment, fd)
        });
        match joined {
            Err(OpenError::NotFound { .. }) => {}
            // Nobody uses it, and nothing is unread in it: its last user could not remove it, or died.
            Err(OpenError::ConfigMismatch { .. }) if gives_way(place) => {}
            other => return other,
        }
        let created = Segment::create(place, &layout, permissions, access, |segment, fd| {
            if config.keep_for_main
                && let Some(name) = roles::slot_name(MAIN_READER)
            {
                roles::reserve_slot(segment, 0, &name);
            }
            attach(segment, fd)
        })?;
        if let Some(created) = created {
            return Ok(created);
        }
    }
    Err(OpenError::Damaged {
        name: place.name.to_string(),
        problem: "others keep creating and removing it".into(),
    })
}

/// How often, a millisecond apart, to look whether a buffer is really in use.
const LOOKS: u32 = 20;

/// Whether a buffer was removed that nobody uses. One that is in use may be so for a moment only: a child that another thread is
/// spawning has the descriptors of whoever has just looked, until its `exec`.
fn gives_way(place: &Location) -> bool {
    for look in 0..LOOKS {
        if look > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        match remove_if_unused(place, false) {
            Ok(Retired::InUse) => {}
            other => return matches!(other, Ok(Retired::Removed)),
        }
    }
    false
}

/// Refuses a mode that makes more of the file than a buffer, or less.
fn check_mode(place: &Location, mode: u32) -> Result<(), OpenError> {
    let problem = if mode & !0o777 != 0 {
        "has more than permission bits (set-uid, set-gid, sticky, or none of a mode); possible are 0600 to 0777"
    } else if mode & 0o600 != 0o600 {
        "does not let its owner read and write, and then nobody can join it; use 0600, 0660 or 0666"
    } else {
        return Ok(());
    };
    Err(OpenError::InvalidConfig {
        name: place.name.to_string(),
        problem: format!("mode {mode:#o} {problem}"),
    })
}

fn check_same(place: &Location, found: &Layout, wanted: &Layout) -> Result<(), OpenError> {
    for (what, found, wanted) in [
        ("payload_bytes", found.frames.capacity, wanted.frames.capacity),
        ("metadata_bytes", found.metadata_bytes, wanted.metadata_bytes),
        ("reader_slots", found.slot_count.into(), wanted.slot_count.into()),
        ("work_groups", found.group_count.into(), wanted.group_count.into()),
        ("group_window", found.group_entries.into(), wanted.group_entries.into()),
        ("timestamps", found.timestamps().into(), wanted.timestamps().into()),
        ("payload_sharing", found.sharing.into(), wanted.sharing.into()),
        ("attributes", found.frames.attributes.into(), wanted.frames.attributes.into()),
    ] {
        if found != wanted {
            return Err(OpenError::ConfigMismatch {
                name: place.name.to_string(),
                found: format!("{what} {found}"),
                expected: format!("{what} {wanted}"),
            });
        }
    }
    Ok(())
}
