//! What can go wrong, one enum per family of calls.
//!
//! Each message names the buffer, what was found, what was expected, and what to do next. Errors of the
//! frame path do not allocate.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::values::printable::printable;

/// Who a peer is, as far as shared memory tells: for messages, not for decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    pub(crate) name: [u8; 32],
    pub(crate) pid: u32,
    pub(crate) presence: Presence,
}

/// Whether a peer is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Nobody has taken its place yet.
    Never,
    Attached,
    Left,
    Died,
    /// A work group, some member of which is attached.
    Group,
    /// A work group without a live member.
    EmptyGroup,
    /// Readers of another buffer, to which frames were passed on.
    Export,
}

impl Peer {
    /// Nobody in particular.
    pub(crate) fn nobody() -> Self {
        Self { name: [0; 32], pid: 0, presence: Presence::Never }
    }

    /// Name of the reader slot; empty for an ephemeral reader.
    pub fn name(&self) -> std::borrow::Cow<'_, str> {
        let end = self.name.iter().position(|&b| b == 0).unwrap_or(self.name.len());
        String::from_utf8_lossy(&self.name[..end])
    }

    /// Process id that it announced, in its own PID namespace.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it was attached and alive when this was noted.
    pub fn is_alive(&self) -> bool {
        matches!(self.presence, Presence::Attached | Presence::Group | Presence::Export)
    }

    /// Whether it had died or left when this was noted, and has a name, by which a successor gets what is kept for it.
    pub fn is_gone(&self) -> bool {
        matches!(self.presence, Presence::Died | Presence::Left | Presence::EmptyGroup)
            && self.name[0] != 0
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.name() {
            name if name.is_empty() => "(ephemeral)".into(),
            name => name,
        };
        let name = printable(&*name);
        match self.presence {
            Presence::Never => write!(f, "reader `{name}`, which nobody has taken yet"),
            Presence::Attached => write!(f, "reader `{name}` (pid {})", self.pid),
            // A 1.0 reader takes its pid along.
            Presence::Left if self.pid == 0 => write!(f, "reader `{name}` (left)"),
            Presence::Left => write!(f, "reader `{name}` (pid {}, left)", self.pid),
            Presence::Group => write!(f, "work group `{name}` (a member: pid {})", self.pid),
            Presence::Export => {
                write!(f, "the readers of buffer `{name}`, to which frames were forwarded")
            }
            Presence::EmptyGroup => write!(f, "work group `{name}`, which has no member"),
            Presence::Died => write!(f, "reader `{name}` (pid {}, died)", self.pid),
        }
    }
}

