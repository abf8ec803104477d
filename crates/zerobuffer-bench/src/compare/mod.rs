//! `zerobuffer bench compare`: results beside each other, with a verdict that knows noise.
//!
//! - `args`: what can be asked; `formats`: files of results; `model`: what all of them come to
//! - `verdict`: what may be concluded; `table` and `json`: how it is told

mod args;
mod formats;
mod json;
mod model;
mod table;
mod verdict;

use std::path::Path;
use std::process::ExitCode;

use anyhow::ensure;
use zerobuffer::printable;

pub(super) use args::CompareArgs;
use model::Results;
use verdict::Comparison;

use crate::SOMETHING_WORSE;
use zerobuffer_terminal::output;

/// Results, and where they came from.
#[derive(Debug)]
struct Named {
    path: String,
    results: Results,
}

/// `zerobuffer bench compare`.
pub(super) fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let mut files = Vec::new();
    for path in &args.files {
        files.push(read(path, args.only.as_deref())?);
    }
    for path in &args.again {
        let again = read(path, args.only.as_deref())?;
        ensure!(
            files[0].results.widen(&again.results) > 0,
            "{} has no case in common with {}, where the cores lay alike. --again takes another run of the same.",
            again.path,
            files[0].path
        );
        files[0].path = format!("{} + {}", files[0].path, again.path);
    }
    let (base, others) = files.split_first().expect("clap asks for two");
    let mut comparisons = Vec::new();
    for other in others {
        let comparison = Comparison::between(&base.results, &other.results);
        ensure!(
            !comparison.pairs.is_empty(),
            "{} and {} have no case in common: the first has {}, the second {}. Give two runs of the same measurement.",
            base.path,
            other.path,
            some(&comparison.only_in_base),
            some(&comparison.only_in_other)
        );
        comparisons.push((other, comparison));
    }
    let text = if args.json {
        output::escape_json(&json::text(base, &comparisons)?)
    } else {
        comparisons
            .iter()
            .map(|(other, it)| harmless(&table::text(base, other, it)))
            .collect::<Vec<_>>()
            .join("\n")
    };
    output::print(&text)?;
    let worse = comparisons.iter().any(|(_, comparison)| comparison.is_worse());
    Ok(if worse && args.fail_on_worse {
        ExitCode::from(SOMETHING_WORSE)
    } else {
        ExitCode::SUCCESS
    })
}

/// The same lines, with nothing in them that a terminal obeys: others named the cases.
fn harmless(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", printable(line))).collect()
}

fn read(path: &Path, only: Option<&str>) -> anyhow::Result<Named> {
    let mut results = formats::read(path)?;
    if let Some(only) = only {
        let all: Vec<String> = results.cases.iter().map(|case| case.name.clone()).collect();
        results.cases.retain(|case| case.name.contains(only));
        ensure!(
            !results.cases.is_empty(),
            "{}: no case has `{only}` in its name; there are {}. Take another part of a name for --only.",
            path.display(),
            some(&all)
        );
    }
    Ok(Named { path: path.display().to_string(), results })
}

/// The first few names, and how many more there are.
fn some(names: &[String]) -> String {
    let first: Vec<String> = names.iter().take(3).map(|name| format!("`{name}`")).collect();
    match names.len() - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
