//! The command on buffers of protocol 1.0, with itself and with the deployed Python tools on the other side.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Ended, Place, Running, Tool, noise};
use rustix::process::Signal;
use serde_json::Value;

/// Sizes that are multiples of 16 keep the Python reader out of its defect at the end of the ring (L5).
const SIZE: &str = "1008";

/// A buffer name of this test's own in `/dev/shm`, the only place where such buffers live.
struct Buffer(String);

impl Buffer {
    fn new(what: &str) -> Self {
        Self(format!("zerobuffer-test-{what}-{}", std::process::id()))
    }

    fn name(&self) -> &str {
        &self.0
    }

    fn start(&self, tool: Tool, words: &[&str]) -> Running {
        let mut command = Command::new(tool.path());
        command.args(words).env_remove("ZEROBUFFER_DIR");
        Running::spawn(command)
    }

    fn run(&self, words: &[&str]) -> Ended {
        self.start(Tool::Zerobuffer, words).end()
    }

    /// The deployed Python tool of that name.
    fn start_python(&self, tool: &str, words: &[&str]) -> Running {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = package.join("../../target/python-peer/bin/python");
        let setup = package.join("../zerobuffer/tests/python/setup.sh");
        assert!(python.exists(), "no Python peer: run {}", setup.display());
        let mut command = Command::new(python);
        command.args(["-m", &format!("zerobuffer.cross_platform.{tool}"), self.name()]).args(words);
        Running::spawn(command)
    }

