//! The table on the terminal: ratios first, with their spread.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};

use crate::peers::kind::Kind;
use crate::result::{Better, Case, Comparison, Spread};

/// A number with the prefix that keeps it short.
pub(crate) fn short(value: f64, unit: &str) -> String {
    let scaled = |steps: &[(f64, &str)]| {
        let step = steps.iter().rev().find(|(from, _)| value.abs() >= *from).unwrap_or(&steps[0]);
        let digits = if value / step.0 >= 100.0 { 0 } else { 2 };
        format!("{:.digits$} {}", value / step.0, step.1)
    };
    match unit {
        "ns" => scaled(&[(1.0, "ns"), (1e3, "µs"), (1e6, "ms")]),
        "frames/s" => scaled(&[(1.0, "/s"), (1e3, "k/s"), (1e6, "M/s")]),
        "bytes/s" => scaled(&[(1e6, "MB/s"), (1e9, "GB/s")]),
        "bytes" => scaled(&[(1024.0, "KiB"), (1_048_576.0, "MiB")]),
        _ => format!("{value:.2} s"),
    }
}

/// How many times better ours is: over one is better, whichever way the unit goes.
pub(crate) fn advantage(ours: &Case, peer: &Case) -> Option<Spread> {
    match ours.better {
        Better::Higher => ours.ratio_to(peer),
        Better::Lower => peer.ratio_to(ours),
    }
}

fn ratio(ours: Option<&Case>, case: &Case) -> String {
    match ours {
        Some(ours) if ours.peer == case.peer => "–".into(),
        None => String::new(),
        Some(ours) => advantage(ours, case).map_or_else(
            || "too few".into(),
            |found| format!("{:.2} × ({:.2} – {:.2})", found.median, found.least, found.most),
        ),
    }
}

/// Everything, as text.
pub(crate) fn table(comparison: &Comparison) -> String {
    let mut text = String::new();
    for (name, cases) in comparison.groups() {
        let ours = cases.iter().find(|case| case.peer == Kind::Ours.name()).copied();
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header([
            "peer",
            "ours is better by",
            "median",
            "least – most",
            "cores",
            "samples",
        ]);
        for case in &cases {
            let spread = case.spread();
            let (median, range) = spread.map_or(("too few".into(), String::new()), |(_, found)| {
                let [median, least, most] =
                    [found.median, found.least, found.most].map(|value| short(value, &case.unit));
                (median, format!("{least} – {most}"))
            });
            let class = spread.and_then(|(class, _)| class).map_or("", |class| class.name());
            let count = case.samples.len().to_string();
            table.add_row([&case.peer, &ratio(ours, case), &median, &range, class, &count]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let _ = writeln!(text, "{name}\n{table}\n");
    }
    for missing in &comparison.missing {
        let _ = writeln!(text, "missing: {}: {}", missing.peer, missing.why);
    }
    for rule in &comparison.rules {
        let _ = writeln!(text, "* {rule}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floors::Placement;
    use crate::result::tests::case;

    #[test]
    fn more_than_one_is_better_whichever_way_the_unit_goes() {
        let mid = Some(Placement::Mid);
        let mut ours = case("zerobuffer 2.0", &[(10.0, mid); 3]);
        let mut peer = case("peer", &[(40.0, mid); 3]);
        assert_eq!(advantage(&ours, &peer).unwrap().median, 4.0);
        (ours.better, peer.better) = (Better::Higher, Better::Higher);
        assert_eq!(advantage(&ours, &peer).unwrap().median, 0.25);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(short(91.44, "ns"), "91.44 ns");
        assert_eq!(short(45_300.0, "ns"), "45.30 µs");
        assert_eq!(short(112e6, "frames/s"), "112 M/s");
        assert_eq!(short(34e9, "bytes/s"), "34.00 GB/s");
    }
}