/// Why a buffer could not be created, joined or looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The name cannot be a file name here.
    #[error(
        "buffer name {name:?}: {problem}; use 1 to 200 bytes without `/` or control characters, not starting with `.`"
    )]
    InvalidName {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is no buffer of that name.
    #[error("no buffer `{name}` in {dir}: start the side that creates it, or wait for it (`wait_for_buffer`, `--wait-ms`)", dir = printable(dir))]
    NotFound {
        /// Name of the buffer.
        name: String,
        /// Directory that was searched.
        dir: PathBuf,
    },
    /// The configuration asks for something that cannot be.
    #[error("buffer `{name}`: {problem}", problem = printable(problem))]
    InvalidConfig {
        /// Name of the buffer.
        name: String,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// The buffer exists with another configuration.
    #[error(
        "buffer `{name}` exists with {found} where {expected} was asked for: use the same configuration, join it instead, or remove it first (`zerobuffer rm {name}`)", found = printable(found), expected = printable(expected)
    )]
    ConfigMismatch {
        /// Name of the buffer.
        name: String,
        /// The differing setting as it is.
        found: String,
        /// The differing setting as asked for.
        expected: String,
    },
    /// Another writer is attached.
    #[error(
        "buffer `{name}` already has a writer (pid {pid}): a buffer has one writer; stop that one first, or use another buffer"
    )]
    WriterConnected {
        /// Name of the buffer.
        name: String,
        /// Process id that the writer announced (in its own PID namespace).
        pid: u32,
    },
    /// A live reader holds the slot of that name.
    #[error(
        "buffer `{name}` already has a reader named `{reader}` (pid {pid}): give this one a name of its own, or make it ephemeral", reader = printable(reader)
    )]
    ReaderConnected {
        /// Name of the buffer.
        name: String,
        /// Name of the reader slot.
        reader: String,
        /// Process id that the reader announced (in its own PID namespace).
        pid: u32,
    },
    /// The name of a reader, or of a work group, stands for something else.
    #[error(
        "buffer `{name}`: `{reader}` is the name of {by} there: use another name, or wait until that one has left for good", reader = printable(reader)
    )]
    NameTaken {
        /// Name of the buffer.
        name: String,
        /// The name that was asked for.
        reader: String,
        /// What has it.
        by: &'static str,
    },
    /// There is no room for another work group.
    #[error(
        "buffer `{name}`: all {groups} work groups it has room for are in use: create the buffer with more `work_groups`, or let a group end (its last member unsubscribes)"
    )]
    NoWorkGroup {
        /// Name of the buffer.
        name: String,
        /// Number of groups.
        groups: u32,
    },
    /// Nothing is kept for a reader of that name.
    #[error("buffer `{name}` keeps no place for a reader named `{reader}`; it does for {kept}", reader = printable(reader))]
    NoSuchReader {
        /// Name of the buffer.
        name: String,
        /// The name that was asked for.
        reader: String,
        /// For whom it does, each in backticks.
        kept: String,
    },
    /// A place was to be given up whose owner lives.
    #[error(
        "buffer `{name}`: {reader} is alive: end it first (also one that is stopped), for it may be reading there"
    )]
    ReaderAlive {
        /// Name of the buffer.
        name: String,
        /// Who has the place.
        reader: String,
    },
    /// All reader slots are taken.
    #[error(
        "buffer `{name}`: all {slots} reader slots are taken: create the buffer with more `reader_slots`, or let a reader leave"
    )]
    NoReaderSlot {
        /// Name of the buffer.
        name: String,
        /// Number of slots.
        slots: u32,
    },
    /// Too little room in the file system, the memory or the cgroup.
    #[error("buffer `{name}` needs {needed} bytes, but {place} has {available}: {advice}", place = printable(place), advice = printable(advice))]
    NoSpace {
        /// Name of the buffer.
        name: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes to be had.
        available: u64,
        /// What is too small.
        place: String,
        /// What to change.
        advice: String,
    },
    /// The segment speaks another protocol version.
    #[error(
        "buffer `{name}` has protocol version {found}; this library speaks {expected}: use programs of the same major version on both sides"
    )]
    WrongVersion {
        /// Name of the buffer.
        name: String,
        /// Version found.
        found: String,
        /// Version spoken here.
        expected: &'static str,
    },
    /// The segment needs a feature that this library does not have.
    #[error(
        "buffer `{name}` uses features {unknown:#x} that this library does not know: update it to join this buffer"
    )]
    UnknownFeatures {
        /// Name of the buffer.
        name: String,
        /// The unknown feature bits.
        unknown: u64,
    },
    /// The segment contradicts itself or was cut short.
    #[error(
        "buffer `{name}` is damaged: {problem}; look at it with `zerobuffer inspect {name}`, remove it with `zerobuffer rm {name}`", problem = printable(problem)
    )]
    Damaged {
        /// Name of the buffer.
        name: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// The segment is there but its creator has not finished it, or died before it had.
    #[error(
        "buffer `{name}` is not ready: {problem}; wait for the side that creates it (`wait_for_buffer`, `--wait-ms`), or restart it", problem = printable(problem)
    )]
    NotReady {
        /// Name of the buffer.
        name: String,
        /// What is missing.
        problem: String,
    },
    /// The semaphores of a protocol 1.0 buffer are not there.
    #[error(
        "buffer `{name}` has no semaphore {semaphore}: its reader is still starting, or died while it was; wait for it, or restart it", semaphore = printable(semaphore)
    )]
    MissingSemaphores {
        /// Name of the buffer.
        name: String,
        /// Path of the semaphore that is missing.
        semaphore: PathBuf,
    },
    /// The reader that owns a protocol 1.0 buffer has left or died.
    #[error(
        "buffer `{name}`: its reader (pid {pid}) is gone; start it again, or wait for it (`wait_for_buffer`, `--wait-ms`)"
    )]
    NoReader {
        /// Name of the buffer.
        name: String,
        /// Process id that the reader announced; 0 when it left.
        pid: u32,
    },
    /// A live buffer of the other protocol has the name.
    #[error("buffer `{name}`: a live buffer of protocol {found} has that name: {advice}")]
    OtherProtocol {
        /// Name of the buffer.
        name: String,
        /// Protocol of that buffer.
        found: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// The name stands for something that is not a buffer file.
    #[error("{path} is not a buffer: {problem}", path = printable(path), problem = printable(problem))]
    NotABuffer {
        /// The path.
        path: PathBuf,
        /// What it is.
        problem: String,
    },
    /// Somebody is attached and removal was not forced.
    #[error(
        "buffer `{name}` is in use by {users}: stop them first, or force the removal (`--force`)", users = printable(users)
    )]
    InUse {
        /// Name of the buffer.
        name: String,
        /// Who uses it.
        users: String,
    },
    /// The directory cannot hold shared memory.
    #[error("{dir} cannot hold buffers: {problem}", dir = printable(dir), problem = printable(problem))]
    UnsuitableDirectory {
        /// The directory.
        dir: PathBuf,
        /// Why, and what to use instead.
        problem: String,
    },
    /// The operating system refused.
    #[error("buffer `{name}`: {operation} failed: {source}", operation = printable(operation))]
    Io {
        /// Name of the buffer.
        name: String,
        /// What was tried, on what.
        operation: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    /// There is no such buffer (yet), or not a complete one: waiting may help.
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            Self::NotFound { .. }
                | Self::NotReady { .. }
                | Self::MissingSemaphores { .. }
                | Self::NoReader { .. }
        )
    }
}

