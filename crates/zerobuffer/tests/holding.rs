//! Frames kept, lent and given back: nothing of them changes before its time, nothing of them stays behind.
#![allow(missing_docs)]

mod common;

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use common::{
    Call, PATIENCE, Placement, Stage, everywhere, frame, is_frame, left_behind, reader_in, shm_dir,
    some_len, until, writer_in,
};
use zerobuffer::{
    BufferConfig, Elastic, OpenError, OwnedFrame, ReadError, Reader, WaitStrategy, WriteError,
    Writer,
};

const NAME: &str = "held";

#[test]
fn child_role() {
    common::child(role);
}

fn role(call: &Call) {
    match call.role.as_str() {
        "write" => {
            let mut writer = call.writer().wait_for_buffer(PATIENCE).connect(NAME).unwrap();
            for sequence in 1..=call.numbers[0] {
                writer.write_timeout(&frame(sequence, some_len(sequence, 1500)), PATIENCE).unwrap();
            }
        }
        "write in batches" => {
            let mut writer = call.writer().wait_for_buffer(PATIENCE).connect(NAME).unwrap();
            let mut sequence = 0;
            while sequence < call.numbers[0] {
                let mut batch = writer.batch();
                for _ in 0..1 + sequence % 70 {
                    sequence += 1;
                    batch.push(&frame(sequence, some_len(sequence, 600))).unwrap();
                }
                batch.commit();
            }
        }
        other => panic!("no role {other}"),
    }
}

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(16 << 10)
}

fn pair(dir: &Path, config: &BufferConfig) -> (Writer, Reader) {
    (writer_in(dir).create(NAME, config).unwrap(), reader_in(dir).join(NAME).unwrap())
}

everywhere!(
    frames_released_by_threads_in_any_order_stay_intact_while_the_writer_laps,
    batches_larger_than_the_ring_arrive_whole_and_in_order,
    frames_copied_out_are_whole,
);

fn frames_released_by_threads_in_any_order_stay_intact_while_the_writer_laps(
    p: Placement,
    wait: WaitStrategy,
) {
    const COUNT: u64 = 1500;
    let stage = Stage::new(p, wait, role);
    let mut reader = stage.reader().create(NAME, &config()).unwrap();
    let writer = stage.start("write", &[COUNT]);
    let check = |frame: &OwnedFrame| {
        assert_eq!(frame.len(), some_len(frame.sequence(), 1500));
        assert!(is_frame(frame.sequence(), frame), "frame {} was changed", frame.sequence());
    };
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..3)
            .map(|_| {
                let (sender, frames) = std::sync::mpsc::channel::<OwnedFrame>();
                scope.spawn(move || {
                    // Of two frames the newer one goes first, a third only then.
                    let mut older: Option<OwnedFrame> = None;
                    for frame in frames {
                        check(&frame);
                        if let Some(older) = older.take() {
                            drop(frame);
                            std::thread::yield_now();
                            check(&older);
                        } else {
                            older = Some(frame);
                        }
                    }
                });
                sender
            })
            .collect();
        for sequence in 1..=COUNT {
            let frame = reader.read().unwrap().unwrap();
            assert_eq!(frame.sequence(), sequence);
            match sequence % 4 {
                // Some are released by the reader itself, between those that are kept.
                3 => assert!(is_frame(sequence, &frame)),
                which => senders[which as usize].send(frame.into_owned()).unwrap(),
            }
        }
    });
    assert!(reader.read().unwrap().is_none());
    writer.finish();
}

