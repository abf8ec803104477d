//! Whether the operations take more instructions than was recorded. No file, no process: counts in, verdict out.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};

use anyhow::bail;
use serde::{Deserialize, Serialize};

/// More growth than this fails. Compilers move a few instructions about; this is no place to argue over those.
const ALLOWED: f64 = 0.03;
const HOW: &str = "`cargo xtask instructions --record`";

/// Instructions an operation, and what made the program that was counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) rustc: String,
    pub(super) target: String,
    pub(super) valgrind: String,
    pub(super) operations: BTreeMap<String, f64>,
}

/// How one operation stands beside the record.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    /// Within what is allowed, either way.
    Small,
    Grown,
    Shrunk,
    /// Counted, but not recorded.
    New,
    /// Recorded, but counted no more.
    Gone,
}

#[derive(Debug, Clone, PartialEq)]
struct Line {
    name: String,
    recorded: Option<f64>,
    counted: Option<f64>,
    change: Change,
}

/// What was found, to be printed and to fail by.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    lines: Vec<Line>,
    /// What was another one when it was recorded.
    differences: Vec<String>,
    /// Another processor has other instructions: their numbers say nothing about each other.
    comparable: bool,
}

/// Puts what was counted beside the record.
pub(super) fn judge(recorded: &Record, now: &Record) -> Verdict {
    let mut names: Vec<&String> = recorded.operations.keys().collect();
    names.extend(now.operations.keys().filter(|name| !recorded.operations.contains_key(*name)));
    let lines = names.into_iter().map(|name| {
        let (before, after) = (recorded.operations.get(name), now.operations.get(name));
        Line {
            name: name.clone(),
            recorded: before.copied(),
            counted: after.copied(),
            change: change(before.copied(), after.copied()),
        }
    });
    let parts = [
        ("compiler", &recorded.rustc, &now.rustc),
        ("target", &recorded.target, &now.target),
        ("counter", &recorded.valgrind, &now.valgrind),
    ];
    let differences =
        parts.iter().filter(|(_, before, after)| before != after).map(|(what, before, after)| {
            format!("another {what}: recorded with {before}, counted with {after}")
        });
    Verdict {
        lines: lines.collect(),
        differences: differences.collect(),
        comparable: recorded.target == now.target,
    }
}

fn change(before: Option<f64>, after: Option<f64>) -> Change {
    match (before, after) {
        (None, _) => Change::New,
        (_, None) => Change::Gone,
        (Some(before), Some(after)) if after > before * (1.0 + ALLOWED) => Change::Grown,
        (Some(before), Some(after)) if after < before * (1.0 - ALLOWED) => Change::Shrunk,
        _ => Change::Small,
    }
}

impl Verdict {
    fn names(&self, change: Change) -> Vec<&str> {
        let lines = self.lines.iter().filter(|line| line.change == change);
        lines.map(|line| line.name.as_str()).collect()
    }

    /// Fails by what has grown, and by a record that does not fit the operations.
    pub(super) fn outcome(&self) -> anyhow::Result<()> {
        let unfit = [self.names(Change::New), self.names(Change::Gone)].concat();
        if !unfit.is_empty() {
            bail!("the record does not fit the operations ({}): {HOW} mends it", unfit.join(", "));
        }
        let grown = self.names(Change::Grown);
        if self.comparable && !grown.is_empty() {
            bail!(
                "more instructions than recorded, by over {:.0} %: {}. If that is meant, {HOW}, and say in the commit why",
                100.0 * ALLOWED,
                grown.join(", ")
            );
        }
        Ok(())
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let number = |it: Option<f64>| it.map_or_else(|| "–".into(), |it| format!("{it:.1}"));
        writeln!(f, "{:36} {:>10} {:>10} {:>8}", "instructions", "recorded", "counted", "change")?;
        for line in &self.lines {
            let percent = match (line.recorded, line.counted) {
                (Some(before), Some(after)) if before > 0.0 => {
                    format!("{:+.1} %", 100.0 * (after / before - 1.0))
                }
                _ => String::new(),
            };
            let mark = match line.change {
                Change::Small => "",
                Change::Grown => "  GROWN",
                Change::Shrunk => "  less",
                Change::New => "  not recorded",
                Change::Gone => "  not counted",
            };
            let (before, after) = (number(line.recorded), number(line.counted));
            writeln!(f, "{:36} {before:>10} {after:>10} {percent:>8}{mark}", line.name)?;
        }
        for difference in &self.differences {
            writeln!(f, "{difference}")?;
        }
        if !self.comparable {
            writeln!(f, "growth is not judged across targets")?;
        }
        if !self.names(Change::Shrunk).is_empty() {
            writeln!(f, "fewer instructions than recorded: {HOW} keeps it that way")?;
        }
        Ok(())
    }
}