/// Why a frame was not written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A frame of zero bytes cannot be told from no frame. For a heartbeat write a byte that says so; or, where frames
    /// come from elsewhere, pass over those that are empty, as `zerobuffer write --stdin --framed` does.
    #[error(
        "buffer `{name}`: a frame needs at least one byte; nothing was written: skip empty ones, or write a byte that says so"
    )]
    EmptyFrame {
        /// Name of the buffer.
        name: Arc<str>,
    },
    /// Frames of this buffer have no attributes: it speaks protocol 1.0, or was created without them.
    #[error(
        "buffer `{name}` has frames without attributes; nothing was written: create it with protocol 2.0 and `attributes(true)`, or write the payload alone"
    )]
    NoAttributes {
        /// Name of the buffer.
        name: Arc<str>,
    },
    /// The frame can never fit.
    #[error(
        "buffer `{name}`: a frame of {bytes} bytes is larger than the largest possible, {max}: create the buffer with a larger payload"
    )]
    FrameTooLarge {
        /// Name of the buffer.
        name: Arc<str>,
        /// Size asked for.
        bytes: usize,
        /// Largest size possible in this buffer.
        max: usize,
    },
    /// The frame cannot be placed from the present position of a protocol 1.0 ring, however empty it gets;
    /// smaller frames can, and move the position.
    #[error(
        "buffer `{name}`: a frame of {bytes} bytes does not fit from the ring's present position, even when it is empty; up to {always_fits} bytes always fit: create the buffer with a larger payload"
    )]
    NeverFitsHere {
        /// Name of the buffer.
        name: Arc<str>,
        /// Size asked for.
        bytes: usize,
        /// Largest size that fits at every position.
        always_fits: usize,
    },
    /// No room now; nothing was written.
    #[error(
        "buffer `{name}` stayed full for {waited:?}, held back by {holder}: {}",
        what_to_do(holder)
    )]
    Full {
        /// Name of the buffer.
        name: Arc<str>,
        /// How long the call waited.
        waited: Duration,
        /// Who has the oldest frame.
        holder: Peer,
    },
    /// The reader that holds the ring back died or left. Its frames are kept, and calling again waits for a
    /// successor, unless it took the buffer along.
    #[error("{}", reader_gone(name, holder, *.took_buffer))]
    ReaderGone {
        /// Name of the buffer.
        name: Arc<str>,
        /// Who is missing.
        holder: Peer,
        /// Whether the buffer ends with it, as one of protocol 1.0 does: the next reader makes a new one.
        took_buffer: bool,
    },
    /// `require_reader` was chosen and no live reader is attached.
    #[error("buffer `{name}` has no live reader: start one, or write without `require_reader`")]
    NoReader {
        /// Name of the buffer.
        name: Arc<str>,
    },
    /// Shared memory holds a value that no conforming peer writes.
    #[error("buffer `{name}` is damaged: {problem}; this writer stops using it")]
    Damaged {
        /// Name of the buffer.
        name: Arc<str>,
        /// What was found.
        problem: &'static str,
    },
    /// The buffer was removed or replaced while it was in use: by force, or its file by other programs. What was written there
    /// and not read is lost.
    #[error("buffer `{name}` was retired: connect again to use its replacement")]
    Retired {
        /// Name of the buffer.
        name: Arc<str>,
    },
    /// Another process made the buffer's file shorter, which was seen while waiting, or
    /// [`survive_truncation`](crate::survive_truncation) had been called before. What was written lately is gone.
    #[error("buffer `{name}` was cut short by another process: drop this end, then create it anew")]
    CutShort {
        /// Name of the buffer.
        name: Arc<str>,
    },
    /// The endpoint was inherited through fork, which leaves it with the parent.
    #[error("buffer `{name}` belongs to the parent process: connect again after fork")]
    Forked {
        /// Name of the buffer.
        name: Arc<str>,
    },
}

