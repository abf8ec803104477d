//! `zerobuffer doctor`.

mod cgroup;
mod checks;
mod trials;

use std::fmt::Write;
use std::process::ExitCode;

use serde::Serialize;
use zerobuffer::printable;

use crate::args::DoctorArgs;
use crate::exit::finish;
use crate::output;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    /// Works, but may surprise.
    Warning,
    /// Something will fail.
    Bad,
}

/// One finding.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Good, found: found.into(), advice: None }
    }

    fn warning(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warning, found: found.into(), advice: Some(advice.into()) }
    }

    fn bad(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Bad, found: found.into(), advice: Some(advice.into()) }
    }
}

pub(crate) fn run(args: &DoctorArgs) -> ExitCode {
    finish(examine(args))
}

fn examine(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let dir = args.place.dir();
    let mut findings = checks::directory(&dir);
    findings.extend(cgroup::memory());
    findings.extend(checks::limits());
    findings.extend(checks::remove_ipc());
    findings.extend(trials::tried(&dir));
    findings.extend(checks::kernel());
    findings.extend(checks::leftovers(&dir));
    let good = findings.iter().all(|finding| finding.verdict != Verdict::Bad);

    if args.json {
        let directory = dir.to_string_lossy();
        let report =
            serde_json::json!({ "directory": directory, "good": good, "findings": findings });
        output::print(&(output::json(&report)? + "\n"))?;
    } else {
        let mut lines = String::new();
        for Finding { check, verdict, found, advice } in &findings {
            let mark = match verdict {
                Verdict::Good => "ok  ",
                Verdict::Warning => "warn",
                Verdict::Bad => "BAD ",
            };
            writeln!(lines, "{mark}  {check:<16}{}", printable(found))?;
            if let Some(advice) = advice {
                writeln!(lines, "      {:<16}-> {}", "", printable(advice))?;
            }
        }
        output::print(&lines)?;
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
