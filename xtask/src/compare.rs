//! The comparison: builds it with everybody who can be built here, and runs it.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::packages;
use crate::steps::{Steps, cargo, execute};

const PACKAGE: &str = "zerobuffer-compare";
/// Where the script puts the deployed Python package.
const PYTHON: &str = "target/python-peer/bin/python";

pub(crate) fn run(steps: &mut Steps, quick: bool, out: &Path) -> anyhow::Result<()> {
    // Who cannot be had is missing from the comparison, which says so; the others are still compared.
    let zeromq = optional(steps, "ZeroMQ", packages::provide_zeromq);
    let deployed = optional(steps, "the deployed Python package", || {
        if Path::new(PYTHON).exists() {
            return Ok(());
        }
        execute(&mut Command::new("crates/zerobuffer/tests/python/setup.sh"))
    });
    let features = if zeromq { "peers,zmq" } else { "peers" };
    let build = ["build", "--release", "--package", PACKAGE, "--features", features];
    steps.cargo("build of the comparison", &build, &[])?;

    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    let mut command = Command::new(Path::new(&target).join("release").join(PACKAGE));
    command.arg("--out").arg(out).args(["--commit", &commit()?]);
    if quick {
        command.arg("--quick");
    }
    if deployed {
        command.args(["--python", PYTHON]);
    }
    steps.run("comparison", || execute(&mut command))
}

/// That it still builds with the peers, passes clippy, measures, and that the command can read what it leaves.
pub(crate) fn check(steps: &mut Steps) -> anyhow::Result<()> {
    let clippy = [
        "clippy",
        "--package",
        PACKAGE,
        "--all-targets",
        "--features",
        "peers",
        "--",
        "-D",
        "warnings",
    ];
    steps.cargo("clippy of the comparison's peers", &clippy, &[])?;
    let out = Path::new("target/compare-quick");
    run(steps, true, out)?;
    let result = out.join("compare.json");
    let words = ["run", "--release", "--package", "zerobuffer-cli", "--", "bench", "compare"];
    steps.run("comparison of the comparison with itself", || {
        execute(cargo().args(words).args([&result, &result]).arg("--fail-on-worse"))
    })
}

/// A step that may fail.
fn optional(steps: &mut Steps, name: &str, step: impl FnOnce() -> anyhow::Result<()>) -> bool {
    let outcome = steps.run(name, step);
    if let Err(why) = &outcome {
        eprintln!("{why:#}; compared without it");
    }
    outcome.is_ok()
}

/// The commit that is measured, with a `+` if files differ from it.
fn commit() -> anyhow::Result<String> {
    let git = |arguments: &[&str]| -> anyhow::Result<String> {
        let output = Command::new("git").args(arguments).output().context("start git")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let changed = !git(&["status", "--porcelain"])?.is_empty();
    let commit = if commit.is_empty() { "unknown".into() } else { commit };
    Ok(if changed { commit + "+" } else { commit })
}
