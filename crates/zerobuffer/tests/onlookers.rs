//! Readers whom the writer does not wait for: lossy ones and observers. They see what is whole, miss what is gone,
//! count it, and disturb nobody.

mod common;

use std::time::Duration;

use common::*;
use zerobuffer::{
    BufferConfig, Event, FullPolicy, OpenError, ReadError, Reader, ReaderKind, ReaderOptions,
    WaitStrategy, Writer, inspect,
};

/// 16 KiB, nothing kept for a first reader.
fn small() -> BufferConfig {
    BufferConfig::new().payload_bytes(16 << 10).keep_for_first_reader(false)
}

type Choice = fn(ReaderOptions) -> ReaderOptions;

fn kinds() -> [(ReaderKind, Choice); 2] {
    [(ReaderKind::Lossy, ReaderOptions::lossy), (ReaderKind::Observer, ReaderOptions::observe)]
}

#[test]
fn one_that_keeps_up_gets_every_frame() {
    for (kind, choose) in kinds() {
        let dir = shm_dir();
        let mut writer = writer_in(dir.path()).create("b", &small().timestamps(true)).unwrap();
        let mut reader = choose(reader_in(dir.path())).join("b").unwrap();
        assert_eq!(reader.kind(), kind);
        for sequence in 1..=500 {
            let len = some_len(sequence, 5000);
            writer.write(&frame(sequence, len)).unwrap();
            let got = reader.read().unwrap().unwrap();
            assert_eq!((got.sequence(), got.len()), (sequence, len));
            assert!(is_frame(sequence, &got));
            assert!(got.age().unwrap() < PATIENCE);
        }
        let stats = reader.stats();
        assert_eq!((stats.frames, stats.missed), (500, 0));
    }
}

#[test]
fn one_that_was_overtaken_goes_on_at_the_newest_and_knows_what_it_missed() {
    for (_, choose) in kinds() {
        let dir = shm_dir();
        let mut writer = writer_in(dir.path()).create("b", &small()).unwrap();
        let mut reader = choose(reader_in(dir.path())).join("b").unwrap();
        writer.write(&frame(1, 1000)).unwrap();
        assert_eq!(reader.read().unwrap().unwrap().sequence(), 1);
        for sequence in 2..=100 {
            writer.write(&frame(sequence, 1000)).unwrap();
        }
        let got = reader.read().unwrap().unwrap();
        assert_eq!(got.sequence(), 100);
        assert!(is_frame(100, &got));
        drop(got);
        assert_eq!((reader.stats().frames, reader.stats().missed), (2, 98));
        assert!(reader.try_read().unwrap_err().is_timeout());
    }
}

#[test]
fn the_latest_frame_is_the_newest_whatever_the_kind() {
    for choose in [|o: ReaderOptions| o, ReaderOptions::lossy, ReaderOptions::observe] {
        let dir = shm_dir();
        let mut writer = writer_in(dir.path()).create("b", &small()).unwrap();
        let mut reader = choose(reader_in(dir.path())).join("b").unwrap();
        assert!(reader.latest().unwrap_err().is_timeout());
        for sequence in 1..=7 {
            writer.write(&frame(sequence, 500)).unwrap();
        }
        let got = reader.latest().unwrap().unwrap();
        assert_eq!(got.sequence(), 7);
        assert!(is_frame(7, &got));
        drop(got);
        assert!(reader.latest().unwrap_err().is_timeout());
        writer.write(&frame(8, 500)).unwrap();
        assert_eq!(reader.latest().unwrap().unwrap().sequence(), 8);
        if reader.kind() == ReaderKind::Every {
            assert_eq!(writer.readers()[0].lag_bytes, 0, "what was passed over is released");
        }
    }
}

#[test]
fn the_writer_never_waits_for_one() {
    let dir = shm_dir();
    let mut writer =
        writer_in(dir.path()).full_policy(FullPolicy::Fail).create("b", &small()).unwrap();
    let _lossy = reader_in(dir.path()).lossy().join("b").unwrap();
    let _observer = reader_in(dir.path()).observe().join("b").unwrap();
    for sequence in 1..=1000 {
        writer.write(&frame(sequence, 1000)).unwrap();
    }
    assert_eq!(writer.stats().full_waits, 0);
    assert!(writer.wait_drained(Some(PATIENCE)));
    assert_eq!(writer.undelivered().reader, None);
}

