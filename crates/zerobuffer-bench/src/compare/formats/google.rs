//! Google Benchmark's `--benchmark_format=json`. A repetition is a sample; where only aggregates were reported, the
//! median and the standard deviation stand for them. What is compared is the real time, in nanoseconds.

use std::collections::BTreeMap;

use anyhow::bail;
use serde::Deserialize;

use crate::compare::model::{Id, Results, Spread};

#[derive(Debug, Deserialize)]
pub(super) struct Report {
    context: Context,
    benchmarks: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Context {
    host_name: Option<String>,
    num_cpus: Option<u32>,
    mhz_per_cpu: Option<f64>,
    library_build_type: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    /// The name without the aggregate's; missing in old versions, which have no aggregates of their own type.
    run_name: Option<String>,
    run_type: Option<String>,
    aggregate_name: Option<String>,
    /// Missing of fits, such as BigO, and of what went wrong.
    real_time: Option<f64>,
    time_unit: Option<String>,
    #[serde(default)]
    error_occurred: bool,
    error_message: Option<String>,
}

/// The mean, the median and the standard deviation of a benchmark, as far as they are there.
#[derive(Debug, Default)]
struct Aggregates {
    mean: Option<f64>,
    median: Option<f64>,
    deviation: Option<f64>,
}

impl Entry {
    /// Nanoseconds an iteration.
    fn ns(&self) -> anyhow::Result<Option<f64>> {
        let factor = match self.time_unit.as_deref().unwrap_or("ns") {
            "ns" => 1.0,
            "us" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            other => bail!("`{}` has the unknown time unit `{other}`", self.name),
        };
        Ok(self.real_time.map(|time| time * factor))
    }
}

pub(super) fn read(report: Report) -> anyhow::Result<Results> {
    let context = &report.context;
    let machine = context.host_name.as_ref().map(|host| {
        let cores = context.num_cpus.map_or(String::new(), |cores| format!(", {cores} cores"));
        let speed = context.mhz_per_cpu.map_or(String::new(), |mhz| format!(" of {mhz} MHz"));
        format!("{host}{cores}{speed}")
    });
    let mut results = Results::new("Google Benchmark", machine);
    if context.library_build_type.as_deref() == Some("debug") {
        results.notes.push("Measured with a debug build of Google Benchmark.".into());
    }
    let mut aggregates: BTreeMap<&str, Aggregates> = BTreeMap::new();
    for entry in &report.benchmarks {
        let name = entry.run_name.as_deref().unwrap_or(&entry.name);
        if entry.error_occurred {
            let why = entry.error_message.as_deref().unwrap_or("no reason given");
            results.notes.push(format!("{name} failed: {why}."));
            continue;
        }
        let Some(ns) = entry.ns()? else { continue };
        if entry.run_type.as_deref() != Some("aggregate") {
            results.sample(&Id::ns(name), "", ns);
            continue;
        }
        let found = aggregates.entry(name).or_default();
        match entry.aggregate_name.as_deref() {
            Some("mean") => found.mean = Some(ns),
            Some("median") => found.median = Some(ns),
            Some("stddev") => found.deviation = Some(ns),
            _ => {}
        }
    }
    for (name, found) in aggregates {
        match (found.median.or(found.mean), found.deviation) {
            (Some(middle), Some(deviation)) => {
                results.summary(&Id::ns(name), Spread::around(middle, deviation));
            }
            _ if results.cases.iter().any(|case| case.name == name) => {}
            _ => results.notes.push(format!("{name} has aggregates, but no spread: left out.")),
        }
    }
    Ok(results)
}
