//! What Criterion leaves: a folder for each benchmark, in it a folder for each run (`new`, `base`, and whatever
//! `--save-baseline` named), in that `estimates.json`, `sample.json` and `benchmark.json`.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::compare::model::{Id, Results, Spread};

/// The run that is meant if none is named.
pub(super) const LATEST: &str = "new";
const ESTIMATES: &str = "estimates.json";
/// No benchmark's name is in so many parts; a folder that is deeper is something else.
const DEEPEST: usize = 8;

#[derive(Debug, Deserialize)]
struct Estimates {
    median: Estimate,
    /// Made comparable with a standard deviation by Criterion.
    median_abs_dev: Estimate,
}

#[derive(Debug, Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// Nanoseconds that so many iterations took, all together.
#[derive(Debug, Deserialize)]
struct Sample {
    iters: Vec<f64>,
    times: Vec<f64>,
}

#[derive(Debug, Deserialize)]
struct Benchmark {
    full_id: String,
}

/// `DIR@BASELINE`, if there is such a folder.
pub(super) fn split_baseline(path: &Path) -> Option<(PathBuf, String)> {
    let (folder, baseline) = path.to_str()?.rsplit_once('@')?;
    let folder = PathBuf::from(folder);
    (folder.is_dir() && !baseline.is_empty()).then(|| (folder, baseline.to_owned()))
}

/// One benchmark, of which the estimates are given; what lies beside them says more.
pub(super) fn benchmark(estimates: &Path) -> anyhow::Result<Results> {
    let mut results = Results::new("Criterion", None);
    add(&mut results, estimates, "benchmark")?;
    Ok(results)
}

/// Every benchmark below a folder, as that run measured it; or the one whose run this folder is.
pub(super) fn folder(folder: &Path, run: &str) -> anyhow::Result<Results> {
    let own = folder.join(ESTIMATES);
    if run == LATEST && own.is_file() {
        return benchmark(&own);
    }
    let mut found = Vec::new();
    walk(folder, 0, &mut found)?;
    found.sort();
    let mut results = Results::new("Criterion", None);
    let mut others: Vec<String> = Vec::new();
    for estimates in &found {
        let parts: Vec<_> = estimates.strip_prefix(folder).unwrap_or(estimates).iter().collect();
        let [name @ .., its_run, _] = &parts[..] else { continue };
        let its_run = its_run.to_string_lossy();
        if its_run == run {
            let name: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
            add(&mut results, estimates, &name.join("/"))?;
        } else if its_run != "change" && !others.iter().any(|other| *other == its_run) {
            others.push(its_run.into_owned());
        }
    }
    others.sort();
    ensure!(
        !results.cases.is_empty(),
        "{}: no {run}/{ESTIMATES} in it{}",
        folder.display(),
        if others.is_empty() {
            ". Expected: Criterion's folder, as in target/criterion; run `cargo bench` first."
                .into()
        } else {
            format!(
                ", but of the runs {}. Name one, as in {}@{}",
                others.join(", "),
                folder.display(),
                others[0]
            )
        }
    );
    Ok(results)
}

/// The paths of all estimates; links are not followed.
fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let failed = |error| anyhow!("{}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() && depth < DEEPEST {
            walk(&entry.path(), depth + 1, found)?;
        } else if kind.is_file() && entry.file_name() == ESTIMATES {
            found.push(entry.path());
        }
    }
    Ok(())
}

fn add(results: &mut Results, estimates: &Path, otherwise: &str) -> anyhow::Result<()> {
    let beside = |name: &str| estimates.with_file_name(name);
    let name = optional::<Benchmark>(&beside("benchmark.json"))?.map(|benchmark| benchmark.full_id);
    let id = Id::ns(name.as_deref().unwrap_or(otherwise));
    if let Some(sample) = optional::<Sample>(&beside("sample.json"))? {
        let path = beside("sample.json");
        let (iters, times) = (sample.iters.len(), sample.times.len());
        ensure!(
            iters == times && iters > 0,
            "{}: {times} times of {iters} runs. Run the benchmark again.",
            path.display()
        );
        for (iterations, ns) in sample.iters.iter().zip(&sample.times) {
            results.sample(&id, "", ns / iterations);
        }
        return Ok(());
    }
    match optional::<Estimates>(estimates)? {
        Some(it) => {
            let spread = Spread::around(it.median.point_estimate, it.median_abs_dev.point_estimate);
            results.summary(&id, spread);
            Ok(())
        }
        None => bail!("{}: it went away meanwhile", estimates.display()),
    }
}

/// A file of Criterion's, if it is there.
fn optional<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    let shown = path.display();
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => bail!("{shown}: {error}"),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        anyhow!("{shown}: not as Criterion writes it: {error}. Was it cut short? Run the benchmark again.")
    })
}