#[test]
fn one_that_reads_every_frame_beside_it_still_holds_the_writer_back() {
    let dir = shm_dir();
    let mut writer =
        writer_in(dir.path()).full_policy(FullPolicy::Fail).create("b", &small()).unwrap();
    let mut every = reader_in(dir.path()).join("b").unwrap();
    let mut lossy = reader_in(dir.path()).lossy().join("b").unwrap();
    for sequence in 1..=10 {
        writer.write(&frame(sequence, 1000)).unwrap();
        assert_eq!(lossy.read().unwrap().unwrap().sequence(), sequence);
    }
    let mut written = 10;
    while writer.write(&frame(written + 1, 1000)).is_ok() {
        written += 1;
    }
    assert!(written < 17);
    for sequence in 1..=written {
        assert_eq!(every.read().unwrap().unwrap().sequence(), sequence);
    }
}

/// The writer goes round a small ring as fast as it can; what comes is whole, in order, and adds up.
fn watched_at_full_speed(choose: Choice, wait: WaitStrategy) {
    const FRAMES: u64 = 200_000;
    let _watchdog = Watchdog::new("a lossy stream");
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &small()).unwrap();
    let mut reader = choose(reader_in(dir.path()).wait_strategy(wait)).join("b").unwrap();
    let writing = std::thread::spawn(move || {
        for sequence in 1..=FRAMES {
            writer.write(&frame(sequence, some_len(sequence, 900))).unwrap();
        }
    });
    let (mut seen, mut last) = (0, 0);
    while let Some(got) = reader.read().unwrap() {
        assert!(got.sequence() > last, "{} after {last}", got.sequence());
        last = got.sequence();
        assert_eq!(got.len(), some_len(last, 900));
        assert!(is_frame(last, &got), "frame {last} is torn");
        seen += 1;
    }
    writing.join().unwrap();
    let stats = reader.stats();
    assert_eq!(stats.frames, seen);
    assert_eq!(last, FRAMES, "the last frame stays in the ring");
    assert_eq!(stats.frames + stats.missed, FRAMES);
    assert_eq!(stats.late_wakes, 0);
}

#[test]
fn a_lossy_reader_at_full_speed_spinning() {
    watched_at_full_speed(ReaderOptions::lossy, WaitStrategy::SpinThenPark);
}

#[test]
fn a_lossy_reader_at_full_speed_sleeping() {
    watched_at_full_speed(ReaderOptions::lossy, WaitStrategy::Park);
}

#[test]
fn an_observer_at_full_speed() {
    watched_at_full_speed(ReaderOptions::observe, WaitStrategy::SpinThenPark);
}

#[test]
fn what_was_handed_out_does_not_change_any_more() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &small()).unwrap();
    let mut reader = reader_in(dir.path()).lossy().join("b").unwrap();
    writer.write(&frame(1, 1000)).unwrap();
    let kept = reader.read().unwrap().unwrap().into_owned();
    for sequence in 2..=100 {
        writer.write(&frame(sequence, 1000)).unwrap();
        let _ = reader.latest().unwrap();
    }
    drop(reader);
    assert!(is_frame(1, &kept));
    let mut copy = [0; 1000];
    assert_eq!(kept.copy_to(&mut copy), 1000);
    assert!(is_frame(1, &copy));
}

#[test]
fn a_lossy_reader_is_seen_and_an_observer_is_not() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &small()).unwrap();
    let mut lossy = reader_in(dir.path()).lossy().join("b").unwrap();
    let _observer = reader_in(dir.path()).observe().join("b").unwrap();
    for sequence in 1..=100 {
        writer.write(&frame(sequence, 1000)).unwrap();
    }
    assert!(lossy.read().unwrap().is_some());
    let seen = inspect::snapshot("b", dir.path()).unwrap();
    assert_eq!(seen.readers, writer.readers());
    let [reader] = &seen.readers[..] else { panic!("one reader: {:?}", seen.readers) };
    assert_eq!((reader.kind, reader.missed, reader.read_sequence), (ReaderKind::Lossy, 99, 100));
    assert!(reader.alive && !reader.durable);
    assert_eq!(seen.fill_bytes, 0);
    assert_eq!(seen.problems, Vec::<String>::new());
    drop(lossy);
    assert!(writer.readers().is_empty());
}

#[test]
fn a_place_kept_for_the_first_reader_stays_kept() {
    let dir = shm_dir();
    let config = BufferConfig::new().payload_bytes(16 << 10);
    let mut writer = writer_in(dir.path()).create("b", &config).unwrap();
    writer.write(&frame(1, 100)).unwrap();
    let mut lossy = reader_in(dir.path()).lossy().create("b", &config).unwrap();
    assert_eq!(lossy.read().unwrap().unwrap().sequence(), 1, "oldest, by default");
    let mut first = reader_in(dir.path()).join("b").unwrap();
    assert_eq!(first.read().unwrap().unwrap().sequence(), 1);
}

