//! Processes that are killed: what the survivors are told, what their successors find, what stays behind.
#![allow(missing_docs)]

mod common;

use std::time::Duration;

use common::{
    Call, NOTICE, PATIENCE, Peer, Placement, Stage, frame, is_frame, left_behind, some_len, until,
};
use zerobuffer::{
    BufferConfig, Event, FullPolicy, OpenError, ReadError, Reader, WaitStrategy, WriteError,
    WriterPresence, inspect,
};

const NAME: &str = "mortal";
const WAITS: [WaitStrategy; 3] =
    [WaitStrategy::Spin, WaitStrategy::SpinThenPark, WaitStrategy::Park];

#[test]
fn child_role() {
    common::child(role);
}

fn role(call: &Call) {
    let number = |which: usize| call.numbers[which];
    match call.role.as_str() {
        // Writes so many frames, then lingers.
        "write" => {
            let mut writer = call.writer().create(NAME, &config()).unwrap();
            for _ in 0..number(0) {
                let sequence = writer.next_sequence();
                writer.write(&frame(sequence, len(sequence))).unwrap();
            }
            call.signal("written");
            call.linger();
        }
        "write without end" => {
            let mut writer = call.writer().create(NAME, &config()).unwrap();
            loop {
                let sequence = writer.next_sequence();
                writer.write_timeout(&frame(sequence, len(sequence)), PATIENCE).unwrap();
            }
        }
        "write and close" => {
            let mut writer = call.writer().create(NAME, &config()).unwrap();
            let first = writer.next_sequence();
            for sequence in first..first + number(0) {
                writer.write(&frame(sequence, len(sequence))).unwrap();
            }
        }
        // Dies with a loan filled, a batch staged, and nothing of either committed.
        "write half" => {
            let mut writer = call.writer().create(NAME, &config()).unwrap();
            writer.write(&frame(1, len(1))).unwrap();
            let mut batch = writer.batch();
            batch.push(&frame(2, 500)).unwrap();
            batch.push(&frame(3, 500)).unwrap();
            std::mem::forget(batch);
            call.signal("written");
            call.linger();
        }
        "loan" => {
            let mut writer = call.writer().create(NAME, &config()).unwrap();
            writer.write(&frame(1, len(1))).unwrap();
            let mut loan = writer.loan(1500).unwrap();
            loan.fill(0xff);
            call.signal("written");
            call.linger();
        }
        // Releases so many frames, holds so many more.
        "read" => {
            let mut reader = call.reader().join(NAME).unwrap();
            let mut kept = Vec::new();
            for i in 0..number(0) + number(1) {
                let frame = reader.read().unwrap().unwrap();
                assert!(is_frame(frame.sequence(), &frame));
                if i >= number(0) {
                    kept.push(frame.into_owned());
                }
            }
            call.signal("read");
            call.linger();
        }
        // As above, holding them in a batch.
        "read a batch" => {
            let mut reader = call.reader().join(NAME).unwrap();
            let mut batch = reader.read_batch(100).unwrap().unwrap();
            for _ in 0..number(0) {
                batch.next().unwrap();
            }
            call.signal("read");
            call.linger();
        }
        "read for ever" => {
            let mut reader = call.reader().join(NAME).unwrap();
            call.signal("read");
            while let Some(frame) = reader.read().unwrap() {
                assert!(is_frame(frame.sequence(), &frame));
            }
        }
        "ephemeral" => {
            let mut reader = call.reader().ephemeral().join(NAME).unwrap();
            let frame = reader.read().unwrap().unwrap().into_owned();
            assert_eq!(frame.sequence(), 1);
            call.signal("read");
            call.linger();
        }
        other => panic!("no role {other}"),
    }
}

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(16 << 10)
}

fn len(sequence: u64) -> usize {
    some_len(sequence, 800)
}

fn stage(wait: WaitStrategy) -> Stage {
    Stage::new(Placement::Processes, wait, role)
}

