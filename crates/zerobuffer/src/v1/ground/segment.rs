//! How a 1.0 buffer comes into being, is found, and goes: shared memory object, two semaphores, lock files.
//!
//! # Invariants
//! * The semaphores exist before the shared memory object has a name, and the object is complete when it gets
//!   it (L1 to L3).
//! * Whoever creates or removes a name holds the buffer's lock files (L11, L12).
//! * A name is removed only while it stands for the object that it stood for when we made or judged it (L12).
//! * Our endpoints also hold a byte of the object by an open-file-description lock, the first byte of their pid
//!   field. Peers know nothing of it; ours tell by it, across pid namespaces, that the other one lives (L13).

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::locks::{BETWEEN_LOOKS, FileId, LOOKS, LockDirs, LockFile, Locks};
use super::mapping::Mapping;
use super::process::{self, Process};
use crate::field::field;
use crate::sys::fields;
use crate::sys::file::{self, Linked, Making, NewMode, NotMade, Unnamed};
use crate::sys::guard::Lost;
use crate::sys::lock;
use crate::sys::semaphore::{self, Semaphore};
use crate::v1::protocol::layout::{
    METADATA_PREFIX_BYTES, MetadataPrefix, OIEB_BYTES, Oieb, OiebCopy, OiebProblem, Sizes,
    metadata_bytes,
};
use crate::v1::rules::ring::Memory;
use crate::values::error::OpenError;

/// Where `shm_open` keeps its objects, and glibc its semaphores.
pub(crate) const SHM_DIR: &str = "/dev/shm";
/// So that every name derived from it is still a file name.
const MAX_NAME_BYTES: usize = 200;

/// What a deployed reader needs at most, if it is not held up, from its segment to its semaphores.
const UNTIL_SEMAPHORES: Duration = Duration::from_millis(20);
/// A lock file without a segment is not called stale before this age.
const YOUNG: Duration = Duration::from_secs(2);

/// How often to open an object that somebody has a lease on for a moment, and how long to wait between.
const LEASE_ATTEMPTS: u32 = 100;
const LEASE_PAUSE: Duration = Duration::from_millis(1);

/// Bytes of the object that our endpoints lock: where their pid fields begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
}

impl Role {
    fn byte(self) -> u64 {
        match self {
            Self::Writer => Sizes::OIEB.field(field!(Oieb.writer_pid)),
            Self::Reader => Sizes::OIEB.field(field!(Oieb.reader_pid)),
        }
    }
}

/// A checked name and everything derived from it.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) name: Arc<str>,
    pub(crate) path: PathBuf,
    /// Posted once a frame by the writer.
    data: String,
    /// Posted by the reader when bytes become free.
    space: String,
    locks: LockDirs,
}

impl Names {
    pub(crate) fn new(name: &str) -> Result<Self, OpenError> {
        let problem = if name.is_empty() {
            Some("it is empty")
        } else if name.len() > MAX_NAME_BYTES {
            Some("it is longer than 200 bytes")
        } else if name.contains('/') {
            Some("it contains `/`")
        } else if name.starts_with('.') {
            Some("it starts with `.`")
        } else if name.starts_with("sem.") {
            Some("files of that name are semaphores")
        } else if name.chars().any(char::is_control) {
            Some("it contains a control character")
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(OpenError::InvalidName { name: name.to_owned(), problem });
        }
        Ok(Self {
            name: name.into(),
            path: Path::new(SHM_DIR).join(name),
            data: format!("sem-w-{name}"),
            space: format!("sem-r-{name}"),
            locks: LockDirs::deployed(),
        })
    }

    fn io(&self, operation: impl Into<String>) -> impl FnOnce(io::Error) -> OpenError {
        let (name, operation) = (self.name.to_string(), operation.into());
        move |source| OpenError::Io { name, operation, source }
    }

    /// Says what stands in the way.
    fn not_removed(&self, error: io::Error) -> OpenError {
        let why = file::obstacle(&self.path, &error).map(|why| format!(" ({why})"));
        self.io(format!("removing its segment{}", why.unwrap_or_default()))(error)
    }

