//! Deaths: a process stops for ever before each of its stores in turn, a successor follows it in its role, and
//! the other side lives on meanwhile.
//!
//! A process and its successor are one thread of the model: between them lies the kernel, which frees a lock when
//! its holder is gone and orders what the next holder does behind what the last one did.

use loom::sync::{Arc, Mutex};
use loom::thread;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering as Outside};

use super::*;
use crate::mortal::dying_at;
use crate::v2::rules::registry;

/// Explores `model` with a death before the first store, the second, and so on until nobody dies any more in any
/// order of events. The model is given the number of the store, and says whether the process survived.
fn at_every_step(preemptions: usize, model: impl Fn(usize) -> bool + Send + Sync + 'static) {
    let model = std::sync::Arc::new(model);
    for stores in 0.. {
        let died = std::sync::Arc::new(AtomicBool::new(false));
        let (told, model) = (std::sync::Arc::clone(&died), std::sync::Arc::clone(&model));
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.check(move || {
            if !model(stores) {
                told.store(true, Outside::Relaxed);
            }
        });
        if !died.load(Outside::Relaxed) {
            break;
        }
    }
}

/// What the frames of a writer that died are filled with, by their number; those of its successor: by the number.
const OF_THE_DEAD: u64 = 1000;

/// A frame, filled with `value`, by the fast way of committing.
fn commit(heap: &Heap, producer: &mut Producer, value: u64) {
    let claim = claim(heap, producer);
    fill(heap, claim.start(), value);
    producer.commit(heap, &claim);
    wake::wake_readers(heap, Barrier::Fence);
}

/// Reads frames 1 to `last`; what they are filled with.
fn read_all(heap: &Heap, last: u64) -> Vec<u64> {
    let mut consumer = Consumer::attach(heap, 0).unwrap();
    (1..=last).map(|expected| read_value(heap, 0, &mut consumer, expected)).collect()
}

/// A writer does `work` and dies; its successor goes on up to frame `last`. A reader reads, and sleeps, meanwhile.
fn writer_dies(
    preemptions: usize,
    before: u64,
    last: u64,
    choice: Choice,
    work: fn(&Heap, &mut Producer),
) {
    at_every_step(preemptions, move |stores| {
        let heap = match choice {
            Choice::Plain | Choice::Cached(Footprint::Whole) => heap(1, 0u64.wrapping_sub(128)),
            Choice::Cached(_) => {
                Arc::new(Heap::new(FrameGeometry::new(256, 8, 1024), 1, Position(0)))
            }
        };
        heap.reserve(0, Position(heap.writer().head.load(Ordering::Relaxed)));
        let mut predecessor = attach(&heap, choice);
        for number in 1..=before {
            commit(&heap, &mut predecessor, OF_THE_DEAD + number);
        }
        let shared = Arc::clone(&heap);
        let reader = thread::spawn(move || read_all(&shared, last));
        let survived = dying_at(stores, || {
            let mut producer = attach(&heap, choice);
            work(&heap, &mut producer);
        });
        let mut successor = attach(&heap, choice);
        wake::wake_every_reader(&*heap);
        let committed = successor.next_sequence() - 1;
        for number in committed + 1..=last {
            commit(&heap, &mut successor, number);
        }
        let values = reader.join().unwrap();
        for (number, value) in (1..).zip(values) {
            let dead = if number <= committed { OF_THE_DEAD } else { 0 };
            assert_eq!(value, dead + number, "frame {number} is another writer's");
        }
        survived.is_some()
    });
}

#[test]
fn loom_a_writer_dies_committing_and_its_successor_goes_on() {
    writer_dies(3, 0, 2, WHOLE, |heap, producer| {
        commit(heap, producer, OF_THE_DEAD + 1);
    });
}

#[test]
fn loom_a_writer_dies_in_a_batch_and_none_of_it_is_seen_or_all() {
    writer_dies(3, 0, 2, WHOLE, |heap, producer| {
        for number in 1..=2 {
            let claim = claim(heap, producer);
            fill(heap, claim.start(), OF_THE_DEAD + number);
            producer.stage(heap, &claim);
        }
        producer.publish(heap);
        wake::wake_readers(heap, Barrier::Fence);
    });
}

#[test]
fn loom_a_writer_dies_skipping_to_the_start_of_the_ring() {
    writer_dies(3, 2, 4, WINDOW, |heap, producer| {
        commit(heap, producer, OF_THE_DEAD + 3);
    });
}

#[test]
fn loom_a_writer_dies_going_beyond_what_is_unread() {
    writer_dies(2, 2, 5, WINDOW, |heap, producer| {
        commit(heap, producer, OF_THE_DEAD + 3);
        if let Ok(claim) = producer.claim_beyond(heap, LEN) {
            fill(heap, claim.start(), OF_THE_DEAD + 4);
            producer.commit(heap, &claim);
            wake::wake_readers(heap, Barrier::Fence);
        }
    });
}

