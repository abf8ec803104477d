//! Who removes a buffer and when; what is seen of it meanwhile.

mod common;

use common::{Place, SMALL, has_live_reader};
use rustix::process::Signal;

const CREATE: [&str; 3] = ["--create", "--buffer-size", SMALL];

#[test]
fn ctrl_c_ends_a_waiting_reader_and_leaves_nothing() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::new();
        let mut reader = place.start(&["read", "cam", "-n", "0", "--buffer-size", SMALL]);
        place.inspect_until("cam", has_live_reader);
        reader.signal(signal);
        reader.wait().expect_code(0);
        place.assert_empty();
    }
}

#[test]
fn ctrl_c_ends_a_writer_that_waits_for_its_buffer() {
    let place = Place::new();
    let mut writer = place.start(&["write", "cam", "-v"]);
    // It has its handlers by the time that the signal is more than a race: either way it ends.
    std::thread::sleep(std::time::Duration::from_millis(300));
    writer.signal(Signal::INT);
    assert_ne!(writer.wait().code, Some(0));
    place.assert_empty();
}

#[test]
fn ctrl_c_drains_a_reader() {
    let place = Place::new();
    let keep = ["write", "cam", "-n", "100", "--keep"];
    place.run(&[&keep[..], &CREATE].concat()).expect_code(0);
    let mut reader = place.start(&["read", "cam", "-n", "0", "--follow", "--json-output"]);
    place.inspect_until("cam", |cam| cam["fill_bytes"] == 0);
    reader.signal(Signal::INT);
    assert_eq!(reader.wait().expect_code(0).json()["frames_read"], 100);
    place.assert_empty();
}

#[test]
fn ctrl_c_ends_a_writer_in_the_middle() {
    let place = Place::new();
    let reader = place.start(&["read", "cam", "-n", "0", "--buffer-size", SMALL, "--json-output"]);
    let mut writer =
        place.start(&["write", "cam", "-n", "1000000", "--delay-ms", "1", "--json-output"]);
    place.inspect_until("cam", |cam| cam["newest_sequence"].as_u64() > Some(5));
    writer.signal(Signal::INT);
    let written = writer.wait().expect_code(130).json()["frames_written"].clone();
    assert_eq!(reader.end().expect_code(0).json()["frames_read"], written);
    place.assert_empty();
}

#[test]
fn ctrl_c_reaches_a_writer_that_waits_on_stdin() {
    let place = Place::new();
    let mut writer = place.start(&["write", "cam", "--stdin", "--frame-size", "1000"]);
    place.inspect_until("cam", |cam| cam["writer"]["alive"] == true);
    writer.signal(Signal::TERM);
    writer.wait().expect_code(0);
    place.assert_empty();
}

#[test]
fn the_second_ctrl_c_ends_lingering_and_counts_what_is_lost() {
    let place = Place::new();
    let words = ["write", "cam", "-n", "25", "--json-output"];
    let mut writer = place.start(&[&words[..], &CREATE].concat());
    place.inspect_until("cam", |cam| cam["newest_sequence"] == 25);
    writer.signal(Signal::INT);
    // Two signals at once may be delivered as one.
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(writer.is_running(), "the first one is not enough");
    writer.signal(Signal::INT);
    let ended = writer.wait().expect_code(2);
    assert_eq!(ended.json()["frames_undelivered"], 25);
    assert!(ended.stderr.contains("25 frames"), "{}", ended.stderr);
    place.assert_empty();
}

#[test]
fn lingering_ends_when_a_reader_comes() {
    let place = Place::new();
    let writer = place.start(&[&["write", "cam", "-n", "25"][..], &CREATE].concat());
    place.inspect_until("cam", |cam| cam["newest_sequence"] == 25);
    let words = ["read", "cam", "-n", "25", "--verify", "sequential"];
    place.run(&words).expect_code(0);
    writer.end().expect_code(0);
    place.assert_empty();
}

#[test]
fn a_kept_buffer_is_listed_and_read_later_and_gone_then() {
    let place = Place::new();
    let words = ["write", "cam", "-n", "10", "--keep", "-m", "for later"];
    place.run(&[&words[..], &CREATE].concat()).expect_code(0);
    let list = place.run(&["ls", "--json"]).expect_code(0).json();
    assert_eq!(list[0]["name"], "cam");
    assert_eq!(list[0]["frames_committed"], 10);
    assert_eq!(list[0]["metadata"], "for later");
    let table = place.run(&["ls"]).expect_code(0).stdout;
    assert!(table.contains("cam") && table.contains("unread"), "{table}");
    let words = ["read", "cam", "--verify", "sequential", "--json-output"];
    assert_eq!(place.run(&words).expect_code(0).json()["frames_read"], 10);
    place.assert_empty();
    assert!(place.run(&["ls"]).expect_code(0).stdout.contains("no buffers"));
}

