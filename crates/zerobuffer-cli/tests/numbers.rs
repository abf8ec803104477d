//! Numbers from outside: checked before anything is made as large as they say.

mod common;

use std::process::{Command, Stdio};

use common::{Ended, Place, Running, Tool};

const MOST: &str = "18446744073709551615";

/// With 1 GiB of address space: whoever believes a number fails to get memory, and aborts.
fn limited(place: &Place, words: &[&str], input: &[u8]) -> Ended {
    let mut command = Command::new("sh");
    let script = "ulimit -v 1048576; exec \"$0\" \"$@\"";
    command.args(["-c", script, Tool::Zerobuffer.path()]).args(words);
    command.env("ZEROBUFFER_DIR", place.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = Running::spawn_with(&mut command).feed(input).end();
    assert!(!ended.stderr.contains("panicked"), "{words:?}: {}", ended.stderr);
    assert!(ended.code.is_some(), "{words:?}: {}", ended.stderr);
    ended
}

#[test]
fn a_batch_is_no_larger_than_the_ring() {
    let place = Place::new();
    let words = ["write", "cam", "--create", "--keep", "-n", "10", "--size", "3110400"];
    for batch in ["1000000", "4000000000"] {
        let words = [&words[..], &["--batch-size", batch]].concat();
        limited(&place, &words, &[]).expect_code(0);
        let read = ["read", "cam", "--verify", "sequential", "--batch-size", "4294967295"];
        limited(&place, &read, &[]).expect_code(0);
    }
    let words =
        ["write", "cam", "--create", "-n", "10", "--size", "4G", "--batch-size", "4000000000"];
    let ended = limited(&place, &words, &[]).expect_code(2);
    assert!(ended.stderr.contains("largest possible"), "{}", ended.stderr);
    let words = ["write", "cam", "--create", "-n", MOST, "--size", MOST, "--batch-size", "9"];
    limited(&place, &words, &[]).expect_code(2);
}

#[test]
fn a_frame_that_never_fits_is_refused_before_it_comes() {
    for policy in ["block", "fail", "drop"] {
        let place = Place::new();
        let words = ["write", "cam", "--stdin", "--keep", "--full-policy", policy];
        // A prefix of 1.1 GiB.
        let framed = [&words[..], &["--framed"]].concat();
        let ended = limited(&place, &framed, &b"RIFF....WAVE".repeat(2000)).expect_code(2);
        assert!(ended.stderr.contains("largest possible"), "{}", ended.stderr);
        let fixed = [&words[..], &["--frame-size", "3G", "--buffer-size", "32M"]].concat();
        let ended = limited(&place, &fixed, &[0; 100_000]).expect_code(2);
        assert!(ended.stderr.contains("largest possible"), "{}", ended.stderr);
        let fixed = [&words[..], &["--frame-size", MOST]].concat();
        limited(&place, &fixed, &[0; 1000]);
        let y4m = [&words[..], &["--y4m", "--buffer-size", "32M"]].concat();
        limited(&place, &y4m, b"YUV4MPEG2 W4000000000 H4000000000\nFRAME\n").expect_code(2);
    }
}

#[test]
fn a_promised_frame_takes_memory_as_its_bytes_come() {
    let place = Place::new();
    // It would fit the ring, but of its 300 MiB hardly any come, and address space is short.
    let words = ["write", "cam", "--create", "--keep", "-n", "1", "--buffer-size", "512M"];
    place.run(&words).expect_code(0);
    let mut command = Command::new("sh");
    // Both mappings of the ring, and little more.
    let script = "ulimit -v 1200000; exec \"$0\" \"$@\"";
    command.args(["-c", script, Tool::Zerobuffer.path()]);
    command.args(["write", "cam", "--stdin", "--keep", "--framed", "--full-policy", "drop"]);
    command.env("ZEROBUFFER_DIR", place.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = [&(300_u32 << 20).to_le_bytes()[..], &[7; 1000]].concat();
    let ended = Running::spawn_with(&mut command).feed(&input).end().expect_code(2);
    assert!(ended.stderr.contains("1000 of 314572800 bytes"), "{}", ended.stderr);
}

#[test]
fn times_beyond_the_end_of_time_are_waited_for() {
    let place = Place::new();
    let words = ["write", "cam", "--create", "--keep", "-n", "1", "--linger-ms", MOST];
    limited(&place, &words, &[]).expect_code(3);
    let write = ["write", "cam", "--create", "--keep", "-n", "1", "--full-timeout-ms", MOST];
    limited(&place, &[&write[..], &["--grace-ms", MOST]].concat(), &[]).expect_code(0);
    let read = ["read", "cam", "-n", "1", "--timeout-ms", MOST, "--wait-ms", MOST];
    limited(&place, &read, &[]).expect_code(0);
    let mut writer =
        place.start(&["write", "cam", "--create", "-n", "2", "--keep", "--delay-ms", MOST]);
    place.inspect_until("cam", |cam| cam["newest_sequence"] == 1);
    writer.signal(rustix::process::Signal::TERM);
    writer.wait().expect_code(143);
}

#[test]
fn a_metadata_file_without_end_is_refused() {
    let place = Place::new();
    let words = ["write", "cam", "--create", "-n", "1", "--metadata-file", "/dev/zero"];
    let ended = place.run(&words).expect_code(2);
    assert!(ended.stderr.contains("metadata file /dev/zero"), "{}", ended.stderr);
}