/// The next frame must be this one, whole.
#[track_caller]
fn expect(reader: &mut Reader, sequence: u64, redelivered: bool) {
    let frame = reader.read_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!((frame.sequence(), frame.len()), (sequence, len(sequence)));
    assert!(is_frame(sequence, &frame), "frame {sequence}");
    assert_eq!(frame.is_redelivered(), redelivered, "frame {sequence}");
}

#[track_caller]
fn expect_writer_gone(reader: &mut Reader, pid: u32) {
    let error = reader.read_timeout(NOTICE).map(drop).unwrap_err();
    assert!(matches!(error, ReadError::WriterGone { pid: p, .. } if p == pid), "{error}");
    assert!(error.is_peer_gone() && !error.is_timeout());
    let text = error.to_string();
    assert!(text.contains("`mortal`") && text.contains(&pid.to_string()), "{text}");
}

#[test]
fn a_dead_writers_frames_all_come_then_its_death_once_then_its_successor() {
    for wait in WAITS {
        let stage = stage(wait);
        let mut reader = stage.reader().create(NAME, &config()).unwrap();
        let mut writer = stage.start("write", &[20]);
        let pid = writer.pid();
        stage.await_signal("written");
        assert_eq!(reader.writer_presence(), WriterPresence::Attached);
        writer.kill();
        for sequence in 1..=20 {
            expect(&mut reader, sequence, false);
        }
        expect_writer_gone(&mut reader, pid);
        assert_eq!(reader.writer_presence(), WriterPresence::Dead);
        for _ in 0..2 {
            let error = reader.read_timeout(Duration::from_millis(150)).map(drop).unwrap_err();
            let ReadError::Timeout { writer, .. } = error else { panic!("told twice: {error}") };
            assert_eq!(writer, WriterPresence::Dead);
        }
        let events: Vec<_> = reader.events().collect();
        assert_eq!(
            events,
            [Event::WriterAttached { generation: 1 }, Event::WriterGone { pid }],
            "oldest first"
        );
        stage.start("write and close", &[5]).finish();
        for sequence in 21..=25 {
            expect(&mut reader, sequence, false);
        }
        assert!(reader.read().unwrap().is_none());
        let seen = inspect::snapshot(NAME, &stage.dir()).unwrap();
        assert_eq!((seen.takeovers, seen.writer.unwrap().generation), (1, 2));
    }
}

#[test]
fn a_reader_that_waits_when_the_writer_dies_is_told() {
    for wait in WAITS {
        let stage = stage(wait);
        let mut reader = stage.reader().create(NAME, &config()).unwrap();
        let mut writer = stage.start("write", &[1]);
        let pid = writer.pid();
        expect(&mut reader, 1, false);
        std::thread::scope(|scope| {
            let killer = scope.spawn(|| {
                stage.await_signal("written");
                writer.kill();
            });
            let error = reader.read().map(drop).unwrap_err();
            assert!(matches!(error, ReadError::WriterGone { pid: p, .. } if p == pid), "{error}");
            killer.join().unwrap();
        });
    }
}

#[test]
fn polling_and_short_timeouts_tell_of_a_dead_writer_too() {
    for poll in 0..5 {
        let stage = stage(WaitStrategy::Park);
        let mut reader = stage.reader().create(NAME, &config()).unwrap();
        let mut writer = stage.start("write", &[1]);
        let pid = writer.pid();
        stage.await_signal("written");
        writer.kill();
        expect(&mut reader, 1, false);
        let mut gone = None;
        let mut tries = 0;
        until("its death is told", || {
            tries += 1;
            let error = match poll {
                0 => reader.try_read().map(drop),
                1 => reader.read_timeout(Duration::from_millis(1)).map(drop),
                2 => reader.try_read_batch(3).map(drop),
                3 => reader.read_timeout(Duration::ZERO).map(drop),
                _ => reader.read_batch_timeout(3, Duration::ZERO).map(drop),
            }
            .unwrap_err();
            if poll != 1 {
                // As somebody does who has other things to do between.
                std::thread::sleep(Duration::from_millis(20));
            }
            if !error.is_timeout() {
                gone = Some(error);
            }
            gone.is_some()
        });
        assert!(matches!(gone, Some(ReadError::WriterGone { pid: p, .. }) if p == pid));
        assert!(poll == 1 || tries < 100, "told after {tries} tries only");
    }
}

