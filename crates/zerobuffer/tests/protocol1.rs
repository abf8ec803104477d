//! Protocol 1.0 through the public API: the same calls as for 2.0, and what is different.
//!
//! Its buffers live in `/dev/shm` only, so every test has a name of its own there. The deployed Python package is the
//! other side in `src/v1/tests/python.rs` and in the command's tests.
#![allow(missing_docs)]

mod common;

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{
    Call, LARGE, PATIENCE, Peer, Placement, STORES, Stage, assert_streamed, frame, is_frame,
    reader_in, shm_dir, some_len, writer_in,
};
use zerobuffer::inspect::{self, SegmentState};
use zerobuffer::{
    BufferConfig, Event, FullPolicy, MetadataError, OpenError, Protocol, ReadError, Reader,
    WaitStrategy, WriteError, Writer, WriterPresence, Written,
};

const SHM: &str = "/dev/shm";
const NOW: Duration = Duration::ZERO;

/// A buffer name that only this test uses, and nothing under it when the test is over.
struct Name(String);

impl Name {
    fn new(what: &str) -> Self {
        Self::of(what, std::process::id())
    }

    fn of(what: &str, pid: u32) -> Self {
        Self(format!("zerobuffer-test-{what}-{pid}"))
    }

    fn segment(&self) -> PathBuf {
        Path::new(SHM).join(&self.0)
    }

    fn traces(&self) -> Vec<PathBuf> {
        let semaphores = ["r", "w"].map(|side| format!("{SHM}/sem.sem-{side}-{}", self.0).into());
        [self.segment()].into_iter().chain(semaphores).filter(|path| path.exists()).collect()
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let traces = self.traces();
        for path in &traces {
            let _ = std::fs::remove_file(path);
        }
        if !std::thread::panicking() {
            assert_eq!(traces, Vec::<PathBuf>::new(), "left behind");
        }
    }
}

fn config(payload: usize) -> BufferConfig {
    BufferConfig::v1().payload_bytes(payload).metadata_bytes(256)
}

fn pair(name: &Name, payload: usize) -> (Reader, Writer) {
    let reader = Reader::create(&name.0, &config(payload)).unwrap();
    let writer = Writer::connect(&name.0).unwrap();
    (reader, writer)
}

fn expect(reader: &mut Reader, sequence: u64, len: usize) {
    let found = reader.read_timeout(PATIENCE).unwrap().expect("the writer is there");
    assert_eq!((found.sequence(), found.len()), (sequence, len));
    assert!(is_frame(sequence, &found), "frame {sequence}");
}

#[test]
fn every_byte_arrives_whichever_stores_copy_it_in() {
    for stores in STORES {
        let name = Name::new(&format!("stores-{stores:?}"));
        let mut reader = Reader::create(&name.0, &config(64 << 10)).unwrap();
        let mut writer =
            Writer::options().streaming_stores(stores).connect(&name.0).expect("the buffer");
        let mut large = 0;
        for sequence in 1..=300 {
            let len = some_len(sequence, 20_000);
            large += u64::from(len >= LARGE);
            writer.try_write(&frame(sequence, len)).unwrap();
            expect(&mut reader, sequence, len);
        }
        assert_streamed(stores, writer.stats().streamed_frames, large);
    }
}

#[test]
fn child_role() {
    common::child(role);
}

fn role(call: &Call) {
    let what = ["writer", "reader"][call.numbers[0] as usize];
    let name = Name::of(what, call.numbers[1] as u32);
    // The parent looks after what is left.
    let name = std::mem::ManuallyDrop::new(name);
    match call.role.as_str() {
        "write" => {
            let mut writer = call_writer(call).connect(&name.0).unwrap();
            for sequence in 1..=call.numbers[2] {
                writer.write(&frame(sequence, 100)).unwrap();
            }
            call.signal("written");
            call.linger();
        }
        "read" => {
            let _reader = Reader::create(&name.0, &config(4096)).unwrap();
            call.signal("created");
            call.linger();
        }
        other => panic!("no role {other}"),
    }
}

