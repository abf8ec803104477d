//! Removing a buffer.

use std::fs;
use std::path::Path;

use super::snapshot::{Snapshot, snapshot};
use crate::v1;
use crate::v2::ground::removal::{self, Retired};
use crate::values::config::Protocol;
use crate::values::error::OpenError;
use crate::values::name::Location;
use crate::values::printable::printable;

/// What a removal threw away.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// Size of the file in bytes.
    pub file_bytes: u64,
    /// Committed frames that the slowest durable reader had not received.
    pub undelivered_frames: u64,
    /// Whether somebody was attached, and has been told.
    pub was_in_use: bool,
}

/// Removes a buffer, damaged ones too. One that is in use only by `force`: those who use it are told, and go on
/// with memory that nobody else will see.
///
/// # Errors
/// [`OpenError::InUse`] without `force` while somebody is attached; [`OpenError::NotFound`] and others.
pub fn remove(name: &str, dir: &Path, force: bool) -> Result<Removed, OpenError> {
    let place = Location::new(name, Some(dir))?;
    let seen = snapshot(name, dir).ok();
    if let Some(seen) = &seen
        && seen.protocol == Protocol::V1
    {
        let undelivered_frames = seen.readers.iter().map(|reader| reader.lag_frames).sum();
        let removed = v1::engine::inspect::remove(name, force)?;
        let was_in_use = removed.reader_alive || removed.writer_alive;
        return Ok(Removed { file_bytes: removed.file_bytes, undelivered_frames, was_in_use });
    }
    let file_bytes = fs::metadata(&place.path).map_or(0, |facts| facts.len());
    let undelivered_frames = seen.as_ref().map_or(0, |seen| {
        let durable = seen.readers.iter().filter(|reader| reader.durable);
        durable.map(|reader| reader.lag_frames).max().unwrap_or(0)
    });
    let removed = |was_in_use| Removed { file_bytes, undelivered_frames, was_in_use };
    match removal::remove_if_unused(&place, true)? {
        Retired::InUse if force => removal::remove_by_force(&place).map(|()| removed(true)),
        Retired::InUse => {
            let users = seen.map_or_else(|| "somebody".to_owned(), |seen| users(&seen));
            Err(OpenError::InUse { name: name.to_owned(), users })
        }
        Retired::NotThere => {
            Err(OpenError::NotFound { name: name.to_owned(), dir: dir.to_path_buf() })
        }
        Retired::Removed | Retired::HasUnread => Ok(removed(false)),
    }
}

fn users(seen: &Snapshot) -> String {
    let writer =
        seen.writer.iter().filter(|w| w.alive).map(|w| format!("its writer (pid {})", w.pid));
    let readers = seen
        .readers
        .iter()
        .filter(|r| r.alive)
        .map(|r| format!("reader `{}` (pid {})", printable(&r.name), r.pid));
    let all: Vec<_> = writer.chain(readers).collect();
    if all.is_empty() {
        "a process that is just joining or leaving".into()
    } else {
        all.join(" and ")
    }
}