#[test]
fn what_a_dead_writer_had_not_committed_never_happened() {
    for role in ["write half", "loan"] {
        let stage = stage(WaitStrategy::Park);
        let mut reader = stage.reader().create(NAME, &config()).unwrap();
        let mut writer = stage.start(role, &[]);
        let pid = writer.pid();
        stage.await_signal("written");
        writer.kill();
        expect(&mut reader, 1, false);
        expect_writer_gone(&mut reader, pid);
        stage.start("write and close", &[100]).finish_after(|| {
            for sequence in 2..=101 {
                expect(&mut reader, sequence, false);
            }
        });
        assert!(reader.read().unwrap().is_none());
    }
}

trait FinishAfter {
    fn finish_after(self, act: impl FnOnce());
}

impl FinishAfter for Peer {
    fn finish_after(self, act: impl FnOnce()) {
        act();
        self.finish();
    }
}

#[test]
fn writers_killed_at_any_moment_lose_no_frame_and_repeat_no_number() {
    for wait in WAITS {
        let stage = stage(wait);
        let mut reader = stage.reader().create(NAME, &config()).unwrap();
        let mut expected = 0;
        for round in 0..12 {
            let mut writer = Some(stage.start("write without end", &[]));
            let mut here = 0;
            loop {
                match reader.read_timeout(NOTICE) {
                    Ok(frame) => {
                        let frame = frame.unwrap();
                        expected += 1;
                        here += 1;
                        assert_eq!((frame.sequence(), frame.len()), (expected, len(expected)));
                        assert!(is_frame(expected, &frame) && !frame.is_redelivered());
                    }
                    Err(ReadError::WriterGone { .. }) => break,
                    Err(error) => panic!("{error}"),
                }
                if here > 100 + round * 37
                    && let Some(writer) = writer.take()
                {
                    writer.kill();
                }
            }
        }
        assert_eq!(reader.stats().frames, expected);
    }
}

#[test]
fn readers_killed_at_any_moment_lose_no_frame() {
    let stage = stage(WaitStrategy::SpinThenPark);
    let config = config();
    let mut writer = stage.writer().create(NAME, &config).unwrap();
    for round in 0..15 {
        let reader = stage.start("read for ever", &[]);
        let end = writer.next_sequence() + 200 + round * 31;
        while writer.next_sequence() < end {
            let sequence = writer.next_sequence();
            let bytes = frame(sequence, len(sequence));
            match writer.write_timeout(&bytes, PATIENCE) {
                // Told once of the reader before, if the ring was full before this one had come.
                Err(WriteError::ReaderGone { .. }) => {}
                written => assert_eq!(written.unwrap().sequence(), Some(sequence)),
            }
        }
        reader.kill();
        // A successor here finds what was not released; what was received is marked, and comes first.
        let mut reader = stage.reader().join(NAME).unwrap();
        let seen = inspect::snapshot(NAME, &stage.dir()).unwrap();
        let received = seen.readers[0].read_sequence;
        let mut last = None;
        while let Ok(Some(frame)) = reader.try_read() {
            assert!(last.is_none_or(|last| frame.sequence() == last + 1));
            assert!(is_frame(frame.sequence(), &frame));
            assert_eq!(frame.is_redelivered(), frame.sequence() <= received);
            last = Some(frame.sequence());
        }
        if let Some(last) = last {
            assert_eq!(last, end - 1);
        } else {
            assert_eq!(received, end - 1);
        }
    }
}

#[test]
fn what_a_dead_reader_held_comes_again_flagged() {
    for (role, numbers) in [("read", &[3, 4][..]), ("read a batch", &[7])] {
        for wait in WAITS {
            let stage = stage(wait);
            let mut writer = stage.writer().create(NAME, &config()).unwrap();
            for sequence in 1..=10 {
                writer.write(&frame(sequence, len(sequence))).unwrap();
            }
            let first = stage.start(role, numbers);
            stage.await_signal("read");
            first.kill();
            // A batch publishes what was received at its end; then nothing of it counts as received.
            let (released, received) = if role == "read" { (3, 7) } else { (0, 0) };
            let mut reader = stage.reader().join(NAME).unwrap();
            for sequence in released + 1..=10 {
                expect(&mut reader, sequence, sequence <= received);
            }
            assert_eq!(reader.stats().redelivered, received - released);
            writer.write(&frame(11, len(11))).unwrap();
            expect(&mut reader, 11, false);
            assert_eq!(writer.undelivered().frames, 0);
        }
    }
}

