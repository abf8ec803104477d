//! stderr that cannot be written loses messages and nothing else; a report that cannot be written is a failure.

mod common;

use std::fs::File;
use std::io::Write;
use std::process::{Child, Command, Stdio};

use common::{Place, Running, Tool, until};
use rustix::process::Signal;

/// Every write to it fails, as on a full disk.
fn full() -> File {
    File::options().write(true).open("/dev/full").expect("/dev/full is there")
}

/// A pipe in which there is no room, and that nobody reads.
fn stuck() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let flags = rustix::fs::fcntl_getfl(&writer).expect("its flags");
    rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).expect("ours to set");
    while (&writer).write(&[0; 1 << 16]).is_ok() {}
    while (&writer).write(&[0]).is_ok() {}
    rustix::fs::fcntl_setfl(&writer, flags).expect("ours to set");
    (reader, writer)
}

fn start(place: &Place, words: &[&str], stdout: Stdio, stderr: Stdio) -> Running {
    let mut command = place.command(words);
    Running::spawn_with(command.stdin(Stdio::null()).stdout(stdout).stderr(stderr))
}

#[test]
fn no_command_cares_whether_stderr_can_be_written() {
    // Each of them has something to say.
    let cases = [
        (0, &["write", "cam", "--create", "--keep", "-n", "3", "-v"][..]),
        (0, &["read", "cam", "-n", "3", "-v", "--print-metadata", "--stdout"]),
        (0, &["write", "cam", "--create", "--keep", "-n", "3"]),
        (0, &["relay", "cam", "out", "-n", "3", "-v", "--create-output", "--log-interval", "1"]),
        (0, &["write", "gone", "--create", "--keep", "-n", "3"]),
        (0, &["rm", "gone"]),
        (1, &["rm", "gone"]),
        (1, &["inspect", "gone"]),
        (1, &["write", "gone", "--wait-ms", "10"]),
        (2, &["read", "gone", "--wait-ms", "10"]),
        (1, &["tap", "gone", "--timeout-ms", "10", "--stdout"]),
        (3, &["write", "cam", "--stdin"]),
        (2, &["nonsense"]),
    ];
    for stderr in [|| full().into(), || stuck().1.into()] as [fn() -> Stdio; 2] {
        let place = Place::new();
        for (code, words) in cases {
            let mut running = start(&place, words, Stdio::null(), stderr());
            if words[0] == "relay" {
                place.run(&["read", "out", "-n", "3"]).expect_code(0);
            }
            running.wait().expect_code(code);
        }
    }
}

#[test]
fn a_reader_reads_on_when_the_collector_of_its_log_goes_away() {
    let place = Place::new();
    let (log, stderr) = std::io::pipe().expect("a pipe");
    let words = ["read", "cam", "--follow", "-n", "9", "--timeout-ms", "0"];
    let mut reader = start(&place, &words, Stdio::piped(), stderr.into());
    place.run(&["write", "cam", "-n", "3"]).expect_code(0);
    drop(log);
    // When each of them closes, the reader has something to say.
    place.run(&["write", "cam", "-n", "3"]).expect_code(0);
    place.inspect_until("cam", |cam| cam["fill_bytes"] == 0 && cam["writer"]["alive"] == false);
    place.run(&["write", "cam", "-n", "3"]).expect_code(0);
    assert!(reader.wait().expect_code(0).stdout.contains("read 9 frames"));
}

#[test]
fn a_report_that_cannot_be_written_is_a_failure() {
    let place = Place::new();
    let write = ["write", "cam", "--create", "--keep", "-n", "1"];
    for (code, words) in [
        (2, &[&write[..], &["--json-output"]].concat()[..]),
        (2, &write),
        (2, &["read", "cam", "-n", "1", "--json-output"]),
        (2, &["read", "cam", "-n", "1"]),
        (1, &["ls"]),
        (1, &["ls", "--json"]),
        (1, &["doctor", "--json"]),
        (1, &["completions", "bash"]),
        (1, &["completions", "zsh"]),
        (1, &["man", "/dev/full/man"]),
        (1, &["demo", "--seconds", "0.2", "--size", "320x240", "--json"]),
        (1, &["demo", "--seconds", "0.2", "--size", "320x240"]),
        (1, &["--help"]),
    ] {
        let mut running = start(&place, words, full().into(), Stdio::piped());
        let ended = running.wait().expect_code(code);
        assert!(!ended.stderr.contains("panicked"), "{words:?}: {}", ended.stderr);
    }
    place.run(&write).expect_code(0);
    for words in [
        &["inspect", "cam"][..],
        &["inspect", "cam", "--json"],
        &["tap", "cam", "-n", "1", "--json", "--from", "oldest"],
    ] {
        start(&place, words, full().into(), Stdio::piped()).wait().expect_code(1);
    }
    // The report goes to stderr then, and it was asked for.
    let words = ["read", "cam", "-n", "1", "--stdout", "--json-output"];
    start(&place, &words, Stdio::null(), full().into()).wait().expect_code(2);
}

#[test]
fn whoever_reads_a_report_may_have_seen_enough() {
    let place = Place::new();
    for words in [
        &["ls"][..],
        &["doctor"],
        &["completions", "bash"],
        &["write", "cam", "--create", "--keep", "-n", "1", "--json-output"],
        &["inspect", "cam"],
        &["demo", "--seconds", "0.2", "--size", "320x240"],
    ] {
        let (reader, stdout) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut running = start(&place, words, stdout.into(), Stdio::piped());
        let ended = running.wait();
        assert!(!ended.stderr.contains("panicked"), "{words:?}: {}", ended.stderr);
        // What `doctor` found is its own business.
        assert!(ended.code == Some(0) || words == ["doctor"], "{words:?}: {}", ended.stderr);
    }
}

#[test]
fn a_signal_ends_a_report_that_nobody_reads() {
    let place = Place::new();
    let (_pipe, stdout) = stuck();
    let write = ["write", "cam", "--create", "--keep", "-n", "1", "--json-output"];
    let mut writer = start(&place, &write, stdout.into(), Stdio::piped());
    place.inspect_until("cam", |cam| cam["writer"]["alive"] == false);
    assert!(writer.is_running());
    writer.signal(Signal::TERM);
    let ended = writer.wait().expect_code(2);
    assert!(ended.stderr.contains("the report could not be written"), "{}", ended.stderr);
}

#[test]
fn words_that_are_no_text_are_bad_arguments() {
    use std::os::unix::ffi::OsStrExt;
    for tool in [Tool::Zerobuffer, Tool::TestReader] {
        let mut command = Command::new(tool.path());
        command.arg(std::ffi::OsStr::from_bytes(b"\xff\x1b")).stderr(Stdio::piped());
        let mut child: Child = command.spawn().expect("it starts");
        let mut code = None;
        until("it ends", || {
            code = child.try_wait().expect("it is ours");
            code.is_some()
        });
        let code = code.and_then(|status| status.code());
        assert!(matches!(code, Some(2 | 3)), "{code:?}");
    }
}
