//! `report.html`: one file with everything in it, which draws itself when it is opened.

use anyhow::Context as _;
use serde::Serialize;

use crate::peers::kind::Kind;
use crate::result::{Case, Comparison, Percentile, Spread, Work};
use crate::summary::advantage;

const PAGE: &str = include_str!("report/page.html");
const STYLE: &str = include_str!("report/style.css");
const PLOTS: &str = include_str!("report/plots.js");
const SECTIONS: &str = include_str!("report/sections.js");

/// What the page draws: all that is concluded is concluded here, by the same rules as on the terminal.
#[derive(Debug, Serialize)]
struct View<'a> {
    /// Everything but the cases.
    run: Comparison,
    groups: Vec<Group<'a>>,
}

#[derive(Debug, Serialize)]
struct Group<'a> {
    name: &'a str,
    work: Work,
    unit: &'a str,
    better: crate::result::Better,
    size_bytes: Option<usize>,
    wait: Option<&'a str>,
    rows: Vec<Row<'a>>,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    peer: &'a str,
    ours: bool,
    mode: &'a str,
    copies: &'a str,
    touched: &'a str,
    samples: usize,
    placement: Option<&'static str>,
    /// None of too few samples.
    spread: Option<Spread>,
    /// How many times better ours is.
    advantage: Option<Spread>,
    percentiles: &'a [Percentile],
}

fn row<'a>(case: &'a Case, reference: Option<&Case>) -> Row<'a> {
    let spread = case.spread();
    let reference = reference.filter(|reference| reference.peer != case.peer);
    Row {
        peer: &case.peer,
        ours: case.peer.starts_with("zerobuffer"),
        mode: &case.mode,
        copies: &case.copies,
        touched: &case.touched,
        samples: case.samples.len(),
        placement: spread.and_then(|(class, _)| class).map(|class| class.name()),
        spread: spread.map(|(_, spread)| spread),
        advantage: reference.and_then(|reference| advantage(reference, case)),
        percentiles: &case.percentiles,
    }
}

fn view(comparison: &Comparison) -> View<'_> {
    let group = |(name, cases): (_, Vec<&'_ Case>)| {
        let reference = cases.iter().find(|case| case.peer == Kind::Ours.name()).copied();
        let first = comparison.cases.iter().find(|case| case.name == name)?;
        let of_this = comparison.cases.iter().filter(|case| case.name == name);
        Some(Group {
            name: &first.name,
            work: first.work,
            unit: &first.unit,
            better: first.better,
            size_bytes: first.size_bytes,
            wait: first.wait.as_deref(),
            rows: of_this.map(|case| row(case, reference)).collect(),
        })
    };
    View {
        groups: comparison.groups().into_iter().filter_map(group).collect(),
        run: Comparison { cases: Vec::new(), ..comparison.clone() },
    }
}

/// The page.
pub(crate) fn html(comparison: &Comparison) -> anyhow::Result<String> {
    // Inside a script element only `<` could end it early.
    let data = serde_json::to_string(&view(comparison)).context("write the report's data")?;
    let data = data.replace('<', "\\u003c");
    // The data last: whatever it holds, nothing is looked for in it.
    Ok(PAGE
        .replacen("{{style}}", STYLE, 1)
        .replacen("{{plots}}", PLOTS, 1)
        .replacen("{{sections}}", SECTIONS, 1)
        .replacen("{{data}}", &data, 1))
}

#[cfg(test)]
mod tests;
