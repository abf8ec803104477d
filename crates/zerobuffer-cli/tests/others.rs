//! The demo, the doctor, completions and man pages.

mod common;

use common::Place;

#[test]
fn the_demo_streams_and_checks() {
    let place = Place::new();
    let report = place.run(&["demo", "--seconds", "1", "--json"]).expect_code(0).json();
    assert!(report["frames"].as_u64() > Some(0), "{report}");
    assert_eq!(report["frame_bytes"], 3_110_400);
    assert_eq!(report["wrong"], 0);
    assert_eq!(report["lost"], 0);
    assert_eq!(report["latency_us"]["frames"], report["frames"]);
    place.assert_empty();
}

#[test]
fn the_demo_prints_a_summary_and_no_progress_into_a_pipe() {
    let place = Place::new();
    let words = ["demo", "--seconds", "0.5", "--size", "640x480", "--fps", "100"];
    let ended = place.run(&words).expect_code(0);
    assert!(ended.stdout.contains("wrong 0, lost 0"), "{}", ended.stdout);
    assert_eq!(ended.stderr, "");
    place.assert_empty();
}

#[test]
fn the_demo_survives_kills_of_both_without_loss() {
    let place = Place::new();
    let words = ["demo", "--chaos", "--seconds", "3.9", "--size", "640x480", "--json"];
    let report = place.run(&words).expect_code(0).json();
    assert_eq!(report["kills"], 3, "{report}");
    assert_eq!(report["not_recovered"], 0, "{report}");
    assert_eq!(report["lost"], 0, "{report}");
    assert_eq!(report["wrong"], 0, "{report}");
    place.assert_empty();
}

#[test]
fn the_doctor_finds_a_directory_that_is_missing() {
    let place = Place::new();
    let ended = place.run(&["doctor", "--dir", "/nowhere/at/all", "--json"]).expect_code(1);
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
    let words = ["write", "old", "-n", "1", "--create", "--keep", "--buffer-size", "64K"];
    place.run(&words).expect_code(0);
    let ended = place.run(&["doctor"]);
    assert!(ended.stdout.contains("zerobuffer rm old"), "{}", ended.stdout);
}

#[test]
fn completions_and_man_pages_know_the_commands() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&["completions", shell]).expect_code(0).stdout;
        assert!(script.contains("relay") && script.contains("frame-size"), "{shell}");
    }
    let man = place.path().join("man");
    place.run(&["man", man.to_str().unwrap()]).expect_code(0);
    for page in ["zerobuffer.1", "zerobuffer-write.1", "zerobuffer-doctor.1"] {
        assert!(man.join(page).is_file(), "{page}");
    }
}
