//! Any error of this library.

use super::{MetadataError, OpenError, ReadError, WriteError};

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