fn call_writer(call: &Call) -> zerobuffer::WriterOptions {
    Writer::options().wait_strategy(call.wait).wait_for_buffer(PATIENCE)
}

fn start(stage: &Stage, role: &str, kind: u64, frames: u64) -> Peer {
    stage.start(role, &[kind, u64::from(std::process::id()), frames])
}

#[test]
fn a_writer_finds_the_buffer_that_a_reader_made_and_everything_works_on_it() {
    let name = Name::new("calls");
    let (mut reader, mut writer) = pair(&name, 8192);
    assert_eq!((reader.protocol(), writer.protocol()), (Protocol::V1, Protocol::V1));
    assert_eq!((reader.payload_bytes(), writer.payload_bytes()), (8192, 8192));
    assert_eq!(reader.max_frame_bytes(), writer.max_frame_bytes());
    assert!(reader.metadata().unwrap().is_none());
    writer.set_metadata(b"I420").unwrap();
    let metadata = reader.metadata().unwrap().unwrap();
    assert_eq!((&metadata[..], metadata.generation()), (&b"I420"[..], 1));
    drop(metadata);
    assert!(matches!(writer.set_metadata(b"NV12"), Err(MetadataError::AlreadySet { .. })));
    assert!(matches!(writer.replace_metadata(b"N"), Err(MetadataError::NotReplaceable { .. })));
    assert!(matches!(writer.set_metadata(&[0; 300]), Err(MetadataError::TooLarge { .. })));

    assert_eq!(writer.next_sequence(), 1);
    assert_eq!(writer.write(&frame(1, 700)).unwrap(), Written::Committed(1));
    assert_eq!(writer.try_write(&frame(2, 1)).unwrap().sequence(), Some(2));
    assert_eq!(writer.write_timeout(&frame(3, 33), PATIENCE).unwrap().sequence(), Some(3));
    drop(writer.loan(500).unwrap());
    let mut loan = writer.loan(500).unwrap();
    loan[..60].copy_from_slice(&frame(4, 60));
    loan.truncate(60);
    assert_eq!(loan.commit(), 4);
    let mut loan = writer.try_loan(40).unwrap();
    loan.copy_from_slice(&frame(5, 40));
    loan.commit();
    assert_eq!(writer.undelivered().frames, 5);
    assert!(reader.backlog_bytes() > 700);
    for (sequence, len) in [(1, 700), (2, 1), (3, 33), (4, 60), (5, 40)] {
        expect(&mut reader, sequence, len);
    }
    assert_eq!((writer.undelivered().frames, reader.backlog_bytes()), (0, 0));
    assert!(matches!(reader.try_read(), Err(ReadError::Timeout { .. })));
    let written = writer.stats();
    assert_eq!((written.frames, written.bytes), (5, 834));
    let read = reader.stats();
    assert_eq!((read.frames, read.bytes), (5, 834));
    assert!(writer.has_live_reader() && writer.has_had_reader() && !reader.is_durable());
    assert_eq!(writer.readers().len(), 1);
    assert!(writer.readers()[0].alive);
    assert_eq!(reader.writer_presence(), WriterPresence::Attached);
    assert!(writer.wait_drained(Some(PATIENCE)));
}

#[test]
fn batches_are_seen_as_a_whole_and_released_as_a_whole() {
    let name = Name::new("batches");
    let (mut reader, mut writer) = pair(&name, 4096);
    let mut batch = writer.batch();
    for sequence in 1..=3 {
        batch.push(&frame(sequence, 50)).unwrap();
    }
    assert!(matches!(reader.try_read(), Err(ReadError::Timeout { .. })));
    drop(batch);
    let mut batch = writer.batch();
    for sequence in 1..=4 {
        assert_eq!(batch.push(&frame(sequence, 50)).unwrap().sequence(), Some(sequence));
    }
    assert_eq!(batch.commit(), 4);

    let kept = reader.read().unwrap().unwrap().into_owned();
    let mut batch = reader.read_batch(2).unwrap().unwrap();
    for sequence in 2..=3 {
        let frame = batch.next().unwrap();
        assert_eq!(frame.sequence, sequence);
        assert!(is_frame(sequence, frame.payload));
    }
    assert!(batch.next().is_none());
    drop(batch);
    expect(&mut reader, 4, 50);
    // What was read behind a frame that is kept stays taken until it is dropped.
    assert!(writer.undelivered().bytes >= 4 * 66);
    assert!(is_frame(1, &kept));
    drop(kept);
    assert_eq!(writer.undelivered().bytes, 0);
}