#[test]
fn one_begins_behind_the_newest_if_asked() {
    for (_, choose) in kinds() {
        let dir = shm_dir();
        let mut writer = writer_in(dir.path()).create("b", &small()).unwrap();
        writer.write(&frame(1, 100)).unwrap();
        let newest = reader_in(dir.path()).start_at(zerobuffer::StartAt::Newest);
        let mut reader = choose(newest).join("b").unwrap();
        assert!(reader.try_read().unwrap_err().is_timeout());
        writer.write(&frame(2, 100)).unwrap();
        assert_eq!(reader.read().unwrap().unwrap().sequence(), 2);
        assert_eq!(reader.stats().missed, 0);
    }
}

#[test]
fn the_end_of_the_writer_and_its_successor_are_told() {
    for (_, choose) in kinds() {
        let dir = shm_dir();
        let mut writer = writer_in(dir.path()).create("b", &small()).unwrap();
        let _stays = reader_in(dir.path()).lossy().join("b").unwrap();
        let mut reader = choose(reader_in(dir.path())).join("b").unwrap();
        writer.write(&frame(1, 100)).unwrap();
        drop(writer);
        assert_eq!(reader.read().unwrap().unwrap().sequence(), 1);
        assert!(reader.read().unwrap().is_none());
        let mut writer = writer_in(dir.path()).connect("b").unwrap();
        writer.set_metadata(b"second").unwrap();
        writer.write(&frame(2, 100)).unwrap();
        assert_eq!(reader.read().unwrap().unwrap().sequence(), 2);
        let events: Vec<_> = reader.events().collect();
        assert!(events.contains(&Event::WriterClosed), "{events:?}");
        assert!(events.contains(&Event::WriterAttached { generation: 2 }), "{events:?}");
        assert!(events.contains(&Event::MetadataChanged { generation: 1 }), "{events:?}");
        let metadata = reader.metadata().unwrap().unwrap();
        assert_eq!((&metadata[..], metadata.generation()), (&b"second"[..], 1));
    }
}

#[test]
fn an_observer_takes_part_in_nothing() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &small()).unwrap();
    writer.write(&frame(1, 100)).unwrap();
    let mut observer = reader_in(dir.path()).observe().join("b").unwrap();
    assert!(!writer.has_live_reader());
    drop(writer);
    assert!(left_behind(dir.path()).is_empty(), "the last participant removes the buffer");
    // Its memory is still there for the one who looks.
    assert_eq!(observer.read().unwrap().unwrap().sequence(), 1);
    assert!(matches!(observer.read(), Ok(None) | Err(ReadError::Retired { .. })));
    assert!(matches!(reader_in(dir.path()).observe().join("b"), Err(OpenError::NotFound { .. })));
    let error = reader_in(dir.path()).observe().create("b", &small()).unwrap_err();
    assert!(error.to_string().contains("join it"), "{error}");
}

#[test]
fn an_observer_needs_no_write_access() {
    use std::os::unix::fs::PermissionsExt as _;
    if rustix::process::geteuid().is_root() {
        eprintln!("NOT TESTED as root, whom no permission keeps out");
    }
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &small()).unwrap();
    let file = dir.path().join("b.zb2");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
    writer.write(&frame(1, 100)).unwrap();
    let mut observer = reader_in(dir.path()).observe().join("b").unwrap();
    assert_eq!(observer.read().unwrap().unwrap().sequence(), 1);
}

#[test]
fn an_observer_waits_with_its_timeout() {
    let dir = shm_dir();
    let _writer = writer_in(dir.path()).create("b", &small()).unwrap();
    let mut observer = reader_in(dir.path()).observe().join("b").unwrap();
    let begin = std::time::Instant::now();
    let error = observer.read_timeout(Duration::from_millis(30)).unwrap_err();
    assert!(error.is_timeout() && begin.elapsed() >= Duration::from_millis(30), "{error}");
}

#[test]
fn lossy_readers_are_no_part_of_protocol_1() {
    let config = BufferConfig::v1();
    let name = format!("zerobuffer-test-lossy-{}", std::process::id());
    let error = Reader::options().lossy().create(&name, &config).unwrap_err();
    assert!(error.to_string().contains("protocol 1.0 has no lossy readers"), "{error}");
    let _ = Writer::options();
}

#[test]
fn a_batch_of_one_that_copies_has_one_frame_each() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &small()).unwrap();
    let mut lossy = reader_in(dir.path()).lossy().join("b").unwrap();
    for sequence in 1..=3 {
        writer.write(&frame(sequence, 100)).unwrap();
    }
    for sequence in 1..=3 {
        let mut batch = lossy.read_batch(10).unwrap().unwrap();
        assert_eq!(batch.next().unwrap().sequence, sequence);
        assert!(batch.next().is_none());
    }
}
