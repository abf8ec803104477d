//! The ring against a simple model: random sizes, holds, releases in any order, readers coming and going,
//! batches, aborted loans, skips, dead writers, and positions that wrap at 2^64.

use std::cell::Cell;
use std::collections::VecDeque;

use proptest::prelude::*;

use super::heap::Heap;
use super::policies::{Choice, Producer, WHOLE, attach, try_attach};
use crate::sync::{AtomicU64, Ordering};
use crate::v2::placing::Footprint;
use crate::v2::protocol::layout::{CACHE_LINE, FrameGeometry, owner_state};
use crate::v2::protocol::position::Position;
use crate::v2::rules::memory::{Memory, ReadMemory};
use crate::v2::rules::observe::{Copied, Observation};
use crate::v2::rules::registry::activate;
use crate::v2::rules::ring::{self, Claim, Consumer, Found, number_of};
use crate::values::config::StartAt;

const CAPACITY: u64 = 4096;
/// What terminators, the lines behind the words of skips, and skips of no more than a line take.
const SEAMS: u64 = 4 * CACHE_LINE + 16;
const READERS: usize = 3;

#[derive(Debug, Clone)]
enum Action {
    Write(u64),
    Batch(Vec<u64>),
    /// Stage frames and give them up.
    Abort(Vec<u64>),
    /// Frames of one length until there is no room.
    Fill(u64),
    /// Frames of one length, so many, of which a reader holds so many at a time.
    Stream(u64, usize, usize),
    /// Claim, scribble over the loan, give it up.
    Abandon(u64),
    /// Complete frames as one and die after so many of the stores that publish them.
    CommitAndDie(Vec<u64>, usize),
    /// Die with a loan open, or between two frames.
    Die,
    Read(usize),
    /// Release the nth frame that a reader holds.
    Release(usize, usize),
    Join(usize, bool),
    Leave(usize),
    /// A reader dies; its successor goes on at its cursor.
    Succeed(usize),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let size = prop_oneof![1u64..=40, 1u64..=1500, Just(CAPACITY - 16 - 64), Just(1), Just(1024)];
    let reader = 0..READERS;
    let action = prop_oneof![
        6 => size.clone().prop_map(Action::Write),
        1 => proptest::collection::vec(size.clone(), 1..5).prop_map(Action::Batch),
        1 => proptest::collection::vec(size.clone(), 1..5).prop_map(Action::Abort),
        1 => (16u64..400).prop_map(Action::Fill),
        2 => (size.clone(), 1usize..40, 0usize..6).prop_map(|(l, n, h)| Action::Stream(l, n, h)),
        1 => size.clone().prop_map(Action::Abandon),
        1 => (proptest::collection::vec(size, 1..4), 0..PUBLISHING_STORES + 1)
            .prop_map(|(lens, stores)| Action::CommitAndDie(lens, stores)),
        1 => Just(Action::Die),
        8 => reader.clone().prop_map(Action::Read),
        8 => (reader.clone(), 0usize..4).prop_map(|(r, n)| Action::Release(r, n)),
        1 => (reader.clone(), any::<bool>()).prop_map(|(r, oldest)| Action::Join(r, oldest)),
        1 => reader.clone().prop_map(Action::Leave),
        1 => reader.prop_map(Action::Succeed),
    ];
    proptest::collection::vec(action, 1..200)
}

fn windowed(bytes: u64) -> Choice {
    Choice::Cached(Footprint::Window(bytes))
}

/// A window or the whole ring, whichever is found to be faster by a clock that goes as it likes.
fn learned(window: u64, cached: fn() -> u64) -> Choice {
    thread_local!(static NOW_NS: Cell<u64> = const { Cell::new(1) });
    let now_ns = || {
        NOW_NS.set(NOW_NS.get().wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1));
        NOW_NS.get() >> 40
    };
    Choice::Cached(Footprint::Learned { window, cached, now_ns })
}

const PUBLISHING_STORES: usize = 5;

