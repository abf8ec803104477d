//! Memory limits of the control groups that this process is in, both versions. Frames in shared memory count
//! against them.

use zerobuffer::surroundings::{self, MemoryLimit};

use super::Finding;
use crate::sizes;

const CHECK: &str = "cgroup memory";
/// The default ring and what a process needs besides.
const COMFORTABLE: u64 = 64 << 20;

pub(super) fn memory() -> Vec<Finding> {
    let limits = surroundings::memory_limits();
    let tightest = limits.iter().min_by_key(|limit| limit.available_bytes);
    vec![tightest.map_or_else(|| Finding::good(CHECK, "no limit"), judge)]
}

fn judge(tightest: &MemoryLimit) -> Finding {
    let left = tightest.available_bytes;
    let free = tightest.limit_bytes.saturating_sub(tightest.used_bytes);
    let cached = match left.saturating_sub(free) {
        0 => String::new(),
        bytes => format!(", {} of it page cache that the kernel gives back", sizes::show(bytes)),
    };
    let found = format!(
        "{} left of {}{cached} ({})",
        sizes::show(left),
        sizes::show(tightest.limit_bytes),
        tightest.group.display()
    );
    if left < COMFORTABLE {
        Finding::bad(
            CHECK,
            found,
            "raise the limit (docker: --memory, systemd: MemoryMax=) or use smaller buffers",
        )
    } else {
        Finding::good(CHECK, found)
    }
}
