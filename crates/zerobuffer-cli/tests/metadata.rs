//! Metadata belongs to frames: it is set when the first one is known to fit, and told when it changes.

mod common;

use common::{Place, SMALL, Tool, has_live_reader};

#[test]
fn a_writer_whose_first_frame_does_not_fit_changes_nothing() {
    for framed in [false, true] {
        for policy in ["block", "fail", "drop"] {
            let place = Place::new();
            let words = ["write", "cam", "--create", "--keep", "-n", "3", "-m", "w=640"];
            place.run(&[&words[..], &["--buffer-size", SMALL]].concat()).expect_code(0);
            let words = ["write", "cam", "--keep", "-m", "w=1920", "--full-policy", policy];
            let ended = if framed {
                let words = [&words[..], &["--stdin", "--framed"]].concat();
                place.start(&words).feed(&(2_u32 << 20).to_le_bytes()).end()
            } else {
                place.run(&[&words[..], &["-n", "3", "-s", "2M"]].concat())
            };
            ended.expect_code(2);
            let read = ["read", "cam", "-n", "3", "--print-metadata"];
            let shown = place.run(&read).expect_code(0).stdout;
            assert!(shown.starts_with("w=640\n"), "{shown}");
        }
    }
}

#[test]
fn metadata_of_an_empty_stream_is_set_all_the_same() {
    let place = Place::new();
    let mut reader =
        place.start(&["read", "cam", "-n", "0", "--print-metadata", "--buffer-size", SMALL]);
    place.inspect_until("cam", has_live_reader);
    let words = ["write", "cam", "--stdin", "--framed", "-m", "w=640"];
    place.start(&words).end().expect_code(0);
    assert!(reader.wait().expect_code(0).stdout.starts_with("w=640\n"));
}

#[test]
fn a_reader_that_follows_prints_metadata_where_it_changes() {
    let place = Place::new();
    let read = ["read", "cam", "--follow", "--print-metadata", "--stdout", "--framed", "-n", "6"];
    let mut reader = place.start(&[&read[..], &["--timeout-ms", "0"]].concat());
    place.inspect_until("cam", has_live_reader);
    for (size, metadata) in [("100", "w=10"), ("200", "w=20"), ("200", "w=20")] {
        let words = ["write", "cam", "-n", "2", "-s", size, "-m", metadata];
        place.run(&words).expect_code(0);
        // Frames that are read only after the next change would come under that. The last ones take the buffer along.
        common::until("they are read", || {
            let cam = place.run(&["inspect", "cam", "--json"]);
            cam.code != Some(0) || cam.json()["fill_bytes"] == 0
        });
    }
    let ended = reader.wait().expect_code(0);
    let shown: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("w=")).collect();
    assert_eq!(shown, ["w=10", "w=20"], "{}", ended.stderr);
}

#[test]
fn a_relay_passes_on_metadata_that_changes() {
    for words in [&[][..], &["--zero-copy"], &["--transform", "xor"]] {
        let place = Place::new();
        let relay = ["relay", "in", "out", "--create-output", "-n", "3", "--timeout-ms", "0"];
        let relay = place.start(&[&relay[..], words].concat());
        place.inspect_until("in", has_live_reader);
        let reader = place.start(&["read", "out", "-n", "3", "--timeout-ms", "0"]);
        let options = zerobuffer::Writer::options().dir(place.path());
        let mut writer = options.connect("in").expect("the relay made it");
        writer.set_metadata(b"w=10").expect("none is set");
        writer.write(&[0; 10]).expect("there is room");
        place.inspect_until("out", |out| out["newest_sequence"] == 1 && out["metadata"] == "w=10");
        writer.replace_metadata(b"w=20").expect("2.0 can");
        writer.write(&[0; 20]).expect("there is room");
        place.inspect_until("out", |out| out["newest_sequence"] == 2 && out["metadata"] == "w=20");
        writer.write(&[0; 20]).expect("there is room");
        relay.end().expect_code(0);
        reader.end().expect_code(0);
    }
}

#[test]
fn a_frame_that_does_not_fit_the_output_leaves_its_metadata_alone() {
    let place = Place::new();
    let keep = ["--create", "--keep", "-n", "1"];
    place.run(&[&["write", "in", "-s", "2M", "-m", "w=1920"][..], &keep].concat()).expect_code(0);
    let words = ["write", "out", "-m", "w=640", "--buffer-size", SMALL];
    place.run(&[&words[..], &keep].concat()).expect_code(0);
    // Somebody has to have come, or the relay waits for a reader of what is in its output.
    let _reader = place.start(&["read", "out", "-n", "0", "--follow"]);
    place.inspect_until("out", has_live_reader);
    place.run(&["relay", "in", "out", "-n", "1"]).expect_code(3);
    let out = place.run(&["inspect", "out", "--json"]).expect_code(0).json();
    assert_eq!(out["metadata"], "w=640");
    let read = ["read", "in", "-n", "1", "--size", "2M"];
    place.run(&read).expect_code(0);
}

#[test]
fn the_tools_of_the_contract_set_metadata_before_the_first_frame() {
    let place = Place::new();
    let reader = place.start_tool(Tool::TestReader, &["cam", "-n", "2", "--json-output"]);
    place.inspect_until("cam", has_live_reader);
    let words = ["cam", "-n", "2", "-m", "caps", "--json-output"];
    let writer = place.start_tool(Tool::TestWriter, &words).end().expect_code(0).json();
    assert_eq!(writer["metadata_size"], 4);
    assert_eq!(reader.end().expect_code(0).json()["metadata_size"], 4);
}