/// A reader, and what it must see.
struct Side {
    consumer: Consumer,
    held: Vec<Found>,
    /// Handed out and not passed by the cursor, oldest first.
    open: VecDeque<(Position, bool)>,
    expected: u64,
    /// Frames up to this number had been received by a predecessor.
    received: u64,
}

struct Bench {
    heap: Heap,
    producer: Producer,
    choice: Choice,
    /// Whether the writer goes beyond what readers have yet to read.
    goes_beyond: bool,
    /// Length of frame i + 1.
    lens: Vec<u64>,
    sides: [Option<Side>; READERS],
}

impl Bench {
    fn new(header: u64, start: u64, choice: Choice) -> Self {
        let frames = FrameGeometry::new(CAPACITY, header, 1024);
        let heap = Heap::new(frames, READERS, Position(start));
        let producer = attach(&heap, choice);
        let (lens, sides) = (Vec::new(), [None, None, None]);
        Self { heap, producer, choice, goes_beyond: false, lens, sides }
    }

    fn wish(&self, len: u64) -> u64 {
        len.min(self.heap.frames().max_frame())
    }

    fn claim(&mut self, len: u64) -> Option<Claim> {
        let (producer, heap) = (&mut self.producer, &self.heap);
        if let Some(claim) = producer.claim_ready(heap, len) {
            return Some(claim);
        }
        if !self.goes_beyond {
            return producer.claim(heap, len).ok();
        }
        let claim = producer.claim_beyond(heap, len).ok();
        if claim.is_none() {
            let room = self.room_needed(len);
            assert!(room > CAPACITY, "{len} bytes are refused, though {room} are enough");
        }
        claim
    }

    /// Bytes of a ring that are enough for all frames that a reader has not released and one more of `len` bytes: as much as
    /// they take, and as the largest of them takes once more, which may fit neither at the end of a lap nor between two rows.
    fn room_needed(&self, len: u64) -> u64 {
        let oldest = self.sides.iter().flatten().map(|side| side.expected - side.open.len() as u64);
        // What is staged counts, whoever reads.
        let staged = self.heap.writer().sequence.load(Ordering::Relaxed) + 1;
        let oldest = oldest.min().unwrap_or(staged).min(staged);
        let frames = self.heap.frames();
        // From where its alignment costs most.
        let bytes = |len: u64| frames.extent(Position(0), len).end.0;
        let kept = self.lens[oldest as usize - 1..].iter().map(|&len| bytes(len));
        let largest = kept.clone().max().unwrap_or(0).max(bytes(len));
        kept.sum::<u64>() + largest + bytes(len) + SEAMS
    }

    fn write(&mut self, lens: &[u64], publish: bool) {
        let mut staged = 0;
        for &len in lens {
            let len = self.wish(len);
            let Some(claim) = self.claim(len) else { break };
            let sequence = self.producer.next_sequence();
            assert_eq!(sequence, self.lens.len() as u64 + 1);
            self.producer.copies(&self.heap, &claim);
            self.heap.fill(claim.start(), len, sequence);
            self.producer.stage(&self.heap, &claim);
            self.lens.push(len);
            staged += 1;
        }
        let nobody_reads = self.sides.iter().all(Option::is_none);
        let all_caught_up = self
            .sides
            .iter()
            .flatten()
            .all(|side| side.open.is_empty() && side.expected == self.lens.len() as u64 + 1);
        if staged == 0 && (nobody_reads || all_caught_up) {
            panic!("an empty ring refused a frame that fits");
        }
        if publish {
            self.producer.publish(&self.heap);
        }
    }

    /// The words that publish frames, in the order in which they are stored.
    fn published(&self) -> [&AtomicU64; PUBLISHING_STORES] {
        let area = self.heap.writer();
        [&area.skipped_bytes, &area.bytes_committed, &area.newest, &area.sequence, &area.head]
    }

    fn succeed_writer(&mut self) {
        self.producer = attach(&self.heap, self.choice);
        assert_eq!(self.producer.next_sequence(), self.lens.len() as u64 + 1);
    }

