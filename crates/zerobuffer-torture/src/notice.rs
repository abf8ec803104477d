//! How soon a death is told to those who sleep: real processes, real deaths, the whole distribution.
//!
//! It counts from the moment when the kernel has given the dead process up (`waitpid` has returned) to the moment when the
//! survivor's call has. Each kind of end has its survivors, who wait in this process, and its victims, which are others.

mod survivors;
mod victims;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use fastrand::Rng;

pub(crate) use victims::{VictimArgs, play};

/// What the documents promise.
const PROMISE: Duration = Duration::from_millis(100);
/// What a machine with other things to do may add, for all but a few.
const SLACK: Duration = Duration::from_millis(50);
/// One in so many may be later than promise and slack.
const FEW: usize = 20;
/// Pairs at once.
const PAIRS: u32 = 8;
/// All pairs are asleep by then, and have looked around some times.
const SETTLED: Duration = Duration::from_millis(200);
/// Between two deaths, at most: together they are spread over all moments of a sleep.
const MOST_BETWEEN_US: u64 = 25_000;

#[derive(Debug, Args)]
pub(crate) struct NoticeArgs {
    /// Deaths of each kind
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    deaths: u32,
    /// Only these kinds
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::ALL)]
    kinds: Vec<Kind>,
    /// Seed of what is random; default: another one each time
    #[arg(long)]
    seed: Option<u64>,
    /// Directory of the buffers; those of protocol 1.0 are in /dev/shm
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
}

/// Who sleeps, and who dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A reader; its writer dies
    Reader,
    /// A writer without room; its reader dies
    Writer,
    /// A member of a work group; the one that has the only frame dies
    Member,
    /// A reader of protocol 1.0; its writer dies
    V1Reader,
    /// A writer of protocol 1.0 without room; its reader dies
    V1Writer,
    /// A client that waits for an answer; the server dies
    Client,
    /// A server of many clients; one that has nothing to ask dies
    Server,
    /// A task that reads; the writer dies
    AsyncReader,
    /// A task that writes and has no room; the reader dies
    AsyncWriter,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Reader,
        Self::Writer,
        Self::Member,
        Self::V1Reader,
        Self::V1Writer,
        Self::Client,
        Self::Server,
        Self::AsyncReader,
        Self::AsyncWriter,
    ];

    /// What it is called, on the command line too.
    fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Member => "member",
            Self::V1Reader => "v1-reader",
            Self::V1Writer => "v1-writer",
            Self::Client => "client",
            Self::Server => "server",
            Self::AsyncReader => "async-reader",
            Self::AsyncWriter => "async-writer",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Where one pair meets.
#[derive(Debug, Clone)]
pub(crate) struct Meeting {
    kind: Kind,
    dir: PathBuf,
    name: String,
}

/// Measures every kind and prints the distributions; false if a promise is not kept.
pub(crate) fn run(args: &NoticeArgs) -> anyhow::Result<bool> {
    let mut chance = args.seed.map_or_else(Rng::new, Rng::with_seed);
    println!(
        "time to notice a death, ms        deaths   median      p99      max   over {PROMISE:?}"
    );
    let mut all_kept = true;
    for kind in &args.kinds {
        let times = measure(*kind, &args.dir, args.deaths, &mut chance)
            .with_context(|| format!("a death for the {kind} to notice"))?;
        all_kept &= tell(*kind, times);
    }
    Ok(all_kept)
}

/// Some deaths of every kind, as a part of the torture; false if a promise is not kept.
pub(crate) fn check(dir: &Path, seed: u64) -> anyhow::Result<bool> {
    let dir = dir.to_path_buf();
    run(&NoticeArgs { deaths: 40, kinds: Kind::ALL.to_vec(), seed: Some(seed), dir })
}

/// Prints what was measured; false if more were late than a busy machine explains.
fn tell(kind: Kind, mut times: Vec<Duration>) -> bool {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let later_than = |limit: Duration| times.iter().filter(|time| **time > limit).count();
    let too_late = later_than(PROMISE + SLACK);
    let is_kept = too_late * FEW <= times.len();
    println!(
        "  {:<30} {:>7} {:>8.1} {:>8.1} {:>8.1} {:>9}{}",
        kind.name(),
        times.len(),
        millis(at(0.5)),
        millis(at(0.99)),
        millis(at(1.0)),
        later_than(PROMISE),
        if is_kept {
            String::new()
        } else {
            format!("   FAILED: {too_late} over {:?}", PROMISE + SLACK)
        },
    );
    is_kept
}

fn measure(
    kind: Kind,
    parent: &Path,
    deaths: u32,
    chance: &mut Rng,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    while times.len() < deaths as usize {
        let pairs = PAIRS.min(deaths - times.len() as u32);
        let dir = tempfile::TempDir::with_prefix_in("zerobuffer-notice-", parent)?;
        times.extend(deaths_at_once(kind, dir.path(), pairs, chance)?);
    }
    Ok(times)
}

/// A victim that has come to where it is to die.
struct Victim {
    child: Child,
    /// Ends it when this process ends.
    _lifeline: Option<ChildStdin>,
}

fn deaths_at_once(
    kind: Kind,
    dir: &Path,
    pairs: u32,
    chance: &mut Rng,
) -> anyhow::Result<Vec<Duration>> {
    let run = chance.u64(..);
    let mut survivors: Vec<JoinHandle<anyhow::Result<Instant>>> = Vec::new();
    let mut victims = Vec::new();
    for pair in 0..pairs {
        let name = format!("zerobuffer-notice-{}-{run:x}-{pair}", std::process::id());
        let meeting = Meeting { kind, dir: dir.to_path_buf(), name };
        victims.push(start(&meeting)?);
        survivors.push(std::thread::spawn(move || survivors::wait(&meeting)));
    }
    for victim in &mut victims {
        let mut ready = [0];
        let mut told = victim.child.stdout.take().context("the pipe of a victim")?;
        told.read_exact(&mut ready).context("a victim ended before it was to die")?;
    }
    std::thread::sleep(SETTLED);
    let mut gone = Vec::new();
    for mut victim in victims {
        std::thread::sleep(Duration::from_micros(chance.u64(..MOST_BETWEEN_US)));
        victim.child.kill()?;
        victim.child.wait()?;
        gone.push(Instant::now());
    }
    let told = survivors.into_iter().map(|survivor| {
        survivor.join().map_err(|_| anyhow::anyhow!("a survivor panicked")).flatten()
    });
    told.zip(gone).map(|(told, gone)| Ok(told?.saturating_duration_since(gone))).collect()
}

fn start(meeting: &Meeting) -> anyhow::Result<Victim> {
    let program = std::env::current_exe().context("find this program to start it again")?;
    let mut child = Command::new(program)
        .args(["victim", "--kind", meeting.kind.name(), "--name", &meeting.name, "--dir"])
        .arg(&meeting.dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start a victim")?;
    let lifeline = child.stdin.take();
    Ok(Victim { child, _lifeline: lifeline })
}
