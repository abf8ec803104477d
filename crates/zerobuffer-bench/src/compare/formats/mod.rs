//! Files of results, told apart by what is in them.
//!
//! - `ours`: what `zerobuffer bench ... --json` prints; `comparison`: what `cargo xtask compare` leaves
//! - `criterion`: a benchmark's folder or a tree of them; `google`: `--benchmark_format=json`

mod comparison;
mod criterion;
mod google;
mod ours;

use std::path::Path;

use anyhow::{anyhow, bail, ensure};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::model::{Measured, Results};

/// What can be read, for whoever gave something else.
const EXPECTED: &str = "Expected: the JSON of `zerobuffer bench ... --json`, of `cargo xtask compare` (compare.json) or of \
     Google Benchmark (`--benchmark_format=json`), or Criterion's estimates.json or target/criterion.";

/// Reads a file, or a folder of Criterion's.
pub(super) fn read(path: &Path) -> anyhow::Result<Results> {
    let shown = path.display();
    let results = match std::fs::metadata(path) {
        Ok(it) if it.is_dir() => criterion::folder(path, criterion::LATEST)?,
        Ok(_) => file(path)?,
        Err(error) => match criterion::split_baseline(path) {
            Some((folder, baseline)) => criterion::folder(&folder, &baseline)?,
            None => bail!("{shown}: {error}. {EXPECTED}"),
        },
    };
    check(&results).map_err(|problem| anyhow!("{shown}: {problem}"))?;
    Ok(results)
}

fn file(path: &Path) -> anyhow::Result<Results> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|error| anyhow!("{shown}: {error}"))?;
    let value: Value = serde_json::from_slice(&text)
        .map_err(|error| anyhow!("{shown}: not JSON: {error}. {EXPECTED}"))?;
    let has = |field: &str| value.get(field).is_some();
    if let Some(format) = value.get("format").and_then(Value::as_str)
        && format.starts_with("zerobuffer-compare/")
    {
        ensure!(
            format == comparison::FORMAT,
            "{shown}: its format is {format}, this command reads {}. Measure again with the same version, or \
             compare with the command of that version.",
            comparison::FORMAT
        );
        return parse(path, value, "a comparison", comparison::read);
    }
    if has("measurement") && has("samples") && has("cases") {
        return parse(path, value, "a report of `zerobuffer bench`", ours::read);
    }
    if has("context") && has("benchmarks") {
        return parse(path, value, "a report of Google Benchmark", google::read);
    }
    if value.get("median").is_some_and(|median| median.get("point_estimate").is_some()) {
        return criterion::benchmark(path);
    }
    bail!("{shown}: JSON, but no results that are known here: {}. {EXPECTED}", describe(&value))
}

/// Turns JSON of a known kind into its structures and those into results.
fn parse<T: DeserializeOwned>(
    path: &Path,
    value: Value,
    kind: &str,
    read: impl FnOnce(T) -> anyhow::Result<Results>,
) -> anyhow::Result<Results> {
    let shown = path.display();
    let parsed = serde_json::from_value(value).map_err(|error| {
        anyhow!("{shown}: looks like {kind}, but {error}. Was it cut short, or changed by hand? Measure again.")
    })?;
    read(parsed).map_err(|error| anyhow!("{shown}: {error}"))
}

/// The shape of unknown JSON, in few words.
fn describe(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.is_empty() => "an object without fields".into(),
        Value::Object(fields) => {
            let names: Vec<&str> = fields.keys().take(6).map(String::as_str).collect();
            let more = if fields.len() > names.len() { ", ..." } else { "" };
            format!("an object with the fields {}{more}", names.join(", "))
        }
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::String(_) => "a string".into(),
        Value::Number(_) => "a number".into(),
        Value::Bool(_) | Value::Null => value.to_string(),
    }
}

/// What every kind has to hold to be compared.
fn check(results: &Results) -> anyhow::Result<()> {
    let notes = results.notes.join(" ");
    ensure!(
        !results.cases.is_empty(),
        "{} without any measurement. {notes} Measure again.",
        results.kind
    );
    for case in &results.cases {
        for measured in case.classes.values() {
            let good = match measured {
                Measured::Samples(values) => values.iter().all(|value| value.is_finite()),
                Measured::Summary(it) => {
                    [it.low, it.median, it.high].iter().all(|value| value.is_finite())
                        && (it.low..=it.high).contains(&it.median)
                }
            };
            ensure!(good, "`{}` has values that are no numbers. Measure again.", case.name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;
    use serde_json::json;

    use super::read;
    use crate::compare::verdict::{Comparison, Verdict};

    proptest! {
        #[test]
        fn a_file_is_neither_better_nor_worse_than_itself(
            samples in proptest::collection::vec(("[a-c]", 0.001..1e9_f64), 1..60)
        ) {
            let entry = |(name, time): &(String, f64)| json!({"name": name, "real_time": time, "time_unit": "us"});
            let entries: Vec<_> = samples.iter().map(entry).collect();
            let mut file = tempfile::NamedTempFile::new()?;
            write!(file, "{}", json!({"context": {}, "benchmarks": entries}))?;
            let results = [read(file.path()), read(file.path())].map(|it| it.expect("it is well formed"));
            let comparison = Comparison::between(&results[0], &results[1]);
            prop_assert!(!comparison.pairs.is_empty());
            let judged = |verdict| matches!(verdict, Verdict::Better | Verdict::Worse);
            prop_assert_eq!(comparison.count(judged), 0);
        }
    }
}
