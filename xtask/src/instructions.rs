//! The instruction gate: what each operation of the library takes, counted, beside what was recorded. Counts do not
//! depend on what else the machine does, so a growth that no clock would show on a shared machine is seen here.

mod judge;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::steps::{Steps, cargo, execute};
use judge::{Record, judge};

const PACKAGE: &str = "zerobuffer-instructions";
const RECORD: &str = "benches/instructions.json";
/// An operation is done so often in one run and in the other. What both do besides cancels out.
const FEW: u32 = 1000;
const MANY: u32 = 6000;

pub(crate) fn run(steps: &mut Steps, record: bool) -> anyhow::Result<()> {
    steps.run("build of what is counted", || {
        let mut build = cargo();
        // Flags of the caller's would make another program than the recorded one.
        build.env_remove("RUSTFLAGS").args(["build", "--release", "--package", PACKAGE]);
        execute(&mut build)
    })?;
    steps.run("instructions an operation", || gate(record))
}

fn gate(record: bool) -> anyhow::Result<()> {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    let now = count_all(&Path::new(&target).join("release").join(PACKAGE))?;
    if record {
        let text = serde_json::to_string_pretty(&now)? + "\n";
        std::fs::write(RECORD, text).with_context(|| format!("write {RECORD}"))?;
        print!("{now}");
        println!("recorded in {RECORD}");
        return Ok(());
    }
    let recorded = std::fs::read_to_string(RECORD)
        .with_context(|| format!("read {RECORD}; `cargo xtask instructions --record` makes it"))?;
    let recorded: Record = serde_json::from_str(&recorded)
        .with_context(|| format!("{RECORD} is not as this program writes it; record it again"))?;
    let verdict = judge(&recorded, &now);
    print!("{verdict}");
    verdict.outcome()
}

/// Every operation that the program knows.
fn count_all(program: &Path) -> anyhow::Result<Record> {
    let mut operations = BTreeMap::new();
    for name in output(&mut Command::new(program))?.lines() {
        let [few, many] = [FEW, MANY].map(|times| count(program, name, times));
        let (few, many) = (few?, many?);
        ensure!(many > few, "`{name}`: {MANY} times took no more than {FEW} times");
        let each = (many - few) as f64 / f64::from(MANY - FEW);
        // The hundredth is noise: an address more or less.
        operations.insert(name.to_owned(), (each * 10.0).round() / 10.0);
    }
    ensure!(!operations.is_empty(), "{} names no operations", program.display());
    let compiler = output(Command::new("rustc").arg("--version").arg("--verbose"))?;
    let line = |start: &str| {
        let found = compiler.lines().find_map(|line| line.strip_prefix(start));
        found.map_or_else(|| "unknown".into(), str::to_owned)
    };
    Ok(Record {
        rustc: compiler.lines().next().unwrap_or("unknown").to_owned(),
        target: line("host: "),
        valgrind: output(Command::new("valgrind").arg("--version"))?.trim().to_owned(),
        operations,
    })
}

/// The instructions of one run of the program.
fn count(program: &Path, name: &str, times: u32) -> anyhow::Result<u64> {
    let counts = Counts::new();
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", counts.0.display()))
        .arg(program)
        .args([name, &times.to_string()])
        // Debug output and other directories would be counted too.
        .env_remove("RUST_BACKTRACE")
        .env_remove("ZEROBUFFER_DIR");
    execute(&mut valgrind).with_context(|| format!("count `{name}`"))?;
    let text = std::fs::read_to_string(&counts.0).with_context(|| {
        format!("read {}, which callgrind should have written", counts.0.display())
    })?;
    total(&text)
        .context("callgrind's file has no line `totals:` or `summary:`; did its format change?")
}

/// The total of a file that callgrind wrote.
fn total(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Where callgrind writes, removed at the end.
struct Counts(PathBuf);

impl Counts {
    fn new() -> Self {
        let name = format!("zerobuffer-callgrind-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        // It is not there if callgrind did not get as far.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("start {program}"))?;
    ensure!(
        output.status.success(),
        "{program} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn the_total_is_found_under_both_of_its_names() {
        assert_eq!(
            total("version: 1\nevents: Ir\n\nfn=(1) main\n0 5\n\ntotals: 545681\n"),
            Some(545_681)
        );
        assert_eq!(total("summary: 77 3\ntotals: 78\n"), Some(77));
        assert_eq!(total("events: Ir\n0 5\n"), None);
        assert_eq!(total("totals:\n"), None);
    }
}
