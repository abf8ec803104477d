//! What a process takes of the machine, as the kernel counts it.

use std::path::Path;

use serde::Serialize;

/// At one moment.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Taken {
    /// Private memory in use, in KiB: what a leak would make grow.
    pub(crate) memory_kib: u64,
    pub(crate) descriptors: u64,
    pub(crate) mappings: u64,
    pub(crate) threads: u64,
}

/// `None`: there is no such process any more.
pub(crate) fn taken(pid: u32) -> Option<Taken> {
    let of = Path::new("/proc").join(pid.to_string());
    let status = std::fs::read_to_string(of.join("status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_ascii_whitespace().nth(1)?.parse().ok()
    };
    Some(Taken {
        memory_kib: field("RssAnon:")?,
        threads: field("Threads:")?,
        descriptors: std::fs::read_dir(of.join("fd")).ok()?.count() as u64,
        mappings: std::fs::read_to_string(of.join("maps")).ok()?.lines().count() as u64,
    })
}

/// Names in a directory.
pub(crate) fn files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