#[test]
fn a_dead_writers_frames_are_read_and_its_buffer_is_shown() {
    let place = Place::new();
    let words = ["write", "cam", "-n", "10", "--linger-ms", "600000"];
    let writer = place.start(&[&words[..], &CREATE].concat());
    place.inspect_until("cam", |cam| cam["newest_sequence"] == 10);
    writer.kill();
    let cam = place.run(&["inspect", "cam", "--json"]).expect_code(0).json();
    assert_eq!(cam["writer"]["alive"], false);
    place.run(&["inspect", "cam"]).expect_code(0);
    let ended = place.run(&["read", "cam", "--verify", "sequential", "--json-output"]);
    assert_eq!(ended.json()["frames_read"], 10);
    let ended = ended.expect_code(2);
    assert!(ended.stderr.contains("died"), "{}", ended.stderr);
    place.assert_empty();
}

#[test]
fn a_restarted_reader_goes_on_where_the_killed_one_stopped() {
    let place = Place::new();
    let words = ["write", "cam", "-n", "2000", "-s", "4000"];
    let writer = place.start(&[&words[..], &CREATE].concat());
    place.run(&["read", "cam", "-n", "500", "--verify", "sequential"]).expect_code(0);
    let reader = place.start(&["read", "cam", "-n", "0", "--stdout", "--follow"]);
    place.inspect_until("cam", has_live_reader);
    reader.kill();
    let words = ["read", "cam", "-n", "0", "--verify", "sequential", "--json-output"];
    assert_eq!(place.run(&words).expect_code(0).json()["verification_errors"], 0);
    writer.end().expect_code(0);
    place.assert_empty();
}

#[test]
fn readers_with_other_names_and_without_leave_nothing_behind() {
    for who in [&["--as", "second"][..], &["--ephemeral"]] {
        let place = Place::new();
        let words = ["read", "cam", "-n", "30", "--buffer-size", SMALL];
        let reader = place.start(&[&words[..], who].concat());
        place.inspect_until("cam", has_live_reader);
        place.run(&["write", "cam", "-n", "30"]).expect_code(0);
        reader.end().expect_code(0);
        place.assert_empty();
    }
}

#[test]
fn rm_refuses_while_someone_is_attached() {
    let place = Place::new();
    let mut reader = place.start(&["read", "cam", "-n", "0", "--buffer-size", SMALL]);
    place.inspect_until("cam", has_live_reader);
    let ended = place.run(&["rm", "cam"]).expect_code(1);
    assert!(ended.stderr.contains("in use"), "{}", ended.stderr);
    place.run(&["rm", "cam", "--force"]).expect_code(0);
    place.assert_empty();
    // It may notice by itself that its buffer is gone; otherwise it is told to end.
    reader.signal(Signal::INT);
    reader.wait();
    let ended = place.run(&["rm", "cam"]).expect_code(1);
    assert!(ended.stderr.contains("no buffer `cam`"), "{}", ended.stderr);
}

#[test]
fn damaged_buffers_are_listed_inspected_and_removed() {
    let place = Place::new();
    let keep = ["--keep", "-n", "5"];
    for name in ["short", "noisy"] {
        place.run(&[&["write", name][..], &keep, &CREATE].concat()).expect_code(0);
    }
    let open = |name: &str| {
        let files = place.files();
        let file = files.iter().find(|file| file.contains(name)).expect("a file for each buffer");
        std::fs::File::options().write(true).open(place.path().join(file)).expect("it is ours")
    };
    open("short").set_len(100).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&open("noisy"), &common::noise(4096, 9), 0).unwrap();
    let list = place.run(&["ls", "--json"]).expect_code(0);
    assert_eq!(list.json().as_array().map(Vec::len), Some(2), "{}", list.stdout);
    for name in ["short", "noisy"] {
        let ended = place.run(&["inspect", name]);
        let said = ended.stdout + &ended.stderr;
        assert!(said.contains(name) && !said.contains("panicked"), "{said}");
        let ended = place.run(&["read", name, "-n", "1"]).expect_code(1);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
    place.run(&["doctor"]);
    place.run(&["rm", "short", "noisy"]).expect_code(0);
    place.assert_empty();
}

#[test]
fn inspect_of_nothing_says_so() {
    let place = Place::new();
    let ended = place.run(&["inspect", "cam"]).expect_code(1);
    assert!(ended.stderr.starts_with("zerobuffer: no buffer `cam`"), "{}", ended.stderr);
}

#[test]
fn watching_ends_with_ctrl_c() {
    let place = Place::new();
    let mut ls = place.start(&["ls", "--watch", "--json"]);
    std::thread::sleep(std::time::Duration::from_millis(500));
    ls.signal(Signal::INT);
    assert!(ls.wait().expect_code(0).stdout.starts_with("[]"));
}

#[test]
fn a_buffer_that_is_cut_short_ends_its_programs_with_a_message() {
    let place = Place::new();
    let mut reader = place.start(&["read", "cam", "-n", "0", "--buffer-size", SMALL]);
    place.inspect_until("cam", has_live_reader);
    let path = place.path().join("cam.zb2");
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
    let ended = reader.wait().expect_code(2);
    assert!(ended.stderr.contains("`cam` was cut short by another process"), "{}", ended.stderr);
    place.assert_empty();
}

