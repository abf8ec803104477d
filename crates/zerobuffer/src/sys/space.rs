//! How much memory can be had, before any of it is taken.
//!
//! `fallocate` on tmpfs fails cleanly at the file system's own limit only. Beyond available memory, or beyond a
//! cgroup's limit, it succeeds and the OOM killer kills somebody later. So these are asked first.

use std::fs;
use std::path::{Path, PathBuf};

/// The tightest limit found: bytes to be had, and what it is a limit of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) available: u64,
    pub(crate) place: String,
    pub(crate) advice: &'static str,
}

/// A memory limit of a control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupLimit {
    pub(crate) group: PathBuf,
    pub(crate) limit: u64,
    /// What counts against it.
    pub(crate) used: u64,
    /// What the kernel takes back by itself out of that when memory is needed: the page cache of files on disks. What is
    /// in a tmpfs, as buffers are, is not among it.
    pub(crate) reclaimable: u64,
}

impl GroupLimit {
    pub(crate) fn available(&self) -> u64 {
        self.limit.saturating_sub(self.used.saturating_sub(self.reclaimable))
    }
}

/// The tightest of available memory and the memory limits of this process's cgroups; `None` if unlimited.
pub(crate) fn memory_limit() -> Option<Limit> {
    let tree = Tree::system();
    let groups = tree.group_limits();
    let tightest = groups.iter().min_by_key(|limit| limit.available()).map(|group| Limit {
        available: group.available(),
        place: format!("the memory limit of cgroup {}", group.group.display()),
        advice: "ask for a smaller payload, or raise the container's memory limit (`--memory`, `mem_limit`)",
    });
    [tree.available_memory(), tightest].into_iter().flatten().min_by_key(|l| l.available)
}

/// Every memory limit of this process's control groups, of either version, up to their roots.
pub(crate) fn group_limits() -> Vec<GroupLimit> {
    Tree::system().group_limits()
}

/// Where the kernel shows memory and cgroups: the real ones, or a test's imitation.
struct Tree {
    meminfo: PathBuf,
    own_cgroups: PathBuf,
    cgroup_root: PathBuf,
}

impl Tree {
    fn system() -> Self {
        Self {
            meminfo: "/proc/meminfo".into(),
            own_cgroups: "/proc/self/cgroup".into(),
            cgroup_root: "/sys/fs/cgroup".into(),
        }
    }

    fn available_memory(&self) -> Option<Limit> {
        let text = fs::read_to_string(&self.meminfo).ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(Limit {
            available: kibibytes.saturating_mul(1024),
            place: "the machine's available memory".into(),
            advice: "ask for a smaller payload, or free memory",
        })
    }

    /// Goes through this process's memory cgroups of either version, and up through their parents.
    fn group_limits(&self) -> Vec<GroupLimit> {
        let text = fs::read_to_string(&self.own_cgroups).unwrap_or_default();
        let mut found = Vec::new();
        for line in text.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
                continue;
            };
            let (roots, version): (&[&str], _) = if controllers.split(',').any(|c| c == "memory") {
                (&["memory"], &VERSION_1)
            } else if controllers.is_empty() {
                (&["", "unified"], &VERSION_2)
            } else {
                continue;
            };
            for root in roots {
                let base = self.cgroup_root.join(root);
                // Inside a container the path may be the host's and not exist: the base itself still counts.
                let own = base.join(path.trim_start_matches('/'));
                let groups = own.ancestors().take_while(|at| at.starts_with(&base));
                found.extend(groups.filter_map(|at| version.limit(at)));
            }
        }
        found
    }
}

