//! Whether a process that announced its pid still runs, as far as this side can tell.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::locks::FileId;

/// The file system of `/dev/shm`. On others `/proc/PID/maps` may show another device than `stat` does.
const TMPFS: u64 = 0x0102_1994;
/// Who has more is not looked at to the end. The kernel's own limit is 65,530 unless it was raised.
const MOST_MAPPINGS: usize = 1 << 18;

/// A process as announced in the control block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u64,
    /// Whether some process had the pid: if none had, whoever has it later is another one.
    was_there: bool,
    /// When it began, to tell a successor with the same pid; `None` where `/proc` does not tell.
    start_time: Option<u64>,
}

impl Process {
    /// Remembers the process that has this pid now.
    pub(crate) fn observe(pid: u64) -> Self {
        let start_time = status(pid).map(|(_, start_time)| start_time);
        Self { pid, was_there: is_alive(pid), start_time }
    }

    /// Whether it still runs. A zombie does not; one that we may not signal does (L13); another process that
    /// got the same pid later is not it.
    pub(crate) fn is_alive(self) -> bool {
        self.was_there
            && is_alive(self.pid)
            && match (self.start_time, status(self.pid)) {
                (Some(then), Some((_, now))) => then == now,
                _ => true,
            }
    }
}

/// Whether some process has this pid and is not a zombie.
pub(crate) fn is_alive(pid: u64) -> bool {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    match test_kill_process(raw) {
        Err(Errno::SRCH) => false,
        // Includes "not permitted": there is somebody.
        _ => !matches!(status(pid), Some(('Z' | 'X' | 'x', _))),
    }
}

/// Whether the process that has this pid cannot be the one that announced it for this file: whoever uses a buffer has it
/// mapped. False where the system does not tell.
pub(crate) fn is_stranger(pid: u64, file: impl AsFd) -> bool {
    let facts = rustix::fs::fstatfs(&file);
    if facts.map_or(true, |facts| facts.f_type as u64 != TMPFS) {
        return false;
    }
    FileId::of(&file).is_some_and(|id| has_mapped(pid, id) == Some(false))
}

/// Whether a process has mapped a file, as `/proc/PID/maps` says; `None` where that may not be read.
fn has_mapped(pid: u64, file: FileId) -> Option<bool> {
    let maps = BufReader::new(fs::File::open(format!("/proc/{pid}/maps")).ok()?);
    for (index, line) in maps.split(b'\n').enumerate() {
        let line = line.ok().filter(|_| index < MOST_MAPPINGS)?;
        // Addresses, access, offset, device, inode; then a name, in any bytes.
        let mut fields =
            line.split(|byte| *byte == b' ').map(|field| str::from_utf8(field).unwrap_or_default());
        let (major, minor) = fields.nth(3)?.split_once(':')?;
        let hex = |digits| u32::from_str_radix(digits, 16).ok();
        let device = rustix::fs::makedev(hex(major)?, hex(minor)?);
        if (FileId { device, inode: fields.next()?.parse().ok()? }) == file {
            return Some(true);
        }
    }
    Some(false)
}

/// State letter and start time from `/proc/PID/stat`. The name in field 2 may contain anything, so fields
/// count from its last `)`.
fn status(pid: u64) -> Option<(char, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_not_mapped_a_file_does_not_use_it() {
        let own = u64::from(std::process::id());
        let program = fs::File::open(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(has_mapped(own, FileId::of(&program).unwrap()), Some(true));
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        file.set_len(4096).unwrap();
        assert!(is_stranger(own, &file));
        let sizes = crate::v1::protocol::layout::Sizes::rounded(64, 1024).unwrap();
        let mapping = super::super::mapping::Mapping::new(file.as_fd(), sizes).unwrap();
        assert!(!is_stranger(own, &file));
        drop(mapping);
        assert!(is_stranger(own, &file));
        // Nobody to ask is no answer.
        assert!(!is_stranger(u64::MAX, &file));
    }

    #[test]
    fn l13_a_zombie_is_dead_and_a_reused_pid_is_another_process() {
        let own = u64::from(std::process::id());
        assert!(is_alive(own) && Process::observe(own).is_alive());
        // Whatever the user, process 1 is there; without privileges the probe says "not permitted".
        assert!(is_alive(1));
        for none in [0, u64::from(u32::MAX), 1 << 40, u64::MAX] {
            assert!(!is_alive(none), "{none}");
        }
        let observed = Process::observe(own);
        assert!(!Process { start_time: Some(1), ..observed }.is_alive());
        assert!(!Process { was_there: false, start_time: None, ..observed }.is_alive());
        assert!(Process { start_time: None, ..observed }.is_alive(), "without /proc");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = u64::from(child.id());
        // Not waited for: it stays a zombie once it has ended.
        while is_alive(pid) {
            std::thread::yield_now();
        }
        assert_eq!(status(pid).map(|(state, _)| state), Some('Z'));
        child.wait().unwrap();
        assert!(!is_alive(pid));
    }
}
