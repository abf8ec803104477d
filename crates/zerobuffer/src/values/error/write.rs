//! Why a frame was not written.

use std::sync::Arc;
use std::time::Duration;

use super::code::ErrorCode;
use super::peer::{Peer, Presence};
use crate::values::printable::printable;

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

impl WriteError {
    /// The number of this condition; the same in every language.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::EmptyFrame { .. } => ErrorCode::EmptyFrame,
            Self::NoAttributes { .. } => ErrorCode::NoAttributes,
            Self::FrameTooLarge { .. } => ErrorCode::FrameTooLarge,
            Self::NeverFitsHere { .. } => ErrorCode::NeverFitsHere,
            Self::Full { .. } => ErrorCode::Full,
            Self::ReaderGone { .. } => ErrorCode::ReaderGone,
            Self::NoReader { .. } => ErrorCode::NoReader,
            Self::Damaged { .. } => ErrorCode::Damaged,
            Self::Retired { .. } => ErrorCode::Retired,
            Self::CutShort { .. } => ErrorCode::CutShort,
            Self::Forked { .. } => ErrorCode::Forked,
        }
    }

    /// The ring had no room in time.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// Never again: this end is to be dropped. So it is with a 1.0 buffer that went with its reader.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::ReaderGone { took_buffer: true, .. }) || self.code().is_final()
    }
}
