//! `zerobuffer inspect`.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use zerobuffer::inspect::{self, Protocol, SegmentState, Snapshot, WriterInfo};
use zerobuffer::{ReaderInfo, ReaderKind, printable};

use zerobuffer_format::{Content, StreamInfo};

use crate::args::InspectArgs;
use crate::commands::repeat::repeat;
use crate::exit::finish;
use crate::output;
use crate::sizes;

/// Most bytes of metadata that are shown to a person.
const METADATA_SHOWN: usize = 512;

pub(crate) fn run(args: &InspectArgs) -> ExitCode {
    finish(repeat(args.watch, || {
        let snapshot = inspect::snapshot(&args.name, &args.place.dir())?;
        let text = if args.json { output::json(&json(&snapshot))? + "\n" } else { text(&snapshot) };
        Ok((text, true))
    }))
}

pub(crate) fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::V1 => "1.0",
        Protocol::V2 => "2.0",
        _ => "unknown",
    }
}

pub(crate) fn writer(writer: &WriterInfo) -> String {
    match (writer.attached, writer.alive) {
        (true, true) => format!("pid {}", writer.pid),
        (true, false) => format!("pid {} (dead)", writer.pid),
        // A 1.0 writer takes its pid along.
        (false, _) if writer.pid == 0 => "left".to_owned(),
        (false, _) => format!("pid {} (left)", writer.pid),
    }
}

