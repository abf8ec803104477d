//! The processor's caches.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// Bytes of the largest cache that the first core uses, which others use too; 0 where the system does not tell.
pub(crate) fn largest_bytes() -> u64 {
    static BYTES: OnceLock<u64> = OnceLock::new();
    *BYTES.get_or_init(|| largest_below(Path::new("/sys/devices/system/cpu/cpu0/cache")))
}

fn largest_below(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let sizes =
        entries.flatten().filter_map(|entry| fs::read_to_string(entry.path().join("size")).ok());
    sizes.filter_map(|text| parse(&text)).max().unwrap_or(0)
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
        assert_eq!(largest_below(&dir.path().join("missing")), 0);
        for (index, size) in ["48K\n", "2048K\n", "266240K\n", "many\n", "99999999999999999999K\n"]
            .iter()
            .enumerate()
        {
            let cache = dir.path().join(format!("index{index}"));
            fs::create_dir(&cache).expect("a directory");
            fs::write(cache.join("size"), size).expect("a file");
        }
        fs::write(dir.path().join("uevent"), "").expect("a file");
        assert_eq!(largest_below(dir.path()), 260 << 20);
    }
}