    fn read(&mut self, reader: usize) {
        let newest = self.lens.len() as u64;
        let Some(side) = &mut self.sides[reader] else { return };
        let slot = &self.heap.slots()[reader];
        // Either way round a skip leads to the same frame.
        if side.expected % 2 == 0 && side.consumer.pass_skip(&self.heap, slot) {
            assert!(side.consumer.poll_ready(&self.heap).is_some());
        }
        assert!(!ring::is_wiped_out(&self.heap, side.consumer.position()));
        let polled = side.consumer.poll(&self.heap).unwrap();
        // So does either way to take a plain one.
        let is_taken = side.expected % 3 != 0 && side.consumer.take_ready(&self.heap, slot);
        if is_taken {
            assert_eq!(Some(*side.consumer.newest()), polled);
        }
        match polled {
            None => assert_eq!(side.expected, newest + 1, "a committed frame is not seen"),
            Some(found) => {
                assert!(side.expected <= newest, "a frame that was never committed is seen");
                assert_eq!(found.sequence, side.expected);
                assert_eq!(found.len, self.lens[found.sequence as usize - 1]);
                assert_eq!(found.is_redelivered(), found.sequence <= side.received);
                if !is_taken {
                    side.consumer.take(slot, &found);
                }
                side.expected += 1;
                side.held.push(found);
                side.open.push_back((found.end, false));
            }
        }
    }

    fn release(&mut self, reader: usize, nth: usize) {
        let Some(side) = &mut self.sides[reader] else { return };
        if side.held.is_empty() {
            return;
        }
        let found = side.held.remove(nth % side.held.len());
        for open in &mut side.open {
            open.1 |= open.0 == found.end;
        }
        while side.open.front().is_some_and(|open| open.1) {
            let (end, _) = side.open.pop_front().unwrap();
            ring::release(&self.heap.slots()[reader], end);
        }
    }

    fn join(&mut self, reader: usize, oldest: bool) {
        if self.sides[reader].is_some() {
            return;
        }
        let start = if oldest { StartAt::Oldest } else { StartAt::Newest };
        let slot = &self.heap.slots()[reader];
        slot.read_sequence
            .store(self.heap.writer().sequence.load(Ordering::Relaxed), Ordering::Relaxed);
        slot.owner_state.store(owner_state::ATTACHED, Ordering::Relaxed);
        activate(&self.heap, reader as u32, start, 1).expect("nobody moves the floor meanwhile");
        let consumer = Consumer::attach(&self.heap, reader as u32).unwrap();
        let expected = consumer.next_sequence();
        let newest = self.lens.len() as u64;
        assert!((1..=newest + 1).contains(&expected));
        assert!(oldest || expected == newest + 1);
        slot.read_sequence.store(expected - 1, Ordering::Relaxed);
        self.sides[reader] = Some(Side {
            consumer,
            held: Vec::new(),
            open: VecDeque::new(),
            expected,
            received: expected - 1,
        });
    }

    fn succeed_reader(&mut self, reader: usize) {
        let Some(side) = &mut self.sides[reader] else { return };
        side.received = (side.expected - 1).max(side.received);
        side.expected -= side.open.len() as u64;
        side.held.clear();
        side.open.clear();
        side.consumer = Consumer::attach(&self.heap, reader as u32).unwrap();
        assert_eq!(side.consumer.next_sequence(), side.expected);
    }