pub(crate) fn state(snapshot: &Snapshot) -> String {
    if !snapshot.problems.is_empty() {
        return format!("damaged: {}", snapshot.problems.join("; "));
    }
    if snapshot.state == SegmentState::Retired {
        return "retired".to_owned();
    }
    let writing = snapshot.writer.as_ref().is_some_and(|writer| writer.alive);
    let reading = snapshot.readers.iter().any(|reader| reader.attached && reader.alive);
    match (writing, reading, snapshot.fill_bytes > 0) {
        (true, true, _) => "in use",
        (_, false, _) if snapshot.protocol == Protocol::V1 => "abandoned, its reader is gone",
        (true, false, _) => "waits for a reader",
        (false, true, _) => "waits for a writer",
        (false, false, true) => "unused, unread frames",
        (false, false, false) => "unused",
    }
    .to_owned()
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// What the metadata tells of the frames.
fn stream_json(metadata: &[u8]) -> Value {
    let stream = StreamInfo::parse(metadata);
    json!({
        "description": stream.to_string(),
        "caps": stream.caps().map(ToString::to_string),
        "frame_bytes": stream.frame_bytes(),
        "problem": stream.problem().map(ToString::to_string),
    })
}

pub(crate) fn json(snapshot: &Snapshot) -> Value {
    let v1 = snapshot.protocol == Protocol::V1;
    let readers: Vec<Value> =
        snapshot.readers.iter().map(if v1 { v1_reader_json } else { reader_json }).collect();
    let writer = snapshot.writer.as_ref().map(if v1 { v1_writer_json } else { writer_json });
    let mut shown = json!({
        "name": snapshot.name,
        "path": snapshot.path.to_string_lossy(),
        "protocol": protocol(snapshot.protocol),
        "version": snapshot.version,
        "state": state(snapshot),
        "problems": snapshot.problems,
        "file_bytes": snapshot.file_bytes,
        "payload_bytes": snapshot.payload_bytes,
        "metadata_bytes": snapshot.metadata_bytes,
        "created_unix_seconds": unix_seconds(snapshot.created),
        "head_position": snapshot.head_position,
        "floor_position": snapshot.floor_position,
        "mode": format!("{:o}", snapshot.mode),
        "in_use": snapshot.in_use,
        "fill_bytes": snapshot.fill_bytes,
        "writer": writer,
        "readers": readers,
        "metadata": snapshot.metadata.as_ref().map(|bytes| String::from_utf8_lossy(bytes)),
        "metadata_size": snapshot.metadata.as_ref().map_or(0, Vec::len),
        "stream": snapshot.metadata.as_deref().map(stream_json),
    });
    let more = if v1 {
        // Wrap markers are counted too, so this is no sequence number.
        json!({ "payload_written_count": snapshot.newest_sequence })
    } else {
        json!({
            "timestamps": snapshot.timestamps,
            "segment_id": format!("{:016x}", snapshot.segment_id),
            "newest_sequence": snapshot.newest_sequence,
            "frames_committed": snapshot.newest_sequence,
            "reader_slots": snapshot.reader_slots,
            "bytes_committed": snapshot.bytes_committed,
            "high_water_bytes": snapshot.high_water_bytes,
            "dropped_frames": snapshot.dropped_frames,
            "full_waits": snapshot.full_waits,
            "takeovers": snapshot.takeovers,
            "metadata_generation": snapshot.metadata_generation,
        })
    };
    if let (Value::Object(shown), Value::Object(more)) = (&mut shown, more) {
        shown.extend(more);
    }
    shown
}

fn writer_json(writer: &WriterInfo) -> Value {
    json!({
        "pid": writer.pid,
        "attached": writer.attached,
        "alive": writer.alive,
        "generation": writer.generation,
        "attached_unix_seconds": unix_seconds(writer.attached_at),
    })
}

fn v1_writer_json(writer: &WriterInfo) -> Value {
    let pid = (writer.pid != 0).then_some(writer.pid);
    json!({ "pid": pid, "attached": writer.attached, "alive": writer.alive })
}

fn reader_json(reader: &ReaderInfo) -> Value {
    json!({
        "name": reader.name,
        "kind": kind(reader),
        "missed": reader.missed,
        "held_frames": reader.held_frames,
        "pid": reader.pid,
        "alive": reader.alive,
        "attached": reader.attached,
        "durable": reader.durable,
        "position": reader.position,
        "read_position": reader.read_position,
        "lag_bytes": reader.lag_bytes,
        "read_sequence": reader.read_sequence,
        "lag_frames": reader.lag_frames,
        "generation": reader.generation,
    })
}

fn v1_reader_json(reader: &ReaderInfo) -> Value {
    json!({
        "name": reader.name,
        "pid": reader.pid,
        "alive": reader.alive,
        "attached": reader.attached,
        "position": reader.position,
        "lag_bytes": reader.lag_bytes,
        "lag_frames": reader.lag_frames,
        "payload_read_count": reader.read_sequence,
    })
}

/// What a reader gets, in a word.
fn kind(reader: &ReaderInfo) -> &'static str {
    match reader.kind {
        ReaderKind::Every if reader.durable => "durable",
        ReaderKind::Every => "ephemeral",
        ReaderKind::Lossy => "lossy",
        ReaderKind::Group => "group",
        ReaderKind::Member => "member",
        ReaderKind::Export => "export",
        _ => "unknown",
    }
}

/// A reader's line, and what stands before it.
fn reader_line(reader: &ReaderInfo, presence: &str) -> (&'static str, String) {
    let (name, position, frame) = (&reader.name, reader.position, reader.read_sequence);
    let behind = sizes::show(reader.lag_bytes);
    let held = match reader.held_frames {
        0 => String::new(),
        held => format!(", holds {held}"),
    };
    match reader.kind {
        ReaderKind::Group => {
            let frames = reader.lag_frames;
            (
                "work group",
                format!(
                    "{name}: position {position}, {behind} ({frames} frames) behind, all to frame {frame} done{held}"
                ),
            )
        }
        ReaderKind::Member => {
            ("member", format!("of {name} ({presence}): newest frame {frame}{held}"))
        }
        ReaderKind::Lossy => {
            let missed = reader.missed;
            (
                "reader",
                format!("({presence}, lossy): {behind} behind, frame {frame}, {missed} missed"),
            )
        }
        ReaderKind::Export => (
            "shared",
            format!(
                "with the readers of {name}: from position {position}, {behind} not given back"
            ),
        ),
        _ => {
            let kind = kind(reader);
            (
                "reader",
                format!(
                    "{name} ({presence}, {kind}): position {position}, {behind} behind, frame {frame}{held}"
                ),
            )
        }
    }
}

