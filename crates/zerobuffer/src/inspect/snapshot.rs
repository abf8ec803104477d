//! What a buffer is like at a moment.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sync::Ordering;
use crate::sys::lock;
use crate::v1;
use crate::v2::ground::file::{io_error, open, read_layout};
use crate::v2::ground::image::Image;
use crate::v2::ground::removal;
use crate::v2::protocol::layout::{
    LIFE_LOCK, Layout, WRITER_LOCK, WriterArea, segment_state, writer_state,
};
use crate::v2::protocol::position::Position;
use crate::v2::rules::accounts;
use crate::v2::rules::memory::ReadMemory as _;
use crate::values::config::{Protocol, ReaderKind};
use crate::values::error::OpenError;
use crate::values::name::Location;
use crate::values::printable::printable;
use crate::values::stats::ReaderInfo;

/// Whether a segment is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SegmentState {
    /// It can be joined.
    Ready,
    /// It was removed or replaced; who still uses it is told.
    Retired,
}

/// The writer's side of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriterInfo {
    /// Process id it announced, in its own PID namespace.
    pub pid: u32,
    /// It has attached and not closed; it may have died.
    pub attached: bool,
    /// It is attached, and the kernel says it lives.
    pub alive: bool,
    /// How many writers the buffer has had.
    pub generation: u64,
    /// When it attached.
    pub attached_at: SystemTime,
}

/// A buffer as it was a moment ago.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its protocol version, such as `2.0.0`.
    pub version: String,
    /// Random number of this incarnation.
    pub segment_id: u64,
    /// When it was created.
    pub created: SystemTime,
    /// Whether it can be joined.
    pub state: SegmentState,
    /// Whether anybody is attached at all.
    pub in_use: bool,
    /// Size of the file in bytes.
    pub file_bytes: u64,
    /// Size of the ring in bytes.
    pub payload_bytes: u64,
    /// Room for metadata in bytes.
    pub metadata_bytes: u64,
    /// Number of reader slots.
    pub reader_slots: u32,
    /// Whether frames carry the time of their commit.
    pub timestamps: bool,
    /// Permission bits of the file.
    pub mode: u32,
    /// Owner of the file.
    pub uid: u32,
    /// Group of the file.
    pub gid: u32,
    /// Ring position behind the newest frame.
    pub head_position: u64,
    /// Ring position below which bytes may have been overwritten.
    pub floor_position: u64,
    /// Number of the newest frame; 0 before the first.
    pub newest_sequence: u64,
    /// Payload bytes committed since creation.
    pub bytes_committed: u64,
    /// Ring bytes that the slowest reader has not released.
    pub fill_bytes: u64,
    /// Largest fill that a writer met. Skips count, but for the long ones by which an elastic writer goes back to the ring's start.
    pub high_water_bytes: u64,
    /// Frames dropped by full-policies.
    pub dropped_frames: u64,
    /// Times that a writer met a full ring.
    pub full_waits: u64,
    /// Times that a writer took over from one that had died.
    pub takeovers: u64,
    /// Sleeping readers that the present writer woke.
    pub wakes: u64,
    /// The newest writer; `None` before the first.
    pub writer: Option<WriterInfo>,
    /// The registered readers.
    pub readers: Vec<ReaderInfo>,
    /// Version of the metadata; 0 before the first.
    pub metadata_generation: u64,
    /// The metadata; `None` before the first, or with a problem: damaged, or replaced too fast.
    pub metadata: Option<Vec<u8>>,
    /// What does not fit together. Values are read one after the other, so a running buffer may be suspected
    /// wrongly for a moment.
    pub problems: Vec<String>,
}

/// Looks at one buffer; where both protocols have one of that name, at that of 2.0.
///
/// # Errors
/// [`OpenError::NotFound`], [`OpenError::Damaged`] when not even its layout can be made out, and others.
pub fn snapshot(name: &str, dir: &Path) -> Result<Snapshot, OpenError> {
    let place = Location::new(name, Some(dir))?;
    let fd = match open(&place, false) {
        Err(not_found @ OpenError::NotFound { .. })
            if dir == Path::new(v1::ground::segment::SHM_DIR) =>
        {
            return match snapshot_v1(name) {
                Err(OpenError::NotFound { .. }) => Err(not_found),
                other => other,
            };
        }
        other => other?,
    };
    let layout = read_layout(&place, fd.as_fd(), true)?;
    snapshot_v2(&place, fd.as_fd(), &layout).map_err(io_error(&place, "read"))
}

