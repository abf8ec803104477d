//! What a process has used: time of the processor, and memory.

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};

/// Time of the processor that this process has had so far, in user and in system mode.
pub(crate) fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// Memory that this process is charged with: its own, and its share of what it shares (so that the sum over processes
/// counts every page once).
pub(crate) fn memory_bytes() -> anyhow::Result<f64> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup")
        .context("read how much memory this process uses")?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    Ok(kib.context("the kernel reports no proportional memory")? * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_used_is_seen() {
        let before = memory_bytes().unwrap();
        let block = std::hint::black_box(vec![1_u8; 16 << 20]);
        let grown = memory_bytes().unwrap() - before;
        assert!(grown > 15e6, "{grown} after {} bytes", block.len());
    }

    #[test]
    fn time_that_is_used_is_seen() {
        let before = cpu_seconds();
        while cpu_seconds() - before < 0.001 {
            std::hint::spin_loop();
        }
    }
}
