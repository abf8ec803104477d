//! Who is measured when: within a group A B A B, each sample between two probes of the cache line.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::cases::{Entry, Group, Task};
use crate::deployed::Deployed;
use crate::floors::{self, Placement};
use crate::pair::Pair;
use crate::peers::Driver;
use crate::peers::kind::Kind;
use crate::result::{Better, Case, Missing, Percentile, Sample, Work};
use crate::watchdog::Watchdog;
use crate::work::ages::{Ages, PERCENTILES};
use crate::work::throughput::{self, Stream};
use crate::work::{Found, call, latency, relay, start, wake};

/// How thoroughly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) repetitions: u32,
    /// For one sample.
    pub(crate) millis: u64,
    /// Frames of one wake-up sample, a millisecond apart.
    pub(crate) wakes: u32,
}

/// How often a sample is tried again when the cores were moved while it was taken.
const RETRIES: u32 = 3;

/// The whole run.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) pair: Pair,
    pub(crate) effort: Effort,
    pub(crate) deployed: Option<&'a Deployed>,
    pub(crate) watchdog: Watchdog,
    pub(crate) missing: Vec<Missing>,
}

/// One sample: the headline, and the processor's time where it was taken.
struct Taken {
    found: Found,
    cpu: Option<f64>,
}

impl From<Found> for Taken {
    fn from(found: Found) -> Self {
        Self { found, cpu: None }
    }
}