fn snapshot_v2(place: &Location, fd: BorrowedFd<'_>, layout: &Layout) -> io::Result<Snapshot> {
    let image = Image::take(fd, layout)?;
    let area = image.writer();
    let mut problems = suspicions(&image, layout);
    if removal::is_from_before_reboot(fd, layout) {
        problems.push("it was made before the last reboot; the next user will replace it".into());
    }
    let readers = readers(&image, layout, &mut problems);
    let readers = image.checked(readers)?;
    let facts = rustix::fs::fstat(fd)?;
    let metadata = image.metadata()?;
    let [major, minor, patch, _] = layout.version;
    Ok(Snapshot {
        name: place.name.to_string(),
        path: place.path.clone(),
        protocol: Protocol::V2,
        version: format!("{major}.{minor}.{patch}"),
        segment_id: layout.segment_id,
        created: since_1970(layout.created_ns),
        state: match area.segment_state.load(Ordering::Relaxed) {
            segment_state::READY => SegmentState::Ready,
            _ => SegmentState::Retired,
        },
        in_use: lock::is_shared_or_held(fd, LIFE_LOCK)?,
        file_bytes: layout.segment_bytes,
        payload_bytes: layout.frames.capacity,
        metadata_bytes: layout.metadata_bytes,
        reader_slots: layout.slot_count,
        timestamps: layout.timestamps(),
        mode: facts.st_mode & 0o7777,
        uid: facts.st_uid,
        gid: facts.st_gid,
        head_position: area.head.load(Ordering::Relaxed),
        floor_position: area.floor.load(Ordering::Relaxed),
        newest_sequence: area.sequence.load(Ordering::Relaxed),
        bytes_committed: area.bytes_committed.load(Ordering::Relaxed),
        fill_bytes: readers
            .iter()
            .filter(|reader| !matches!(reader.kind, ReaderKind::Lossy | ReaderKind::Member))
            .map(|reader| reader.lag_bytes)
            .max()
            .unwrap_or(0),
        high_water_bytes: area.high_water_bytes.load(Ordering::Relaxed),
        dropped_frames: area.dropped_frames.load(Ordering::Relaxed),
        full_waits: area.full_waits.load(Ordering::Relaxed),
        takeovers: area.takeovers.load(Ordering::Relaxed),
        wakes: area.wakes.load(Ordering::Relaxed),
        writer: writer(fd, area)?,
        readers,
        metadata_generation: metadata.generation,
        metadata: metadata.bytes.unwrap_or_else(|problem| {
            problems.push(problem);
            None
        }),
        problems,
    })
}

/// What the Writer's words contradict.
fn suspicions(image: &Image<'_>, layout: &Layout) -> Vec<String> {
    let head = Position(image.writer().head.load(Ordering::Relaxed));
    let floor = Position(image.writer().floor.load(Ordering::Relaxed));
    if head.since(floor) <= layout.frames.farthest() {
        return Vec::new();
    }
    vec![format!(
        "head {} and floor {} are further apart than two laps of the ring",
        head.0, floor.0
    )]
}

fn writer(fd: BorrowedFd<'_>, area: &WriterArea) -> io::Result<Option<WriterInfo>> {
    let state = area.writer_state.load(Ordering::Relaxed);
    if state == writer_state::NEVER {
        return Ok(None);
    }
    let attached = state == writer_state::ATTACHED;
    Ok(Some(WriterInfo {
        pid: area.writer_pid.load(Ordering::Relaxed),
        attached,
        alive: attached && lock::is_held(fd, WRITER_LOCK)?,
        generation: area.writer_generation.load(Ordering::Relaxed),
        attached_at: since_1970(area.writer_attached_ns.load(Ordering::Relaxed)),
    }))
}

/// The registered readers; those whose cursor cannot be right are problems.
fn readers(image: &Image<'_>, layout: &Layout, problems: &mut Vec<String>) -> Vec<ReaderInfo> {
    let floor = Position(image.writer().floor.load(Ordering::Relaxed));
    let mut readers = Vec::new();
    for index in 0..layout.slot_count {
        let is_alive = |kind| image.is_alive(kind, index);
        let Some(reader) = accounts::reader_info(image, index, is_alive) else { continue };
        let holds_back = matches!(reader.kind, ReaderKind::Every | ReaderKind::Group);
        if holds_back && Position(reader.position).since(floor) > layout.frames.farthest() {
            problems.push(format!(
                "the cursor {} of reader `{}` lies outside the ring",
                reader.position,
                printable(&reader.name)
            ));
        }
        readers.push(reader);
    }
    readers
}

fn since_1970(ns: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(ns)
}

/// Looks at one buffer of protocol 1.0.
pub(super) fn snapshot_v1(name: &str) -> Result<Snapshot, OpenError> {
    let seen = v1::engine::inspect::snapshot(name)?;
    let path = Path::new(v1::ground::segment::SHM_DIR).join(name);
    let facts = fs::metadata(&path).ok();
    let (header, sizes) = (&seen.header, seen.sizes);
    let [major, minor, patch, _] = header.version;
    let units = seen.data_units.unwrap_or(0);
    let reader = v1::engine::inspect::reader_info(header, sizes, seen.reader_alive, units);
    let writer = WriterInfo {
        pid: v1::ground::segment::announced(header.writer_pid),
        attached: header.writer_pid != 0,
        alive: seen.writer_alive,
        generation: 1,
        attached_at: UNIX_EPOCH,
    };
    let had_writer = header.writer_pid != 0 || header.payload_written_count > 0;
    let created = facts.as_ref().and_then(|facts| facts.created().or(facts.modified()).ok());
    Ok(Snapshot {
        name: name.to_owned(),
        protocol: Protocol::V1,
        version: format!("{major}.{minor}.{patch}"),
        segment_id: 0,
        created: created.unwrap_or(UNIX_EPOCH),
        state: SegmentState::Ready,
        in_use: seen.reader_alive || seen.writer_alive,
        file_bytes: seen.file_bytes,
        payload_bytes: sizes.payload_bytes,
        metadata_bytes: sizes.metadata_capacity(),
        reader_slots: 1,
        timestamps: false,
        mode: facts.as_ref().map_or(0, |facts| facts.mode() & 0o7777),
        uid: facts.as_ref().map_or(0, |facts| facts.uid()),
        gid: facts.as_ref().map_or(0, |facts| facts.gid()),
        head_position: header.payload_write_pos,
        floor_position: header.payload_read_pos,
        newest_sequence: header.payload_written_count,
        bytes_committed: 0,
        fill_bytes: reader.lag_bytes,
        high_water_bytes: 0,
        dropped_frames: 0,
        full_waits: 0,
        takeovers: 0,
        wakes: 0,
        writer: had_writer.then_some(writer),
        readers: vec![reader],
        metadata_generation: u64::from(header.metadata_written_bytes > 0),
        metadata: seen.metadata,
        problems: seen.problems,
        path,
    })
}
