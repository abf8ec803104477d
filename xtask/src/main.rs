//! One command per chore: `cargo xtask test` installs what is missing and runs every check and every test.

#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod messages;

mod bands;
mod circles;
mod compare;
mod fuzz;
mod instructions;
mod links;
mod packages;
mod steps;
mod surroundings;
mod tsan;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use steps::Steps;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Everything: formatting, lints, docs, tests, models, examples, containers, hot path
    Test {
        /// Leave out what takes long: loom models, ThreadSanitizer, fuzzing, callgrind, examples
        #[arg(long)]
        quick: bool,
        /// Install nothing; stop if something is missing
        #[arg(long)]
        no_install: bool,
    },
    /// Formatting, clippy and the docs' links
    Lint,
    /// The loom models of the ring: every interleaving within a bound
    Loom,
    /// Kills writers and readers at random moments and at every step of the protocol, and looks for a frame lost
    Torture {
        /// How many deaths; about a hundred a second
        #[arg(long, default_value_t = 20_000)]
        kills: u64,
        /// Repeats the random choices of a run that printed it
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Feeds arbitrary segments, frames and command lines to the library and the command, guided by coverage
    Fuzz {
        /// How long, in seconds, for all targets together
        #[arg(long, default_value_t = 600)]
        duration: u64,
        /// Which; default: all, two at a time
        #[arg(value_parser = fuzz::TARGETS)]
        targets: Vec<String>,
    },
    /// Both ends as threads of one process, under ThreadSanitizer
    Tsan,
    /// System calls, allocations and instructions a frame
    HotPath,
    /// Instructions of each operation, against those recorded in benches/instructions.json: fails if one takes over 3 % more
    Instructions {
        /// Write what is counted now into that file
        #[arg(long)]
        record: bool,
    },
    /// Sixteen processes with every kind of writer and reader, for as long as asked, watched for what grows
    Soak {
        /// How long, such as 30s or 1h
        #[arg(long, default_value = "60s")]
        duration: String,
        /// Where samples.csv and soak.svg go
        #[arg(long, default_value = "target/soak")]
        out: std::path::PathBuf,
    },
    /// ZeroBuffer beside what people would pick instead, measured on this machine: about eight minutes
    Compare {
        /// A tenth of it
        #[arg(long)]
        quick: bool,
        /// Where compare.json and report.html go
        #[arg(long, default_value = "target/compare")]
        out: std::path::PathBuf,
    },
    /// The examples, each run to its end
    Examples,
    /// Licenses and sources of what is depended upon, by cargo-deny, which is built first where it is missing
    Deny,
    /// What containers, sandboxes and file systems do to buffers, each played on this machine, as a table. Needs root
    Surroundings,
}