#[test]
fn a_frame_that_does_not_fit_the_given_space_stays() {
    let name = Name::new("space");
    let (mut reader, mut writer) = pair(&name, 4096);
    writer.write(&frame(1, 100)).unwrap();
    let mut space = [0; 99];
    let error = reader.read_into(&mut space).unwrap_err();
    assert!(matches!(error, ReadError::SpaceTooSmall { bytes: 100, space: 99, .. }), "{error}");
    assert!(reader.backlog_bytes() >= 100);
    let mut space = [0; 200];
    assert_eq!(reader.read_into(&mut space).unwrap(), Some(100));
    assert!(is_frame(1, &space[..100]));
}

#[test]
fn kept_frames_are_released_in_any_order_by_other_threads() {
    let name = Name::new("kept");
    let (mut reader, mut writer) = pair(&name, 4096);
    let (give, take) = std::sync::mpsc::channel::<(u64, zerobuffer::OwnedFrame)>();
    let releasing = std::thread::spawn(move || {
        let mut kept = Vec::new();
        for (sequence, frame) in take {
            assert!(is_frame(sequence, &frame), "frame {sequence} was overwritten");
            kept.push((sequence, frame));
            if kept.len() == 5 {
                for index in [3, 0, 2, 1, 0] {
                    let (sequence, frame) = kept.remove(index.min(kept.len() - 1));
                    assert!(is_frame(sequence, &frame), "frame {sequence} was overwritten");
                }
            }
        }
    });
    let writing = std::thread::spawn(move || {
        for sequence in 1..=3000 {
            writer.write_timeout(&frame(sequence, some_len(sequence, 500)), PATIENCE).unwrap();
        }
    });
    for sequence in 1..=3000 {
        let frame = reader.read_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!(frame.sequence(), sequence);
        give.send((sequence, frame.into_owned())).unwrap();
    }
    drop(give);
    writing.join().unwrap();
    releasing.join().unwrap();
}

#[test]
fn a_kept_frame_outlives_its_reader_and_the_buffer() {
    let name = Name::new("outlives");
    let (mut reader, mut writer) = pair(&name, 4096);
    writer.write(&frame(1, 1000)).unwrap();
    let kept = reader.read().unwrap().unwrap().into_owned();
    drop(reader);
    assert!(matches!(writer.write(&[1]), Err(WriteError::ReaderGone { .. })));
    let (mut successor, mut other) = pair(&name, 4096);
    other.write(&frame(7, 1000)).unwrap();
    assert!(is_frame(7, &successor.read().unwrap().unwrap()));
    assert!(is_frame(1, &kept));
}

#[test]
fn a_full_ring_is_met_by_policy() {
    let name = Name::new("full");
    let _reader = Reader::create(&name.0, &config(1024)).unwrap();
    let connect = |policy| Writer::options().full_policy(policy).connect(&name.0).unwrap();
    let mut writer = connect(FullPolicy::Block { timeout: Some(Duration::from_millis(5)) });
    let fill = |writer: &mut Writer| loop {
        match writer.write(&[1; 100]) {
            Ok(Written::Committed(_)) => {}
            other => break other,
        }
    };
    let error = fill(&mut writer).unwrap_err();
    let WriteError::Full { holder, .. } = &error else { panic!("{error}") };
    assert!(holder.is_alive() && holder.pid() == std::process::id(), "{error}");
    assert!(writer.stats().full_waits > 0);
    drop(writer);
    let mut writer = connect(FullPolicy::Fail);
    assert!(matches!(fill(&mut writer), Err(WriteError::Full { waited: NOW, .. })));
    drop(writer);
    let mut writer = connect(FullPolicy::DropNewest);
    assert_eq!(fill(&mut writer).unwrap(), Written::Dropped);
    assert!(writer.loan(100).is_err());
    let stats = writer.stats();
    assert_eq!((stats.dropped_frames, stats.dropped_bytes), (2, 200));
}

