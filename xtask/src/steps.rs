//! Steps, each with its name and duration; the first that fails is the last.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// What was done so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration, bool)>,
}

impl Steps {
    /// One step: says its name, does it, notes how long it took.
    pub(crate) fn run(
        &mut self,
        name: &str,
        step: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        println!("\n==> {name}");
        let started = Instant::now();
        let outcome = step();
        let took = started.elapsed();
        println!("<== {name}: {:.1} s", took.as_secs_f64());
        self.done.push((name.to_owned(), took, outcome.is_ok()));
        outcome.with_context(|| format!("`{name}` failed"))
    }

    /// A step that is one call of cargo.
    pub(crate) fn cargo(
        &mut self,
        name: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        self.run(name, || execute(cargo().args(arguments).envs(environment.iter().copied())))
    }

    /// A step that is one of the repository's scripts, given the release build to work with.
    pub(crate) fn script(&mut self, name: &str, path: &str) -> anyhow::Result<()> {
        self.run(name, || {
            execute(cargo().args([
                "build",
                "--quiet",
                "--release",
                "--package",
                "zerobuffer-cli",
                "--bins",
            ]))?;
            let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
            let program = std::fs::canonicalize(Path::new(&target).join("release/zerobuffer"))
                .context("find the command that was just built")?;
            execute(Command::new(path).env("ZEROBUFFER", program))
        })
    }

    /// A line for each step.
    pub(crate) fn summary(&self) {
        let width = self.done.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
        let total: Duration = self.done.iter().map(|(_, took, _)| *took).sum();
        println!("\n{:width$}  seconds", "step");
        for (name, took, good) in &self.done {
            let verdict = if *good { "ok" } else { "FAILED" };
            println!("{name:width$}  {:7.1}  {verdict}", took.as_secs_f64());
        }
        println!("{:width$}  {:7.1}", "in all", total.as_secs_f64());
    }
}

pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Set for this program by the cargo that started it; they would make the next one build again.
    for variable in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME"] {
        cargo.env_remove(variable);
    }
    cargo
}

/// Runs a command whose output goes where this program's goes.
pub(crate) fn execute(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("start {program}"))?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(())
}

/// A program under `examples/` of some crate.
#[derive(Debug)]
pub(crate) struct Example {
    pub(crate) package: String,
    pub(crate) name: String,
}

/// Every example of the workspace. Each must run to its end without arguments.
pub(crate) fn examples() -> anyhow::Result<Vec<Example>> {
    let output = cargo()
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("ask cargo for the examples")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let Some(packages) = metadata["packages"].as_array() else {
        bail!("cargo's metadata lists no packages");
    };
    let mut found = Vec::new();
    for package in packages {
        for target in package["targets"].as_array().into_iter().flatten() {
            let kinds = target["kind"].as_array().into_iter().flatten();
            if let (Some(package), Some(name), true) = (
                package["name"].as_str(),
                target["name"].as_str(),
                kinds.filter_map(|kind| kind.as_str()).any(|kind| kind == "example"),
            ) {
                found.push(Example { package: package.into(), name: name.into() });
            }
        }
    }
    // Readers last: what a writer left behind waits for them.
    found.sort_by_key(|example| (example.name.ends_with("_reader"), example.name.clone()));
    Ok(found)
}

/// Every `run*.sh` one folder below `folder`. Each must run to its end without arguments.
pub(crate) fn scripts(folder: &str) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for example in std::fs::read_dir(folder).with_context(|| format!("look into {folder}"))? {
        let example = example?.path();
        if !example.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&example)? {
            let path = file?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("run") && name.ends_with(".sh") {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}