#[test]
fn redelivered_frames_are_redelivered_again_when_the_successor_dies_too() {
    let stage = stage(WaitStrategy::Park);
    let mut writer = stage.writer().create(NAME, &config()).unwrap();
    for sequence in 1..=10 {
        writer.write(&frame(sequence, len(sequence))).unwrap();
    }
    let first = stage.start("read", &[2, 5]);
    stage.await_signal("read");
    first.kill();
    std::fs::remove_file(stage.dir().join("../read")).unwrap();
    // It gets 3 to 7 again, releases 3, and holds 4.
    let second = stage.start("read", &[1, 1]);
    stage.await_signal("read");
    second.kill();
    let mut reader = stage.reader().join(NAME).unwrap();
    for sequence in 4..=10 {
        expect(&mut reader, sequence, sequence <= 7);
    }
    drop(writer);
}

#[test]
fn a_dead_ephemeral_reader_holds_nobody_back() {
    for wait in WAITS {
        let stage = stage(wait);
        let config = config().keep_for_first_reader(false);
        let mut writer = stage.writer().create(NAME, &config).unwrap();
        let reader = stage.start("ephemeral", &[]);
        until("it has joined", || writer.has_live_reader());
        writer.write(&frame(1, 1000)).unwrap();
        stage.await_signal("read");
        reader.kill();
        for sequence in 2..=100 {
            writer.write_timeout(&frame(sequence, 1000), NOTICE).unwrap();
        }
        assert_eq!(writer.readers(), []);
    }
}

#[test]
fn writers_that_do_not_wait_get_rid_of_a_dead_ephemeral_reader_soon() {
    let no_time = FullPolicy::Block { timeout: Some(Duration::ZERO) };
    for policy in [FullPolicy::Fail, FullPolicy::DropNewest, no_time] {
        let stage = stage(WaitStrategy::Park);
        let config = config().keep_for_first_reader(false);
        let mut writer = stage.writer().full_policy(policy).create(NAME, &config).unwrap();
        let reader = stage.start("ephemeral", &[]);
        until("it has joined", || writer.has_live_reader());
        writer.write(&frame(1, 1000)).unwrap();
        stage.await_signal("read");
        reader.kill();
        // A frame now and then, as of a camera.
        let mut frames = 0;
        until("frames pass again", || {
            std::thread::sleep(Duration::from_millis(20));
            frames += 1;
            let _ = writer.write(&frame(1, 1000));
            writer.stats().frames > 20
        });
        assert!(frames < 100, "{frames} frames were tried");
    }
}

#[test]
fn a_drain_passes_over_a_dead_ephemeral_reader() {
    let stage = stage(WaitStrategy::Park);
    let config = config().keep_for_first_reader(false);
    let mut writer = stage.writer().create(NAME, &config).unwrap();
    let reader = stage.start("ephemeral", &[]);
    until("it has joined", || writer.has_live_reader());
    writer.write(&frame(1, 1000)).unwrap();
    stage.await_signal("read");
    reader.kill();
    assert!(writer.wait_drained(Some(NOTICE)));
}