#[test]
fn a_batch_that_fills_the_ring_is_committed_so_far_for_the_reader_to_make_room() {
    let name = Name::new("large-batch");
    let (mut reader, mut writer) = pair(&name, 1024);
    let reading = std::thread::spawn(move || {
        for sequence in 1..=200 {
            expect(&mut reader, sequence, 90);
        }
    });
    let mut batch = writer.batch();
    for sequence in 1..=200 {
        batch.push(&frame(sequence, 90)).unwrap();
    }
    assert_eq!(batch.commit(), 200);
    reading.join().unwrap();
}

#[test]
fn sizes_that_do_not_fit_are_refused_and_those_that_always_fit_do() {
    let name = Name::new("sizes");
    let (mut reader, mut writer) = pair(&name, 2048);
    assert!(matches!(writer.write(&[]), Err(WriteError::EmptyFrame { .. })));
    assert!(matches!(writer.write(&[0; 2048]), Err(WriteError::FrameTooLarge { .. })));
    let max = writer.max_frame_bytes();
    for sequence in 1..=500_u64 {
        let len = if sequence.is_multiple_of(3) { max } else { some_len(sequence, max) };
        let written = writer.try_write(&frame(sequence, len)).unwrap();
        assert_eq!(written.sequence(), Some(sequence));
        expect(&mut reader, sequence, len);
    }
    let begun = writer.write(&vec![1; 1400]);
    assert!(
        matches!(begun, Ok(_) | Err(WriteError::NeverFitsHere { bytes: 1400, .. })),
        "{begun:?}"
    );
}

#[test]
fn an_end_is_told_once_and_a_successor_begins_with_frame_1() {
    let name = Name::new("successor");
    let (mut reader, mut writer) = pair(&name, 4096);
    assert_eq!(reader.events().collect::<Vec<_>>(), [Event::WriterAttached { generation: 1 }]);
    writer.set_metadata(b"x").unwrap();
    writer.write(&frame(1, 10)).unwrap();
    drop(writer);
    expect(&mut reader, 1, 10);
    assert!(reader.read_timeout(PATIENCE).unwrap().is_none());
    assert_eq!(reader.writer_presence(), WriterPresence::Closed);
    let events: Vec<_> = reader.events().collect();
    assert!(events.contains(&Event::WriterClosed), "{events:?}");
    assert!(events.contains(&Event::MetadataChanged { generation: 1 }), "{events:?}");
    assert!(matches!(reader.try_read(), Err(ReadError::Timeout { .. })), "told once");
    let mut writer = Writer::connect(&name.0).unwrap();
    writer.set_metadata(b"x").unwrap();
    assert!(matches!(writer.set_metadata(b"y"), Err(MetadataError::AlreadySet { .. })));
    writer.write(&frame(1, 20)).unwrap();
    expect(&mut reader, 1, 20);
    assert_eq!(reader.events().collect::<Vec<_>>(), [Event::WriterAttached { generation: 2 }]);
    assert_eq!(reader.events().count(), 0);
}

