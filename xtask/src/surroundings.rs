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

/// The test programs of the command that play surroundings: file systems, namespaces and sandboxes; then supervisors,
/// terminals, pipes, and what others chose.
const PROGRAMS: [&str; 9] = [
    "surroundings",
    "signals",
    "pipes",
    "messages",
    "numbers",
    "foreign_names",
    "metadata",
    "forget",
    "life",
];

pub(crate) fn run(steps: &mut Steps) -> anyhow::Result<()> {
    steps.run("rough surroundings", || {
        let mut all = Vec::new();
        let mut failed = Vec::new();
        for program in PROGRAMS {
            let output = test(program).stderr(Stdio::inherit()).output().context("start cargo")?;
            let said = String::from_utf8_lossy(&output.stdout);
            let cases = cases(program, &said);
            ensure!(!cases.is_empty(), "the test program `{program}` told of no case");
            if !output.status.success() {
                println!("{said}");
                failed.push(program);
            }
            all.extend(cases);
        }
        println!("{}", table(&all));
        ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
        let untested = all.iter().filter(|case| case.result.starts_with(UNTESTED)).count();
        if untested > 0 {
            println!("{untested} of {} were not tested here.", all.len());
        }
        Ok(())
    })
}

/// One case at a time, each with the file systems and namespaces to itself; with what those say that succeed.
fn test(program: &str) -> Command {
    let mut command = cargo();
    command.args(["test", "--package", "zerobuffer-cli", "--test", program, "--"]).args([
        "--test-threads",
        "1",
        "--show-output",
    ]);
    command
}

const UNTESTED: &str = "not tested";
/// How a case says that it was not tested.
const MARK: &str = "NOT TESTED: ";

fn cases(program: &str, output: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = output.lines().filter_map(|line| case(program, line)).collect();
    for line in output.lines() {
        let Some((name, why)) = line.strip_prefix(MARK).and_then(|rest| rest.split_once(": "))
        else {
            continue;
        };
        let (kind, what) = split(program, name);
        if let Some(case) = cases.iter_mut().find(|case| case.kind == kind && case.what == what)
            && case.result == "ok"
        {
            case.result = format!("{UNTESTED}: {why}");
        }
    }
    cases
}

/// A line such as `test sandbox::without_proc ... ok`. What the case itself printed is elsewhere.
fn case(program: &str, line: &str) -> Option<Case> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let (kind, what) = split(program, name);
    Some(Case { kind, what, result: result.trim().to_owned() })
}

/// The module of a case, or its program.
fn split(program: &str, name: &str) -> (String, String) {
    let (kind, what) = name.split_once("::").unwrap_or((program, name));
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
        let output = "running 4 tests\n\
                      test room::a_full_disk ... ok\n\
                      test clocks::shifted ... ok\n\
                      test clocks::other ... FAILED\n\
                      test a_signal ... ok\n\
                      NOT TESTED: clocks::shifted: it needs root\n";
        let results: Vec<_> =
            cases("program", output).into_iter().map(|case| case.result).collect();
        assert_eq!(results, ["ok", "not tested: it needs root", "FAILED", "ok"]);
        let shown = table(&cases("program", output));
        assert!(
            shown.starts_with("room     a full disk  ok\nclocks   shifted      not tested"),
            "{shown}"
        );
        assert!(shown.ends_with("program  a signal     ok"), "{shown}");
    }
}