fn main() -> ExitCode {
    let mut steps = Steps::default();
    let outcome = match Cli::parse().chore {
        Chore::Test { quick, no_install } => test(&mut steps, quick, no_install),
        Chore::Lint => lint(&mut steps),
        Chore::Loom => loom(&mut steps),
        Chore::Torture { kills, seed } => torture(&mut steps, kills, seed),
        Chore::Fuzz { duration, targets } => fuzz(&mut steps, duration, &targets),
        Chore::Instructions { record } => instructions::run(&mut steps, record),
        Chore::Soak { duration, out } => soak(&mut steps, &duration, &out),
        Chore::Tsan => tsan::run(&mut steps),
        Chore::HotPath => hot_path(&mut steps),
        Chore::Compare { quick, out } => compare::run(&mut steps, quick, &out),
        Chore::Examples => examples(&mut steps),
        Chore::Deny => deny(&mut steps),
        Chore::Surroundings => surroundings::run(&mut steps),
    };
    steps.summary();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\nxtask: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn test(steps: &mut Steps, quick: bool, no_install: bool) -> anyhow::Result<()> {
    steps.run("what the tests need", || packages::provide(!no_install))?;
    lint(steps)?;
    steps.script("the deployed Python peer", "crates/zerobuffer/tests/python/setup.sh")?;
    // By themselves: one turns the library's fault points on, the other is to build with the features that it names.
    let (torture_crate, async_crate) = ("zerobuffer-torture", "zerobuffer-async");
    let rest = ["test", "--workspace", "--exclude", torture_crate, "--exclude", async_crate];
    steps.cargo("tests", &rest, &[])?;
    steps.cargo("tests of the async layer", &["test", "--package", async_crate], &[])?;
    let micro = ["test", "--package", "zerobuffer-micro", "--benches"];
    steps.cargo("each micro-benchmark, once", &micro, &[])?;
    steps.cargo("tests of the torture", &["test", "--release", "--package", torture_crate], &[])?;
    torture(steps, 1000, None)?;
    soak(steps, "30s", std::path::Path::new("target/soak"))?;
    // The programs that the scripts below start.
    let packages = ["--package", "zerobuffer-cli", "--package", "zerobuffer-bench"];
    let build = [&["build", "--release", "--bins"][..], &packages].concat();
    steps.cargo("release build", &build, &[])?;
    if !quick {
        loom(steps)?;
        tsan::run(steps)?;
        fuzz(steps, 20, &[])?;
        hot_path(steps)?;
        instructions::run(steps, false)?;
        examples(steps)?;
        compare::check(steps)?;
    }
    steps.run("compose file, syntax only", || {
        packages::python("examples/containers/check-compose.py")
    })
}

fn lint(steps: &mut Steps) -> anyhow::Result<()> {
    steps.cargo("formatting", &["fmt", "--all", "--check"], &[])?;
    steps.run("bands", || bands::check(std::path::Path::new("crates/zerobuffer/src")))?;
    steps.run("circles", || circles::check_all(std::path::Path::new(".")))?;
    steps.run("links of the documents", || links::check(std::path::Path::new(".")))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    steps.cargo("clippy", &clippy, &[])?;
    fuzz::lint(steps)?;
    // The command's binary and the library have one name; only the library's pages matter here.
    let docs = ["doc", "--no-deps", "--workspace", "--lib"];
    steps.cargo("documentation", &docs, &[("RUSTDOCFLAGS", "-D warnings")])
}

fn loom(steps: &mut Steps) -> anyhow::Result<()> {
    // A separate folder: the flag changes every crate, and would throw out the normal build each time.
    let models = [
        "test",
        "--package",
        "zerobuffer",
        "--release",
        "--lib",
        "--target-dir",
        "target/loom",
        "loom",
    ];
    let bound = std::env::var("LOOM_MAX_PREEMPTIONS").unwrap_or_else(|_| "4".into());
    let settings = [("RUSTFLAGS", "--cfg loom"), ("LOOM_MAX_PREEMPTIONS", bound.as_str())];
    steps.cargo("loom models", &models, &settings)
}

fn torture(steps: &mut Steps, kills: u64, seed: Option<u64>) -> anyhow::Result<()> {
    let kills = kills.to_string();
    let mut words =
        vec!["run", "--release", "--package", "zerobuffer-torture", "--", "--kills", &kills];
    let seed = seed.map(|seed| seed.to_string());
    if let Some(seed) = &seed {
        words.extend(["--seed", seed]);
    }
    steps.cargo("torture", &words, &[])
}

fn soak(steps: &mut Steps, duration: &str, out: &std::path::Path) -> anyhow::Result<()> {
    let mut words = vec!["run", "--release", "--package", "zerobuffer-soak", "--", "--duration"];
    let out = out.to_string_lossy();
    words.extend([duration, "--out", &out]);
    steps.cargo("soak", &words, &[])
}

fn fuzz(steps: &mut Steps, seconds: u64, targets: &[String]) -> anyhow::Result<()> {
    let chosen: Vec<&str> = targets.iter().map(String::as_str).collect();
    let targets = if chosen.is_empty() { &fuzz::TARGETS[..] } else { &chosen };
    steps.run("build of the fuzzers", fuzz::build)?;
    steps.run("fuzzing", || fuzz::run(targets, Duration::from_secs(seconds)))
}

fn hot_path(steps: &mut Steps) -> anyhow::Result<()> {
    steps.script("hot path", "benches/hot-path.sh")
}

fn deny(steps: &mut Steps) -> anyhow::Result<()> {
    let is_there = steps::cargo().args(["deny", "--version"]).output();
    if !is_there.is_ok_and(|output| output.status.success()) {
        steps.cargo("build of cargo-deny", &["install", "--locked", "cargo-deny"], &[])?;
    }
    let check = ["deny", "--all-features", "check", "licenses", "bans", "sources"];
    steps.cargo("dependencies", &check, &[])
}

fn examples(steps: &mut Steps) -> anyhow::Result<()> {
    for example in steps::examples()? {
        let run = ["run", "--package", &example.package, "--example", &example.name];
        steps.cargo(&format!("example {}", example.name), &run, &[])?;
    }
    for script in steps::scripts("examples")? {
        steps.script(&script, &script)?;
    }
    Ok(())
}
