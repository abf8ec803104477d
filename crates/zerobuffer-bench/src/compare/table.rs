//! A comparison for people: one line a case, what the words mean below.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use zerobuffer::printable;

use super::Named;
use super::model::Spread;
use super::verdict::{Comparison, Pair, Verdict, Why};

/// What fits an ordinary terminal.
const WIDTH: u16 = 100;
/// So many names of cases that only one side has are listed.
const LISTED: usize = 20;

/// Everything about two files.
pub(super) fn text(base: &Named, other: &Named, comparison: &Comparison) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = writeln!(text, "base   {}  ({})", base.path, base.results.kind);
    let _ = writeln!(text, "other  {}  ({})", other.path, other.results.kind);
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH)
        .set_header(["case", "base", "other", "ratio", "verdict"]);
    for pair in &comparison.pairs {
        table.add_row(row(pair).map(|cell| printable(&cell).to_string()));
    }
    for column in table.column_iter_mut().skip(1).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let _ = writeln!(text, "{table}");
    let count = |verdict| comparison.count(|it| it == verdict);
    let _ = writeln!(
        text,
        "{} better, {} worse, {} the same, {} without a verdict.",
        count(Verdict::Better),
        count(Verdict::Worse),
        count(Verdict::Same),
        comparison.count(|it| matches!(it, Verdict::None(_)))
    );
    let reasons = [
        (
            Why::Overlap,
            "overlap: the spreads have values in common, so the difference may be noise",
        ),
        (
            Why::TooFew,
            "too few: so few samples may lie apart by chance; five on either side are enough",
        ),
        (
            Why::Placement,
            "cores: never measured with the cores as near to each other on both sides",
        ),
    ];
    for (_, meaning) in
        reasons.iter().filter(|(why, _)| comparison.count(|it| it == Verdict::None(*why)) > 0)
    {
        let _ = writeln!(text, "{meaning}.");
    }
    if let (Some(here), Some(there)) = (&base.results.machine, &other.results.machine)
        && here != there
    {
        let _ = writeln!(text, "Not the same machine: {here}; {there}.");
    }
    for (file, note) in
        [base, other].iter().flat_map(|it| it.results.notes.iter().map(|note| (&it.path, note)))
    {
        let _ = writeln!(text, "{file}: {note}");
    }
    list(&mut text, "only in the base", &comparison.only_in_base);
    list(&mut text, "only in the other", &comparison.only_in_other);
    text
}

fn row(pair: &Pair) -> [String; 5] {
    let [here, there] = &pair.classes;
    let mut name = match (here.as_str(), there.as_str()) {
        ("", "") => pair.name.clone(),
        (here, there) if here == there => format!("{} [{here}]", pair.name),
        (here, there) => format!("{} [{here} → {there}]", pair.name),
    };
    // A unit that has no short form stands with the name, once.
    if scale(0.0, &pair.unit).is_none() {
        name = format!("{name}, {}", pair.unit);
    }
    let ratio = pair.ratio().map_or("–".into(), |ratio| format!("{ratio:.3}"));
    let [base, other] = [&pair.base, &pair.other].map(|spread| cell(spread, &pair.unit));
    [name, base, other, ratio, word(pair.verdict).into()]
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "WORSE",
        Verdict::Same => "same",
        Verdict::None(Why::Overlap) => "– overlap",
        Verdict::None(Why::TooFew) => "– too few",
        Verdict::None(Why::Placement) => "– cores",
    }
}

/// Median and spread in one unit, as short as three digits allow.
fn cell(spread: &Spread, unit: &str) -> String {
    let (factor, unit) = scale(spread.median, unit).unwrap_or((1.0, ""));
    let [median, low, high] =
        [spread.median, spread.low, spread.high].map(|it| digits(it / factor));
    let range =
        if spread.samples == Some(1) { String::new() } else { format!(" ({low}–{high})") };
    format!("{median}{range} {unit}").trim_end().to_owned()
}

/// What to divide by, and the unit then; of units that are known here.
fn scale(value: f64, unit: &str) -> Option<(f64, &'static str)> {
    let steps: &[(f64, &'static str)] = match unit {
        "ns" => &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")],
        "frames/s" => &[(1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")],
        "bytes/s" => &[(1e9, "GB/s"), (1e6, "MB/s"), (1.0, "B/s")],
        "bytes" => &[(1_048_576.0, "MiB"), (1024.0, "KiB"), (1.0, "B")],
        "%" => &[(1.0, "%")],
        _ => return None,
    };
    steps.iter().find(|(from, _)| value.abs() >= *from).or(steps.last()).copied()
}

fn digits(value: f64) -> String {
    let places = match value.abs() {
        it if it >= 100.0 => 0,
        it if it >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.places$}")
}

fn list(text: &mut String, title: &str, names: &[String]) {
    if names.is_empty() {
        return;
    }
    let _ = writeln!(text, "{title}:");
    for name in names.iter().take(LISTED) {
        let _ = writeln!(text, "  {name}");
    }
    if names.len() > LISTED {
        let _ = writeln!(text, "  and {} more", names.len() - LISTED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_unit_that_suits_them() {
        let of = |median, low, high| Spread { median, low, high, samples: Some(5) };
        assert_eq!(cell(&of(91.44, 90.0, 104.6), "ns"), "91.4 (90.0–105) ns");
        assert_eq!(cell(&of(45_300.0, 900.0, 45_400.0), "ns"), "45.3 (0.90–45.4) µs");
        assert_eq!(cell(&of(112e6, 9e6, 130e6), "frames/s"), "112 (9.00–130) M/s");
        assert_eq!(cell(&of(0.0, 0.0, 0.0), "ns"), "0.00 (0.00–0.00) ns");
        assert_eq!(cell(&Spread { samples: Some(1), ..of(7.0, 7.0, 7.0) }, "%"), "7.00 %");
    }
}