#[test]
fn a_killed_writer_loses_nothing_that_it_had_committed() {
    let name = Name::new("writer");
    let stage = Stage::new(Placement::Processes, WaitStrategy::SpinThenPark, role);
    let mut reader = Reader::create(&name.0, &config(8192)).unwrap();
    let mut peer = start(&stage, "write", 0, 20);
    stage.await_signal("written");
    let pid = peer.pid();
    peer.kill();
    for sequence in 1..=20 {
        expect(&mut reader, sequence, 100);
    }
    let error = reader.read_timeout(PATIENCE).unwrap_err();
    assert!(matches!(error, ReadError::WriterGone { pid: dead, .. } if dead == pid), "{error}");
    assert_eq!(reader.writer_presence(), WriterPresence::Dead);
    assert!(reader.events().any(|event| event == Event::WriterGone { pid }));
    assert!(matches!(reader.try_read(), Err(ReadError::Timeout { .. })), "told once");
    let mut writer = Writer::connect(&name.0).unwrap();
    writer.write(&frame(1, 10)).unwrap();
    expect(&mut reader, 1, 10);
}

#[test]
fn a_killed_reader_is_told_and_replaced() {
    let name = Name::new("reader");
    let stage = Stage::new(Placement::Processes, WaitStrategy::SpinThenPark, role);
    let peer = start(&stage, "read", 1, 0);
    stage.await_signal("created");
    let mut writer = Writer::connect(&name.0).unwrap();
    writer.write(&[1; 100]).unwrap();
    let seen = inspect::snapshot(&name.0, Path::new(SHM)).unwrap();
    assert!(seen.in_use && seen.readers[0].alive && seen.writer.unwrap().alive);
    let refused = inspect::remove(&name.0, Path::new(SHM), false);
    assert!(matches!(refused, Err(OpenError::InUse { .. })), "{refused:?}");
    peer.kill();
    let error = loop {
        if let Err(error) = writer.write_timeout(&[1; 500], PATIENCE) {
            break error;
        }
    };
    assert!(matches!(error, WriteError::ReaderGone { .. }), "{error}");
    drop(writer);
    let dead = Writer::connect(&name.0).unwrap_err();
    // `NoReader`; or another reader that came meanwhile has removed what the dead one left.
    assert!(dead.is_not_found(), "{dead}");
    let seen = inspect::snapshot(&name.0, Path::new(SHM));
    assert!(seen.is_err() || !seen.unwrap().readers[0].alive);
    let (mut reader, mut writer) = pair(&name, 4096);
    writer.write(&frame(1, 10)).unwrap();
    expect(&mut reader, 1, 10);
}

