//! `zerobuffer forget`.

use std::process::ExitCode;

use serde::Serialize;
use zerobuffer::OpenError;
use zerobuffer::inspect::{self, ReaderKind};

use crate::args::ForgetArgs;
use crate::exit::told;
use crate::messages::say;
use crate::report::{Errors, print};
use crate::sizes;

/// What `forget` did, or with `--dry-run` would have done.
#[derive(Debug, Default, Serialize)]
struct ForgetReport {
    operation: &'static str,
    buffer_name: String,
    reader: String,
    /// What has the place: a `reader`, a `group`, or an `export`, through which frames were passed on.
    kind: &'static str,
    forgotten: bool,
    dry_run: bool,
    frames_lost: u64,
    bytes_lost: u64,
    errors: Errors,
}

pub(crate) fn run(args: &ForgetArgs) -> ExitCode {
    let mut report = ForgetReport {
        operation: "forget",
        buffer_name: args.name.clone(),
        reader: args.reader.clone(),
        dry_run: args.dry_run,
        ..ForgetReport::default()
    };
    let found = if args.dry_run { look(args) } else { forget(args) };
    let code = match found {
        Ok(place) => {
            (report.kind, report.frames_lost, report.bytes_lost) = place;
            report.forgotten = !args.dry_run;
            0
        }
        Err(message) => {
            say(&message);
            report.errors.push(message);
            1
        }
    };
    let written = if report.errors.is_empty() || args.json_output {
        print(&report, &report.summary(), args.json_output, false)
    } else {
        Ok(())
    };
    ExitCode::from(told(code, written, 1))
}

/// Who has a place, and the frames and bytes that are kept there.
type Place = (&'static str, u64, u64);

fn forget(args: &ForgetArgs) -> Result<Place, String> {
    inspect::forget(&args.name, &args.reader, &args.place.dir())
        .map(|lost| (kind(lost.kind), lost.frames, lost.bytes))
        .map_err(|error| error.to_string())
}

/// What would be lost, seen from outside.
fn look(args: &ForgetArgs) -> Result<Place, String> {
    let seen =
        inspect::snapshot(&args.name, &args.place.dir()).map_err(|error| error.to_string())?;
    let is_kept = |kind, durable| match kind {
        ReaderKind::Every | ReaderKind::Group => durable,
        other => other == ReaderKind::Export,
    };
    let kept: Vec<_> =
        seen.readers.iter().filter(|reader| is_kept(reader.kind, reader.durable)).collect();
    let found = kept.iter().find(|reader| reader.name == args.reader).ok_or_else(|| {
        let names: Vec<_> = kept.iter().map(|reader| format!("`{}`", reader.name)).collect();
        let kept = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
        let (name, reader) = (args.name.clone(), args.reader.clone());
        OpenError::NoSuchReader { name, reader, kept }.to_string()
    })?;
    let is_alive = found.alive
        || found.kind == ReaderKind::Group
            && seen.readers.iter().any(|other| {
                other.kind == ReaderKind::Member && other.alive && other.name == found.name
            });
    if is_alive {
        return Err(format!(
            "`{}` of buffer `{}` is alive: end it first, or its place is not given up",
            args.reader, args.name
        ));
    }
    let frames = found.lag_frames.saturating_add(found.held_frames);
    Ok((kind(found.kind), frames, found.lag_bytes))
}

fn kind(kind: ReaderKind) -> &'static str {
    match kind {
        ReaderKind::Group => "group",
        ReaderKind::Export => "export",
        _ => "reader",
    }
}

impl ForgetReport {
    fn summary(&self) -> String {
        let (does, lost) = match self.dry_run {
            true => ("would give up", "would be lost"),
            false => ("gave up", "are lost"),
        };
        let kind = match self.kind {
            "group" => "work group",
            "export" => "what was passed on to buffer",
            other => other,
        };
        format!(
            "{does} the place of {kind} `{}` in `{}`: {} frames ({}) {lost}",
            self.reader,
            self.buffer_name,
            self.frames_lost,
            sizes::show(self.bytes_lost)
        )
    }
}
