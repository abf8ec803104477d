//! `zerobuffer tap`: looks at a running buffer from outside; nobody in it notices.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::json;
use zerobuffer::inspect::{self, Protocol};
use zerobuffer::{Frame, OpenError, ReadError, Reader, StartAt};

use crate::args::TapArgs;
use crate::args::tap::From;
use crate::exit::finish;
use crate::latency::UNKNOWN;
use crate::messages::{say, tell};
use crate::opening::wait_for;
use crate::output;
use crate::pipes::{Framing, Sink};
use crate::signals::{self, SLICE};
use crate::sizes;

/// Bytes of a frame that a line shows.
const SHOWN: usize = 8;

pub(crate) fn run(args: &TapArgs) -> ExitCode {
    finish(tap(args))
}

fn tap(args: &TapArgs) -> anyhow::Result<ExitCode> {
    signals::install(args.grace.grace())?;
    refuse_protocol_1(args)?;
    let mut output = Output::new(args);
    let mut end = End::Retired;
    // A buffer that is removed and made anew is another one, under the same name.
    while matches!(end, End::Retired) && !signals::stopping() {
        let Some(mut reader) = open(args, output.frames == 0)? else { break };
        end = look(args, &mut reader, &mut output)?;
        output.missed += reader.stats().missed;
        if !args.follow {
            break;
        }
    }
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// Fails for a buffer that exists and cannot be looked into.
fn refuse_protocol_1(args: &TapArgs) -> anyhow::Result<()> {
    let found = inspect::snapshot(&args.name, &args.place.dir());
    if found.is_ok_and(|snapshot| snapshot.protocol == Protocol::V1) {
        anyhow::bail!(
            "`{0}` is a buffer of protocol 1.0, in which only its one reader can tell where frames begin: \
             `zerobuffer inspect {0}` shows its state, `zerobuffer relay {0} OTHER` makes its frames ones that can be tapped",
            args.name
        );
    }
    Ok(())
}

/// How a look at one buffer ended.
enum End {
    /// As many frames as wanted, a signal, nobody who reads our output, or a writer that left.
    Done,
    /// The buffer was removed.
    Retired,
}

/// `None`: a signal came before the buffer did.
fn open(args: &TapArgs, first: bool) -> Result<Option<Reader>, OpenError> {
    let dir = args.place.dir();
    // Of a successor's buffer, nothing is to be missed.
    let start = match args.from {
        From::Newest if first => StartAt::Newest,
        _ => StartAt::Oldest,
    };
    let options = Reader::options().dir(&dir).observe().start_at(start);
    wait_for(&args.name, &dir, args.timeout(), "any writer or reader makes it", |limit| {
        options.clone().wait_for_buffer(limit).join(&args.name)
    })
}

fn look(args: &TapArgs, reader: &mut Reader, output: &mut Output) -> anyhow::Result<End> {
    let mut silent_since = Instant::now();
    output.stamped = reader.has_timestamps();
    while output.frames < args.frames() {
        if signals::stopping() {
            return Ok(End::Done);
        }
        match next(reader, args.every()) {
            Ok(Seen::Frame(frame)) => {
                if !output.show(&frame)? {
                    return Ok(End::Done);
                }
                silent_since = Instant::now();
            }
            Ok(Seen::Closed) if args.follow => say("the writer closed; waiting for the next one"),
            Ok(Seen::Closed) => return Ok(End::Done),
            Ok(Seen::Nothing(silence)) => {
                if args.timeout().is_some_and(|limit| silent_since.elapsed() >= limit) {
                    return Err(silence.into());
                }
            }
            Err(ReadError::Retired { .. }) => return Ok(End::Retired),
            Err(error) if error.is_peer_gone() && args.follow => {
                say(format_args!("{error}; waiting for it"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(End::Done)
}

/// What one look told.
enum Seen<'a> {
    Frame(Frame<'a>),
    /// The error that says so.
    Nothing(ReadError),
    /// The writer left, and everything was seen.
    Closed,
}

/// Waits for a slice, or for as long as a preview pauses.
fn next(reader: &mut Reader, every: Option<Duration>) -> Result<Seen<'_>, ReadError> {
    let looked = match every {
        None => reader.read_timeout(SLICE),
        Some(pause) => {
            signals::sleep(pause);
            reader.latest()
        }
    };
    match looked {
        Ok(Some(frame)) => Ok(Seen::Frame(frame)),
        Ok(None) => Ok(Seen::Closed),
        Err(error) if error.is_timeout() => Ok(Seen::Nothing(error)),
        Err(error) => Err(error),
    }
}

/// Where frames go, and what is said in the end.
struct Output {
    sink: Option<Sink>,
    /// For lines about frames.
    out: output::Output,
    json: bool,
    frames: u64,
    bytes: u64,
    missed: u64,
    newest: Option<u64>,
    /// Whether frames have time stamps.
    stamped: bool,
    begun: Instant,
}

impl Output {
    fn new(args: &TapArgs) -> Self {
        let framing = if args.framed { Framing::Prefix } else { Framing::Raw };
        Self {
            sink: args.stdout.then(|| Sink::stdout(framing)),
            out: output::Output::stdout(),
            json: args.json,
            frames: 0,
            bytes: 0,
            missed: 0,
            newest: None,
            stamped: false,
            begun: Instant::now(),
        }
    }

    /// False: nobody reads our output any more.
    fn show(&mut self, frame: &Frame<'_>) -> io::Result<bool> {
        self.frames += 1;
        self.bytes += frame.len() as u64;
        let written = match &mut self.sink {
            Some(sink) => sink.frame(frame).and_then(|()| sink.flush()),
            None => self.line(frame),
        };
        self.newest = Some(frame.sequence());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            other => other.map(|()| true),
        }
    }

    fn line(&mut self, frame: &Frame<'_>) -> io::Result<()> {
        let sequence = frame.sequence();
        let missed = self.newest.map_or(0, |newest| sequence.wrapping_sub(newest + 1));
        let shown = &frame[..frame.len().min(SHOWN)];
        if self.json {
            let age_us = frame.age().map(|age| age.as_secs_f64() * 1e6);
            let hex: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
            let mut line = json!({
                "sequence": sequence,
                "bytes": frame.len(),
                "missed_before": missed,
                "age_us": age_us,
                "begins_with": hex,
            });
            if self.stamped && age_us.is_none() {
                line["age_unknown"] = UNKNOWN.into();
            }
            return self.out.write_all(format!("{line}\n").as_bytes());
        }
        let hex: Vec<_> = shown.iter().map(|byte| format!("{byte:02x}")).collect();
        let more = if frame.len() > SHOWN { " …" } else { "" };
        let age = frame
            .age()
            .map(|age| format!("  {:.1} µs old", age.as_secs_f64() * 1e6))
            .or_else(|| self.stamped.then(|| "  age not known".to_owned()))
            .unwrap_or_default();
        let gap = if missed > 0 { format!("  after {missed} missed") } else { String::new() };
        let size = sizes::show(frame.len() as u64);
        let line = format!("frame {sequence:>8}  {size:>10}  {}{more}{age}{gap}\n", hex.join(" "));
        self.out.write_all(line.as_bytes())
    }

    fn finish(&self) -> io::Result<()> {
        let (frames, missed) = (self.frames, self.missed);
        let seconds = self.begun.elapsed().as_secs_f64();
        let summary = format!(
            "saw {frames} frames, {}, in {seconds:.3} seconds; missed {missed}",
            sizes::show(self.bytes)
        );
        if self.sink.is_some() || self.json {
            tell(summary);
            Ok(())
        } else {
            output::print(&format!("{summary}\n"))
        }
    }
}
