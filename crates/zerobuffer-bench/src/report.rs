//! What a measurement found: samples, medians for each placement class, JSON, and a table to read.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Instant;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::args::Common;
pub(super) use super::floor::median;
use super::floor::{self, Placement};
use super::peer::Pair;
use zerobuffer_terminal::messages::show;
use zerobuffer_terminal::output;

/// What one run of a case measured, by name; the unit is in the name.
pub(super) type Metrics = BTreeMap<&'static str, f64>;

/// Fewer samples than this in a class are shown, but marked.
const ENOUGH_SAMPLES: usize = 3;

/// One thing that is measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Case {
    pub(super) how: String,
    pub(super) bytes: usize,
    pub(super) wait: &'static str,
    /// Which bytes of a frame are touched.
    pub(super) payload: &'static str,
    /// Who copies.
    pub(super) copies: &'static str,
    /// Whether the result depends on where the cores lie. If not, no sample is left out.
    pub(super) placement_matters: bool,
    /// What it is compared with: a short name, and the index of the case.
    #[serde(skip)]
    pub(super) rivals: Vec<(&'static str, usize)>,
}

/// One run of a case, with the cost of a line on both sides of it.
#[derive(Debug, Serialize)]
struct Sample {
    repetition: u32,
    case: usize,
    line_before_ns: f64,
    line_after_ns: f64,
    placement: Placement,
    metrics: BTreeMap<String, f64>,
}

/// All runs of all cases.
#[derive(Debug)]
pub(super) struct Samples(Vec<Sample>);

impl Samples {
    /// Runs every case once, then every case again, as often as asked; probes the line around each.
    pub(super) fn collect(
        pair: &mut Pair,
        common: &Common,
        cases: &[Case],
        mut measure: impl FnMut(&mut Pair, usize) -> anyhow::Result<Metrics>,
    ) -> anyhow::Result<Self> {
        let progress = std::io::stderr().is_terminal();
        let retry = cases.iter().any(|case| case.placement_matters);
        let mut samples = Vec::new();
        for repetition in 1..=common.repeat {
            for (index, case) in cases.iter().enumerate() {
                if progress {
                    show(&format!(
                        "\r\x1b[2K{repetition}/{}  {} B, {}",
                        common.repeat, case.bytes, case.how
                    ));
                }
                for _ in 0..=common.retries {
                    let before = floor::probe(pair)?;
                    let metrics = measure(pair, index)
                        .with_context(|| format!("measure {} bytes, {}", case.bytes, case.how))?;
                    let after = floor::probe(pair)?;
                    let placement = Placement::between(before, after);
                    samples.push(Sample {
                        repetition,
                        case: index,
                        line_before_ns: before,
                        line_after_ns: after,
                        placement,
                        metrics: metrics.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
                    });
                    if placement != Placement::Changed || !retry {
                        break;
                    }
                }
            }
        }
        if progress {
            show("\r\x1b[2K");
        }
        Ok(Self(samples))
    }
}

/// Median and extremes over the samples of one class.
#[derive(Debug, Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
    samples: usize,
}

/// One case in one placement class.
#[derive(Debug, Serialize)]
struct Row {
    case: usize,
    how: String,
    bytes: usize,
    placement: Placement,
    samples: usize,
    enough_samples: bool,
    line_ns: f64,
    metrics: BTreeMap<String, Spread>,
}

/// Where this was measured.
#[derive(Debug, Serialize)]
struct Machine {
    cpu: String,
    kernel: String,
    architecture: &'static str,
    allowed_cores: Vec<usize>,
    used_cores: [usize; 2],
    load_average: String,
}

impl Machine {
    fn here(pair: &Pair) -> Self {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or("unknown", |(_, model)| model.trim());
        Self {
            cpu: cpu.into(),
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| "Linux".into(), |release| format!("Linux {}", release.trim())),
            architecture: std::env::consts::ARCH,
            allowed_cores: pair.allowed.clone(),
            used_cores: pair.cores,
            load_average: std::fs::read_to_string("/proc/loadavg")
                .map(|text| text.split(' ').take(3).collect::<Vec<_>>().join(" "))
                .unwrap_or_default(),
        }
    }
}

/// A column of the table: which metric, under which heading, in which form.
#[derive(Debug)]
pub(super) struct Column {
    metric: &'static str,
    heading: &'static str,
    digits: usize,
    unit: &'static str,
}

impl Column {
    pub(super) fn ns(metric: &'static str, heading: &'static str) -> Self {
        Self { metric, heading, digits: 1, unit: " ns" }
    }

    pub(super) fn us(metric: &'static str, heading: &'static str) -> Self {
        Self { metric, heading, digits: 1, unit: " µs" }
    }

    pub(super) fn ratio(metric: &'static str, heading: &'static str) -> Self {
        Self { metric, heading, digits: 2, unit: "" }
    }

