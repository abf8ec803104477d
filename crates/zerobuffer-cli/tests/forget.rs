//! `zerobuffer forget`: a reader that does not come back stops holding the writer back.

mod common;

use common::{Place, SMALL, has_live_reader};
use rustix::process::Signal;
use serde_json::json;

const FRAMES: &str = "--size=1000";

/// A durable reader that took three frames, and was killed.
fn kill_a_reader(place: &Place, name: &str) {
    let mut reader =
        place.start(&["read", "cam", "--as", name, "-n", "0", "--follow", "--buffer-size", SMALL]);
    place.inspect_until("cam", has_live_reader);
    place.run(&["write", "cam", "-n", "3", FRAMES, "--keep"]).expect_code(0);
    place.inspect_until("cam", |cam| cam["readers"][0]["lag_frames"] == 0);
    reader.signal(Signal::KILL);
    reader.wait();
    place.inspect_until("cam", |cam| cam["readers"][0]["alive"] == false);
}

#[test]
fn a_writer_that_waits_for_a_dead_reader_is_told_how_to_go_on_and_does() {
    let place = Place::new();
    kill_a_reader(&place, "test");
    let waits = ["write", "cam", "-n", "3000", FRAMES, "--json-output", "--keep"];
    let writer = place.start(&waits);
    place.inspect_until("cam", |cam| cam["full_waits"].as_u64() > Some(0));
    let before = place.inspect_until("cam", |cam| cam["writer"]["alive"] == true);
    let unread = before["readers"][0]["lag_frames"].clone();

    let dry = place.run(&["forget", "cam", "test", "--dry-run"]).expect_code(0);
    assert!(dry.stdout.contains(&format!("{unread} frames")), "{}", dry.stdout);
    assert!(dry.stdout.contains("would be lost"), "{}", dry.stdout);
    let unknown = place.run(&["forget", "cam", "tset", "--dry-run"]).expect_code(1);
    assert!(unknown.stderr.contains("it does for `test`"), "{}", unknown.stderr);

    let report = place.run(&["forget", "cam", "test", "--json-output"]).expect_code(0).json();
    assert_eq!(report["frames_lost"], unread);
    assert_eq!((&report["forgotten"], &report["kind"]), (&json!(true), &json!("reader")));
    let ended = writer.end().expect_code(0);
    assert!(ended.stderr.contains("`zerobuffer forget cam test`"), "{}", ended.stderr);
    assert_eq!(ended.json()["frames_written"], 3000);
    let again = place.run(&["forget", "cam", "test", "--json-output"]);
    assert_eq!(again.code, Some(1));
}

#[test]
fn a_reader_that_lives_keeps_its_place() {
    let place = Place::new();
    let mut reader =
        place.start(&["read", "cam", "--as", "test", "-n", "0", "--buffer-size", SMALL]);
    place.inspect_until("cam", has_live_reader);
    for more in [&[][..], &["--dry-run"], &["--json-output"]] {
        let refused = place.run(&[&["forget", "cam", "test"], more].concat()).expect_code(1);
        assert!(refused.stderr.contains("is alive"), "{}", refused.stderr);
    }
    reader.signal(Signal::INT);
    reader.wait().expect_code(0);
    place.run(&["forget", "cam", "test"]).expect_code(1);
    place.assert_empty();
}

#[test]
fn places_are_given_up_after_a_time_for_those_who_want_that() {
    let place = Place::new();
    kill_a_reader(&place, "test");
    let words = ["write", "cam", "-n", "3000", FRAMES, "--json-output", "--keep"];
    let report =
        place.run(&[&words[..], &["--forget-after-ms", "100"]].concat()).expect_code(0).json();
    assert_eq!(report["frames_written"], 3000);
    assert_eq!(report["forgotten_readers"], 1);
    assert!(report["forgotten_frames"].as_u64() > Some(0), "{report}");
}
