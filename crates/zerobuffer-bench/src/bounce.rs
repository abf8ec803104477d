//! The cost of a cache line, as a measurement of its own.

use super::args::FloorArgs;
use super::floor::probe;
use super::peer::Pair;
use super::report::{Case, Column, Metrics, Report, Samples};

/// `zerobuffer bench floor`.
pub(super) fn run(args: &FloorArgs) -> anyhow::Result<Report> {
    let mut pair = Pair::start_up(&args.common, 0)?;
    let cases = vec![Case {
        how: "one cache line, bounced".into(),
        bytes: 8,
        wait: "spin",
        payload: "a sequence number",
        copies: "nobody",
        placement_matters: true,
        rivals: Vec::new(),
    }];
    let samples = Samples::collect(&mut pair, &args.common, &cases, |pair, _| {
        Ok(Metrics::from([("line_ns", probe(pair)?)]))
    })?;
    Ok(Report::new("floor", &pair, &args.common, cases, samples)
        .columns(vec![Column::ns("line_ns", "one way")])
        .note(
            "One way = half of a round trip over two words on lines of their own, 128 bytes apart.",
        ))
}
