//! Frames, room, cancellation and the end of peers, waited for asynchronously.
#![allow(missing_docs)]

#[path = "../../zerobuffer/tests/common/mod.rs"]
mod common;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{Call, Placement, Stage, Watchdog, frame, is_frame, shm_dir};
use futures::executor::block_on;
use zerobuffer::{BufferConfig, ReadError, Reader, WaitStrategy, Writer};
use zerobuffer_async::{AsyncReader, AsyncWriter};

const NAME: &str = "awaited";
const FRAMES: u64 = 5_000;
const BYTES: usize = 700;

#[test]
fn child_role() {
    common::child(role);
}

fn role(call: &Call) {
    let mut writer = call.writer().create(NAME, &config()).unwrap();
    writer.write(&frame(1, BYTES)).unwrap();
    call.signal("written");
    call.linger();
}

/// So small that the writer must wait for room.
fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(4096)
}

fn ends(dir: &std::path::Path) -> (AsyncWriter, AsyncReader) {
    let writer = Writer::options().dir(dir).create(NAME, &config()).unwrap();
    let reader = Reader::options().dir(dir).join(NAME).unwrap();
    (AsyncWriter::new(writer).unwrap(), AsyncReader::new(reader).unwrap())
}

async fn write_all(mut writer: AsyncWriter) {
    for sequence in 1..=FRAMES {
        if sequence % 2 == 0 {
            writer.write(&frame(sequence, BYTES)).await.unwrap();
        } else {
            let mut loan = writer.loan(BYTES).await.unwrap();
            loan.copy_from_slice(&frame(sequence, BYTES));
            loan.commit();
        }
    }
}

async fn read_all(mut reader: AsyncReader) -> u64 {
    let mut count = 0;
    while let Some(frame) = reader.read().await.unwrap() {
        count += 1;
        assert_eq!(frame.sequence(), count);
        assert!(is_frame(count, &frame));
    }
    count
}

#[test]
fn every_frame_arrives_between_bare_block_ons() {
    let _watchdog = Watchdog::new("bare block_on");
    let dir = shm_dir();
    let (writer, reader) = ends(dir.path());
    let writing = std::thread::spawn(|| block_on(write_all(writer)));
    assert_eq!(block_on(read_all(reader)), FRAMES);
    writing.join().unwrap();
}

#[test]
fn every_frame_arrives_between_two_tasks_of_tokio() {
    let _watchdog = Watchdog::new("tokio");
    let dir = shm_dir();
    let (writer, reader) = ends(dir.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let writing = tokio::spawn(write_all(writer));
        let reading = tokio::spawn(read_all(reader));
        assert_eq!(reading.await.unwrap(), FRAMES);
        writing.await.unwrap();
    });
}

#[test]
fn every_frame_arrives_between_two_tasks_of_smol() {
    let _watchdog = Watchdog::new("smol");
    let dir = shm_dir();
    let (writer, reader) = ends(dir.path());
    let writing = smol::spawn(write_all(writer));
    assert_eq!(smol::block_on(read_all(reader)), FRAMES);
    smol::block_on(writing);
}

/// Polls once and drops the future.
fn give_up<F: Future>(future: F) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(pin!(future).poll(&mut context), Poll::Pending)
}

#[test]
fn futures_that_are_dropped_lose_nothing() {
    let _watchdog = Watchdog::new("cancellation");
    let dir = shm_dir();
    let (mut writer, mut reader) = ends(dir.path());
    assert!(give_up(reader.read()));
    assert!(give_up(reader.next_batch(3)));
    let mut written = 0;
    while !give_up(writer.write(&frame(written + 1, BYTES))) {
        written += 1;
    }
    assert!(written > 1);
    assert!(give_up(writer.loan(BYTES)));
    for sequence in 1..=written {
        let frame = block_on(reader.read()).unwrap().unwrap();
        assert!(frame.sequence() == sequence && is_frame(sequence, &frame));
    }
    assert!(give_up(reader.read()));
    block_on(writer.write(&frame(written + 1, BYTES))).unwrap();
    let mut batch = block_on(reader.next_batch(9)).unwrap().unwrap();
    assert_eq!(batch.next().unwrap().sequence, written + 1);
    assert!(batch.next().is_none());
}

#[test]
fn a_reader_is_told_of_a_killed_writer_while_it_waits() {
    let _watchdog = Watchdog::new("killed writer");
    let stage = Stage::new(Placement::Processes, WaitStrategy::Park, role);
    let peer = stage.start("write and linger", &[]);
    let reader = stage.call.reader().join(NAME).unwrap();
    stage.call.await_signal("written");
    let mut reader = AsyncReader::new(reader).unwrap();
    let killing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50)); // The reader is likely asleep by then.
        peer.kill();
    });
    assert!(is_frame(1, &block_on(reader.read()).unwrap().unwrap()));
    let error = block_on(reader.read()).unwrap_err();
    assert!(matches!(error, ReadError::WriterGone { .. }), "{error}");
    killing.join().unwrap();
}
