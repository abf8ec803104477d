//! Whether a run was as it should be.

use std::fmt;

use crate::drift::{median, rise};
use crate::soak::{Sample, Seen};

/// Part of a run that is not looked at: rings are filled, and caches, until then.
const WARM_UP: f64 = 0.2;
/// Growth over a whole run that is none: allocators and lazily made things.
const MEMORY_KIB: f64 = 1024.0;
const COUNTS: f64 = 1.5;
/// How much slower frames may be in the last third than in the first: the machine is shared.
const SLOWER: f64 = 4.0;
const SLOWER_AT_LEAST_US: f64 = 200.0;

/// One process over a run.
struct Line {
    name: String,
    done: u64,
    wrong: u64,
    memory_kib: u64,
    rises: [f64; 4],
    p50_us: Option<(f64, f64)>,
}

/// What a run came to.
pub(crate) struct Verdict {
    seconds: f64,
    lines: Vec<Line>,
    refusals: u64,
    problems: Vec<String>,
}

impl Verdict {
    pub(crate) fn of(seen: &Seen) -> Self {
        let mut verdict = Self {
            seconds: seen.seconds,
            lines: Vec::new(),
            refusals: seen.told.values().map(|told| told.refused).sum(),
            problems: seen.failures.clone(),
        };
        for (name, told) in &seen.told {
            let rows = seen.rows.get(name).map(Vec::as_slice).unwrap_or_default();
            let settled = &rows[(rows.len() as f64 * WARM_UP) as usize..];
            let of = |value: fn(&Sample) -> u64| {
                let points: Vec<_> =
                    settled.iter().map(|sample| (sample.second, value(sample) as f64)).collect();
                rise(&points)
            };
            let line = Line {
                name: name.clone(),
                done: told.done,
                wrong: told.wrong,
                memory_kib: rows.last().map_or(0, |sample| sample.taken.memory_kib),
                rises: [
                    of(|sample| sample.taken.memory_kib),
                    of(|sample| sample.taken.descriptors),
                    of(|sample| sample.taken.mappings),
                    of(|sample| sample.taken.threads),
                ],
                p50_us: thirds(settled),
            };
            verdict.judge(&line, told.first_wrong.as_deref());
            verdict.lines.push(line);
        }
        let files = rise(&seen.files[(seen.files.len() as f64 * WARM_UP) as usize..]);
        if files > COUNTS {
            verdict.problems.push(format!("files in the directory grew by {files:.1}"));
        }
        if !seen.left_behind.is_empty() {
            verdict.problems.push(format!("left behind: {:?}", seen.left_behind));
        }
        if verdict.refusals == 0 {
            verdict.problems.push("memory was never refused".to_owned());
        }
        verdict
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    fn judge(&mut self, line: &Line, first_wrong: Option<&str>) {
        let name = &line.name;
        let mut problem = |text: String| self.problems.push(format!("{name}: {text}"));
        if line.done == 0 {
            problem("did nothing".to_owned());
        }
        if let Some(text) = first_wrong {
            problem(format!("{} wrong, the first: {text}", line.wrong));
        }
        let limits = [MEMORY_KIB, COUNTS, COUNTS, COUNTS];
        let kinds = ["KiB of memory", "descriptors", "mappings", "threads"];
        for ((rise, limit), kind) in line.rises.into_iter().zip(limits).zip(kinds) {
            if rise > limit {
                problem(format!("{kind} grew by {rise:.1} over the run"));
            }
        }
        if let Some((first, last)) = line.p50_us
            && last > first * SLOWER
            && last > SLOWER_AT_LEAST_US
        {
            problem(format!("latency went from {first:.0} to {last:.0} µs"));
        }
    }
}

/// Median of the medians in the first third of a run, and in the last.
fn thirds(samples: &[Sample]) -> Option<(f64, f64)> {
    let third = samples.len() / 3;
    let of = |samples: &[Sample]| {
        let mut medians: Vec<_> = samples.iter().filter_map(|sample| sample.p50_us).collect();
        median(&mut medians)
    };
    Some((of(samples.get(..third)?)?, of(&samples[samples.len() - third..])?))
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<11} {:>10} {:>6} {:>8}  {:>31}  median latency",
            "", "done", "wrong", "memory", "growth: KiB  fds  maps  threads"
        )?;
        for line in &self.lines {
            let [memory, descriptors, mappings, threads] = line.rises;
            let latency = line
                .p50_us
                .map(|(first, last)| format!("{first:.0} → {last:.0} µs"))
                .unwrap_or_default();
            writeln!(
                f,
                "{:<11} {:>10} {:>6} {:>4} MiB  {memory:>11.1} {descriptors:>4.1} {mappings:>5.1} {threads:>8.1}  {latency}",
                line.name,
                line.done,
                line.wrong,
                line.memory_kib >> 10,
            )?;
        }
        writeln!(f, "{:.0} seconds; memory was refused {} times", self.seconds, self.refusals)?;
        for problem in &self.problems {
            writeln!(f, "FAILED: {problem}")?;
        }
        if self.problems.is_empty() { write!(f, "clean") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::told::Told;
    use crate::watch::Taken;

    /// A run of one process, with what it takes at each second.
    fn run(taken: impl Fn(u64) -> Taken, p50_us: impl Fn(u64) -> f64) -> Seen {
        let sample = |second| Sample {
            second: second as f64,
            taken: taken(second),
            p50_us: Some(p50_us(second)),
            p99_us: None,
        };
        let mut seen = Seen { seconds: 100.0, ..Seen::default() };
        seen.rows.insert("reader".into(), (0..100).map(sample).collect());
        seen.told.insert("reader".into(), Told { done: 1, refused: 1, ..Told::default() });
        seen
    }

    fn steady(_second: u64) -> Taken {
        Taken { memory_kib: 500, descriptors: 9, mappings: 40, threads: 2 }
    }

    #[test]
    fn a_steady_run_is_clean_and_each_kind_of_drift_is_not() {
        assert!(Verdict::of(&run(steady, |_| 30.0)).is_clean());
        let leaks: [fn(u64) -> Taken; 4] = [
            |second| Taken { memory_kib: 500 + 100 * second, ..steady(0) },
            |second| Taken { descriptors: 9 + second / 10, ..steady(0) },
            |second| Taken { mappings: 40 + second / 10, ..steady(0) },
            |second| Taken { threads: 2 + second / 10, ..steady(0) },
        ];
        for leak in leaks {
            let verdict = Verdict::of(&run(leak, |_| 30.0));
            assert_eq!(verdict.problems.len(), 1, "{verdict}");
        }
        let slower = Verdict::of(&run(steady, |second| if second < 60 { 100.0 } else { 900.0 }));
        assert!(slower.problems[0].contains("latency"), "{slower}");
    }

    #[test]
    fn whatever_else_went_wrong_is_told() {
        let mut seen = run(steady, |_| 30.0);
        seen.left_behind.push("camera.zb2".into());
        seen.files = (0..100).map(|second| (f64::from(second), f64::from(second / 10))).collect();
        let told = seen.told.get_mut("reader").expect("it is there");
        (told.wrong, told.refused, told.done) = (3, 0, 0);
        told.first_wrong = Some("frame 7 is torn".into());
        let text = Verdict::of(&seen).to_string();
        for part in ["left behind", "files", "frame 7 is torn", "never refused", "did nothing"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
