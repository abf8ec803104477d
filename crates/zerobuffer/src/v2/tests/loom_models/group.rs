//! Work groups: claim against claim, against release and reuse, against death; and waiting in turn.

use loom::sync::Arc;
use loom::thread;
use std::time::Duration;

use super::{LEN, check, heap, write};
use crate::mortal;
use crate::sync::Ordering;
use crate::v2::protocol::layout::{slot_kind, slot_state};
use crate::v2::protocol::position::Position;
use crate::v2::rules::group::{Claimant, Membership};
use crate::v2::rules::memory::{Memory, ReadMemory};
use crate::v2::rules::ring::Found;
use crate::v2::rules::wake::{self, Barrier};
use crate::v2::tests::heap::Heap;
use crate::v2::tests::policies::{Choice, attach};

/// Slot of the anchor; members have those behind it.
const ANCHOR: u32 = 0;

/// A group at the start of the ring.
fn group(slots: usize) -> Arc<Heap> {
    let heap = heap(slots, 0);
    heap.group(0).clear(0);
    heap.reserve(ANCHOR as usize, Position(0));
    heap.slots()[ANCHOR as usize].kind.store(slot_kind::GROUP, Ordering::Relaxed);
    for slot in &heap.slots()[1..] {
        slot.kind.store(slot_kind::MEMBER, Ordering::Relaxed);
        slot.generation.store(1, Ordering::Relaxed);
        slot.state.store(slot_state::ACTIVE, Ordering::Relaxed);
    }
    heap
}

fn member(slot: u32) -> Membership {
    Membership { anchor: ANCHOR, table: 0, slot, generation: 1 }
}

fn cursor(heap: &Heap) -> Position {
    Position(heap.slots()[ANCHOR as usize].cursor.load(Ordering::Acquire))
}

/// Claims what there is, looks at it, and releases it; the numbers, as bits.
fn work(heap: &Heap, slot: u32) -> u64 {
    let member = member(slot);
    let mut claimant = Claimant::new(member, heap);
    let mut done = 0;
    while let Some(found) = claimant.claim(heap).unwrap() {
        check(heap, &found, found.sequence);
        if let Some(cursor) = member.release(heap, found.sequence) {
            wake::wake_writer(heap, Barrier::Fence, cursor);
        }
        done |= 1 << found.sequence;
    }
    done
}

#[test]
fn loom_each_frame_of_a_group_has_one_holder() {
    loom::model(|| {
        let heap = group(3);
        let mut producer = attach(&heap, Choice::Plain);
        write(&heap, &mut producer);
        write(&heap, &mut producer);
        let shared = Arc::clone(&heap);
        let other = thread::spawn(move || work(&shared, 2));
        let mine = work(&heap, 1);
        let others = other.join().unwrap();
        assert_eq!(mine & others, 0, "a frame had two holders");
        assert_eq!(mine | others, 0b110, "a frame had none");
        assert_eq!(cursor(&heap), producer.head(), "what is done is passed, whoever did it last");
    });
}

/// The writer takes the place of what the group has passed, while a member looks at what it has not.
#[test]
fn loom_a_place_is_reused_when_all_before_it_is_done() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let heap = group(3);
        let mut producer = attach(&heap, Choice::Plain);
        write(&heap, &mut producer);
        write(&heap, &mut producer);
        let first = Claimant::new(member(1), &*heap).claim(&*heap).unwrap().unwrap();
        let shared = Arc::clone(&heap);
        let other = thread::spawn(move || work(&shared, 2));
        member(1).release(&*heap, first.sequence);
        // Full is an outcome here: the other one may not have passed anything yet.
        if let Ok(claim) = producer.claim(&*heap, LEN) {
            assert_eq!(claim.header(), Position(112), "it lies over the first");
            // Every word, the first of which lies where the first frame's commit word was.
            heap.fill(claim.start(), LEN, 3);
            producer.commit(&*heap, &claim);
        }
        let others = other.join().unwrap();
        let rest = work(&heap, 1);
        assert_eq!(others & rest, 0, "a frame had two holders");
        assert_eq!(0b10 | others | rest, (1 << producer.next_sequence()) - 2, "a frame had none");
    });
}

/// A member dies before any of its stores; the other one gets what it held, and nothing is lost.
fn a_member_dies(stores: usize) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(move || {
        let heap = group(3);
        let mut producer = attach(&heap, Choice::Plain);
        write(&heap, &mut producer);
        write(&heap, &mut producer);
        let shared = Arc::clone(&heap);
        let dying = thread::spawn(move || mortal::dying_at(stores, || work(&shared, 2)));
        let mine = work(&heap, 1);
        let finished = dying.join().unwrap();
        // Its lock is free now: what it held is anybody's.
        let member = member(1);
        let mut claimant = Claimant::new(member, &*heap);
        let mut reclaimed = 0;
        let is_alive = |owner: crate::v2::rules::group::Owner| owner.slot == 1;
        while let Some(found) = claimant.reclaim(&*heap, is_alive).unwrap() {
            assert!(found.is_redelivered());
            check(&heap, &found, found.sequence);
            member.release(&*heap, found.sequence);
            reclaimed |= 1 << found.sequence;
        }
        member.advance(&*heap);
        let rest = work(&heap, 1);
        assert_eq!(mine & (reclaimed | rest), 0, "a frame came back to the one who had done it");
        match finished {
            Some(others) => assert_eq!((mine | others | rest, reclaimed), (0b110, 0)),
            // What it had done is not known here; the cursor tells that nothing is missing.
            None => assert!(reclaimed.count_ones() <= 1),
        }
        assert_eq!(cursor(&heap), producer.head());
    });
}

#[test]
fn loom_a_member_dies_before_each_of_its_stores() {
    for stores in 0..10 {
        a_member_dies(stores);
    }
}

/// Claims one frame; sleeps while there is none, in turn.
fn take_one(heap: &Heap, slot: u32) -> Found {
    let member = member(slot);
    let mut claimant = Claimant::new(member, heap);
    let mut attempt = || {
        let found = if member.is_in_turn(heap) { claimant.claim(heap).unwrap() } else { None };
        if found.is_some() && member.is_queued(heap) {
            member.step_out(heap);
        }
        found
    };
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        member.announce(heap);
        if let Some(found) = attempt() {
            return found;
        }
        wake::reader_sleeps(heap, slot, Duration::MAX);
    }
}

#[test]
fn loom_members_that_sleep_are_woken_one_after_the_other() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let heap = group(3);
        let mut producer = attach(&heap, Choice::Plain);
        let workers = [1, 2].map(|slot| {
            let shared = Arc::clone(&heap);
            thread::spawn(move || take_one(&shared, slot).sequence)
        });
        write(&heap, &mut producer);
        write(&heap, &mut producer);
        let [one, other] = workers.map(|worker| worker.join().unwrap());
        assert_eq!(one + other, 3, "each has one of the two");
    });
}
