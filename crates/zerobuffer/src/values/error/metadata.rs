//! Why metadata could not be set, or read.

use std::sync::Arc;

use super::code::ErrorCode;
use super::peer::Peer;

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

impl MetadataError {
    /// The number of this condition; the same in every language.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::TooLarge { .. } => ErrorCode::MetadataTooLarge,
            Self::AlreadySet { .. } => ErrorCode::MetadataSet,
            Self::NotReplaceable { .. } => ErrorCode::MetadataNotReplaceable,
            Self::Held { .. } => ErrorCode::MetadataHeld,
            Self::Damaged { .. } => ErrorCode::Damaged,
            Self::CutShort { .. } => ErrorCode::CutShort,
            Self::Forked { .. } => ErrorCode::Forked,
        }
    }

    /// Never again: this end is to be dropped.
    pub fn is_final(&self) -> bool {
        self.code().is_final()
    }
}
