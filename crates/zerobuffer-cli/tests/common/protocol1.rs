//! Buffers of protocol 1.0, of a test's own, and the deployed Python package.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Running, Tool};

/// With a ring of this size, frames of 1 KiB go round many times and never leave fewer than 16 bytes at its end,
/// where the Python package has a defect (L5).
pub(crate) const RING: &str = "64K";

/// A buffer name of a test's own in `/dev/shm`, the only place where such buffers live.
pub(crate) struct Buffer(String);

impl Buffer {
    pub(crate) fn new(what: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(format!("zerobuffer-test-{what}-{}-{number}", std::process::id()))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// Starts a tool whose first argument is the buffer.
    pub(crate) fn start(&self, tool: Tool, words: &[&str]) -> Running {
        let mut command = Command::new(tool.path());
        command.arg(self.name()).args(words).env_remove("ZEROBUFFER_DIR");
        Running::spawn(command)
    }

    /// Starts `zerobuffer VERB BUFFER …`.
    pub(crate) fn command(&self, verb: &str, words: &[&str]) -> Running {
        zerobuffer(&[&[verb, self.name()], words].concat())
    }

    /// Starts a reader of ours, with a small ring, and waits until it has made the buffer.
    pub(crate) fn read(&self, words: &[&str]) -> Running {
        let create = ["--protocol", "1", "--buffer-size", RING];
        let reader = self.command("read", &[&create, words].concat());
        self.until_created();
        reader
    }

    /// The deployed Python tool of that name.
    pub(crate) fn python_tool(&self, tool: &str, words: &[&str]) -> Running {
        let module = format!("zerobuffer.cross_platform.{tool}");
        python(&[&["-m", &module, self.name()], words].concat())
    }

    /// A reader that uses the Python package, with a small ring; says the metadata and the MD5 of all frames.
    pub(crate) fn python_reader(&self, frames: &str) -> Running {
        let reader = python(&["-c", PYTHON_READER, self.name(), frames]);
        self.until_created();
        reader
    }

    /// Waits until `inspect` shows the buffer as it is to be.
    pub(crate) fn until(&self, what: impl Fn(&Value) -> bool) {
        let begun = Instant::now();
        loop {
            let ended = self.command("inspect", &["--json"]).end();
            if ended.code == Some(0) && what(&ended.json()) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{}{}", ended.stdout, ended.stderr);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn until_created(&self) {
        self.until(|seen| seen["readers"][0]["alive"] == true);
    }

    pub(crate) fn until_written(&self, frames: u64) {
        self.until(|seen| seen["payload_written_count"].as_u64() >= Some(frames));
    }

    /// What of `ls --json` is about this buffer.
    pub(crate) fn listed(&self) -> Value {
        let list = zerobuffer(&["ls", "--json"]).end().expect_code(0).json();
        let entries = list.as_array().expect("a list");
        entries.iter().find(|entry| entry["name"] == self.name()).cloned().unwrap_or_default()
    }

    /// The line of `ls`.
    pub(crate) fn line(&self) -> String {
        let table = zerobuffer(&["ls"]).end().expect_code(0).stdout;
        table.lines().find(|line| line.contains(self.name())).unwrap_or_default().to_owned()
    }

    pub(crate) fn semaphores(&self) -> Vec<PathBuf> {
        ["w", "r"].map(|which| format!("/dev/shm/sem.sem-{which}-{}", self.0).into()).into()
    }

    pub(crate) fn traces(&self) -> Vec<PathBuf> {
        let mut paths = vec![PathBuf::from(format!("/dev/shm/{}", self.0))];
        paths.extend(self.semaphores());
        for dir in [Path::new("/tmp/"), &std::env::temp_dir()] {
            paths.push(dir.join(format!("zerobuffer/{}.lock", self.0)));
            paths.push(dir.join(format!("zerobuffer/locks/{}.lock", self.0)));
        }
        paths.retain(|path| path.exists());
        paths
    }

    #[track_caller]
    pub(crate) fn assert_gone(&self) {
        assert_eq!(self.traces(), Vec::<PathBuf>::new(), "left behind");
    }

    /// A Python reader leaves its semaphores (L4), and nothing else.
    #[track_caller]
    pub(crate) fn assert_left_by_python(&self) {
        assert_eq!(self.traces(), self.semaphores());
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        for path in self.traces() {
            let _ = std::fs::remove_file(path);
        }
    }
}

const PYTHON_READER: &str = "
import hashlib, sys
from zerobuffer import BufferConfig, Reader

with Reader(sys.argv[1], BufferConfig(metadata_size=1024, payload_size=1 << 16)) as reader:
    digest = hashlib.md5()
    for _ in range(int(sys.argv[2])):
        with reader.read_frame(timeout=60) as frame:
            digest.update(bytes(frame.data))
    metadata = reader.get_metadata()
    print(bytes(metadata).decode(), digest.hexdigest())
    metadata.release()
";

pub(crate) fn python(words: &[&str]) -> Running {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = package.join("../../target/python-peer/bin/python");
    let setup = package.join("../zerobuffer/tests/python/setup.sh");
    assert!(python.exists(), "no Python peer: run {}", setup.display());
    let mut command = Command::new(python);
    command.args(words);
    Running::spawn(command)
}

pub(crate) fn zerobuffer(words: &[&str]) -> Running {
    let mut command = Command::new(Tool::Zerobuffer.path());
    command.args(words).env_remove("ZEROBUFFER_DIR");
    Running::spawn(command)
}
