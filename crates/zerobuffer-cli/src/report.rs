//! The JSON of `write`, `read` and `relay`: the contract's fields in its order, then ours.

use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use crate::latency::Latency;
use crate::messages::tell;
use crate::output::{self, Output};

/// At most so many messages are kept; a bad stream would otherwise fill memory with them.
const MOST_ERRORS: usize = 100;
/// The contract's number of checksums.
const MOST_CHECKSUMS: usize = 100;

/// What `write` did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct WriteReport {
    operation: &'static str,
    buffer_name: String,
    pub(crate) frames_written: u64,
    pub(crate) frame_size: usize,
    pub(crate) metadata_size: usize,
    duration_seconds: f64,
    throughput_mbps: f64,
    pub(crate) errors: Errors,
    pub(crate) bytes_written: u64,
    pub(crate) frames_dropped: u64,
    pub(crate) frames_undelivered: u64,
    /// Frames of 0 bytes on stdin.
    pub(crate) skipped_empty: u64,
    /// Places of readers that were given up, and frames that were kept there.
    pub(crate) forgotten_readers: u64,
    pub(crate) forgotten_frames: u64,
}

/// What `read` did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ReadReport {
    operation: &'static str,
    buffer_name: String,
    pub(crate) frames_read: u64,
    pub(crate) frame_size: usize,
    pub(crate) metadata_size: usize,
    duration_seconds: f64,
    throughput_mbps: f64,
    pub(crate) verification_errors: u64,
    pub(crate) checksums: Vec<Checksum>,
    pub(crate) errors: Errors,
    pub(crate) bytes_read: u64,
    pub(crate) frames_redelivered: u64,
    pub(crate) frames_missed: u64,
    #[serde(flatten)]
    pub(crate) latency: Latency,
}

/// What `relay` did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct RelayReport {
    operation: &'static str,
    input_buffer: String,
    output_buffer: String,
    pub(crate) frames_relayed: u64,
    pub(crate) metadata_relayed: bool,
    duration_seconds: f64,
    throughput_mbps: f64,
    transform: String,
    pub(crate) errors: Errors,
    pub(crate) bytes_relayed: u64,
    /// Frames among them that were passed on without copying them.
    pub(crate) frames_by_reference: u64,
    #[serde(flatten)]
    pub(crate) latency: Latency,
}

/// Content of one frame, counted from 0 in the order of arrival.
#[derive(Debug, Serialize)]
pub(crate) struct Checksum {
    frame: u64,
    checksum: String,
}

/// Messages, the first hundred of them.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Errors(Vec<String>);

impl Errors {
    pub(crate) fn push(&mut self, message: String) {
        if self.0.len() < MOST_ERRORS {
            self.0.push(message);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }
}

impl WriteReport {
    pub(crate) fn new(name: &str) -> Self {
        Self { operation: "write", buffer_name: name.to_owned(), ..Self::default() }
    }

    pub(crate) fn took(&mut self, time: Duration) {
        (self.duration_seconds, self.throughput_mbps) = rates(time, self.bytes_written);
    }

    pub(crate) fn summary(&self) -> String {
        let dropped = match self.frames_dropped {
            0 => String::new(),
            n => format!(", dropped {n}"),
        };
        let empty = match self.skipped_empty {
            0 => String::new(),
            n => format!(", skipped {n} empty"),
        };
        let forgotten = match (self.forgotten_readers, self.forgotten_frames) {
            (0, _) => String::new(),
            (n, frames) => format!(", gave up the places of {n} readers with {frames} frames"),
        };
        let more = dropped + &empty + &forgotten;
        summary("wrote", self.frames_written, &more, self.duration_seconds, self.throughput_mbps)
    }
}

impl ReadReport {
    pub(crate) fn new(name: &str) -> Self {
        Self { operation: "read", buffer_name: name.to_owned(), ..Self::default() }
    }

    pub(crate) fn took(&mut self, time: Duration) {
        (self.duration_seconds, self.throughput_mbps) = rates(time, self.bytes_read);
    }

    /// Whether another checksum is wanted.
    pub(crate) fn wants_checksum(&self) -> bool {
        self.checksums.len() < MOST_CHECKSUMS
    }

    pub(crate) fn add_checksum(&mut self, checksum: String) {
        self.checksums.push(Checksum { frame: self.frames_read, checksum });
    }

    pub(crate) fn summary(&self) -> String {
        let latency = self.latency.line();
        let wrong = match self.verification_errors {
            0 => String::new(),
            n => format!(", {n} not as expected"),
        };
        let missed = match self.frames_missed {
            0 => String::new(),
            n => format!(", missed {n}"),
        };
        let (seconds, rate) = (self.duration_seconds, self.throughput_mbps);
        summary("read", self.frames_read, &(missed + &wrong), seconds, rate) + &latency
    }
}

impl RelayReport {
    pub(crate) fn new(input: &str, output: &str, transform: &str) -> Self {
        Self {
            operation: "relay",
            input_buffer: input.to_owned(),
            output_buffer: output.to_owned(),
            transform: transform.to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn took(&mut self, time: Duration) {
        (self.duration_seconds, self.throughput_mbps) = rates(time, self.bytes_relayed);
    }

    pub(crate) fn summary(&self) -> String {
        let latency = self.latency.line();
        let by_reference = match self.frames_by_reference {
            0 => String::new(),
            n if n == self.frames_relayed => ", all by reference".to_owned(),
            n => format!(", {n} by reference"),
        };
        let (seconds, rate) = (self.duration_seconds, self.throughput_mbps);
        summary("relayed", self.frames_relayed, &by_reference, seconds, rate) + &latency
    }
}

/// Prints a report where it belongs: JSON if wanted, else a summary; on stderr while stdout carries frames. An error
/// if it did not arrive; a summary on stderr is a message like others there, and need not.
pub(crate) fn print<R: Serialize>(
    report: &R,
    summary: &str,
    json: bool,
    to_stderr: bool,
) -> std::io::Result<()> {
    let text = if json {
        output::json(report).expect("reports have no maps or foreign values")
    } else {
        summary.to_owned()
    };
    match (to_stderr, json) {
        (true, true) => Output::stderr().write_all(format!("{text}\n").as_bytes()),
        (true, false) => {
            tell(text);
            Ok(())
        }
        (false, _) => output::print(&format!("{text}\n")),
    }
}

fn rates(time: Duration, bytes: u64) -> (f64, f64) {
    let seconds = time.as_secs_f64();
    let mib = bytes as f64 / f64::from(1 << 20);
    (seconds, if seconds > 0.0 { mib / seconds } else { 0.0 })
}

fn summary(verb: &str, frames: u64, more: &str, seconds: f64, rate: f64) -> String {
    format!("{verb} {frames} frames in {seconds:.3} seconds{more}\nthroughput {rate:.1} MiB/s")
}
