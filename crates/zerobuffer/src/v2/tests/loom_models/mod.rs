//! The ring, the handshakes and joining, explored by `loom` in every order that the memory model allows.
//!
//! What is explored is what ships: `ring`, `registry` and `wake` over `loom`'s atomics. Two things are stood in
//! for: `membarrier` by a fence on both sides, and the futex by a condition variable. Sleeps have no limit here,
//! so a lost wake-up is a deadlock and is found.
//!
//! Run with `cargo xtask loom`.

#![allow(unsafe_code)] // Two accesses to a cell that stands for a place in the ring.

use loom::sync::Arc;
use loom::thread;
use std::time::Duration;

mod arming;
mod crash;
mod group;
mod sharing;

use super::heap::Heap;
use super::policies::{Choice, Producer, WHOLE, attach};
use crate::sync::Ordering;
use crate::v2::placing::Footprint;
use crate::v2::protocol::layout::FrameGeometry;
use crate::v2::protocol::position::Position;
use crate::v2::rules::memory::{Memory, ReadMemory};
use crate::v2::rules::observe::{Copied, Observation};
use crate::v2::rules::registry::activate;
use crate::v2::rules::ring::{self, Claim, Consumer, Found};
use crate::v2::rules::wake::{self, Barrier};
use crate::values::config::StartAt;

/// Two frames of `LEN` fit, a third does not: T = 56, and 2 T + 8 <= 128 < 3 T + 8.
const LEN: u64 = 48;

/// Of a ring of 256 bytes: two frames, then from its start again.
const WINDOW: Choice = Choice::Cached(Footprint::Window(112));

/// A ring whose window was filled once and read.
fn at_the_end_of_the_window() -> (Arc<Heap>, Producer, Consumer) {
    let heap = Arc::new(Heap::new(FrameGeometry::new(256, 8, 1024), 1, Position(0)));
    heap.reserve(0, Position(0));
    let mut producer = attach(&heap, WINDOW);
    let mut consumer = Consumer::attach(&*heap, 0).unwrap();
    for expected in 1..=2 {
        write(&heap, &mut producer);
        read(&heap, 0, &mut consumer, expected);
    }
    (heap, producer, consumer)
}

fn heap(slots: usize, start: u64) -> Arc<Heap> {
    Arc::new(Heap::new(FrameGeometry::new(128, 8, 1024), slots, Position(start)))
}

/// Stores a frame's number in its first and last word only: enough to see a torn or stale one.
fn fill(heap: &Heap, start: Position, sequence: u64) {
    heap.fill(start, 8, sequence);
    heap.fill(start.plus(LEN - 8), 8, sequence);
}

fn check(heap: &Heap, found: &Found, expected: u64) {
    assert_eq!(found.sequence, expected);
    assert!(heap.is_filled(found.start, 8, expected), "frame {expected} begins with other bytes");
    assert!(heap.is_filled(found.start.plus(LEN - 8), 8, expected), "frame {expected} is torn");
}

/// Claims the next frame; sleeps while there is no room.
fn claim(heap: &Heap, producer: &mut Producer) -> Claim {
    loop {
        match producer.claim(heap, LEN) {
            Ok(claim) => break claim,
            Err(full) => {
                wake::announce_writer(heap, full.wants);
                match producer.claim(heap, LEN) {
                    Ok(claim) => break claim,
                    Err(_) => wake::writer_sleeps(heap, Duration::MAX),
                };
            }
        }
    }
}

/// Writes the next frame; sleeps while there is no room.
fn write(heap: &Heap, producer: &mut Producer) {
    let claim = claim(heap, producer);
    fill(heap, claim.start(), producer.next_sequence());
    producer.stage(heap, &claim);
    producer.publish(heap);
    wake::wake_readers(heap, Barrier::Fence);
}

/// Finds the next frame; sleeps while there is none.
fn find(heap: &Heap, slot: u32, consumer: &Consumer) -> Found {
    loop {
        if let Some(found) = consumer.poll(heap).unwrap() {
            break found;
        }
        wake::announce_reader(heap, slot);
        if let Some(found) = consumer.poll(heap).unwrap() {
            break found;
        }
        wake::reader_sleeps(heap, slot, Duration::MAX);
    }
}

/// Reads the next frame, `expected` by number and content; sleeps while there is none.
fn read(heap: &Heap, slot: u32, consumer: &mut Consumer, expected: u64) {
    assert_eq!(read_value(heap, slot, consumer, expected), expected);
}

/// Reads frame `expected`; what it is filled with.
fn read_value(heap: &Heap, slot: u32, consumer: &mut Consumer, expected: u64) -> u64 {
    let own = &heap.slots()[slot as usize];
    let found = if consumer.take_ready(heap, own) {
        *consumer.newest()
    } else {
        let found = find(heap, slot, consumer);
        consumer.take(own, &found);
        found
    };
    assert_eq!(found.sequence, expected);
    if found.skipped() != 0 {
        ring::release(own, found.header);
        wake::wake_writer(heap, Barrier::Fence, found.header);
    }
    let value = heap.word(found.start).load(Ordering::Relaxed);
    let end = heap.word(found.start.plus(LEN - 8)).load(Ordering::Relaxed);
    assert_eq!(value, end, "frame {expected} is torn");
    ring::release(own, found.end);
    wake::wake_writer(heap, Barrier::Fence, found.end);
    value
}