#[test]
fn the_writer_waits_for_the_oldest_kept_frame_only() {
    let dir = shm_dir();
    let (mut writer, mut reader) = pair(dir.path(), &BufferConfig::new().payload_bytes(4096));
    for sequence in 1..=8 {
        writer.write(&frame(sequence, 400)).unwrap();
    }
    let mut kept: Vec<_> = (0..8).map(|_| reader.read().unwrap().unwrap().into_owned()).collect();
    assert!(writer.try_write(&frame(9, 900)).unwrap_err().is_timeout());
    // Newest first, from the other end: nothing is free before the oldest goes.
    while kept.len() > 1 {
        drop(kept.pop());
        assert!(writer.try_write(&frame(9, 900)).unwrap_err().is_timeout());
        assert!(kept.iter().zip(1..).all(|(frame, sequence)| is_frame(sequence, frame)));
    }
    drop(kept);
    // And then all of it is.
    writer.try_write(&frame(9, writer.max_frame_bytes())).unwrap();
    assert!(is_frame(9, &reader.read().unwrap().unwrap()));
    drop((writer, reader));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn frames_between_kept_ones_are_released_in_every_order() {
    let dir = shm_dir();
    let (mut writer, mut reader) = pair(dir.path(), &BufferConfig::new().payload_bytes(4096));
    // All orders of four frames: the cursor ends behind the longest prefix of released ones.
    for order in 0..24_usize {
        let mut left = vec![0, 1, 2, 3];
        let order: Vec<usize> =
            [order / 6, order / 2 % 3, order % 2, 0].map(|at| left.remove(at)).to_vec();
        let first = writer.next_sequence();
        let begin = writer.head_position();
        let mut ends = Vec::new();
        for i in 0..4 {
            writer.write(&frame(first + i, 100)).unwrap();
            ends.push(writer.head_position());
        }
        let mut kept: Vec<_> =
            (0..4).map(|_| Some(reader.read().unwrap().unwrap().into_owned())).collect();
        for &which in &order {
            kept[which] = None;
            let prefix = kept.iter().take_while(|frame| frame.is_none()).count();
            let cursor = if prefix == 0 { begin } else { ends[prefix - 1] };
            assert_eq!(writer.readers()[0].position, cursor, "after {which} of {order:?}");
            for (frame, sequence) in kept.iter().zip(first..) {
                assert!(frame.as_ref().is_none_or(|frame| is_frame(sequence, frame)));
            }
        }
    }
    drop((writer, reader));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn kept_frames_outlive_their_reader_and_hold_its_place() {
    let dir = shm_dir();
    let (mut writer, mut reader) = pair(dir.path(), &BufferConfig::new().payload_bytes(4096));
    for sequence in 1..=3 {
        writer.write(&frame(sequence, 1000)).unwrap();
    }
    let one = reader.read().unwrap().unwrap().into_owned();
    let two = reader.read().unwrap().unwrap().into_owned();
    drop(reader);
    assert!(writer.has_live_reader(), "a frame that is kept is a reader that is there");
    assert!(writer.try_write(&frame(4, 2000)).unwrap_err().is_timeout());
    assert!(is_frame(1, &one) && is_frame(2, &two));
    // Its place cannot be taken meanwhile.
    let error = reader_in(dir.path()).join(NAME).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::ReaderConnected { .. }), "{error}");
    drop(one);
    assert!(is_frame(2, &two));
    std::thread::spawn(move || drop(two)).join().unwrap();
    assert!(!writer.has_live_reader());
    let mut reader = reader_in(dir.path()).join(NAME).unwrap();
    let three = reader.read().unwrap().unwrap();
    assert!(three.sequence() == 3 && !three.is_redelivered() && is_frame(3, &three));
    drop(three);
    drop((writer, reader));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn the_last_kept_frame_removes_the_buffer() {
    let dir = shm_dir();
    let (mut writer, mut reader) = pair(dir.path(), &config());
    writer.write(&frame(1, 5000)).unwrap();
    let kept = reader.read().unwrap().unwrap().into_owned();
    drop((writer, reader));
    assert_eq!(left_behind(dir.path()), ["held.zb2"]);
    assert!(is_frame(1, &kept));
    drop(kept);
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn a_reader_that_unsubscribes_holds_the_writer_back_until_its_last_frame() {
    let dir = shm_dir();
    let (mut writer, mut reader) = pair(dir.path(), &BufferConfig::new().payload_bytes(4096));
    for sequence in 1..=3 {
        writer.write(&frame(sequence, 1000)).unwrap();
    }
    let kept = reader.read().unwrap().unwrap().into_owned();
    reader.unsubscribe();
    assert!(writer.try_write(&frame(4, 2000)).unwrap_err().is_timeout());
    assert!(is_frame(1, &kept));
    drop(kept);
    assert_eq!(writer.readers(), []);
    for sequence in 4..=40 {
        writer.try_write(&frame(sequence, 2000)).unwrap();
    }
    drop(writer);
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn a_loan_dropped_without_commit_never_happened() {
    let dir = shm_dir();
    let (mut writer, mut reader) = pair(dir.path(), &config());
    for sequence in 1..=200 {
        for len in [1, 1024, writer.max_frame_bytes()] {
            let mut loan = writer.loan(len).unwrap();
            loan.fill(0xff);
            drop(loan);
        }
        assert!(reader.try_read().unwrap_err().is_timeout());
        assert_eq!(writer.next_sequence(), sequence);
        let len = some_len(sequence, 3000);
        let mut loan = writer.loan(len).unwrap();
        assert_eq!(loan.len(), len);
        loan.copy_from_slice(&frame(sequence, len));
        assert_eq!(loan.commit(), sequence);
        let read = reader.try_read().unwrap().unwrap();
        assert!(read.len() == len && is_frame(sequence, &read));
    }
    assert_eq!(writer.stats().frames, 200);
    drop((writer, reader));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn a_dropped_loan_of_a_dying_batch_leaves_no_trace_for_a_successor() {
    let dir = shm_dir();
    let (mut writer, mut reader) = pair(dir.path(), &config());
    writer.write(&frame(1, 100)).unwrap();
    let mut batch = writer.batch();
    batch.push(&frame(2, 3000)).unwrap();
    batch.push(&frame(3, 1)).unwrap();
    drop(batch);
    writer.loan(500).unwrap().fill(0xff);
    drop(writer);
    let mut writer = writer_in(dir.path()).connect(NAME).unwrap();
    assert_eq!(writer.next_sequence(), 2);
    writer.write(&frame(2, 64)).unwrap();
    for (sequence, len) in [(1, 100), (2, 64)] {
        let read = reader.read().unwrap().unwrap();
        assert_eq!((read.sequence(), read.len()), (sequence, len));
        assert!(is_frame(sequence, &read));
    }
    drop((writer, reader));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn truncated_loans_keep_their_first_bytes_wherever_they_start() {
    for timestamps in [false, true] {
        let dir = shm_dir();
        let (mut writer, mut reader) = pair(dir.path(), &config().timestamps(timestamps));
        let mut sequence = 0;
        // From above to below the size from which payloads start on 64, at every offset within 64.
        for full in [1, 1000, 1023, 1024, 1025, 1100, 3000] {
            for kept in [1, 2, 63, 64, 65, 999, 1000, 1022, 1023, 1024, 1025, 1099, 2999] {
                for before in 1..9 {
                    sequence += 1;
                    writer.write(&frame(sequence, before * 8)).unwrap();
                    let read = reader.try_read().unwrap().unwrap();
                    assert!(is_frame(sequence, &read));
                    drop(read);
                    sequence += 1;
                    let mut loan = writer.loan(full).unwrap();
                    loan.copy_from_slice(&frame(sequence, full));
                    loan.truncate(kept);
                    let len = kept.min(full);
                    assert!(loan.len() == len && is_frame(sequence, &loan));
                    assert_eq!(loan.commit(), sequence);
                    let read = reader.try_read().unwrap().unwrap();
                    assert_eq!((read.sequence(), read.len()), (sequence, len));
                    assert!(is_frame(sequence, &read), "{full} truncated to {kept}");
                }
            }
        }
        // Zero, or more, changes nothing.
        let mut loan = writer.loan(10).unwrap();
        loan.copy_from_slice(&frame(1, 10));
        loan.truncate(0);
        loan.truncate(11);
        assert_eq!(loan.len(), 10);
        loan.commit();
        assert!(is_frame(1, &reader.read().unwrap().unwrap()));
        drop((writer, reader));
        assert_eq!(left_behind(dir.path()), [""; 0]);
    }
}

#[test]
fn a_batch_appears_at_once_and_a_dropped_one_never() {
    let dir = shm_dir();
    let (mut writer, mut reader) = pair(dir.path(), &config());
    let before = writer.stats();
    let mut batch = writer.batch();
    for sequence in 1..=5 {
        assert_eq!(batch.push(&frame(sequence, 100)).unwrap().sequence(), Some(sequence));
    }
    drop(batch);
    assert!(reader.try_read().unwrap_err().is_timeout());
    assert_eq!((writer.stats(), writer.next_sequence()), (before, 1));

    let mut batch = writer.batch();
    for sequence in 1..=5 {
        batch.push(&frame(sequence, 10)).unwrap();
        assert!(reader.try_read().unwrap_err().is_timeout(), "{sequence} is visible already");
    }
    // A frame that cannot be is not part of it, and spoils nothing.
    assert!(matches!(batch.push(&[0; 1 << 20]).unwrap_err(), WriteError::FrameTooLarge { .. }));
    assert_eq!(batch.commit(), 5);
    for sequence in 1..=5 {
        let read = reader.try_read().unwrap().unwrap();
        assert!(read.sequence() == sequence && is_frame(sequence, &read));
    }
    assert_eq!(writer.batch().commit(), 0);
    assert_eq!(writer.stats().frames, 5);
    drop((writer, reader));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

fn batches_larger_than_the_ring_arrive_whole_and_in_order(p: Placement, wait: WaitStrategy) {
    const COUNT: u64 = 2000;
    let stage = Stage::new(p, wait, role);
    let config = BufferConfig::new().payload_bytes(4096);
    let mut reader = stage.reader().create(NAME, &config).unwrap();
    let writer = stage.start("write in batches", &[COUNT]);
    let mut expected = 0;
    while let Some(mut batch) = reader.read_batch(7).unwrap() {
        let mut count = 0;
        while let Some(frame) = batch.next() {
            (expected, count) = (expected + 1, count + 1);
            assert_eq!(frame.sequence, expected);
            assert_eq!(frame.payload.len(), some_len(expected, 600));
            assert!(is_frame(expected, frame.payload) && !frame.redelivered);
        }
        assert!((1..=7).contains(&count));
    }
    assert!(expected >= COUNT);
    assert_eq!(reader.stats().frames, expected);
    writer.finish();
}

#[test]
fn a_batch_that_fills_the_ring_is_committed_so_far_and_can_go_on() {
    let dir = shm_dir();
    let writer = writer_in(dir.path()).full_policy(zerobuffer::FullPolicy::Fail);
    let mut writer = writer.create(NAME, &BufferConfig::new().payload_bytes(4096)).unwrap();
    let mut reader = reader_in(dir.path()).join(NAME).unwrap();
    let mut batch = writer.batch();
    let mut count = 0;
    while batch.push(&frame(count + 1, 500)).is_ok() {
        count += 1;
    }
    // Full: what it held is visible, and stays so although the batch is dropped.
    let mut read = 0;
    while let Ok(Some(frame)) = reader.try_read() {
        read += 1;
        assert!(frame.sequence() == read && is_frame(read, &frame));
    }
    assert_eq!(read, count);
    batch.push(&frame(count + 1, 500)).unwrap();
    drop(batch);
    assert!(reader.try_read().unwrap_err().is_timeout());
    assert_eq!((writer.stats().frames, writer.next_sequence()), (count, count + 1));
    drop((writer, reader));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn a_read_batch_releases_what_was_taken_and_no_more() {
    let dir = shm_dir();
    let (mut writer, mut reader) = pair(dir.path(), &config());
    for sequence in 1..=10 {
        writer.write(&frame(sequence, 200)).unwrap();
    }
    // Not looked at: nothing was received.
    drop(reader.read_batch(4).unwrap().unwrap());
    assert_eq!(writer.undelivered().frames, 10);
    let mut batch = reader.read_batch(4).unwrap().unwrap();
    for sequence in 1..=3 {
        let frame = batch.next().unwrap();
        assert!(frame.sequence == sequence && is_frame(sequence, frame.payload));
        assert_eq!(writer.readers()[0].position, 0, "released together, not one by one");
    }
    drop(batch);
    assert_eq!((writer.undelivered().frames, reader.stats().frames), (7, 3));
    let mut batch = reader.try_read_batch(4).unwrap().unwrap();
    for sequence in 4..=7 {
        assert_eq!(batch.next().unwrap().sequence, sequence);
    }
    assert!(batch.next().is_none(), "no more than asked for");
    drop(batch);
    // Behind a kept frame a batch is released in its turn.
    let kept = reader.read().unwrap().unwrap().into_owned();
    let mut batch = reader.read_batch_timeout(100, Duration::from_secs(1)).unwrap().unwrap();
    while batch.next().is_some() {}
    drop(batch);
    assert_eq!(writer.undelivered().frames, 0);
    assert!(writer.undelivered().bytes > 600);
    assert!(is_frame(8, &kept));
    drop(kept);
    assert_eq!(writer.undelivered().bytes, 0);
    assert!(reader.try_read_batch(4).unwrap_err().is_timeout());
    assert!(reader.read_batch_timeout(4, Duration::from_millis(5)).unwrap_err().is_timeout());
    drop(writer);
    assert!(reader.read_batch(4).unwrap().is_none());
    drop(reader);
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

fn frames_copied_out_are_whole(p: Placement, wait: WaitStrategy) {
    const COUNT: u64 = 1000;
    let stage = Stage::new(p, wait, role);
    let mut reader = stage.reader().create(NAME, &config()).unwrap();
    let writer = stage.start("write", &[COUNT]);
    let mut space = vec![0; 2000];
    let mut sequence = 0;
    while let Some(len) = reader.read_into(&mut space).unwrap() {
        sequence += 1;
        assert_eq!(len, some_len(sequence, 1500));
        assert!(is_frame(sequence, &space[..len]));
    }
    assert_eq!(sequence, COUNT);
    writer.finish();
}

#[test]
fn a_frame_that_does_not_fit_the_given_space_stays_unread() {
    let dir = shm_dir();
    let (mut writer, mut reader) = pair(dir.path(), &config());
    writer.write(&frame(1, 100)).unwrap();
    let error = reader.read_into(&mut [0; 99]).unwrap_err();
    assert!(matches!(error, ReadError::SpaceTooSmall { bytes: 100, space: 99, .. }), "{error}");
    assert_eq!(reader.stats().frames, 0);
    let mut space = [0; 100];
    assert_eq!(reader.read_into(&mut space).unwrap(), Some(100));
    assert!(is_frame(1, &space));
    writer.write(&frame(2, 100)).unwrap();
    let read = reader.read().unwrap().unwrap();
    let mut part = [0; 10];
    assert_eq!(read.copy_to(&mut part), 10);
    assert!(is_frame(2, &part));
    let mut more = [0; 200];
    assert_eq!(read.into_owned().copy_to(&mut more), 100);
    assert!(is_frame(2, &more[..100]));
    drop((writer, reader));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn what_is_drained_is_told_when_the_last_frame_is_released() {
    let dir = shm_dir();
    let (mut writer, mut reader) = pair(dir.path(), &config());
    writer.write(&frame(1, 100)).unwrap();
    assert!(!writer.wait_drained(Some(Duration::from_millis(5))));
    let kept = reader.read().unwrap().unwrap().into_owned();
    assert!(!writer.wait_drained(Some(Duration::ZERO)));
    let releaser = std::thread::spawn(move || drop(kept));
    assert!(writer.wait_drained(None));
    releaser.join().unwrap();
    drop((writer, reader));
    until("it is removed", || left_behind(dir.path()).is_empty());
}

#[test]
fn a_frame_that_was_waited_for_is_held_until_it_is_dropped() {
    for strategy in [WaitStrategy::Spin, WaitStrategy::SpinThenPark, WaitStrategy::Park] {
        let dir = shm_dir();
        let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
        let mut reader = reader_in(dir.path()).wait_strategy(strategy).join(NAME).unwrap();
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| {
                // The reader is to find nothing at first.
                std::thread::sleep(Duration::from_millis(20));
                let mut sequence = 0;
                // The first is lent: the ring fills up behind it.
                while writer.try_write(&frame(sequence + 1, 1000)).is_ok() {
                    sequence += 1;
                    assert!(sequence < 20, "the writer got the place of a frame that is lent");
                }
            });
            let lent = reader.read_timeout(PATIENCE).unwrap().unwrap();
            assert!(is_frame(1, &lent));
            writing.join().unwrap();
            assert!(is_frame(1, &lent), "it was overwritten");
        });
    }
}

#[test]
fn frames_loans_and_ends_can_be_sent_and_shared() {
    fn shared<T: Send + Sync>() {}
    shared::<Reader>();
    shared::<Writer>();
    shared::<zerobuffer::Frame<'_>>();
    shared::<zerobuffer::FrameMut<'_>>();
    shared::<OwnedFrame>();
}

/// Frames that readers may keep, or not have read, in a ring of `capacity` bytes while each further one finds room: as
/// `BufferConfig::room_for` says.
fn promised(capacity: usize, bytes: usize) -> usize {
    (capacity - 5 * 64) / (bytes + 80) - 2
}

const ELASTICS: [Elastic; 3] = [Elastic::Auto, Elastic::Always, Elastic::Never];

#[test]
fn a_reader_that_keeps_its_last_frames_never_stops_the_writer() {
    for (elastic, bytes) in
        ELASTICS.into_iter().flat_map(|elastic| [100_000, 1_382_400].map(|bytes| (elastic, bytes)))
    {
        let dir = shm_dir();
        let options = writer_in(dir.path()).elastic(elastic);
        let mut writer = options.create(NAME, &BufferConfig::new()).unwrap();
        let mut reader = reader_in(dir.path()).join(NAME).unwrap();
        let most = promised(writer.payload_bytes(), bytes);
        let mut kept = VecDeque::new();
        let mut unread = 0;
        for number in 0..40 * most as u64 {
            // How many frames are kept, and how many not read yet, goes up and down in steps of different lengths.
            let keeps = some_len(number / 7, most);
            writer
                .try_loan(bytes)
                .unwrap_or_else(|error| {
                    panic!(
                        "{elastic:?}, {bytes} bytes, frame {number}, {} kept: {error}",
                        kept.len()
                    )
                })
                .commit();
            unread += 1;
            while unread > some_len(number / 5, most) || kept.len() + unread > most {
                if unread > 0 {
                    kept.push_back(reader.try_read().unwrap().unwrap().into_owned());
                    unread -= 1;
                }
                while kept.len() > keeps.min(most - unread) {
                    kept.pop_front();
                }
            }
        }
    }
}

#[test]
fn a_reader_that_left_stops_no_writer_that_has_room() {
    const LEN: usize = 10_000;
    for elastic in ELASTICS {
        let dir = shm_dir();
        let options = writer_in(dir.path()).elastic(elastic);
        let mut writer = options.create(NAME, &BufferConfig::new()).unwrap();
        let mut reader = reader_in(dir.path()).join(NAME).unwrap();
        // More than a window, so that the reader leaves before a skip.
        for _ in 0..1000 {
            writer.write(&[1; LEN]).unwrap();
            drop(reader.read().unwrap().unwrap());
        }
        drop(reader);
        let mut unread = 0;
        let error = loop {
            match writer.write(&[1; LEN]) {
                Ok(_) => unread += LEN,
                Err(error) => break error,
            }
        };
        let capacity = writer.payload_bytes();
        assert!(unread > capacity - 20 * LEN, "{elastic:?}: after {unread} of {capacity}: {error}");
        assert!(matches!(error, WriteError::ReaderGone { .. }), "{elastic:?}: {error}");
    }
}
