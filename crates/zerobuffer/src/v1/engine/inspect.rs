//! Looking at 1.0 buffers from outside, without attaching, and removing what nobody uses.

use crate::v1::ground::segment::{self, Names, Role, announced};
use crate::v1::protocol::layout::{OiebCopy, Sizes};
use crate::values::config::{MAIN_READER, ReaderKind};
use crate::values::error::OpenError;
use crate::values::stats::ReaderInfo;

/// A buffer as it was a moment ago.
#[derive(Debug, Clone)]
pub(crate) struct V1Snapshot {
    pub(crate) header: OiebCopy,
    pub(crate) sizes: Sizes,
    pub(crate) file_bytes: u64,
    pub(crate) writer_alive: bool,
    pub(crate) reader_alive: bool,
    /// Units of the data semaphore, which is frames not yet taken; `None` where it is missing.
    pub(crate) data_units: Option<u32>,
    pub(crate) metadata: Option<Vec<u8>>,
    /// What contradicts itself, in words.
    pub(crate) problems: Vec<String>,
}

/// The reader of a buffer, as the control block describes it.
pub(crate) fn reader_info(header: &OiebCopy, sizes: Sizes, alive: bool, units: u32) -> ReaderInfo {
    let free = header.payload_free_bytes.min(sizes.payload_bytes);
    ReaderInfo {
        held_frames: 0,
        name: MAIN_READER.to_owned(),
        kind: ReaderKind::Every,
        missed: 0,
        pid: announced(header.reader_pid),
        durable: false,
        attached: header.reader_pid != 0,
        alive,
        position: header.payload_read_pos,
        read_position: header.payload_read_pos,
        read_sequence: header.payload_read_count,
        lag_frames: u64::from(units),
        lag_bytes: sizes.payload_bytes - free,
        generation: 1,
    }
}

/// Names of all 1.0 buffers on this host, sorted. Other files in the directory are passed over.
pub(crate) fn list() -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(segment::SHM_DIR)? {
        let Ok(name) = entry?.file_name().into_string() else {
            continue;
        };
        let Ok(checked) = Names::new(&name) else {
            continue;
        };
        if segment::open_checked(&checked, segment::Access::Read).is_ok() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Whether a buffer of that name has a live reader, without whom it is of no use.
pub(crate) fn is_live(name: &str) -> bool {
    let Ok(names) = Names::new(name) else { return false };
    let Ok((fd, header, _)) = segment::open_checked(&names, segment::Access::Read) else {
        return false;
    };
    let pid = header.reader_pid;
    pid != 0 && (segment::is_peer_alive(&fd, Role::Reader, pid) || names.is_kept_locked_for(&fd))
}

/// Looks at one buffer; changes nothing, and needs no more than read permission.
pub(crate) fn snapshot(name: &str) -> Result<V1Snapshot, OpenError> {
    let names = Names::new(name)?;
    let (fd, header, sizes) = segment::open_checked(&names, segment::Access::Read)?;
    let mut problems = Vec::new();
    if let Err(problem) = header.check_positions(sizes) {
        problems.push(problem.to_string());
    }
    let metadata = segment::read_metadata(&fd, sizes).unwrap_or_else(|problem| {
        problems.push(problem);
        None
    });
    let alive = |role, pid| pid != 0 && segment::is_peer_alive(&fd, role, pid);
    let [data_units, space_units] = names.semaphore_values();
    if data_units.is_none() || space_units.is_none() {
        problems.push("a semaphore is missing, or may not be opened".to_owned());
    }
    Ok(V1Snapshot {
        header,
        sizes,
        file_bytes: rustix::fs::fstat(&fd).map_or(0, |stat| stat.st_size as u64),
        writer_alive: alive(Role::Writer, header.writer_pid),
        reader_alive: alive(Role::Reader, header.reader_pid) || names.is_kept_locked_for(&fd),
        data_units,
        metadata,
        problems,
    })
}

/// Removes a buffer with its semaphores and lock files; refuses while an end of it lives, unless forced.
/// Returns what it was.
pub(crate) fn remove(name: &str, force: bool) -> Result<V1Snapshot, OpenError> {
    let found = snapshot(name)?;
    let users: Vec<String> = [
        ("reader", found.reader_alive, found.header.reader_pid),
        ("writer", found.writer_alive, found.header.writer_pid),
    ]
    .iter()
    .filter(|(_, alive, _)| *alive)
    .map(|(role, _, pid)| format!("its {role} (pid {pid})"))
    .collect();
    if !users.is_empty() && !force {
        return Err(OpenError::InUse { name: name.to_owned(), users: users.join(" and ") });
    }
    let names = Names::new(name)?;
    if !force
        && let Ok((fd, ..)) = segment::open_checked(&names, segment::Access::ReadWrite)
        && segment::is_open_elsewhere(&fd)
    {
        let users = "a process that has it open, perhaps in another container".to_owned();
        return Err(OpenError::InUse { name: name.to_owned(), users });
    }
    names.remove_all(force)?;
    Ok(found)
}