    pub(super) fn plain(metric: &'static str, heading: &'static str, digits: usize) -> Self {
        Self { metric, heading, digits, unit: "" }
    }

    fn show(&self, spread: Option<&Spread>) -> String {
        let Some(spread) = spread else {
            return String::new();
        };
        let (digits, unit) = (self.digits, self.unit);
        if spread.samples == 1 {
            return format!("{:.digits$}{unit}", spread.median);
        }
        format!(
            "{:.digits$}{unit} ({:.digits$}–{:.digits$})",
            spread.median, spread.min, spread.max
        )
    }
}

/// What a measurement found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    measurement: &'static str,
    version: &'static str,
    machine: Machine,
    repetitions: u32,
    processes: &'static str,
    cases: Vec<Case>,
    rows: Vec<Row>,
    /// Left out of every median because the placement changed while they ran.
    samples_left_out: usize,
    notes: Vec<String>,
    samples: Vec<Sample>,
    #[serde(skip)]
    columns: Vec<Column>,
}

impl Report {
    pub(super) fn new(
        measurement: &'static str,
        pair: &Pair,
        common: &Common,
        cases: Vec<Case>,
        samples: Samples,
    ) -> Self {
        let mut report = Self {
            measurement,
            version: env!("CARGO_PKG_VERSION"),
            machine: Machine::here(pair),
            repetitions: common.repeat,
            processes: "two, each pinned to one of the used cores, where a case does not say otherwise",
            cases,
            rows: Vec::new(),
            samples_left_out: 0,
            notes: Vec::new(),
            samples: samples.0,
            columns: Vec::new(),
        };
        report.summarise();
        report
    }

    /// What the table shows.
    pub(super) fn columns(mut self, columns: Vec<Column>) -> Self {
        self.columns = columns;
        self
    }

    /// A line under the table.
    pub(super) fn note(mut self, text: &str) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Adds `<metric>_per_line`: the metric over the mean of the two probes around it.
    pub(super) fn per_line(mut self, metric: &'static str) -> Self {
        for sample in &mut self.samples {
            let line = (sample.line_before_ns + sample.line_after_ns) / 2.0;
            if let Some(&value) = sample.metrics.get(metric) {
                sample.metrics.insert(format!("{metric}_per_line"), value / line);
            }
        }
        self.summarise();
        self
    }

    /// Adds `<metric>_vs_<rival>`: the metric over the rival's in the same repetition, where both were
    /// measured in the same class.
    pub(super) fn versus(mut self, metric: &'static str) -> Self {
        let mut found = Vec::new();
        for (index, sample) in self.samples.iter().enumerate() {
            for (name, rival) in &self.cases[sample.case].rivals {
                let theirs = self.samples.iter().find(|other| {
                    other.case == *rival
                        && other.repetition == sample.repetition
                        && (!self.cases[sample.case].placement_matters
                            || (other.placement == sample.placement
                                && other.placement != Placement::Changed))
                });
                let ours = sample.metrics.get(metric);
                let theirs = theirs.and_then(|theirs| theirs.metrics.get(metric));
                if let (Some(ours), Some(theirs)) = (ours, theirs) {
                    found.push((index, format!("{metric}_vs_{name}"), ours / theirs));
                }
            }
        }
        for (index, name, ratio) in found {
            self.samples[index].metrics.insert(name, ratio);
        }
        self.summarise();
        self
    }

    /// Notes how far a metric's medians lie apart across sizes, for each way and class.
    pub(super) fn flatness(mut self, metric: &str) -> Self {
        let mut groups: BTreeMap<(String, Placement), Vec<(usize, f64)>> = BTreeMap::new();
        for row in &self.rows {
            if let Some(spread) = row.metrics.get(metric) {
                let group = groups.entry((row.how.clone(), row.placement)).or_default();
                group.push((row.bytes, spread.median));
            }
        }
        for ((how, placement), medians) in groups {
            let by_cost = |a: &&(usize, f64), b: &&(usize, f64)| a.1.total_cmp(&b.1);
            let (Some(least), Some(most)) =
                (medians.iter().min_by(by_cost), medians.iter().max_by(by_cost))
            else {
                continue;
            };
            self.notes.push(format!(
                "{how}, {}: over {} sizes, from {:.1} ns ({} B) to {:.1} ns ({} B): {:.0} % apart.",
                placement.name(),
                medians.len(),
                least.1,
                least.0,
                most.1,
                most.0,
                100.0 * (most.1 / least.1 - 1.0)
            ));
        }
        self
    }