#[test]
fn a_dead_durable_readers_end_is_told_once_and_its_successor_frees_the_writer() {
    for wait in WAITS {
        let stage = stage(wait);
        let mut writer = stage.writer().create(NAME, &config()).unwrap();
        writer.write(&frame(1, len(1))).unwrap();
        let mut reader = stage.start("read", &[0, 1]);
        let pid = reader.pid();
        stage.await_signal("read");
        reader.kill();
        let mut write = |limit| {
            let sequence = writer.next_sequence();
            writer.write_timeout(&frame(sequence, len(sequence)), limit)
        };
        let error = loop {
            if let Err(error) = write(NOTICE) {
                break error;
            }
        };
        let WriteError::ReaderGone { holder, .. } = &error else { panic!("{error}") };
        assert_eq!((&*holder.name(), holder.pid(), holder.is_alive()), ("main", pid, false));
        let text = error.to_string();
        assert!(
            error.is_peer_gone() && text.contains("`mortal`") && text.contains("died"),
            "{text}"
        );
        for _ in 0..2 {
            let error = write(Duration::from_millis(150)).unwrap_err();
            assert!(matches!(error, WriteError::Full { .. }), "told twice: {error}");
        }
        let count = writer.next_sequence() - 1;
        let successor = std::thread::scope(|scope| {
            let call = &*stage;
            let successor = scope.spawn(move || {
                let mut reader = call.reader().join(NAME).unwrap();
                expect(&mut reader, 1, true);
                for sequence in 2..=count + 1 {
                    expect(&mut reader, sequence, false);
                }
                reader
            });
            let last = frame(count + 1, len(count + 1));
            writer.write_timeout(&last, PATIENCE).unwrap();
            successor.join().unwrap()
        });
        // The next end is news again, also a graceful one.
        drop(successor);
        let error = loop {
            let sequence = writer.next_sequence();
            if let Err(error) = writer.write_timeout(&frame(sequence, 1000), NOTICE) {
                break error;
            }
        };
        assert!(matches!(error, WriteError::ReaderGone { .. }), "{error}");
        writer.discard_undelivered();
    }
}

#[test]
fn who_is_stopped_is_not_dead() {
    let stage = stage(WaitStrategy::Park);
    // A stopped reader holds its frames, its name, and its writer.
    let mut writer = stage.writer().create(NAME, &config()).unwrap();
    let mut reader = stage.start("read for ever", &[]);
    stage.await_signal("read");
    reader.stop();
    let error = loop {
        let sequence = writer.next_sequence();
        let limit = Duration::from_millis(400);
        if let Err(error) = writer.write_timeout(&frame(sequence, 900), limit) {
            break error;
        }
    };
    let WriteError::Full { holder, .. } = &error else { panic!("{error}") };
    assert!(holder.is_alive() && writer.has_live_reader());
    let taken = stage.reader().join(NAME).map(drop).unwrap_err();
    assert!(matches!(taken, OpenError::ReaderConnected { .. }), "{taken}");
    reader.resume();
    let sequence = writer.next_sequence();
    writer.write_timeout(&frame(sequence, 900), PATIENCE).unwrap();
    drop(writer);
    reader.finish();

    // A stopped writer is waited for, and cannot be succeeded.
    let mut reader = stage.reader().create(NAME, &config()).unwrap();
    let mut writer = stage.start("write", &[1]);
    expect(&mut reader, 1, false);
    stage.await_signal("written");
    writer.stop();
    let error = reader.read_timeout(Duration::from_millis(400)).map(drop).unwrap_err();
    let ReadError::Timeout { writer: presence, .. } = error else { panic!("{error}") };
    assert_eq!(presence, WriterPresence::Attached);
    let taken = stage.writer().connect(NAME).map(drop).unwrap_err();
    assert!(matches!(taken, OpenError::WriterConnected { .. }), "{taken}");
    let pid = writer.pid();
    writer.kill();
    expect_writer_gone(&mut reader, pid);
}

#[test]
fn when_everybody_dies_the_committed_frames_wait_for_the_next() {
    let stage = stage(WaitStrategy::Park);
    let writer = stage.start("write", &[10]);
    stage.await_signal("written");
    let reader = stage.start("read", &[2, 3]);
    stage.await_signal("read");
    writer.kill();
    reader.kill();
    assert_eq!(left_behind(&stage.dir()), ["mortal.zb2"]);
    let seen = inspect::snapshot(NAME, &stage.dir()).unwrap();
    assert!(!seen.in_use && seen.problems.is_empty(), "{:?}", seen.problems);
    assert_eq!((seen.newest_sequence, seen.readers[0].lag_frames), (10, 5));
    let writer = seen.writer.unwrap();
    assert!(writer.attached && !writer.alive);
    // A new writer first: numbers go on.
    stage.start("write and close", &[2]).finish();
    assert_eq!(left_behind(&stage.dir()), ["mortal.zb2"], "unread frames wait in it");
    let mut reader = stage.reader().join(NAME).unwrap();
    for sequence in 3..=12 {
        expect(&mut reader, sequence, sequence <= 5);
    }
    assert!(reader.read().unwrap().is_none());
}

