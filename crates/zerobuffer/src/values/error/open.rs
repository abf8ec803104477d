//! Why a buffer could not be created, joined or looked at.

use std::io;
use std::path::PathBuf;

use super::code::ErrorCode;
use crate::values::printable::printable;

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

impl OpenError {
    /// The number of this condition; the same in every language.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidName { .. } => ErrorCode::InvalidName,
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::InvalidConfig { .. } => ErrorCode::InvalidConfig,
            Self::ConfigMismatch { .. } => ErrorCode::ConfigMismatch,
            Self::WriterConnected { .. } => ErrorCode::WriterConnected,
            Self::ReaderConnected { .. } => ErrorCode::ReaderConnected,
            Self::NameTaken { .. } => ErrorCode::NameTaken,
            Self::NoWorkGroup { .. } => ErrorCode::NoWorkGroup,
            Self::NoSuchReader { .. } => ErrorCode::NoSuchReader,
            Self::ReaderAlive { .. } => ErrorCode::ReaderAlive,
            Self::NoReaderSlot { .. } => ErrorCode::NoReaderSlot,
            Self::NoSpace { .. } => ErrorCode::NoSpace,
            Self::WrongVersion { .. } => ErrorCode::WrongVersion,
            Self::UnknownFeatures { .. } => ErrorCode::UnknownFeatures,
            Self::Damaged { .. } => ErrorCode::Damaged,
            Self::NotReady { .. } => ErrorCode::NotReady,
            Self::MissingSemaphores { .. } => ErrorCode::MissingSemaphores,
            Self::NoReader { .. } => ErrorCode::NoReader,
            Self::OtherProtocol { .. } => ErrorCode::OtherProtocol,
            Self::NotABuffer { .. } => ErrorCode::NotABuffer,
            Self::InUse { .. } => ErrorCode::InUse,
            Self::UnsuitableDirectory { .. } => ErrorCode::UnsuitableDirectory,
            Self::Io { .. } => ErrorCode::System,
        }
    }
}
