//! Further commands: programs named `zerobuffer-NAME`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A directory with programs, each of which is a script.
fn programs(scripts: &[(&str, &str, u32)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, script, mode) in scripts {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode)).unwrap();
    }
    dir
}

fn run(path: &Path, words: &[&OsStr]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zerobuffer"));
    command.args(words).env("PATH", format!("{}:/usr/bin:/bin", path.display()));
    command.output().unwrap()
}

fn words<'a>(words: &'a [&'a str]) -> Vec<&'a OsStr> {
    words.iter().map(OsStr::new).collect()
}

#[test]
fn a_program_gets_its_arguments_and_its_exit_code_is_ours() {
    let script = "printf '%s|' \"$@\"; exit 42";
    let dir = programs(&[("zerobuffer-echo-it", script, 0o755)]);
    let odd = OsStr::from_bytes(b"\xff\xfe");
    let mut given = words(&["echo-it", "--frames", "a b", "", "--help"]);
    given.push(odd);
    let ended = run(dir.path(), &given);
    assert_eq!(ended.status.code(), Some(42));
    assert_eq!(ended.stdout, b"--frames|a b||--help|\xff\xfe|");
}

#[test]
fn it_takes_our_place_so_that_signals_reach_it() {
    let dir = programs(&[("zerobuffer-who", "echo $$", 0o755)]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_zerobuffer"));
    let child = command.arg("who").env("PATH", dir.path()).stdout(std::process::Stdio::piped());
    let child = child.spawn().unwrap();
    let id = child.id();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stdout).trim(), id.to_string());
}

#[test]
fn it_may_call_zerobuffer_again() {
    let program = env!("CARGO_BIN_EXE_zerobuffer");
    let script = format!("exec '{program}' ls --dir /dev/shm --json");
    let dir = programs(&[("zerobuffer-again", &script, 0o755)]);
    let ended = run(dir.path(), &words(&["again"]));
    assert!(ended.status.success() && ended.stdout.starts_with(b"["), "{ended:?}");
}

#[test]
fn what_is_no_program_is_no_command() {
    let dir = programs(&[
        ("zerobuffer-text", "true", 0o644),
        ("zerobuffer-test-nothing", "true", 0o755),
        ("elsewhere", "true", 0o755),
    ]);
    std::fs::create_dir(dir.path().join("zerobuffer-folder")).unwrap();
    for name in ["text", "folder", "../elsewhere", "x/../../elsewhere", "", "nothing"] {
        let ended = run(dir.path(), &words(&[name]));
        assert_eq!(ended.status.code(), Some(2), "{name}: {ended:?}");
        assert!(ended.stdout.is_empty() && !ended.stderr.is_empty(), "{name}: {ended:?}");
    }
}

#[test]
fn a_typing_error_is_told_what_was_perhaps_meant_and_bench_how_to_get_it() {
    let dir = programs(&[]);
    let ended = run(dir.path(), &words(&["wirte", "cam"]));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("wirte") && said.contains("write"), "{said}");
    assert_eq!(ended.status.code(), Some(2));
    // Not in a build that has put it beside the command.
    let beside = Path::new(env!("CARGO_BIN_EXE_zerobuffer")).with_file_name("zerobuffer-bench");
    if !beside.exists() {
        let ended = run(dir.path(), &words(&["bench", "latency"]));
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(said.contains("cargo install zerobuffer-bench"), "{said}");
        assert_eq!(ended.status.code(), Some(2));
    }
}

#[test]
fn help_lists_those_that_are_installed() {
    let dir = programs(&[
        ("zerobuffer-monitor", "true", 0o755),
        ("zerobuffer-test-nothing", "true", 0o755),
        ("zerobuffer-text", "true", 0o644),
    ]);
    for help in [&["--help"][..], &["help"]] {
        let ended = run(dir.path(), &words(help));
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success() && said.contains("monitor"), "{said}");
        assert!(!said.contains("test-nothing") && !said.contains("text"), "{said}");
    }
}
