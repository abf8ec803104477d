//! A round: from no buffer, through many deaths, to no buffer.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fastrand::Rng;
use zerobuffer::fault::STEPS;

use crate::checker::{Checker, Wrong};
use crate::ends::{BUFFER, notes};

/// Without a frame for so long, somebody is stuck: a hundred times what noticing a death takes.
const STUCK: Duration = Duration::from_secs(10);
/// Longest pause between two looks at the processes.
const MAX_PAUSE_US: u64 = 4000;
const FINALE_FRAMES: u64 = 50;
/// Lives of processes that are alone, at the beginning of a round.
const LONELY_LIVES: u32 = 8;
const SIGKILL: i32 = 9;

/// What all rounds came to.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rounds: u64,
    /// Deaths by our hand, at any moment.
    random_kills: u64,
    /// Deaths at each step.
    deaths_at: BTreeMap<&'static str, u64>,
    committed: u64,
    received: u64,
    redelivered: u64,
    wrong: Wrong,
    stuck: u64,
    /// Processes that ended with an error.
    failed: u64,
    leaked_files: u64,
    first_wrong: Option<String>,
}

impl Report {
    pub(crate) fn kills(&self) -> u64 {
        self.random_kills + self.deaths_at.values().sum::<u64>()
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.first_wrong.is_none()
    }

    fn say(&mut self, text: impl Into<String>) {
        self.first_wrong.get_or_insert_with(|| text.into());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at_steps: u64 = self.deaths_at.values().sum();
        writeln!(f, "rounds       {:>10}", self.rounds)?;
        writeln!(
            f,
            "kills        {:>10}   {} at random moments, {at_steps} at named steps",
            self.kills(),
            self.random_kills
        )?;
        writeln!(
            f,
            "frames       {:>10}   committed; {} received, {} of them again",
            self.committed, self.received, self.redelivered
        )?;
        for (what, count) in [
            ("lost", self.wrong.lost),
            ("duplicated", self.wrong.duplicated),
            ("torn", self.wrong.torn),
            ("mixed up", self.wrong.mixed_up),
            ("stuck", self.stuck),
            ("failed", self.failed),
            ("leaked files", self.leaked_files),
        ] {
            writeln!(f, "{what:<12} {count:>10}")?;
        }
        let never: Vec<_> =
            STEPS.iter().filter(|step| !self.deaths_at.contains_key(*step)).collect();
        writeln!(
            f,
            "steps        {:>10}   of {} with a death",
            STEPS.len() - never.len(),
            STEPS.len()
        )?;
        if !never.is_empty() {
            writeln!(f, "             without: {never:?}")?;
        }
        match &self.first_wrong {
            Some(text) => write!(f, "FAILED: {text}"),
            None => write!(f, "clean"),
        }
    }
}

/// Who an end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Writer,
    /// A durable reader of that name.
    Durable(&'static str),
    Ephemeral,
}

impl Part {
    const ALL: [Self; 4] = [Self::Writer, Self::Durable("a"), Self::Durable("b"), Self::Ephemeral];

    /// How the checker calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Durable(name) => name,
            Self::Ephemeral => "ephemeral",
        }
    }
}

/// What an end is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// To come and go at once, with nobody else there: it makes the buffer and removes it.
    Lonely,
    Tortured,
    /// To end in peace.
    Last,
}

/// A running process and who listens to it.
struct End {
    part: Part,
    child: Child,
    /// Ends it when this process ends.
    _lifeline: Option<ChildStdin>,
    listener: JoinHandle<()>,
    /// The step at which it is to die.
    fault: Option<&'static str>,
    killed: bool,
}

struct Round<'a> {
    dir: &'a Path,
    chance: &'a mut Rng,
    report: &'a mut Report,
    checker: Arc<Mutex<Checker>>,
}

