//! The report of `zerobuffer bench ... --json`, as `bench/report.rs` writes it.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Deserialize;

use crate::compare::model::{Better, Id, Results};

#[derive(Debug, Deserialize)]
pub(super) struct Report {
    measurement: String,
    machine: Machine,
    cases: Vec<Case>,
    samples: Vec<Sample>,
}

#[derive(Debug, Deserialize)]
struct Machine {
    cpu: String,
    kernel: String,
}

#[derive(Debug, Deserialize)]
struct Case {
    how: String,
    bytes: usize,
    wait: String,
    placement_matters: bool,
}

#[derive(Debug, Deserialize)]
struct Sample {
    case: usize,
    placement: String,
    metrics: BTreeMap<String, f64>,
}

/// How a metric is compared, by its name: the name without its unit, the unit, the factor to it, what is better.
/// `None`: it follows from another one, or says how it was measured.
fn meaning(metric: &str) -> Option<(&str, &'static str, f64, Better)> {
    match metric {
        // The same as frames a second.
        "mframes_per_s" | "gb_per_s" => return None,
        "frames_per_s" => return Some(("frames", "frames/s", 1.0, Better::Higher)),
        // Grows with how long was waited; the percentage does not.
        "cpu_us" => return None,
        "cpu_percent" | "most_percent" => return Some((metric, "%", 1.0, Better::Lower)),
        "least_percent" => return Some((metric, "%", 1.0, Better::Higher)),
        _ => {}
    }
    if let Some(name) = metric.strip_suffix("_ns") {
        return Some((name, "ns", 1.0, Better::Lower));
    }
    metric.strip_suffix("_us").map(|name| (name, "ns", 1e3, Better::Lower))
}

pub(super) fn read(report: Report) -> anyhow::Result<Results> {
    let machine = format!("{}, {}", report.machine.cpu, report.machine.kernel);
    let mut results = Results::new("zerobuffer bench", Some(machine));
    let mut changed = 0;
    for sample in &report.samples {
        let case = report.cases.get(sample.case).with_context(|| {
            format!("a sample of case {}, but {} cases", sample.case, report.cases.len())
        })?;
        let class = match (case.placement_matters, sample.placement.as_str()) {
            (false, _) => "",
            (true, "changed") => {
                changed += 1;
                continue;
            }
            (true, class) => class,
        };
        for (metric, value) in &sample.metrics {
            if let Some((metric, unit, factor, better)) = meaning(metric) {
                let name = format!(
                    "{} {} {} B, {}: {metric}",
                    report.measurement, case.how, case.bytes, case.wait
                );
                results.sample(&Id { name: &name, unit, better }, class, value * factor);
            }
        }
    }
    if changed > 0 {
        let note = format!("samples left out because the cores moved meanwhile: {changed}.");
        results.notes.push(note);
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_say_by_their_name_what_is_better() {
        assert_eq!(meaning("p50_ns"), Some(("p50", "ns", 1.0, Better::Lower)));
        assert_eq!(meaning("sender_us"), Some(("sender", "ns", 1e3, Better::Lower)));
        assert_eq!(meaning("frames_per_s"), Some(("frames", "frames/s", 1.0, Better::Higher)));
        assert_eq!(meaning("least_percent"), Some(("least_percent", "%", 1.0, Better::Higher)));
        for derived in
            ["one_way_ns_per_line", "frames_per_s_vs_rtrb", "gb_per_s", "rounds", "waited_s"]
        {
            assert_eq!(meaning(derived), None, "{derived}");
        }
    }
}
