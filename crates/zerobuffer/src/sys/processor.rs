//! What is known of this processor.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// Whether a hint that a line is about to be written takes it away from another core that has a copy of it, as a store does, and
/// as on processors of Intel. On those of AMD it does nothing then.
pub(crate) fn hints_take_lines() -> bool {
    is_of_intel()
}

/// Whether `rep movsb` takes up to twice as long to lines that another core has lately had as stores do to lines that were
/// [taken by hints](hints_take_lines) before.
pub(crate) fn string_copies_are_slow() -> bool {
    is_of_intel()
}

fn is_of_intel() -> bool {
    static IS_SO: OnceLock<bool> = OnceLock::new();
    *IS_SO.get_or_init(|| vendor().as_flattened() == b"GenuineIntel")
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
fn vendor() -> [[u8; 4]; 3] {
    // SAFETY: every 64-bit processor has the instruction. A later compiler than our oldest one knows that.
    #[allow(unused_unsafe)]
    let id = unsafe { std::arch::x86_64::__cpuid(0) };
    [id.ebx, id.edx, id.ecx].map(u32::to_le_bytes)
}

#[cfg(not(target_arch = "x86_64"))]
fn vendor() -> [[u8; 4]; 3] {
    [[0; 4]; 3]
}

/// Bytes of the largest cache that the first core uses, which others use too; 0 where the system does not tell.
pub(crate) fn largest_cache_bytes() -> u64 {
    static BYTES: OnceLock<u64> = OnceLock::new();
    *BYTES.get_or_init(|| largest_of(Path::new(CACHES)))
}

/// Where the system tells of the first core's caches.
const CACHES: &str = "/sys/devices/system/cpu/cpu0/cache";

/// Bytes of the largest cache that the directory tells of.
fn largest_of(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let sizes = entries
        .flatten()
        .filter_map(|entry| parse(&fs::read_to_string(entry.path().join("size")).ok()?));
    sizes.max().unwrap_or(0)
}

/// A size as the kernel writes it, as in `32768K`.
fn parse(text: &str) -> Option<u64> {
    text.trim().strip_suffix('K')?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_one_counts_and_what_is_no_size_does_not() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(largest_of(&dir.path().join("missing")), 0);
        let sizes = ["48K\n", "2048K\n", "266240K\n", "many\n", "99999999999999999999K\n"];
        for (index, size) in sizes.iter().enumerate() {
            let cache = dir.path().join(format!("index{index}"));
            fs::create_dir(&cache).expect("a directory");
            fs::write(cache.join("size"), size).expect("a file");
        }
        fs::write(dir.path().join("uevent"), "").expect("a file");
        assert_eq!(largest_of(dir.path()), 260 << 20);
    }
}
