//! Relaying, through three processes.

mod common;

use common::{Place, SMALL, Tool, has_live_reader, noise};

const FRAME: usize = 3000;

fn relayed(options: &[&str], bytes: &[u8]) -> Vec<u8> {
    let place = Place::new();
    let reader = place.start(&["read", "out", "--stdout"]);
    let relay = place.start(&[&["relay", "in", "out", "--json-output"][..], options].concat());
    let words = ["write", "in", "--stdin", "--frame-size", "3000", "-m", "about it"];
    place.start(&words).feed(bytes).end().expect_code(0);
    let report = relay.end().expect_code(0).json();
    assert_eq!(report["operation"], "relay");
    assert_eq!(report["input_buffer"], "in");
    assert_eq!(report["output_buffer"], "out");
    assert_eq!(report["frames_relayed"], bytes.len() / FRAME);
    assert_eq!(report["metadata_relayed"], true);
    for field in ["duration_seconds", "throughput_mbps", "transform", "errors"] {
        assert!(!report[field].is_null(), "no {field} in {report}");
    }
    let out = reader.end().expect_code(0).bytes;
    place.assert_empty();
    out
}

#[test]
fn a_relay_passes_frames_on() {
    let bytes = noise(200 * FRAME, 1);
    assert!(relayed(&[], &bytes) == bytes);
}

#[test]
fn a_relay_reverses_each_frame() {
    let bytes = noise(20 * FRAME, 2);
    let expected: Vec<u8> =
        bytes.chunks(FRAME).flat_map(|frame| frame.iter().rev().copied()).collect();
    assert!(relayed(&["--transform", "reverse"], &bytes) == expected);
}

#[test]
fn a_relay_applies_its_key() {
    let bytes = noise(20 * FRAME, 3);
    for (options, key) in
        [(&["--transform", "xor"][..], 255), (&["--transform", "xor", "--xor-key", "7"], 7)]
    {
        let expected: Vec<u8> = bytes.iter().map(|byte| byte ^ key).collect();
        assert!(relayed(options, &bytes) == expected);
    }
}

#[test]
fn a_relay_may_create_its_output() {
    let place = Place::new();
    let words = ["relay", "in", "out", "--create-output", "--buffer-size", SMALL];
    let relay = place.start(&words);
    let writer = place.start(&["write", "in", "-n", "50"]);
    place.inspect_until("out", |out| out["newest_sequence"] == 50);
    let words = ["read", "out", "-n", "50", "--verify", "sequential"];
    place.run(&words).expect_code(0);
    writer.end().expect_code(0);
    relay.end().expect_code(0);
    place.assert_empty();
}

#[test]
fn the_test_relay_keeps_the_contract() {
    let place = Place::new();
    let reader = place.start(&["read", "out", "-n", "20", "--buffer-size", SMALL]);
    place.inspect_until("out", has_live_reader);
    let words = ["in", "out", "-n", "20", "--buffer-size", SMALL, "--json-output"];
    let relay = place.start_tool(Tool::TestRelay, &words);
    place.inspect_until("in", has_live_reader);
    place.start_tool(Tool::TestWriter, &["in", "-n", "20"]).end().expect_code(0);
    assert_eq!(relay.end().expect_code(0).json()["frames_relayed"], 20);
    reader.end().expect_code(0);
    place.assert_empty();

    let words = ["in", "nowhere", "--wait-ms", "100", "--buffer-size", SMALL];
    place.start_tool(Tool::TestRelay, &words).end().expect_code(2);
    place.assert_empty();
}
