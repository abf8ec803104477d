//! One signal has to do: `docker stop`, systemd and `timeout` send one, and a closed terminal sends another kind.

mod common;

use std::io::PipeReader;
use std::process::{Command, Stdio};

use common::{Place, Running, SMALL, Tool, until};
use rustix::process::Signal;
use serde_json::json;

const KINDS: [(Signal, i32); 3] = [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)];

/// A process whose stdout is a pipe that nobody reads, and our end of it.
fn unread(place: &Place, words: &[&str]) -> (Running, PipeReader) {
    let (ours, theirs) = std::io::pipe().expect("a pipe");
    let mut command = place.command(words);
    command.stdin(Stdio::null()).stdout(theirs).stderr(Stdio::piped());
    let running = Running::spawn_with(&mut command);
    drop(command);
    (running, ours)
}

/// Waits until the pipe has so much that a frame no longer fits.
fn until_full(pipe: &PipeReader) {
    until("the pipe is full", || {
        rustix::io::ioctl_fionread(pipe).expect("a pipe tells how much is in it") > 60_000
    });
}

#[test]
fn one_signal_ends_a_writer_that_no_reader_came_to() {
    for (signal, _) in KINDS {
        let place = Place::new();
        let words = ["write", "cam", "--create", "-n", "5", "--json-output"];
        let mut writer = place.start(&words);
        place.inspect_until("cam", |cam| cam["newest_sequence"] == 5);
        writer.signal(signal);
        let ended = writer.wait().expect_code(2);
        assert_eq!(ended.json()["frames_undelivered"], 5);
        assert!(ended.stderr.contains("--grace-ms"), "it says how long: {}", ended.stderr);
        place.assert_empty();
    }
}

#[test]
fn one_signal_ends_a_reader_whose_pipe_nobody_reads_and_no_frame_is_lost() {
    for words in [&[][..], &["--batch-size", "4"], &["--print-metadata"], &["--framed"]] {
        for (signal, code) in KINDS {
            let place = Place::new();
            let write =
                ["write", "cam", "--create", "--keep", "-n", "20", "-s", "1500K", "-m", "x"];
            place.run(&[&write[..], &["--buffer-size", "64M"]].concat()).expect_code(0);
            let read = ["read", "cam", "--stdout", "--json-output", "--grace-ms", "300"];
            let (mut reader, pipe) = unread(&place, &[&read[..], words].concat());
            until_full(&pipe);
            reader.signal(signal);
            let ended = reader.wait().expect_code(code);
            let report = ended.json_on_stderr();
            let error = report["errors"][0].as_str().expect("an error");
            assert!(error.contains("while nobody read stdout"), "{error}");
            drop(pipe);
            let read = ["read", "cam", "--verify", "sequential", "--json-output"];
            assert_eq!(place.run(&read).expect_code(0).json()["frames_read"], 20, "{words:?}");
            place.assert_empty();
        }
    }
}

#[test]
fn one_signal_ends_a_tap_whose_pipe_nobody_reads() {
    let place = Place::new();
    let write = ["write", "cam", "--create", "--keep", "-n", "20", "-s", "1500K"];
    place.run(&[&write[..], &["--buffer-size", "64M"]].concat()).expect_code(0);
    let (mut tap, pipe) = unread(&place, &["tap", "cam", "--stdout", "--from", "oldest"]);
    until_full(&pipe);
    tap.signal(Signal::TERM);
    let ended = tap.wait().expect_code(1);
    assert!(ended.stderr.contains("while nobody read stdout"), "{}", ended.stderr);
}

