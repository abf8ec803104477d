//! Rough surroundings: plays each, and prints a table of what became of it.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::steps::{Steps, cargo};

/// A case of the test program, as its output tells of it.
#[derive(Debug, PartialEq, Eq)]
struct Case {
    /// The file that it stands in.
    kind: String,
    what: String,
    result: String,
}

pub(crate) fn run(steps: &mut Steps) -> anyhow::Result<()> {
    steps.run("rough surroundings", || {
        let output = program().stderr(Stdio::inherit()).output().context("start cargo")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let cases = cases(&said);
        if !output.status.success() {
            println!("{said}");
        }
        println!("{}", table(&cases));
        ensure!(!cases.is_empty(), "the test program told of no case");
        ensure!(output.status.success(), "it ended with {}", output.status);
        let untested = cases.iter().filter(|case| case.result.starts_with(UNTESTED)).count();
        if untested > 0 {
            println!("{untested} of {} were not tested here.", cases.len());
        }
        Ok(())
    })
}

/// One at a time, each with the file systems and namespaces to itself; with what those say that succeed.
fn program() -> Command {
    let mut command = cargo();
    command.args(["test", "--package", "zerobuffer-cli", "--test", "surroundings", "--"]).args([
        "--test-threads",
        "1",
        "--show-output",
    ]);
    command
}

const UNTESTED: &str = "not tested";
/// How a case says that it was not tested.
const MARK: &str = "NOT TESTED: ";

fn cases(output: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = output.lines().filter_map(case).collect();
    for line in output.lines() {
        let Some((name, why)) = line.strip_prefix(MARK).and_then(|rest| rest.split_once(": "))
        else {
            continue;
        };
        let (kind, what) = split(name);
        if let Some(case) = cases.iter_mut().find(|case| case.kind == kind && case.what == what)
            && case.result == "ok"
        {
            case.result = format!("{UNTESTED}: {why}");
        }
    }
    cases
}

/// A line such as `test sandbox::without_proc ... ok`. What the case itself printed is elsewhere.
fn case(line: &str) -> Option<Case> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let (kind, what) = split(name);
    Some(Case { kind, what, result: result.trim().to_owned() })
}

fn split(name: &str) -> (String, String) {
    let (kind, what) = name.split_once("::").unwrap_or(("", name));
    (kind.replace('_', " "), what.replace('_', " "))
}

fn table(cases: &[Case]) -> String {
    let width = |of: fn(&Case) -> &str| cases.iter().map(|case| of(case).chars().count()).max();
    let kinds = width(|case| &case.kind).unwrap_or(0);
    let whats = width(|case| &case.what).unwrap_or(0);
    let line = |case: &Case| format!("{:kinds$}  {:whats$}  {}", case.kind, case.what, case.result);
    cases.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_tested_does_not_count_as_good() {
        let output = "running 3 tests\n\
                      test room::a_full_disk ... ok\n\
                      test clocks::shifted ... ok\n\
                      test clocks::other ... FAILED\n\
                      NOT TESTED: clocks::shifted: it needs root\n";
        let results: Vec<_> = cases(output).into_iter().map(|case| case.result).collect();
        assert_eq!(results, ["ok", "not tested: it needs root", "FAILED"]);
        let shown = table(&cases(output));
        assert!(
            shown.starts_with("room    a full disk  ok\nclocks  shifted      not tested"),
            "{shown}"
        );
    }
}
