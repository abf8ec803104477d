//! Whether a process that announced its pid still runs, as far as this side can tell.

use std::fs;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// A process as announced in the control block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u64,
    /// When it began, to tell a successor with the same pid; `None` where `/proc` does not tell.
    start_time: Option<u64>,
}

impl Process {
    /// Remembers the process that has this pid now.
    pub(crate) fn observe(pid: u64) -> Self {
        Self { pid, start_time: status(pid).map(|(_, start_time)| start_time) }
    }

    /// Whether it still runs. A zombie does not; one that we may not signal does (L13); another process that
    /// got the same pid later is not it.
    pub(crate) fn is_alive(self) -> bool {
        is_alive(self.pid)
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
    fn l13_a_zombie_is_dead_and_a_reused_pid_is_another_process() {
        let own = u64::from(std::process::id());
        assert!(is_alive(own) && Process::observe(own).is_alive());
        // Whatever the user, process 1 is there; without privileges the probe says "not permitted".
        assert!(is_alive(1));
        for none in [0, u64::from(u32::MAX), 1 << 40, u64::MAX] {
            assert!(!is_alive(none), "{none}");
        }
        let reused = Process { pid: own, start_time: Some(1) };
        assert!(!reused.is_alive());
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