#[test]
fn loom_frames_arrive_whole_and_nobody_oversleeps() {
    loom::model(|| {
        let heap = heap(1, 0);
        heap.reserve(0, Position(0));
        let mut consumer = Consumer::attach(&*heap, 0).unwrap();
        let shared = Arc::clone(&heap);
        let writer = thread::spawn(move || {
            let mut producer = attach(&shared, WHOLE);
            for _ in 0..2 {
                write(&shared, &mut producer);
            }
        });
        for expected in 1..=2 {
            read(&heap, 0, &mut consumer, expected);
        }
        writer.join().unwrap();
    });
}

#[test]
fn loom_a_full_ring_lets_the_writer_sleep_and_wake() {
    loom::model(|| {
        // Positions wrap at 2^64 within the model.
        let start = 0u64.wrapping_sub(128);
        let heap = heap(1, start);
        heap.reserve(0, Position(start));
        let mut producer = attach(&heap, WHOLE);
        write(&heap, &mut producer);
        write(&heap, &mut producer);
        let shared = Arc::clone(&heap);
        let reader = thread::spawn(move || {
            let mut consumer = Consumer::attach(&*shared, 0).unwrap();
            for expected in 1..=3 {
                read(&shared, 0, &mut consumer, expected);
            }
        });
        write(&heap, &mut producer);
        reader.join().unwrap();
    });
}

/// How frames follow each other.
#[derive(Clone, Copy)]
enum Follow {
    /// Round the ring.
    InARow,
    /// From the ring's start again, then over unread ones into what that skip led over.
    Beyond,
}

/// A reader that joins while the writer, whom nobody holds back, laps the ring.
fn join_while_writing(start: StartAt, follow: Follow) {
    loom::model(move || {
        let (capacity, choice, before, count) = match follow {
            Follow::InARow => (128, WHOLE, 1, 3),
            Follow::Beyond => (256, WINDOW, 2, 2),
        };
        let heap = Arc::new(Heap::new(FrameGeometry::new(capacity, 8, 1024), 1, Position(0)));
        let mut producer = attach(&heap, choice);
        for _ in 0..before {
            write(&heap, &mut producer);
        }
        let shared = Arc::clone(&heap);
        let writer = thread::spawn(move || {
            for _ in 0..count {
                // Full is an outcome here: the joiner may be registered and not read.
                if let Ok(claim) = producer.claim_beyond(&*shared, LEN) {
                    fill(&shared, claim.start(), producer.next_sequence());
                    producer.stage(&*shared, &claim);
                    producer.publish(&*shared);
                }
            }
            producer.next_sequence() - 1
        });
        if activate(&*heap, 0, start, 2).is_some() {
            let mut consumer = Consumer::attach(&*heap, 0).unwrap();
            let mut expected = consumer.next_sequence();
            while let Some(found) = consumer.poll(&*heap).unwrap() {
                consumer.take(&heap.slots()[0], &found);
                check(&heap, &found, expected);
                expected += 1;
            }
            let newest = writer.join().unwrap();
            while let Some(found) = consumer.poll(&*heap).unwrap() {
                consumer.take(&heap.slots()[0], &found);
                check(&heap, &found, expected);
                expected += 1;
            }
            assert_eq!(expected, newest + 1, "a committed frame was not seen");
        } else {
            writer.join().unwrap();
        }
    });
}

#[test]
fn loom_joining_at_the_oldest_frame_is_safe() {
    join_while_writing(StartAt::Oldest, Follow::InARow);
}

#[test]
fn loom_joining_at_the_newest_frame_is_safe() {
    join_while_writing(StartAt::Newest, Follow::InARow);
}

#[test]
fn loom_joining_while_the_writer_goes_beyond_what_is_unread_is_safe() {
    join_while_writing(StartAt::Oldest, Follow::Beyond);
}

#[test]
fn loom_a_batch_appears_at_once() {
    loom::model(|| {
        let heap = heap(1, 0);
        heap.reserve(0, Position(0));
        let mut consumer = Consumer::attach(&*heap, 0).unwrap();
        let shared = Arc::clone(&heap);
        let writer = thread::spawn(move || {
            let mut producer = attach(&shared, WHOLE);
            for _ in 0..2 {
                let claim = producer.claim(&*shared, LEN).unwrap();
                fill(&shared, claim.start(), producer.next_sequence());
                producer.stage(&*shared, &claim);
            }
            producer.publish(&*shared);
        });
        if let Some(first) = consumer.poll(&*heap).unwrap() {
            check(&heap, &first, 1);
            let second = consumer.poll_behind(&*heap, &first).unwrap();
            check(&heap, &second.expect("the whole batch is visible"), 2);
            consumer.take(&heap.slots()[0], &first);
        }
        writer.join().unwrap();
    });
}

