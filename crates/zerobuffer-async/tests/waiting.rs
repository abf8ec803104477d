//! Every frame arrives, whoever runs the futures.
#![allow(missing_docs)]

#[path = "../../zerobuffer/tests/common/mod.rs"]
mod common;

use common::{Watchdog, frame, is_frame, shm_dir};
use futures::executor::block_on;
use zerobuffer::{BufferConfig, Reader, Writer};
use zerobuffer_async::{AsyncReader, AsyncWriter};

const NAME: &str = "awaited";
const FRAMES: u64 = 5_000;
const BYTES: usize = 700;

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
