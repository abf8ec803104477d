//! Memory limits of the control groups that this process is in, both versions. Frames in shared memory count
//! against them.

use std::fs;
use std::path::{Path, PathBuf};

use super::Finding;
use crate::sizes;

const CHECK: &str = "cgroup memory";
/// A limit above this is "none" (version 1 writes the largest multiple of the page size).
const NO_LIMIT: u64 = 1 << 60;
/// The default ring and what a process needs besides.
const COMFORTABLE: u64 = 64 << 20;

pub(super) fn memory() -> Vec<Finding> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    vec![judge(&limits(&groups, Path::new("/sys/fs/cgroup")))]
}

/// A limit and what is used of it.
#[derive(Debug, PartialEq, Eq)]
struct Limit {
    group: PathBuf,
    limit: u64,
    used: u64,
}

fn judge(limits: &[Limit]) -> Finding {
    let left = |limit: &Limit| limit.limit.saturating_sub(limit.used);
    let Some(tightest) = limits.iter().min_by_key(|limit| left(limit)) else {
        return Finding::good(CHECK, "no limit");
    };
    let found = format!(
        "{} left of {} ({})",
        sizes::show(left(tightest)),
        sizes::show(tightest.limit),
        tightest.group.display()
    );
    if left(tightest) < COMFORTABLE {
        Finding::bad(
            CHECK,
            found,
            "raise the limit (docker: --memory, systemd: MemoryMax=) or use smaller buffers",
        )
    } else {
        Finding::good(CHECK, found)
    }
}

/// Every limit from our group up to the root, as `/proc/self/cgroup` describes it.
fn limits(groups: &str, root: &Path) -> Vec<Limit> {
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let relative = path.trim_start_matches('/');
        if controllers.is_empty() {
            walk(root, relative, "memory.max", "memory.current", &mut found);
        } else if controllers.split(',').any(|name| name == "memory") {
            let root = root.join("memory");
            walk(&root, relative, "memory.limit_in_bytes", "memory.usage_in_bytes", &mut found);
        }
    }
    found
}

fn walk(root: &Path, relative: &str, limit: &str, used: &str, found: &mut Vec<Limit>) {
    let number = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let group = root.join(relative);
    // Inside a container the path is that of the host, and only the root of the tree is there.
    for group in group.ancestors().take_while(|group| group.starts_with(root)) {
        let Some(limit) = number(group.join(limit)).filter(|limit| *limit < NO_LIMIT) else {
            continue;
        };
        let used = number(group.join(used)).unwrap_or(0);
        found.push(Limit { group: group.to_owned(), limit, used });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(dir: &Path, name: &str, text: &str) {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join(name), text).unwrap();
    }

    #[test]
    fn both_versions_are_found_up_to_the_root() {
        let root = tempfile::tempdir().unwrap();
        let (two, one) = (root.path().join("a/b"), root.path().join("memory/x"));
        put(&two, "memory.max", "max\n");
        put(&root.path().join("a"), "memory.max", "1000\n");
        put(&root.path().join("a"), "memory.current", "400\n");
        put(&one, "memory.limit_in_bytes", "5000\n");
        put(&root.path().join("memory"), "memory.limit_in_bytes", "9223372036854771712\n");
        let found = limits("5:cpu,memory:/x\n3:pids:/y\n0::/a/b\n", root.path());
        assert_eq!(
            found,
            [
                Limit { group: one, limit: 5000, used: 0 },
                Limit { group: root.path().join("a"), limit: 1000, used: 400 },
            ]
        );
    }

    #[test]
    fn the_tightest_limit_decides() {
        let limit = |limit, used| Limit { group: "g".into(), limit, used };
        assert_eq!(judge(&[]).verdict, super::super::Verdict::Good);
        assert_eq!(judge(&[limit(1 << 30, 0)]).verdict, super::super::Verdict::Good);
        let tight = [limit(1 << 30, 0), limit(1 << 30, (1 << 30) - 1)];
        assert_eq!(judge(&tight).verdict, super::super::Verdict::Bad);
    }
}