#[test]
fn what_protocol_1_does_not_have_is_refused() {
    let name = Name::new("refused");
    let refused = |config: BufferConfig, says: &str| {
        let error = Reader::create(&name.0, &config).unwrap_err();
        assert!(matches!(error, OpenError::InvalidConfig { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    };
    refused(BufferConfig::v1().timestamps(true), "timestamps");
    refused(BufferConfig::v1().reader_slots(2), "reader slots");
    refused(BufferConfig::v1().mode(0o660), "mode");
    refused(BufferConfig::v1().keep_for_first_reader(false), "before its reader");
    let dir = shm_dir();
    let elsewhere = reader_in(dir.path()).create(&name.0, &BufferConfig::v1()).unwrap_err();
    assert!(elsewhere.to_string().contains(SHM), "{elsewhere}");
    let made = Writer::create(&name.0, &BufferConfig::v1()).unwrap_err();
    assert!(made.to_string().contains("the reader makes"), "{made}");
    let none = Writer::connect(&name.0).unwrap_err();
    assert!(matches!(none, OpenError::NotFound { .. }), "{none}");
}

#[test]
fn one_name_is_one_live_buffer() {
    let name = Name::new("one-name");
    let shm = Path::new(SHM);
    let old = Reader::create(&name.0, &config(4096)).unwrap();
    for error in [
        Reader::join(&name.0).unwrap_err(),
        reader_in(shm).create(&name.0, &BufferConfig::new()).unwrap_err(),
        writer_in(shm).create(&name.0, &BufferConfig::new()).unwrap_err(),
    ] {
        assert!(matches!(error, OpenError::OtherProtocol { found: "1.0", .. }), "{error}");
    }
    let second = Reader::create(&name.0, &config(4096)).unwrap_err();
    assert!(matches!(second, OpenError::ReaderConnected { .. }), "{second}");
    let writer = Writer::connect(&name.0).unwrap();
    let second = Writer::connect(&name.0).unwrap_err();
    assert!(matches!(second, OpenError::WriterConnected { .. }), "{second}");
    // A buffer of that name in another directory is another one.
    let dir = shm_dir();
    let elsewhere = writer_in(dir.path()).create(&name.0, &BufferConfig::new()).unwrap();
    assert_eq!(elsewhere.protocol(), Protocol::V2);
    drop((writer, old));

    let new = Reader::create(&name.0, &BufferConfig::new().payload_bytes(4096)).unwrap();
    let old = Reader::create(&name.0, &config(4096)).unwrap_err();
    assert!(matches!(old, OpenError::OtherProtocol { found: "2.0", .. }), "{old}");
    assert_eq!(Writer::connect(&name.0).unwrap().protocol(), Protocol::V2);
    new.unsubscribe();
}

#[test]
fn a_writer_waits_for_a_buffer_of_either_protocol() {
    for config in [config(4096), BufferConfig::new().payload_bytes(4096)] {
        let name = Name::new("waits");
        let connecting = std::thread::spawn({
            let name = name.0.clone();
            move || Writer::options().wait_for_buffer(PATIENCE).connect(&name).unwrap()
        });
        std::thread::sleep(Duration::from_millis(20));
        let reader = Reader::create(&name.0, &config).unwrap();
        let writer = connecting.join().unwrap();
        assert_eq!(writer.protocol(), reader.protocol());
        drop(writer);
        reader.unsubscribe();
    }
}

#[test]
fn words_that_no_peer_writes_are_errors_of_their_own() {
    let damaged = |what: &str, offset: u64, word: u64| -> String {
        let name = Name::new(what);
        let (mut reader, mut writer) = pair(&name, 4096);
        writer.write(&frame(1, 100)).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(name.segment()).unwrap();
        file.write_at(&word.to_le_bytes(), offset).unwrap();
        let error = reader.read_timeout(Duration::from_millis(300)).unwrap_err();
        assert!(error.to_string().contains(&name.0), "{error}");
        let again = reader.try_read();
        match &error {
            ReadError::Damaged { .. } => assert!(matches!(again, Err(ReadError::Damaged { .. }))),
            ReadError::SequenceGap { .. } => assert_eq!(again.unwrap().unwrap().sequence(), word),
            other => panic!("{what}: {other}"),
        }
        error.to_string()
    };
    let first_frame = 128 + 256;
    for (what, offset, word, says) in [
        ("position", 0x30, 5000, "the write position"),
        ("too-long", first_frame, 5000, "more bytes than the payload has"),
        ("past-end", first_frame, 4080, "past"),
        ("gap", first_frame + 8, 9, "frame 9 follows"),
    ] {
        let text = damaged(what, offset, word);
        assert!(text.contains(says), "{what}: {text}");
    }
}

#[test]
fn segments_that_are_none_are_refused_by_what_is_wrong() {
    let name = Name::new("no-segment");
    let reader = Reader::create(&name.0, &config(4096)).unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(name.segment()).unwrap();
    let with = |offset: u64, bytes: &[u8]| {
        let mut before = vec![0; bytes.len()];
        file.read_exact_at(&mut before, offset).unwrap();
        file.write_all_at(bytes, offset).unwrap();
        let error = Writer::connect(&name.0).unwrap_err();
        file.write_all_at(&before, offset).unwrap();
        assert!(error.to_string().contains(&name.0), "{error}");
        error
    };
    let size = with(0, &200_u32.to_le_bytes());
    assert!(
        matches!(&size, OpenError::Damaged { problem, .. } if problem.contains("200")),
        "{size}"
    );
    assert!(matches!(with(4, &[9, 0, 0, 0]), OpenError::WrongVersion { .. }));
    assert!(matches!(with(0x30, &9999_u64.to_le_bytes()), OpenError::Damaged { .. }));
    assert!(matches!(with(0x58, &[0; 8]), OpenError::NoReader { .. }));
    let semaphore = format!("{SHM}/sem.sem-w-{}", name.0);
    std::fs::rename(&semaphore, format!("{semaphore}.away")).unwrap();
    let missing = Writer::connect(&name.0).unwrap_err();
    std::fs::rename(format!("{semaphore}.away"), &semaphore).unwrap();
    assert!(matches!(missing, OpenError::MissingSemaphores { .. }), "{missing}");
    assert!(Writer::connect(&name.0).is_ok());
    drop(reader);
}

#[test]
fn looking_from_outside_shows_it_beside_the_others_and_removes_it() {
    let name = Name::new("looked-at");
    let shm = Path::new(SHM);
    let (mut reader, mut writer) = pair(&name, 4096);
    writer.set_metadata(b"I420").unwrap();
    for sequence in 1..=3 {
        writer.write(&frame(sequence, 100)).unwrap();
    }
    expect(&mut reader, 1, 100);
    let listed = inspect::list(shm).unwrap();
    let listed = listed.iter().find(|listing| listing.name == name.0).unwrap();
    assert_eq!(listed.protocol, Protocol::V1);
    let seen = listed.snapshot.as_ref().unwrap();
    assert_eq!((seen.version.as_str(), seen.state), ("1.0.0", SegmentState::Ready));
    assert_eq!((seen.payload_bytes, seen.fill_bytes), (4096, 2 * 116));
    assert_eq!(seen.metadata.as_deref(), Some(&b"I420"[..]));
    assert_eq!(seen.readers[0].lag_frames, 2);
    assert_eq!(seen.readers[0].pid, std::process::id());
    assert_eq!(seen.problems, Vec::<String>::new());
    let removed = inspect::remove(&name.0, shm, true).unwrap();
    assert!(removed.was_in_use && removed.undelivered_frames == 2);
    assert!(name.traces().is_empty());
    // Those who use it go on with memory that nobody else sees.
    expect(&mut reader, 2, 100);
}

#[test]
fn endpoints_stay_with_the_process_that_opened_them() {
    let name = Name::new("forked");
    let (mut reader, mut writer) = pair(&name, 4096);
    writer.write(&frame(1, 10)).unwrap();
    let status = in_child(|| {
        matches!(writer.try_write(&[1]), Err(WriteError::Forked { .. }))
            && matches!(reader.try_read(), Err(ReadError::Forked { .. }))
            && matches!(writer.set_metadata(b"x"), Err(MetadataError::Forked { .. }))
            && !writer.has_live_reader()
            && reader.backlog_bytes() == 0
    });
    assert_eq!(status, 0);
    expect(&mut reader, 1, 10);
}

/// Forks, runs `check` in the child, and returns 0 if it was true there.
#[allow(unsafe_code)]
fn in_child(check: impl FnOnce() -> bool) -> i32 {
    // SAFETY: the child calls nothing but the library's checks and `_exit`; no other thread of this test holds
    // anything that they need.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = if check() { 0 } else { 1 };
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(code) };
    }
    let mut status = -1;
    // SAFETY: waits for the child made above.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    status
}

#[test]
fn ten_thousand_frames_of_every_length_over_a_small_ring() {
    for (wait, what) in [
        (WaitStrategy::Spin, "spin"),
        (WaitStrategy::SpinThenPark, "spin-park"),
        (WaitStrategy::Park, "park"),
    ] {
        let name = Name::new(what);
        let mut reader =
            Reader::options().wait_strategy(wait).create(&name.0, &config(4096)).unwrap();
        let mut writer = Writer::options().wait_strategy(wait).connect(&name.0).unwrap();
        let writing = std::thread::spawn(move || {
            for sequence in 1..=10_000 {
                writer.write_timeout(&frame(sequence, some_len(sequence, 1000)), PATIENCE).unwrap();
            }
        });
        for sequence in 1..=10_000 {
            expect(&mut reader, sequence, some_len(sequence, 1000));
        }
        assert!(reader.read_timeout(PATIENCE).unwrap().is_none(), "closed");
        writing.join().unwrap();
    }
}