impl Plan<'_> {
    /// Measures one group; a case for each entry, and one more where the processor's time is known.
    pub(crate) fn run(&mut self, group: &Group) -> anyhow::Result<Vec<Case>> {
        let mut cases: Vec<Case> =
            group.entries.iter().map(|entry| empty_case(group, entry)).collect();
        let mut cpu_cases: Vec<Case> =
            group.entries.iter().map(|entry| cpu_case(group, entry)).collect();
        let mut ages: Vec<Ages> = group.entries.iter().map(|_| Ages::new()).collect();
        let mut failed = HashSet::new();
        for repetition in 0..self.effort.repetitions {
            for (index, entry) in group.entries.iter().enumerate() {
                if failed.contains(&index) {
                    continue;
                }
                match self.sample(group, entry) {
                    Ok(None) => {}
                    Ok(Some((taken, line))) => {
                        let of = |value| Sample {
                            repetition,
                            value,
                            line_ns: line,
                            placement: line.map(Placement::of),
                        };
                        cases[index].samples.push(of(taken.found.value));
                        ages[index].add(&taken.found.ages);
                        cpu_cases[index].samples.extend(taken.cpu.map(of));
                    }
                    Err(why) => {
                        let (peer, why) = (entry.peer, format!("{}: {why:#}", group.name));
                        eprintln!("{peer} at {why}");
                        self.missing.push(Missing { peer: peer.into(), why });
                        failed.insert(index);
                        // Whatever the other process still does, it does it no longer.
                        self.pair = Pair::start_up(self.pair.cores, crate::other::serve)?;
                    }
                }
            }
        }
        for (case, ages) in cases.iter_mut().zip(&ages) {
            if ages.len() > 0 {
                let known = PERCENTILES.into_iter().filter(|&p| ages.knows(p));
                case.percentiles = known.map(|p| Percentile { p, value: ages.at(p) }).collect();
            }
        }
        if group.cpu.is_some() {
            cases.append(&mut cpu_cases);
        }
        cases.retain(|case| !case.samples.is_empty());
        Ok(cases)
    }

    /// One sample with the cost of a line around it; none if the cores were moved every time.
    fn sample(
        &mut self,
        group: &Group,
        entry: &Entry,
    ) -> anyhow::Result<Option<(Taken, Option<f64>)>> {
        let _guard = self.watchdog.expect_end(self.pair.other_process(), &group.name, entry.peer);
        if !crosses_cores(entry.task) {
            return Ok(Some((self.take(group, entry)?, None)));
        }
        let mut before = floors::line(&mut self.pair)?;
        for _ in 0..=RETRIES {
            let taken = self.take(group, entry)?;
            let after = floors::line(&mut self.pair)?;
            if Placement::of(before) == Placement::of(after) {
                return Ok(Some((taken, Some(f64::midpoint(before, after)))));
            }
            before = after;
        }
        Ok(None)
    }

    fn take(&mut self, group: &Group, entry: &Entry) -> anyhow::Result<Taken> {
        let Effort { millis, wakes, .. } = self.effort;
        let (pair, bytes) = (&mut self.pair, group.bytes);
        let _driver = (entry.task.kind() == Some(Kind::Aeron))
            .then(|| {
                let stream = matches!(entry.task, Task::Stream { .. });
                Driver::start(pair.dir(), pair.cores, bytes, stream)
            })
            .transpose()?;
        Ok(match entry.task {
            Task::Latency { kind, mode, wait } => {
                latency::measure(pair, kind, bytes, mode, wait, millis)?.into()
            }
            Task::Stream { kind, mode, wait, readers, weighed } => {
                let what = Stream { kind, bytes, mode, wait, readers, millis, weighed };
                let flow = throughput::measure(pair, what)?;
                let value = if weighed { flow.memory_bytes } else { flow.frames_per_s };
                let found = Found { value, ages: Vec::new() };
                Taken { found, cpu: Some(flow.cpu_s_per_million) }
            }
            Task::Relay { kind, by_reference } => {
                relay::measure(pair, kind, bytes, by_reference, millis)?.into()
            }
            Task::Call { caller, mode, wait } => {
                call::measure(pair, caller, bytes, mode, wait, millis)?.into()
            }
            Task::TwoWakes => call::two_wakes(pair, millis)?.into(),
            Task::DeployedCall => {
                let deployed = self.deployed.ok_or_else(|| anyhow::anyhow!("not installed"))?;
                deployed.call(pair.cores, bytes, throughput::ring_for(bytes), millis)?.into()
            }
            Task::Start { kind } => start::measure(pair, kind, bytes)?.into(),
            Task::Wake { kind } => of_wake(wake::measure(pair, kind, bytes, wakes)?),
            Task::Futex => of_wake(wake::futex(pair, wakes)?),
            Task::Semaphore => of_wake(wake::semaphore(pair, wakes)?),
            Task::Line => {
                let begun = Instant::now();
                let mut probes = vec![floors::line(pair)?];
                while begun.elapsed() < Duration::from_millis(millis) {
                    probes.push(floors::line(pair)?);
                }
                Found { value: crate::work::median(&mut probes), ages: Vec::new() }.into()
            }
            Task::Copy => floors::copy(bytes, throughput::ring_for(bytes), millis).into(),
            Task::Deployed => {
                let deployed = self.deployed.ok_or_else(|| anyhow::anyhow!("not installed"))?;
                deployed.stream(pair.cores, bytes, throughput::ring_for(bytes), millis)?.into()
            }
        })
    }
}

fn of_wake(woken: wake::Woken) -> Taken {
    Taken { found: woken.ages, cpu: Some(woken.cpu_s_per_million) }
}

/// Whether where the two cores lie makes a difference.
fn crosses_cores(task: Task) -> bool {
    match task {
        Task::Copy | Task::Start { .. } => false,
        Task::Stream { weighed, .. } => !weighed,
        _ => true,
    }
}

fn empty_case(group: &Group, entry: &Entry) -> Case {
    Case {
        work: group.work,
        name: group.name.clone(),
        peer: entry.peer.into(),
        size_bytes: Some(group.bytes),
        wait: group.wait.map(|wait| format!("{wait:?}").to_lowercase()),
        mode: entry.mode.into(),
        unit: group.unit.into(),
        better: group.better,
        copies: entry.copies.into(),
        touched: entry.touched.into(),
        lossless: true,
        samples: Vec::new(),
        percentiles: Vec::new(),
    }
}

fn cpu_case(group: &Group, entry: &Entry) -> Case {
    Case {
        work: Work::Cpu,
        name: group.cpu.clone().unwrap_or_default(),
        unit: "cpu_s/million frames".into(),
        better: Better::Lower,
        ..empty_case(group, entry)
    }
}
