//! What the cases stand on: directories and file systems of their own, programs run in containers, as somebody else, or with
//! system calls that fail.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;
use tempfile::TempDir;

use crate::common::{Ended, Running, Tool};

/// An account that is in no group but its own, and owns nothing.
const NOBODY: [&str; 6] = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

/// What a case cannot do without.
pub(crate) enum Needs {
    Root,
    /// A program, and the arguments with which it does nothing but succeed.
    Program(&'static [&'static str]),
    /// A time namespace: Linux 5.6, and a kernel that was built with them.
    TimeNamespaces,
}

impl Needs {
    /// Whether all of them are there. Where not, it says so; in CI that is a failure.
    #[track_caller]
    pub(crate) fn all(needs: &[Self]) -> bool {
        let missing: Vec<String> = needs.iter().filter_map(Self::missing).collect();
        if missing.is_empty() {
            return true;
        }
        not_tested(&missing.join(", "));
        false
    }

    fn missing(&self) -> Option<String> {
        match self {
            Self::Root => (!geteuid().is_root()).then(|| "it needs root".to_owned()),
            Self::Program(words) => {
                let output = Command::new(words[0]).args(&words[1..]).output();
                let works = output.is_ok_and(|output| output.status.success());
                (!works).then(|| format!("it needs `{}` to work", words.join(" ")))
            }
            Self::TimeNamespaces => (!Path::new("/proc/self/ns/time").exists())
                .then(|| "it needs time namespaces".to_owned()),
        }
    }
}

/// Says that a case is not tested, and why; in CI that is a failure.
#[track_caller]
pub(crate) fn not_tested(why: &str) {
    let case = std::thread::current().name().unwrap_or_default().to_owned();
    println!("NOT TESTED: {case}: {why}");
    assert!(std::env::var_os("CI").is_none(), "CI tests everything: {why}");
}

/// Strace, which makes a system call fail.
pub(crate) const STRACE: Needs = Needs::Program(&["strace", "-o", "/dev/null", "true"]);
pub(crate) const UNSHARE: Needs = Needs::Program(&["unshare", "--mount", "true"]);

/// A directory for buffers, and whatever of the system it takes to have it.
pub(crate) struct Ground {
    path: PathBuf,
    mounts: Vec<PathBuf>,
    /// Holds the directory, other files of the case, and programs that everybody may execute.
    scratch: TempDir,
}

impl Ground {
    /// On the file system of the temporary directory, which is none in memory where that matters.
    pub(crate) fn on_disk() -> Self {
        let scratch = TempDir::with_prefix_in("zerobuffer-test-", disk()).expect("a directory");
        open_to_all(scratch.path());
        let path = scratch.path().join("buffers");
        std::fs::create_dir(&path).expect("a directory in it");
        Self { path, mounts: Vec::new(), scratch }
    }

    /// On a file system of its own, as `mount -t` makes it.
    pub(crate) fn mounted(kind: &str, options: &str) -> Self {
        let mut ground = Self::on_disk();
        ground.mount(&["-t", kind, "-o", options, "none"]);
        ground
    }

    /// On a file system in a file of so many mebibytes, made by a program such as `mkfs.ext4`.
    pub(crate) fn image(make: &[&str], mebibytes: u64) -> Self {
        let mut ground = Self::on_disk();
        let image = ground.image_path();
        let file = std::fs::File::create(&image).expect("a file");
        file.set_len(mebibytes << 20).expect("a sparse file");
        run(Command::new(make[0]).args(&make[1..]).arg(&image));
        ground.mount_image();
        ground
    }

    pub(crate) fn image_path(&self) -> PathBuf {
        self.scratch().join("image")
    }

    pub(crate) fn mount_image(&mut self) {
        let image = self.image_path();
        self.mount(&["-o", "loop", &image.to_string_lossy()]);
    }

    fn mount(&mut self, words: &[&str]) {
        run(Command::new("mount").args(words).arg(&self.path));
        self.mounts.push(self.path.clone());
    }

