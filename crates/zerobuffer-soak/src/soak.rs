//! A run: starts everybody, watches them, ends them, and judges.

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;

use crate::cast::Part;
use crate::told::Told;
use crate::watch::{Taken, files, taken};

/// Samples that a whole run is to have, at most one a second.
const SAMPLES: u32 = 900;
/// How long somebody may take to end when told to.
const PATIENCE: Duration = Duration::from_secs(25);

/// All that was seen of a run.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) seconds: f64,
    pub(crate) rows: BTreeMap<String, Vec<Sample>>,
    /// Second, files in the directory.
    pub(crate) files: Vec<(f64, f64)>,
    /// What each came to.
    pub(crate) told: BTreeMap<String, Told>,
    /// Who did not end as it should.
    pub(crate) failures: Vec<String>,
    pub(crate) left_behind: Vec<String>,
}

/// One process at one moment.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    pub(crate) second: f64,
    #[serde(flatten)]
    pub(crate) taken: Taken,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
}

struct End {
    part: Part,
    child: Child,
    told: Arc<Mutex<Told>>,
    listener: JoinHandle<()>,
}

/// Runs for `duration` in a directory of its own below `parent`.
pub(crate) fn run(parent: &Path, duration: Duration) -> anyhow::Result<Seen> {
    let dir = tempfile::TempDir::with_prefix_in("zerobuffer-soak-", parent)?;
    let mut ends = Vec::new();
    for part in Part::ALL {
        ends.push(start(part, dir.path())?);
    }
    let mut seen = Seen::default();
    let interval = (duration / SAMPLES).max(Duration::from_secs(1));
    let begun = Instant::now();
    while begun.elapsed() < duration && seen.failures.is_empty() {
        std::thread::sleep(interval.min(duration.saturating_sub(begun.elapsed())));
        let second = begun.elapsed().as_secs_f64();
        for end in &mut ends {
            if let Some(status) = end.child.try_wait()? {
                seen.failures.push(format!("the {} ended early, with {status}", end.part.name()));
            }
            sample(end, second, &mut seen);
        }
        seen.files.push((second, files(dir.path()).len() as f64));
    }
    seen.seconds = begun.elapsed().as_secs_f64();
    let (first, last): (Vec<_>, Vec<_>) = ends.into_iter().partition(|end| end.part.ends_first());
    for end in [first, last] {
        finish(end, &mut seen)?;
    }
    seen.left_behind = files(dir.path());
    Ok(seen)
}

fn start(part: Part, dir: &Path) -> anyhow::Result<End> {
    let program: PathBuf =
        std::env::current_exe().context("find this program to start it again")?;
    let mut command = Command::new(program);
    command.args(["end", "--part", &part.name(), "--dir"]).arg(dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("start the {}", part.name()))?;
    let pipe = child.stdout.take().context("the pipe of a process")?;
    let told = Arc::new(Mutex::new(Told::default()));
    let newest = Arc::clone(&told);
    let listener = std::thread::spawn(move || {
        for line in std::io::BufReader::new(pipe).lines().map_while(Result::ok) {
            if let Ok(told) = serde_json::from_str(&line) {
                *newest.lock().unwrap_or_else(PoisonError::into_inner) = told;
            }
        }
    });
    Ok(End { part, child, told, listener })
}

fn sample(end: &End, second: f64, seen: &mut Seen) {
    let Some(taken) = taken(end.child.id()) else { return };
    let (p50_us, p99_us) = {
        let told = end.told.lock().unwrap_or_else(PoisonError::into_inner);
        (told.p50_us, told.p99_us)
    };
    let sample = Sample { second, taken, p50_us, p99_us };
    seen.rows.entry(end.part.name()).or_default().push(sample);
}

/// Closes their standard input, which tells them to end, and waits for it.
fn finish(mut ends: Vec<End>, seen: &mut Seen) -> anyhow::Result<()> {
    for end in &mut ends {
        drop(end.child.stdin.take());
    }
    let begun = Instant::now();
    for mut end in ends {
        let status = wait(&mut end.child, begun)?;
        let name = end.part.name();
        match status {
            Some(status) if status.success() => {}
            Some(status) => seen.failures.push(format!("the {name} ended with {status}")),
            None => seen.failures.push(format!("the {name} did not come to its end")),
        }
        end.listener.join().map_err(|_| anyhow::anyhow!("a listener panicked"))?;
        let told = end.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        seen.told.insert(name, told);
    }
    Ok(())
}

/// `None`: it had to be killed.
fn wait(child: &mut Child, begun: Instant) -> anyhow::Result<Option<ExitStatus>> {
    while begun.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}
