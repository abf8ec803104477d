//! Time namespaces, as restored containers have: each side has a monotonic clock of its own.

use crate::common::SMALL;
use crate::ground::{Ground, Needs};

/// Writes frames in one time namespace and reads them in another; what the report says of their ages in microseconds, which is
/// what the whole took at most, and no less than the pause between.
fn oldest_us(ground: &Ground, writer: &[&str], reader: &[&str]) -> f64 {
    let begun = std::time::Instant::now();
    let write =
        ["write", "cam", "--create", "--keep", "--timestamps", "-n", "3", "--buffer-size", SMALL];
    ground.run_in(writer, &write).expect_code(0);
    std::thread::sleep(std::time::Duration::from_millis(50));
    let read = ["read", "cam", "-n", "3", "--json-output"];
    let report = ground.run_in(reader, &read).expect_code(0).json();
    let oldest = report["latency_us"]["max"].as_f64().unwrap_or_else(|| panic!("{report:#}"));
    let most = begun.elapsed().as_secs_f64() * 1e6;
    // The report keeps three digits.
    assert!(50_000.0 < oldest && oldest < 1.01 * most, "{oldest} of {most} µs: {report:#}");
    oldest
}

#[test]
fn ages_are_right_across_time_namespaces() {
    if !Needs::all(&[Needs::Root, Needs::TimeNamespaces]) {
        return;
    }
    let ground = Ground::mounted("tmpfs", "size=64M");
    let shifted = |seconds| ["unshare", "--time", "--monotonic", seconds, "--fork"];
    let (ahead, behind) = (shifted("1000"), shifted("-100"));
    for (writer, reader) in
        [(&ahead[..], &[][..]), (&[], &ahead), (&behind, &[]), (&[], &behind), (&ahead, &behind)]
    {
        oldest_us(&ground, writer, reader);
    }
}

/// A stamp from the future: of a program that stamps with the clock of its own namespace.
#[test]
fn of_an_age_that_cannot_be_none_is_claimed() {
    use std::os::unix::fs::FileExt as _;
    let ground = Ground::on_disk();
    let write =
        ["write", "cam", "--create", "--keep", "--timestamps", "-n", "1", "--buffer-size", SMALL];
    ground.run(&write).expect_code(0);
    let path = ground.path().join("cam.zb2");
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).expect("it is ours");
    let word = |offset| {
        let mut word = [0; 8];
        file.read_exact_at(&mut word, offset).expect("read");
        u64::from_le_bytes(word)
    };
    // `payload_offset`, and the start position in the ring; the stamp is the word behind the header.
    let header = word(0x60) + word(0x78) % word(0x68);
    file.write_all_at(&(u64::MAX / 4).to_le_bytes(), header + 8).expect("written");
    let tap = ["tap", "cam", "-n", "1", "--from", "oldest", "--json"];
    let line = ground.run(&tap).expect_code(0).json();
    assert_eq!(line["age_us"], serde_json::Value::Null, "{line}");
    assert!(line["age_unknown"].is_string(), "{line}");
    let ended = ground.run(&["read", "cam", "-n", "1"]).expect_code(0);
    assert!(ended.stdout.contains("latency not known"), "{}", ended.stdout);
}