    /// Waits until `inspect` shows the buffer as it is to be.
    fn until(&self, what: impl Fn(&Value) -> bool) {
        let begun = Instant::now();
        loop {
            let ended = self.run(&["inspect", self.name(), "--json"]);
            if ended.code == Some(0) && what(&ended.json()) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{}{}", ended.stdout, ended.stderr);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn until_created(&self) {
        self.until(|seen| seen["readers"][0]["alive"] == true);
    }

    fn traces(&self) -> Vec<PathBuf> {
        let files = ["", "sem.sem-w-", "sem.sem-r-"];
        let paths = files.map(|kind| PathBuf::from(format!("/dev/shm/{kind}{}", self.0)));
        paths.into_iter().filter(|path| path.exists()).collect()
    }

    fn assert_gone(&self) {
        assert_eq!(self.traces(), Vec::<PathBuf>::new(), "left behind");
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        for path in self.traces() {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[test]
fn frames_cross_from_ours_to_ours() {
    let cam = Buffer::new("ours");
    let words = ["read", cam.name(), "--protocol", "1", "-n", "300", "--verify", "sequential"];
    let reader = cam.start(Tool::Zerobuffer, &[&words[..], &["--json-output"]].concat());
    cam.until_created();
    let written = ["write", cam.name(), "-n", "300", "-s", "5001", "--metadata", "raw video"];
    cam.run(&written).expect_code(0);
    let report = reader.end().expect_code(0).json();
    assert_eq!((&report["frames_read"], &report["verification_errors"]), (&300.into(), &0.into()));
    cam.assert_gone();
}

#[test]
fn a_python_writer_reaches_our_reader() {
    let cam = Buffer::new("from-python");
    let words = [cam.name(), "--protocol", "1", "-n", "400", "-s", SIZE, "--verify", "sequential"];
    let reader = cam
        .start(Tool::TestReader, &[&words[..], &["--json-output", "--wait-ms", "60000"]].concat());
    cam.until_created();
    let words = ["-n", "400", "-s", SIZE, "--pattern", "sequential", "-m", "raw video"];
    cam.start_python("writer", &words).end().expect_code(0);
    let report = reader.end().expect_code(0).json();
    assert_eq!((&report["frames_read"], &report["verification_errors"]), (&400.into(), &0.into()));
    assert_eq!(report["metadata_size"], 9);
    cam.assert_gone();
}

#[test]
fn our_writer_reaches_a_python_reader() {
    let cam = Buffer::new("to-python");
    let words = ["-n", "400", "-s", SIZE, "--verify", "sequential", "--json-output"];
    let reader = cam.start_python("reader", &words);
    cam.until_created();
    let words = [cam.name(), "-n", "400", "-s", SIZE, "--pattern", "sequential", "--json-output"];
    let written = cam.start(Tool::TestWriter, &words).end().expect_code(0).json();
    assert_eq!(written["frames_written"], 400);
    let report = reader.end().expect_code(0).json();
    assert_eq!((&report["frames_read"], &report["verification_errors"]), (&400.into(), &0.into()));
}

#[test]
fn our_relay_stands_between_two_python_programs() {
    let (from, to) = (Buffer::new("relay-in"), Buffer::new("relay-out"));
    let words = ["-n", "300", "-s", SIZE, "--verify", "sequential", "--json-output"];
    let reader = to.start_python("reader", &words);
    to.until_created();
    let words = ["relay", from.name(), to.name(), "--protocol", "1", "-n", "300", "--json-output"];
    let relay = from.start(Tool::Zerobuffer, &words);
    from.until_created();
    let words = ["-n", "300", "-s", SIZE, "--pattern", "sequential"];
    from.start_python("writer", &words).end().expect_code(0);
    assert_eq!(relay.end().expect_code(0).json()["frames_relayed"], 300);
    let report = reader.end().expect_code(0).json();
    assert_eq!((&report["frames_read"], &report["verification_errors"]), (&300.into(), &0.into()));
    from.assert_gone();
}

#[test]
fn a_pipe_goes_through_unchanged() {
    let cam = Buffer::new("pipe");
    let bytes = noise(200 * 4099, 7);
    let words = ["read", cam.name(), "--protocol", "1", "--stdout", "--buffer-size", "64K"];
    let reader = cam.start(Tool::Zerobuffer, &words);
    cam.until_created();
    let words = ["write", cam.name(), "--stdin", "--frame-size", "4099"];
    cam.start(Tool::Zerobuffer, &words).feed(&bytes).end().expect_code(0);
    let read = reader.end().expect_code(0);
    assert!(read.bytes == bytes, "{} of {} bytes", read.bytes.len(), bytes.len());
    cam.assert_gone();
}

#[test]
fn it_is_listed_looked_at_and_removed_like_any_other() {
    let cam = Buffer::new("shown");
    let reader = cam.start(Tool::Zerobuffer, &["read", cam.name(), "--protocol", "1", "-n", "0"]);
    cam.until_created();
    let listed = cam.run(&["ls"]).expect_code(0).stdout;
    let line = listed.lines().find(|line| line.contains(cam.name())).expect("it is listed");
    assert!(line.contains("1.0") && line.contains("waits for a writer"), "{line}");
    let listed = cam.run(&["ls", "--json"]).expect_code(0).json();
    let all = listed.as_array().expect("a list");
    let entry = all.iter().find(|entry| entry["name"] == cam.name()).expect("it is listed");
    assert_eq!(entry["protocol"], "1.0");
    let shown = cam.run(&["inspect", cam.name()]).expect_code(0).stdout;
    assert!(shown.contains("1.0") && shown.contains("owns the buffer"), "{shown}");
    for meaningless in ["segment 0000", "at most 0 B", "dropped", "0 waits for room", "ephemeral"] {
        assert!(!shown.contains(meaningless), "{meaningless}: {shown}");
    }
    let refused = cam.run(&["rm", cam.name()]);
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("in use"), "{}", refused.stderr);
    cam.run(&["doctor"]);
    reader.kill();
    cam.run(&["rm", cam.name()]).expect_code(0);
    cam.assert_gone();
}

#[test]
fn ctrl_c_and_kills_end_the_other_side_and_leave_nothing() {
    let cam = Buffer::new("signals");
    let read = ["read", cam.name(), "--protocol", "1", "-n", "0"];
    let mut reader = cam.start(Tool::Zerobuffer, &read);
    cam.until_created();
    reader.signal(Signal::INT);
    reader.wait().expect_code(0);
    cam.assert_gone();

    let reader = cam.start(Tool::Zerobuffer, &read);
    cam.until_created();
    let write = ["write", cam.name(), "-n", "1000000", "-s", "1000", "--delay-ms", "1"];
    let writer = cam.start(Tool::Zerobuffer, &write);
    cam.until(|seen| seen["newest_sequence"].as_u64() > Some(5));
    reader.kill();
    // The ring is 32 MiB, so it takes a moment until there is no room: Ctrl-C ends it before, or the error does.
    writer.signal(Signal::INT);
    let ended = writer.end();
    assert!(ended.code.is_some(), "{}", ended.stderr);
    // What the dead reader left, the next one takes over.
    let reader = cam.start(Tool::Zerobuffer, &["read", cam.name(), "--protocol", "1", "-n", "3"]);
    cam.until_created();
    cam.run(&["write", cam.name(), "-n", "3"]).expect_code(0);
    reader.end().expect_code(0);
    cam.assert_gone();
}

#[test]
fn what_protocol_1_does_not_have_is_refused_with_what_to_do() {
    let place = Place::new();
    for (words, code, says) in [
        (&["read", "cam", "--protocol", "1", "--timestamps"][..], 3, "--timestamps"),
        (&["read", "cam", "--protocol", "1", "--mode", "660"], 3, "--mode"),
        (&["write", "cam", "--create", "--protocol", "1"], 3, "the reader creates"),
        (&["relay", "a", "b", "--create-output", "--protocol", "1"], 4, "the reader creates"),
    ] {
        let ended = place.run(words).expect_code(code);
        assert!(ended.stderr.contains(says), "{words:?}: {}", ended.stderr);
    }
    // In another directory nobody would find it.
    let ended = place.run(&["read", "cam", "--protocol", "1"]);
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("/dev/shm"), "{}", ended.stderr);
    place.assert_empty();
}
