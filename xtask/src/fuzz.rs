//! Coverage-guided fuzzing with libFuzzer and AddressSanitizer, on the stable toolchain and without further tools.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use crate::steps::{Steps, cargo, execute};

/// Programs of the crate `fuzz`.
pub(crate) const TARGETS: [&str; 7] =
    ["open_v2", "open_v1", "walk", "command_line", "json_lines", "y4m", "metadata"];

#[cfg(target_arch = "aarch64")]
pub(crate) const TRIPLE: &str = "aarch64-unknown-linux-gnu";
#[cfg(not(target_arch = "aarch64"))]
pub(crate) const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// What `cargo fuzz` passes: coverage that libFuzzer sees, and every read and write checked.
const FLAGS: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0 \
    -Ccodegen-units=1 \
    -Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer \
    --cfg fuzzing";

/// Builds the targets. Sanitizers are unstable options, which a stable compiler takes when told so.
pub(crate) fn build() -> anyhow::Result<()> {
    execute(
        cargo()
            .args(["build", "--release", "--target", TRIPLE])
            .args(["--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target/fuzz"])
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", FLAGS),
    )
}

/// Formatting and clippy: a workspace of its own is nobody else's to check.
pub(crate) fn lint(steps: &mut Steps) -> anyhow::Result<()> {
    let manifest = ["--manifest-path", "fuzz/Cargo.toml"];
    let format = ["--", "--check", "--config-path", "rustfmt.toml"];
    let fmt = [&["fmt"][..], &manifest, &format].concat();
    steps.cargo("formatting of the fuzzers", &fmt, &[])?;
    let checks = ["--target-dir", "target/fuzz-clippy", "--", "-D", "warnings"];
    let clippy = [&["clippy"][..], &manifest, &checks].concat();
    steps.cargo("clippy of the fuzzers", &clippy, &[("RUSTFLAGS", "--cfg fuzzing")])
}

/// Runs the targets, two at a time, each for its share of `duration`.
pub(crate) fn run(targets: &[&str], duration: Duration) -> anyhow::Result<()> {
    let rounds = targets.len().div_ceil(2).max(1) as u32;
    let seconds = (duration / rounds).as_secs().max(1);
    for pair in targets.chunks(2) {
        let running: Vec<_> =
            pair.iter().map(|target| Running::start(target, seconds)).collect::<Result<_, _>>()?;
        // All of them end before the first failure is told.
        let ends: Vec<_> = running.into_iter().map(Running::finish).collect();
        ends.into_iter().collect::<anyhow::Result<()>>()?;
    }
    Ok(())
}

struct Running {
    target: String,
    child: Child,
    log: PathBuf,
    found: PathBuf,
}

impl Running {
    fn start(target: &str, seconds: u64) -> anyhow::Result<Self> {
        ensure!(TARGETS.contains(&target), "no target {target}: there are {TARGETS:?}");
        let place = Path::new("target/fuzz").join(target);
        // What is new goes to the first folder; `fuzz/corpus` changes by hand only.
        let (new, found) = (place.join("corpus"), place.join("found"));
        for folder in [&new, &found] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("create {}", folder.display()))?;
        }
        let log = place.join("log");
        let output = std::fs::File::create(&log)?;
        let child = Command::new(program(target))
            .arg(format!("-max_total_time={seconds}"))
            .args(["-timeout=4", "-rss_limit_mb=2048", "-max_len=8192", "-print_final_stats=1"])
            .arg(format!("-artifact_prefix={}/", found.display()))
            .args([&new, &Path::new("fuzz/corpus").join(target)])
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("start the fuzzer of {target}"))?;
        Ok(Self { target: target.to_owned(), child, log, found })
    }

    fn finish(mut self) -> anyhow::Result<()> {
        let status = self.child.wait()?;
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let number = |name: &str| {
            let line = log.lines().rev().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').trim().parse::<u64>().ok()
        };
        let runs = number("stat::number_of_executed_units").unwrap_or(0);
        let covered = log
            .lines()
            .rev()
            .find_map(|line| line.split_once(" cov: ")?.1.split(' ').next()?.parse::<u64>().ok());
        println!("{:12} {runs:>9} inputs, {} edges covered", self.target, covered.unwrap_or(0));
        if !status.success() {
            let tail: Vec<_> = log.lines().rev().take(60).collect();
            for line in tail.into_iter().rev() {
                println!("{line}");
            }
            bail!(
                "{} ended with {status}: the input is in {}, repeat it with {} FILE, the whole output is in {}",
                self.target,
                self.found.display(),
                program(&self.target).display(),
                self.log.display(),
            );
        }
        ensure!(runs > 0, "{} ran no input; see {}", self.target, self.log.display());
        Ok(())
    }
}

fn program(target: &str) -> PathBuf {
    Path::new("target/fuzz").join(TRIPLE).join("release").join(target)
}
