//! More than one reader: taps, lossy readers, work groups; and a relay that passes frames on by reference.

mod common;

use common::{Place, SMALL, has_live_reader, noise};
use serde_json::Value;

const FRAME: usize = 3000;
const COUNT: usize = 200;

#[test]
fn a_tap_shows_frames_that_nobody_else_misses() {
    let place = Place::new();
    let size = (2 * COUNT * FRAME).to_string();
    let words =
        ["write", "cam", "--create", "--stdin", "--frame-size", "3000", "--buffer-size", &size];
    let bytes = noise(COUNT * FRAME, 1);
    let mut writer = place.start(&words);
    let tap = place.start(&["tap", "cam", "--json", "--from", "oldest"]);
    let copied = place.start(&["tap", "cam", "--stdout", "--from", "oldest"]);
    place.inspect_until("cam", |cam| cam["writer"]["alive"] == true);
    // The taps are there when they have seen the first frame, and nothing in the buffer shows them.
    writer.feed_on(&bytes[..FRAME]);
    place.inspect_until("cam", |cam| cam["newest_sequence"] == 1);
    std::thread::sleep(std::time::Duration::from_millis(300));
    writer.feed_on(&bytes[FRAME..]);
    let seen = place.inspect_until("cam", |cam| cam["newest_sequence"] == COUNT);
    assert_eq!(seen["readers"][0]["alive"], false, "only the place kept for the first reader");
    let read = place.start(&["read", "cam", "--stdout"]);
    writer.feed(&[]).end().expect_code(0);
    assert!(read.end().expect_code(0).bytes == bytes);
    assert!(copied.end().expect_code(0).bytes == bytes);
    let lines = tap.end().expect_code(0).stdout;
    let frames: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(frames.len(), COUNT);
    for (number, frame) in (1..).zip(&frames) {
        assert_eq!((&frame["sequence"], &frame["bytes"]), (&number.into(), &FRAME.into()));
        assert!(frame["age_us"].as_f64() > Some(0.0), "{frame}");
    }
    let first: String = bytes[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(frames[0]["begins_with"], *first);
    place.assert_empty();
}

#[test]
fn a_tap_shows_a_line_for_each_frame_and_stops_when_it_has_enough() {
    let place = Place::new();
    let writer = place.start(&["write", "cam", "--create", "-n", "1000000", "--delay-ms", "5"]);
    let ended = place.run(&["tap", "cam", "-n", "3"]).expect_code(0);
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", ended.stdout);
    assert!(lines[0].starts_with("frame ") && lines[0].contains("1.0 KiB"), "{}", lines[0]);
    assert!(lines[3].starts_with("saw 3 frames"), "{}", lines[3]);
    let preview = place.run(&["tap", "cam", "-n", "3", "--every", "50"]).expect_code(0);
    assert!(preview.stdout.contains("missed"), "{}", preview.stdout);
    writer.kill();
    place.run(&["rm", "cam"]).expect_code(0);
}

#[test]
fn a_tap_says_what_it_cannot_do() {
    let place = Place::new();
    let words = ["tap", "nobody", "--timeout-ms", "100"];
    let ended = place.run(&words).expect_code(1);
    assert!(ended.stderr.contains("no buffer `nobody`"), "{}", ended.stderr);
    let words = ["tap", "cam", "--every", "5", "--from", "oldest"];
    assert!(place.run(&words).expect_code(2).stderr.contains("--from oldest"));
}

#[test]
fn members_of_a_work_group_divide_the_frames() {
    let place = Place::new();
    let words = ["read", "cam", "--work-group", "workers", "-n", "0", "--json-output"];
    let members: Vec<_> = (0..3).map(|_| place.start(&words)).collect();
    let all = place.start(&["read", "cam", "--as", "all", "-n", "0", "--json-output"]);
    let is_there = |cam: &Value| {
        let readers = cam["readers"].as_array().expect("a list");
        let count = |kind| readers.iter().filter(|reader| reader["kind"] == kind).count();
        (count("member"), count("group"), count("durable")) == (3, 1, 1)
    };
    place.inspect_until("cam", is_there);
    place.run(&["write", "cam", "-n", "3000"]).expect_code(0);
    let read = |running: common::Running| {
        running.end().expect_code(0).json()["frames_read"].as_u64().expect("a number")
    };
    assert_eq!(read(all), 3000);
    assert_eq!(members.into_iter().map(read).sum::<u64>(), 3000);
}

#[test]
fn a_lossy_reader_holds_nobody_up_and_counts_what_it_missed() {
    let place = Place::new();
    let words =
        ["read", "cam", "--lossy", "--stdout", "--framed", "--json-output", "--buffer-size", SMALL];
    // Nobody reads its stdout until it ends, so it stops at a full pipe.
    let lossy = place.start(&words);
    place.inspect_until("cam", has_live_reader);
    place.run(&["write", "cam", "-n", "100000", "-s", "1000"]).expect_code(0);
    let report = lossy.end().expect_code(0).json_on_stderr();
    let number = |field: &str| report[field].as_u64().expect("a number");
    assert!(number("frames_missed") > 0, "{report}");
    assert!(number("frames_read") > 0, "{report}");
    assert!(number("frames_read") + number("frames_missed") <= 100_000, "{report}");
}

/// What a relay made of `bytes`, and its report.
fn passed_on(relay: &[&str], bytes: &[u8]) -> (Vec<u8>, Value, String) {
    let place = Place::new();
    let reader = place.start(&["read", "out", "--stdout", "--share"]);
    place.inspect_until("out", has_live_reader);
    let tap = place.start(&["tap", "out", "--stdout", "--from", "oldest"]);
    let relay = place.start(&[&["relay", "in", "out", "--json-output"][..], relay].concat());
    place.inspect_until("in", has_live_reader);
    let words = ["write", "in", "--stdin", "--frame-size", "3000"];
    place.start(&words).feed(bytes).end().expect_code(0);
    let relayed = relay.end().expect_code(0);
    let out = reader.end().expect_code(0).bytes;
    // A tap that was too slow has less, and never anything else.
    let tapped = tap.end().expect_code(0).bytes;
    assert!(tapped.chunks(FRAME).all(|frame| out.chunks(FRAME).any(|other| other == frame)));
    place.assert_empty();
    (out, relayed.json(), relayed.stderr)
}

#[test]
fn a_relay_passes_frames_on_by_reference() {
    let bytes = noise(COUNT * FRAME, 4);
    let (out, report, _) = passed_on(&["--zero-copy"], &bytes);
    assert!(out == bytes);
    assert_eq!(
        (&report["frames_relayed"], &report["frames_by_reference"]),
        (&COUNT.into(), &COUNT.into())
    );
}

#[test]
fn a_relay_copies_what_it_changes_and_says_so() {
    let bytes = noise(20 * FRAME, 5);
    let (out, report, said) = passed_on(&["--zero-copy", "--transform", "xor"], &bytes);
    assert!(out.iter().zip(&bytes).all(|(out, byte)| *out == byte ^ 255));
    assert_eq!(report["frames_by_reference"], 0);
    assert!(said.contains("copied in spite of --zero-copy"), "{said}");
}
