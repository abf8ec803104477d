//! What the place offers where buffers are to be: tried, not guessed from a version.
//!
//! Containers and sandboxes take away what a kernel has. Of most things the library needs one of several, and takes the one
//! that is there; `zerobuffer doctor` prints what this module finds, with what to do.
//!
//! ```
//! use zerobuffer::surroundings::{self, Feature};
//! # fn main() -> std::io::Result<()> {
//! let dir = zerobuffer::default_dir();
//! for trial in surroundings::try_out(&dir) {
//!     if let Err(error) = &trial.outcome {
//!         eprintln!("{:?} does not work in {}: {error}", trial.feature, dir.display());
//!     }
//!     assert!(trial.feature != Feature::Locks || trial.outcome.is_ok());
//! }
//! # Ok(()) }
//! ```

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sys::{clock, process, space, trial};

/// Something that buffers are made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// A file without a name (`O_TMPFILE`), so that a creator that dies leaves nothing.
    UnnamedFiles,
    /// Giving such a file its name (`linkat` of `/proc/self/fd/N`). Without these two, provisional names are used.
    NamingUnnamedFiles,
    /// Opening an open file once more (`/proc/self/fd/N`). Without it, the name is used.
    Reopening,
    /// A file with a provisional name that gets its proper one without replacing any (`renameat2`, or `link`).
    ProvisionalNames,
    /// Taking the space for a whole file (`fallocate`). Without it, zeros are written.
    Allocation,
    /// Open-file-description locks (`F_OFD_SETLK`), which tell who lives. Nothing stands in for them.
    Locks,
    /// Mapping a file for all to write to. Nothing stands in for it.
    SharedMappings,
}

/// What became of a trial.
#[derive(Debug)]
#[non_exhaustive]
pub struct Check {
    /// What was tried.
    pub feature: Feature,
    /// Whether it worked, or what the system said.
    pub outcome: io::Result<()>,
}

/// Tries every [`Feature`] in a directory, with small files that are gone afterwards. What could not be tried, for it needs a
/// feature that failed, is left out.
pub fn try_out(dir: &Path) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut note = |feature, outcome| checks.push(Check { feature, outcome });
    match trial::unnamed(dir) {
        Ok(fd) => {
            note(Feature::UnnamedFiles, Ok(()));
            let naming = trial::naming(fd.as_fd(), dir, process::random_u64());
            note(Feature::NamingUnnamedFiles, naming);
            note(Feature::Reopening, trial::reopening(fd.as_fd()));
        }
        Err(error) => note(Feature::UnnamedFiles, Err(error)),
    }
    match trial::Named::new(dir, process::random_u64()) {
        Ok(named) => {
            note(Feature::ProvisionalNames, named.renaming());
            note(Feature::Allocation, named.allocation());
            note(Feature::Locks, named.locks());
            note(Feature::SharedMappings, named.mapping());
        }
        Err(error) => note(Feature::ProvisionalNames, Err(error)),
    }
    checks
}

/// A memory limit of a control group that this process is in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryLimit {
    /// The group's folder.
    pub group: PathBuf,
    /// Most bytes that it may use.
    pub limit_bytes: u64,
    /// Bytes that count against that.
    pub used_bytes: u64,
    /// Bytes that can still be had: the page cache of files on disks, which the kernel takes back by itself, is among them.
    /// Shared memory, as buffers are, is not.
    pub available_bytes: u64,
}

/// The memory limits of this process's control groups, of both versions, up to their roots. Against these a new buffer is
/// checked, and against the machine's available memory.
pub fn memory_limits() -> Vec<MemoryLimit> {
    let public = |found: space::GroupLimit| MemoryLimit {
        available_bytes: found.available(),
        group: found.group,
        limit_bytes: found.limit,
        used_bytes: found.used,
    };
    space::group_limits().into_iter().map(public).collect()
}

/// By how much this process's `CLOCK_MONOTONIC` differs from the machine's own, as in a time namespace, and in which
/// direction (`true`: it is ahead). `None` where the system does not tell; then no frame has an age here.
pub fn clock_shift() -> Option<(bool, Duration)> {
    let ns = clock::offsets()?.monotonic_ns;
    Some((ns > 0, Duration::from_nanos(ns.unsigned_abs())))
}
