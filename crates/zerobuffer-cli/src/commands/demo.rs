//! `zerobuffer demo`: two processes, synthetic video, every byte checked; with `--chaos` they are killed in turn.

use std::io::{BufRead, BufReader, IsTerminal};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use zerobuffer::printable;

use crate::args::DemoArgs;
use crate::demo::lines::{FromReader, FromWriter};
use crate::exit::finish;
use crate::latency::{Latencies, Latency};
use crate::messages::say;
use crate::output;
use crate::signals;

/// Time between kills.
const KILL_EVERY: Duration = Duration::from_secs(1);
/// No kill so shortly before the end: what follows it is to be seen.
const QUIET_END: Duration = Duration::from_millis(700);
const REDRAW: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &DemoArgs) -> ExitCode {
    finish(Demo::new(args).and_then(Demo::run))
}

/// Which of the two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Writer,
    Reader,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Reader => "reader",
        }
    }
}

/// What comes in from the children; the number tells successors from the killed.
enum Event {
    Writer(FromWriter),
    Reader(u32, FromReader),
    /// The process closed its stdout: it ended.
    Ended(Role, u32),
}

/// A running child.
struct Process {
    child: Child,
    /// Its end tells the child to end.
    lifeline: Option<ChildStdin>,
    pump: Option<JoinHandle<()>>,
    generation: u32,
}

impl Process {
    /// Kills it and sees to it that all it said before has arrived.
    fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        if let Some(pump) = self.pump.take() {
            // A pump cannot panic short of a bug, and then its output is missing, which is counted as loss.
            let _ = pump.join();
        }
        Ok(())
    }

    /// Lets it end by itself.
    fn finish(mut self) -> anyhow::Result<bool> {
        drop(self.lifeline.take());
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            if signals::insisting() {
                bail!("stopped");
            }
            std::thread::sleep(REDRAW / 20);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Only after an error: a child that has ended is not killed again.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A kill, and how long no new frame came.
struct Kill {
    role: Role,
    at: Instant,
    /// The first frame that shows that frames flow again.
    proof: Option<Proof>,
    recovered: Option<Duration>,
}

#[derive(Clone, Copy)]
enum Proof {
    /// Any frame received by this successor.
    ReceivedBy(u32),
    /// A frame that the new writer committed.
    After(u64),
}

#[derive(Default)]
struct Tally {
    frames: u64,
    wrong: u64,
    lost: u64,
    redelivered: u64,
    last: u64,
    newest: Option<u64>,
    backlog_bytes: u64,
    payload_bytes: u64,
    first_frame: Option<Instant>,
    last_frame: Option<Instant>,
}

struct Demo<'a> {
    args: &'a DemoArgs,
    fps: f64,
    name: String,
    events: Receiver<Event>,
    sender: Sender<Event>,
    writer: Option<Process>,
    reader: Option<Process>,
    spawned: u32,
    tally: Tally,
    latencies: Latencies,
    /// Since the last redraw.
    recent: Latencies,
    recent_frames: u64,
    kills: Vec<Kill>,
    bar: Option<ProgressBar>,
}

/// The summary.
#[derive(Serialize)]
struct Report {
    size: String,
    frame_bytes: usize,
    seconds: f64,
    frames: u64,
    frames_per_second: f64,
    gigabytes_per_second: f64,
    wrong: u64,
    lost: u64,
    redelivered: u64,
    #[serde(flatten)]
    latency: Latency,
    kills: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flowing_again_ms: Vec<f64>,
    not_recovered: usize,
}