#[test]
fn loom_a_writer_dies_waiting_for_room() {
    writer_dies(3, 2, 3, WHOLE, |heap, producer| {
        commit(heap, producer, OF_THE_DEAD + 3);
    });
}

/// A reader does `work` on a slot and dies; its successor in that slot reads the rest. The writer writes `last` frames
/// meanwhile, and sleeps when there is no room.
fn reader_dies(preemptions: usize, last: u64, work: fn(&Heap, &mut Consumer)) {
    at_every_step(preemptions, move |stores| {
        let heap = heap(1, 0u64.wrapping_sub(128));
        heap.reserve(0, Position(heap.writer().head.load(Ordering::Relaxed)));
        let mut producer = attach(&heap, WHOLE);
        commit(&heap, &mut producer, 1);
        let shared = Arc::clone(&heap);
        let writer = thread::spawn(move || {
            for number in 2..=last {
                commit(&shared, &mut producer, number);
            }
        });
        let survived = dying_at(stores, || {
            let mut consumer = Consumer::attach(&*heap, 0).unwrap();
            work(&heap, &mut consumer);
        });
        let mut successor = Consumer::attach(&*heap, 0).unwrap();
        wake::wake_writer_anyway(&*heap);
        // What was released is gone, what was not comes again: nothing is left out in between.
        let first = successor.next_sequence();
        assert!(first <= 2, "frame {first} is next, and one was released at most");
        for expected in first..=last {
            let value = read_value(&heap, 0, &mut successor, expected);
            assert_eq!(value, expected);
        }
        writer.join().unwrap();
        survived.is_some()
    });
}

#[test]
fn loom_a_reader_dies_receiving_or_releasing_and_its_successor_misses_nothing() {
    reader_dies(3, 3, |heap, consumer| {
        read_value(heap, 0, consumer, 1);
    });
}

#[test]
fn loom_a_reader_dies_falling_asleep_and_its_successor_misses_nothing() {
    reader_dies(3, 2, |heap, consumer| {
        read_value(heap, 0, consumer, 1);
        wake::announce_reader(heap, 0);
        // Dies at the latest now, whether or not there is something by now.
        if consumer.poll(heap).unwrap().is_none() {
            crate::mortal::step();
        }
    });
}

#[test]
fn loom_a_reader_dies_holding_a_frame_and_it_comes_again_flagged() {
    let mut bounded = loom::model::Builder::new();
    bounded.preemption_bound = Some(2);
    bounded.check(|| {
        let heap = heap(1, 0);
        heap.reserve(0, Position(0));
        let mut producer = attach(&heap, WHOLE);
        commit(&heap, &mut producer, 1);
        let shared = Arc::clone(&heap);
        let writer = thread::spawn(move || {
            commit(&shared, &mut producer, 2);
            commit(&shared, &mut producer, 3);
        });
        {
            let mut dead = Consumer::attach(&*heap, 0).unwrap();
            let found = dead.poll(&*heap).unwrap().unwrap();
            dead.take(&heap.slots()[0], &found);
        }
        let mut successor = Consumer::attach(&*heap, 0).unwrap();
        let found = successor.poll(&*heap).unwrap().expect("it was not released");
        assert!(found.sequence == 1 && found.is_redelivered());
        for expected in 1..=3 {
            assert_eq!(read_value(&heap, 0, &mut successor, expected), expected);
        }
        writer.join().unwrap();
    });
}

/// A reader that joins a free slot dies on the way; nobody waits for it, and the next joiner gets the slot.
#[test]
fn loom_a_joiner_dies_and_holds_nobody_back() {
    at_every_step(3, |stores| {
        let heap = heap(1, 0);
        let mut producer = attach(&heap, WHOLE);
        commit(&heap, &mut producer, 1);
        let shared = Arc::clone(&heap);
        // The kernel's lock of the slot.
        let lock = Arc::new(Mutex::new(()));
        let its_lock = Arc::clone(&lock);
        let writer = thread::spawn(move || {
            for number in 2..=4 {
                loop {
                    if let Ok(claim) = producer.claim(&*shared, LEN) {
                        fill(&shared, claim.start(), number);
                        producer.commit(&*shared, &claim);
                        break;
                    }
                    // Full: as `liveness::reap` does with a dead ephemeral reader.
                    if let Ok(_held) = its_lock.try_lock() {
                        registry::free(&*shared, 0);
                    } else {
                        thread::yield_now();
                    }
                }
            }
        });
        let survived = {
            let _held = lock.lock().unwrap();
            dying_at(stores, || activate(&*heap, 0, StartAt::Oldest, 2))
        };
        writer.join().unwrap();
        {
            let _held = lock.lock().unwrap();
            registry::free(&*heap, 0);
            activate(&*heap, 0, StartAt::Newest, 3).expect("nobody moves the floor any more");
            assert_eq!(Consumer::attach(&*heap, 0).unwrap().next_sequence(), 5);
        }
        survived.is_some()
    });
}

