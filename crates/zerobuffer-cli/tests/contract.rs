//! The cross-platform contract: JSON fields, patterns, exit codes.

mod common;

use common::{Place, SMALL, Tool, has_live_reader};
use serde_json::Value;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[track_caller]
fn assert_has(value: &Value, names: &[&str]) {
    let keys = keys(value);
    for name in names {
        assert!(keys.contains(name), "no `{name}` in {value}");
    }
}

const WRITER_FIELDS: [&str; 8] = [
    "operation",
    "buffer_name",
    "frames_written",
    "frame_size",
    "metadata_size",
    "duration_seconds",
    "throughput_mbps",
    "errors",
];
const READER_FIELDS: [&str; 10] = [
    "operation",
    "buffer_name",
    "frames_read",
    "frame_size",
    "metadata_size",
    "duration_seconds",
    "throughput_mbps",
    "verification_errors",
    "checksums",
    "errors",
];

#[test]
fn reader_and_writer_report_what_the_contract_says() {
    let place = Place::new();
    let reader = place.start_tool(
        Tool::TestReader,
        &[
            "cam",
            "-n",
            "300",
            "-s",
            "5000",
            "--verify",
            "sequential",
            "--checksum",
            "--json-output",
        ],
    );
    place.inspect_until("cam", has_live_reader);
    let words = ["cam", "-n", "300", "-s", "5000", "-m", "hello", "--json-output"];
    let writer = place.start_tool(Tool::TestWriter, &words).end().expect_code(0);
    let reader = reader.end().expect_code(0);

    let report = writer.json();
    assert_has(&report, &WRITER_FIELDS);
    assert_eq!(report["operation"], "write");
    assert_eq!(report["buffer_name"], "cam");
    assert_eq!(report["frames_written"], 300);
    assert_eq!(report["frame_size"], 5000);
    assert_eq!(report["metadata_size"], 5);
    assert_eq!(report["errors"], Value::Array(vec![]));

    let report = reader.json();
    assert_has(&report, &READER_FIELDS);
    assert_eq!(report["operation"], "read");
    assert_eq!(report["frames_read"], 300);
    assert_eq!(report["frame_size"], 5000);
    assert_eq!(report["metadata_size"], 5);
    assert_eq!(report["verification_errors"], 0);
    let checksums = report["checksums"].as_array().unwrap();
    assert_eq!(checksums.len(), 100, "the first hundred");
    assert_eq!(checksums[7]["frame"], 7);
    assert_eq!(checksums[7]["checksum"].as_str().unwrap().len(), 32);
    place.assert_empty();
}

#[test]
fn json_is_indented_by_two_spaces() {
    let place = Place::new();
    let ended = place.start_tool(Tool::TestWriter, &["nothing", "--json-output"]).end();
    assert!(ended.stdout.starts_with("{\n  \"operation\": \"write\",\n"), "{}", ended.stdout);
}

#[test]
fn the_test_writer_fails_at_once_without_a_buffer() {
    let place = Place::new();
    let ended =
        place.start_tool(Tool::TestWriter, &["nothing", "--json-output"]).end().expect_code(1);
    let report = ended.json();
    assert_has(&report, &WRITER_FIELDS);
    assert_eq!(report["frames_written"], 0);
    assert!(report["errors"][0].as_str().unwrap().contains("no buffer `nothing`"));
    assert!(ended.stderr.contains("zerobuffer: no buffer `nothing`"), "{}", ended.stderr);
    place.assert_empty();
}

#[test]
fn the_test_reader_times_out_with_2() {
    let place = Place::new();
    let words = ["cam", "--timeout-ms", "200", "--json-output", "--buffer-size", SMALL];
    let ended = place.start_tool(Tool::TestReader, &words).end().expect_code(2);
    let report = ended.json();
    assert_eq!(report["frames_read"], 0);
    assert!(report["errors"][0].as_str().unwrap().contains("no frame within"));
    place.assert_empty();
}

#[test]
fn fewer_frames_than_asked_for_are_2() {
    let place = Place::new();
    let words = ["cam", "-n", "20", "-s", "100", "--json-output", "--buffer-size", SMALL];
    let reader = place.start_tool(Tool::TestReader, &words);
    place.inspect_until("cam", has_live_reader);
    place.start_tool(Tool::TestWriter, &["cam", "-n", "10", "-s", "100"]).end().expect_code(0);
    let report = reader.end().expect_code(2).json();
    assert_eq!(report["frames_read"], 10, "every committed frame is read first");
    place.assert_empty();
}

#[test]
fn wrong_content_is_4_and_wrong_size_is_2() {
    for (verify, size, code) in [("ones", "100", 4), ("zero", "99", 2), ("zero", "100", 0)] {
        let place = Place::new();
        let reader = place.start_tool(
            Tool::TestReader,
            &[
                "cam",
                "-n",
                "5",
                "-s",
                size,
                "--verify",
                verify,
                "--json-output",
                "--buffer-size",
                SMALL,
            ],
        );
        place.inspect_until("cam", has_live_reader);
        let words = ["cam", "-n", "5", "-s", "100", "--pattern", "zero"];
        place.start_tool(Tool::TestWriter, &words).end().expect_code(0);
        let report = reader.end().expect_code(code).json();
        assert_eq!(report["frames_read"], 5);
        assert_eq!(report["verification_errors"], if code == 4 { 5 } else { 0 });
    }
}

