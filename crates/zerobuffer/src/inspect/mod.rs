//! Looking at buffers from outside: without joining, without mapping, also when everyone who uses them hangs,
//! died, or left them damaged.
//!
//! Files are read with plain reads, so nothing in them can harm the one who looks. Other programs may store values meanwhile,
//! so those of one snapshot may not fit together.
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

mod forget;
mod list;
mod remove;
mod snapshot;

pub use forget::{Forgotten, forget};
pub use list::{Listing, list};
pub use remove::{Removed, remove};
pub use snapshot::{SegmentState, Snapshot, WriterInfo, snapshot};

pub use crate::values::config::{Protocol, ReaderKind};