/// Kills `kills` times, then ends the round and looks what is left.
pub(crate) fn run(
    parent: &Path,
    kills: u64,
    chance: &mut Rng,
    report: &mut Report,
) -> anyhow::Result<()> {
    let dir = tempfile::TempDir::with_prefix_in("zerobuffer-torture-", parent)?;
    let before = report.kills();
    report.rounds += 1;
    let mut round = Round { dir: dir.path(), chance, report, checker: Arc::default() };
    for _ in 0..LONELY_LIVES {
        let part = Part::ALL[round.chance.usize(..Part::ALL.len())];
        let mut end = round.spawn(part, Life::Lonely)?;
        let status = end.child.wait()?;
        round.note_death(&mut end, status);
    }
    let mut ends = Vec::new();
    for part in Part::ALL {
        ends.push(round.spawn(part, Life::Tortured)?);
    }
    let mut seen = (round.progress(), Instant::now());
    while round.report.kills() - before < kills && round.report.is_clean() {
        std::thread::sleep(Duration::from_micros(round.chance.u64(..MAX_PAUSE_US)));
        if round.chance.u8(..8) == 0 {
            let victim = round.chance.usize(..ends.len());
            round.kill(&mut ends[victim]);
        }
        for end in &mut ends {
            if let Some(status) = end.child.try_wait()? {
                let successor = round.bury(end, status)?;
                *end = successor;
            }
        }
        let progress = round.progress();
        if progress.iter().zip(&seen.0).all(|(now, then)| now > then) {
            seen = (progress, Instant::now());
        } else if seen.1.elapsed() > STUCK {
            round.report.stuck += 1;
            let text =
                format!("nothing moves: frames of the writer and of the readers {progress:?}");
            round.report.say(text);
        }
    }
    for end in &mut ends {
        round.kill(end);
    }
    for mut end in ends {
        let status = end.child.wait()?;
        round.note_death(&mut end, status);
        end.listener.join().map_err(|_| anyhow::anyhow!("a listener panicked"))?;
    }
    if round.report.is_clean() {
        round.finale()?;
    }
    round.close();
    Ok(())
}

