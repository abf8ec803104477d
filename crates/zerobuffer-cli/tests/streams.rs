//! stdin and stdout, in either order of start.

mod common;

use std::io::Read;
use std::process::{Command, Stdio};

use common::{Place, SMALL, Tool, has_live_reader, noise};

const FRAME: usize = 50_000;

#[test]
fn what_goes_into_stdin_comes_out_of_stdout() {
    let place = Place::new();
    let bytes = noise(60 * FRAME, 1);
    let reader = place.start(&["read", "cam", "--stdout", "--json-output"]);
    let words = ["write", "cam", "--stdin", "--frame-size", "50000", "--json-output"];
    let writer = place.start(&words).feed(&bytes).end().expect_code(0);
    let reader = reader.end().expect_code(0);
    assert!(reader.bytes == bytes, "{} of {} bytes, or others", reader.bytes.len(), bytes.len());
    assert_eq!(writer.stdout, "", "the report is on stderr");
    assert_eq!(writer.json_on_stderr()["frames_written"], 60);
    let report = reader.json_on_stderr();
    assert_eq!(report["frames_read"], 60);
    assert_eq!(report["latency_us"]["frames"], 60, "time stamps are on");
    place.assert_empty();
}

#[test]
fn the_writer_may_start_first() {
    let place = Place::new();
    let bytes = noise(3 * FRAME, 2);
    let mut writer = place.start(&["write", "cam", "--stdin", "--frame-size", "50000"]);
    writer.feed_on(&bytes);
    place.inspect_until("cam", |cam| cam["newest_sequence"] == 3);
    let writer = writer.feed(&bytes);
    let reader = place.run(&["read", "cam", "--stdout"]).expect_code(0);
    assert!(reader.bytes == [&bytes[..], &bytes].concat());
    writer.end().expect_code(0);
    place.assert_empty();
}

#[test]
fn an_elastic_writer_keeps_to_the_start_of_the_ring() {
    let place = Place::new();
    let (frame, ring) = (1 << 20, 16 << 20);
    let bytes = noise(frame, 7);
    let reader = place.start(&["read", "cam", "--stdout"]);
    let words = ["write", "cam", "--stdin", "--frame-size", "1M", "--buffer-size", "16M"];
    let mut writer = place.start(&[&words[..], &["--elastic", "always"]].concat());
    let mut head = 0;
    for number in 1..=12 {
        writer.feed_on(&bytes);
        let cam = place
            .inspect_until("cam", |cam| cam["newest_sequence"] == number && cam["fill_bytes"] == 0);
        head = cam["head_position"].as_u64().unwrap();
    }
    // Each second frame begins a lap.
    assert!(head > 4 * ring, "{head}");
    writer.feed(&[]).end().expect_code(0);
    assert!(reader.end().expect_code(0).bytes == bytes.repeat(12));
    place.assert_empty();
}

#[test]
fn the_writer_waits_for_the_buffer_and_says_so() {
    let place = Place::new();
    let mut writer = place.start(&["write", "cam", "-n", "7"]);
    let reader =
        place.start(&["read", "cam", "-n", "7", "--verify", "sequential", "--buffer-size", SMALL]);
    reader.end().expect_code(0);
    writer.wait().expect_code(0);

    let ended = place.run(&["write", "nothing", "--wait-ms", "50"]).expect_code(1);
    assert!(ended.stderr.contains("waiting for buffer `nothing`"), "{}", ended.stderr);
    place.assert_empty();
}

#[test]
fn frames_of_varying_size_keep_their_bounds() {
    let place = Place::new();
    let mut framed = Vec::new();
    for (i, size) in [1, 70_000, 3, 4096, 255, 16_384, 16_385, 1, 1].into_iter().enumerate() {
        framed.extend_from_slice(&u32::to_le_bytes(size));
        framed.extend_from_slice(&noise(size as usize, i as u64));
    }
    let reader = place.start(&["read", "cam", "--stdout", "--framed", "--batch-size", "4"]);
    place.start(&["write", "cam", "--stdin", "--framed"]).feed(&framed).end().expect_code(0);
    assert!(reader.end().expect_code(0).bytes == framed);
    place.assert_empty();
}

#[test]
fn frames_of_no_bytes_are_skipped_and_counted() {
    let place = Place::new();
    let framed = b"\x03\0\0\0abc\0\0\0\0\0\0\0\0\x03\0\0\0def\0\0\0\0";
    let words = ["write", "cam", "--stdin", "--framed", "--keep", "--json-output"];
    let ended = place.start(&words).feed(framed).end().expect_code(0);
    assert_eq!(ended.stderr.matches("frame of 0 bytes").count(), 1, "{}", ended.stderr);
    let report = &ended.stderr[ended.stderr.find('{').unwrap()..];
    let report: serde_json::Value = serde_json::from_str(report).unwrap();
    assert_eq!((&report["frames_written"], &report["skipped_empty"]), (&2.into(), &3.into()));
    let read = place.run(&["read", "cam", "--stdout", "-n", "2"]).expect_code(0);
    assert_eq!(read.bytes, b"abcdef");
}

#[test]
fn a_partial_last_frame_is_an_error_and_the_others_arrive() {
    let place = Place::new();
    let bytes = noise(2 * FRAME + 17, 3);
    let reader = place.start(&["read", "cam", "--stdout"]);
    let words = ["write", "cam", "--stdin", "--frame-size", "50000"];
    let writer = place.start(&words).feed(&bytes).end().expect_code(2);
    assert!(writer.stderr.contains("17 of 50000 bytes"), "{}", writer.stderr);
    assert!(reader.end().expect_code(0).bytes == bytes[..2 * FRAME]);
    place.assert_empty();
}

#[test]
fn an_empty_stream_is_no_error() {
    let place = Place::new();
    let words = ["write", "cam", "--stdin", "--frame-size", "50000"];
    place.start(&words).end().expect_code(0);
    place.assert_empty();
}

#[test]
fn a_frame_count_ends_the_stream() {
    let place = Place::new();
    let bytes = noise(10 * FRAME, 4);
    let reader = place.start(&["read", "cam", "--stdout"]);
    let words = ["write", "cam", "--stdin", "--frame-size", "50000", "-n", "4"];
    place.start(&words).feed(&bytes).end().expect_code(0);
    assert!(reader.end().expect_code(0).bytes == bytes[..4 * FRAME]);
}

#[test]
fn a_closed_stdout_is_a_clean_end() {
    let place = Place::new();
    let mut reader = Command::new(Tool::Zerobuffer.path())
        .args(["read", "cam", "--stdout", "--ephemeral", "--json-output", "--buffer-size", SMALL])
        .env("ZEROBUFFER_DIR", place.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    place.inspect_until("cam", has_live_reader);
    let writer = place.start(&["write", "cam", "--stdin", "--frame-size", "5000"]);
    // More than pipe and ring hold together: the reader is in the middle when its stdout closes.
    let feeding = std::thread::spawn(move || writer.feed(&noise(5000 * 2000, 5)).end());
    let mut stdout = reader.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 6000]).unwrap();
    drop(stdout);
    let output = reader.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let report: serde_json::Value =
        serde_json::from_str(&stderr[stderr.find('{').unwrap()..]).unwrap();
    assert!(report["frames_read"].as_u64() < Some(2000), "{report}");
    assert_eq!(report["errors"], serde_json::json!([]));
    feeding.join().unwrap().expect_code(0);
    place.assert_empty();
}
