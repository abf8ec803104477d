//! Frames as a stream, a writer as a sink.
#![allow(missing_docs)]

#[path = "../../zerobuffer/tests/common/mod.rs"]
mod common;

use std::path::Path;

use common::{Watchdog, frame, is_frame, shm_dir};
use futures::executor::block_on;
use futures::{FutureExt as _, SinkExt as _, StreamExt as _, future, stream};
use zerobuffer::{BufferConfig, Reader, WriteError, Writer};
use zerobuffer_async::{AsyncReader, AsyncWriter};

const FRAMES: u64 = 3_000;
const BYTES: usize = 700;

fn ends(dir: &Path, name: &str) -> (AsyncWriter, AsyncReader) {
    let config = BufferConfig::new().payload_bytes(4096);
    let writer = Writer::options().dir(dir).create(name, &config).unwrap();
    let reader = Reader::options().dir(dir).join(name).unwrap();
    (AsyncWriter::new(writer).unwrap(), AsyncReader::new(reader).unwrap())
}

#[test]
fn a_stream_flows_through_a_second_buffer_into_another_task() {
    let _watchdog = Watchdog::new("stream");
    let dir = shm_dir();
    let (first_writer, first_reader) = ends(dir.path(), "first");
    let (second_writer, second_reader) = ends(dir.path(), "second");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let made = tokio::spawn(async {
            let mut sink = first_writer.into_sink();
            let frames = (1..=FRAMES).map(|sequence| Ok(frame(sequence, BYTES)));
            sink.send_all(&mut stream::iter(frames)).await
        });
        // No copy in between: an owned frame is written from where it lies.
        let passed = tokio::spawn(async {
            let frames = first_reader.into_stream().map(|frame| Ok(frame.unwrap()));
            frames.forward(second_writer.into_sink()).await
        });
        let seen = second_reader.into_stream().fold(0, |seen, frame| {
            let frame = frame.unwrap();
            assert_eq!(frame.sequence(), seen + 1);
            assert!(is_frame(seen + 1, &frame));
            future::ready(seen + 1)
        });
        assert_eq!(seen.await, FRAMES);
        made.await.unwrap().unwrap();
        passed.await.unwrap().unwrap();
    });
}

#[test]
fn a_sink_holds_one_item_that_found_no_room_and_gives_it_back() {
    let _watchdog = Watchdog::new("sink");
    let dir = shm_dir();
    let (writer, mut reader) = ends(dir.path(), "held");
    let mut sink = writer.into_sink();
    let mut fed = 0;
    // `feed` waits for the room of what is held, not for that of what it adds.
    while sink.feed(frame(fed + 1, BYTES)).now_or_never().is_some() {
        fed += 1;
    }
    assert!(fed > 1);
    assert!(sink.flush().now_or_never().is_none());
    let (writer, held) = sink.into_parts();
    assert_eq!(held, Some(frame(fed, BYTES)));
    for sequence in 1..fed {
        assert_eq!(block_on(reader.read()).unwrap().unwrap().sequence(), sequence);
    }
    let mut sink = writer.into_sink();
    block_on(sink.send(held.unwrap())).unwrap();
    assert!(is_frame(fed, &block_on(reader.read()).unwrap().unwrap()));

    let error = block_on(sink.send(Vec::new())).unwrap_err();
    assert!(matches!(error, WriteError::EmptyFrame { .. }), "{error}");
    block_on(sink.send(vec![1])).unwrap();
    assert_eq!(block_on(reader.read()).unwrap().unwrap()[..], [1]);
}

#[test]
fn a_stream_ends_with_its_writer_and_goes_on_with_the_next() {
    let _watchdog = Watchdog::new("successor");
    let dir = shm_dir();
    let (mut writer, reader) = ends(dir.path(), "next");
    let mut frames = reader.into_stream();
    block_on(writer.write(b"one")).unwrap();
    drop(writer);
    assert_eq!(block_on(frames.next()).unwrap().unwrap()[..], *b"one");
    assert!(block_on(frames.next()).is_none());
    assert!(frames.next().now_or_never().is_none(), "it waits");
    let writer = Writer::options().dir(dir.path()).connect("next").unwrap();
    let mut writer = AsyncWriter::new(writer).unwrap();
    block_on(writer.write(b"two")).unwrap();
    assert_eq!(block_on(frames.next()).unwrap().unwrap()[..], *b"two");
    let mut reader = frames.into_reader();
    block_on(writer.write(b"three")).unwrap();
    assert_eq!(block_on(reader.read()).unwrap().unwrap()[..], *b"three");
}
