//! A comparison for machines.

use serde::Serialize;

use super::Named;
use super::model::{Better, Spread};
use super::verdict::{Comparison, Verdict, Why};

const FORMAT: &str = "zerobuffer-bench-compare/1";

#[derive(Debug, Serialize)]
struct Document<'a> {
    format: &'static str,
    base: File<'a>,
    comparisons: Vec<Side<'a>>,
}

#[derive(Debug, Serialize)]
struct File<'a> {
    path: &'a str,
    kind: &'static str,
    machine: Option<&'a str>,
    notes: &'a [String],
}

#[derive(Debug, Serialize)]
struct Side<'a> {
    other: File<'a>,
    better: usize,
    worse: usize,
    same: usize,
    no_verdict: usize,
    cases: Vec<Case<'a>>,
    only_in_base: &'a [String],
    only_in_other: &'a [String],
}

#[derive(Debug, Serialize)]
struct Case<'a> {
    name: &'a str,
    unit: &'a str,
    better: Better,
    /// Where the cores lay, on either side; empty where that is unknown or does not matter.
    cores: &'a [String; 2],
    base: Spread,
    other: Spread,
    /// The other's median over the base's.
    ratio: Option<f64>,
    verdict: &'static str,
    /// Why there is no verdict.
    why: Option<Why>,
}

impl<'a> File<'a> {
    fn of(file: &'a Named) -> Self {
        let results = &file.results;
        Self {
            path: &file.path,
            kind: results.kind,
            machine: results.machine.as_deref(),
            notes: &results.notes,
        }
    }
}

/// All comparisons with the base.
pub(super) fn text(base: &Named, comparisons: &[(&Named, Comparison)]) -> anyhow::Result<String> {
    let sides = comparisons.iter().map(|(other, comparison)| Side {
        other: File::of(other),
        better: comparison.count(|it| it == Verdict::Better),
        worse: comparison.count(|it| it == Verdict::Worse),
        same: comparison.count(|it| it == Verdict::Same),
        no_verdict: comparison.count(|it| matches!(it, Verdict::None(_))),
        cases: cases(comparison),
        only_in_base: &comparison.only_in_base,
        only_in_other: &comparison.only_in_other,
    });
    let document = Document { format: FORMAT, base: File::of(base), comparisons: sides.collect() };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn cases(comparison: &Comparison) -> Vec<Case<'_>> {
    let cases = comparison.pairs.iter().map(|pair| {
        let (verdict, why) = match pair.verdict {
            Verdict::Better => ("better", None),
            Verdict::Worse => ("worse", None),
            Verdict::Same => ("same", None),
            Verdict::None(why) => ("no verdict", Some(why)),
        };
        Case {
            name: &pair.name,
            unit: &pair.unit,
            better: pair.better,
            cores: &pair.classes,
            base: pair.base,
            other: pair.other,
            ratio: pair.ratio(),
            verdict,
            why,
        }
    });
    cases.collect()
}
