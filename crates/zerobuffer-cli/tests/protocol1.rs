//! The command on buffers of protocol 1.0, with itself and with the deployed Python package on the other side.

mod common;

use std::fmt::Write as _;
use std::time::Duration;

use common::protocol1::{Buffer, RING, python};
use common::{Ended, Place, Running, Tool, noise};
use md5::{Digest, Md5};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Suits the small ring (`Buffer::read`).
const SIZE: usize = 1024;
const SIZE_WORD: &str = "1024";
const FRAMES: u64 = 400;
const FRAMES_WORD: &str = "400";

fn hex_md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

/// All bytes of `FRAMES` frames of the sequential pattern.
fn sequential() -> Vec<u8> {
    (0..FRAMES).flat_map(|k| (0..SIZE as u64).map(move |i| (k + i) as u8)).collect()
}

#[track_caller]
fn assert_read(report: &Value, frames: u64) {
    assert_eq!(report["frames_read"], frames, "{report}");
    assert_eq!(report["verification_errors"], 0, "{report}");
    assert_eq!(report["errors"], json!([]), "{report}");
}

const VERIFY: [&str; 3] = ["--verify", "sequential", "--json-output"];

#[test]
fn frames_cross_from_ours_to_ours() {
    for (pattern, batch) in [("sequential", "1"), ("random", "1"), ("random", "16")] {
        let cam = Buffer::new("ours");
        let more = ["--batch-size", batch];
        let words = ["-n", FRAMES_WORD, "--verify", pattern, "--print-metadata", "--json-output"];
        let reader = cam.read(&[&words[..], &more].concat());
        let words = ["-n", FRAMES_WORD, "-s", "5001", "--pattern", pattern, "-m", "raw video"];
        cam.command("write", &[&words[..], &more].concat()).end().expect_code(0);
        let ended = reader.end().expect_code(0);
        assert_read(&ended.json(), FRAMES);
        assert_eq!(ended.json()["metadata_size"], 9);
        assert!(ended.stderr.contains("raw video"), "{}", ended.stderr);
        cam.assert_gone();
    }
}

#[test]
fn a_python_writer_reaches_our_reader() {
    let cam = Buffer::new("from-python");
    let create = ["--protocol", "1", "--buffer-size", RING, "--wait-ms", "60000"];
    let words = ["-n", FRAMES_WORD, "-s", SIZE_WORD];
    let reader = cam.start(Tool::TestReader, &[&words[..], &create, &VERIFY].concat());
    cam.until_created();
    cam.python_tool("writer", &[&words[..], &["-m", "raw video"]].concat()).end().expect_code(0);
    let report = reader.end().expect_code(0).json();
    assert_read(&report, FRAMES);
    assert_eq!(report["metadata_size"], 9);
    cam.assert_gone();
}

#[test]
fn our_writer_reaches_the_python_reader() {
    let cam = Buffer::new("to-python");
    let words = ["-n", FRAMES_WORD, "-s", SIZE_WORD];
    let reader = cam.python_tool("reader", &[&words[..], &VERIFY].concat());
    cam.until_created();
    cam.start(Tool::TestWriter, &words).end().expect_code(0);
    assert_read(&reader.end().expect_code(0).json(), FRAMES);
    cam.assert_left_by_python();
}

#[test]
fn our_metadata_and_every_byte_reach_a_python_program() {
    let cam = Buffer::new("bytes-to-python");
    let reader = cam.python_reader(FRAMES_WORD);
    let words = ["-n", FRAMES_WORD, "-s", SIZE_WORD, "-m", "raw video"];
    cam.start(Tool::TestWriter, &words).end().expect_code(0);
    let expected = format!("raw video {}\n", hex_md5(&sequential()));
    assert_eq!(reader.end().expect_code(0).stdout, expected);
    cam.assert_left_by_python();
}

/// Starts a relay of ours out of `from`, which it makes.
fn relay(from: &Buffer, to: &Buffer, words: &[&str]) -> Running {
    let create = ["--protocol", "1", "--buffer-size", RING, "--json-output"];
    let relay = from.command("relay", &[&[to.name()], &create[..], words].concat());
    from.until_created();
    relay
}

