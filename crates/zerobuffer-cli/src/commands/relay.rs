//! `zerobuffer relay`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use zerobuffer::{
    Frame, FullPolicy, MetadataError, OpenError, Protocol, Reader, WhyCopied, Writer,
};

use crate::args::{CreateArgs, Full, Personality, RelayArgs, Transform};
use crate::commands::read::create;
use crate::commands::write::{lost_frames, set_metadata};
use crate::exit::{Failure, OPEN_FAILED, OUTPUT_FAILED, RELAY_FAILED, told};
use crate::inlet::{Inlet, Item, Next, Taker};
use crate::latency::Latencies;
use crate::messages::say;
use crate::opening::{join_or_create, wait_for};
use crate::outlet::{Outlet, SendError, Sent};
use crate::progress::Meter;
use crate::report::{RelayReport, print};
use crate::signals::{self, SLICE};
use crate::sizes;

pub(crate) fn run(args: &RelayArgs, who: Personality) -> ExitCode {
    let mut report = RelayReport::new(&args.input, &args.output, args.transform.name());
    let code = match session(args, who, &mut report) {
        Ok(code) => code,
        Err(failure) => {
            say(&failure.message);
            report.errors.push(failure.message);
            failure.code
        }
    };
    let written = print(&report, &report.summary(), args.json_output, false);
    ExitCode::from(told(code, written, RELAY_FAILED))
}

fn session(args: &RelayArgs, who: Personality, report: &mut RelayReport) -> Result<u8, Failure> {
    signals::install(args.grace.grace()).map_err(|error| Failure::new(OPEN_FAILED, error))?;
    let open = || open_input(args, who);
    let reader = open().map_err(|error| Failure::new(OPEN_FAILED, error))?;
    let writer = open_output(args, who).map_err(|error| Failure::new(OUTPUT_FAILED, error))?;
    let Some(writer) = writer else {
        return Ok(signals::exit_code());
    };
    let first = args.wait.patience(who, args.timeout());
    let follow = args.follow.then_some(&open as &dyn Fn() -> _);
    // A frame that is passed on by reference is lent, and metadata cannot be asked for meanwhile.
    let heed = !passes_by_reference(args);
    let kept = who == Personality::Command && reader.protocol() == Protocol::V2;
    let mut inlet =
        Inlet::new(reader, first, args.timeout(), follow).heed(heed).keeps_untaken(kept);
    let room = if who == Personality::Contract { args.timeout() } else { None };
    // What the input had when Ctrl-C came is still passed on.
    let mut outlet = Outlet::new(writer, Full::Block, room, who).for_others();

    let begun = Instant::now();
    let result = pass(args, &mut inlet, &mut outlet, report);
    report.took(begun.elapsed());
    // It may have come without any frame.
    if result.is_ok() && !report.metadata_relayed {
        note(report, relay_metadata(inlet.reader(), &mut outlet));
    }
    let undone = inlet.undone();
    let v1 = outlet.writer().protocol() == Protocol::V1;
    let left = outlet.leave(who == Personality::Contract, None);
    if who == Personality::Contract {
        inlet.into_reader().unsubscribe();
    }
    let stopped = (undone > 0)
        .then(|| format!("stopped by {}: {} not passed on", signals::name(), sizes::show(undone)));
    if let Some(message) = lost_frames(v1, &left, &args.output).filter(|_| result.is_ok()) {
        // Why it stopped, if it was not the end, says more.
        if let Some(stopped) = stopped {
            say(&stopped);
            report.errors.push(stopped);
        }
        return Err(Failure::new(RELAY_FAILED, message));
    }
    match (result, stopped) {
        (Ok(_), Some(stopped)) => Err(Failure::new(signals::exit_code(), stopped)),
        (result, _) => result,
    }
}

fn pass(
    args: &RelayArgs,
    inlet: &mut Inlet<'_>,
    outlet: &mut Outlet,
    report: &mut RelayReport,
) -> Result<u8, Failure> {
    let mut meter = Meter::new("relaying", args.frames());
    let all = args.frames().unwrap_or(u64::MAX);
    let by_reference = passes_by_reference(args);
    if args.zero_copy && !by_reference {
        say("--transform changes bytes, so frames are copied in spite of --zero-copy");
    }
    let mut passer = Passer {
        args,
        outlet,
        latencies: Latencies::new(),
        len: 0,
        sent: Ok(Sent::Stopped),
        by_reference,
        told: None,
        shared: 0,
        metadata: None,
        described: Ok(false),
    };
    let code = loop {
        if report.frames_relayed >= all {
            break 0;
        }
        if by_reference && (inlet.metadata_changed() || !report.metadata_relayed) {
            note(report, relay_metadata(inlet.reader(), passer.outlet));
        }
        let next = inlet.next(1, &mut passer);
        note(report, std::mem::replace(&mut passer.described, Ok(false)));
        match next {
            Next::Frames => {}
            Next::Closed if args.frames().is_some() => {
                let message = format!("the writer closed after {} frames", report.frames_relayed);
                return Err(Failure::new(RELAY_FAILED, message));
            }
            Next::Closed => break 0,
            Next::Stopped if args.frames().is_some() => break signals::exit_code(),
            Next::Stopped => break 0,
            Next::Failed(error) => return Err(Failure::new(RELAY_FAILED, error)),
        }
        match std::mem::replace(&mut passer.sent, Ok(Sent::Stopped)) {
            Ok(Sent::Committed(_)) => {}
            Ok(Sent::Dropped | Sent::Stopped) => break signals::exit_code(),
            Err(error) => return Err(Failure::new(RELAY_FAILED, error)),
        }
        report.frames_relayed += 1;
        report.bytes_relayed += passer.len as u64;
        meter.add(passer.len);
        if args.verbose && report.frames_relayed.is_multiple_of(args.log_interval) {
            say(format_args!("{} frames relayed", report.frames_relayed));
        }
    };
    meter.clear();
    report.latency = passer.latencies.latency();
    report.frames_by_reference = passer.shared;
    Ok(code)
}

