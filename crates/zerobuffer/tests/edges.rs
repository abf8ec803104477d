//! Sizes at their limits, positions that wrap, alignment, times, and elastic writers.
#![allow(missing_docs)]

mod common;

use common::{
    Call, PATIENCE, Placement, Stage, everywhere, frame, is_frame, left_behind, reader_in, shm_dir,
    some_len, writer_in,
};
use std::time::Duration;
use zerobuffer::{BufferConfig, Elastic, Reader, WaitStrategy, WriteError, Writer};

const NAME: &str = "edge";
/// Where a ring starts whose positions pass 2^64 soon.
const NEAR_THE_END: u64 = u64::MAX - 64 * 40 + 1;

#[test]
fn child_role() {
    common::child(role);
}

fn role(call: &Call) {
    let [count, max, start] = call.numbers[..] else { panic!("{call:?}") };
    let config = wrapping(start);
    let mut writer = call.writer().create(NAME, &config).unwrap();
    for sequence in 1..=count {
        writer.write(&frame(sequence, some_len(sequence, max as usize))).unwrap();
    }
    assert!(writer.wait_drained(Some(PATIENCE)));
}

/// Both ends in this thread.
struct Pair {
    writer: Writer,
    reader: Reader,
    dir: tempfile::TempDir,
}

impl Pair {
    fn new(config: &BufferConfig) -> Self {
        let dir = shm_dir();
        let writer = writer_in(dir.path()).create(NAME, config).unwrap();
        let reader = reader_in(dir.path()).join(NAME).unwrap();
        Self { writer, reader, dir }
    }

    /// Sends one frame through.
    #[track_caller]
    fn pass(&mut self, len: usize) {
        let sequence = self.writer.next_sequence();
        let written = self.writer.try_write(&frame(sequence, len)).unwrap();
        assert_eq!(written.sequence(), Some(sequence));
        let read = self.reader.try_read().unwrap().unwrap();
        assert_eq!((read.sequence(), read.len()), (sequence, len));
        assert!(is_frame(sequence, &read), "frame {sequence} of {len} bytes");
    }

    fn end(self) {
        drop((self.writer, self.reader));
        assert_eq!(left_behind(self.dir.path()), [""; 0]);
    }
}

/// Timestamps on and off, positions from 0 and near the end.
fn kinds(payload_bytes: usize) -> impl Iterator<Item = BufferConfig> {
    [(false, 0), (true, 0), (false, NEAR_THE_END), (true, NEAR_THE_END)].into_iter().map(
        move |(timestamps, start)| {
            BufferConfig::new()
                .payload_bytes(payload_bytes)
                .timestamps(timestamps)
                .start_position(start)
        },
    )
}

#[test]
fn frames_of_every_small_length_arrive_whole() {
    // Small ones are copied in another way, one by one and in batches.
    let mut pair = Pair::new(&BufferConfig::new().payload_bytes(1 << 16));
    for len in 1..=400 {
        pair.pass(len);
        let sequence = pair.writer.next_sequence();
        let mut batch = pair.writer.batch();
        batch.push(&frame(sequence, len)).unwrap();
        batch.commit();
        let read = pair.reader.try_read().unwrap().unwrap();
        assert!(is_frame(sequence, &read), "frame {sequence} of {len} bytes");
    }
    pair.end();
}

#[test]
fn a_frame_that_exactly_fits_passes_and_one_byte_more_is_refused() {
    for config in kinds(64 << 10) {
        let mut pair = Pair::new(&config);
        let max = pair.writer.max_frame_bytes();
        assert_eq!(pair.reader.max_frame_bytes(), max);
        assert!(max >= (64 << 10) - 80, "{max}");
        for lap in 0..70 {
            pair.pass(max);
            // Each lap somewhere else.
            pair.pass(1 + lap);
            let error = pair.writer.write(&frame(1, max + 1)).unwrap_err();
            assert!(
                matches!(error, WriteError::FrameTooLarge { bytes, max: m, .. } if bytes == max + 1 && m == max)
            );
            assert!(matches!(
                pair.writer.loan(max + 1).map(drop).unwrap_err(),
                WriteError::FrameTooLarge { .. }
            ));
        }
        assert_eq!(pair.writer.stats().frames, 140);
        pair.end();
    }
}

#[test]
fn a_frame_of_the_largest_size_needs_the_whole_ring() {
    let mut pair = Pair::new(&BufferConfig::new().payload_bytes(1));
    let max = pair.writer.max_frame_bytes();
    pair.writer.try_write(&frame(1, max)).unwrap();
    assert!(pair.writer.try_write(&frame(2, max)).unwrap_err().is_timeout());
    assert!(is_frame(1, &pair.reader.try_read().unwrap().unwrap()));
    pair.writer.try_write(&frame(2, max)).unwrap();
    assert!(is_frame(2, &pair.reader.try_read().unwrap().unwrap()));
    pair.end();
}

