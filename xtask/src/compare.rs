//! The comparison: builds it with everybody who can be built here, and runs it.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::packages;
use crate::steps::{Steps, cargo, execute};

const PACKAGE: &str = "zerobuffer-compare";
/// Where the script puts the deployed Python package.
const PYTHON: &str = "target/python-peer/bin/python";

/// Who can be compared here. Who cannot be had is missing from the comparison, which says so; the others are still
/// compared.
struct Peers {
    features: String,
    cmake: Option<String>,
    deployed: bool,
}

impl Peers {
    fn provide(steps: &mut Steps) -> Self {
        let mut features = String::from("peers");
        if optional(steps, "ZeroMQ", packages::provide_zeromq) {
            features.push_str(",zmq");
        }
        let mut cmake = None;
        let aeron = || {
            cmake = Some(packages::provide_aeron()?.to_string_lossy().into_owned());
            Ok(())
        };
        if optional(steps, "what Aeron is built with", aeron) {
            features.push_str(",aeron");
        }
        let deployed = optional(steps, "the deployed Python package", || {
            if Path::new(PYTHON).exists() {
                return Ok(());
            }
            execute(&mut Command::new("crates/zerobuffer/tests/python/setup.sh"))
        });
        Self { features, cmake, deployed }
    }

    /// A call of cargo with all of them, in release: what they are built from is built once.
    fn cargo(
        &self,
        steps: &mut Steps,
        name: &str,
        call: &str,
        rest: &[&str],
    ) -> anyhow::Result<()> {
        let mut words = vec![call, "--release", "--package", PACKAGE, "--features", &self.features];
        words.extend(rest);
        let cmake: Vec<_> = self.cmake.iter().map(|cmake| ("CMAKE", &**cmake)).collect();
        steps.cargo(name, &words, &cmake)
    }
}

pub(crate) fn run(steps: &mut Steps, quick: bool, out: &Path) -> anyhow::Result<()> {
    let peers = Peers::provide(steps);
    build_and_run(steps, &peers, quick, out)
}

fn build_and_run(steps: &mut Steps, peers: &Peers, quick: bool, out: &Path) -> anyhow::Result<()> {
    peers.cargo(steps, "build of the comparison", "build", &[])?;

    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    let mut command = Command::new(Path::new(&target).join("release").join(PACKAGE));
    command.arg("--out").arg(out).args(["--commit", &commit()?]);
    if quick {
        command.arg("--quick");
    }
    if peers.deployed {
        command.args(["--python", PYTHON]);
    }
    steps.run("comparison", || execute(&mut command))
}

/// That it still builds with the peers, passes clippy, measures, and that the command can read what it leaves.
pub(crate) fn check(steps: &mut Steps) -> anyhow::Result<()> {
    let peers = Peers::provide(steps);
    let lints = ["--all-targets", "--", "-D", "warnings"];
    peers.cargo(steps, "clippy of the comparison's peers", "clippy", &lints)?;
    let out = Path::new("target/compare-quick");
    build_and_run(steps, &peers, true, out)?;
    let result = out.join("compare.json");
    let words = ["run", "--release", "--package", "zerobuffer-bench", "--", "compare"];
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
