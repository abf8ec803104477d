//! What happens when the ring is full or empty; what each side is told of the other; metadata that changes.
#![allow(missing_docs)]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{
    Call, Placement, Stage, everywhere, frame, is_frame, left_behind, reader_in, shm_dir, until,
    writer_in,
};
use zerobuffer::{
    BufferConfig, Event, FullPolicy, MetadataError, ReadError, Reader, StartAt, WaitStrategy,
    WriteError, Writer, WriterPresence, Written,
};

const NAME: &str = "policy";
const SHORT: Duration = Duration::from_millis(20);

#[test]
fn child_role() {
    common::child(role);
}

fn role(call: &Call) {
    match call.role.as_str() {
        // Reads everything, a little late.
        "read" => {
            let mut reader = call.reader().join(NAME).unwrap();
            call.signal("joined");
            let mut last = 0;
            while let Some(frame) = reader.read().unwrap() {
                assert_eq!(frame.sequence(), last + 1, "dropped frames use no numbers");
                last = frame.sequence();
                let said = u64::from_le_bytes(frame[..8].try_into().unwrap());
                assert!(is_frame(said, &frame[8..]));
            }
            assert_eq!(reader.stats().frames, last);
            std::fs::write(call.dir().join("../count"), last.to_string()).unwrap();
        }
        other => panic!("no role {other}"),
    }
}

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(4096)
}

fn fill(writer: &mut Writer) -> u64 {
    let mut count = 0;
    while let Ok(Written::Committed(_)) = writer.try_write(&frame(writer.next_sequence(), 300)) {
        count += 1;
    }
    count
}

fn writer_with(dir: &Path, policy: FullPolicy) -> Writer {
    writer_in(dir).full_policy(policy).create(NAME, &config()).unwrap()
}

#[test]
fn a_blocked_writer_gives_up_after_its_timeout_and_names_the_holder() {
    for wait in [WaitStrategy::Spin, WaitStrategy::SpinThenPark, WaitStrategy::Park] {
        let dir = shm_dir();
        let block = FullPolicy::Block { timeout: Some(SHORT) };
        let options = writer_in(dir.path()).full_policy(block).wait_strategy(wait);
        let mut writer = options.create(NAME, &config()).unwrap();
        fill(&mut writer);
        let begin = Instant::now();
        let error = writer.write(&[1; 300]).unwrap_err();
        assert!(begin.elapsed() >= SHORT && error.is_timeout());
        assert!(matches!(error, WriteError::Full { waited, .. } if waited >= SHORT));
        assert!(error.to_string().contains("`main`, which nobody has taken yet"), "{error}");

        let mut reader = reader_in(dir.path()).name("recorder").join(NAME).unwrap();
        for error in [
            writer.write(&[1; 300]).unwrap_err(),
            writer.loan(300).map(drop).unwrap_err(),
            writer.try_write(&[1; 300]).unwrap_err(),
            writer.try_loan(300).map(drop).unwrap_err(),
            writer.write_timeout(&[1; 300], SHORT).unwrap_err(),
            writer.loan_timeout(300, SHORT).map(drop).unwrap_err(),
            writer.batch().push(&[1; 300]).unwrap_err(),
        ] {
            let WriteError::Full { holder, waited, .. } = &error else { panic!("{error}") };
            assert_eq!((&*holder.name(), holder.pid()), ("recorder", std::process::id()));
            assert!(holder.is_alive());
            let text = error.to_string();
            let process = format!("(pid {})", std::process::id());
            assert!(text.contains("`policy`") && text.contains("`recorder`"), "{text}");
            assert!(text.contains(&process) && text.contains("full-policy"), "{text}");
            assert!(waited.is_zero() || *waited >= SHORT);
        }
        assert!(is_frame(1, &reader.read().unwrap().unwrap()));
        writer.write(&[1; 300]).unwrap();
        assert_eq!(writer.stats().dropped_frames, 0);
        drop(reader);
        writer.discard_undelivered();
        assert_eq!(left_behind(dir.path()), [""; 0]);
    }
}

