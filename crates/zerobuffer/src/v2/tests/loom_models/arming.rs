//! Sleeps that are prepared and given up: what `wait/armed.rs` lets others do.

use super::*;

/// Announces a sleep where the last announcement does not stand any more, and looks once more.
fn arm(heap: &Heap, consumer: &Consumer) -> Option<Found> {
    if !wake::is_reader_announced(heap, 0) {
        wake::announce_reader(heap, 0);
    }
    consumer.poll(heap).unwrap()
}

/// Reads frames 1 to `last`; `sleep` is done while there is none.
fn read_all(heap: &Arc<Heap>, consumer: &mut Consumer, last: u64, sleep: impl Fn(&Arc<Heap>)) {
    for expected in 1..=last {
        let found = loop {
            let found = consumer.poll(&**heap).unwrap().or_else(|| arm(heap, consumer));
            if let Some(found) = found {
                break found;
            }
            sleep(heap);
        };
        check(heap, &found, expected);
        consumer.take(&heap.slots()[0], &found);
        ring::release(&heap.slots()[0], found.end);
        wake::wake_writer(&**heap, Barrier::Fence, found.end);
    }
}

fn begin_to_write(heap: &Arc<Heap>, frames: u64) -> thread::JoinHandle<()> {
    let shared = Arc::clone(heap);
    thread::spawn(move || {
        let mut producer = attach(&shared, Choice::Plain);
        for _ in 0..frames {
            write(&shared, &mut producer);
        }
    })
}

/// A reader that arms, gives up, and reads without having slept; later it sleeps by the announcement that it made then, if
/// that still stands. Nobody sleeps through a frame.
#[test]
fn loom_an_announcement_that_stands_is_as_good_as_a_new_one() {
    loom::model(|| {
        let heap = heap(1, 0);
        heap.reserve(0, Position(0));
        let mut consumer = Consumer::attach(&*heap, 0).unwrap();
        let writer = begin_to_write(&heap, 2);
        let _ = arm(&heap, &consumer); // Given up, whatever it found.
        read_all(&heap, &mut consumer, 2, |heap| {
            wake::reader_sleeps(&**heap, 0, Duration::MAX);
        });
        writer.join().unwrap();
    });
}

/// The word is slept on by another thread than the reader's, which begins to sleep when it is told and then calls the reader:
/// the waiting thread of `zerobuffer-async`.
#[test]
fn loom_another_thread_sleeps_for_the_reader() {
    loom::model(|| {
        let heap = heap(1, 0);
        heap.reserve(0, Position(0));
        let mut consumer = Consumer::attach(&*heap, 0).unwrap();
        let writer = begin_to_write(&heap, 1);
        read_all(&heap, &mut consumer, 1, |heap| {
            let sleeping = Arc::clone(heap);
            let sleeper = thread::spawn(move || {
                wake::reader_sleeps(&*sleeping, 0, Duration::MAX);
            });
            // It may be called before the frame can be seen; then the fence of the next announcement tells.
            sleeper.join().unwrap();
        });
        writer.join().unwrap();
    });
}