    fn not_ready(&self, problem: impl Into<String>) -> OpenError {
        OpenError::NotReady { name: self.name.to_string(), problem: problem.into() }
    }

    pub(crate) fn problem(&self, problem: OiebProblem) -> OpenError {
        let name = self.name.to_string();
        match problem {
            OiebProblem::NotReady => self.not_ready(problem.to_string()),
            OiebProblem::Version { found: [major, minor, patch, _] } => OpenError::WrongVersion {
                name,
                found: format!("{major}.{minor}.{patch}"),
                expected: "1.0",
            },
            _ => OpenError::Damaged { name, problem: problem.to_string() },
        }
    }

    /// Whether the reader of this very segment holds a lock file.
    ///
    /// A lock file belongs to the name. Once the name stands for another segment, it is that one's reader who holds it,
    /// and says nothing of this one's.
    pub(crate) fn is_locked_for(&self, segment: impl AsFd) -> bool {
        Locks::are_held(&self.locks, &self.name) && !self.stands_for_another(segment)
    }

    /// As [`is_locked_for`](Self::is_locked_for), and not only by somebody who looks for leavings. Takes some
    /// milliseconds if so.
    pub(crate) fn is_kept_locked_for(&self, segment: impl AsFd) -> bool {
        Locks::are_kept(&self.locks, &self.name) && !self.stands_for_another(segment)
    }

    /// Whether the name was given to another file. A name that is gone is nobody's yet.
    fn stands_for_another(&self, segment: impl AsFd) -> bool {
        FileId::of_path(&self.path).is_some_and(|named| Some(named) != FileId::of(segment))
    }

    /// Whether a deployed reader may be about to replace the semaphores, which a predecessor left (L4): it makes its own
    /// behind the segment, so that they are not older.
    fn may_get_other_semaphores(&self, segment: &OwnedFd) -> bool {
        let is_ours = lock::is_held(segment.as_fd(), Role::Reader.byte()).unwrap_or(false);
        let time = |facts: rustix::fs::Stat| (facts.st_mtime, facts.st_mtime_nsec);
        let Ok(made) = rustix::fs::fstat(segment).map(time) else { return false };
        let is_older =
            |name| rustix::fs::lstat(semaphore::path(name)).is_ok_and(|facts| time(facts) < made);
        !is_ours && [&self.data, &self.space].iter().any(|name| is_older(name))
    }

    /// Values of the data and the space semaphore; `None` for one that cannot be opened.
    pub(crate) fn semaphore_values(&self) -> [Option<u32>; 2] {
        [&self.data, &self.space].map(|name| semaphore::look(name).ok())
    }

    /// Removes everything that carries this name: segment, semaphores, lock files. Without `force` only while
    /// no reader holds a lock file.
    pub(crate) fn remove_all(&self, force: bool) -> Result<(), OpenError> {
        let locks =
            Locks::acquire(&self.locks, &self.name).map_err(self.io("taking its lock files"))?;
        if locks.is_none() && !force {
            let (name, users) = (self.name.to_string(), "a reader that holds its lock".to_owned());
            return Err(OpenError::InUse { name, users });
        }
        std::fs::remove_file(&self.path).map_err(|error| self.not_removed(error))?;
        let _ = semaphore::unlink(&self.data);
        let _ = semaphore::unlink(&self.space);
        Ok(())
    }

    fn reader_connected(&self, pid: u64) -> OpenError {
        OpenError::ReaderConnected {
            name: self.name.to_string(),
            reader: crate::values::config::MAIN_READER.to_owned(),
            pid: announced(pid),
        }
    }
}

/// A pid for messages.
pub(crate) fn announced(pid: u64) -> u32 {
    u32::try_from(pid).unwrap_or(u32::MAX)
}

/// This process's pid as announced in the control block.
pub(crate) fn own_pid() -> u64 {
    u64::from(std::process::id())
}