#[test]
fn of_several_readers_the_slowest_is_named() {
    let dir = shm_dir();
    let mut writer = writer_with(dir.path(), FullPolicy::Fail);
    let mut fast = reader_in(dir.path()).name("fast").join(NAME).unwrap();
    let slow = reader_in(dir.path()).name("slow").join(NAME).unwrap();
    let count = fill(&mut writer);
    for sequence in 1..=count {
        assert!(is_frame(sequence, &fast.read().unwrap().unwrap()));
    }
    let error = writer.write(&[1; 300]).unwrap_err();
    assert!(error.to_string().contains("`slow`"), "{error}");
    assert_eq!(writer.undelivered().reader.unwrap().name(), "slow");
    assert_eq!(writer.undelivered().frames, count);
    assert_eq!(writer.readers().iter().map(|r| r.lag_frames).collect::<Vec<_>>(), [0, count]);
    slow.unsubscribe();
    writer.write(&[1; 300]).unwrap();
    fast.unsubscribe();
    drop(writer);
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn a_failing_writer_does_not_wait() {
    let dir = shm_dir();
    let mut writer = writer_with(dir.path(), FullPolicy::Fail);
    let count = fill(&mut writer);
    for error in [writer.write(&[1; 300]).unwrap_err(), writer.loan(300).map(drop).unwrap_err()] {
        assert!(matches!(error, WriteError::Full { waited, .. } if waited.is_zero()), "{error}");
    }
    // A smaller frame may still fit; nothing was lost of the others.
    assert_eq!(writer.stats().frames, count);
    assert_eq!(writer.stats().parks, 0);
    writer.discard_undelivered();
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

everywhere!(dropped_frames_are_counted_and_the_others_arrive);

fn dropped_frames_are_counted_and_the_others_arrive(p: Placement, wait: WaitStrategy) {
    const COUNT: u64 = 3000;
    let stage = Stage::new(p, wait, role);
    let options = stage.writer().full_policy(FullPolicy::DropNewest);
    let mut writer = options.create(NAME, &config()).unwrap();
    let message = |number: u64| [&number.to_le_bytes()[..], &frame(number, 292)].concat();
    // Nobody reads yet: what does not fit is dropped for sure.
    for number in 1..=100 {
        writer.write(&message(number)).unwrap();
    }
    assert!(writer.stats().dropped_frames >= 85);
    let reader = stage.start("read", &[]);
    stage.await_signal("joined");
    let mut committed = writer.stats().frames;
    for number in 101..=COUNT {
        match writer.write(&message(number)).unwrap() {
            Written::Committed(sequence) => {
                committed += 1;
                assert_eq!(sequence, committed);
            }
            Written::Dropped => assert_eq!(Written::Dropped.sequence(), None),
        }
    }
    let stats = writer.stats();
    assert_eq!((stats.frames, stats.frames + stats.dropped_frames), (committed, COUNT));
    assert_eq!(stats.dropped_bytes, stats.dropped_frames * 300);
    let seen = zerobuffer::inspect::snapshot(NAME, &stage.dir()).unwrap();
    assert_eq!(seen.dropped_frames, stats.dropped_frames);
    drop(writer);
    reader.finish();
    let count = std::fs::read_to_string(stage.dir().join("../count")).unwrap();
    assert_eq!(count, committed.to_string());
}

#[test]
fn a_dropping_writer_counts_loans_and_pushes_too_but_not_calls_that_do_not_drop() {
    let dir = shm_dir();
    let mut writer = writer_with(dir.path(), FullPolicy::DropNewest);
    fill(&mut writer);
    assert_eq!(writer.stats().dropped_frames, 0, "`try_write` never drops");
    assert!(writer.loan(300).map(drop).unwrap_err().is_timeout());
    assert_eq!(writer.batch().push(&[1; 300]).unwrap(), Written::Dropped);
    assert_eq!(writer.write(&[1; 300]).unwrap(), Written::Dropped);
    assert!(writer.write_timeout(&[1; 300], SHORT).unwrap_err().is_timeout());
    assert!(writer.try_loan(300).map(drop).unwrap_err().is_timeout());
    assert_eq!((writer.stats().dropped_frames, writer.stats().dropped_bytes), (3, 900));
    // Misuse is never passed over in silence.
    assert!(matches!(writer.write(&[]).unwrap_err(), WriteError::EmptyFrame { .. }));
    assert!(matches!(writer.write(&[0; 5000]).unwrap_err(), WriteError::FrameTooLarge { .. }));
    writer.discard_undelivered();
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn a_writer_that_requires_a_reader_fails_without_one() {
    let dir = shm_dir();
    let options = writer_in(dir.path()).require_reader(true);
    let mut writer = options.create(NAME, &config()).unwrap();
    let error = writer.write(b"x").unwrap_err();
    assert!(matches!(error, WriteError::NoReader { .. }) && error.is_peer_gone());
    assert!(error.to_string().contains("`policy` has no live reader: start one"), "{error}");
    let mut reader = reader_in(dir.path()).join(NAME).unwrap();
    writer.write(b"x").unwrap();
    assert_eq!(&reader.read().unwrap().unwrap()[..], b"x");
    drop(reader);
    until("it is noticed", || writer.write(b"y").is_err());
    assert!(matches!(writer.loan(1).map(drop).unwrap_err(), WriteError::NoReader { .. }));
    writer.discard_undelivered();
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn a_reader_times_out_and_says_whether_a_writer_is_there() {
    for wait in [WaitStrategy::Spin, WaitStrategy::SpinThenPark, WaitStrategy::Park] {
        let dir = shm_dir();
        let options = reader_in(dir.path()).wait_strategy(wait);
        let mut reader = options.create(NAME, &config()).unwrap();
        let waited = |error: ReadError, presence: WriterPresence| {
            assert!(error.is_timeout() && !error.is_peer_gone());
            let text = error.to_string();
            let ReadError::Timeout { waited, writer, .. } = error else { panic!("{text}") };
            assert_eq!(writer, presence);
            assert!(text.contains("`policy`") && text.contains(&presence.to_string()), "{text}");
            waited
        };
        let presence = WriterPresence::Never;
        assert!(waited(reader.try_read().map(drop).unwrap_err(), presence).is_zero());
        let begin = Instant::now();
        assert!(waited(reader.read_timeout(SHORT).map(drop).unwrap_err(), presence) >= SHORT);
        assert!(begin.elapsed() >= SHORT);
        waited(reader.read_timeout(Duration::ZERO).map(drop).unwrap_err(), presence);
        let writer = writer_in(dir.path()).connect(NAME).unwrap();
        waited(reader.read_timeout(SHORT).map(drop).unwrap_err(), WriterPresence::Attached);
        drop(writer);
        // The end comes once, and then again waiting.
        assert!(reader.try_read().unwrap().is_none());
        waited(reader.try_read().map(drop).unwrap_err(), WriterPresence::Closed);
        waited(reader.read_timeout(SHORT).map(drop).unwrap_err(), WriterPresence::Closed);
        assert_eq!(reader.writer_presence(), WriterPresence::Closed);
        drop(reader);
        assert_eq!(left_behind(dir.path()), [""; 0]);
    }
}

#[test]
fn events_tell_of_writers_and_metadata_in_order() {
    let dir = shm_dir();
    let mut reader = reader_in(dir.path()).create(NAME, &config()).unwrap();
    let events = |reader: &mut Reader| reader.events().collect::<Vec<_>>();
    assert_eq!(events(&mut reader), []);
    let mut writer = writer_in(dir.path()).connect(NAME).unwrap();
    writer.set_metadata(b"one").unwrap();
    assert_eq!(
        events(&mut reader),
        [Event::WriterAttached { generation: 1 }, Event::MetadataChanged { generation: 1 }]
    );
    assert_eq!(events(&mut reader), []);
    writer.write(b"1").unwrap();
    drop(writer);
    assert_eq!(reader.read().unwrap().unwrap().sequence(), 1);
    assert!(reader.read().unwrap().is_none());
    let mut writer = writer_in(dir.path()).connect(NAME).unwrap();
    assert_eq!(writer.write(b"2").unwrap().sequence(), Some(2), "numbers go on");
    assert_eq!(events(&mut reader), [Event::WriterClosed, Event::WriterAttached { generation: 2 }]);
    // The successor has said nothing of metadata; what was set stays.
    assert_eq!(&reader.metadata().unwrap().unwrap()[..], b"one");
    writer.replace_metadata(b"two").unwrap();
    assert_eq!(events(&mut reader), [Event::MetadataChanged { generation: 2 }]);
    assert_eq!(reader.read().unwrap().unwrap().sequence(), 2);
    drop((reader, writer));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn a_reader_that_comes_later_is_told_of_nothing_before_it() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    writer.set_metadata(b"one").unwrap();
    let mut reader = reader_in(dir.path()).join(NAME).unwrap();
    assert_eq!(reader.events().count(), 0);
    assert_eq!(&reader.metadata().unwrap().unwrap()[..], b"one");
    drop((reader, writer));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn metadata_is_set_once_and_by_a_successor_only_to_the_same() {
    let dir = shm_dir();
    let config = config().metadata_bytes(64);
    let mut writer = writer_in(dir.path()).create(NAME, &config).unwrap();
    let reader = reader_in(dir.path()).join(NAME).unwrap();
    let error = writer.set_metadata(&[1; 65]).unwrap_err();
    assert!(matches!(error, MetadataError::TooLarge { bytes: 65, capacity: 64, .. }), "{error}");
    assert!(error.to_string().contains("`policy`") && error.to_string().contains("64"));
    assert!(reader.metadata().unwrap().is_none());
    writer.set_metadata(&[1; 64]).unwrap();
    for bytes in [&[1; 64][..], &[2; 64], b""] {
        let error = writer.set_metadata(bytes).unwrap_err();
        assert!(matches!(error, MetadataError::AlreadySet { .. }));
        assert!(error.to_string().contains("`policy`: metadata is already set"), "{error}");
        assert!(error.to_string().contains("`replace_metadata`"));
    }
    drop(writer);
    let mut writer = writer_in(dir.path()).connect(NAME).unwrap();
    assert!(matches!(writer.set_metadata(&[1; 63]).unwrap_err(), MetadataError::AlreadySet { .. }));
    writer.set_metadata(&[1; 64]).unwrap();
    assert!(matches!(writer.set_metadata(&[1; 64]).unwrap_err(), MetadataError::AlreadySet { .. }));
    let metadata = reader.metadata().unwrap().unwrap();
    assert_eq!((metadata.generation(), &metadata[..]), (1, &[1; 64][..]));
    drop(metadata);
    drop((reader, writer));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn metadata_may_be_empty_and_then_is_set() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    let reader = reader_in(dir.path()).join(NAME).unwrap();
    writer.set_metadata(b"").unwrap();
    assert_eq!(&reader.metadata().unwrap().unwrap()[..], b"");
    assert!(matches!(writer.set_metadata(b"x").unwrap_err(), MetadataError::AlreadySet { .. }));
    drop((reader, writer));
    let mut writer = writer_in(dir.path()).create(NAME, &config().metadata_bytes(0)).unwrap();
    for bytes in [&b""[..], b"x"] {
        let error = writer.set_metadata(bytes).unwrap_err();
        assert!(matches!(error, MetadataError::TooLarge { capacity: 0, .. }), "{error}");
        let error = writer.replace_metadata(bytes).unwrap_err();
        assert!(matches!(error, MetadataError::TooLarge { capacity: 0, .. }), "{error}");
    }
    drop(writer);
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn metadata_being_looked_at_is_not_overwritten() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    let reader = reader_in(dir.path()).name("watcher").join(NAME).unwrap();
    writer.set_metadata(&frame(1, 1000)).unwrap();
    for generation in 1..20 {
        let one = reader.metadata().unwrap().unwrap();
        assert_eq!(one.generation(), generation);
        // The other copy is free: one replacement passes, the next would overwrite what is looked at.
        writer.replace_metadata(&frame(generation + 1, 1000 + generation as usize)).unwrap();
        let two = reader.metadata().unwrap().unwrap();
        let error = writer.replace_metadata(b"three").unwrap_err();
        let MetadataError::Held { holder, .. } = &error else { panic!("{error}") };
        assert!(holder.name() == "watcher" && error.to_string().contains("`watcher`"), "{error}");
        let again = reader.metadata().unwrap().unwrap();
        assert_eq!((two.generation(), again.generation()), (generation + 1, generation + 1));
        assert!(is_frame(generation, &one));
        drop((one, two));
        // Let go: two versions on, and what is looked at still stays.
        assert!(is_frame(generation + 1, &again));
        drop(again);
    }
    writer.replace_metadata(b"").unwrap();
    assert_eq!(reader.metadata().unwrap().unwrap().len(), 0);
    drop((reader, writer));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn metadata_replaced_all_the_time_is_never_seen_torn() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    let reader = reader_in(dir.path()).join(NAME).unwrap();
    writer.set_metadata(&frame(1, 1)).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut generation = 1;
            while generation < 5000 {
                let next = frame(generation + 1, 1 + (generation as usize + 1) % 4000);
                match writer.replace_metadata(&next) {
                    Ok(()) => generation += 1,
                    Err(MetadataError::Held { .. }) => std::thread::yield_now(),
                    Err(error) => panic!("{error}"),
                }
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let mut last = 0;
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            let metadata = match reader.metadata() {
                Ok(metadata) => metadata.unwrap(),
                Err(error) => panic!("{error}"),
            };
            let generation = metadata.generation();
            assert!(generation >= last);
            last = generation;
            assert!(generation == 1 || metadata.len() == 1 + generation as usize % 4000);
            assert!(is_frame(generation, &metadata), "version {generation} is torn");
        }
    });
    drop((reader, writer));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn readers_of_their_own_names_get_every_frame_each() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    let mut readers: Vec<_> = ["a", "b", "c"]
        .map(|name| reader_in(dir.path()).name(name).join(NAME).unwrap())
        .into_iter()
        .chain([reader_in(dir.path()).ephemeral().join(NAME).unwrap()])
        .collect();
    assert_eq!(writer.readers().len(), 4);
    for sequence in 1..=200 {
        writer.try_write(&frame(sequence, 500)).unwrap();
        for reader in &mut readers {
            let read = reader.try_read().unwrap().unwrap();
            assert!(read.sequence() == sequence && is_frame(sequence, &read));
        }
    }
    assert_eq!(
        readers.iter().map(Reader::is_durable).collect::<Vec<_>>(),
        [true, true, true, false]
    );
    drop((writer, readers));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn a_reader_begins_where_it_asked_to() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    for sequence in 1..=5 {
        writer.write(&frame(sequence, 100)).unwrap();
    }
    let mut first = reader_in(dir.path()).join(NAME).unwrap();
    let mut oldest = reader_in(dir.path()).name("oldest").join(NAME).unwrap();
    let newest = |name| reader_in(dir.path()).name(name).start_at(StartAt::Newest);
    let mut late = newest("late").join(NAME).unwrap();
    writer.write(&frame(6, 100)).unwrap();
    for (reader, begin) in [(&mut first, 1), (&mut oldest, 1), (&mut late, 6)] {
        for sequence in begin..=6 {
            let read = reader.try_read().unwrap().unwrap();
            assert!(read.sequence() == sequence && is_frame(sequence, &read));
        }
    }
    // A durable reader goes on where it stopped, whatever it asks for.
    drop(late);
    writer.write(&frame(7, 100)).unwrap();
    let mut late = newest("late").join(NAME).unwrap();
    assert_eq!(late.try_read().unwrap().unwrap().sequence(), 7);
    drop((first, oldest, late));
    writer.discard_undelivered();
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn without_readers_a_ring_that_keeps_nothing_is_overwritten() {
    let dir = shm_dir();
    let config = config().keep_for_first_reader(false);
    let options = writer_in(dir.path()).full_policy(FullPolicy::Fail);
    let mut writer = options.create(NAME, &config).unwrap();
    for sequence in 1..=500 {
        writer.write(&frame(sequence, 100)).unwrap();
    }
    assert_eq!((writer.stats().full_waits, writer.undelivered().frames), (0, 0));
    let mut reader = reader_in(dir.path()).join(NAME).unwrap();
    writer.write(&frame(501, 100)).unwrap();
    let mut last = None;
    while let Ok(Some(read)) = reader.try_read() {
        assert!(last.is_none_or(|last| read.sequence() == last + 1));
        assert!(is_frame(read.sequence(), &read));
        last = Some(read.sequence());
    }
    assert_eq!(last, Some(501));
    drop((reader, writer));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}