#[test]
fn our_relay_stands_between_two_python_programs() {
    let (from, to) = (Buffer::new("relay-in"), Buffer::new("relay-out"));
    let reader = to.python_reader(FRAMES_WORD);
    let relay = relay(&from, &to, &["-n", FRAMES_WORD]);
    let words = ["-n", FRAMES_WORD, "-s", SIZE_WORD, "-m", "raw video"];
    from.python_tool("writer", &words).end().expect_code(0);
    let report = relay.end().expect_code(0).json();
    assert_eq!(report["frames_relayed"], FRAMES);
    assert_eq!(report["metadata_relayed"], true);
    let expected = format!("raw video {}\n", hex_md5(&sequential()));
    assert_eq!(reader.end().expect_code(0).stdout, expected);
    from.assert_gone();
    to.assert_left_by_python();
}

#[test]
fn our_relay_turns_our_frames_for_a_python_program() {
    let (from, to) = (Buffer::new("turn-in"), Buffer::new("turn-out"));
    let reader = to.python_reader(FRAMES_WORD);
    let relay = relay(&from, &to, &["--transform", "reverse"]);
    let words = ["-n", FRAMES_WORD, "-s", SIZE_WORD, "-m", "raw video"];
    from.command("write", &words).end().expect_code(0);
    assert_eq!(relay.end().expect_code(0).json()["frames_relayed"], FRAMES);
    let turned: Vec<u8> =
        sequential().chunks(SIZE).flat_map(|frame| frame.iter().rev().copied()).collect();
    let expected = format!("raw video {}\n", hex_md5(&turned));
    assert_eq!(reader.end().expect_code(0).stdout, expected);
    from.assert_gone();
}

#[test]
fn a_relay_leads_from_either_protocol_to_the_other() {
    let (from, to) = (Buffer::new("v1-in"), Buffer::new("v2-out"));
    let reader =
        to.command("read", &[&["-n", FRAMES_WORD, "--buffer-size", RING], &VERIFY[..]].concat());
    let relaying = relay(&from, &to, &[]);
    from.command("write", &["-n", FRAMES_WORD]).end().expect_code(0);
    relaying.end().expect_code(0);
    assert_read(&reader.end().expect_code(0).json(), FRAMES);

    let (from, to) = (Buffer::new("v2-in"), Buffer::new("v1-out"));
    let reader = to.read(&[&["-n", FRAMES_WORD], &VERIFY[..]].concat());
    let relay = from.command("relay", &[to.name(), "--buffer-size", RING]);
    from.command("write", &["-n", FRAMES_WORD]).end().expect_code(0);
    relay.end().expect_code(0);
    assert_read(&reader.end().expect_code(0).json(), FRAMES);
    to.assert_gone();
}

#[test]
fn a_pipe_goes_through_unchanged_whichever_side_starts_first() {
    const FRAME: &str = "4099";
    let bytes = noise(200 * 4099, 7);
    for writer_first in [false, true] {
        let cam = Buffer::new("pipe");
        // With --protocol it waits for the reader to make the buffer; without, it finds it.
        let protocol: &[&str] = if writer_first { &["--protocol", "1"] } else { &[] };
        let words = [&["--stdin", "--frame-size", FRAME, "-m", "noise"][..], protocol].concat();
        let early = writer_first.then(|| cam.command("write", &words));
        if writer_first {
            std::thread::sleep(Duration::from_millis(200));
        }
        let reader = cam.read(&["--stdout", "--print-metadata"]);
        let writer = early.unwrap_or_else(|| cam.command("write", &words));
        let written = writer.feed(&bytes).end().expect_code(0);
        assert_eq!(
            written.stderr.contains("waiting for buffer"),
            writer_first,
            "{}",
            written.stderr
        );
        let read = reader.end().expect_code(0);
        assert_eq!(hex_md5(&read.bytes), hex_md5(&bytes), "{} bytes came", read.bytes.len());
        assert!(read.stderr.contains("noise"), "{}", read.stderr);
        cam.assert_gone();
    }
}

#[test]
fn a_reader_may_stay_for_the_next_writer() {
    let cam = Buffer::new("follow");
    let reader = cam.read(&[&["-n", "50", "--follow"], &VERIFY[..]].concat());
    for frames in ["20", "30"] {
        cam.command("write", &["-n", frames]).end().expect_code(0);
    }
    assert_read(&reader.end().expect_code(0).json(), 50);
    cam.assert_gone();
}

