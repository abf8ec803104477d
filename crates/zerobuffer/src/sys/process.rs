//! Who this process is, and since when its machine runs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use super::clock;
use super::time::{monotonic_ns, unix_ns};

/// What an endpoint announces of its process: for people, never for decisions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    pub(crate) start_time: u64,
    pub(crate) pid_namespace: u64,
    pub(crate) now_ns: u64,
}

/// This process, now. What `/proc` does not tell is 0.
pub(crate) fn identity() -> Identity {
    Identity {
        pid: std::process::id(),
        start_time: start_time_of("self").unwrap_or(0),
        pid_namespace: fs::metadata("/proc/self/ns/pid").map_or(0, |m| m.ino()),
        now_ns: unix_ns(),
    }
}

/// This process's id, in its own PID namespace.
pub(crate) fn id() -> u32 {
    std::process::id()
}

/// Field 22 of `/proc/PID/stat`. The name in field 2 may contain anything, so fields count from its last `)`.
fn start_time_of(pid: &str) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The kernel's id of this boot, zeros where it does not tell.
pub(crate) fn boot_id() -> [u8; 16] {
    let mut id = [0; 16];
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mut digits = text.bytes().filter_map(|b| char::from(b).to_digit(16));
    for byte in &mut id {
        let (Some(high), Some(low)) = (digits.next(), digits.next()) else {
            return [0; 16];
        };
        *byte = (high << 4 | low) as u8;
    }
    id
}

/// When this boot began, on the clock that says what time it is; `None` where that cannot be told.
///
/// A time namespace shifts the clock since boot. What it was shifted by is taken off again.
pub(crate) fn booted_at() -> Option<SystemTime> {
    let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let since = i128::from(since.tv_sec) * 1_000_000_000 + i128::from(since.tv_nsec);
    let running = since - i128::from(clock::offsets()?.boottime_ns);
    SystemTime::now().checked_sub(Duration::from_nanos(u64::try_from(running).ok()?))
}

/// A number that nobody else has, as far as that can be.
pub(crate) fn random_u64() -> u64 {
    let mut token = [0; 8];
    let filled = rustix::rand::getrandom(&mut token, rustix::rand::GetRandomFlags::empty());
    // It only has to differ from others; the clock does where there is no randomness.
    filled.map_or_else(|_| monotonic_ns(), |_| u64::from_le_bytes(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_knows_itself() {
        let identity = identity();
        assert_eq!(identity.pid, std::process::id());
        assert!(identity.start_time > 0 && identity.pid_namespace > 0);
        assert_ne!(boot_id(), [0; 16]);
    }
}
