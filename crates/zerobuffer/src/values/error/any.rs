//! Any error of this library.

use super::{ErrorCode, MetadataError, OpenError, ReadError, WriteError};

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

impl Error {
    /// The number of this condition; the same in every language.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Open(error) => error.code(),
            Self::Write(error) => error.code(),
            Self::Read(error) => error.code(),
            Self::Metadata(error) => error.code(),
            #[cfg(not(loom))]
            Self::Call(error) => error.code(),
        }
    }

    /// Not now: the same call may succeed later.
    pub fn is_timeout(&self) -> bool {
        self.code().is_not_now()
    }

    /// Never again: the end that it came from is to be dropped.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Open(_) => false,
            Self::Write(error) => error.is_final(),
            Self::Read(error) => error.is_final(),
            Self::Metadata(error) => error.is_final(),
            #[cfg(not(loom))]
            Self::Call(error) => error.is_final(),
        }
    }
}

/// `Result` with this library's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