/// The writer dies while a reader joins; the joiner sees every frame from where it begins.
#[test]
fn loom_a_writer_dies_while_a_reader_joins() {
    at_every_step(3, |stores| {
        let heap = heap(1, 0);
        let mut producer = attach(&heap, WHOLE);
        commit(&heap, &mut producer, 1);
        let shared = Arc::clone(&heap);
        let reader = thread::spawn(move || {
            let cursor = activate(&*shared, 0, StartAt::Oldest, 2);
            cursor.map(|_| {
                let mut consumer = Consumer::attach(&*shared, 0).unwrap();
                let first = consumer.next_sequence();
                for expected in first..=3 {
                    read_value(&shared, 0, &mut consumer, expected);
                }
                first
            })
        });
        let survived = dying_at(stores, || commit(&heap, &mut producer, 2));
        let mut successor = attach(&heap, WHOLE);
        wake::wake_every_reader(&*heap);
        while successor.next_sequence() <= 3 {
            let number = successor.next_sequence();
            // Full is passed by looking again: who sleeps while somebody joins is another model's matter.
            let Ok(claim) = successor.claim(&*heap, LEN) else {
                thread::yield_now();
                continue;
            };
            fill(&heap, claim.start(), number);
            successor.commit(&*heap, &claim);
            wake::wake_readers(&*heap, Barrier::Fence);
        }
        if let Some(first) = reader.join().unwrap() {
            assert!((1..=4).contains(&first));
        }
        survived.is_some()
    });
}

/// A writer dies, two want to follow it at once, and one of those may die too: whoever comes last finds all that the
/// others had committed, and nobody's frame is lost, torn or numbered twice.
#[test]
fn loom_two_successors_contend_and_one_of_them_dies() {
    const OF_ONE: u64 = 2000;
    const OF_OTHER: u64 = 3000;
    for deadly in 0..8 {
        at_every_step(2, move |stores| {
            let heap = Arc::new(Heap::new(FrameGeometry::new(512, 8, 1024), 1, Position(0)));
            heap.reserve(0, Position(0));
            let _ = dying_at(deadly, || {
                let mut producer = attach(&heap, WHOLE);
                commit(&heap, &mut producer, OF_THE_DEAD + 1);
            });
            // The kernel's lock of the role.
            let role = Arc::new(Mutex::new(()));
            let (its_heap, its_role) = (Arc::clone(&heap), Arc::clone(&role));
            let other = thread::spawn(move || {
                let _held = its_role.lock().unwrap();
                let mut producer = attach(&its_heap, WHOLE);
                let number = producer.next_sequence();
                commit(&its_heap, &mut producer, OF_OTHER + number);
                number
            });
            let survived = {
                let _held = role.lock().unwrap();
                dying_at(stores, || {
                    let mut producer = attach(&heap, WHOLE);
                    let number = producer.next_sequence();
                    commit(&heap, &mut producer, OF_ONE + number);
                    number
                })
            };
            let others = other.join().unwrap();
            let last = attach(&heap, WHOLE).next_sequence() - 1;
            let values = read_all(&heap, last);
            for (number, value) in (1..).zip(&values) {
                let writer = value - number;
                assert!(
                    [OF_THE_DEAD, OF_ONE, OF_OTHER].contains(&writer),
                    "frame {number}: {value}"
                );
            }
            assert_eq!(values[others as usize - 1], OF_OTHER + others);
            if let Some(own) = survived {
                assert_eq!(values[own as usize - 1], OF_ONE + own);
            }
            survived.is_some()
        });
    }
}

/// Frames of a batch are seen before they are published; the number of a place among them is right at every moment,
/// and when the writer dies before it tells of them.
#[test]
fn loom_a_position_beyond_head_has_its_number() {
    at_every_step(3, |stores| {
        let heap = heap(1, 0);
        heap.reserve(0, Position(0));
        let shared = Arc::clone(&heap);
        let reader = thread::spawn(move || {
            let mut consumer = Consumer::attach(&*shared, 0).unwrap();
            let mut number = 1;
            while let Ok(Some(found)) = ring::find_frame(&*shared, consumer.position(), number) {
                consumer.take(&shared.slots()[0], &found);
                number += 1;
                assert_eq!(ring::number_of(&*shared, found.header), number - 1);
                assert_eq!(ring::number_of(&*shared, consumer.position()), number);
            }
        });
        let survived = dying_at(stores, || {
            let mut producer = attach(&heap, WHOLE);
            for number in 1..=2 {
                let claim = claim(&heap, &mut producer);
                fill(&heap, claim.start(), number);
                producer.stage(&*heap, &claim);
            }
            producer.publish(&*heap);
        });
        reader.join().unwrap();
        survived.is_some()
    });
}
