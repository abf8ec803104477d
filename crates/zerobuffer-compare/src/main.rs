//! Measures ZeroBuffer beside what people would pick instead: the same work, the same two pinned cores, in turns.
//!
//! `cargo xtask compare` builds and runs it with everybody who is compared.

#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
#[path = "../../../xtask/src/messages.rs"]
mod messages;

mod callers;
mod cases;
mod deployed;
mod floors;
mod leftovers;
mod machine;
mod markdown;
mod other;
mod pair;
mod peers;
mod pin;
mod plan;
mod report;
mod request;
mod result;
mod shared;
mod summary;
mod watchdog;
mod work;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use deployed::Deployed;
use peers::kind::Kind;
use plan::{Effort, Plan};
use result::{Comparison, FORMAT, Missing, PeerEntry, Pinning};
use watchdog::Watchdog;

#[derive(Debug, Parser)]
#[command(about)]
struct Cli {
    /// A tenth of it
    #[arg(long)]
    quick: bool,
    /// Where to write compare.json, report.html and tables.md
    #[arg(long, default_value = "target/compare")]
    out: PathBuf,
    /// Only groups whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// How often each is measured
    #[arg(long)]
    repeat: Option<u32>,
    /// The two cores, as in `0,1`; default: the first two allowed ones
    #[arg(long, value_delimiter = ',')]
    cores: Option<Vec<usize>>,
    /// A Python that has the deployed package
    #[arg(long)]
    python: Option<PathBuf>,
    /// The commit that is measured
    #[arg(long, default_value = "unknown")]
    commit: String,
    /// Measure nothing: draw the report of this compare.json again
    #[arg(long)]
    redraw: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Hidden>,
}

#[derive(Debug, Subcommand)]
enum Hidden {
    /// The other process of a measurement
    #[command(hide = true)]
    Other { core: usize, fd: u32 },
    /// What a measurement becomes when a signal ends it
    #[command(hide = true)]
    CleanUp { signal: i32 },
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Some(Hidden::Other { core, fd }) => other::run(core, fd),
        Some(Hidden::CleanUp { signal }) => leftovers::clean_up(signal),
        None => publish(&cli.out, &redrawn_or_measured(&cli)?),
    }
}

fn redrawn_or_measured(cli: &Cli) -> anyhow::Result<Comparison> {
    let Some(path) = &cli.redraw else { return compare(cli) };
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let comparison: Comparison =
        serde_json::from_str(&text).with_context(|| format!("understand {}", path.display()))?;
    anyhow::ensure!(comparison.format == FORMAT, "its format is {}", comparison.format);
    Ok(comparison)
}

fn compare(cli: &Cli) -> anyhow::Result<Comparison> {
    let begun = Instant::now();
    let cores = pin::choose(cli.cores.as_deref())?;
    let (machine, load) = (machine::machine(), machine::load());
    let (mut effort, mut missing) = (effort(cli.quick), missing());
    effort.repetitions = cli.repeat.unwrap_or(effort.repetitions);
    let deployed = match cli.python.as_deref().map(Deployed::find) {
        Some(Ok(deployed)) => Some(deployed),
        found => {
            let why = match found {
                Some(Err(why)) => format!("{why:#}"),
                _ => "no --python that has it was named".into(),
            };
            missing.push(Missing { peer: Deployed::NAME.into(), why });
            None
        }
    };

    let mut groups = cases::all(cli.quick, deployed.is_some());
    if let Some(part) = &cli.only {
        groups.retain(|group| group.name.contains(part));
        anyhow::ensure!(!groups.is_empty(), "no group's name contains `{part}`");
    }
    leftovers::clean_up_on_signal()?;
    let pair = pair::Pair::start_up(cores, other::serve)?;
    let deployed = deployed.as_ref();
    let mut plan = Plan { pair, effort, deployed, watchdog: Watchdog::default(), missing };
    let mut comparison = Comparison {
        format: FORMAT.into(),
        taken: machine::utc_now(),
        commit: cli.commit.clone(),
        duration_s: 0.0,
        machine,
        pinning: Pinning { first: cores[0], second: cores[1] },
        rules: rules(effort, &load),
        peers: peers(deployed),
        missing: Vec::new(),
        cases: Vec::new(),
    };
    for (index, group) in groups.iter().enumerate() {
        eprintln!("[{}/{}] {}", index + 1, groups.len(), group.name);
        comparison.cases.extend(plan.run(group)?);
        comparison.missing.clone_from(&plan.missing);
        comparison.duration_s = begun.elapsed().as_secs_f64();
        let (mut so_far, out) = (comparison.clone(), cli.out.clone());
        plan.watchdog.when_giving_up(move |missing| {
            so_far.missing.push(missing);
            if let Err(why) = publish(&out, &so_far) {
                eprintln!("{why:#}");
            }
        });
    }
    Ok(comparison)
}

