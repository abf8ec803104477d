//! What the targets share: changing bytes as the input says, and everything a program can do with a buffer.
#![allow(dead_code)] // Each target uses some of it.

use std::path::Path;
use std::time::Duration;

use zerobuffer::{Reader, Writer};

/// Calls that wait are given no time to speak of.
pub const SOON: Duration = Duration::from_micros(50);

/// Changes `bytes` as `input` says: pieces of an offset (three bytes), a length, and so many bytes; or, from the
/// first one on with the length 255, all of the rest at once.
pub fn change(bytes: &mut Vec<u8>, mut input: &[u8]) {
    while let [a, b, c, len, rest @ ..] = input {
        let offset = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
        let len = match len {
            255 => rest.len(),
            len => usize::from(*len % 17).min(rest.len()),
        };
        let offset = offset % bytes.len().max(1);
        let end = (offset + len).min(bytes.len());
        bytes[offset..end].copy_from_slice(&rest[..end - offset]);
        input = &rest[len..];
    }
    // What is left over says how long the file is: up to a page less or more.
    if let [a, b] = input {
        let by = usize::from(u16::from_le_bytes([*a, *b]));
        match by {
            0..4096 => bytes.truncate(bytes.len().saturating_sub(by)),
            4096..8192 => bytes.resize(bytes.len() + by - 4096, 0),
            _ => {}
        }
    }
}

/// Reads for a while.
pub fn read(reader: &mut Reader) {
    let mut space = [0; 512];
    for turn in 0..20 {
        let received = match turn % 4 {
            0 => reader.try_read().map(|frame| frame.map(|frame| frame.copy_to(&mut space))),
            1 => reader
                .read_timeout(SOON)
                .map(|frame| frame.map(|frame| frame.iter().map(|&b| usize::from(b)).sum())),
            2 => reader.try_read_batch(4).map(|batch| {
                batch.map(|mut batch| {
                    let mut bytes = 0;
                    while let Some(frame) = batch.next() {
                        bytes += frame.payload.len();
                    }
                    bytes
                })
            }),
            _ => reader.try_read().map(|frame| frame.map(|frame| frame.into_owned().len())),
        };
        if received.is_err_and(|error| !error.is_timeout()) {
            break;
        }
    }
    let _ = reader.metadata().map(|metadata| metadata.map(|metadata| metadata.len()));
    let _ = (reader.writer_presence(), reader.backlog_bytes(), reader.events().count());
    let _ = (reader.is_durable(), reader.stats());
}

/// Writes for a while.
pub fn write(writer: &mut Writer) {
    for len in [1, 100, 3000, writer.max_frame_bytes().min(1 << 20)] {
        let _ = writer.try_write(&vec![1; len]);
        let _ = writer.write_timeout(&[2; 10], SOON);
        if let Ok(mut frame) = writer.try_loan(len) {
            frame.fill(3);
            frame.truncate(len / 2 + 1);
            frame.commit();
        }
    }
    let mut batch = writer.batch();
    let _ = batch.push(b"one").and_then(|_| batch.push(b"two"));
    batch.commit();
    let _ = (writer.set_metadata(b"new"), writer.replace_metadata(b"newer"));
    let _ =
        (writer.readers(), writer.undelivered(), writer.stats(), writer.wait_drained(Some(SOON)));
}

/// Looks at the buffer from outside, and takes it away by force, so that the next input finds nothing.
pub fn look_and_remove(name: &str, dir: &Path) {
    let _ = zerobuffer::inspect::snapshot(name, dir);
    let _ = zerobuffer::inspect::list(dir);
    let _ = zerobuffer::inspect::remove(name, dir, false);
    let _ = zerobuffer::inspect::remove(name, dir, true);
}