impl<'a> Demo<'a> {
    fn new(args: &'a DemoArgs) -> anyhow::Result<Self> {
        if !(args.seconds > 0.0 && args.seconds <= 86_400.0) {
            bail!("--seconds {}: more than 0, at most a day", args.seconds);
        }
        let fps = args.fps.unwrap_or(if args.chaos { 60.0 } else { 0.0 });
        if !(fps == 0.0 || (0.01..=100_000.0).contains(&fps)) {
            bail!("--fps {fps}: 0 for as fast as possible, or 0.01 to 100000");
        }
        signals::install(None)?;
        let (sender, events) = channel();
        let bar = (std::io::stderr().is_terminal() && !args.json).then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg}")
                .expect("a constant template is valid");
            ProgressBar::new_spinner().with_style(style)
        });
        Ok(Self {
            args,
            fps,
            name: format!("demo-{}", std::process::id()),
            events,
            sender,
            writer: None,
            reader: None,
            spawned: 0,
            tally: Tally::default(),
            latencies: Latencies::new(),
            recent: Latencies::new(),
            recent_frames: 0,
            kills: Vec::new(),
            bar,
        })
    }

    fn run(mut self) -> anyhow::Result<ExitCode> {
        let result = self.stream();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        // Dropping a process that is still there kills it.
        drop((self.writer.take(), self.reader.take()));
        self.remove_buffer();
        result?;
        let report = self.report();
        if self.args.json {
            output::print(&(output::json(&report)? + "\n"))?;
        } else {
            output::print(&self.summary(&report))?;
        }
        let good =
            report.frames > 0 && report.wrong == 0 && report.lost == 0 && report.not_recovered == 0;
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn stream(&mut self) -> anyhow::Result<()> {
        self.writer = Some(self.spawn(Role::Writer)?);
        self.wait_for_writer()?;
        self.reader = Some(self.spawn(Role::Reader)?);

        let begun = Instant::now();
        let length = Duration::from_secs_f64(self.args.seconds);
        let mut drawn = begun;
        let mut next_kill = KILL_EVERY;
        let mut ending = false;
        loop {
            match self.events.recv_timeout(REDRAW / 2) {
                Ok(event) => {
                    if self.takes_end(event)? {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("we hold a sender ourselves"),
            }
            let elapsed = begun.elapsed();
            if !ending && (elapsed >= length || signals::stopping()) {
                ending = true;
                if let Some(writer) = &mut self.writer {
                    drop(writer.lifeline.take());
                }
            }
            if signals::insisting() {
                bail!("stopped");
            }
            if self.args.chaos && !ending && elapsed >= next_kill && elapsed + QUIET_END < length {
                self.kill()?;
                next_kill += KILL_EVERY;
            }
            if drawn.elapsed() >= REDRAW {
                self.draw(drawn.elapsed());
                drawn = Instant::now();
            }
        }
        let good_writer = self.writer.take().map_or(Ok(true), Process::finish)?;
        let good_reader = self.reader.take().map_or(Ok(true), Process::finish)?;
        // What the writer said last may still be on its way.
        while let Ok(event) = self.events.try_recv() {
            self.takes_end(event)?;
        }
        if !good_writer || !good_reader {
            bail!("the {} process failed", if good_writer { "reader" } else { "writer" });
        }
        if let Some(newest) = self.tally.newest {
            self.tally.lost += newest.saturating_sub(self.tally.last);
        }
        Ok(())
    }

    fn spawn(&mut self, role: Role) -> anyhow::Result<Process> {
        self.spawned += 1;
        let generation = self.spawned;
        let this = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(this);
        command.arg(format!("demo-{}", role.name())).arg(&self.name);
        command.arg("--dir").arg(self.args.place.dir());
        command.arg("--size").arg(self.args.size.to_string());
        if role == Role::Writer {
            command.arg("--fps").arg(self.fps.to_string());
        }
        // Their own process group: Ctrl-C is for us, who then end them in order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let lifeline = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().context("the child has no stdout")?);
        let sender = self.sender.clone();
        let pump = std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let event = match role {
                    Role::Writer => serde_json::from_str(&line).map(Event::Writer),
                    Role::Reader => {
                        serde_json::from_str(&line).map(|line| Event::Reader(generation, line))
                    }
                };
                let Ok(event) = event else { break };
                if sender.send(event).is_err() {
                    return;
                }
            }
            let _ = sender.send(Event::Ended(role, generation));
        });
        Ok(Process { child, lifeline, pump: Some(pump), generation })
    }

    /// The writer creates the buffer; a reader before it would find none.
    fn wait_for_writer(&mut self) -> anyhow::Result<()> {
        loop {
            let event = match self.events.recv_timeout(REDRAW) {
                Ok(event) => event,
                Err(_) if signals::stopping() => bail!("stopped"),
                Err(_) => continue,
            };
            let began = matches!(event, Event::Writer(FromWriter::Began { .. }));
            if self.takes_end(event)? || began {
                return Ok(());
            }
        }
    }

    /// Takes note; whether the stream is over.
    fn takes_end(&mut self, event: Event) -> anyhow::Result<bool> {
        match event {
            Event::Writer(FromWriter::Began { newest, payload_bytes }) => {
                self.tally.payload_bytes = payload_bytes;
                for kill in self.kills.iter_mut().filter(|kill| kill.role == Role::Writer) {
                    kill.proof.get_or_insert(Proof::After(newest));
                }
            }
            Event::Writer(FromWriter::Ended { newest }) => self.tally.newest = Some(newest),
            Event::Reader(
                generation,
                FromReader::Frame { sequence, right, redelivered, age_ns, backlog_bytes },
            ) => {
                self.tally.backlog_bytes = backlog_bytes;
                self.frame(generation, sequence, right, redelivered, age_ns);
            }
            Event::Reader(_, FromReader::WriterGone) if self.kills.is_empty() => {
                bail!("the writer process died");
            }
            Event::Reader(_, FromReader::WriterGone | FromReader::Ended) => {}
            Event::Ended(role, generation) => {
                let current = match role {
                    Role::Writer => &self.writer,
                    Role::Reader => &self.reader,
                };
                if current.as_ref().is_none_or(|process| process.generation != generation) {
                    return Ok(false);
                }
                if role == Role::Writer && self.tally.newest.is_none() {
                    bail!("the writer process ended early");
                }
                return Ok(role == Role::Reader);
            }
        }
        Ok(false)
    }

    fn frame(
        &mut self,
        generation: u32,
        sequence: u64,
        right: bool,
        redelivered: bool,
        age_ns: Option<u64>,
    ) {
        let now = Instant::now();
        for kill in self.kills.iter_mut().filter(|kill| kill.recovered.is_none()) {
            let flows = match kill.proof {
                Some(Proof::ReceivedBy(successor)) => generation >= successor,
                Some(Proof::After(newest)) => sequence > newest,
                None => false,
            };
            if flows {
                kill.recovered = Some(kill.at.elapsed());
                let line = format!(
                    "  frames flow again {:.1} ms after the {} was killed",
                    kill.at.elapsed().as_secs_f64() * 1000.0,
                    kill.role.name()
                );
                if let Some(bar) = &self.bar {
                    bar.println(line);
                }
            }
        }
        let tally = &mut self.tally;
        tally.wrong += u64::from(!right);
        if redelivered || (sequence <= tally.last && tally.frames > 0) {
            tally.redelivered += 1;
        }
        if sequence > tally.last {
            tally.lost += sequence - tally.last - 1;
            tally.last = sequence;
            tally.frames += 1;
        }
        tally.first_frame.get_or_insert(now);
        tally.last_frame = Some(now);
        self.recent_frames += 1;
        let age = age_ns.map(Duration::from_nanos);
        self.latencies.note(age);
        self.recent.note(age);
    }

    /// Kills one of the two, in turn, and starts it again at once.
    fn kill(&mut self) -> anyhow::Result<()> {
        let role = if self.kills.len().is_multiple_of(2) { Role::Writer } else { Role::Reader };
        let mut victim = match role {
            Role::Writer => self.writer.take(),
            Role::Reader => self.reader.take(),
        };
        let at = Instant::now();
        if let Some(victim) = &mut victim {
            victim.kill()?;
        }
        if let Some(bar) = &self.bar {
            bar.println(format!("  killed the {} (SIGKILL)", role.name()));
        }
        let process = self.spawn(role)?;
        let proof = match role {
            // Known when the new writer says where it begins.
            Role::Writer => None,
            Role::Reader => Some(Proof::ReceivedBy(process.generation)),
        };
        self.kills.push(Kill { role, at, proof, recovered: None });
        match role {
            Role::Writer => self.writer = Some(process),
            Role::Reader => self.reader = Some(process),
        }
        Ok(())
    }

    fn draw(&mut self, interval: Duration) {
        let Some(bar) = &self.bar else { return };
        let rate = self.recent_frames as f64 / interval.as_secs_f64();
        let bytes = rate * self.args.size.frame_bytes() as f64;
        let latency =
            self.recent.percentiles().map(|l| format!("latency {l}, ")).unwrap_or_default();
        let fill = match self.tally.payload_bytes {
            0 => 0.0,
            all => 100.0 * self.tally.backlog_bytes as f64 / all as f64,
        };
        bar.set_message(format!(
            "{} frames, {rate:.0} frames/s, {:.2} GB/s, {latency}buffer {fill:.0} % full",
            self.tally.frames,
            bytes / 1e9
        ));
        bar.tick();
        self.recent.clear();
        self.recent_frames = 0;
    }

    fn report(&self) -> Report {
        let tally = &self.tally;
        let seconds = match (tally.first_frame, tally.last_frame) {
            (Some(first), Some(last)) => (last - first).as_secs_f64(),
            _ => 0.0,
        };
        let bytes = self.args.size.frame_bytes();
        // The first frame marks the beginning: what is counted is what came after it.
        let rate =
            if seconds > 0.0 { tally.frames.saturating_sub(1) as f64 / seconds } else { 0.0 };
        Report {
            size: self.args.size.to_string(),
            frame_bytes: bytes,
            seconds,
            frames: tally.frames,
            frames_per_second: rate,
            gigabytes_per_second: rate * bytes as f64 / 1e9,
            wrong: tally.wrong,
            lost: tally.lost,
            redelivered: tally.redelivered,
            latency: self.latencies.latency(),
            kills: self.kills.len(),
            flowing_again_ms: self
                .kills
                .iter()
                .filter_map(|kill| kill.recovered)
                .map(|time| time.as_secs_f64() * 1000.0)
                .collect(),
            not_recovered: self.kills.iter().filter(|kill| kill.recovered.is_none()).count(),
        }
    }

    fn summary(&self, report: &Report) -> String {
        let mut text = String::new();
        let mut line = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        line(format!(
            "{} I420, {} bytes a frame, from one process to another through {}",
            report.size,
            report.frame_bytes,
            printable(&self.args.place.dir())
        ));
        line(format!(
            "  {} frames in {:.1} s: {:.0} frames/s, {:.2} GB/s, every byte written and compared",
            report.frames, report.seconds, report.frames_per_second, report.gigabytes_per_second
        ));
        if let Some(latency) = report.latency.shown() {
            let queue = if self.fps == 0.0 {
                " (behind a full ring; --fps 60 shows a camera's)"
            } else {
                ""
            };
            line(format!("  commit to receive: {latency}{queue}"));
        }
        if self.args.chaos {
            line(format!(
                "  kills {}, redelivered {}, lost {}",
                report.kills, report.redelivered, report.lost
            ));
            for role in [Role::Writer, Role::Reader] {
                let times: Vec<String> = self
                    .kills
                    .iter()
                    .filter(|kill| kill.role == role)
                    .map(|kill| match kill.recovered {
                        Some(time) => format!("{:.1}", time.as_secs_f64() * 1000.0),
                        None => "never".to_owned(),
                    })
                    .collect();
                if !times.is_empty() {
                    line(format!(
                        "  {} killed, frames flow again after ms: {}",
                        role.name(),
                        times.join(", ")
                    ));
                }
            }
        }
        line(format!("  wrong {}, lost {}", report.wrong, report.lost));
        if report.frames == 0 {
            line("  no frame arrived".to_owned());
        }
        text
    }

    /// The last of the two to leave removes the buffer; after an error nobody may have.
    fn remove_buffer(&self) {
        if let Err(error) = zerobuffer::inspect::remove(&self.name, &self.args.place.dir(), true)
            && !error.is_not_found()
        {
            say(error);
        }
    }
}
