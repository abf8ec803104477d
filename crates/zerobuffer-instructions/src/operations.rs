//! The operations that are counted. Each prepares the same whatever the count, then does one thing `count` times.

use std::hint::black_box;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use zerobuffer::{BufferConfig, OwnedFrame, ReadError, Reader, WaitStrategy, Writer};

/// How often an operation may be done.
pub(crate) const MOST: usize = 6000;
/// Frames of a batch.
const BATCH: usize = 16;
const BYTES: usize = 64;
/// Room for a batch of every call, so that nobody ever waits: this is one thread.
const ROOMY: usize = 8 << 20;
/// Small enough that `MOST` frames go round several times.
const SMALL: usize = 64 << 10;

type Operation = fn(Rig, usize) -> anyhow::Result<()>;

/// Every operation, by its name.
pub(crate) const OPERATIONS: [(&str, Operation); 8] = [
    ("write 64 B", write),
    ("read and release 64 B", read),
    ("release alone", release),
    ("loan and commit 64 B", loan),
    ("write and read 64 B, several laps", laps),
    ("poll of an empty ring", poll),
    ("write a batch of 16 x 64 B", write_batch),
    ("read a batch of 16 x 64 B", read_batch),
];

/// A directory of its own, which goes with everything in it, also with what frames that were never given back kept alive.
#[derive(Debug)]
pub(crate) struct Rig {
    dir: TempDir,
}

impl Rig {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let place = zerobuffer::default_dir();
        let dir = TempDir::with_prefix_in("zerobuffer-instructions-", &place)
            .with_context(|| format!("make a directory in {}", place.display()))?;
        Ok(Self { dir })
    }

    fn ends(&self, payload_bytes: usize) -> anyhow::Result<(Writer, Reader)> {
        let config = BufferConfig::new().payload_bytes(payload_bytes);
        let reader = Reader::options().dir(self.dir.path()).wait_strategy(WaitStrategy::Spin);
        let reader = reader.create("counted", &config)?;
        let writer = Writer::options().dir(self.dir.path()).wait_strategy(WaitStrategy::Spin);
        Ok((writer.create("counted", &config)?, reader))
    }

    /// Both ends, with that many frames written.
    fn filled(&self, frames: usize) -> anyhow::Result<(Writer, Reader)> {
        let (mut writer, reader) = self.ends(ROOMY)?;
        for _ in 0..frames {
            writer.write(&[1; BYTES])?;
        }
        Ok((writer, reader))
    }
}

fn write(rig: Rig, count: usize) -> anyhow::Result<()> {
    let (mut writer, _reader) = rig.ends(ROOMY)?;
    let payload = black_box([1; BYTES]);
    for _ in 0..count {
        writer.write(&payload)?;
    }
    ensure!(writer.next_sequence() as usize == count + 1, "other frames were written too");
    Ok(())
}

fn read(rig: Rig, count: usize) -> anyhow::Result<()> {
    let (_writer, mut reader) = rig.filled(MOST)?;
    for _ in 0..count {
        let frame = reader.read()?.context("a frame is missing")?;
        black_box(frame[0]);
    }
    Ok(())
}

/// What is left of reading when the frame was found long ago.
fn release(rig: Rig, count: usize) -> anyhow::Result<()> {
    let (_writer, mut reader) = rig.filled(MOST)?;
    let mut held = Vec::with_capacity(MOST);
    for _ in 0..MOST {
        held.push(reader.read()?.context("a frame is missing")?.into_owned());
    }
    let mut held = held.into_iter();
    held.by_ref().take(count).for_each(drop::<OwnedFrame>);
    // Releasing these too would make all counts alike. The file they keep goes with the directory.
    held.for_each(std::mem::forget);
    Ok(())
}

fn loan(rig: Rig, count: usize) -> anyhow::Result<()> {
    let (mut writer, _reader) = rig.ends(ROOMY)?;
    for index in 0..count {
        let mut frame = writer.loan(BYTES)?;
        frame[0] = index as u8;
        frame.commit();
    }
    Ok(())
}

/// Claims that wait for nothing but have to look where the reader is, and go round the end of the ring.
fn laps(rig: Rig, count: usize) -> anyhow::Result<()> {
    let (mut writer, mut reader) = rig.ends(SMALL)?;
    let payload = black_box([1; BYTES]);
    for _ in 0..count {
        writer.write(&payload)?;
        let frame = reader.read()?.context("a frame is missing")?;
        black_box(frame[0]);
    }
    Ok(())
}

fn poll(rig: Rig, count: usize) -> anyhow::Result<()> {
    let (_writer, mut reader) = rig.ends(ROOMY)?;
    for _ in 0..count {
        let found = black_box(reader.try_read());
        ensure!(matches!(found, Err(ReadError::Timeout { .. })), "{found:?} instead of nothing");
    }
    Ok(())
}

fn write_batch(rig: Rig, count: usize) -> anyhow::Result<()> {
    let (mut writer, _reader) = rig.ends(ROOMY)?;
    let payload = black_box([1; BYTES]);
    for _ in 0..count {
        let mut batch = writer.batch();
        for _ in 0..BATCH {
            batch.push(&payload)?;
        }
        ensure!(batch.commit() == BATCH, "a batch of another size");
    }
    Ok(())
}

fn read_batch(rig: Rig, count: usize) -> anyhow::Result<()> {
    let (_writer, mut reader) = rig.filled(MOST * BATCH)?;
    for _ in 0..count {
        let mut batch = reader.read_batch(BATCH)?.context("a batch is missing")?;
        let mut frames = 0;
        while let Some(frame) = batch.next() {
            black_box(frame.payload[0]);
            frames += 1;
        }
        ensure!(frames == BATCH, "a batch of {frames} frames");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{MOST, OPERATIONS, Rig};

    #[test]
    fn every_operation_can_be_done_never_and_most_often_and_leaves_nothing() {
        for (name, operation) in OPERATIONS {
            for count in [0, 1, MOST] {
                let rig = Rig::new().expect("a directory");
                let path = rig.dir.path().to_owned();
                operation(rig, count)
                    .unwrap_or_else(|error| panic!("{name}, {count} times: {error:#}"));
                assert!(!path.exists(), "{name} left {}", path.display());
            }
        }
    }
}