    fn run(&mut self, action: Action) {
        match action {
            Action::Write(len) => self.write(&[len], true),
            Action::Batch(lens) => self.write(&lens, true),
            Action::Abort(lens) => {
                let accounts = self.producer.accounts();
                let before = self.lens.len();
                self.write(&lens, false);
                self.producer.abort(&self.heap);
                self.lens.truncate(before);
                assert_eq!(self.producer.accounts(), accounts);
            }
            Action::Fill(len) => {
                let mut before = usize::MAX;
                while before != self.lens.len() && !self.sides.iter().all(Option::is_none) {
                    before = self.lens.len();
                    self.write(&[len], true);
                }
            }
            Action::Stream(len, count, held) => {
                for _ in 0..count {
                    self.write(&[len], true);
                    self.read(0);
                    if self.sides[0].as_ref().is_some_and(|side| side.held.len() > held) {
                        self.release(0, 0);
                    }
                }
            }
            Action::Abandon(len) => {
                let len = self.wish(len);
                if let Some(claim) = self.claim(len) {
                    self.heap.fill(claim.start(), len, u64::MAX);
                }
            }
            Action::CommitAndDie(lens, stores) => {
                let is_first = self.lens.is_empty();
                let before = self.published().map(|word| word.load(Ordering::Relaxed));
                self.write(&lens, true);
                // What was stored last never was; the commit words stand.
                for (word, value) in self.published().iter().zip(before).skip(stores) {
                    word.store(value, Ordering::Relaxed);
                }
                let exact = self.producer.accounts();
                self.succeed_writer();
                assert_eq!(self.heap.writer().head.load(Ordering::Relaxed), self.producer.head().0);
                // Between the accounts and `newest`, a successor cannot tell; nothing hangs on it.
                if stores == 0 || stores > 2 + usize::from(is_first) {
                    assert_eq!(self.producer.accounts(), exact);
                }
            }
            Action::Die => {
                let len = self.wish(700);
                if let Some(claim) = self.claim(len) {
                    self.heap.fill(claim.start(), len, u64::MAX);
                }
                self.succeed_writer();
            }
            Action::Read(reader) => self.read(reader),
            Action::Release(reader, nth) => self.release(reader, nth),
            Action::Join(reader, oldest) => self.join(reader, oldest),
            Action::Leave(reader) => {
                crate::v2::rules::registry::free(&self.heap, reader as u32);
                self.sides[reader] = None;
            }
            Action::Succeed(reader) => self.succeed_reader(reader),
        }
        for side in self.sides.iter().flatten() {
            for found in &side.held {
                let intact = self.heap.is_filled(found.start, found.len, found.sequence);
                assert!(intact, "held frame {} was overwritten", found.sequence);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn every_reader_sees_every_frame_once_in_order_and_intact(
        actions in actions(),
        header in prop_oneof![Just(8u64), Just(16)],
        start in prop_oneof![Just(0u64), Just(u64::MAX - 63), Just(u64::MAX - 8191), Just(1 << 63)],
        choice in prop_oneof![
            Just(Choice::Plain),
            Just(WHOLE),
            prop_oneof![Just(512u64), Just(2048), Just(2 * CAPACITY)].prop_map(windowed),
            Just(learned(512, || 0)),
            Just(learned(512, || CAPACITY)),
        ],
        goes_beyond in any::<bool>(),
    ) {
        let mut bench = Bench::new(header, start & !63, choice);
        bench.goes_beyond = goes_beyond;
        bench.join(0, true);
        for action in actions {
            bench.run(action);
        }
    }
}

const WINDOW: u64 = 1600;

/// A ring whose elastic writer has sent `count` frames, each of which was released `lag` frames later; and how far it went.
fn elastic(count: u64, lag: usize) -> (Bench, u64) {
    let mut bench = Bench::new(8, 0, windowed(WINDOW));
    bench.join(0, true);
    let mut farthest = 0;
    for _ in 0..count {
        bench.write(&[100], true);
        let newest = bench.heap.writer().newest.load(Ordering::Relaxed);
        farthest = farthest.max(bench.heap.frames().offset(Position(newest)) + 112);
        bench.read(0);
        if bench.sides[0].as_ref().unwrap().held.len() > lag {
            bench.release(0, 0);
        }
    }
    (bench, farthest)
}

#[test]
fn an_elastic_writer_stays_within_its_window_while_readers_keep_up() {
    for (lag, part) in [(0, 4), (1, 1), (3, 1)] {
        let (bench, farthest) = elastic(1000, lag);
        let least = WINDOW / part - 112;
        assert!(farthest > least && farthest <= least + 2 * 112, "lag {lag}: {farthest}");
        assert!(bench.producer.skipped_bytes() > 0);
    }
}

/// A ring for sixteen frames of `size` bytes, headers included, of which a window is used, and its two ends.
fn large_frames(size: u64, window: u64) -> (Heap, Producer, Consumer) {
    let heap = Heap::new(FrameGeometry::new(16 * size, 8, 1024), 1, Position(0));
    heap.reserve(0, Position(0));
    let producer = attach(&heap, windowed(window));
    let consumer = Consumer::attach(&heap, 0).unwrap();
    (heap, producer, consumer)
}

/// Receives and releases all that is there.
fn read_all(heap: &Heap, consumer: &mut Consumer) {
    while let Some(found) = consumer.poll(heap).unwrap() {
        consumer.take(&heap.slots()[0], &found);
        ring::release(&heap.slots()[0], found.end);
    }
}

#[test]
fn the_last_frame_of_a_window_need_not_wait_until_the_skip_behind_the_lap_before_is_passed() {
    const SIZE: u64 = 32 << 10;
    let (heap, mut producer, mut consumer) = large_frames(SIZE, 2 * SIZE);
    let frames = heap.frames();
    let mut refused = 0;
    for lap in 0..160 {
        for _ in 0..2 {
            let Ok(claim) = producer.claim(&heap, SIZE - CACHE_LINE) else {
                refused += 1;
                continue;
            };
            assert!(frames.offset(claim.header()) < 3 * SIZE, "lap {lap}");
            producer.commit(&heap, &claim);
        }
        read_all(&heap, &mut consumer);
    }
    assert!((1..=12).contains(&refused), "{refused} of 160, when laps are back where they began");
}

#[test]
fn a_small_ring_is_used_as_a_whole() {
    let mut bench = Bench::new(8, 0, learned(CAPACITY / 2, || 0));
    bench.join(0, true);
    bench.run(Action::Stream(100, 1000, 1));
    assert!(bench.producer.skipped_bytes() < 100 * CAPACITY / 8);
}

#[test]
fn a_ring_that_is_in_the_cache_is_used_as_a_whole_unless_readers_wait_for_each_frame() {
    const LEN: u64 = 100;
    let skipped = |cached: fn() -> u64, held| {
        let mut bench = Bench::new(8, 0, learned(512, cached));
        bench.join(0, true);
        bench.run(Action::Stream(LEN, 1000, held));
        bench.producer.skipped_bytes()
    };
    assert!(skipped(|| 0, 2) > 100 * CAPACITY, "the others keep to a window");
    assert!(skipped(|| CAPACITY, 2) < 100 * CAPACITY / 8);
    assert!(skipped(|| CAPACITY, 0) > 100 * CAPACITY, "the reader waits for each frame");
}

#[test]
fn wherever_readers_stop_an_elastic_writer_has_room_for_what_they_had_kept_up_with() {
    for (lag, least) in [(0, WINDOW / 4), (1, WINDOW - 112), (3, WINDOW - 112)] {
        for count in 100..200 {
            let (mut bench, _) = elastic(count, lag);
            let frames = (0..).take_while(|_| {
                let before = bench.lens.len();
                bench.write(&[100], true);
                bench.lens.len() > before
            });
            let room = 112 * (frames.count() + lag + 1) as u64;
            assert!(room >= least, "lag {lag}: only {room} bytes");
        }
    }
}

/// Writes frames of `len` bytes until there is no room; bytes of the ring that are in use then.
fn fill_up(bench: &mut Bench, len: u64) -> u64 {
    bench.goes_beyond = true;
    bench.run(Action::Fill(len));
    bench.goes_beyond = false;
    let side = bench.sides[0].as_ref().unwrap();
    let first = side.expected as usize - 1 - side.open.len();
    bench.lens[first..].iter().map(|len| (len + 8).next_multiple_of(8)).sum()
}

#[test]
fn wherever_readers_stop_an_elastic_writer_has_room_for_the_whole_ring_if_it_wants() {
    for (lag, dies) in [0, 1, 3, 10, 14].into_iter().flat_map(|lag| [(lag, false), (lag, true)]) {
        for count in 100..300 {
            let (mut bench, _) = elastic(count, lag);
            // After the first time readers stop anywhere again, before the skip and behind it.
            for (time, reads) in [7, 13, 19, 25, 0].into_iter().enumerate() {
                if dies {
                    bench.run(Action::Die);
                }
                let bytes = fill_up(&mut bench, 100);
                // Not the line of a skip, what lies before the floor, and what is too short for one more. And what readers
                // give back before they come to the skip is of use behind it.
                let window = if time == 0 { 0 } else { WINDOW };
                let least = CAPACITY - window - CACHE_LINE - 3 * 112;
                assert!(bytes >= least, "lag {lag}, {count} frames, time {time}: {bytes}");
                for _ in 0..reads {
                    bench.run(Action::Release(0, 0));
                    bench.run(Action::Read(0));
                }
            }
        }
    }
}

#[test]
fn a_reader_that_keeps_its_last_frames_never_stops_the_writer() {
    let choices = [
        Choice::Plain,
        WHOLE,
        windowed(512),
        windowed(WINDOW),
        learned(512, || 0),
        learned(512, || CAPACITY),
    ];
    let lens = (8..CAPACITY / 3).step_by(56).chain([168, 1016, 1024, CAPACITY / 3]);
    for (choice, len) in choices.into_iter().flat_map(|c| lens.clone().map(move |l| (c, l))) {
        for readers in 1..=2 {
            let mut bench = Bench::new(8, 0, choice);
            bench.goes_beyond = true;
            for reader in 0..readers {
                bench.join(reader, true);
            }
            // How many it keeps goes up and down, and the second reader keeps half as many.
            let bytes = bench.heap.frames().extent(Position(0), len).end.0;
            let most = (CAPACITY - SEAMS) / bytes - 2;
            for round in 0..200 + 40 * most {
                let keeps = most.min(round / 20 % (2 * most + 1)) as usize;
                let before = bench.lens.len();
                bench.write(&[len], true);
                assert!(bench.lens.len() > before, "{choice:?}, {len} bytes, round {round}");
                for reader in 0..readers {
                    bench.read(reader);
                    while bench.sides[reader].as_ref().unwrap().held.len() > keeps / (1 + reader) {
                        bench.release(reader, 0);
                    }
                }
            }
        }
    }
}

#[test]
fn frames_of_one_length_lie_where_those_of_the_lap_before_lay() {
    for held in 0..2 {
        let mut bench = Bench::new(8, 0, WHOLE);
        bench.join(0, true);
        let mut places = Vec::new();
        for _ in 0..300 {
            bench.write(&[1200], true);
            let newest = bench.heap.writer().newest.load(Ordering::Relaxed);
            places.push(bench.heap.frames().offset(Position(newest)));
            bench.read(0);
            if bench.sides[0].as_ref().unwrap().held.len() > held {
                bench.release(0, 0);
            }
        }
        assert_eq!(bench.lens.len(), 300, "none was refused");
        for lap in places.chunks(3).map(<[u64]>::to_vec).collect::<Vec<_>>().windows(2) {
            for (before, after) in lap[0].iter().zip(&lap[1]) {
                let moved = before.wrapping_sub(*after) % CAPACITY;
                assert_eq!(moved, 64, "{before} to {after}");
            }
        }
        assert!(bench.producer.skipped_bytes() > 0);
    }
}

#[test]
fn a_ring_has_room_for_as_many_frames_in_every_lap_as_in_its_first() {
    for len in [600, 1000, 1016, 1300, 1344, 2000] {
        let mut bench = Bench::new(8, 0, WHOLE);
        bench.join(0, true);
        let mut room = 0;
        while bench.producer.claim(&bench.heap, len).is_ok() {
            bench.write(&[len], true);
            room += 1;
        }
        for lap in 0..200 {
            for _ in 0..room {
                bench.read(0);
                bench.release(0, 0);
            }
            for frame in 0..room {
                let before = bench.lens.len();
                bench.write(&[len], true);
                assert!(bench.lens.len() > before, "frame {frame} of {len} bytes in lap {lap}");
            }
        }
    }
}

#[test]
fn what_was_given_up_where_a_lap_begins_does_not_keep_out_what_comes_after() {
    for staged in [false, true] {
        let mut bench = Bench::new(8, 0, WHOLE);
        let largest = bench.wish(u64::MAX);
        bench.write(&[1200, 1200, 1200], true);
        let claim = bench.producer.claim(&bench.heap, 1200).unwrap();
        assert_ne!(claim.header(), bench.producer.tail(), "it goes behind a skip");
        if staged {
            bench.producer.stage(&bench.heap, &claim);
            bench.producer.abort(&bench.heap);
        }
        // Nobody reads: each of them has the whole ring.
        for _ in 0..5 {
            bench.write(&[largest], true);
        }
    }
}

#[test]
fn a_frame_is_not_believed_to_be_as_long_as_one_that_lay_in_a_larger_ring() {
    let mut bench = Bench::new(8, 0, WHOLE);
    bench.join(0, true);
    let claim = bench.producer.claim(&bench.heap, 40).unwrap();
    bench.producer.commit_reference(&bench.heap, &claim, false);
    let consumer = &mut bench.sides[0].as_mut().unwrap().consumer;
    let reference = consumer.poll(&bench.heap).unwrap().unwrap();
    assert!(reference.is_reference());
    let large = CAPACITY * 16;
    consumer.take(&bench.heap.slots()[0], &reference.resolved(Position(0), large, 0).unwrap());
    // What follows claims to be just as long.
    let word = crate::v2::protocol::word::frame(large, consumer.next_sequence());
    bench.heap.word(consumer.position()).store(word, Ordering::Relaxed);
    assert_eq!(consumer.poll_ready(&bench.heap), None);
    assert!(!consumer.take_ready(&bench.heap, &bench.heap.slots()[0]));
    consumer.poll(&bench.heap).unwrap_err();
}

#[test]
fn an_abandoned_batch_leaves_no_trace_not_even_of_its_skip() {
    let mut bench = Bench::new(8, 0, windowed(WINDOW));
    bench.join(0, true);
    while bench.producer.skipped_bytes() == 0 {
        let accounts = |bench: &Bench| {
            let writer = bench.heap.writer();
            let words = [&writer.head, &writer.newest, &writer.sequence, &writer.bytes_committed];
            let shared = words.map(|word| word.load(Ordering::Relaxed));
            let skipped = writer.skipped_bytes.load(Ordering::Relaxed);
            let next = bench.producer.next_sequence();
            (shared, skipped, bench.producer.bytes_committed(), next, bench.producer.head())
        };
        let before = accounts(&bench);
        for _ in 0..3 {
            let claim = bench.producer.claim(&bench.heap, 100).unwrap();
            bench.heap.fill(claim.start(), 100, u64::MAX);
            bench.producer.stage(&bench.heap, &claim);
        }
        assert_eq!(before.0, accounts(&bench).0, "published before its time");
        assert_eq!(before.1, accounts(&bench).1, "published before its time");
        bench.producer.abort(&bench.heap);
        assert_eq!(before, accounts(&bench));
        bench.write(&[100], true);
        bench.read(0);
        bench.release(0, 0);
    }
    let shared = bench.heap.writer().skipped_bytes.load(Ordering::Relaxed);
    assert_eq!(shared, bench.producer.skipped_bytes());
}

#[test]
fn frames_that_are_seen_before_they_are_published_have_their_numbers() {
    for choice in [Choice::Plain, WHOLE, windowed(WINDOW)] {
        let mut bench = Bench::new(8, 0, choice);
        bench.join(0, true);
        for round in 0..200 {
            let writer = bench.heap.writer();
            let before = [&writer.head, &writer.newest, &writer.sequence]
                .map(|word| word.load(Ordering::Relaxed));
            let first = bench.producer.next_sequence();
            let mut frames = Vec::new();
            for _ in 0..3 {
                let claim = bench.producer.claim(&bench.heap, 100).unwrap();
                bench.heap.fill(claim.start(), 100, bench.producer.next_sequence());
                bench.producer.stage(&bench.heap, &claim);
                bench.lens.push(100);
                frames.push((claim, bench.producer.tail()));
            }
            bench.producer.publish(&bench.heap);
            let writer = bench.heap.writer();
            let words = || [&writer.head, &writer.newest, &writer.sequence];
            let after = words().map(|word| word.load(Ordering::Relaxed));
            // As many of them as a Writer had stored that died here; an observer starts at `newest`.
            for stored in 0..3 {
                for (index, word) in [1, 2, 0].into_iter().enumerate() {
                    let value = if index < stored { after[word] } else { before[word] };
                    words()[word].store(value, Ordering::Relaxed);
                }
                for (number, (claim, end)) in (first..).zip(&frames) {
                    assert_eq!(number_of(&bench.heap, claim.header()), number, "round {round}");
                    assert_eq!(number_of(&bench.heap, *end), number + 1, "round {round}");
                }
                let mut copied = Copied::default();
                let mut observation = Observation::begin(&bench.heap, StartAt::Newest);
                observation.go_to_newest(&bench.heap);
                let found = observation.look(&bench.heap, &mut copied).unwrap();
                let expected = if stored == 0 { first } else { first + 2 };
                assert_eq!(found.unwrap().sequence, expected, "round {round}, {stored} stored");
            }
            words()[0].store(after[0], Ordering::Relaxed);
            words()[2].store(after[2], Ordering::Relaxed);
            for _ in 0..3 {
                bench.read(0);
                bench.release(0, 0);
            }
        }
    }
}

#[test]
fn a_cursor_outside_the_ring_is_passed_over_rather_than_believed() {
    for cursor in [8, CAPACITY * 100, u64::MAX - 7] {
        let mut bench = Bench::new(8, CAPACITY, WHOLE);
        bench.join(0, true);
        bench.heap.slots()[0].cursor.store(cursor, Ordering::Relaxed);
        let frames = *bench.heap.frames();
        for _ in 0..10 {
            let claim = bench.producer.claim(&bench.heap, frames.max_frame()).unwrap();
            bench.producer.stage(&bench.heap, &claim);
            bench.producer.publish(&bench.heap);
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_memory_makes_errors_never_panics_or_endless_walks(
        words in proptest::collection::vec(any::<u64>(), (CAPACITY / 8) as usize),
        head in any::<u64>(),
        floor in any::<u64>(),
        cursor in any::<u64>(),
    ) {
        let heap = Heap::new(FrameGeometry::new(CAPACITY, 8, 1024), 1, Position(0));
        for (at, word) in (0..).step_by(8).zip(words) {
            // Half of the words are plausible frames, so that walks get somewhere.
            let word = if word % 2 == 0 { crate::v2::protocol::word::frame(word % 900 + 1, word >> 20) } else { word };
            heap.word(Position(at)).store(word, Ordering::Relaxed);
        }
        heap.writer().head.store(head & !7, Ordering::Relaxed);
        heap.writer().floor.store(floor, Ordering::Relaxed);
        heap.writer().reserve.store(head.wrapping_add(CAPACITY), Ordering::Relaxed);
        heap.reserve(0, Position(cursor));
        if let Ok(mut producer) = try_attach(&heap, windowed(512)) {
            let _ = producer.claim(&heap, 100);
        }
        if let Ok(mut consumer) = Consumer::attach(&heap, 0) {
            for _ in 0..1000 {
                let Ok(Some(found)) = consumer.poll(&heap) else { break };
                prop_assert!(found.len <= heap.frames().max_frame());
                consumer.take(&heap.slots()[0], &found);
            }
        }
    }
}
