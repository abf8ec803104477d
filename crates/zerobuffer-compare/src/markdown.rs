//! The tables of a document: a row a group, a column a peer, and in it how many times better ours is.

use std::fmt::Write as _;

use crate::peers::kind::Kind;
use crate::result::{Case, Comparison, Work};
use crate::summary::{advantage, short};

const SECTIONS: [(Work, &str); 10] = [
    (Work::Latency, "One way"),
    (Work::Wake, "Asleep"),
    (Work::Throughput, "Streaming"),
    (Work::Relay, "Relay"),
    (Work::Request, "Request and answer"),
    (Work::Fanout, "Several readers"),
    (Work::Cpu, "Processor, for a million frames"),
    (Work::Memory, "Memory"),
    (Work::Start, "Start"),
    (Work::Floor, "Floors"),
];

/// Less than this, and ours is worse.
const WORSE: f64 = 0.98;

/// All sections that were measured.
pub(crate) fn tables(comparison: &Comparison) -> String {
    let groups = comparison.groups();
    let sections = SECTIONS.iter().filter_map(|(work, title)| {
        let rows: Vec<_> =
            groups.iter().filter(|(_, cases)| cases.iter().any(|c| c.work == *work)).collect();
        (!rows.is_empty()).then(|| section(title, &rows))
    });
    sections.collect()
}

fn section<N: AsRef<str>>(title: &str, rows: &[&(N, Vec<&Case>)]) -> String {
    let mut peers: Vec<&str> = Vec::new();
    for case in rows.iter().flat_map(|(_, cases)| cases) {
        if case.peer != Kind::Ours.name() && !peers.contains(&&*case.peer) {
            peers.push(&case.peer);
        }
    }
    let mut text = format!("**{title}**\n\n| work | ours | {} |\n", peers.join(" | "));
    let _ = writeln!(text, "|---|---|{}", "---|".repeat(peers.len()));
    for (name, cases) in rows {
        let find = |peer: &str| cases.iter().find(|case| case.peer == peer).copied();
        let ours = find(Kind::Ours.name());
        let _ = write!(text, "| {} | {} |", name.as_ref(), ours.map_or("–".into(), measured));
        for peer in &peers {
            let cell = find(peer).map_or("–".into(), |peer| match ours {
                Some(ours) => times_better(ours, peer),
                None => measured(peer),
            });
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    text + "\n"
}

/// The median, and where the cores were.
fn measured(case: &Case) -> String {
    case.spread().map_or("too few".into(), |(class, spread)| {
        let class = class.map_or(String::new(), |class| format!(", {}", class.name()));
        format!("{}{class}", short(spread.median, &case.unit))
    })
}

fn times_better(ours: &Case, peer: &Case) -> String {
    let Some(ratio) = advantage(ours, peer).map(|spread| spread.median) else {
        return "too few".into();
    };
    let digits = if ratio < 2.0 { 2 } else { usize::from(ratio < 20.0) };
    // A floor is not somebody to be better than.
    match ratio < WORSE && !peer.peer.starts_with("floor") {
        true => format!("**{ratio:.digits$} ×**"),
        false => format!("{ratio:.digits$} ×"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floors::Placement;
    use crate::result::tests::case;

    #[test]
    fn worse_is_bold_unless_it_is_a_floor_and_who_was_not_there_is_a_dash() {
        let mid = Some(Placement::Mid);
        let ours = case("zerobuffer 2.0", &[(20.0, mid); 3]);
        let better = case("pipe", &[(600.0, mid); 3]);
        let worse = case("rtrb", &[(10.0, mid); 3]);
        let floor = case("floor: line", &[(10.0, mid); 3]);
        let only_once = case("zeromq", &[(600.0, mid)]);
        let all = ("a", vec![&ours, &better, &worse, &floor, &only_once]);
        let few = ("b", vec![&ours]);
        assert_eq!(
            section("One way", &[&all, &few]),
            "**One way**\n\n| work | ours | pipe | rtrb | floor: line | zeromq |\n|---|---|---|---|---|---|\n\
             | a | 20.00 ns, mid | 30 × | **0.50 ×** | 0.50 × | too few |\n\
             | b | 20.00 ns, mid | – | – | – | – |\n\n"
        );
    }
}
