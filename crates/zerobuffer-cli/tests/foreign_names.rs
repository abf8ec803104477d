//! Names, paths and metadata that somebody else chose: they are shown, and command nobody's terminal.

mod common;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use common::{Place, Running, SMALL, Tool, has_live_reader};
use serde_json::Value;

/// Clears the screen, begins a row, turns the line round.
const ODD: &str = "x\x1b[2J\nF\u{9b}31m\u{202e}";

#[track_caller]
fn assert_harmless(text: &str) {
    let obeyed = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!text.contains(obeyed), "{text:?}");
}

#[test]
fn odd_names_of_readers_and_groups_are_refused() {
    for odd in [ODD, "a/b", ".x", "", "x\0", "abcdefghijklmnopqrstuvwxyz0123456"] {
        if odd.contains('\0') {
            continue;
        }
        for (option, what) in [("--as", "reader name"), ("--work-group", "work group name")] {
            let place = Place::new();
            let ended = place.run(&["read", "cam", option, odd, "--wait-ms", "0"]).expect_code(1);
            assert!(ended.stderr.contains(what), "{}", ended.stderr);
            assert_harmless(&ended.stderr);
            place.assert_empty();
        }
    }
}

#[test]
fn an_odd_name_that_another_program_wrote_is_shown_and_makes_no_row() {
    let place = Place::new();
    let plain = "y".repeat(ODD.len());
    let words = ["read", "cam", "-n", "0", "--as", &plain, "--buffer-size", SMALL];
    let reader = place.start(&words);
    place.inspect_until("cam", has_live_reader);
    let path = place.path().join("cam.zb2");
    let bytes = std::fs::read(&path).expect("the buffer");
    let at = bytes.windows(plain.len()).position(|part| part == plain.as_bytes());
    let file = std::fs::File::options().write(true).open(&path).expect("the buffer");
    file.write_all_at(ODD.as_bytes(), at.expect("the name") as u64).expect("it is ours");

    let json = place.run(&["inspect", "cam", "--json"]).expect_code(0);
    assert_harmless(&json.stdout);
    assert_eq!(json.json()["readers"][0]["name"], ODD, "JSON says what it is");
    let list = place.run(&["ls", "--json"]).expect_code(0);
    assert_harmless(&list.stdout);
    let list: Value = serde_json::from_str(&list.stdout).expect("JSON");
    assert_eq!(list[0]["readers"][0]["name"], ODD);
    let table = place.run(&["ls"]).expect_code(0).stdout;
    assert_harmless(&table);
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.contains(r"x\u{1b}[2J\nF\u{9b}31m\u{202e}"), "{table}");
    let shown = place.run(&["inspect", "cam"]).expect_code(0).stdout;
    assert_harmless(&shown);
    assert_eq!(shown.lines().filter(|line| line.starts_with('F')).count(), 0, "{shown}");

    // Errors name who is in the way.
    let refused = place.run(&["rm", "cam"]).expect_code(1).stderr;
    assert!(refused.contains(r"\u{1b}"), "{refused}");
    assert_harmless(&refused);
    let write = ["write", "cam", "-n", "100000", "--full-policy", "fail", "--batch-size", "100"];
    reader.kill();
    let refused = place.run(&write).stderr;
    assert!(refused.contains(r"\u{1b}"), "{refused}");
    assert_harmless(&refused);
}

#[test]
fn a_file_with_an_odd_name_makes_no_row() {
    let place = Place::new();
    place.run(&["write", "cam", "--create", "--keep", "-n", "1"]).expect_code(0);
    let odd = place.path().join("o\u{202e}dd.zb2");
    std::fs::copy(place.path().join("cam.zb2"), &odd).expect("a copy");
    let table = place.run(&["ls"]).expect_code(0).stdout;
    assert_harmless(&table);
    assert!(table.contains(r"o\u{202e}dd"), "{table}");
}

#[test]
fn metadata_is_printed_on_a_line_of_its_own() {
    let place = Place::new();
    let text = "caps\x1b[2J\nwrote 99 frames";
    let words = ["write", "cam", "--create", "--keep", "-n", "3", "-m", text];
    place.run(&words).expect_code(0);
    let shown = place.run(&["inspect", "cam"]).expect_code(0).stdout;
    assert_harmless(&shown);
    assert!(shown.contains(r"caps\u{1b}[2J\nwrote 99 frames"), "{shown}");
    assert_eq!(place.run(&["inspect", "cam", "--json"]).json()["metadata"], text);
    let read = place.run(&["read", "cam", "-n", "3", "--print-metadata"]).expect_code(0).stdout;
    assert_harmless(&read);
    assert_eq!(read.lines().next(), Some(r"caps\u{1b}[2J\nwrote 99 frames"));
}

#[test]
fn a_directory_that_is_no_text_works_everywhere() {
    let place = Place::new();
    let dir = place.path().join(OsStr::from_bytes(b"d\xff\x1b"));
    std::fs::create_dir(&dir).expect("a directory");
    let run = |words: &[&str]| {
        let mut command = Command::new(Tool::Zerobuffer.path());
        command.args(words).arg("--dir").arg(&dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running::spawn_with(&mut command).wait()
    };
    run(&["write", "cam", "--create", "--keep", "-n", "3"]).expect_code(0);
    let list = run(&["ls", "--json"]).expect_code(0);
    assert_eq!(list.json()[0]["name"], "cam");
    let path = run(&["inspect", "cam", "--json"]).expect_code(0).json()["path"].to_string();
    assert!(path.ends_with("/cam.zb2\""), "{path}");
    assert!(run(&["doctor", "--json"]).json()["directory"].is_string());
    for words in
        [&["ls"][..], &["inspect", "cam"], &["doctor"], &["inspect", "none"], &["rm", "none"]]
    {
        let ended = run(words);
        assert_harmless(&ended.stdout);
        assert_harmless(&ended.stderr);
    }
    let shown = run(&["inspect", "cam"]).expect_code(0).stdout;
    assert!(shown.contains(r"d\xff\u{1b}/cam.zb2"), "{shown}");
    run(&["demo", "--seconds", "0.2", "--size", "320x240"]).expect_code(0);
    run(&["read", "cam", "-n", "3"]).expect_code(0);
}