impl Round<'_> {
    fn checker(&self) -> MutexGuard<'_, Checker> {
        self.checker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self) -> [u64; 3] {
        let checker = self.checker();
        [checker.newest_committed(), checker.newest_of("a"), checker.newest_of("b")]
    }

    /// Starts an end, perhaps one that is to die at some step.
    fn spawn(&mut self, part: Part, life: Life) -> anyhow::Result<End> {
        let program = std::env::current_exe().context("find this program to start it again")?;
        let mut command = Command::new(program);
        command.arg(if part == Part::Writer { "writer" } else { "reader" });
        command.arg("--dir").arg(self.dir);
        command.args(["--incarnation", &self.chance.u64(1..).to_string()]);
        if let Part::Durable(name) = part {
            command.args(["--reader", name]);
        }
        let frames = match (life, part) {
            // Whoever leaves as the last one, with nothing unread, removes the buffer, and the next begins with
            // frame 1. So nobody leaves while frames are counted.
            (Life::Tortured, _) => None,
            (Life::Lonely, _) => Some(0),
            (Life::Last, Part::Writer) => Some(FINALE_FRAMES),
            (Life::Last, _) => None,
        };
        if let Some(frames) = frames {
            command.args(["--frames", &frames.to_string()]);
        }
        if life == Life::Last && part != Part::Writer {
            command.arg("--to-the-end");
        }
        let may_die = life != Life::Last && self.chance.u8(..8) != 0;
        let fault = may_die.then(|| self.fault(part, life));
        if let Some((step, count)) = fault {
            command.env("ZEROBUFFER_FAULT", format!("{step}#{count}"));
        }
        let fault = fault.map(|(step, _)| step);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("start an end")?;
        let pipe = child.stdout.take().context("the pipe of an end")?;
        let checker = Arc::clone(&self.checker);
        self.checker().reader_begins(part.name());
        let listener = std::thread::spawn(move || {
            for note in notes(pipe) {
                let mut checker = checker.lock().unwrap_or_else(PoisonError::into_inner);
                checker.take(part.name(), note, part == Part::Ephemeral);
            }
        });
        let lifeline = child.stdin.take();
        Ok(End { part, child, _lifeline: lifeline, listener, fault, killed: false })
    }

    /// A step that such an end comes to, and at which time of coming there it is to die.
    fn fault(&mut self, part: Part, life: Life) -> (&'static str, u64) {
        let kinds: &[&str] = match (life, part) {
            (Life::Lonely, Part::Writer) => &["create/", "writer/", "retire/"],
            (Life::Lonely, _) => &["create/", "reader/", "retire/"],
            (_, Part::Writer) => &["join/", "writer/", "claim/", "commit/", "wake/"],
            _ => &["join/", "reader/", "read/", "release/"],
        };
        let is_met = |step: &&&str| kinds.iter().any(|kind| step.starts_with(kind));
        let steps: Vec<_> = STEPS.iter().filter(is_met).collect();
        let step = *steps[self.chance.usize(..steps.len())];
        // Some steps are met once in a life, those of a frame often.
        let most = if is_frequent(step) { 1 << self.chance.u64(..8) } else { 1 };
        (step, self.chance.u64(1..=most))
    }

    fn kill(&mut self, end: &mut End) {
        // It may have ended by itself meanwhile: then this is without effect, and it is not counted.
        end.killed = end.child.kill().is_ok();
    }

    /// Notes how an end ended, hears the rest of what it told, and starts its successor.
    fn bury(&mut self, end: &mut End, status: ExitStatus) -> anyhow::Result<End> {
        self.note_death(end, status);
        while !end.listener.is_finished() {
            std::thread::yield_now();
        }
        self.spawn(end.part, Life::Tortured)
    }

    fn note_death(&mut self, end: &mut End, status: ExitStatus) {
        match (status.signal(), end.fault) {
            (Some(SIGKILL), _) if end.killed => self.report.random_kills += 1,
            (Some(SIGKILL), Some(step)) => *self.report.deaths_at.entry(step).or_default() += 1,
            (None, _) if status.success() => {}
            _ => {
                self.report.failed += 1;
                self.report.say(format!("the {} ended with {status}", end.part.name()));
            }
        }
    }

    /// The last writer writes and closes, the readers read to the end and leave for good.
    fn finale(&mut self) -> anyhow::Result<()> {
        let mut ends = Vec::new();
        for part in [Part::Writer, Part::Durable("a"), Part::Durable("b")] {
            ends.push(self.spawn(part, Life::Last)?);
        }
        let begun = Instant::now();
        for mut end in ends {
            let status = loop {
                if let Some(status) = end.child.try_wait()? {
                    break status;
                }
                if begun.elapsed() > STUCK {
                    self.report.stuck += 1;
                    self.report
                        .say(format!("the last {} does not come to its end", end.part.name()));
                    self.kill(&mut end);
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            self.note_death(&mut end, status);
            end.listener.join().map_err(|_| anyhow::anyhow!("a listener panicked"))?;
        }
        let [committed, a, b] = self.progress();
        let first_wrong = self.checker().first_wrong.clone();
        if let Some(text) = first_wrong {
            self.report.say(text);
        }
        if self.report.is_clean() && (a != committed || b != committed) {
            self.report.wrong.lost += 2 * committed - a - b;
            self.report.say(format!("{committed} frames were committed, {a} and {b} arrived"));
        }
        Ok(())
    }

    /// Takes the checker's accounts over, and looks for what was left behind.
    fn close(&mut self) {
        let checker = std::mem::take(&mut *self.checker());
        let (report, wrong) = (&mut *self.report, checker.wrong);
        report.committed += checker.newest_committed();
        report.received += checker.received;
        report.redelivered += checker.redelivered;
        report.wrong.lost += wrong.lost;
        report.wrong.duplicated += wrong.duplicated;
        report.wrong.torn += wrong.torn;
        report.wrong.mixed_up += wrong.mixed_up;
        if let Some(text) = checker.first_wrong {
            report.say(text);
        }
        let left: Vec<_> = std::fs::read_dir(self.dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        if report.is_clean() && !left.is_empty() {
            report.leaked_files += left.len() as u64;
            report.say(format!("{left:?} of buffer `{BUFFER}` was left behind"));
        }
    }
}

/// Whether a process meets a step with every frame.
fn is_frequent(step: &str) -> bool {
    ["commit/", "read/", "release/", "claim/", "wake/"].iter().any(|kind| step.starts_with(kind))
}
