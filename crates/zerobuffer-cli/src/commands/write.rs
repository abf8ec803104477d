//! `zerobuffer write`.

use std::fs::File;
use std::io::Read;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use zerobuffer::{FullPolicy, MetadataError, OpenError, Protocol, Writer, printable};

use crate::args::{Full, Personality, WriteArgs};
use crate::exit::{Failure, OPEN_FAILED, TRANSFER_FAILED, told};
use crate::messages::say;
use crate::opening::{join_or_create, wait_for};
use crate::outlet::{Left, Outlet, SendError, Sent};
use crate::pattern::Painter;
use crate::pipes::{Arrival, Bounds, Source};
use crate::progress::Meter;
use crate::report::{WriteReport, print};
use crate::signals::{self, SLICE};
use crate::y4m::Header;

/// No block of metadata is larger.
const MOST_METADATA: u64 = 1 << 30;

pub(crate) fn run(args: &WriteArgs, who: Personality) -> ExitCode {
    let mut report = WriteReport::new(&args.name);
    let code = match session(args, who, &mut report) {
        Ok(code) => code,
        Err(failure) => {
            say(&failure.message);
            report.errors.push(failure.message);
            failure.code
        }
    };
    let written = print(&report, &report.summary(), args.json_output, args.stdin);
    ExitCode::from(told(code, written, TRANSFER_FAILED))
}

fn session(args: &WriteArgs, who: Personality, report: &mut WriteReport) -> Result<u8, Failure> {
    let mut metadata = metadata(args)?;
    signals::install(args.grace.grace()).map_err(|error| Failure::new(OPEN_FAILED, error))?;
    let mut source = match source(args).map_err(|error| Failure::new(TRANSFER_FAILED, error))? {
        Input::None => None,
        Input::Source(source) => Some(source),
        Input::Nothing => return Ok(if signals::stopping() { signals::exit_code() } else { 0 }),
    };
    // A picture's size is in its header, which comes first.
    let header = source.as_ref().and_then(Source::header);
    let frame_bytes = header.map_or(args.frame_bytes(), Header::frame_bytes);
    if let Some(header) = header {
        metadata = Some(header.line().to_owned().into_bytes());
    }
    report.frame_size = frame_bytes;
    let writer = open(args, who, frame_bytes).map_err(|error| Failure::new(OPEN_FAILED, error))?;
    let Some(writer) = writer else {
        return Ok(signals::exit_code());
    };
    if args.verbose {
        say(format_args!(
            "writing to `{}`: ring of {} bytes, frames of up to {}",
            writer.name(),
            writer.payload_bytes(),
            writer.max_frame_bytes()
        ));
    }
    // A restarted writer goes on with the pattern where the last one stopped.
    let first = writer.next_sequence().wrapping_sub(1);
    let mut outlet = Outlet::new(writer, args.full_policy, args.full_timeout(who), who);

    let begun = Instant::now();
    let mut meter = Meter::new("writing", args.frames());
    let result = if let Some(source) = &mut source {
        stream(args, source, metadata, &mut outlet, report, &mut meter)
    } else {
        pattern(args, metadata, first, &mut outlet, report, &mut meter)
    };
    meter.clear();
    report.took(begun.elapsed());

    let v1 = outlet.writer().protocol() == Protocol::V1;
    let stats = outlet.writer().stats();
    (report.forgotten_readers, report.forgotten_frames) =
        (stats.forgotten_readers, stats.forgotten_frames);
    let left = outlet.leave(args.keep || who == Personality::Contract, args.linger());
    report.frames_undelivered = left.lost;
    result?;
    if let Some(message) = lost_frames(v1, &left, &args.name) {
        return Err(Failure::new(TRANSFER_FAILED, message));
    }
    let short =
        args.frames().is_some_and(|all| report.frames_written + report.frames_dropped < all);
    Ok(if short && signals::stopping() { signals::exit_code() } else { 0 })
}

/// Why nobody will get the newest frames, if nobody will.
pub(crate) fn lost_frames(v1: bool, left: &Left, name: &str) -> Option<String> {
    let lost = left.lost;
    let told = match (lost, left.was_removed) {
        (0, _) => return None,
        (_, true) => {
            format!(
                "buffer `{name}` was removed while it was written to: {lost} frames that no reader had are gone with it"
            )
        }
        _ if v1 => {
            format!("the reader of `{name}` left or died before it had the last {lost} frames")
        }
        _ => format!("no reader came: {lost} frames were removed with buffer `{name}`"),
    };
    Some(told)
}

