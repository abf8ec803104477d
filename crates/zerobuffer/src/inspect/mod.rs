//! Looking at buffers from outside: without joining, without mapping, also when everyone who uses them hangs,
//! died, or left them damaged.
//!
//! Files are read with plain reads, so nothing in them can harm the one who looks; values were stored by other
//! programs while we looked and may not fit together.
//!
//! ```
//! use zerobuffer::{BufferConfig, Writer, inspect};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let name = format!("doc-inspect-{}", std::process::id());
//! let mut writer = Writer::create(&name, &BufferConfig::new())?;
//! writer.write(b"hello")?;
//! let dir = zerobuffer::default_dir();
//! let seen = inspect::snapshot(&name, &dir)?;
//! assert_eq!(seen.newest_sequence, 1);
//! assert!(seen.writer.unwrap().alive);
//! # writer.discard_undelivered();
//! # Ok(()) }
//! ```

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sys::{file, lock};
use crate::v1;
use crate::v2::engine::forget;
use crate::v2::engine::members::{self, name_text};
use crate::v2::ground::removal::{self, Retired};
use crate::v2::ground::segment::{self, io_error};
use crate::v2::protocol::layout::{
    GROUP_HEADER_BYTES, LIFE_LOCK, Layout, METADATA_HEAD, OIEB_BYTES, REGISTRY_HEADER_BYTES,
    SLOT_BYTES, SlotName, WRITER_LOCK, owner_state, segment_state, slot_flags, slot_lock,
    slot_state, writer_state,
};
use crate::v2::protocol::position::Position;
use crate::v2::rules::group;
use crate::v2::rules::registry::{Lag, Mark};
use crate::v2::rules::ring;
pub use crate::values::config::{Protocol, ReaderKind};
use crate::values::error::OpenError;
use crate::values::name::Place;
use crate::values::printable::printable;
use crate::values::stats::ReaderInfo;

/// A buffer found in a directory.
#[derive(Debug)]
#[non_exhaustive]
pub struct Listing {
    /// Its name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// Size of its file in bytes.
    pub file_bytes: u64,
    /// Its protocol.
    pub protocol: Protocol,
    /// What it holds; an error for one that is damaged or may not be read.
    pub snapshot: Result<Snapshot, OpenError>,
}

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

/// Offset of `metadata_generation`.
const METADATA_GENERATION: u64 = 0x380;
/// How often to read metadata that is being replaced.
const METADATA_ATTEMPTS: u32 = 100;

/// Words of a part of the file, read at once.
struct Words(Vec<u8>);

