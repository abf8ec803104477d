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

/// The tightest of available memory and the memory limits of this process's cgroups; `None` if unlimited.
pub(crate) fn memory_limit() -> Option<Limit> {
    let tree = Tree::system();
    [tree.available_memory(), tree.tightest_cgroup()]
        .into_iter()
        .flatten()
        .min_by_key(|l| l.available)
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
    fn tightest_cgroup(&self) -> Option<Limit> {
        let text = fs::read_to_string(&self.own_cgroups).ok()?;
        let mut tightest: Option<Limit> = None;
        for line in text.lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) =
                (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let (roots, limit_file, usage_file): (&[&str], _, _) =
                if controllers.split(',').any(|c| c == "memory") {
                    (&["memory"], "memory.limit_in_bytes", "memory.usage_in_bytes")
                } else if controllers.is_empty() {
                    (&["", "unified"], "memory.max", "memory.current")
                } else {
                    continue;
                };
            for root in roots {
                let base = self.cgroup_root.join(root);
                // Inside a container the path may be the host's and not exist: the base itself still counts.
                let own = base.join(path.trim_start_matches('/'));
                let mut folder: Option<&Path> = Some(&own);
                while let Some(at) = folder.filter(|at| at.starts_with(&base)) {
                    if let Some(limit) = cgroup_limit(at, limit_file, usage_file)
                        && tightest.as_ref().is_none_or(|t| limit.available < t.available)
                    {
                        tightest = Some(limit);
                    }
                    folder = at.parent();
                }
            }
        }
        tightest
    }
}

fn cgroup_limit(folder: &Path, limit_file: &str, usage_file: &str) -> Option<Limit> {
    let number =
        |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
    // "max", or version 1's astronomically large number, is no limit.
    let limit = number(limit_file).filter(|&bytes| bytes < 1 << 60)?;
    Some(Limit {
        available: limit.saturating_sub(number(usage_file).unwrap_or(0)),
        place: format!("the memory limit of cgroup {}", folder.display()),
        advice: "ask for a smaller payload, or raise the container's memory limit (`--memory`, `mem_limit`)",
    })
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
        let limit = tree.tightest_cgroup().unwrap();
        assert_eq!(limit.available, 1000);
        assert!(limit.place.ends_with("cgroup/pod"));
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
        assert_eq!(tree.tightest_cgroup().unwrap().available, 0);
    }

    #[test]
    fn a_path_of_the_host_falls_back_to_the_containers_own_root() {
        let (_dir, tree) = imitation(
            "0::/../../host/path\n",
            &[("cgroup/memory.max", "4096"), ("cgroup/memory.current", "96")],
        );
        assert_eq!(tree.tightest_cgroup().unwrap().available, 4000);
    }

    #[test]
    fn available_memory_is_read_in_bytes() {
        let (_dir, tree) = imitation("", &[]);
        assert_eq!(tree.available_memory().unwrap().available, 2048 * 1024);
        assert_eq!(tree.tightest_cgroup(), None);
    }
}
