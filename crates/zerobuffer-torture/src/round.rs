//! A round: from no buffer, through many deaths, to no buffer.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fastrand::Rng;
use zerobuffer::fault::STEPS;
use zerobuffer::inspect;

use crate::cast::{Cast, Part};
use crate::checker::Checker;
use crate::ends::BUFFER;
use crate::notes::notes;
use crate::pins::Pins;
use crate::report::Report;

/// Without a frame for so long, somebody is stuck: a hundred times what noticing a death takes.
const STUCK: Duration = Duration::from_secs(10);
/// Longest pause between two looks at the processes.
const MAX_PAUSE_US: u64 = 4000;
const FINALE_FRAMES: u64 = 50;
/// Lives of processes that are alone, at the beginning of a round.
const LONELY_LIVES: u32 = 8;
const SIGKILL: i32 = 9;

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
    cast: Cast,
    pins: Pins,
    chance: &'a mut Rng,
    report: &'a mut Report,
    checker: Arc<Mutex<Checker>>,
}

/// Kills `kills` times, then ends the round and looks what is left.
pub(crate) fn run(
    parent: &Path,
    cast: Cast,
    kills: u64,
    chance: &mut Rng,
    report: &mut Report,
) -> anyhow::Result<()> {
    let dir = tempfile::TempDir::with_prefix_in("zerobuffer-torture-", parent)?;
    let before = report.kills();
    report.rounds += 1;
    let pins = Pins::any(chance)?;
    report.pinned_rounds += u64::from(pins != Pins::None);
    let mut round = Round { dir: dir.path(), cast, pins, chance, report, checker: Arc::default() };
    let lonely: Vec<_> = cast.parts().iter().filter(|part| part.can_be_alone()).collect();
    for _ in 0..LONELY_LIVES {
        let part = *lonely[round.chance.usize(..lonely.len())];
        let mut end = round.spawn(part, Life::Lonely)?;
        let status = end.child.wait()?;
        round.note_death(&mut end, status);
    }
    let mut ends = Vec::new();
    for part in cast.parts() {
        ends.push(round.spawn(*part, Life::Tortured)?);
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
            let state = round.state();
            let text = format!(
                "nothing moves: frames of the writer and of {:?} are {progress:?}; {state}",
                cast.accounts()
            );
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

    /// The buffers as they stand, for whoever must find out why somebody is stuck.
    fn state(&self) -> String {
        let listed = inspect::list(self.dir).unwrap_or_default();
        let look = |one: inspect::Listing| inspect::snapshot(&one.name, self.dir);
        listed.into_iter().map(|one| format!("{:#?}\n", look(one))).collect()
    }

    /// Frames of the writer, and of everybody who must get on.
    fn progress(&self) -> Vec<u64> {
        let checker = self.checker();
        let accounts = self.cast.accounts().iter().map(|account| checker.newest_of(account));
        std::iter::once(checker.newest_committed()).chain(accounts).collect()
    }

    /// Starts an end, perhaps one that is to die at some step.
    fn spawn(&mut self, part: Part, life: Life) -> anyhow::Result<End> {
        let program = std::env::current_exe().context("find this program to start it again")?;
        let mut command = Command::new(program);
        command.arg("end").arg("--dir").arg(self.dir);
        command.args(["--cast", self.cast.name(), "--part", part.name()]);
        command.args(["--incarnation", &self.chance.u64(1..).to_string()]);
        let number = self.cast.parts().iter().position(|other| *other == part);
        if let Some(core) = self.pins.core_of(number.unwrap_or_default()) {
            command.args(["--core", &core.to_string()]);
        }
        // What readers gave back is filled, so that nobody can go on looking at it and find it sound.
        command.env("ZEROBUFFER_POISON", "1");
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
        self.checker().begins(part);
        let listener = std::thread::spawn(move || {
            for note in notes(pipe) {
                let mut checker = checker.lock().unwrap_or_else(PoisonError::into_inner);
                checker.take(part, note);
            }
        });
        let lifeline = child.stdin.take();
        Ok(End { part, child, _lifeline: lifeline, listener, fault, killed: false })
    }

    /// A step that such an end comes to, and at which time of coming there it is to die.
    fn fault(&mut self, part: Part, life: Life) -> (&'static str, u64) {
        let kinds = if life == Life::Lonely { part.lonely_steps() } else { part.steps() };
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
        for part in self.cast.parts().iter().filter(|part| part.is_in_finale()) {
            ends.push(self.spawn(*part, Life::Last)?);
        }
        let begun = Instant::now();
        for mut end in ends {
            let status = loop {
                if let Some(status) = end.child.try_wait()? {
                    break status;
                }
                if begun.elapsed() > STUCK {
                    self.report.stuck += 1;
                    let state = self.state();
                    self.report.say(format!(
                        "the last {} does not come to its end; {state}",
                        end.part.name()
                    ));
                    self.kill(&mut end);
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            self.note_death(&mut end, status);
            end.listener.join().map_err(|_| anyhow::anyhow!("a listener panicked"))?;
        }
        self.checker().finish(self.cast.accounts());
        Ok(())
    }

    /// Takes the checker's accounts over, and looks for what was left behind.
    fn close(&mut self) {
        let checker = std::mem::take(&mut *self.checker());
        let (report, seen, wrong) = (&mut *self.report, checker.seen, checker.wrong);
        report.committed += checker.newest_committed();
        report.seen.received += seen.received;
        report.seen.redelivered += seen.redelivered;
        report.seen.shared += seen.shared;
        report.seen.copied += seen.copied;
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
            report.say(format!(
                "{left:?} of buffer `{BUFFER}` and what is behind it was left behind"
            ));
        }
    }
}

/// Whether a process meets a step with every frame.
fn is_frequent(step: &str) -> bool {
    ["commit/", "read/", "release/", "claim/", "wake/", "group/", "share/"]
        .iter()
        .any(|kind| step.starts_with(kind))
}