#[test]
fn a_frame_of_no_bytes_is_refused() {
    let mut pair = Pair::new(&BufferConfig::new().payload_bytes(1));
    assert!(matches!(pair.writer.write(b"").unwrap_err(), WriteError::EmptyFrame { .. }));
    assert!(matches!(pair.writer.try_write(b"").unwrap_err(), WriteError::EmptyFrame { .. }));
    assert!(matches!(pair.writer.loan(0).map(drop).unwrap_err(), WriteError::EmptyFrame { .. }));
    assert!(matches!(pair.writer.batch().push(b"").unwrap_err(), WriteError::EmptyFrame { .. }));
    assert!(pair.reader.try_read().unwrap_err().is_timeout());
    pair.pass(1);
    pair.end();
}

#[test]
fn a_thousand_laps_of_one_byte_frames_arrive() {
    for config in kinds(4096) {
        let mut pair = Pair::new(&config);
        for _ in 0..20_000 {
            pair.pass(1);
        }
        // And as many at once as there is room for: each takes a header and eight bytes.
        let mut count = 0;
        while pair.writer.try_write(&[7]).is_ok() {
            count += 1;
        }
        assert!(count >= 4096 / 24 - 1, "{count}");
        for _ in 0..count {
            assert_eq!(&pair.reader.try_read().unwrap().unwrap()[..], [7]);
        }
        pair.end();
    }
}

#[test]
fn the_smallest_buffer_is_a_page_and_works() {
    for config in kinds(1) {
        let mut pair = Pair::new(&config);
        let page = rustix::param::page_size();
        assert_eq!((pair.writer.payload_bytes(), pair.reader.payload_bytes()), (page, page));
        for sequence in 1..2000 {
            pair.pass(some_len(sequence, pair.writer.max_frame_bytes()));
        }
        pair.end();
    }
}

#[test]
fn sizes_around_every_power_of_two_pass() {
    for config in kinds(1 << 20) {
        for elastic in [Elastic::Auto, Elastic::Always] {
            let dir = shm_dir();
            let writer = writer_in(dir.path()).elastic(elastic).create(NAME, &config).unwrap();
            let reader = reader_in(dir.path()).join(NAME).unwrap();
            let mut pair = Pair { writer, reader, dir };
            let max = pair.writer.max_frame_bytes();
            for power in 0..=20 {
                let around = [(1_usize << power) - 1, 1 << power, (1 << power) + 1];
                for len in around.into_iter().filter(|len| (1..=max).contains(len)) {
                    pair.pass(len);
                    // The same behind something else, so that it starts elsewhere and may lie over the end.
                    pair.pass(len.div_ceil(3));
                    pair.pass(len);
                }
            }
            for below in 0..130 {
                pair.pass(max - below);
            }
            pair.end();
        }
    }
}

