//! Why no frame was read.

use std::sync::Arc;
use std::time::Duration;

use super::code::ErrorCode;
use super::peer::WriterPresence;

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

impl ReadError {
    /// The number of this condition; the same in every language.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Timeout { .. } => ErrorCode::Timeout,
            Self::WriterGone { .. } => ErrorCode::WriterGone,
            Self::SpaceTooSmall { .. } => ErrorCode::SpaceTooSmall,
            Self::SequenceGap { .. } => ErrorCode::SequenceGap,
            Self::PayloadLost { .. } => ErrorCode::PayloadLost,
            Self::Damaged { .. } => ErrorCode::Damaged,
            Self::Retired { .. } => ErrorCode::Retired,
            Self::Evicted { .. } => ErrorCode::Evicted,
            Self::CutShort { .. } => ErrorCode::CutShort,
            Self::Forked { .. } => ErrorCode::Forked,
        }
    }

    /// Never again: this end is to be dropped.
    pub fn is_final(&self) -> bool {
        self.code().is_final()
    }
}