#[test]
fn one_signal_ends_a_relay_behind_a_full_output_and_no_frame_is_lost() {
    for words in [&[][..], &["--zero-copy"], &["--transform", "reverse"]] {
        let place = Place::new();
        let write = ["write", "in", "--create", "--keep", "-n", "50", "-s", "100K", "-m", "x"];
        place.run(&[&write[..], &["--share"]].concat()).expect_code(0);
        let relay = ["relay", "in", "out", "--create-output", "--buffer-size", SMALL];
        let mut relay = place.start(&[&relay[..], &["--json-output"], words].concat());
        // References are short: then nothing is full, and frames wait for a reader.
        place.inspect_until("out", |out| out["fill_bytes"].as_u64() > Some(0));
        if words != ["--zero-copy"] {
            place.inspect_until("out", |out| out["full_waits"].as_u64() > Some(0));
        } else {
            place.inspect_until("out", |out| out["newest_sequence"].as_u64() > Some(5));
        }
        relay.signal(Signal::TERM);
        let report = relay.wait().json();
        let relayed = report["frames_relayed"].as_u64().expect("a number");
        let left = |name: &str| {
            let read = ["read", name, "--json-output", "--wait-ms", "0"];
            place.run(&read).json()["frames_read"].as_u64().expect("a number")
        };
        assert_eq!(left("out"), relayed, "{words:?}");
        if relayed < 50 {
            assert!(report["errors"][0].as_str().is_some(), "{report}");
            assert_eq!(left("in"), 50 - relayed, "{words:?}");
        }
    }
}

#[test]
fn what_can_be_finished_in_time_is_finished() {
    let place = Place::new();
    let words = ["write", "cam", "--create", "-n", "5", "--grace-ms", "600000", "--json-output"];
    let mut writer = place.start(&words);
    place.inspect_until("cam", |cam| cam["newest_sequence"] == 5);
    writer.signal(Signal::TERM);
    let read = ["read", "cam", "-n", "5", "--verify", "sequential"];
    place.run(&read).expect_code(0);
    assert_eq!(writer.wait().expect_code(0).json()["frames_undelivered"], 0);
    place.assert_empty();
}

#[test]
fn no_grace_is_none() {
    let place = Place::new();
    let mut writer = place.start(&["write", "cam", "--create", "-n", "5", "--grace-ms", "0"]);
    place.inspect_until("cam", |cam| cam["newest_sequence"] == 5);
    writer.signal(Signal::TERM);
    let ended = writer.wait().expect_code(2);
    assert!(!ended.stderr.contains("--grace-ms"), "{}", ended.stderr);
}

#[test]
fn a_hang_up_leaves_what_sigterm_leaves() {
    for words in [
        &["read", "cam"][..],
        &["write", "cam", "--stdin", "--frame-size", "100"],
        &["relay", "cam", "screen", "--create-output"],
    ] {
        let place = Place::new();
        let mut running = place.start(words);
        until("it has its signals", || place.files().iter().any(|file| file.contains("cam")));
        running.signal(Signal::HUP);
        assert!(running.wait().code.is_some(), "{words:?} was ended by the signal itself");
        place.assert_empty();
    }
}

#[test]
fn a_hang_up_that_nohup_ignores_stays_ignored() {
    let place = Place::new();
    let mut command = Command::new("sh");
    let script = format!("trap '' HUP; exec {} read cam -n 3", Tool::Zerobuffer.path());
    command.args(["-c", &script]).env("ZEROBUFFER_DIR", place.path());
    let mut reader = Running::spawn(command);
    place.inspect_until("cam", common::has_live_reader);
    reader.signal(Signal::HUP);
    place.run(&["write", "cam", "-n", "3"]).expect_code(0);
    let ended = reader.wait().expect_code(0);
    assert!(ended.stdout.contains("read 3 frames"), "{}", ended.stdout);
}

#[test]
fn a_frame_that_never_ends_does_not_keep_its_writer() {
    let place = Place::new();
    let words = ["write", "cam", "--stdin", "--frame-size", "1G", "--buffer-size", "4G"];
    let mut writer =
        place.start(&[&words[..], &["--full-policy", "drop", "--json-output"]].concat());
    writer.feed_on(&[0; 1000]);
    // It is in the middle of the frame when the pipe is empty; a byte now and then is no end.
    let stdin = writer.take_stdin();
    let trickle = std::thread::spawn(move || {
        use std::io::Write;
        let mut stdin = stdin;
        while stdin.write_all(b"x").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    place.inspect_until("cam", |cam| cam["writer"]["alive"] == true);
    writer.signal(Signal::TERM);
    let ended = writer.wait().expect_code(2);
    assert!(ended.stderr.contains("inside a frame"), "{}", ended.stderr);
    assert_eq!(ended.json_on_stderr()["frames_written"], json!(0));
    trickle.join().expect("it ends with the pipe");
}
