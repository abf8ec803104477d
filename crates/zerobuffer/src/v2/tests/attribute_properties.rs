//! Attribute blocks in the ring: found where they were put, whoever reads, and bounded whatever they say.

use proptest::prelude::*;

use super::heap::Heap;
use super::policies::{WHOLE, attach};
use crate::sync::Ordering;
use crate::v2::protocol::layout::FrameGeometry;
use crate::v2::protocol::position::Position;
use crate::v2::rules::memory::{Memory as _, ReadMemory as _};
use crate::v2::rules::observe::{Copied, Observation};
use crate::v2::rules::ring::{Claim, Consumer, Found, release};
use crate::values::config::StartAt;

const CAPACITY: u64 = 4096;

/// A frame to write: bytes of its block in words of 8, 0 for none, and of its payload.
#[derive(Debug, Clone, Copy)]
struct Shape {
    block: u64,
    payload: u64,
    /// Whether it is made visible together with the next one.
    staged: bool,
}

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let shape = (0u64..20, 0u64..700, any::<bool>()).prop_map(|(words, payload, staged)| Shape {
        block: words * 8,
        payload: if words == 0 { payload.max(1) } else { payload },
        staged,
    });
    proptest::collection::vec(shape, 1..60)
}

fn heap(header: u64, start: u64) -> Heap {
    let frames = FrameGeometry::new(CAPACITY, header, 256).with_attributes(true);
    let heap = Heap::new(frames, 2, Position(start));
    heap.reserve(0, Position(start));
    heap
}

/// The head of a block of so many bytes, without records.
fn head(block: u64) -> u64 {
    block
}

/// Fills block and payload, each word with the frame's number.
fn fill(heap: &Heap, claim: &Claim, shape: Shape, number: u64) {
    heap.fill(claim.start(), shape.block + shape.payload, number);
    if shape.block != 0 {
        heap.word(claim.start()).store(head(shape.block), Ordering::Relaxed);
    }
}

fn is_that(heap: &Heap, found: &Found, shape: Shape, number: u64) -> bool {
    let is_filled = heap.is_filled(found.start, found.len / 8 * 8, number);
    (found.block(), found.len, found.sequence) == (shape.block, shape.payload, number) && is_filled
}

proptest! {
    #[test]
    fn every_frame_comes_with_the_block_that_it_was_written_with(
        header in prop_oneof![Just(8u64), Just(16)],
        start in prop_oneof![Just(0u64), Just(u64::MAX - CAPACITY + 1)],
        shapes in shapes(),
        successor in any::<proptest::sample::Index>(),
    ) {
        let heap = heap(header, start);
        let mut producer = attach(&heap, WHOLE);
        let mut consumer = Consumer::attach(&heap, 0).unwrap();
        let mut observation = Observation::begin(&heap, StartAt::Oldest);
        let mut copied = Copied::default();
        let (mut written, mut observed, mut bytes) = (Vec::new(), 0, 0);
        let replaced = successor.index(shapes.len());
        for (index, &shape) in shapes.iter().enumerate() {
            let number = index as u64 + 1;
            let claim = producer.claim(&heap, shape.block + shape.payload);
            let claim = claim.expect("everything was released");
            fill(&heap, &claim, shape, number);
            if shape.block == 0 {
                producer.stage(&heap, &claim);
            } else {
                producer.stage_with_attributes(&heap, &claim, shape.block);
            }
            bytes += shape.payload;
            written.push(shape);
            if shape.staged && written.len() < 3 && index + 1 < shapes.len() {
                continue;
            }
            producer.publish(&heap);
            prop_assert_eq!(producer.bytes_committed(), bytes);
            if index >= replaced {
                producer = attach(&heap, WHOLE);
                prop_assert_eq!(producer.bytes_committed(), bytes);
            }
            let first = number + 1 - written.len() as u64;
            for (number, shape) in (first..).zip(written.drain(..)) {
                let found = observation.look(&heap, &mut copied).unwrap().expect("it is there");
                prop_assert!(is_that(&heap, &found, shape, number), "{found:?}, {shape:?}");
                prop_assert_eq!(copied.block().len() as u64, shape.block);
                let whole = copied.payload(found.len).chunks_exact(8);
                prop_assert!(whole.into_iter().all(|word| word == number.to_ne_bytes()));
                observation.take(&found);
                observed += found.len;
                let found = consumer.poll(&heap).unwrap().expect("it is there");
                prop_assert!(is_that(&heap, &found, shape, number), "{found:?}, {shape:?}");
                consumer.take(&heap.slots()[0], &found);
                release(&heap.slots()[0], found.end);
            }
            prop_assert_eq!(consumer.poll(&heap), Ok(None));
        }
        prop_assert_eq!((consumer.bytes_read_here(), observed), (bytes, bytes));
    }

    #[test]
    fn a_block_that_says_anything_stays_within_its_frame(
        body in 8u64..1000,
        head in any::<u64>(),
        near in any::<bool>(),
    ) {
        let heap = heap(8, 0);
        let mut producer = attach(&heap, WHOLE);
        let claim = producer.claim(&heap, body).unwrap();
        // Half of the lengths are near the frame's own.
        let head = if near { head % (2 * body) } else { head };
        heap.word(claim.start()).store(head, Ordering::Relaxed);
        producer.stage_with_attributes(&heap, &claim, 8);
        producer.publish(&heap);
        let consumer = Consumer::attach(&heap, 0).unwrap();
        let mut observation = Observation::begin(&heap, StartAt::Oldest);
        let looked = observation.look(&heap, &mut Copied::default());
        match consumer.poll(&heap) {
            Ok(found) => {
                let found = found.expect("a frame, or damage");
                prop_assert_eq!(found.block() + found.len, body);
                prop_assert!(found.block() >= 8 && found.block() % 8 == 0);
                prop_assert_eq!(found.start, claim.start().plus(found.block()));
                prop_assert_eq!(looked, Ok(Some(found)));
            }
            Err(damage) => prop_assert_eq!(looked, Err(damage)),
        }
    }

    #[test]
    fn without_the_feature_the_flag_is_damage(len in 8u64..1000) {
        let frames = FrameGeometry::new(CAPACITY, 8, 256);
        let heap = Heap::new(frames, 1, Position(0));
        heap.reserve(0, Position(0));
        let mut producer = attach(&heap, WHOLE);
        let claim = producer.claim(&heap, len).unwrap();
        heap.word(claim.start()).store(head(8), Ordering::Relaxed);
        producer.stage_with_attributes(&heap, &claim, 8);
        producer.publish(&heap);
        prop_assert!(Consumer::attach(&heap, 0).unwrap().poll(&heap).is_err());
    }
}