#[test]
fn payload_sizes_are_rounded_up_to_powers_of_two() {
    let dir = shm_dir();
    let page = rustix::param::page_size();
    for (asked, got) in [
        (1, page),
        (page - 1, page),
        (page, page),
        (page + 1, 2 * page),
        ((1 << 20) - 1, 1 << 20),
        (1 << 20, 1 << 20),
        ((1 << 20) + 1, 2 << 20),
    ] {
        let config = BufferConfig::new().payload_bytes(asked);
        let writer = writer_in(dir.path()).create(NAME, &config).unwrap();
        assert_eq!(writer.payload_bytes(), got, "asked for {asked}");
    }
    let room = BufferConfig::new().room_for(4, 100_000).timestamps(true);
    let mut writer = writer_in(dir.path()).create(NAME, &room).unwrap();
    for _ in 0..4 {
        writer.try_write(&[0; 100_000]).unwrap();
    }
    writer.discard_undelivered();
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn frames_of_more_than_100_megabytes_arrive() {
    let len = 120_000_001;
    let mut pair = Pair::new(&BufferConfig::new().payload_bytes(256 << 20));
    let contents = [frame(1, len), frame(2, len)];
    for sequence in 1..=4 {
        let content = &contents[sequence % 2];
        if sequence % 2 == 0 {
            pair.writer.write(content).unwrap();
        } else {
            let mut loan = pair.writer.loan(len).unwrap();
            loan.copy_from_slice(content);
            assert_eq!(loan.commit(), sequence as u64);
        }
        let read = pair.reader.read().unwrap().unwrap();
        assert_eq!(read.sequence(), sequence as u64);
        assert!(read[..] == content[..], "frame {sequence}");
    }
    pair.end();
}

/// A small ring that starts `start` before or behind 2^64.
fn wrapping(start: u64) -> BufferConfig {
    BufferConfig::new().payload_bytes(4096).start_position(start)
}

everywhere!(positions_pass_the_end_of_their_range);

fn positions_pass_the_end_of_their_range(p: Placement, wait: WaitStrategy) {
    for start in [0_u64.wrapping_sub(64), 0_u64.wrapping_sub(4096), NEAR_THE_END] {
        let stage = Stage::new(p, wait, role);
        let (count, max) = (300, 700);
        let writer = stage.start("write", &[count, max, start]);
        let mut reader = stage.reader().join(NAME).unwrap();
        for sequence in 1..=count {
            let frame = reader.read().unwrap().unwrap();
            assert_eq!(frame.sequence(), sequence);
            assert_eq!(frame.len(), some_len(sequence, max as usize));
            assert!(is_frame(sequence, &frame));
        }
        assert!(reader.read().unwrap().is_none());
        writer.finish();
    }
}

#[test]
fn kept_frames_full_rings_and_takeovers_survive_the_wrap() {
    let dir = shm_dir();
    let config = wrapping(0_u64.wrapping_sub(1024));
    let mut reader = reader_in(dir.path()).create(NAME, &config).unwrap();
    let mut sequence = 0;
    for _ in 0..5 {
        // A new writer each time: it finds its place on either side of the wrap.
        let mut writer = writer_in(dir.path()).connect(NAME).unwrap();
        let before = sequence;
        while writer.try_write(&frame(sequence + 1, 200)).is_ok() {
            sequence += 1;
        }
        assert!(sequence >= before + 15);
        let undelivered = writer.undelivered();
        assert_eq!(undelivered.frames, sequence - before);
        assert!(undelivered.bytes <= 4096 && undelivered.bytes > 3000);
        let mut kept = Vec::new();
        for expected in before + 1..=sequence {
            kept.push(reader.try_read().unwrap().unwrap().into_owned());
            assert_eq!(kept.last().unwrap().sequence(), expected);
        }
        assert!(writer.try_write(&frame(0, 200)).unwrap_err().is_timeout());
        // All but the oldest are released: still full.
        kept.truncate(1);
        assert!(writer.try_write(&frame(0, 200)).unwrap_err().is_timeout());
        assert!(is_frame(before + 1, &kept[0]));
        drop(kept);
        sequence += 1;
        writer.try_write(&frame(sequence, 200)).unwrap();
        assert!(is_frame(sequence, &reader.try_read().unwrap().unwrap()));
        drop(writer);
        assert!(reader.read().unwrap().is_none());
    }
    // A reader, too, goes on there.
    let mut writer = writer_in(dir.path()).connect(NAME).unwrap();
    writer.write(&frame(sequence + 1, 10)).unwrap();
    drop(reader);
    let mut reader = reader_in(dir.path()).join(NAME).unwrap();
    assert_eq!(reader.try_read().unwrap().unwrap().sequence(), sequence + 1);
    drop((reader, writer));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn payloads_start_on_8_and_from_1024_bytes_on_64() {
    fn check(bytes: &[u8]) {
        let alignment = if bytes.len() >= 1024 { 64 } else { 8 };
        assert_eq!(bytes.as_ptr().addr() % alignment, 0, "{} bytes", bytes.len());
    }
    for config in kinds(16 << 10) {
        let mut pair = Pair::new(&config);
        for round in 1..300 {
            for len in [1, 7, 8, 9, round, 1023, 1024, 1025, 1031 + round] {
                let mut loan = pair.writer.loan(len).unwrap();
                check(&loan);
                let sequence = 1;
                loan.copy_from_slice(&frame(sequence, len));
                loan.commit();
                let read = pair.reader.try_read().unwrap().unwrap();
                check(&read);
                let owned = read.into_owned();
                check(&owned);
                assert!(is_frame(sequence, &owned));
            }
            pair.writer.write(&frame(1, 1024 + round)).unwrap();
            let mut batch = pair.reader.try_read_batch(4).unwrap().unwrap();
            check(batch.next().unwrap().payload);
        }
        pair.end();
    }
}

#[test]
fn frames_carry_the_time_of_their_commit_if_the_buffer_is_made_so() {
    let mut pair = Pair::new(&BufferConfig::new().payload_bytes(1).timestamps(true));
    let now = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        std::time::Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    };
    let mut last = now();
    for len in [1, 8, 1023, 1024, 2000, 1, 2000, 3000, 3] {
        let sequence = pair.writer.next_sequence();
        pair.writer.write(&frame(sequence, len)).unwrap();
        let after = now();
        let read = pair.reader.read().unwrap().unwrap();
        let at = read.committed_at().unwrap();
        assert!(last <= at && at <= after, "{last:?} {at:?} {after:?}");
        let age = read.age().unwrap();
        assert!(age <= now() - at);
        assert!(is_frame(sequence, &read));
        let owned = read.into_owned();
        assert_eq!(owned.committed_at(), Some(at));
        assert!(owned.age().unwrap() >= age);
        last = after;
    }
    pair.end();

    let mut pair = Pair::new(&BufferConfig::new().payload_bytes(1));
    pair.writer.write(b"x").unwrap();
    let read = pair.reader.read().unwrap().unwrap();
    assert_eq!((read.committed_at(), read.age()), (None, None));
    drop(read);
    pair.end();
}

#[test]
fn what_a_skip_leads_over_is_free_while_the_frame_behind_it_is_in_use() {
    let dir = shm_dir();
    let config = BufferConfig::new().payload_bytes(64 << 20);
    let mut writer = writer_in(dir.path()).elastic(Elastic::Always).create(NAME, &config).unwrap();
    let mut reader = reader_in(dir.path()).join(NAME).unwrap();
    let mut sequence = 0;
    while writer.stats().skipped_bytes == 0 {
        drop(reader.try_read());
        sequence += 1;
        writer.write(&frame(sequence, 1 << 20)).unwrap();
    }
    let in_use = reader.read().unwrap().unwrap();
    assert_eq!(in_use.sequence(), sequence);
    for _ in 0..60 {
        sequence += 1;
        writer.try_write(&frame(sequence, 1 << 20)).unwrap();
    }
    assert!(is_frame(in_use.sequence(), &in_use));
    drop(in_use);
    let rest = std::iter::from_fn(|| reader.try_read().ok().flatten().map(|f| f.sequence()));
    assert_eq!(rest.last(), Some(sequence));
}

#[test]
fn a_reader_that_stops_anywhere_leaves_an_elastic_writer_the_whole_ring() {
    const LEN: usize = 1000;
    const RING: usize = 1 << 18;
    const WINDOW: usize = 1 << 14;
    let dir = shm_dir();
    let config = BufferConfig::new().payload_bytes(RING);
    let options = writer_in(dir.path()).elastic_window(Some(WINDOW as u64));
    for (lag, waits) in [(0, false), (1, false), (1, true), (7, true)] {
        let mut writer = options.create(NAME, &config).unwrap();
        let mut reader = reader_in(dir.path()).join(NAME).unwrap();
        let (mut written, mut read) = (0, 0);
        let mut receive = |reader: &mut Reader, until: u64| {
            while read < until {
                read += 1;
                let found = reader.try_read().unwrap().unwrap();
                assert!(found.sequence() == read && is_frame(read, &found));
            }
        };
        for stop in 0..40 {
            for _ in 0..100 + stop {
                written += 1;
                writer.write(&frame(written, LEN)).unwrap();
                receive(&mut reader, written.saturating_sub(lag));
            }
            if stop % 3 == 0 {
                drop(writer);
                writer = options.connect(NAME).unwrap();
            }
            // Not the frames that do not fit on either side of a skip, and its line.
            for _ in 0..(RING - 4 * (LEN + 88)) / (LEN + 88) - lag as usize {
                written += 1;
                let frame = frame(written, LEN);
                let done = if waits { writer.write(&frame) } else { writer.try_write(&frame) };
                done.unwrap();
            }
            let full = writer.write_timeout(&[1; RING / 8], Duration::from_millis(1));
            assert!(full.unwrap_err().is_timeout());
            let seen = zerobuffer::inspect::snapshot(NAME, dir.path()).unwrap();
            assert_eq!(seen.problems, [""; 0]);
            assert!(seen.high_water_bytes <= RING as u64, "{}", seen.high_water_bytes);
            receive(&mut reader, written);
        }
        assert!(reader.stats().skipped_bytes > 100 * RING as u64, "it kept to its window");
        drop((writer, reader));
        assert_eq!(left_behind(dir.path()), [""; 0]);
    }
}

#[test]
fn an_elastic_writer_reuses_the_start_of_the_ring_while_the_reader_keeps_up() {
    let dir = shm_dir();
    for start in [0, 0_u64.wrapping_sub(3 << 20).next_multiple_of(64)] {
        let config = BufferConfig::new().payload_bytes(64 << 20).start_position(start);
        let mut writer =
            writer_in(dir.path()).elastic(Elastic::Always).create(NAME, &config).unwrap();
        let mut reader = reader_in(dir.path()).join(NAME).unwrap();
        let mut places = std::collections::BTreeSet::new();
        for sequence in 1..=600 {
            let len = 200_000 + sequence as usize;
            writer.write(&frame(sequence, len)).unwrap();
            let read = reader.read().unwrap().unwrap();
            assert_eq!((read.sequence(), read.len()), (sequence, len));
            assert!(is_frame(sequence, &read));
            places.insert(read.as_ptr().addr() / 4096);
        }
        let span = (places.last().unwrap() - places.first().unwrap()) * 4096;
        if start == 0 {
            assert!(span < 8 << 20, "it went over {span} bytes");
        }
        assert!(writer.stats().skipped_bytes > 64 << 20);
        assert_eq!(writer.stats().skipped_bytes, reader.stats().skipped_bytes);
        assert_eq!(writer.undelivered().frames, 0);

        // A frame is kept: the writer goes on as far as there is room, and the frame stays as it is.
        let mut sequence = 601;
        writer.write(&frame(sequence, 200_000)).unwrap();
        let kept = reader.read().unwrap().unwrap().into_owned();
        while writer.try_write(&frame(sequence + 1, 200_000)).is_ok() {
            sequence += 1;
            let read = reader.read().unwrap().unwrap();
            assert!(read.sequence() == sequence && is_frame(sequence, &read));
        }
        assert!(sequence > 601 && is_frame(601, &kept));
        assert!(writer.undelivered().bytes >= (sequence - 600) * 200_000);
        drop((kept, writer, reader));
        assert_eq!(left_behind(dir.path()), [""; 0]);
    }
}

#[test]
fn a_batch_stays_whole_as_long_as_an_elastic_writer_has_room() {
    const LEN: usize = 1000;
    let dir = shm_dir();
    let config = BufferConfig::new().payload_bytes(1 << 16);
    let mut writer =
        writer_in(dir.path()).elastic_window(Some(1 << 14)).create(NAME, &config).unwrap();
    let mut reader = reader_in(dir.path()).join(NAME).unwrap();
    let mut sequence = 0;
    while writer.stats().skipped_bytes == 0 {
        drop(reader.try_read());
        sequence += 1;
        writer.write(&frame(sequence, LEN)).unwrap();
    }
    // The reader is before the skip. A quarter of the ring is more than a lap above its cursor.
    let mut batch = writer.batch();
    for _ in 0..40 {
        sequence += 1;
        batch.push(&frame(sequence, LEN)).unwrap();
    }
    let seen = zerobuffer::inspect::snapshot(NAME, dir.path()).unwrap();
    assert_eq!((seen.newest_sequence, seen.full_waits), (sequence - 40, 0));
    assert_eq!(batch.commit(), 40);
    let read = std::iter::from_fn(|| {
        let found = reader.try_read().ok().flatten()?;
        assert!(is_frame(found.sequence(), &found));
        Some(found.sequence())
    });
    assert_eq!(read.last(), Some(sequence));
}

#[test]
fn an_elastic_writers_batches_and_successors_go_over_skips() {
    let dir = shm_dir();
    let config = BufferConfig::new().payload_bytes(16 << 20);
    let mut reader = reader_in(dir.path()).create(NAME, &config).unwrap();
    let mut sequence = 0;
    for round in 0..40 {
        let mut writer = writer_in(dir.path()).elastic(Elastic::Always).connect(NAME).unwrap();
        assert_eq!(writer.next_sequence(), sequence + 1);
        for dropped in [true, false] {
            let mut batch = writer.batch();
            for i in 1..=9 {
                batch.push(&frame(sequence + i, 100_000 + round)).unwrap();
            }
            if dropped {
                drop(batch);
                assert!(reader.try_read().unwrap_err().is_timeout());
            } else {
                assert_eq!(batch.commit(), 9);
                sequence += 9;
            }
        }
        let mut batch = reader.read_batch(100).unwrap().unwrap();
        let mut expected = sequence - 9;
        while let Some(frame) = batch.next() {
            expected += 1;
            assert_eq!(frame.sequence, expected);
            assert!(is_frame(expected, frame.payload));
        }
        assert_eq!(expected, sequence);
        drop(batch);
        drop(writer);
        assert!(reader.read().unwrap().is_none());
    }
    assert!(reader.stats().skipped_bytes > 0);
    drop(reader);
    assert_eq!(left_behind(dir.path()), [""; 0]);
}