#[test]
fn every_pattern_is_verified_singly_and_in_batches() {
    for pattern in ["sequential", "random", "zero", "ones"] {
        for batch in ["1", "16"] {
            let place = Place::new();
            let create =
                ["--create", "--buffer-size", SMALL, "--pattern", pattern, "--batch-size", batch];
            let writer =
                place.start(&[&["write", "cam", "-n", "1000", "-s", "3001"][..], &create].concat());
            let words = [
                "read",
                "cam",
                "-n",
                "1000",
                "--verify",
                pattern,
                "--batch-size",
                batch,
                "--json-output",
            ];
            let report = place.run(&words).expect_code(0).json();
            assert_eq!(report["frames_read"], 1000, "{pattern} {batch}");
            assert_eq!(report["verification_errors"], 0, "{pattern} {batch}");
            writer.end().expect_code(0);
            place.assert_empty();
        }
    }
}

#[test]
fn bad_arguments_have_the_contracts_codes() {
    let place = Place::new();
    let cases: [(Tool, &[&str], i32); 11] = [
        (Tool::TestWriter, &[], 3),
        (Tool::TestWriter, &["cam", "--pattern", "plaid"], 3),
        (Tool::TestReader, &["cam", "--frames", "many"], 3),
        (Tool::TestRelay, &["only-one"], 4),
        (Tool::TestRelay, &["same", "same"], 4),
        (Tool::Zerobuffer, &["write", "cam", "--size", "12 parsecs"], 3),
        (Tool::Zerobuffer, &["write", "cam", "--stdin"], 3),
        (Tool::Zerobuffer, &["read", "cam", "--framed"], 3),
        (Tool::Zerobuffer, &["read", "cam", "--protocol", "1", "--mode", "660"], 3),
        (Tool::Zerobuffer, &["relay", "a"], 4),
        (Tool::Zerobuffer, &["frobnicate"], 2),
    ];
    for (tool, words, code) in cases {
        let ended = place.start_tool(tool, words).end().expect_code(code);
        assert!(!ended.stderr.is_empty(), "{words:?} says nothing");
    }
    for (tool, words) in [(Tool::TestWriter, &["--help"][..]), (Tool::Zerobuffer, &["read", "-h"])]
    {
        place.start_tool(tool, words).end().expect_code(0);
    }
    place.assert_empty();
}

#[test]
fn the_older_command_names_work() {
    let place = Place::new();
    let reader =
        place.start(&["reader", "cam", "-n", "3", "--buffer-size", SMALL, "--json-output"]);
    place.start(&["writer", "cam", "-n", "3"]).end().expect_code(0);
    assert_eq!(reader.end().expect_code(0).json()["frames_read"], 3);
}

#[test]
fn metadata_comes_from_a_file_unless_given() {
    let place = Place::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from the file").unwrap();
    let path = file.path().to_str().unwrap();
    for (more, expected) in [(&[][..], "from the file"), (&["-m", "given"], "given")] {
        let words = [
            "write",
            "cam",
            "-n",
            "1",
            "--create",
            "--buffer-size",
            SMALL,
            "--metadata-file",
            path,
        ];
        let writer = place.start(&[&words[..], more].concat());
        let reader = place.run(&["read", "cam", "-n", "1", "--print-metadata"]).expect_code(0);
        assert!(reader.stdout.starts_with(&format!("{expected}\n")), "{}", reader.stdout);
        writer.end().expect_code(0);
    }
}

#[test]
fn a_frame_that_cannot_fit_is_a_write_error() {
    let place = Place::new();
    let words = ["write", "cam", "-n", "1", "-s", "1M", "--create", "--buffer-size", "64K"];
    let ended = place.run(&words).expect_code(2);
    assert!(ended.stderr.contains("larger than the largest possible"), "{}", ended.stderr);
    place.assert_empty();
}

#[test]
fn full_fails_or_drops_if_asked_to() {
    let place = Place::new();
    let words = ["write", "cam", "-n", "100", "-s", "9K", "--create", "--buffer-size", "64K"];
    let lazy = ["--linger-ms", "0", "--json-output", "--full-policy"];
    let ended = place.run(&[&words[..], &lazy, &["fail"]].concat()).expect_code(2);
    assert!(ended.stderr.contains("full"), "{}", ended.stderr);
    let report = place.run(&[&words[..], &lazy, &["drop"]].concat()).expect_code(2).json();
    let written = report["frames_written"].as_u64().unwrap();
    assert_eq!(written + report["frames_dropped"].as_u64().unwrap(), 100);
    assert_eq!(report["frames_undelivered"], written);
    place.assert_empty();
}
