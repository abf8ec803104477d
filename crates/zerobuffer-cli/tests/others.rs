//! The doctor.

mod common;

use common::Place;

#[test]
fn the_doctor_finds_a_directory_that_is_missing() {
    let place = Place::new();
    let ended = place
        .run(&["doctor", "--dir", "/nowhere/at/all", "--json"])
        .expect_code(1);
    let report = ended.json();
    assert_eq!(report["good"], false);
    let finding = &report["findings"][0];
    assert_eq!(finding["check"], "directory");
    assert_eq!(finding["verdict"], "bad");
    assert!(finding["advice"].as_str().unwrap().contains("--dir"));
}

#[test]
fn the_doctor_looks_at_everything() {
    let place = Place::new();
    let report = place.run(&["doctor", "--json"]).json();
    let checks: Vec<&str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["check"].as_str().unwrap())
        .collect();
    for check in [
        "file system",
        "space",
        "cgroup memory",
        "locked memory",
        "descriptors",
        "RemoveIPC",
        "O_TMPFILE",
        "OFD locks",
        "futex",
        "membarrier",
        "leftovers",
    ] {
        assert!(checks.contains(&check), "{check} is missing in {checks:?}");
    }
}

#[test]
fn the_doctor_names_what_was_left_behind() {
    let place = Place::new();
    let words = [
        "write",
        "old",
        "-n",
        "1",
        "--create",
        "--keep",
        "--buffer-size",
        "64K",
    ];
    place.run(&words).expect_code(0);
    let ended = place.run(&["doctor"]);
    assert!(
        ended.stdout.contains("zerobuffer rm old"),
        "{}",
        ended.stdout
    );
}