/// Whether the endpoint that announced `pid` still runs.
///
/// A lock on its byte says so whatever the pid says. Without one, our own pid is a dead predecessor's: our live
/// endpoints hold their byte (a restarted container often has the pid of the one before it). So is a pid that another
/// process has by now, which has not mapped the segment.
pub(crate) fn is_peer_alive(fd: impl AsFd, role: Role, pid: u64) -> bool {
    match lock::is_held(fd.as_fd(), role.byte()) {
        Ok(true) => true,
        Ok(false) => pid != own_pid() && process::is_alive(pid) && !process::is_stranger(pid, fd),
        // Without such locks there is only the pid.
        Err(_) => process::is_alive(pid),
    }
}

/// Whether somebody reads what is written here, before a writer attaches.
///
/// In another pid namespace a pid stands for somebody else than here. So a process that has not mapped the segment
/// counts against its reader only beside a lock file that its reader would hold.
fn has_live_reader(names: &Names, fd: &OwnedFd, pid: u64) -> bool {
    let benefit_of_doubt =
        || pid != own_pid() && process::is_alive(pid) && !Locks::exist(&names.locks, &names.name);
    is_peer_alive(fd, Role::Reader, pid) || names.is_kept_locked_for(fd) || benefit_of_doubt()
}

/// Whether somebody has the object open, whatever the pids in it say: of deployed peers in another pid namespace they say
/// nothing here. Asked before anything is removed.
pub(crate) fn is_open_elsewhere(fd: impl AsFd) -> bool {
    // Not only for a moment, by somebody who looks at it.
    (0..LOOKS).all(|look| {
        if look > 0 {
            std::thread::sleep(BETWEEN_LOOKS);
        }
        lock::is_open_elsewhere(fd.as_fd()).unwrap_or(false)
    })
}

/// A buffer in use by one endpoint.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) names: Names,
    pub(crate) mapping: Mapping,
    /// Units: frames written and not yet taken by the reader.
    pub(crate) data: Semaphore,
    /// Units: releases not yet taken by the writer.
    pub(crate) space: Semaphore,
    pub(crate) fd: OwnedFd,
    /// What a creating reader removes when it leaves; holds the lock files.
    owned: Mutex<Option<Owned>>,
}

#[derive(Debug)]
struct Owned {
    objects: Objects,
    _locks: Locks,
}

/// Names that were made, each with the file it stood for; removed again unless they stand for another by now.
#[derive(Debug)]
struct Objects {
    made: Vec<(PathBuf, Option<FileId>)>,
    pid: u32,
}

impl Objects {
    fn new() -> Self {
        Self { made: Vec::new(), pid: std::process::id() }
    }

    fn add(&mut self, path: PathBuf) {
        let id = FileId::of_path(&path);
        self.made.push((path, id));
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        if self.pid == std::process::id() {
            // The segment first: once it is gone nobody looks for the semaphores.
            for (path, id) in self.made.iter().rev() {
                let _ = remove_if_same(path, *id);
            }
        }
    }
}

/// Fails only where the file has the name and keeps it.
fn remove_if_same(path: &Path, id: Option<FileId>) -> io::Result<()> {
    if id.is_some() && FileId::of_path(path) == id {
        return std::fs::remove_file(path);
    }
    Ok(())
}

impl Segment {
    /// Creates a buffer and becomes its reader; takes over what a dead reader left under the name.
    pub(crate) fn create(name: &str, metadata: u64, payload: u64) -> Result<Self, OpenError> {
        let names = Names::new(name)?;
        let sizes = Sizes::rounded(metadata, payload).ok_or_else(|| OpenError::InvalidConfig {
            name: name.to_owned(),
            problem: format!(
                "a payload of {payload} and metadata of {metadata} bytes make no segment; \
                 use at least 1 byte of payload and less than 2^63 together"
            ),
        })?;
        remove_stale(&names.locks);
        let locks = Locks::acquire(&names.locks, name)
            .map_err(names.io("taking its lock files"))?
            .ok_or_else(|| names.reader_connected(reader_pid_of(&names)))?;
        take_over(&names)?;
        // Semaphores first: a peer that finds the segment opens them at once (L1, L3). What a predecessor left
        // is removed, never reused: its counts are meaningless (L4).
        let mut objects = Objects::new();
        let data = make_semaphore(&names, &names.data, &mut objects)?;
        let space = make_semaphore(&names, &names.space, &mut objects)?;
        let (fd, mapping) = make_object(&names, sizes)?;
        objects.add(names.path.clone());
        let owned = Mutex::new(Some(Owned { objects, _locks: locks }));
        Ok(Self { names, mapping, data, space, fd, owned })
    }

