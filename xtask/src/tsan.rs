//! The library under ThreadSanitizer: both ends as threads of one process. On the stable toolchain.

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::fuzz::TRIPLE;
use crate::steps::{Steps, cargo, execute};

/// `tsan` makes the two ends of a buffer share their addresses, by which ThreadSanitizer knows memory.
const FLAGS: &str = "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg tsan";

/// What a file descriptor orders is not to be relied on; the thread that watches the others never ends.
const OPTIONS: &str = "io_sync=0 history_size=4 report_thread_leaks=0";

/// Looks at what may be overwritten meanwhile, which are checked afterwards: not races that break anything.
const LOOKS: &str = "crates/zerobuffer/tests/threads/looks.supp";

/// Races that the test program has on purpose. ThreadSanitizer has to report them.
const PLANTED: [&str; 2] = ["write-after-commit", "read-after-release"];

pub(crate) fn run(steps: &mut Steps) -> anyhow::Result<()> {
    steps.run("races between threads", || execute(&mut threads(&[])))?;
    for name in PLANTED {
        steps.run(&format!("a planted race, {name}"), || is_reported(name))?;
    }
    Ok(())
}

/// The test program `threads`, with arguments. Sanitizers are unstable options, which a stable compiler takes when told so.
fn threads(arguments: &[&str]) -> Command {
    let mut command = cargo();
    let looks = std::env::current_dir().unwrap_or_default().join(LOOKS);
    command
        .args(["test", "--package", "zerobuffer", "--test", "threads"])
        .args(["--target", TRIPLE, "--target-dir", "target/tsan", "--"])
        .args(arguments)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", FLAGS)
        .env("TSAN_OPTIONS", format!("{OPTIONS} suppressions={}", looks.display()));
    command
}

fn is_reported(name: &str) -> anyhow::Result<()> {
    let output = threads(&["--planted", name]).output().context("start cargo")?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let ran = said.contains(&format!("threads: planted {name}"));
    let reported = said.contains("WARNING: ThreadSanitizer: data race");
    ensure!(ran && reported && !output.status.success(), "the race went unnoticed:\n{said}");
    println!("reported, as it has to be");
    Ok(())
}
