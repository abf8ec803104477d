//! Two users in a directory of mode 1777, as /dev/shm is: what one made, the other cannot remove.

use std::os::unix::fs::FileExt as _;

use crate::common::{Ended, SMALL, has_live_reader};
use crate::ground::{Ground, Needs, says, until};

fn ground() -> Option<Ground> {
    Needs::all(&[Needs::Root, Needs::Program(&["setpriv", "--version"])])
        .then(|| Ground::mounted("tmpfs", "size=64M,mode=1777"))
}

/// Root's frames, that wait for a reader.
fn leave_frames(ground: &Ground, count: &str) {
    let write = ["write", "cam", "--create", "--keep", "--mode", "666", "--buffer-size", SMALL];
    ground.run(&[&write, &["-n", count][..]].concat()).expect_code(0);
}

fn says_what_stands_in_the_way(ended: &Ended) {
    says(ended, &["`cam`", "belongs to user 0", "sticky", "1777", "nothing was changed"]);
}

#[test]
fn a_removal_that_fails_leaves_unread_frames() {
    let Some(ground) = ground() else { return };
    leave_frames(&ground, "5");
    for force in [&[][..], &["--force"]] {
        let ended = ground.run_as_nobody(&[], &[&["rm", "cam"], force].concat());
        says_what_stands_in_the_way(&ended.expect_code(1));
        let seen = ground.run(&["inspect", "cam", "--json"]).expect_code(0).json();
        assert_eq!(seen["state"], "unused, unread frames", "{seen:#}");
    }
    let report = ground.run(&["read", "cam", "-n", "5", "--json-output"]).expect_code(0).json();
    assert_eq!(report["frames_read"], 5, "{report:#}");
}

#[test]
fn a_removal_by_force_that_fails_ends_nobody() {
    let Some(ground) = ground() else { return };
    let create = ["--mode", "666", "--buffer-size", SMALL];
    let read = ["read", "cam", "-n", "0", "--wait-ms", "60000"];
    let mut reader = ground.start_in(&[], &[&read, &create[..]].concat());
    let seen = || {
        let ended = ground.run(&["inspect", "cam", "--json"]);
        (ended.code == Some(0)).then(|| ended.json())
    };
    until("the reader is attached", || seen().is_some_and(|seen| has_live_reader(&seen)));
    let endless = ["write", "cam", "-n", "1000000", "--delay-ms", "2"];
    let mut writer = ground.start_in(&[], &endless);
    let received = || seen().and_then(|seen| seen["readers"][0]["read_sequence"].as_u64());
    until("frames come", || received() > Some(3));
    let ended = ground.run_as_nobody(&[], &["rm", "cam", "--force"]).expect_code(1);
    says_what_stands_in_the_way(&ended);
    let by_then = received().expect("the buffer is there");
    // More than both could do that had yet to look whether it was removed.
    until("frames go on", || received() > Some(by_then + 300));
    assert!(reader.is_running() && writer.is_running());
}

/// Reads what root left, and leaves last: what it cannot remove awaits the next writer, and so does the next reader.
fn waits_for_the_successor(ground: &Ground) {
    let read = ["read", "cam", "-n", "5", "--json-output", "--wait-ms"];
    let silent = ground.run_as_nobody(&[], &[&read, &["100"][..]].concat()).expect_code(2);
    says(&silent, &["no writer has come yet"]);
    let mut reader = ground.start_as_nobody(&[], &[&read, &["60000"][..]].concat());
    until("the reader is attached", || {
        has_live_reader(&ground.run(&["inspect", "cam", "--json"]).expect_code(0).json())
    });
    let write = ["write", "cam", "--create", "--mode", "666", "--buffer-size", SMALL, "-n", "5"];
    ground.run(&write).expect_code(0);
    let report = reader.wait().expect_code(0).json();
    assert_eq!(report["frames_read"], 5, "{report:#}");
}

#[test]
fn the_reader_of_another_user_waits_for_the_successor_of_a_writer_that_left() {
    let Some(ground) = ground() else { return };
    leave_frames(&ground, "5");
    ground.run_as_nobody(&[], &["read", "cam", "-n", "5"]).expect_code(0);
    assert!(ground.has("cam"), "its last user could not remove it");
    waits_for_the_successor(&ground);
}

#[test]
fn the_reader_of_another_user_waits_for_the_successor_of_a_writer_that_was_killed() {
    let Some(ground) = ground() else { return };
    let write =
        ["write", "cam", "--create", "--mode", "666", "--buffer-size", SMALL, "--delay-ms", "1"];
    let writer = ground.start_in(&[], &[&write, &["-n", "100000"][..]].concat());
    until("there are frames", || {
        let ended = ground.run(&["inspect", "cam", "--json"]);
        ended.code == Some(0) && ended.json()["newest_sequence"].as_u64() > Some(3)
    });
    writer.kill();
    // Everything that it wrote; then the end of it, which is told once.
    let ended = ground.run_as_nobody(&[], &["read", "cam"]);
    says(&ended, &["died"]);
    waits_for_the_successor(&ground);
}

/// Older programs marked a buffer first, and then failed to remove it.
#[test]
fn a_mark_of_somebody_who_could_not_remove_it_is_taken_back() {
    let Some(ground) = ground() else { return };
    leave_frames(&ground, "1");
    ground.run_as_nobody(&[], &["read", "cam", "-n", "1"]).expect_code(0);
    let path = ground.path().join("cam.zb2");
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("it is ours");
    file.write_all_at(&2_u32.to_le_bytes(), 0x400).expect("written");
    drop(file);
    waits_for_the_successor(&ground);
}