/// Writes the files and prints the table.
fn publish(out: &Path, comparison: &Comparison) -> anyhow::Result<()> {
    std::fs::create_dir_all(out)
        .with_context(|| format!("make the directory {}", out.display()))?;
    let path = out.join("compare.json");
    std::fs::write(&path, serde_json::to_string_pretty(comparison)?)
        .with_context(|| format!("write {}", path.display()))?;
    let page = out.join("report.html");
    std::fs::write(&page, report::html(comparison)?)
        .with_context(|| format!("write {}", page.display()))?;
    let tables = out.join("tables.md");
    std::fs::write(&tables, markdown::tables(comparison))
        .with_context(|| format!("write {}", tables.display()))?;
    print!("{}", summary::table(comparison));
    println!("written: {}, {} and {}", path.display(), page.display(), tables.display());
    Ok(())
}

fn effort(quick: bool) -> Effort {
    if quick {
        Effort { repetitions: 5, millis: 40, wakes: 100 }
    } else {
        Effort { repetitions: 9, millis: 150, wakes: 300 }
    }
}

fn peers(deployed: Option<&Deployed>) -> Vec<PeerEntry> {
    let built = Kind::ALL.into_iter().filter(|kind| kind.missing().is_none());
    let mut peers: Vec<_> = built
        .map(|kind| PeerEntry {
            name: kind.name().into(),
            version: kind.version(),
            ours: kind.is_ours(),
            how: kind.how().into(),
        })
        .collect();
    peers.extend(deployed.map(|deployed| {
        PeerEntry {
            name: Deployed::NAME.into(),
            version: deployed.version.clone(),
            ours: false,
            how: "write_frame and read_frame of two Python processes, the frame's bytes copied out"
                .into(),
        }
    }));
    peers
}

fn missing() -> Vec<Missing> {
    let absent = Kind::ALL
        .into_iter()
        .filter_map(|kind| Some(Missing { peer: kind.name().into(), why: kind.missing()?.into() }));
    absent.collect()
}

fn rules(effort: Effort, load: &str) -> Vec<String> {
    let Effort { repetitions, millis, wakes } = effort;
    vec![
        "Two real processes, each pinned to a core of its own (rtrb: two threads of one process; Aeron: its media driver \
         as one more thread, on either core).".into(),
        format!(
            "{repetitions} repetitions; within each the peers take turns, A B A B; a sample takes {millis} ms, \
             wake-up samples {wakes} frames a millisecond apart."
        ),
        "A sample is the median of what it measured; of the samples, median, least and most are given.".into(),
        "Before and after each sample the cost of moving one cache line between the two cores is probed: under 42 ns \
         it is filed as near, under 85 as mid, else far; a sample whose class changed is taken again or dropped."
            .into(),
        "Ratios are taken between samples of one repetition and one class, and need three of them. \
         \"Better by\" is over one where ours is better, whichever way the unit goes."
            .into(),
        "Copied: the writer's own memory is copied in and the reader sums every byte; where the peer itself copies \
         out, it sums the copy. Loaned: eight bytes are written in place and read, nobody copies."
            .into(),
        "Everybody is lossless and blocks when full, with as many bytes of buffering as can be chosen: 256 KiB for \
         frames up to 4 KiB, else 8 MiB, and two and a half frames at least (Aeron: half a term). Counts and sums of both ends agree."
            .into(),
        "Spinning asks without pause on both sides; parked sleeps in the kernel.".into(),
        "Latency is half a round trip with one frame in flight; percentiles time every round by itself, clock \
         included. Wake-up is from before the writer's call until the reader has the frame."
            .into(),
        "Request and answer: the whole way there and back, one call under way; both sides sum every byte, and the answer \
         is the request's bytes, copied."
            .into(),
        "Relay: from before the writer's call until the reader behind the relay has summed the frame; writer and \
         reader are one thread. Fan-out: all readers in one thread of the second process, in turns."
            .into(),
        "Processor: user and system time of both processes. Memory: what both are charged with, shared pages once, of \
         those who share any. \
         Start: two links opened by two processes that run already, one frame there and back."
            .into(),
        format!(
            "Load of the machine in the minute before: {load}. Other work on the two cores spoils the figures; \
             ratios suffer less."
        ),
    ]
}