#[test]
fn loom_a_skip_leads_to_its_frame() {
    loom::model(|| {
        let (heap, mut producer, mut consumer) = at_the_end_of_the_window();
        let shared = Arc::clone(&heap);
        let writer = thread::spawn(move || {
            write(&shared, &mut producer);
            assert_eq!(producer.skipped_bytes(), 144, "the third frame begins the next lap");
        });
        read(&heap, 0, &mut consumer, 3);
        writer.join().unwrap();
    });
}

#[test]
fn loom_a_writer_goes_beyond_what_is_unread_and_a_successor_goes_on_behind() {
    loom::model(|| {
        let (heap, mut producer, mut consumer) = at_the_end_of_the_window();
        // It begins the next lap. Behind it is no room for another before it is received.
        write(&heap, &mut producer);
        let shared = Arc::clone(&heap);
        let writer = thread::spawn(move || {
            let claim = producer.claim_beyond(&*shared, LEN).unwrap();
            fill(&shared, claim.start(), producer.next_sequence());
            producer.stage(&*shared, &claim);
            producer.publish(&*shared);
            wake::wake_readers(&*shared, Barrier::Fence);
            let mut successor = attach(&shared, WHOLE);
            write(&shared, &mut successor);
        });
        for expected in 3..=5 {
            read(&heap, 0, &mut consumer, expected);
        }
        writer.join().unwrap();
    });
}

#[test]
fn loom_frames_are_read_before_the_start_of_the_ring_is_used_again() {
    loom::model(|| {
        let heap = Arc::new(Heap::new(FrameGeometry::new(256, 8, 1024), 1, Position(0)));
        heap.reserve(0, Position(0));
        let mut producer = attach(&heap, WINDOW);
        let mut consumer = Consumer::attach(&*heap, 0).unwrap();
        write(&heap, &mut producer);
        let shared = Arc::clone(&heap);
        let writer = thread::spawn(move || {
            for _ in 0..2 {
                write(&shared, &mut producer);
            }
        });
        for expected in 1..=3 {
            read(&heap, 0, &mut consumer, expected);
        }
        writer.join().unwrap();
    });
}

#[test]
fn loom_an_observer_never_takes_overwritten_bytes_for_valid() {
    // Three preemptions: the observer looks at every word of two frames.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let heap = heap(1, 0);
        let mut producer = attach(&heap, WHOLE);
        // Every word: the third frame lies over the middle of the first, not over its ends.
        let write = |heap: &Heap, producer: &mut Producer| {
            let claim = producer.claim(heap, LEN).unwrap();
            heap.fill(claim.start(), LEN, producer.next_sequence());
            producer.commit(heap, &claim);
        };
        write(&heap, &mut producer);
        let shared = Arc::clone(&heap);
        let writer = thread::spawn(move || {
            for _ in 0..2 {
                write(&shared, &mut producer);
            }
        });
        let mut copied = Copied::default();
        let mut observation = Observation::begin(&*heap, StartAt::Oldest);
        if let Some(found) = observation.look(&*heap, &mut copied).unwrap() {
            let number = found.sequence;
            let expected = number.to_ne_bytes().repeat(LEN as usize / 8);
            assert_eq!(copied.payload(LEN), expected, "frame {number} is torn");
        }
        writer.join().unwrap();
    });
}

/// The bytes of the first frame's place, as memory that must not be read and written at once: `loom` reports
/// any access that the release of the frame does not order before the next claim of its place.
#[test]
fn loom_a_place_is_written_again_only_after_it_was_read_and_released() {
    loom::model(|| {
        let heap = heap(1, 0);
        heap.reserve(0, Position(0));
        let place = Arc::new(loom::cell::UnsafeCell::new(1_u64));
        let mut producer = attach(&heap, WHOLE);
        write(&heap, &mut producer);
        write(&heap, &mut producer);
        let (shared, its_place) = (Arc::clone(&heap), Arc::clone(&place));
        let reader = thread::spawn(move || {
            let mut consumer = Consumer::attach(&*shared, 0).unwrap();
            let found = consumer.poll(&*shared).unwrap().unwrap();
            consumer.take(&shared.slots()[0], &found);
            its_place.with(|bytes| {
                // SAFETY: the frame is committed and not released.
                assert_eq!(unsafe { *bytes }, 1);
            });
            ring::release(&shared.slots()[0], found.end);
        });
        let claim = loop {
            match producer.claim(&*heap, LEN) {
                Ok(claim) => break claim,
                Err(_) => thread::yield_now(),
            }
        };
        assert_eq!(claim.header(), Position(112), "it lies over the first");
        // SAFETY: claimed, so nobody reads there.
        place.with_mut(|bytes| unsafe { *bytes = 3 });
        reader.join().unwrap();
    });
}
