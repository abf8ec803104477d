//! Runs the comparison itself, as short as it can be, and looks at what it leaves.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Who can be compared without the features that bring the others.
const ALWAYS: [&str; 4] = ["zerobuffer 2.0", "zerobuffer 1.0", "unix socket", "pipe"];

fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zerobuffer-compare"));
    command.args(["--quick", "--out"]).arg(home.join("out"));
    command.env("ZEROBUFFER_DIR", home).env("TMPDIR", home);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// What lies there, but for the directory of locks that protocol 1.0 keeps.
fn left_in(home: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(home).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name != "zerobuffer").collect()
}

/// What lies in memory that has the run's name.
fn left_in_memory(pid: u32) -> Vec<String> {
    let entries = std::fs::read_dir("/dev/shm").unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(&format!("zerobuffer-compare-{pid}-"))).collect()
}

#[test]
fn a_run_leaves_its_results_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let run = program(home.path())
        .args(["--repeat", "3", "--only", "64 B copied, both parked"])
        .spawn()
        .unwrap();
    let pid = run.id();
    let run = run.wait_with_output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));

    let text = std::fs::read_to_string(home.path().join("out/compare.json")).unwrap();
    let results: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(results["format"], "zerobuffer-compare/1");
    let cases = results["cases"].as_array().unwrap();
    for work in ["latency", "throughput", "cpu"] {
        for peer in ALWAYS {
            let case = cases.iter().find(|case| case["work"] == work && case["peer"] == peer);
            let sample = &case.unwrap_or_else(|| panic!("{peer} at {work}"))["samples"][0];
            assert!(sample["value"].as_f64().unwrap() > 0.0, "{peer} at {work}: {sample}");
            assert!(sample["placement"].is_string() && sample["line_ns"].is_f64());
        }
    }
    let missing = results["missing"].as_array().unwrap();
    assert!(missing.iter().any(|entry| entry["peer"] == "aeron"));
    assert!(!missing.iter().any(|entry| ALWAYS.iter().any(|peer| entry["peer"] == *peer)));

    assert_eq!(left_in(home.path()), ["out"]);
    assert!(left_in_memory(pid).is_empty(), "{:?}", left_in_memory(pid));
    let page = std::fs::read_to_string(home.path().join("out/report.html")).unwrap();
    assert!(page.contains("streaming 64 B copied, both parked"));
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut run =
        program(home.path()).args(["--only", "64 B copied, both parked"]).spawn().unwrap();
    let buffer = || {
        let entries = std::fs::read_dir(home.path()).unwrap().flatten();
        entries.into_iter().any(|entry| entry.file_name().to_string_lossy().ends_with(".zb2"))
    };
    let begun = Instant::now();
    while !buffer() || left_in_memory(run.id()).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never made a buffer");
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = rustix::process::Pid::from_raw(run.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(128 + 15));
    assert!(left_in(home.path()).is_empty(), "{:?}", left_in(home.path()));
    assert!(left_in_memory(run.id()).is_empty(), "{:?}", left_in_memory(run.id()));
}