#[test]
fn a_live_buffer_is_listed_and_shown_with_what_there_is() {
    let cam = Buffer::new("shown");
    let reader = cam.read(&["-n", "0", "--follow"]);
    let line = cam.line();
    assert!(line.contains("1.0") && line.contains("waits for a writer"), "{line}");
    let words = ["-n", "100000", "--delay-ms", "10", "-m", "raw video"];
    let mut writer = cam.command("write", &words);
    cam.until_written(3);
    assert!(cam.line().contains("in use"), "{}", cam.line());

    let seen = cam.listed();
    assert_eq!(seen["protocol"], "1.0");
    assert_eq!(seen["state"], "in use");
    assert_eq!(seen["payload_bytes"], 64 << 10);
    assert_eq!(seen["metadata"], "raw video");
    assert_eq!(seen["writer"]["alive"], true);
    assert_eq!(seen["readers"][0]["alive"], true);
    // Protocol 1.0 does not have these: a number would be a lie.
    let has = |value: &Value, field: &str| value.get(field).is_some();
    for field in
        ["segment_id", "high_water_bytes", "dropped_frames", "newest_sequence", "timestamps"]
    {
        assert!(!has(&seen, field), "{field}: {seen}");
    }
    for end in [&seen["writer"], &seen["readers"][0]] {
        assert!(!has(end, "generation") && !has(end, "durable"), "{end}");
        assert!(!has(end, "attached_unix_seconds"), "{end}");
    }
    let shown = cam.command("inspect", &[]).end().expect_code(0).stdout;
    for word in ["1.0", "in use", "owns the buffer", "raw video", "wrap markers"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    for word in ["generation", "segment 0", "at most", "dropped", "waits for room", "ephemeral"] {
        assert!(!shown.contains(word), "{word}: {shown}");
    }

    writer.signal(Signal::INT);
    writer.wait().expect_code(130);
    assert!(cam.line().contains("waits for a writer"), "{}", cam.line());
    assert!(!cam.line().contains("pid 0"), "{}", cam.line());
    assert_eq!(cam.listed()["writer"], json!({ "pid": null, "attached": false, "alive": false }));
    reader.kill();
}

#[test]
fn rm_refuses_a_live_buffer_unless_forced() {
    let cam = Buffer::new("rm-live");
    let mut reader = cam.read(&["-n", "0"]);
    let refused = cam.command("rm", &[]).end().expect_code(1);
    assert!(refused.stderr.contains("in use by its reader (pid "), "{}", refused.stderr);
    cam.until_created();
    cam.command("rm", &["--force"]).end().expect_code(0);
    assert_eq!(cam.listed(), Value::Null);
    let nobody = cam.command("write", &["-n", "1", "--wait-ms", "50"]).end().expect_code(1);
    assert!(nobody.stderr.contains("no buffer"), "{}", nobody.stderr);
    reader.signal(Signal::INT);
    reader.wait().expect_code(0);
    cam.assert_gone();
}

#[test]
fn the_next_reader_takes_over_what_a_dead_one_left() {
    let cam = Buffer::new("successor");
    cam.read(&["-n", "0"]).kill();
    let reader = cam.read(&[&["-n", "3"], &VERIFY[..]].concat());
    cam.command("write", &["-n", "3"]).end().expect_code(0);
    assert_read(&reader.end().expect_code(0).json(), 3);
    cam.assert_gone();
}

#[test]
fn ctrl_c_ends_a_waiting_reader_and_leaves_nothing() {
    for signal in [Signal::INT, Signal::TERM] {
        let cam = Buffer::new("int-reader");
        let mut reader = cam.read(&["-n", "0"]);
        reader.signal(signal);
        reader.wait().expect_code(0);
        cam.assert_gone();
    }
}

#[test]
fn ctrl_c_ends_a_writer_and_its_frames_arrive() {
    let cam = Buffer::new("int-writer");
    let reader = cam.read(&[&["-n", "0"], &VERIFY[..]].concat());
    let words = ["-n", "1000000", "--delay-ms", "1", "--json-output"];
    let mut writer = cam.command("write", &words);
    cam.until_written(5);
    writer.signal(Signal::INT);
    let written = writer.wait().expect_code(130).json()["frames_written"].as_u64();
    assert_read(&reader.end().expect_code(0).json(), written.expect("a number"));
    cam.assert_gone();
}

#[test]
fn a_writer_is_told_when_its_reader_leaves_or_dies() {
    for signal in [Signal::INT, Signal::KILL] {
        let cam = Buffer::new("reader-ends");
        let mut reader = cam.read(&["-n", "0"]);
        let mut writer = cam.command("write", &["-n", "1000000000"]);
        cam.until_written(1000);
        reader.signal(signal);
        reader.wait();
        let ended = writer.wait().expect_code(2);
        assert!(ended.stderr.contains("reader `main`"), "{}", ended.stderr);
        let word = if signal == Signal::KILL { "died" } else { "left" };
        assert!(ended.stderr.contains(word), "{signal:?}: {}", ended.stderr);
    }
}

#[test]
fn killed_python_programs_are_noticed() {
    let cam = Buffer::new("dead-python-reader");
    let reader = cam.python_reader("1000000000");
    let mut writer = cam.command("write", &["-n", "1000000000"]);
    cam.until_written(1000);
    reader.kill();
    let ended = writer.wait().expect_code(2);
    assert!(ended.stderr.contains("died"), "{}", ended.stderr);

    let cam = Buffer::new("dead-python-writer");
    let mut reader = cam.read(&[&["-n", "0"], &VERIFY[..]].concat());
    let writer = cam.python_tool("writer", &["-n", "1000000", "--delay-ms", "1"]);
    cam.until_written(5);
    writer.kill();
    let ended = reader.wait().expect_code(2);
    assert!(ended.stderr.contains("died"), "{}", ended.stderr);
    assert!(ended.json()["frames_read"].as_u64() >= Some(5), "{}", ended.stdout);
    assert_eq!(ended.json()["verification_errors"], 0);
    cam.assert_gone();
}

#[test]
fn a_reader_that_holds_its_last_frame_does_not_hold_the_writer() {
    const HOLDER: &str = "
import sys
from zerobuffer import Reader

with Reader(sys.argv[1]) as reader:
    frame = reader.read_frame(timeout=60)
    sys.stdin.readline()
";
    let cam = Buffer::new("holder");
    let mut holder = python(&["-c", HOLDER, cam.name()]);
    cam.until_created();
    // Waits for nothing that the reader keeps.
    cam.command("write", &["-n", "1"]).end().expect_code(0);
    assert!(holder.is_running());
    holder.end().expect_code(0);
}

#[test]
fn what_protocol_1_does_not_have_is_refused_with_what_to_do() {
    let place = Place::new();
    let v1 = ["--protocol", "1"];
    for (words, code, says) in [
        (&["read", "cam", "--timestamps"][..], 3, "no --timestamps: leave it out"),
        (&["read", "cam", "--mode", "660"], 3, "no --mode: leave it out"),
        (&["read", "cam", "--group", "0"], 3, "no --group: leave it out"),
        (&["read", "cam", "--as", "second"], 3, "leave --as out"),
        (&["write", "cam", "--create"], 3, "the reader makes the buffer: start it first"),
        (&["relay", "a", "b", "--create-output"], 4, "leave --create-output out"),
        (&["relay", "a", "b", "--mode", "660"], 4, "no --mode: leave it out"),
        // In another directory, which is this test's, nobody would find it.
        (&["read", "cam"], 1, "does not have buffers outside /dev/shm"),
        (&["relay", "a", "b"], 1, "does not have buffers outside /dev/shm"),
    ] {
        let ended: Ended = place.run(&[words, &v1].concat()).expect_code(code);
        assert!(ended.stderr.contains(says), "{words:?}: {}", ended.stderr);
    }
    place.assert_empty();
}

#[test]
fn one_name_does_not_stand_for_two_buffers() {
    let cam = Buffer::new("two");
    let reader = cam.read(&["-n", "0"]);
    let second = cam.command("read", &["--protocol", "1", "-n", "1"]).end().expect_code(1);
    assert!(second.stderr.contains("already"), "{}", second.stderr);
    let newer = cam.command("read", &["-n", "1"]).end().expect_code(1);
    assert!(newer.stderr.contains("protocol 1.0 has that name"), "{}", newer.stderr);
    reader.kill();
}