/// Files in which a version of control groups tells of memory.
struct Version {
    limit: &'static str,
    used: &'static str,
    /// Lines of `memory.stat`: pages of files, which a tmpfs's are not among (it counts as anonymous memory there).
    reclaimable: [&'static str; 2],
}

const VERSION_1: Version = Version {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    // Together with those of the groups below, as usage is.
    reclaimable: ["total_inactive_file", "total_active_file"],
};

const VERSION_2: Version = Version {
    limit: "memory.max",
    used: "memory.current",
    reclaimable: ["inactive_file", "active_file"],
};

/// A limit from this on is none: version 1 writes the largest multiple of the page size.
const NO_LIMIT: u64 = 1 << 60;

impl Version {
    fn limit(&self, group: &Path) -> Option<GroupLimit> {
        let text = |file: &str| fs::read_to_string(group.join(file)).ok();
        let number = |file: &str| text(file)?.trim().parse::<u64>().ok();
        let limit = number(self.limit).filter(|&bytes| bytes < NO_LIMIT)?;
        let stat = text("memory.stat").unwrap_or_default();
        let of = |name: &str| {
            let value = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.and_then(|value| value.trim().parse().ok()).unwrap_or(0_u64)
        };
        let reclaimable =
            self.reclaimable.iter().fold(0_u64, |sum, name| sum.saturating_add(of(name)));
        let used = number(self.used).unwrap_or(0);
        Some(GroupLimit { group: group.to_owned(), limit, used, reclaimable })
    }
}

/// Bytes that a file of this process may have; one that grows further ends the process (`SIGXFSZ`).
pub(crate) fn file_size_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imitation(own_cgroups: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("meminfo", "MemTotal: 10 kB\nMemAvailable:     2048 kB\n");
        write("own", own_cgroups);
        for (name, text) in files {
            write(name, text);
        }
        let tree = Tree {
            meminfo: dir.path().join("meminfo"),
            own_cgroups: dir.path().join("own"),
            cgroup_root: dir.path().join("cgroup"),
        };
        (dir, tree)
    }

    #[test]
    fn version_2_limits_count_up_to_the_root() {
        let (_dir, tree) = imitation(
            "0::/pod/box\n",
            &[
                ("cgroup/pod/memory.max", "1000000\n"),
                ("cgroup/pod/memory.current", "999000\n"),
                ("cgroup/pod/box/memory.max", "max\n"),
            ],
        );
        let limits = tree.group_limits();
        assert!(limits[0].group.ends_with("cgroup/pod"));
        assert_eq!((limits.len(), limits[0].available()), (1, 1000));
    }

    #[test]
    fn version_1_limits_are_found_under_their_controller() {
        let (_dir, tree) = imitation(
            "3:cpu,memory:/box\n1:name=systemd:/\n0::/\n",
            &[
                ("cgroup/memory/memory.limit_in_bytes", "9223372036854771712"),
                ("cgroup/memory/box/memory.limit_in_bytes", "5000"),
                ("cgroup/memory/box/memory.usage_in_bytes", "6000"),
            ],
        );
        assert_eq!(tree.group_limits()[0].available(), 0);
    }

    #[test]
    fn a_path_of_the_host_falls_back_to_the_containers_own_root() {
        let (_dir, tree) = imitation(
            "0::/../../host/path\n",
            &[("cgroup/memory.max", "4096"), ("cgroup/memory.current", "96")],
        );
        assert_eq!(tree.group_limits()[0].available(), 4000);
    }

    #[test]
    fn page_cache_is_no_use_of_memory_but_shared_memory_is() {
        let stat = "cache 150\nshmem 40\ninactive_file 1\nactive_file 1\ninactive_anon 40\ntotal_inactive_file 60\n\
                    total_active_file 50\n";
        let (_dir, tree) = imitation(
            "3:memory:/box\n0::/box\n",
            &[
                ("cgroup/memory/box/memory.limit_in_bytes", "200"),
                ("cgroup/memory/box/memory.usage_in_bytes", "199"),
                ("cgroup/memory/box/memory.stat", stat),
                ("cgroup/box/memory.max", "300"),
                ("cgroup/box/memory.current", "290"),
                (
                    "cgroup/box/memory.stat",
                    "file 280\nshmem 150\ninactive_file 100\nactive_file 30\n",
                ),
            ],
        );
        let available: Vec<_> = tree.group_limits().iter().map(GroupLimit::available).collect();
        assert_eq!(available, [111, 140]);
    }

    #[test]
    fn available_memory_is_read_in_bytes() {
        let (_dir, tree) = imitation("", &[]);
        assert_eq!(tree.available_memory().unwrap().available, 2048 * 1024);
        assert_eq!(tree.group_limits(), []);
    }
}
