//! A volume that is mounted read-only for the consumer.

use crate::common::SMALL;
use crate::ground::{Ground, Needs, UNSHARE, finding, says};

#[test]
fn a_read_only_volume_is_for_those_who_look_on() {
    if !Needs::all(&[Needs::Root, UNSHARE]) {
        return;
    }
    let ground = Ground::mounted("tmpfs", "size=64M");
    let write = ["write", "cam", "--create", "--keep", "-n", "9", "--buffer-size", SMALL];
    ground.run(&write).expect_code(0);
    let script = format!(
        "mount --bind {0} {0} && mount -o remount,bind,ro {0} && exec \"$@\"",
        ground.path().display()
    );
    let consumer = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let run = |words: &[&str]| ground.run_in(&consumer, words);
    run(&["tap", "cam", "-n", "2", "--from", "oldest"]).expect_code(0);
    run(&["inspect", "cam"]).expect_code(0);
    for kind in [&[][..], &["--lossy"], &["--ephemeral"], &["--work-group", "g"]] {
        let ended = run(&[&["read", "cam", "-n", "2"], kind].concat()).expect_code(1);
        says(&ended, &["`cam`", "mounted read-only", "write access", "zerobuffer tap"]);
    }
    says(&run(&["write", "cam", "-n", "1"]).expect_code(1), &["mounted read-only"]);
    says(&run(&["write", "dog", "--create", "-n", "1"]).expect_code(1), &["mounted read-only"]);
    says(&run(&["rm", "cam"]).expect_code(1), &["mounted read-only"]);
    let (verdict, found) = finding(&run(&["doctor", "--json"]).expect_code(1), "directory");
    assert!(verdict == "bad" && found.contains("read-only") && found.contains("tap"), "{found}");
}
