//! `zerobuffer read`.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::time::Instant;

use md5::{Digest, Md5};
use zerobuffer::{DEFAULT_PAYLOAD_BYTES, MetadataError, OpenError, Protocol, Reader, printable};

use crate::args::{CreateArgs, Personality, ReadArgs};
use crate::exit::{Failure, OPEN_FAILED, TRANSFER_FAILED, VERIFICATION_FAILED, told};
use crate::inlet::{Inlet, Item, Next, Taker};
use crate::latency::Latencies;
use crate::messages::{say, tell};
use crate::opening::{create_what_fits, join_or_create};
use crate::output;
use crate::pattern::Painter;
use crate::pipes::{Framing, Sink};
use crate::progress::Meter;
use crate::report::{ReadReport, print};
use crate::signals;
use crate::sizes;

/// The contract's ring.
pub(crate) const CONTRACT_PAYLOAD_BYTES: usize = 256 << 20;

pub(crate) fn run(args: &ReadArgs, who: Personality) -> ExitCode {
    let mut report = ReadReport::new(&args.name);
    let code = match session(args, who, &mut report) {
        Ok(code) => code,
        Err(failure) => {
            report.errors.push(failure.message);
            failure.code
        }
    };
    for error in report.errors.iter() {
        say(error);
    }
    let written = print(&report, &report.summary(), args.json_output, args.stdout);
    ExitCode::from(told(code, written, TRANSFER_FAILED))
}

fn session(args: &ReadArgs, who: Personality, report: &mut ReadReport) -> Result<u8, Failure> {
    signals::install(args.grace.grace()).map_err(|error| Failure::new(OPEN_FAILED, error))?;
    let open = || open(args, who);
    let reader = open().map_err(|error| Failure::new(OPEN_FAILED, error))?;
    if args.verbose {
        say(format_args!(
            "reading from `{}`: ring of {} bytes, frames of up to {}",
            reader.name(),
            reader.payload_bytes(),
            reader.max_frame_bytes()
        ));
    }
    let first = args.wait.patience(who, args.timeout());
    let follow = args.follow.then_some(&open as &dyn Fn() -> _);
    let heed = args.print_metadata || args.framing() == Framing::Y4m;
    let mine = !args.ephemeral && !args.lossy && args.work_group.is_none();
    let durable = mine && reader.protocol() == Protocol::V2;
    let kept = durable && who == Personality::Command;
    let mut inlet =
        Inlet::new(reader, first, args.timeout(), follow).heed(heed).keeps_untaken(kept);
    let mut examiner = Examiner::new(args, who, report);
    let begun = Instant::now();
    let end = pass(args, &mut inlet, &mut examiner);
    examiner.meter.clear();
    examiner.report.latency = examiner.latencies.latency();
    report.took(begun.elapsed());
    note_metadata(args, inlet.reader(), report);
    let undone = inlet.undone();
    report.frames_redelivered = inlet.redelivered();
    report.frames_missed = inlet.missed();

    // A reader under an older name owns its buffer: it leaves nothing that is kept for it.
    if who == Personality::Contract {
        inlet.into_reader().unsubscribe();
    } else {
        drop(inlet);
    }
    let short = args.frames().is_some_and(|all| report.frames_read < all);
    match end? {
        End::Closed if short && args.needs_all(who) => {
            let message = format!("the writer closed after {} frames", report.frames_read);
            return Err(Failure::new(TRANSFER_FAILED, message));
        }
        End::Stopped if undone > 0 => {
            let message =
                format!("stopped by {} with {} unread", signals::name(), sizes::show(undone));
            return Err(Failure::new(signals::exit_code(), message));
        }
        End::Stopped if short && args.needs_all(who) => return Ok(signals::exit_code()),
        _ => {}
    }
    Ok(if report.verification_errors > 0 {
        VERIFICATION_FAILED
    } else if report.errors.is_empty() {
        0
    } else {
        TRANSFER_FAILED
    })
}

/// How the stream came to its end.
enum End {
    /// As many as wanted.
    Enough,
    /// The writer closed and all was read.
    Closed,
    /// A signal.
    Stopped,
}

fn pass(
    args: &ReadArgs,
    inlet: &mut Inlet<'_>,
    examiner: &mut Examiner<'_>,
) -> Result<End, Failure> {
    let all = args.frames().unwrap_or(u64::MAX);
    while examiner.report.frames_read < all {
        let most = (all - examiner.report.frames_read).min(args.batch_size() as u64) as usize;
        match inlet.next(most, examiner) {
            Next::Frames => {}
            Next::Closed => return Ok(End::Closed),
            Next::Stopped => return Ok(End::Stopped),
            Next::Failed(error) => return Err(Failure::new(TRANSFER_FAILED, error)),
        }
        match std::mem::replace(&mut examiner.out, Ok(())) {
            Ok(()) => {}
            // Whoever reads our stdout has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(End::Enough),
            Err(error) => {
                let code =
                    if signals::insisting() { signals::exit_code() } else { TRANSFER_FAILED };
                return Err(Failure::new(code, format_args!("stdout: {error}")));
            }
        }
    }
    Ok(End::Enough)
}