#[test]
fn a_reader_alone_finds_what_the_dead_left() {
    let stage = stage(WaitStrategy::Park);
    let mut writer = stage.start("write", &[10]);
    let pid = writer.pid();
    stage.await_signal("written");
    writer.kill();
    let mut reader = stage.reader().join(NAME).unwrap();
    for sequence in 1..=10 {
        expect(&mut reader, sequence, false);
    }
    expect_writer_gone(&mut reader, pid);
}

#[test]
fn what_the_dead_left_without_frames_is_taken_over_and_removed() {
    let stage = stage(WaitStrategy::Park);
    let mut writer = stage.start("write", &[0]);
    stage.await_signal("written");
    assert_eq!(writer.pid(), inspect::snapshot(NAME, &stage.dir()).unwrap().writer.unwrap().pid);
    writer.kill();
    assert_eq!(left_behind(&stage.dir()), ["mortal.zb2"]);
    drop(stage.writer().create(NAME, &config()).unwrap());
    assert_eq!(left_behind(&stage.dir()), [""; 0]);
}

#[test]
fn the_last_to_leave_removes_the_buffer_unless_frames_wait() {
    let stage = stage(WaitStrategy::Park);
    let dir = stage.dir();
    // The writer last, all read.
    let mut writer = stage.writer().create(NAME, &config()).unwrap();
    let mut reader = stage.reader().join(NAME).unwrap();
    writer.write(&frame(1, len(1))).unwrap();
    expect(&mut reader, 1, false);
    drop(reader);
    assert_eq!(left_behind(&dir), ["mortal.zb2"]);
    drop(writer);
    assert_eq!(left_behind(&dir), [""; 0]);
    // The reader last, all read.
    let mut writer = stage.writer().create(NAME, &config()).unwrap();
    let mut reader = stage.reader().join(NAME).unwrap();
    writer.write(&frame(1, len(1))).unwrap();
    drop(writer);
    expect(&mut reader, 1, false);
    drop(reader);
    assert_eq!(left_behind(&dir), [""; 0]);
    // Unread: kept, whoever leaves last; and the reader that reads it removes it.
    for writer_last in [false, true] {
        let mut writer = stage.writer().create(NAME, &config()).unwrap();
        let reader = stage.reader().join(NAME).unwrap();
        writer.write(&frame(1, len(1))).unwrap();
        if writer_last {
            drop(reader);
            drop(writer);
        } else {
            drop(writer);
            drop(reader);
        }
        assert_eq!(left_behind(&dir), ["mortal.zb2"]);
        let mut reader = stage.reader().join(NAME).unwrap();
        expect(&mut reader, 1, false);
        assert!(reader.read().unwrap().is_none());
        drop(reader);
        assert_eq!(left_behind(&dir), [""; 0]);
    }
    // Given up: by the writer, or by the reader for good.
    let mut writer = stage.writer().create(NAME, &config()).unwrap();
    writer.write(&frame(1, len(1))).unwrap();
    writer.discard_undelivered();
    assert_eq!(left_behind(&dir), [""; 0]);
    let mut writer = stage.writer().create(NAME, &config()).unwrap();
    writer.write(&frame(1, len(1))).unwrap();
    stage.reader().join(NAME).unwrap().unsubscribe();
    drop(writer);
    assert_eq!(left_behind(&dir), [""; 0]);
    // An ephemeral reader never leaves anything to wait for; it takes the frames kept for the first.
    let mut writer = stage.writer().create(NAME, &config()).unwrap();
    writer.write(&frame(1, len(1))).unwrap();
    drop(stage.reader().ephemeral().join(NAME).unwrap());
    drop(writer);
    assert_eq!(left_behind(&dir), [""; 0]);
}