/// Where frames come from.
enum Input {
    /// They are made here.
    None,
    Source(Source),
    /// stdin ended before it began, or a signal came.
    Nothing,
}

fn source(args: &WriteArgs) -> std::io::Result<Input> {
    if !args.stdin {
        return Ok(Input::None);
    }
    if args.y4m {
        return Ok(Source::y4m()?.map_or(Input::Nothing, Input::Source));
    }
    let bounds = if args.framed { Bounds::Prefix } else { Bounds::Size(args.frame_bytes()) };
    Ok(Input::Source(Source::stdin(bounds)))
}

fn metadata(args: &WriteArgs) -> Result<Option<Vec<u8>>, Failure> {
    if let Some(description) = args.description() {
        return Ok(Some(description.to_bytes()));
    }
    if let Some(text) = args.metadata.as_ref().filter(|text| !text.is_empty()) {
        return Ok(Some(text.clone().into_bytes()));
    }
    let Some(file) = &args.metadata_file else {
        return Ok(None);
    };
    let failed = |problem: &dyn std::fmt::Display| {
        let file = printable(file);
        Failure::new(TRANSFER_FAILED, format_args!("metadata file {file}: {problem}"))
    };
    let mut bytes = Vec::new();
    // Not all of a device, or of what was meant to be the video.
    let read =
        File::open(file).and_then(|file| file.take(MOST_METADATA + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 > MOST_METADATA => Err(failed(&format_args!(
            "more than {MOST_METADATA} bytes, more than any block of metadata holds"
        ))),
        Ok(_) => Ok(Some(bytes)),
        Err(error) => Err(failed(&error)),
    }
}

/// `None`: a signal came before the buffer did.
fn open(
    args: &WriteArgs,
    who: Personality,
    frame_bytes: usize,
) -> Result<Option<Writer>, OpenError> {
    let policy = match args.full_policy {
        // Waiting is done in slices, so that a signal is seen.
        Full::Block => FullPolicy::Block { timeout: Some(SLICE) },
        Full::Fail => FullPolicy::Fail,
        Full::Drop => FullPolicy::DropNewest,
    };
    let dir = args.place.dir();
    let mut options = Writer::options()
        .dir(&dir)
        .wait_strategy(args.wait.strategy())
        .full_policy(policy)
        .elastic(args.elastic.choice())
        // Writing with nobody there is an error of the contract.
        .require_reader(who == Personality::Contract);
    if let Some(limit) = args.forget_after() {
        options = options.forget_readers_after(limit);
    }
    if args.creates() {
        let mut config = args.creation.config();
        if args.stdin {
            config = config.timestamps(true).room_for(4, frame_bytes.max(1));
            if args.framed {
                config = config.payload_bytes(zerobuffer::DEFAULT_PAYLOAD_BYTES);
            }
        }
        if let Some(bytes) = args.creation.buffer_size {
            config = config.payload_bytes(bytes);
        }
        let (join, create) =
            (|| options.connect(&args.name), || options.create(&args.name, &config));
        return join_or_create(join, create).map(Some);
    }
    let patience = args.wait.patience(who, Some(Duration::ZERO));
    let hint = match args.creation.is_v1() {
        true => "a reader with --protocol 1, or a deployed one, creates it",
        false => "a reader creates it, or --create here",
    };
    wait_for(&args.name, &dir, patience, hint, |time| {
        options.clone().wait_for_buffer(time).connect(&args.name)
    })
}

/// A writer that takes over finds the metadata of the last one.
pub(crate) fn set_metadata(writer: &mut Writer, metadata: &[u8]) -> Result<(), MetadataError> {
    match writer.set_metadata(metadata) {
        Err(MetadataError::AlreadySet { .. }) => writer.replace_metadata(metadata),
        result => result,
    }
}

/// Sets what metadata there is, once it is known that its first frame fits: readers find it under the frames of a
/// predecessor, too.
fn describe(
    metadata: &mut Option<Vec<u8>>,
    outlet: &mut Outlet,
    report: &mut WriteReport,
) -> Result<(), Failure> {
    if let Some(metadata) = metadata.take() {
        set_metadata(outlet.writer(), &metadata)
            .map_err(|error| Failure::new(TRANSFER_FAILED, error))?;
        report.metadata_size = metadata.len();
    }
    Ok(())
}

/// Frames that are made here.
fn pattern(
    args: &WriteArgs,
    mut metadata: Option<Vec<u8>>,
    first: u64,
    outlet: &mut Outlet,
    report: &mut WriteReport,
    meter: &mut Meter,
) -> Result<(), Failure> {
    let failed = |error| Failure::new(TRANSFER_FAILED, error);
    outlet.check_fits(args.frame_bytes()).map_err(failed)?;
    describe(&mut metadata, outlet, report)?;
    if args.batch_size > 1 && args.full_policy == Full::Block {
        batches(args, first, outlet, report, meter).map_err(failed)
    } else {
        frames(args, first, outlet, report, meter).map_err(failed)
    }
}

fn frames(
    args: &WriteArgs,
    first: u64,
    outlet: &mut Outlet,
    report: &mut WriteReport,
    meter: &mut Meter,
) -> Result<(), SendError> {
    let painter = Painter::new(args.pattern);
    let all = args.frames().unwrap_or(u64::MAX);
    let mut next = first;
    while report.frames_written + report.frames_dropped < all && !signals::stopping() {
        let sent = outlet.send(args.frame_bytes(), |bytes| {
            painter.fill(next, bytes);
            Ok(())
        })?;
        match sent {
            Sent::Committed(sequence) => {
                next = sequence;
                report.frames_written += 1;
                report.bytes_written += args.frame_bytes() as u64;
                meter.add(args.frame_bytes());
            }
            Sent::Dropped => report.frames_dropped += 1,
            Sent::Stopped => break,
        }
        pause(args);
    }
    Ok(())
}

fn batches(
    args: &WriteArgs,
    first: u64,
    outlet: &mut Outlet,
    report: &mut WriteReport,
    meter: &mut Meter,
) -> Result<(), SendError> {
    let painter = Painter::new(args.pattern);
    let all = args.frames().unwrap_or(u64::MAX);
    let size = args.frame_bytes();
    // More than the ring holds cannot be committed at once, whatever was asked for.
    let most = (outlet.writer().payload_bytes() / size).clamp(1, args.batch_size as usize);
    let mut store = vec![0; size * most.min(usize::try_from(all).unwrap_or(most))];
    while report.frames_written < all && !signals::stopping() {
        let count = (all - report.frames_written).min(most as u64) as usize;
        let mut chunks = Vec::with_capacity(count);
        for (k, chunk) in (first + report.frames_written..).zip(store.chunks_mut(size).take(count))
        {
            painter.fill(k, chunk);
            chunks.push(&*chunk);
        }
        let mut rest = &chunks[..];
        while !rest.is_empty() {
            let sent = outlet.send_batch(rest)?;
            if sent == 0 {
                return Ok(());
            }
            rest = &rest[sent..];
            report.frames_written += sent as u64;
            report.bytes_written += (sent * size) as u64;
            for _ in 0..sent {
                meter.add(size);
            }
        }
        for _ in 0..count {
            pause(args);
        }
    }
    Ok(())
}

fn stream(
    args: &WriteArgs,
    source: &mut Source,
    mut metadata: Option<Vec<u8>>,
    outlet: &mut Outlet,
    report: &mut WriteReport,
    meter: &mut Meter,
) -> Result<(), Failure> {
    let failed = |error| Failure::new(TRANSFER_FAILED, error);
    let all = args.frames().unwrap_or(u64::MAX);
    while report.frames_written + report.frames_dropped < all {
        let len = match source.next().map_err(|error| failed(SendError::Fill(error)))? {
            Arrival::Frame(len) => len,
            Arrival::Empty => {
                if report.skipped_empty == 0 {
                    say(
                        "stdin: a frame of 0 bytes cannot be in a buffer; such frames are skipped and counted",
                    );
                }
                report.skipped_empty += 1;
                continue;
            }
            Arrival::End => break,
        };
        outlet.check_fits(len).map_err(failed)?;
        describe(&mut metadata, outlet, report)?;
        match outlet.send_from(len, source) {
            Ok(Sent::Committed(_)) => {
                report.frames_written += 1;
                report.bytes_written += len as u64;
                report.frame_size = report.frame_size.max(len);
                meter.add(len);
            }
            Ok(Sent::Dropped) => report.frames_dropped += 1,
            Ok(Sent::Stopped) => {
                say("stopped while the ring was full: the frame at hand was not written");
                break;
            }
            Err(error) => return Err(failed(error)),
        }
        pause(args);
    }
    // No frame came that might not fit.
    describe(&mut metadata, outlet, report)
}

fn pause(args: &WriteArgs) {
    if !args.delay().is_zero() {
        signals::sleep(args.delay());
    }
}
