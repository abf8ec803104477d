//! The buffers of a directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::snapshot::{Snapshot, snapshot, snapshot_v1};
use crate::v1;
use crate::values::config::Protocol;
use crate::values::error::OpenError;
use crate::values::name::Location;

/// A buffer found in a directory.
#[derive(Debug)]
#[non_exhaustive]
pub struct Listing {
    /// Its name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// Size of its file in bytes.
    pub file_bytes: u64,
    /// Its protocol.
    pub protocol: Protocol,
    /// What it holds; an error for one that is damaged or may not be read.
    pub snapshot: Result<Snapshot, OpenError>,
}

/// The buffers in a directory, by name. What is not a buffer is passed over.
///
/// # Errors
/// When the directory cannot be read.
pub fn list(dir: &Path) -> io::Result<Vec<Listing>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let Some(name) = file_name.to_str().and_then(Location::buffer_of) else {
            continue;
        };
        found.push(Listing {
            name: name.to_owned(),
            path: entry.path(),
            file_bytes: entry.metadata().map_or(0, |facts| facts.len()),
            protocol: Protocol::V2,
            snapshot: snapshot(name, dir),
        });
    }
    if dir == Path::new(v1::ground::segment::SHM_DIR) {
        for name in v1::engine::inspect::list()? {
            let path = dir.join(&name);
            let file_bytes = fs::metadata(&path).map_or(0, |facts| facts.len());
            let snapshot = snapshot_v1(&name);
            found.push(Listing { name, path, file_bytes, protocol: Protocol::V1, snapshot });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}