/// Writes each frame to the output before the input is told that it was read.
struct Passer<'a> {
    args: &'a RelayArgs,
    outlet: &'a mut Outlet,
    latencies: Latencies,
    len: usize,
    sent: Result<Sent, SendError>,
    by_reference: bool,
    /// Why the last frame that was not passed on by reference was copied.
    told: Option<WhyCopied>,
    /// Frames passed on by reference.
    shared: u64,
    /// Metadata of the frame to come and those behind it, until one of them is known to fit.
    metadata: Option<Vec<u8>>,
    /// Whether metadata was passed on.
    described: Result<bool, MetadataError>,
}

impl Passer<'_> {
    fn forward(&mut self, frame: &Frame<'_>) -> Result<Sent, SendError> {
        let Some(forwarded) = self.outlet.forward(frame)? else { return Ok(Sent::Stopped) };
        match forwarded.copied {
            None => self.shared += 1,
            Some(why) if self.told != Some(why) => {
                self.told = Some(why);
                say(format_args!("frame {} was copied: {why}", frame.sequence()));
            }
            Some(_) => {}
        }
        Ok(forwarded.sequence.map_or(Sent::Dropped, Sent::Committed))
    }
}

impl Taker for Passer<'_> {
    fn metadata(&mut self, metadata: Result<&[u8], MetadataError>) {
        match metadata {
            Ok(metadata) => self.metadata = Some(metadata.to_vec()),
            Err(error) => self.described = Err(error),
        }
    }

    fn take(&mut self, item: &Item<'_>) {
        if item.stamped {
            self.latencies.note(item.age);
        }
        self.len = item.payload.len();
        if let (true, Some(frame)) = (self.by_reference, item.frame) {
            self.sent = self.forward(frame);
            return;
        }
        if let Some(metadata) = &self.metadata
            && self.outlet.check_fits(self.len).is_ok()
        {
            self.described = set_metadata(self.outlet.writer(), metadata).map(|()| true);
            self.metadata = None;
        }
        self.sent = self.outlet.send(self.len, |bytes| {
            transform(self.args, item.payload, bytes);
            Ok(())
        });
    }

    /// What was not written is not released: whoever reads the input next gets it again.
    fn done(&mut self) -> bool {
        matches!(self.sent, Ok(Sent::Committed(_)))
    }
}

/// Whether frames are to be passed on without copying them.
fn passes_by_reference(args: &RelayArgs) -> bool {
    args.zero_copy && args.transform == Transform::None
}

fn transform(args: &RelayArgs, from: &[u8], to: &mut [u8]) {
    match args.transform {
        Transform::None => to.copy_from_slice(from),
        Transform::Reverse => {
            for (to, from) in to.iter_mut().zip(from.iter().rev()) {
                *to = *from;
            }
        }
        Transform::Xor => {
            for (to, from) in to.iter_mut().zip(from) {
                *to = from ^ args.xor_key;
            }
        }
    }
}

/// Passes on what metadata there is; whether there was any.
fn relay_metadata(reader: &Reader, outlet: &mut Outlet) -> Result<bool, MetadataError> {
    match reader.metadata()? {
        Some(metadata) => set_metadata(outlet.writer(), &metadata).map(|()| true),
        None => Ok(false),
    }
}

fn note(report: &mut RelayReport, relayed: Result<bool, MetadataError>) {
    match relayed {
        Ok(relayed) => report.metadata_relayed |= relayed,
        Err(error) => {
            // Said once; the frames go on.
            if report.errors.is_empty() {
                say(&error);
                report.errors.push(error.to_string());
            }
        }
    }
}

fn open_input(args: &RelayArgs, who: Personality) -> Result<Reader, OpenError> {
    let options = Reader::options().dir(args.place.dir()).wait_strategy(args.wait.strategy());
    let creation = created(args);
    let create = || create(&creation, who, false, |config| options.create(&args.input, config));
    if args.creation.is_v1() {
        return create();
    }
    join_or_create(|| options.join(&args.input), create)
}

/// How buffers that do not exist are made.
fn created(args: &RelayArgs) -> CreateArgs {
    let creation = args.creation.clone();
    if args.zero_copy && !creation.is_v1() { creation.shared() } else { creation }
}

/// `None`: a signal came before the buffer did.
fn open_output(args: &RelayArgs, who: Personality) -> Result<Option<Writer>, OpenError> {
    let dir = args.place.dir();
    let options = Writer::options()
        .dir(&dir)
        .wait_strategy(args.wait.strategy())
        .full_policy(FullPolicy::Block { timeout: Some(SLICE) })
        .require_reader(who == Personality::Contract && !args.create_output);
    if args.create_output {
        let creation = created(args);
        let create =
            || create(&creation, who, false, |config| options.create(&args.output, config));
        return join_or_create(|| options.connect(&args.output), create).map(Some);
    }
    // The deployed relay tries 50 times, 100 ms apart.
    let patience = args.wait.patience(who, Some(Duration::from_secs(5)));
    let hint = "its reader creates it, or --create-output here";
    wait_for(&args.output, &dir, patience, hint, |time| {
        options.clone().wait_for_buffer(time).connect(&args.output)
    })
}
