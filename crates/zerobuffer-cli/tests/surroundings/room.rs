//! How much room there is: what is no use of memory, and file systems that do not tell.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::SMALL;
use crate::ground::{Ground, Needs, finding, not_tested, run, says};

/// A control group of its own with a limit of memory.
struct Group {
    path: PathBuf,
}

impl Group {
    /// `None` where this process may make none.
    fn new(mebibytes: u64) -> Option<Self> {
        let name = format!("zerobuffer-test-{}", std::process::id());
        for (root, file) in [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
            ("/sys/fs/cgroup/unified", "memory.max"),
        ] {
            let path = Path::new(root).join(&name);
            if std::fs::create_dir(&path).is_err() {
                continue;
            }
            let group = Self { path };
            if std::fs::write(group.path.join(file), (mebibytes << 20).to_string()).is_ok() {
                return Some(group);
            }
        }
        None
    }

    /// The words that put what is behind them into the group.
    fn wrapper(&self) -> Vec<String> {
        let script = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.path.display());
        ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its last process may be on its way out.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[test]
fn page_cache_is_no_use_of_memory_and_shared_memory_is() {
    if !Needs::all(&[Needs::Root]) {
        return;
    }
    let Some(group) = Group::new(100) else {
        return not_tested("it needs a control group for memory that can be made here");
    };
    let wrapper = group.wrapper();
    let wrapper = crate::ground::words(&wrapper);
    let disk = Ground::on_disk();
    let ground = Ground::mounted("tmpfs", "size=512M");
    // As after a recording: more than the limit, and some of it read again.
    let recording = disk.scratch().join("recording");
    let path = recording.to_string_lossy().into_owned();
    let record = format!(
        "dd if=/dev/zero of={path} bs=1M count=150 status=none && sync {path} && cat {path} > /dev/null"
    );
    run(Command::new(wrapper[0]).args(&wrapper[1..]).args(["sh", "-c", &record]));
    let write = ["write", "cam", "--create", "--keep", "-n", "2", "--buffer-size"];
    ground.run_in(&wrapper, &[&write, &["32M"][..]].concat()).expect_code(0);
    let (verdict, found) =
        finding(&ground.run_in(&wrapper, &["doctor", "--json"]), "cgroup memory");
    assert!(verdict == "good" && found.contains("page cache"), "{verdict}: {found}");
    // 32 MiB of it are used now, and the kernel cannot take them back.
    let other = ["write", "dog", "--create", "-n", "1", "--buffer-size", "128M"];
    says(&ground.run_in(&wrapper, &other).expect_code(1), &["`dog` needs", "cgroup"]);
}

#[test]
fn a_file_system_without_a_limit_is_not_full() {
    if !Needs::all(&[Needs::Root]) {
        return;
    }
    for (kind, options) in [("tmpfs", "size=0"), ("ramfs", "mode=755")] {
        let ground = Ground::mounted(kind, options);
        let write = ["write", "cam", "--create", "--keep", "-n", "3", "--buffer-size", SMALL];
        ground.run(&write).expect_code(0);
        ground.run(&["read", "cam", "-n", "3", "--verify", "sequential"]).expect_code(0);
        let doctor = ground.run(&["doctor", "--json"]);
        assert_eq!(finding(&doctor, "space").0, "good", "{kind}");
        assert_eq!(finding(&doctor, "file system").0, "good", "{kind}");
    }
}

#[test]
fn on_large_pages_buffers_are_refused_with_the_reason() {
    if !Needs::all(&[
        Needs::Root,
        Needs::Program(&["grep", "-q", "hugetlbfs", "/proc/filesystems"]),
    ]) {
        return;
    }
    let ground = Ground::mounted("hugetlbfs", "mode=755");
    let write = ["write", "cam", "--create", "-n", "1", "--buffer-size", SMALL];
    says(&ground.run(&write).expect_code(1), &["hugetlbfs"]);
    assert_eq!(finding(&ground.run(&["doctor", "--json"]), "file system").0, "bad");
}