/// A slow writer of many small frames, and a reader.
fn slow_stream(place: &Place, reader: &[&str]) -> (common::Running, common::Running) {
    let reader = place.start(&[reader, &["--buffer-size", SMALL]].concat());
    place.inspect_until("cam", has_live_reader);
    let writer = place.start(&["write", "cam", "-n", "1000000", "--delay-ms", "5", "-s", "100"]);
    place.inspect_until("cam", |cam| cam["newest_sequence"].as_u64() > Some(3));
    (reader, writer)
}

#[test]
fn rm_by_force_ends_a_slow_stream_and_nothing_is_promised() {
    let place = Place::new();
    let (mut reader, mut writer) = slow_stream(&place, &["read", "cam", "-n", "0"]);
    place.run(&["rm", "cam", "--force"]).expect_code(0);
    let ended = writer.wait().expect_code(2);
    assert!(ended.stderr.contains("`cam` was retired"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("stay in"), "{}", ended.stderr);
    let ended = reader.wait().expect_code(2);
    assert!(ended.stderr.contains("`cam` was retired"), "{}", ended.stderr);
    place.assert_empty();
}

#[test]
fn a_writer_that_ends_in_a_removed_buffer_counts_what_is_lost() {
    let place = Place::new();
    let words = ["write", "cam", "-n", "25", "--json-output"];
    let mut writer = place.start(&[&words[..], &CREATE].concat());
    place.inspect_until("cam", |cam| cam["newest_sequence"] == 25);
    // It waits for a reader, which will never come.
    std::fs::remove_file(place.path().join("cam.zb2")).unwrap();
    let ended = writer.wait().expect_code(2);
    assert_eq!(ended.json()["frames_undelivered"], 25);
    assert!(ended.stderr.contains("was removed while it was written to"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("stay in"), "{}", ended.stderr);
    place.assert_empty();
}

#[test]
fn one_that_follows_goes_on_in_the_next_buffer_of_that_name() {
    for force in [false, true] {
        let place = Place::new();
        let read = ["read", "cam", "-n", "0", "--follow", "--timeout-ms", "0", "--json-output"];
        let (mut reader, mut writer) = slow_stream(&place, &read);
        if force {
            place.run(&["rm", "cam", "--force"]).expect_code(0);
        } else {
            std::fs::remove_file(place.path().join("cam.zb2")).unwrap();
        }
        writer.wait().expect_code(2);
        // Whoever is there first makes the new one.
        place.inspect_until("cam", has_live_reader);
        place.run(&["write", "cam", "-n", "50", "-s", "100"]).expect_code(0);
        place.inspect_until("cam", |cam| cam["newest_sequence"] == 50 && cam["fill_bytes"] == 0);
        reader.signal(Signal::INT);
        let ended = reader.wait().expect_code(0);
        assert!(ended.stderr.contains("`cam` was removed"), "{}", ended.stderr);
        assert!(ended.json()["frames_read"].as_u64() > Some(50));
        place.assert_empty();
    }
}

#[test]
fn a_relay_that_follows_outlives_the_writer_and_the_buffer_of_its_input() {
    let place = Place::new();
    let sink = ["read", "out", "-n", "0", "--follow", "--timeout-ms", "0", "--json-output"];
    let mut sink = place.start(&[&sink[..], &["--buffer-size", SMALL]].concat());
    place.inspect_until("out", has_live_reader);
    let relay = ["relay", "cam", "out", "--follow", "--timeout-ms", "0"];
    let (mut relay, writer) = slow_stream(&place, &relay);
    writer.kill();
    place.run(&["write", "cam", "-n", "10", "-s", "100"]).expect_code(0);
    place.inspect_until("cam", |cam| cam["fill_bytes"] == 0);
    let before = place.inspect_until("out", |_| true)["newest_sequence"].as_u64().unwrap();
    assert!(before >= 10);
    std::fs::remove_file(place.path().join("cam.zb2")).unwrap();
    place.inspect_until("cam", has_live_reader);
    place.run(&["write", "cam", "-n", "10", "-s", "100"]).expect_code(0);
    place.inspect_until("out", |out| out["newest_sequence"].as_u64() >= Some(before + 10));
    relay.signal(Signal::INT);
    relay.wait().expect_code(0);
    sink.signal(Signal::INT);
    assert_eq!(sink.wait().expect_code(0).json()["frames_read"], before + 10);
    place.assert_empty();
}

#[test]
fn without_following_a_killed_writer_ends_the_relay_as_it_ends_the_reader() {
    for (words, code) in
        [(&["read", "cam", "-n", "0"][..], 2), (&["relay", "cam", "out", "--create-output"], 3)]
    {
        let place = Place::new();
        let (mut other, writer) = slow_stream(&place, words);
        writer.kill();
        if code == 3 {
            // It leaves what it has passed on to a reader.
            place.run(&["read", "out", "-n", "4"]).expect_code(0);
        }
        let ended = other.wait().expect_code(code);
        assert!(ended.stderr.contains("died"), "{}", ended.stderr);
    }
}