    pub(crate) fn unmount(&mut self) {
        while let Some(path) = self.mounts.pop() {
            run(Command::new("umount").arg(&path));
        }
        // Its device goes a moment later, and writes to the image until then.
        let image = self.image_path();
        until("the image is let go", || {
            let output = Command::new("losetup").arg("-j").arg(&image).output();
            output.expect("losetup is there").stdout.is_empty()
        });
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// For what is no buffer.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path.join(format!("{name}.zb2")).exists()
    }

    /// Names of the files that are left.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.path).expect("the directory is there");
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.expect("an entry").file_name().to_string_lossy().into_owned()
        };
        entries.map(name).filter(|name| name != "lost+found").collect()
    }

    /// Starts `zerobuffer` behind the words of `wrapper`.
    pub(crate) fn start_in(&self, wrapper: &[&str], words: &[&str]) -> Running {
        self.start_program(wrapper, Path::new(Tool::Zerobuffer.path()), words)
    }

    fn start_program(&self, wrapper: &[&str], program: &Path, words: &[&str]) -> Running {
        let mut command = match wrapper {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        command.args(words).env("ZEROBUFFER_DIR", &self.path);
        Running::spawn(command)
    }

    pub(crate) fn run_in(&self, wrapper: &[&str], words: &[&str]) -> Ended {
        self.start_in(wrapper, words).end()
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        self.run_in(&[], words)
    }

    /// A copy of the command that everybody may execute; the one that was built may lie where only its owner can reach it.
    fn open_program(&self) -> PathBuf {
        let copy = self.scratch().join("zerobuffer");
        if !copy.exists() {
            // By another process: a descriptor of ours would be copied by a fork of another thread, and keep it busy.
            run(Command::new("cp").arg(Tool::Zerobuffer.path()).arg(&copy));
            open_to_all(&copy);
        }
        copy
    }

    /// Starts `zerobuffer` as a user who owns nothing, behind `wrapper`.
    pub(crate) fn start_as_nobody(&self, wrapper: &[&str], words: &[&str]) -> Running {
        self.start_program(&[&NOBODY, wrapper].concat(), &self.open_program(), words)
    }

    pub(crate) fn run_as_nobody(&self, wrapper: &[&str], words: &[&str]) -> Ended {
        self.start_as_nobody(wrapper, words).end()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for path in &self.mounts {
            // Lazily: a process of a test that failed may still be in it.
            let _ = Command::new("umount").arg("-l").arg(path).status();
        }
    }
}

/// Where files go to a disk, if anywhere.
fn disk() -> PathBuf {
    let in_memory = |path: &PathBuf| {
        rustix::fs::statfs(path.as_path()).is_ok_and(|facts| facts.f_type == 0x0102_1994)
    };
    let candidates = [std::env::temp_dir(), "/var/tmp".into(), env!("CARGO_TARGET_TMPDIR").into()];
    let [first, ..] = &candidates;
    candidates.iter().find(|path| path.is_dir() && !in_memory(path)).unwrap_or(first).clone()
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, mode).expect("it is ours");
}

/// Runs a program to its good end.
#[track_caller]
pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// The words that make a system call of everything behind them fail.
pub(crate) fn failing(call: &str, error: &str) -> Vec<String> {
    let inject = format!("inject={call}:error={error}");
    ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject].map(str::to_owned).to_vec()
}

pub(crate) fn words(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

#[track_caller]
pub(crate) fn says(ended: &Ended, parts: &[&str]) {
    let text = format!("{}{}", ended.stdout, ended.stderr);
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

/// What `doctor` says of one check: its verdict, and what it found.
#[track_caller]
pub(crate) fn finding(ended: &Ended, check: &str) -> (String, String) {
    let report = ended.json();
    let findings = report["findings"].as_array().expect("findings");
    let found = findings.iter().find(|finding| finding["check"] == check);
    let found = found.unwrap_or_else(|| panic!("no check {check:?} in {report:#}"));
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("verdict"), format!("{} {}", text("found"), text("advice")))
}

/// Waits for a condition; the watchdog is the only clock.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !condition() {
        assert!(begun.elapsed().as_secs() < 60, "waited in vain until {what}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
