//! One clock for processes in different time namespaces.
//!
//! A time namespace (containers that were checkpointed and restored, `unshare --time`) shifts `CLOCK_MONOTONIC` for those in it.
//! The kernel tells by how much, relative to the machine's own clock, so each process takes its shift off.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::fork;
use super::time::monotonic_ns;

/// By how much this process's clocks are ahead of the machine's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Offsets {
    pub(crate) monotonic_ns: i64,
    pub(crate) boottime_ns: i64,
}

/// Asks the kernel; `None` where it does not tell.
pub(crate) fn offsets() -> Option<Offsets> {
    // The file tells of the children's namespace, which differs after `unshare` without `fork`.
    let inode = |name: &str| fs::metadata(format!("/proc/self/ns/{name}")).map(|found| found.ino());
    match (inode("time"), inode("time_for_children")) {
        (Ok(own), Ok(children)) if own == children => {
            parse(&fs::read_to_string("/proc/self/timens_offsets").ok()?)
        }
        // Kernels before 5.6 have no such namespaces.
        (Err(error), Err(_)) if error.kind() == io::ErrorKind::NotFound => {
            fs::metadata("/proc/self/ns/pid").ok().map(|_| Offsets::default())
        }
        _ => None,
    }
}

/// Lines of a clock's name, seconds and nanoseconds.
fn parse(text: &str) -> Option<Offsets> {
    let of = |clock: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(clock))?;
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<i64>);
        let (seconds, nanoseconds) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
    };
    Some(Offsets { monotonic_ns: of("monotonic")?, boottime_ns: of("boottime")? })
}

/// How the offset is kept in one word: 0 not asked, 1 not known, otherwise shifted by two bits, of which the lower is 0.
const UNKNOWN: u64 = 1;
const KNOWN: u64 = 2;

/// The offset of this process, asked for once; again in a forked child, which may be in another namespace.
fn offset_ns() -> Option<i64> {
    static WORD: OnceLock<&'static AtomicU64> = OnceLock::new();
    let word = WORD.get_or_init(fork::wiped_word);
    let mut kept = word.load(Ordering::Relaxed);
    if kept == 0 {
        kept = offsets().map_or(UNKNOWN, |found| (found.monotonic_ns << 2) as u64 | KNOWN);
        word.store(kept, Ordering::Relaxed);
    }
    (kept != UNKNOWN).then_some(kept as i64 >> 2)
}

/// What a frame is stamped with: nanoseconds of the machine's own `CLOCK_MONOTONIC`; 0 where this process cannot tell.
pub(crate) fn stamp_ns() -> u64 {
    let now = monotonic_ns();
    offset_ns().and_then(|offset| now.checked_add_signed(offset.wrapping_neg())).unwrap_or(0)
}

/// A stamp on this process's own `CLOCK_MONOTONIC`; `None` where the two cannot be compared.
pub(crate) fn own_time(stamp: u64) -> Option<Duration> {
    let offset = offset_ns().filter(|_| stamp != 0)?;
    stamp.checked_add_signed(offset).map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_as_the_kernel_writes_them() {
        let found = parse("monotonic        1000         5\nboottime          -10         0\n");
        let expected = Offsets { monotonic_ns: 1_000_000_000_005, boottime_ns: -10_000_000_000 };
        assert_eq!(found, Some(expected));
        assert_eq!(parse(""), None);
        assert_eq!(parse("monotonic 9223372036854775807 0\nboottime 0 0\n"), None);
    }

    #[test]
    fn a_stamp_comes_back_as_the_time_it_was_made_at() {
        let before = Duration::from_nanos(monotonic_ns());
        let stamp = stamp_ns();
        let after = Duration::from_nanos(monotonic_ns());
        let time = own_time(stamp).expect("/proc is there");
        assert!(before <= time && time <= after);
        assert_eq!(own_time(0), None);
    }
}
