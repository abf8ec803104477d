//! What can go wrong, one enum per family of calls.
//!
//! Each message names the buffer, what was found, what was expected, and what to do next. Errors of the
//! frame path do not allocate.

mod any;
mod code;
mod metadata;
mod open;
mod peer;
mod read;
mod write;

pub use any::{Error, Result};
pub use code::ErrorCode;
pub use metadata::MetadataError;
pub use open::OpenError;
pub(crate) use peer::Presence;
pub use peer::{Peer, WriterPresence};
pub use read::ReadError;
pub use write::WriteError;