/// How to come to a ring that is not full.
fn what_to_do(holder: &Peer) -> String {
    let other = "read faster, write less, enlarge the buffer, or choose another full-policy";
    if holder.is_gone() {
        return format!("start it again, or give its place up ({GIVE_UP}); otherwise {other}");
    }
    other.to_owned()
}

const GIVE_UP: &str = "`inspect::forget`, with the frames kept there";

fn reader_gone(name: &str, holder: &Peer, took_buffer: bool) -> String {
    if took_buffer {
        return format!(
            "{holder} is no longer attached to buffer `{name}`, which was its own (protocol 1.0): restart it, and \
             connect again"
        );
    }
    if holder.presence == Presence::EmptyGroup {
        return format!(
            "buffer `{name}` is full and work group `{}` has no member any more: start one (its frames are kept), \
             write again to wait for it, or give it up ({GIVE_UP})",
            printable(&*holder.name())
        );
    }
    format!(
        "buffer `{name}` is full and {holder} is no longer attached: restart it (its frames are kept), write \
         again to wait for it, or give its place up ({GIVE_UP})"
    )
}

impl WriteError {
    /// Not now: the same call may succeed later.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// The other side died or left.
    pub fn is_peer_gone(&self) -> bool {
        matches!(self, Self::ReaderGone { .. } | Self::NoReader { .. })
    }
}

/// Why no frame was read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Nothing arrived in time.
    #[error("buffer `{name}`: no frame within {waited:?} ({writer})")]
    Timeout {
        /// Name of the buffer.
        name: Arc<str>,
        /// How long the call waited; zero for `try_` calls.
        waited: Duration,
        /// Whether a writer is there. `try_` calls on a 2.0 buffer ask the kernel at most fifteen times a second; between
        /// two questions this is the last answer.
        writer: WriterPresence,
    },
    /// The writer died; all frames that it committed have been handed out. Calling again waits for a successor.
    #[error(
        "buffer `{name}`: the writer (pid {pid}) died; every frame it committed was delivered. Read again to wait for its successor"
    )]
    WriterGone {
        /// Name of the buffer.
        name: Arc<str>,
        /// Process id that the writer announced.
        pid: u32,
    },
    /// The frame does not fit the caller's space; it was not consumed.
    #[error("buffer `{name}`: the next frame has {bytes} bytes, the given space {space}")]
    SpaceTooSmall {
        /// Name of the buffer.
        name: Arc<str>,
        /// Size of the frame.
        bytes: usize,
        /// Size of the caller's space.
        space: usize,
    },
    /// Frames are missing, or a protocol 1.0 writer spent a sequence number without a frame. Reading again goes
    /// on with the frame found.
    #[error(
        "buffer `{name}`: frame {found} follows where {expected} was expected; read again to go on from there"
    )]
    SequenceGap {
        /// Name of the buffer.
        name: Arc<str>,
        /// The sequence that was to come.
        expected: u64,
        /// The sequence that came.
        found: u64,
    },
    /// A frame was forwarded by reference, and what it refers to is gone: everybody who kept it alive, the relay and
    /// the readers of this buffer, had died or left. Reading again goes on behind it.
    #[error(
        "buffer `{name}`: the payload of frame {sequence} is gone: {problem}; read again to go on behind it"
    )]
    PayloadLost {
        /// Name of the buffer.
        name: Arc<str>,
        /// Number of the frame.
        sequence: u64,
        /// Why.
        problem: &'static str,
    },
    /// Shared memory holds a value that no conforming peer writes.
    #[error(
        "buffer `{name}` is damaged at position {position}: {problem}; this reader stops using it"
    )]
    Damaged {
        /// Name of the buffer.
        name: Arc<str>,
        /// Ring position.
        position: u64,
        /// What was found.
        problem: &'static str,
    },
    /// The buffer was removed or replaced while it was in use: by force, or its file by other programs. What was committed
    /// there had been read before this is told.
    #[error("buffer `{name}` was retired: join again to use its replacement")]
    Retired {
        /// Name of the buffer.
        name: Arc<str>,
    },
    /// This reader's slot was taken away (it was presumed dead, or removed by force).
    #[error("buffer `{name}`: this reader's registration was taken away; join again")]
    Evicted {
        /// Name of the buffer.
        name: Arc<str>,
    },
    /// Another process made the buffer's file shorter, which was seen while waiting, or
    /// [`survive_truncation`](crate::survive_truncation) had been called before. A frame that was being read may have ended in zeros.
    #[error("buffer `{name}` was cut short by another process: drop this end, then create it anew")]
    CutShort {
        /// Name of the buffer.
        name: Arc<str>,
    },
    /// The endpoint was inherited through fork, which leaves it with the parent.
    #[error("buffer `{name}` belongs to the parent process: join again after fork")]
    Forked {
        /// Name of the buffer.
        name: Arc<str>,
    },
}