    /// Attaches to an existing buffer as its writer.
    pub(crate) fn connect(name: &str) -> Result<Self, OpenError> {
        let names = Names::new(name)?;
        let (fd, header, sizes) = open_checked(&names, Access::ReadWrite)?;
        header.check_positions(sizes).map_err(|problem| names.problem(problem))?;
        if header.reader_pid == 0 {
            return Err(OpenError::NoReader { name: name.to_owned(), pid: 0 });
        }
        if !has_live_reader(&names, &fd, header.reader_pid) {
            let pid = announced(header.reader_pid);
            return Err(OpenError::NoReader { name: name.to_owned(), pid });
        }
        let connected =
            |pid: u64| OpenError::WriterConnected { name: name.to_owned(), pid: announced(pid) };
        if header.writer_pid != 0 && is_peer_alive(&fd, Role::Writer, header.writer_pid) {
            return Err(connected(header.writer_pid));
        }
        // Before our pid stands in the control block, so that a failure leaves no trace (L1).
        let data = open_semaphore(&names, &names.data)?;
        let space = open_semaphore(&names, &names.space)?;
        if names.may_get_other_semaphores(&fd) {
            std::thread::sleep(UNTIL_SEMAPHORES);
        }
        let mapping = Mapping::new(fd.as_fd(), sizes).map_err(names.io("mapping its segment"))?;
        if !lock::try_exclusive(fd.as_fd(), Role::Writer.byte()).unwrap_or(true) {
            return Err(connected(header.writer_pid));
        }
        let announce = &mapping.oieb().writer_pid;
        announce
            .compare_exchange(header.writer_pid, own_pid(), Ordering::AcqRel, Ordering::Acquire)
            .map_err(connected)?;
        let left = mapping.oieb().reader_pid.load(Ordering::Acquire) == 0;
        let replaced = !data.is_named(&names.data) || !space.is_named(&names.space);
        if left || replaced || FileId::of(&fd) != FileId::of_path(&names.path) {
            let _ = announce.compare_exchange(own_pid(), 0, Ordering::AcqRel, Ordering::Acquire);
            let what = if left { "left" } else { "replaced what we found" };
            return Err(names.not_ready(format!("its reader {what} while we attached")));
        }
        Ok(Self { names, mapping, data, space, fd, owned: Mutex::new(None) })
    }

    /// The control block.
    pub(crate) fn oieb(&self) -> &Oieb {
        self.mapping.oieb()
    }

    /// Whether the endpoint that announced `pid` still runs.
    pub(crate) fn is_peer_alive(&self, role: Role, pid: u64) -> bool {
        is_peer_alive(&self.fd, role, pid)
    }

    /// Whether this segment's reader lives; `seen` is the process that had its pid when this end attached.
    pub(crate) fn is_reader_alive(&self, pid: u64, seen: Option<Process>) -> bool {
        let is_running = || match seen {
            Some(seen) if seen.pid == pid => pid != own_pid() && seen.is_alive(),
            _ => self.is_peer_alive(Role::Reader, pid),
        };
        // A held lock file is a living reader's, perhaps in another pid namespace (L13).
        let is_locked = || self.names.is_locked_for(&self.fd);
        pid != 0 && (self.is_role_held(Role::Reader) || is_running() || is_locked())
    }

    /// Whether all of it is this process's, and whole as far as is known.
    #[inline]
    pub(crate) fn is_sound(&self) -> bool {
        self.mapping.is_sound() && self.data.is_sound() && self.space.is_sound()
    }

    /// Why it is not sound.
    #[cold]
    pub(crate) fn lost(&self) -> Lost {
        if !self.mapping.is_sound() {
            return self.mapping.lost();
        }
        if self.data.is_sound() { self.space.lost() } else { self.data.lost() }
    }