    fn summarise(&mut self) {
        self.rows.clear();
        let mut groups: BTreeMap<(usize, Placement), Vec<&Sample>> = BTreeMap::new();
        self.samples_left_out = 0;
        for sample in &self.samples {
            if !self.cases[sample.case].placement_matters {
                groups.entry((sample.case, Placement::Other)).or_default().push(sample);
            } else if sample.placement == Placement::Changed {
                self.samples_left_out += 1;
            } else {
                groups.entry((sample.case, sample.placement)).or_default().push(sample);
            }
        }
        for ((case, placement), samples) in groups {
            let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
            for (name, value) in samples.iter().flat_map(|sample| &sample.metrics) {
                values.entry(name).or_default().push(*value);
            }
            let mut lines: Vec<f64> =
                samples.iter().flat_map(|s| [s.line_before_ns, s.line_after_ns]).collect();
            self.rows.push(Row {
                case,
                how: self.cases[case].how.clone(),
                bytes: self.cases[case].bytes,
                placement,
                samples: samples.len(),
                enough_samples: samples.len() >= ENOUGH_SAMPLES,
                line_ns: median(&mut lines),
                metrics: values
                    .into_iter()
                    .map(|(name, mut values)| (name.to_owned(), spread(&mut values)))
                    .collect(),
            });
        }
    }

    /// Prints the table or the JSON, and writes the JSON where it was asked for.
    pub(super) fn publish(&self, common: &Common) -> anyhow::Result<()> {
        if let Some(path) = &common.output {
            let text = serde_json::to_string_pretty(self)?;
            std::fs::write(path, text + "\n")
                .with_context(|| format!("write the results to {}", path.display()))?;
        }
        let text = if common.json { output::json(self)? + "\n" } else { self.to_text() };
        Ok(output::print(&text)?)
    }

    fn to_text(&self) -> String {
        use std::fmt::Write as _;
        let machine = &self.machine;
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "bench {} {} on {}, {} {}, load {}\ncores {:?} of {:?}; {} interleaved repetitions; medians (least–most)",
            self.measurement,
            self.version,
            machine.cpu,
            machine.kernel,
            machine.architecture,
            machine.load_average,
            machine.used_cores,
            machine.allowed_cores,
            self.repetitions
        );
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
        let mut headings = vec!["bytes", "how", "waits", "cores", "n", "line"];
        headings.extend(self.columns.iter().map(|column| column.heading));
        table.set_header(headings);
        for row in &self.rows {
            let mark = if row.enough_samples { "" } else { "*" };
            let mut cells = vec![
                row.bytes.to_string(),
                row.how.clone(),
                self.cases[row.case].wait.into(),
                row.placement.name().into(),
                format!("{}{mark}", row.samples),
                format!("{:.0} ns", row.line_ns),
            ];
            cells.extend(
                self.columns.iter().map(|column| column.show(row.metrics.get(column.metric))),
            );
            table.add_row(cells);
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            if !(1..=3).contains(&index) {
                column.set_cell_alignment(comfy_table::CellAlignment::Right);
            }
        }
        let _ = writeln!(text, "{table}");
        let mut seen: Vec<(&str, &str, &str)> = Vec::new();
        for case in &self.cases {
            let kind = (case.how.as_str(), case.payload, case.copies);
            if !seen.contains(&kind) {
                seen.push(kind);
                let _ = writeln!(text, "{}: {}; copies: {}.", kind.0, kind.1, kind.2);
            }
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        if self.rows.iter().any(|row| !row.enough_samples) {
            let _ = writeln!(
                text,
                "*: fewer than {ENOUGH_SAMPLES} samples in this class; not to be quoted."
            );
        }
        if self.cases.iter().any(|case| case.placement_matters) {
            let _ = writeln!(
                text,
                "cores: what moving a cache line cost around the case (near 20–42 ns, mid 42–85, far 200–330); \
                 {} of {} samples left out because that changed meanwhile.",
                self.samples_left_out,
                self.samples.len()
            );
        }
        text
    }
}

fn spread(values: &mut [f64]) -> Spread {
    let median = median(values);
    Spread {
        median,
        min: values.first().copied().unwrap_or_default(),
        max: values.last().copied().unwrap_or_default(),
        samples: values.len(),
    }
}

/// A histogram of nanoseconds up to ten seconds, three significant digits.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 10_000_000_000, 3)
        .expect("constant bounds that hdrhistogram allows")
}

/// p50, p99, p99.9 and the maximum.
pub(super) fn percentiles(times: &Histogram<u64>) -> [f64; 4] {
    let at = |quantile| times.value_at_quantile(quantile) as f64;
    [at(0.5), at(0.99), at(0.999), times.max() as f64]
}

/// What reading the clock costs.
pub(super) fn clock_ns() -> f64 {
    const READINGS: u32 = 10_000;
    let started = Instant::now();
    for _ in 0..READINGS {
        std::hint::black_box(Instant::now());
    }
    started.elapsed().as_nanos() as f64 / f64::from(READINGS)
}

#[cfg(test)]
mod tests {
    use super::{histogram, median, percentiles};

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&mut []), 0.0);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn percentiles_are_ordered_and_end_at_the_maximum() {
        let mut times = histogram();
        (1..=1000).for_each(|ns| times.saturating_record(ns));
        assert_eq!(percentiles(&times), [500.0, 990.0, 999.0, 1000.0]);
    }
}
