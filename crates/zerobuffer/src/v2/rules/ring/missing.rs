//! Telling a frame that is yet to come from one whose commit word was wiped out.
//!
//! Both look the same at a reader's position: the word there is 0. But the Writer moves `head` on only behind words that it
//! has stored, and stores nothing to them again until everybody has released them. So below `head` there is no 0, unless somebody
//! scribbled there, or punched a hole into the file. Who is about to wait for a frame, or to say that there is none, asks here.
//! Who finds a frame need not: that costs nothing more.

use super::Damage;
use crate::sync::Ordering;
use crate::v2::protocol::position::Position;
use crate::v2::protocol::word;
use crate::v2::rules::memory::ReadMemory;

/// What is told of it.
pub(crate) const WIPED_OUT: Damage = "a committed frame whose header is 0: somebody wrote over it, or gave back that part of the file (a punched hole)";

/// Whether a committed frame, or a skip, begins at `position` and its word is gone.
///
/// The caller makes sure, after this, that the Writer was not allowed to use `position` again when it was looked at.
pub(crate) fn is_wiped_out(memory: &impl ReadMemory, position: Position) -> bool {
    // PUBLISH-HEAD: the words before it are visible with it, so the head goes first.
    let head = Position(memory.writer().head.load(Ordering::Acquire));
    position != head && position.is_at_or_before(head) && word::is_empty(memory.load_word(position))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::v2::protocol::layout::{ALIGN_THRESHOLD, FrameGeometry, slot_kind, slot_state};
    use crate::v2::rules::group::{Claimant, Membership};
    use crate::v2::rules::memory::Memory as _;
    use crate::v2::rules::observe::{Copied, Observation};
    use crate::v2::rules::ring::Consumer;
    use crate::v2::tests::heap::Heap;
    use crate::v2::tests::policies::{WHOLE, attach};
    use crate::values::config::StartAt;

    const CAPACITY: u64 = 4096;

    /// A ring in which frames of `lens` are committed behind a start of `start`, the last `staged` of them as one; with
    /// a reader at the start, and the positions of all words that were stored.
    fn written(start: u64, lens: &[u64], staged: usize) -> (Heap, Vec<Position>) {
        let start = Position(start);
        let heap = Heap::new(FrameGeometry::new(CAPACITY, 8, ALIGN_THRESHOLD), 3, start);
        heap.reserve(0, start);
        let mut producer = attach(&heap, WHOLE);
        let mut words = Vec::new();
        for (index, &len) in lens.iter().enumerate() {
            let Ok(claim) = producer.claim(&heap, len) else { break };
            words.push(claim.header());
            if index + staged >= lens.len() {
                producer.stage(&heap, &claim);
            } else {
                producer.commit(&heap, &claim);
            }
        }
        producer.publish(&heap);
        (heap, words)
    }

    fn member_of(heap: &Heap) -> Membership {
        heap.slots()[0].kind.store(slot_kind::GROUP, Ordering::Relaxed);
        heap.group(0).clear(0);
        heap.slots()[1].state.store(slot_state::ACTIVE, Ordering::Relaxed);
        Membership { anchor: 0, table: 0, slot: 1, generation: 1 }
    }

    proptest! {
        #[test]
        fn every_kind_of_reader_tells_a_wiped_word_from_one_to_come(
            start in prop_oneof![Just(0u64), Just(u64::MAX - 4095)],
            lens in proptest::collection::vec(1u64..600, 1..8),
            staged in 0usize..3,
            chosen in any::<proptest::sample::Index>(),
        ) {
            let (heap, words) = written(start, &lens, staged.min(lens.len()));
            prop_assume!(!words.is_empty());
            let wiped = chosen.index(words.len());
            heap.word(words[wiped]).store(0, Ordering::Release);

            // One that gets every frame.
            let mut reader = Consumer::attach(&heap, 0).unwrap();
            for _ in 0..wiped {
                prop_assert!(!is_wiped_out(&heap, reader.position()));
                let found = reader.poll(&heap).unwrap().unwrap();
                reader.take(&heap.slots()[0], &found);
            }
            prop_assert_eq!(reader.poll(&heap), Ok(None));
            prop_assert!(is_wiped_out(&heap, reader.position()));

            // One that looks on.
            let mut looking = Observation::begin(&heap, StartAt::Oldest);
            let mut copied = Copied::default();
            for _ in 0..wiped {
                let found = looking.look(&heap, &mut copied).unwrap().unwrap();
                prop_assert!(!looking.is_wiped_out(&heap));
                looking.take(&found);
            }
            prop_assert_eq!(looking.look(&heap, &mut copied), Ok(None));
            prop_assert!(looking.is_wiped_out(&heap));

            // One that gets its share.
            let mut member = Claimant::new(member_of(&heap), &heap);
            for _ in 0..wiped.min(crate::v2::tests::heap::GROUP_ENTRIES) {
                prop_assert!(member.claim(&heap).unwrap().is_some());
            }
            prop_assert_eq!(member.claim(&heap), Ok(None));
            prop_assert_eq!(member.is_wiped_out(&heap), wiped <= crate::v2::tests::heap::GROUP_ENTRIES);
        }

        #[test]
        fn nothing_is_wiped_out_where_nothing_was_committed(
            lens in proptest::collection::vec(1u64..600, 0..8),
        ) {
            let (heap, words) = written(0, &lens, 0);
            let head = Position(heap.writer().head.load(Ordering::Relaxed));
            prop_assert!(words.iter().all(|word| !is_wiped_out(&heap, *word)));
            prop_assert!(!is_wiped_out(&heap, head));
            // Frames are seen before the head tells of them.
            prop_assert!(!is_wiped_out(&heap, head.plus(64)));
        }
    }

    #[test]
    fn a_group_whose_cursor_stands_at_a_wiped_word_is_told() {
        let (heap, words) = written(0, &[100, 100, 100], 0);
        let member = member_of(&heap);
        let mut claimant = Claimant::new(member, &heap);
        while claimant.claim(&heap).unwrap().is_some() {}
        assert!(!claimant.is_wiped_out(&heap));
        heap.word(words[0]).store(0, Ordering::Release);
        // Its release cannot move the cursor any more.
        assert_eq!(member.release(&heap, 1), None);
        assert!(claimant.is_wiped_out(&heap));
    }
}