impl Words {
    fn read(fd: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<Self> {
        let mut bytes = vec![0; len];
        file::read_at(fd, &mut bytes, offset)?;
        Ok(Self(bytes))
    }

    fn u32(&self, offset: usize) -> u32 {
        let mut word = [0; 4];
        word.copy_from_slice(&self.0[offset..offset + 4]);
        u32::from_le_bytes(word)
    }

    fn u64(&self, offset: usize) -> u64 {
        u64::from(self.u32(offset)) | u64::from(self.u32(offset + 4)) << 32
    }
}

/// The buffers in a directory, by name. What is not a buffer is passed over.
///
/// # Errors
/// When the directory cannot be read.
pub fn list(dir: &Path) -> io::Result<Vec<Listing>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let Some(name) = file_name.to_str().and_then(Place::buffer_of) else {
            continue;
        };
        found.push(Listing {
            name: name.to_owned(),
            path: entry.path(),
            file_bytes: entry.metadata().map_or(0, |facts| facts.len()),
            protocol: Protocol::V2,
            snapshot: snapshot(name, dir),
        });
    }
    if dir == Path::new(v1::ground::segment::SHM_DIR) {
        for name in v1::engine::inspect::list()? {
            let path = dir.join(&name);
            let file_bytes = fs::metadata(&path).map_or(0, |facts| facts.len());
            let snapshot = look_at_v1(&name);
            found.push(Listing { name, path, file_bytes, protocol: Protocol::V1, snapshot });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Looks at one buffer; where both protocols have one of that name, at that of 2.0.
///
/// # Errors
/// [`OpenError::NotFound`], [`OpenError::Damaged`] when not even its layout can be made out, and others.
pub fn snapshot(name: &str, dir: &Path) -> Result<Snapshot, OpenError> {
    let place = Place::new(name, Some(dir))?;
    let fd = match segment::open(&place, false) {
        Err(not_found @ OpenError::NotFound { .. })
            if dir == Path::new(v1::ground::segment::SHM_DIR) =>
        {
            return match look_at_v1(name) {
                Err(OpenError::NotFound { .. }) => Err(not_found),
                other => other,
            };
        }
        other => other?,
    };
    let layout = segment::read_layout(&place, fd.as_fd(), true)?;
    let read = || -> io::Result<Snapshot> {
        let oieb = Words::read(fd.as_fd(), 0, OIEB_BYTES)?;
        let slots = layout.slot_count as usize * SLOT_BYTES as usize;
        let registry =
            Words::read(fd.as_fd(), layout.registry_offset + REGISTRY_HEADER_BYTES, slots)?;
        look(&place, &fd, &layout, &oieb, &registry)
    };
    read().map_err(io_error(&place, "read"))
}

fn look_at_v1(name: &str) -> Result<Snapshot, OpenError> {
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

fn look(
    place: &Place,
    fd: &OwnedFd,
    layout: &Layout,
    oieb: &Words,
    registry: &Words,
) -> io::Result<Snapshot> {
    let head = Position(oieb.u64(0x100));
    let floor = Position(oieb.u64(0x200));
    let mut problems = Vec::new();
    if head.since(floor) > layout.frames.farthest() {
        problems.push(format!(
            "head {} and floor {} are further apart than two laps of the ring",
            head.0, floor.0
        ));
    }
    if removal::is_from_before_reboot(fd.as_fd(), layout) {
        problems.push("it was made before the last reboot; the next user will replace it".into());
    }
    let readers = readers(fd.as_fd(), layout, oieb, registry, &mut problems)?;
    let facts = rustix::fs::fstat(fd)?;
    let (metadata_generation, metadata) = metadata(fd.as_fd(), layout, &mut problems)?;
    let version = layout.version;
    Ok(Snapshot {
        name: place.name.to_string(),
        path: place.path.clone(),
        protocol: Protocol::V2,
        version: format!("{}.{}.{}", version[0], version[1], version[2]),
        segment_id: layout.segment_id,
        created: since_1970(layout.created_ns),
        state: match oieb.u32(0x400) {
            segment_state::READY => SegmentState::Ready,
            _ => SegmentState::Retired,
        },
        in_use: lock::is_shared_or_held(fd.as_fd(), LIFE_LOCK)?,
        file_bytes: layout.segment_bytes,
        payload_bytes: layout.frames.capacity,
        metadata_bytes: layout.metadata_bytes,
        reader_slots: layout.slot_count,
        timestamps: layout.timestamps(),
        mode: facts.st_mode & 0o7777,
        uid: facts.st_uid,
        gid: facts.st_gid,
        head_position: head.0,
        floor_position: floor.0,
        newest_sequence: oieb.u64(0x108),
        bytes_committed: oieb.u64(0x118),
        fill_bytes: readers
            .iter()
            .filter(|reader| !matches!(reader.kind, ReaderKind::Lossy | ReaderKind::Member))
            .map(|reader| reader.lag_bytes)
            .max()
            .unwrap_or(0),
        high_water_bytes: oieb.u64(0x318),
        dropped_frames: oieb.u64(0x300),
        full_waits: oieb.u64(0x308),
        takeovers: oieb.u64(0x310),
        wakes: oieb.u64(0x320),
        writer: writer(fd.as_fd(), oieb)?,
        readers,
        metadata_generation,
        metadata,
        problems,
    })
}

fn writer(fd: BorrowedFd<'_>, oieb: &Words) -> io::Result<Option<WriterInfo>> {
    let state = oieb.u32(0x280);
    if state == writer_state::NEVER {
        return Ok(None);
    }
    let attached = state == writer_state::ATTACHED;
    Ok(Some(WriterInfo {
        pid: oieb.u32(0x290),
        attached,
        alive: attached && lock::is_held(fd, WRITER_LOCK)?,
        generation: oieb.u64(0x288),
        attached_at: since_1970(oieb.u64(0x2a8)),
    }))
}

fn readers(
    fd: BorrowedFd<'_>,
    layout: &Layout,
    oieb: &Words,
    registry: &Words,
    problems: &mut Vec<String>,
) -> io::Result<Vec<ReaderInfo>> {
    let floor = Position(oieb.u64(0x200));
    let newest = Mark {
        sequence: oieb.u64(0x108),
        skipped_bytes: oieb.u64(0x328),
        position: Position(oieb.u64(0x100)),
    };
    let mut readers = Vec::new();
    for index in 0..layout.slot_count {
        let at = |offset: usize| index as usize * SLOT_BYTES as usize + offset;
        if registry.u32(at(0x80)) != slot_state::ACTIVE {
            continue;
        }
        let mut name = SlotName::default();
        name.copy_from_slice(&registry.0[at(0xc0)..at(0xe0)]);
        let name = name_text(&name);
        let cursor = Position(registry.u64(at(0)));
        let kind = members::kind(registry.u32(at(0x84)));
        let holds_back = matches!(kind, ReaderKind::Every | ReaderKind::Group);
        if holds_back && cursor.since(floor) > layout.frames.farthest() {
            problems.push(format!(
                "the cursor {} of reader `{}` lies outside the ring",
                cursor.0,
                printable(&name)
            ));
        }
        let attached = registry.u32(at(0x9c)) == owner_state::ATTACHED;
        let reader = Mark {
            sequence: registry.u64(at(0x10)),
            skipped_bytes: registry.u64(at(0x20)),
            position: cursor,
        };
        let lag = match kind {
            ReaderKind::Export => Lag::of_export(cursor, Position(registry.u64(at(0x58)))),
            _ => Lag::between(&newest, &reader),
        };
        readers.push(ReaderInfo {
            name,
            kind,
            missed: registry.u64(at(0x38)),
            pid: registry.u32(at(0x98)),
            durable: registry.u32(at(0x8c)) & slot_flags::DURABLE != 0,
            attached,
            alive: attached && is_held(fd, kind, index)?,
            position: cursor.0,
            read_position: registry.u64(at(0x08)),
            read_sequence: reader.sequence,
            lag_frames: lag.frames,
            lag_bytes: lag.bytes,
            held_frames: held_frames(fd, layout, registry, index)?,
            generation: registry.u64(at(0x90)),
        });
    }
    Ok(readers)
}

/// Whether the kernel says that the owner of a slot lives; an export has several, who share it.
fn is_held(fd: BorrowedFd<'_>, kind: ReaderKind, index: u32) -> io::Result<bool> {
    match kind {
        ReaderKind::Export => lock::is_shared_or_held(fd, slot_lock(index)),
        _ => lock::is_held(fd, slot_lock(index)),
    }
}

/// Frames that the reader in a slot was handed and has not released.
fn held_frames(
    fd: BorrowedFd<'_>,
    layout: &Layout,
    registry: &Words,
    index: u32,
) -> io::Result<u64> {
    let at = |slot: u32, offset: usize| slot as usize * SLOT_BYTES as usize + offset;
    let entries = |table: u64| {
        let table = u32::try_from(table).ok().filter(|table| *table < layout.group_count);
        let Some(table) = table else { return Ok(Vec::new()) };
        let first = layout.group_offset(table) + GROUP_HEADER_BYTES;
        let words = Words::read(fd, first, 8 * layout.group_entries as usize)?;
        io::Result::Ok(
            (0..layout.group_entries as usize).map(|entry| words.u64(8 * entry)).collect(),
        )
    };
    Ok(match members::kind(registry.u32(at(index, 0x84))) {
        ReaderKind::Every => {
            let (cursor, next) = (registry.u64(at(index, 0)), registry.u64(at(index, 0x08)));
            if cursor == next {
                return Ok(0);
            }
            let offset = layout.frames.offset(Position(cursor)) & !7;
            let word = Words::read(fd, layout.payload_offset + offset, 8)?.u64(0);
            ring::held_frames(word, registry.u64(at(index, 0x10)), &layout.frames)
        }
        ReaderKind::Group => {
            group::held_frames(entries(registry.u64(at(index, 0xb8)))?.into_iter(), None)
        }
        ReaderKind::Member => {
            let anchor = registry.u64(at(index, 0xb8));
            let anchor = u32::try_from(anchor).ok().filter(|anchor| *anchor < layout.slot_count);
            let Some(anchor) = anchor else { return Ok(0) };
            let entries = entries(registry.u64(at(anchor, 0xb8)))?.into_iter();
            group::held_frames(entries, Some((index, registry.u64(at(index, 0x90)))))
        }
        _ => 0,
    })
}

/// The newest version's number, and its bytes, as they were together at one moment.
fn metadata(
    fd: BorrowedFd<'_>,
    layout: &Layout,
    problems: &mut Vec<String>,
) -> io::Result<(u64, Option<Vec<u8>>)> {
    let newest = || Words::read(fd, METADATA_GENERATION, 8).map(|words| words.u64(0));
    let mut generation = newest()?;
    for _ in 0..METADATA_ATTEMPTS {
        if generation == 0 || layout.metadata_bytes == 0 {
            return Ok((generation, None));
        }
        let copy = layout.metadata_copy(generation);
        let len = Words::read(fd, copy, METADATA_HEAD as usize)?.u64(0);
        if len > layout.metadata_bytes {
            problems
                .push(format!("metadata of {len} bytes in a block of {}", layout.metadata_bytes));
            return Ok((generation, None));
        }
        let bytes = Words::read(fd, copy + METADATA_HEAD, len as usize)?.0;
        // Once another version is there, the one behind that may be on its way to the bytes just read.
        let seen = std::mem::replace(&mut generation, newest()?);
        if seen == generation {
            return Ok((generation, Some(bytes)));
        }
    }
    problems.push("its metadata is replaced faster than it can be read".into());
    Ok((generation, None))
}

fn since_1970(ns: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(ns)
}

/// What a removal threw away.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// Size of the file in bytes.
    pub file_bytes: u64,
    /// Committed frames that the slowest durable reader had not received.
    pub undelivered_frames: u64,
    /// Whether somebody was attached, and has been told.
    pub was_in_use: bool,
}

/// Removes a buffer, damaged ones too. One that is in use only by `force`: those who use it are told, and go on
/// with memory that nobody else will see.
///
/// # Errors
/// [`OpenError::InUse`] without `force` while somebody is attached; [`OpenError::NotFound`] and others.
pub fn remove(name: &str, dir: &Path, force: bool) -> Result<Removed, OpenError> {
    let place = Place::new(name, Some(dir))?;
    let seen = snapshot(name, dir).ok();
    if let Some(seen) = &seen
        && seen.protocol == Protocol::V1
    {
        let undelivered_frames = seen.readers.iter().map(|reader| reader.lag_frames).sum();
        let removed = v1::engine::inspect::remove(name, force)?;
        let was_in_use = removed.reader_alive || removed.writer_alive;
        return Ok(Removed { file_bytes: removed.file_bytes, undelivered_frames, was_in_use });
    }
    let file_bytes = fs::metadata(&place.path).map_or(0, |facts| facts.len());
    let undelivered_frames = seen.as_ref().map_or(0, |seen| {
        let durable = seen.readers.iter().filter(|reader| reader.durable);
        durable.map(|reader| reader.lag_frames).max().unwrap_or(0)
    });
    let removed = |was_in_use| Removed { file_bytes, undelivered_frames, was_in_use };
    match removal::remove_if_unused(&place, true)? {
        Retired::InUse if force => removal::remove_by_force(&place).map(|()| removed(true)),
        Retired::InUse => {
            let users = seen.map_or_else(|| "somebody".to_owned(), |seen| users(&seen));
            Err(OpenError::InUse { name: name.to_owned(), users })
        }
        Retired::NotThere => {
            Err(OpenError::NotFound { name: name.to_owned(), dir: dir.to_path_buf() })
        }
        Retired::Removed | Retired::HasUnread => Ok(removed(false)),
    }
}

/// What was lost with a place that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forgotten {
    /// Whose place it was: a durable reader's, a work group's, or that of readers behind a relay.
    pub kind: ReaderKind,
    /// Committed frames that nobody had released there, which the next one by that name would have got. 0 for those
    /// behind a relay, which are not counted.
    pub frames: u64,
    /// Ring bytes of those.
    pub bytes: u64,
}

/// Gives up the place of a durable reader that does not come back: what was kept for it is lost, and a writer that it
/// held back goes on, also one that is waiting at this moment. Who comes by that name later is new.
///
/// `reader` may also be a work group that has no member; `"main"`, for whom frames are kept before any reader has come;
/// or a buffer to which frames were forwarded by reference, if nobody has them any more who is alive. A name that is a
/// reader's or a group's stands for that. Ephemeral and lossy readers leave no place behind.
///
/// If nobody else uses the buffer, and nothing else is kept in it, it is removed.
///
/// # Errors
/// [`OpenError::ReaderAlive`] while the owner of the place lives, were it stopped: it may be reading there.
/// [`OpenError::NoSuchReader`], [`OpenError::NotFound`], [`OpenError::OtherProtocol`] for a buffer of protocol 1.0, which
/// is its one reader's (see [`remove`]), and others.
///
/// # Examples
/// ```
/// use zerobuffer::{BufferConfig, Reader, Writer, inspect};
/// # fn main() -> zerobuffer::Result<()> {
/// # let name = &format!("doc-forget-{}", std::process::id());
/// # /*
/// let name = "camera";
/// # */
/// let mut writer = Writer::create(name, &BufferConfig::new())?;
/// drop(Reader::options().name("recorder").join(name)?); // will not come back
/// writer.write(b"kept for it")?;
/// assert_eq!(inspect::forget(name, "recorder", &zerobuffer::default_dir())?.frames, 1);
/// assert!(writer.readers().is_empty());
/// # Ok(()) }
/// ```
pub fn forget(name: &str, reader: &str, dir: &Path) -> Result<Forgotten, OpenError> {
    let place = Place::new(name, Some(dir))?;
    if let Err(OpenError::NotFound { .. }) = segment::open(&place, false)
        && dir == Path::new(v1::ground::segment::SHM_DIR)
        && v1::engine::inspect::snapshot(name).is_ok()
    {
        let advice = "it is its one reader's, and ends with it: remove it, if that is gone";
        return Err(OpenError::OtherProtocol { name: name.to_owned(), found: "1.0", advice });
    }
    let slot = members::slot_name(reader).ok_or_else(|| OpenError::NoSuchReader {
        name: name.to_owned(),
        reader: reader.to_owned(),
        kept: "names of 1 to 32 bytes".to_owned(),
    })?;
    let (segment, ()) = segment::Segment::join(&place, segment::Access::Reader, |_, _| Ok(()))?;
    let loss = forget::forget(&segment, &slot)?;
    Ok(Forgotten { kind: loss.kind, frames: loss.frames, bytes: loss.bytes })
}

fn users(seen: &Snapshot) -> String {
    let writer =
        seen.writer.iter().filter(|w| w.alive).map(|w| format!("its writer (pid {})", w.pid));
    let readers = seen
        .readers
        .iter()
        .filter(|r| r.alive)
        .map(|r| format!("reader `{}` (pid {})", printable(&r.name), r.pid));
    let all: Vec<_> = writer.chain(readers).collect();
    if all.is_empty() {
        "a process that is just joining or leaving".into()
    } else {
        all.join(" and ")
    }
}