impl ReadError {
    /// Not now: the same call may succeed later.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// The other side died.
    pub fn is_peer_gone(&self) -> bool {
        matches!(self, Self::WriterGone { .. })
    }
}

/// Whether a writer was there when a read timed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriterPresence {
    /// None has come yet.
    Never,
    /// One is attached and alive.
    Attached,
    /// The last one closed.
    Closed,
    /// The last one died.
    Dead,
}

impl std::fmt::Display for WriterPresence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Never => "no writer has come yet",
            Self::Attached => "the writer is attached and alive",
            Self::Closed => "the writer has closed",
            Self::Dead => "the writer died",
        })
    }
}

/// Why metadata could not be set.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The metadata block is too small.
    #[error(
        "buffer `{name}`: metadata of {bytes} bytes does not fit its {capacity}-byte block: create the buffer with a larger one"
    )]
    TooLarge {
        /// Name of the buffer.
        name: Arc<str>,
        /// Size asked for.
        bytes: usize,
        /// Size of the block.
        capacity: usize,
    },
    /// Metadata was set before.
    #[error(
        "buffer `{name}`: metadata is already set; to change it while readers look, use `replace_metadata`"
    )]
    AlreadySet {
        /// Name of the buffer.
        name: Arc<str>,
    },
    /// The buffer speaks protocol 1.0, in which metadata that is set stays.
    #[error(
        "buffer `{name}`: its metadata is set, and protocol 1.0 has no way to tell readers of another: use a new buffer, or protocol 2.0"
    )]
    NotReplaceable {
        /// Name of the buffer.
        name: Arc<str>,
    },
    /// A reader still looks at the copy that would be overwritten.
    #[error(
        "buffer `{name}`: {holder} still holds metadata two versions old; try again when it has let go"
    )]
    Held {
        /// Name of the buffer.
        name: Arc<str>,
        /// Who holds it.
        holder: Peer,
    },
    /// Shared memory holds a value that no conforming peer writes.
    #[error("buffer `{name}`: the metadata block is damaged: {problem}")]
    Damaged {
        /// Name of the buffer.
        name: Arc<str>,
        /// What was found.
        problem: &'static str,
    },
    /// Another process made the buffer's file shorter, which was seen while waiting, or
    /// [`survive_truncation`](crate::survive_truncation) had been called before.
    #[error("buffer `{name}` was cut short by another process: drop this end, then create it anew")]
    CutShort {
        /// Name of the buffer.
        name: Arc<str>,
    },
    /// The endpoint was inherited through fork, which leaves it with the parent.
    #[error("buffer `{name}` belongs to the parent process: connect again after fork")]
    Forked {
        /// Name of the buffer.
        name: Arc<str>,
    },
}

/// Any error of this library, for programs that pass them on with `?`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Creating, joining, looking.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Writing.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Reading.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Metadata.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// Calling through a duplex channel.
    #[cfg(not(loom))]
    #[error(transparent)]
    Call(#[from] crate::values::call_error::CallError),
}

/// `Result` with this library's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