fn open(args: &ReadArgs, who: Personality) -> Result<Reader, OpenError> {
    let mut options = Reader::options().dir(args.place.dir()).wait_strategy(args.wait.strategy());
    if let Some(name) = &args.reader_name {
        options = options.name(name);
    }
    if args.ephemeral {
        options = options.ephemeral();
    }
    if args.lossy {
        options = options.lossy();
    }
    if let Some(group) = &args.work_group {
        options = options.group(group);
    }
    let create = || {
        create(&args.creation, who, args.stdout, |config| {
            // Nobody has said that a reader `main` will come, so nothing is kept for it.
            let expected = args.reader_name.is_none() && !args.ephemeral && !args.lossy;
            let keep = expected || args.creation.is_v1();
            options.create(&args.name, &config.clone().keep_for_first_reader(keep))
        })
    };
    if args.creation.is_v1() {
        return create();
    }
    join_or_create(|| options.join(&args.name), create)
}

/// Creates with the size that was asked for, or with the default of the name we go by.
pub(crate) fn create<T>(
    args: &CreateArgs,
    who: Personality,
    timestamps: bool,
    create: impl Fn(&zerobuffer::BufferConfig) -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let mut config = args.config();
    if timestamps && !args.is_v1() {
        config = config.timestamps(true);
    }
    match (args.buffer_size, who) {
        (Some(bytes), _) => create(&config.payload_bytes(bytes)),
        (None, Personality::Command) => create(&config.payload_bytes(DEFAULT_PAYLOAD_BYTES)),
        (None, Personality::Contract) => create_what_fits(&config, CONTRACT_PAYLOAD_BYTES, create),
    }
}

/// Looks at every frame, and passes it on.
struct Examiner<'a> {
    report: &'a mut ReadReport,
    expected_size: Option<usize>,
    painter: Option<Painter>,
    checksum: bool,
    latencies: Latencies,
    meter: Meter,
    sink: Option<Sink>,
    out: io::Result<()>,
    /// Where metadata is printed, if it is.
    print: Option<Print>,
}

/// Where metadata is printed.
#[derive(Debug, Clone, Copy)]
enum Print {
    Stdout,
    /// stdout carries frames, or a report.
    Stderr,
}

impl Print {
    fn of(args: &ReadArgs) -> Option<Self> {
        let taken = args.stdout || args.json_output;
        args.print_metadata.then_some(if taken { Self::Stderr } else { Self::Stdout })
    }

    /// On one line, whatever is in it.
    fn metadata(self, metadata: &[u8]) -> io::Result<()> {
        let line = printable(OsStr::from_bytes(metadata));
        match self {
            Self::Stdout => output::print(&format!("{line}\n")),
            Self::Stderr => {
                tell(line);
                Ok(())
            }
        }
    }
}

impl<'a> Examiner<'a> {
    fn new(args: &ReadArgs, who: Personality, report: &'a mut ReadReport) -> Self {
        let expected_size = args.expected_size(who);
        report.frame_size = expected_size.unwrap_or(0);
        Self {
            report,
            expected_size,
            painter: args.verify().map(Painter::new),
            checksum: args.checksum,
            latencies: Latencies::new(),
            meter: Meter::new("reading", args.frames()),
            sink: args.stdout.then(|| Sink::stdout(args.framing())),
            out: Ok(()),
            print: Print::of(args),
        }
    }
}

impl Taker for Examiner<'_> {
    fn metadata(&mut self, metadata: Result<&[u8], MetadataError>) {
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(error) => return self.report.errors.push(error.to_string()),
        };
        if let (Some(print), Ok(())) = (self.print, &self.out) {
            self.out = print.metadata(metadata);
        }
        if let (Some(sink), Ok(())) = (&mut self.sink, &self.out) {
            self.out = sink.metadata(metadata);
        }
    }

    fn take(&mut self, item: &Item<'_>) {
        let (report, payload) = (&mut *self.report, item.payload);
        let frame = report.frames_read;
        match self.expected_size {
            Some(size) if size != payload.len() => {
                report
                    .errors
                    .push(format!("frame {frame}: {} bytes, expected {size}", payload.len()));
            }
            None if frame == 0 => report.frame_size = payload.len(),
            _ => {}
        }
        if let Some(painter) = &self.painter
            && !painter.matches(item.sequence.wrapping_sub(1), payload)
        {
            report.verification_errors += 1;
            report.errors.push(format!(
                "frame {frame} (sequence {}): not the pattern that was written",
                item.sequence
            ));
        }
        if self.checksum && report.wants_checksum() {
            let digest = Md5::digest(payload);
            report.add_checksum(digest.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        if item.stamped {
            self.latencies.note(item.age);
        }
        report.frames_read += 1;
        report.bytes_read += payload.len() as u64;
        self.meter.add(payload.len());
        if let (Some(sink), Ok(())) = (&mut self.sink, &self.out) {
            self.out = sink.frame(payload);
        }
    }

    /// A frame is released only when the pipe has it: if we are killed before, the next reader gets it again.
    fn done(&mut self) -> bool {
        if let (Some(sink), Ok(())) = (&mut self.sink, &self.out) {
            self.out = sink.flush();
        }
        self.out.is_ok()
    }
}

fn note_metadata(args: &ReadArgs, reader: &Reader, report: &mut ReadReport) {
    match reader.metadata() {
        Ok(metadata) => {
            report.metadata_size = metadata.as_ref().map_or(0, |metadata| metadata.len());
            // Where no frame came, nothing was printed yet.
            if let (Some(print), Some(metadata), 0) =
                (Print::of(args), metadata, report.frames_read)
                && let Err(error) = print.metadata(&metadata)
            {
                report.errors.push(error.to_string());
            }
        }
        Err(error) => report.errors.push(error.to_string()),
    }
}
