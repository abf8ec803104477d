//! What a reader of protocol 1.0 leaves when it dies. One test at a time, and beside no others: every reader that starts
//! removes what dead ones left.

mod common;

use std::sync::{Mutex, MutexGuard, PoisonError};

use common::Tool;
use common::protocol1::{Buffer, zerobuffer};

/// No other test's reader starts while this is held.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn what_a_dead_reader_left_is_named_by_the_doctor_and_removed() {
    let _alone = alone();
    let cam = Buffer::new("rm-dead");
    let reader = cam.read(&["-n", "0"]);
    let advice = format!("`zerobuffer rm {}`", cam.name());
    let doctor = || zerobuffer(&["doctor"]).end().stdout;
    assert!(!doctor().contains(&advice), "it is in use");
    reader.kill();
    assert!(cam.line().contains("abandoned, its reader is gone"), "{}", cam.line());
    assert!(doctor().contains(&advice), "{}", doctor());
    let shown = cam.command("inspect", &[]).end().expect_code(0).stdout;
    assert!(shown.contains("dead"), "{shown}");
    let nobody = cam.start(Tool::TestWriter, &["-n", "1"]).end().expect_code(1);
    assert!(nobody.stderr.contains("reader"), "{}", nobody.stderr);
    cam.command("rm", &[]).end().expect_code(0);
    cam.assert_gone();
    let nothing = cam.command("rm", &[]).end().expect_code(1);
    assert!(nothing.stderr.contains("no buffer"), "{}", nothing.stderr);
}

#[test]
fn a_writer_that_ends_before_the_ring_is_full_counts_what_its_dead_reader_has_not_read() {
    let _alone = alone();
    let cam = Buffer::new("unread");
    let reader = cam.read(&["-n", "0"]);
    let words = ["--stdin", "--frame-size", "1000", "--json-output"];
    let mut writer = cam.command("write", &words);
    writer.feed_on(&[1; 3000]);
    cam.until_written(3);
    reader.kill();
    let ended = writer.feed(&[2; 4000]).end().expect_code(2);
    let report = ended.json_on_stderr();
    assert_eq!(report["frames_written"], 7);
    assert!(report["frames_undelivered"].as_u64() >= Some(4), "{report}");
    assert!(ended.stderr.contains("before it had the last"), "{}", ended.stderr);
    cam.command("rm", &[]).end().expect_code(0);
    cam.assert_gone();
}

#[test]
fn a_tap_refuses_what_it_could_not_follow() {
    let _alone = alone();
    let cam = Buffer::new("tapped");
    let reader = cam.read(&["-n", "0"]);
    cam.until_created();
    let ended = cam.command("tap", &[]).end().expect_code(1);
    assert!(ended.stderr.contains("protocol 1.0"), "{}", ended.stderr);
    assert!(ended.stderr.contains("zerobuffer relay"), "{}", ended.stderr);
    reader.kill();
    cam.command("rm", &[]).end().expect_code(0);
}