fn text(snapshot: &Snapshot) -> String {
    let v1 = snapshot.protocol == Protocol::V1;
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        writeln!(text, "{key:<14}{}", printable(&value)).expect("a String takes everything");
    };
    line("buffer", format!("{} ({})", snapshot.name, printable(&snapshot.path)));
    line("protocol", format!("{} ({})", protocol(snapshot.protocol), snapshot.version));
    line("state", state(snapshot));
    line(
        "size",
        format!(
            "{} file, {} ring, {} metadata block{}",
            sizes::show(snapshot.file_bytes),
            sizes::show(snapshot.payload_bytes),
            sizes::show(snapshot.metadata_bytes),
            if snapshot.timestamps { ", timestamps" } else { "" }
        ),
    );
    if let Ok(age) = snapshot.created.elapsed() {
        let segment =
            if v1 { String::new() } else { format!(", segment {:016x}", snapshot.segment_id) };
        line("created", format!("{} s ago{segment}", age.as_secs()));
    }
    match &snapshot.writer {
        Some(info) if v1 => line("writer", writer(info)),
        Some(info) => {
            let since = match info.attached_at.elapsed() {
                Ok(time) if info.alive => format!(", for {} s", time.as_secs()),
                _ => String::new(),
            };
            line("writer", format!("{}, generation {}{since}", writer(info), info.generation));
        }
        None => line("writer", "none".to_owned()),
    }
    for reader in &snapshot.readers {
        let presence = match (reader.attached, reader.alive) {
            (true, true) => format!("pid {}", reader.pid),
            (true, false) => format!("pid {}, dead", reader.pid),
            (false, _) => "away".to_owned(),
        };
        if v1 {
            let unread = sizes::show(reader.lag_bytes);
            let frames = reader.lag_frames;
            line(
                "reader",
                format!("{presence}, owns the buffer: {unread} behind, {frames} frames waiting"),
            );
            continue;
        }
        let (key, text) = reader_line(reader, &presence);
        line(key, text);
    }
    if snapshot.readers.is_empty() {
        line("readers", "none".to_owned());
    }
    let (fill, ring) = (sizes::show(snapshot.fill_bytes), sizes::show(snapshot.payload_bytes));
    let (head, floor) = (snapshot.head_position, snapshot.floor_position);
    if v1 {
        // Its writers count the markers at the end of the ring too.
        line("frames", format!("{} written, wrap markers included", snapshot.newest_sequence));
        line("fill", format!("{fill} of {ring}"));
        line("positions", format!("write {head}, read {floor}"));
    } else {
        line(
            "frames",
            format!(
                "{} committed, {}, {} dropped",
                snapshot.newest_sequence,
                sizes::show(snapshot.bytes_committed),
                snapshot.dropped_frames
            ),
        );
        line(
            "fill",
            format!(
                "{fill} of {ring}, at most {} so far; {} waits for room",
                sizes::show(snapshot.high_water_bytes),
                snapshot.full_waits
            ),
        );
        line("positions", format!("head {head}, floor {floor}"));
    }
    match &snapshot.metadata {
        Some(bytes) => {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(METADATA_SHOWN)]);
            let generation = if v1 {
                String::new()
            } else {
                format!(", generation {}", snapshot.metadata_generation)
            };
            line("metadata", format!("{} bytes{generation}: {shown}", bytes.len()));
            let stream = StreamInfo::parse(bytes);
            if !matches!(stream.content(), Content::Opaque | Content::Json) {
                line("frames are", stream.to_string());
            }
            if let Some(problem) = stream.problem() {
                line("frames are", format!("not told by the metadata: {problem}"));
            }
        }
        None => line("metadata", "none".to_owned()),
    }
    for problem in &snapshot.problems {
        line("problem", problem.clone());
    }
    text
}