    /// Whether an endpoint of this library in that role lives, whatever its pid.
    pub(crate) fn is_role_held(&self, role: Role) -> bool {
        lock::is_held(self.fd.as_fd(), role.byte()).unwrap_or(false)
    }

    /// Lets a successor have a role at once. Closing would do too, unless another thread has just forked: then the child
    /// holds the description until it executes another program.
    pub(crate) fn give_role_back(&self, role: Role) {
        let _ = lock::release(self.fd.as_fd(), role.byte());
    }

    /// Removes what this endpoint made, then its lock files (L12). Nothing for a writer.
    pub(crate) fn remove(&self) {
        let owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Owned { objects, _locks }) = owned {
            drop(objects);
        }
    }
}

/// What an opened object is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadWrite,
}

/// Opens the object under the name and checks its header. Writes nothing.
pub(crate) fn open_checked(
    names: &Names,
    access: Access,
) -> Result<(OwnedFd, OiebCopy, Sizes), OpenError> {
    let access = match access {
        Access::Read => OFlags::RDONLY,
        Access::ReadWrite => OFlags::RDWR,
    };
    let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let open = || rustix::fs::open(&names.path, flags, Mode::empty());
    // Somebody asks at this moment whether anybody has it open: see `lock::is_open_elsewhere`.
    let retried = (0..LEASE_ATTEMPTS).find_map(|_| match open() {
        Err(Errno::WOULDBLOCK) => {
            std::thread::sleep(LEASE_PAUSE);
            None
        }
        other => Some(other),
    });
    let fd = match retried.unwrap_or_else(open) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => {
            return Err(OpenError::NotFound { name: names.name.to_string(), dir: SHM_DIR.into() });
        }
        Err(error @ (Errno::ACCESS | Errno::ROFS)) if access.contains(OFlags::RDWR) => {
            let what = "opening its segment for writing (writer and reader both need write access; \
                        `zerobuffer inspect` only reads)";
            return Err(names.io(what)(error.into()));
        }
        Err(error) => return Err(names.io("opening its segment")(error.into())),
    };
    let stat = rustix::fs::fstat(&fd).map_err(|e| names.io("looking at its segment")(e.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        let problem = "it is not a regular file".to_owned();
        return Err(OpenError::NotABuffer { path: names.path.clone(), problem });
    }
    let file_bytes = u64::try_from(stat.st_size).unwrap_or(0);
    let mut bytes = [0; OIEB_BYTES as usize];
    if file_bytes < OIEB_BYTES {
        // Peers name the object first and size it afterwards (L2).
        return Err(names.not_ready(format!("its segment has {file_bytes} bytes so far")));
    }
    file::read_at(fd.as_fd(), &mut bytes, 0).map_err(names.io("reading its header"))?;
    let header = OiebCopy::from_bytes(&bytes);
    let sizes = header.check_layout(file_bytes).map_err(|problem| names.problem(problem))?;
    Ok((fd, header, sizes))
}

/// Reads the metadata, if there is any; an error says in words why it cannot be had.
pub(crate) fn read_metadata(fd: &OwnedFd, sizes: Sizes) -> Result<Option<Vec<u8>>, String> {
    let not_read = |error: io::Error| format!("its metadata cannot be read: {error}");
    let (fd, block) = (fd.as_fd(), sizes.metadata());
    // METADATA: pairs with `V1Writer::set_metadata`. This word first: the bytes that it tells of are there.
    let written = fields::load(fd, Sizes::OIEB, field!(Oieb.metadata_written_bytes));
    let written = written.map_err(not_read)?;
    if written == 0 {
        return Ok(None);
    }
    let length = match sizes.metadata_capacity() {
        0 => 0,
        _ => fields::load(fd, block, field!(MetadataPrefix.length)).map_err(not_read)?,
    };
    let length = metadata_bytes(written, length, sizes)
        .map_err(|problem| format!("metadata: {}", problem.problem()))?;
    let bytes = fields::read_bytes(fd, block.offset() + METADATA_PREFIX_BYTES, length as usize);
    bytes.map(Some).map_err(not_read)
}