impl Display for Record {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        for (name, count) in &self.operations {
            writeln!(f, "{name:36} {count:>10.1}")?;
        }
        writeln!(f, "{}, {}, {}", self.rustc, self.target, self.valgrind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(operations: &[(&str, f64)]) -> Record {
        Record {
            rustc: "rustc 1.95.0".into(),
            target: "x86_64-unknown-linux-gnu".into(),
            valgrind: "valgrind-3.19.0".into(),
            operations: operations.iter().map(|(name, count)| ((*name).into(), *count)).collect(),
        }
    }

    fn changes(before: f64, after: f64) -> Change {
        judge(&record(&[("write", before)]), &record(&[("write", after)])).lines[0].change
    }

    #[test]
    fn three_percent_more_pass_and_a_hair_more_fails() {
        assert_eq!(changes(100.0, 103.0), Change::Small);
        assert_eq!(changes(100.0, 103.1), Change::Grown);
        assert_eq!(changes(100.0, 97.0), Change::Small);
        assert_eq!(changes(100.0, 96.9), Change::Shrunk);
        assert_eq!(changes(0.0, 1.0), Change::Grown);
        assert_eq!(changes(0.0, 0.0), Change::Small);
    }

    #[test]
    fn growth_fails_and_names_what_has_grown() {
        let before = record(&[("read", 100.0), ("write", 90.0), ("poll", 20.0)]);
        let after = record(&[("read", 104.0), ("write", 80.0), ("poll", 20.1)]);
        let verdict = judge(&before, &after);
        let why = verdict.outcome().unwrap_err().to_string();
        assert!(why.contains("by over 3 %: read."), "{why}");
        assert!(why.contains("--record"), "{why}");
        let text = verdict.to_string();
        assert!(text.contains("+4.0 %  GROWN"), "{text}");
        assert!(text.contains("-11.1 %  less"), "{text}");
    }

    #[test]
    fn less_passes_and_tells_how_to_keep_it() {
        let verdict = judge(&record(&[("read", 100.0)]), &record(&[("read", 50.0)]));
        verdict.outcome().unwrap();
        let text = verdict.to_string();
        assert!(
            text.contains("fewer instructions than recorded: `cargo xtask instructions --record`"),
            "{text}"
        );
    }

    #[test]
    fn what_was_recorded_passes_without_a_word() {
        let before = record(&[("read", 100.0)]);
        let verdict = judge(&before, &before);
        verdict.outcome().unwrap();
        assert_eq!(verdict.to_string().lines().count(), 2, "{verdict}");
    }

    #[test]
    fn a_record_that_does_not_fit_fails() {
        for (before, after) in [(["read"], ["write"]), (["write"], ["read"])] {
            let [before, after] =
                [before, after].map(|names| record(&names.map(|name| (name, 1.0))));
            let why = judge(&before, &after).outcome().unwrap_err().to_string();
            assert!(
                why.contains("does not fit") && why.contains("read") && why.contains("write"),
                "{why}"
            );
        }
    }

    #[test]
    fn another_compiler_is_said_and_growth_still_fails() {
        let before = record(&[("read", 100.0)]);
        let after = Record { rustc: "rustc 1.96.0".into(), ..record(&[("read", 110.0)]) };
        let verdict = judge(&before, &after);
        let text = verdict.to_string();
        assert!(
            text.contains(
                "another compiler: recorded with rustc 1.95.0, counted with rustc 1.96.0"
            ),
            "{text}"
        );
        verdict.outcome().unwrap_err();
    }

    #[test]
    fn another_processor_is_said_and_not_judged() {
        let before = record(&[("read", 100.0)]);
        let after =
            Record { target: "aarch64-unknown-linux-gnu".into(), ..record(&[("read", 150.0)]) };
        let verdict = judge(&before, &after);
        assert!(verdict.to_string().contains("not judged across targets"), "{verdict}");
        verdict.outcome().unwrap();
    }
}
