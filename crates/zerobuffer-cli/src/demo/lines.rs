//! What the demo's children tell it: one JSON object a line, each with one `write` so that a kill cuts none in half.

use std::io;

use serde::{Deserialize, Serialize};

/// From the writer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromWriter {
    /// Attached; the next frame gets the sequence number after this one.
    Began { newest: u64, payload_bytes: u64 },
    /// Left in good order; the sequence number of the last frame.
    Ended { newest: u64 },
}

/// From the reader.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromReader {
    /// A frame was received and checked; it is released after this line.
    Frame { sequence: u64, right: bool, redelivered: bool, age_ns: Option<u64>, backlog_bytes: u64 },
    /// The writer died; everything it had committed was received.
    WriterGone,
    /// The writer left and everything was received.
    Ended,
}

/// Sends a line to the demo.
pub(crate) fn send(line: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string(line).map_err(io::Error::other)?;
    text.push('\n');
    let written = rustix::io::write(rustix::stdio::stdout(), text.as_bytes())?;
    if written == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}
