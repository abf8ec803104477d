//! Real processes under a watchdog, each test in a directory of its own.

#![allow(dead_code, reason = "each test file uses some of it")]

pub(crate) mod protocol1;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Far beyond what any test takes; a process that is still there then is stuck.
const WATCHDOG: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(5);

/// Size of the buffers that tests create.
pub(crate) const SMALL: &str = "1M";

/// Which program.
#[derive(Clone, Copy)]
pub(crate) enum Tool {
    Zerobuffer,
    TestWriter,
    TestReader,
    TestRelay,
}

impl Tool {
    pub(crate) fn path(self) -> &'static str {
        match self {
            // In the package of the measurements, that one.
            Self::Zerobuffer => option_env!("CARGO_BIN_EXE_zerobuffer")
                .or(option_env!("CARGO_BIN_EXE_zerobuffer-bench")),
            Self::TestWriter => option_env!("CARGO_BIN_EXE_zerobuffer-test-writer"),
            Self::TestReader => option_env!("CARGO_BIN_EXE_zerobuffer-test-reader"),
            Self::TestRelay => option_env!("CARGO_BIN_EXE_zerobuffer-test-relay"),
        }
        .expect("a program of this package")
    }
}

/// A directory in memory; the processes of a test meet there.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(
            TempDir::with_prefix_in("zerobuffer-test-", "/dev/shm")
                .expect("/dev/shm can be written to"),
        )
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Starts `zerobuffer` with the given words.
    pub(crate) fn start(&self, words: &[&str]) -> Running {
        self.start_tool(Tool::Zerobuffer, words)
    }

    pub(crate) fn start_tool(&self, tool: Tool, words: &[&str]) -> Running {
        Running::spawn(self.tool(tool, words))
    }

    /// `zerobuffer` with the given words, for a test that chooses what stdin, stdout and stderr are.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        self.tool(Tool::Zerobuffer, words)
    }

    fn tool(&self, tool: Tool, words: &[&str]) -> Command {
        let mut command = Command::new(tool.path());
        command.args(words).env("ZEROBUFFER_DIR", self.path());
        command
    }

    /// Runs `zerobuffer` to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        self.start(words).end()
    }

    /// What `inspect` says about a buffer, as soon as `what` holds.
    pub(crate) fn inspect_until(&self, name: &str, what: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        let mut last = String::new();
        while begun.elapsed() < WATCHDOG {
            let ended = self.run(&["inspect", name, "--json"]);
            if ended.code == Some(0) {
                let value = ended.json();
                if what(&value) {
                    return value;
                }
            }
            last = ended.stdout + &ended.stderr;
            std::thread::sleep(POLL);
        }
        panic!("`{name}` never came to be as expected; last: {last}");
    }

    /// Names of the files that are left.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).expect("the directory is there");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn assert_empty(&self) {
        assert_eq!(self.files(), Vec::<String>::new(), "something was left behind");
    }
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < WATCHDOG, "{what}: never");
        std::thread::sleep(POLL);
    }
}

/// A process whose output is being collected; killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    what: String,
}

/// What a process left.
pub(crate) struct Ended {
    /// `None`: ended by a signal.
    pub(crate) code: Option<i32>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    what: String,
}

impl Running {
    pub(crate) fn spawn(mut command: Command) -> Self {
        Self::spawn_with(
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()),
        )
    }

    /// The same, with stdin, stdout and stderr as they were chosen; what is piped is collected.
    pub(crate) fn spawn_with(command: &mut Command) -> Self {
        let what = format!("{command:?}");
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        Self { child, stdin, stdout, stderr, what }
    }

    /// Feeds stdin and ends it.
    pub(crate) fn feed(mut self, bytes: &[u8]) -> Self {
        let mut stdin = self.stdin.take().expect("stdin is still open");
        // A process that stops early closes the pipe; its exit code tells.
        let _ = stdin.write_all(bytes);
        self
    }

    /// Feeds stdin and leaves it open.
    pub(crate) fn feed_on(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().expect("stdin is still open").write_all(bytes).expect("it reads");
    }

    /// stdin, for a test that feeds it by and by.
    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("stdin is still open")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process is ours");
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the process is ours");
        self.child.wait().expect("the process is ours");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the process is ours").is_none()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        drop(self.stdin.take());
        self.wait()
    }

    /// The same, with stdin left open.
    pub(crate) fn wait(&mut self) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the process is ours") {
                break status;
            }
            if begun.elapsed() > WATCHDOG {
                self.child.kill().expect("the process is ours");
                let _ = self.child.wait();
                let stderr = text(&self.stderr.take().map(join).unwrap_or_default());
                panic!("{} is stuck; stderr: {stderr}", self.what);
            }
            std::thread::sleep(POLL);
        };
        let bytes = self.stdout.take().map(join).unwrap_or_default();
        let stderr = text(&self.stderr.take().map(join).unwrap_or_default());
        Ended { code: status.code(), stdout: text(&bytes), bytes, stderr, what: self.what.clone() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Fails the test with everything that was printed if the code is another.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "{}\nstdout: {}\nstderr: {}",
            self.what,
            self.stdout,
            self.stderr
        );
        self
    }

    /// The report on stdout.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("{}: {error}: {}\n{}", self.what, self.stdout, self.stderr)
        })
    }

    /// The report on stderr, behind whatever else was said there.
    #[track_caller]
    pub(crate) fn json_on_stderr(&self) -> Value {
        let start = self.stderr.find('{').unwrap_or_else(|| panic!("no JSON in {}", self.stderr));
        serde_json::from_str(&self.stderr[start..])
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.what, self.stderr))
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

fn join(handle: JoinHandle<Vec<u8>>) -> Vec<u8> {
    handle.join().expect("collecting output does not panic")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether somebody reads.
pub(crate) fn has_live_reader(inspect: &Value) -> bool {
    inspect["readers"]
        .as_array()
        .is_some_and(|readers| readers.iter().any(|r| r["attached"] == true && r["alive"] == true))
}

/// Bytes that repeat nowhere near.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}