fn reader_pid_of(names: &Names) -> u64 {
    open_checked(names, Access::Read).map_or(0, |(_, header, _)| header.reader_pid)
}

fn make_semaphore(
    names: &Names,
    name: &str,
    objects: &mut Objects,
) -> Result<Semaphore, OpenError> {
    match semaphore::unlink(name) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            let why = file::obstacle(&semaphore::path(name), &e).map(|why| format!(" ({why})"));
            let what = format!("removing the old semaphore {name}{}", why.unwrap_or_default());
            return Err(names.io(what)(e));
        }
        _ => {}
    }
    let made =
        Semaphore::create(name).map_err(names.io(format!("creating the semaphore {name}")))?;
    objects.add(semaphore::path(name));
    Ok(made)
}

fn open_semaphore(names: &Names, name: &str) -> Result<Semaphore, OpenError> {
    Semaphore::open(name).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => OpenError::MissingSemaphores {
            name: names.name.to_string(),
            semaphore: semaphore::path(name),
        },
        io::ErrorKind::InvalidData => OpenError::Damaged {
            name: names.name.to_string(),
            problem: format!("{}: {e}", semaphore::path(name).display()),
        },
        _ => names.io(format!("opening the semaphore {name}"))(e),
    })
}

/// Makes the object and gives it its name, complete, with the reader's byte locked.
fn make_object(names: &Names, sizes: Sizes) -> Result<(OwnedFd, Mapping), OpenError> {
    // Not the pid: in containers everybody is process 1.
    let provisional = format!(".{}.{:016x}.new", names.name, crate::sys::process::random_u64());
    // Mode 0666 less the umask, as deployed.
    let mode = NewMode::LessUmask(0o666);
    let making = Making { provisional: &provisional, life: None, mode, group: None };
    let not_made = |problem| match problem {
        NotMade::Create(error) | NotMade::Lock(error) => names.io("creating its segment")(error),
        NotMade::Group(_, error) | NotMade::Mode(_, error) => {
            names.io("giving its segment away")(error)
        }
    };
    let dir = Path::new(SHM_DIR);
    let mut unnamed = Unnamed::create(dir, &making).map_err(not_made)?;
    loop {
        allocate(names, unnamed.fd(), sizes.total_bytes())?;
        let mapping = Mapping::new(unnamed.fd(), sizes).map_err(names.io("mapping its segment"))?;
        mapping.oieb().initialize(sizes, own_pid());
        if !lock::try_exclusive(unnamed.fd(), Role::Reader.byte()).unwrap_or(true) {
            return Err(names.reader_connected(0));
        }
        match unnamed.link(&names.path).map_err(names.io("naming its segment"))? {
            Linked::Yes => return Ok((unnamed.into_fd(), mapping)),
            // A peer that ignores our locks was faster.
            Linked::Taken => return Err(names.reader_connected(reader_pid_of(names))),
            Linked::NotWithoutName => {
                unnamed = Unnamed::provisional(dir, &making).map_err(not_made)?;
            }
        }
    }
}

/// Takes all the space now: a first touch that finds none would end the process.
fn allocate(names: &Names, fd: BorrowedFd<'_>, bytes: u64) -> Result<(), OpenError> {
    file::allocate(fd, bytes).map_err(|error| match error.kind() {
        io::ErrorKind::StorageFull => OpenError::NoSpace {
            name: names.name.to_string(),
            needed: bytes,
            available: file::file_system(Path::new(SHM_DIR)).ok().and_then(|f| f.free).unwrap_or(0),
            place: SHM_DIR.to_owned(),
            advice: "use a smaller payload, or enlarge /dev/shm (`--shm-size`)".to_owned(),
        },
        _ => names.io("taking space for its segment")(error),
    })
}

/// Clears the name for a new buffer, with the lock files held. Refuses while the old reader lives.
fn take_over(names: &Names) -> Result<(), OpenError> {
    let (fd, header, sizes) = match open_checked(names, Access::ReadWrite) {
        Ok(found) => found,
        Err(OpenError::NotFound { .. }) => return Ok(()),
        // Nobody is creating it, for we hold the locks: whoever was, died. Only what a creator leaves half made
        // is removed, not an unknown program's file.
        Err(OpenError::NotReady { .. }) => {
            let id = FileId::of_path(&names.path);
            if !is_half_made(&names.path) {
                let problem = "it is shared memory of another program".to_owned();
                return Err(OpenError::NotABuffer { path: names.path.clone(), problem });
            }
            return remove_if_same(&names.path, id).map_err(|error| names.not_removed(error));
        }
        Err(error) => return Err(error),
    };
    if header.reader_pid != 0 && is_peer_alive(&fd, Role::Reader, header.reader_pid) {
        return Err(names.reader_connected(header.reader_pid));
    }
    // The name first, for that can be refused: nothing is told to anybody about what stays.
    remove_if_same(&names.path, FileId::of(&fd)).map_err(|error| names.not_removed(error))?;
    // The dead reader's writer may live on: it learns at once that its reader is gone.
    if let Ok(mapping) = Mapping::new(fd.as_fd(), sizes) {
        mapping.oieb().reader_pid.store(0, Ordering::Release);
        if let Ok(space) = Semaphore::open(&names.space) {
            space.post();
        }
    }
    Ok(())
}

/// Whether a file that is no buffer looks like one that a creator left: empty, zeros, or a header begun.
fn is_half_made(path: &Path) -> bool {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|f| f.take(OIEB_BYTES).read_to_end(&mut bytes));
    let begun = bytes.starts_with(&(OIEB_BYTES as u32).to_le_bytes());
    read.is_ok() && (begun || bytes.iter().all(|&byte| byte == 0))
}

/// Removes what dead peers of any language left: for every lock file that nobody holds, the buffer of that name
/// if neither of its ends lives. Best effort, as deployed at every reader's start.
pub(crate) fn remove_stale(dirs: &LockDirs) {
    for dir in dirs.iter() {
        let Ok(entries) = std::fs::read_dir(dir) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let is_lock = path.extension() == Some(OsStr::new("lock"));
            let name = path.file_stem().and_then(OsStr::to_str).filter(|_| is_lock);
            let Some(Ok(names)) = name.map(Names::new) else {
                continue;
            };
            if let Some(lock) = LockFile::try_stale(&path) {
                remove_stale_buffer(&names, lock);
            }
        }
    }
}

fn remove_stale_buffer(names: &Names, lock: LockFile) {
    // A peer that locks in another directory may be making this buffer right now.
    if Locks::are_held_beside(&names.locks, &names.name, &lock) {
        return lock.leave();
    }
    let semaphores = [&names.data, &names.space].map(|name| {
        let path = semaphore::path(name);
        (FileId::of_path(&path), path)
    });
    match open_checked(names, Access::ReadWrite) {
        Ok((fd, header, _)) => {
            let is_alive = |role, pid| pid != 0 && is_peer_alive(&fd, role, pid);
            if is_alive(Role::Reader, header.reader_pid)
                || is_alive(Role::Writer, header.writer_pid)
            {
                return lock.leave();
            }
            if is_open_elsewhere(&fd) {
                return lock.leave();
            }
            // One that cannot be removed keeps its semaphores.
            if remove_if_same(&names.path, FileId::of(&fd)).is_err() {
                return lock.leave();
            }
        }
        // Its owner may be between making the file and locking it (L12).
        Err(OpenError::NotFound { .. }) if lock.age() < YOUNG => return lock.leave(),
        Err(OpenError::NotFound { .. }) => {}
        // Half made, or not a 1.0 buffer: left to whoever creates one under that name.
        Err(_) => return lock.leave(),
    }
    // Not those that a peer has made meanwhile.
    for (id, path) in semaphores {
        let _ = remove_if_same(&path, id);
    }
    // Dropping a lock removes its file, still locked.
    for path in names.locks.paths(&names.name) {
        drop(LockFile::try_stale(&path));
    }
    drop(lock);
}
