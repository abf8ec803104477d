//! A work group against a simple model: random claims, releases in any order, deaths, window and ring full, lossy
//! onlookers beside it, and positions that wrap at 2^64.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::heap::{GROUP_ENTRIES, Heap};
use super::policies::{Choice, Producer, attach};
use crate::sync::Ordering;
use crate::v2::placing::Footprint;
use crate::v2::protocol::layout::{FrameGeometry, slot_kind, slot_state};
use crate::v2::protocol::position::Position;
use crate::v2::rules::group::{Claimant, Membership, Owner};
use crate::v2::rules::memory::{Memory, ReadMemory};
use crate::v2::rules::observe::{Copied, Observation};
use crate::v2::rules::ring::Found;
use crate::values::config::StartAt;

const CAPACITY: u64 = 4096;
const MEMBERS: usize = 3;
const ANCHOR: u32 = 0;

#[derive(Debug, Clone)]
enum Action {
    Write(u64),
    Claim(usize),
    /// Release the nth frame that a member holds.
    Release(usize, usize),
    /// The same, and die before the cursor could be moved.
    FinishAndDie(usize, usize),
    /// A member dies with what it holds; another comes in its place.
    Die(usize),
    Reclaim(usize),
    Look,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let size = prop_oneof![1u64..=40, 1u64..=1500, Just(1), Just(1024)];
    let member = 0..MEMBERS;
    let action = prop_oneof![
        6 => size.prop_map(Action::Write),
        6 => member.clone().prop_map(Action::Claim),
        6 => (member.clone(), 0usize..4).prop_map(|(m, n)| Action::Release(m, n)),
        1 => (member.clone(), 0usize..4).prop_map(|(m, n)| Action::FinishAndDie(m, n)),
        1 => member.clone().prop_map(Action::Die),
        2 => member.prop_map(Action::Reclaim),
        2 => Just(Action::Look),
    ];
    proptest::collection::vec(action, 1..200)
}

struct Side {
    claimant: Claimant,
    member: Membership,
    held: Vec<Found>,
}

struct Bench {
    heap: Heap,
    producer: Producer,
    sides: Vec<Side>,
    /// Frames that somebody holds, or held when it died; all below and not in it are done.
    in_hand: BTreeSet<u64>,
    orphans: BTreeSet<u64>,
    done: BTreeSet<u64>,
    /// Number of the last frame that the cursor has passed.
    passed: u64,
    /// Where each frame that is not passed ends.
    ends: BTreeMap<u64, Position>,
    copied: Copied,
    onlooker: Observation,
    seen: u64,
}

impl Bench {
    fn new(header: u64, start: u64, choice: Choice) -> Self {
        let frames = FrameGeometry::new(CAPACITY, header, 1024);
        let heap = Heap::new(frames, MEMBERS + 1, Position(start));
        let producer = attach(&heap, choice);
        heap.group(0).clear(0);
        heap.reserve(ANCHOR as usize, Position(start));
        heap.slots()[ANCHOR as usize].kind.store(slot_kind::GROUP, Ordering::Relaxed);
        let onlooker = Observation::begin(&heap, StartAt::Oldest);
        let mut bench = Self {
            heap,
            producer,
            sides: Vec::new(),
            in_hand: BTreeSet::new(),
            orphans: BTreeSet::new(),
            done: BTreeSet::new(),
            passed: 0,
            ends: BTreeMap::new(),
            copied: Copied::default(),
            onlooker,
            seen: 0,
        };
        for slot in 1..=MEMBERS as u32 {
            let side = bench.join(slot, 1);
            bench.sides.push(side);
        }
        bench
    }

    fn join(&self, slot: u32, generation: u64) -> Side {
        let area = &self.heap.slots()[slot as usize];
        area.kind.store(slot_kind::MEMBER, Ordering::Relaxed);
        area.generation.store(generation, Ordering::Relaxed);
        area.state.store(slot_state::ACTIVE, Ordering::Relaxed);
        let member = Membership { anchor: ANCHOR, table: 0, slot, generation };
        Side { claimant: Claimant::new(member, &self.heap), member, held: Vec::new() }
    }

    fn newest(&self) -> u64 {
        self.producer.next_sequence() - 1
    }

    /// The oldest frame that is not done.
    fn oldest_open(&self) -> u64 {
        (1..).find(|number| !self.done.contains(number)).unwrap()
    }

    /// Takes a frame out of a member's hands, to be done; its number.
    fn put_down(&mut self, index: usize, which: usize) -> Option<u64> {
        let held = &mut self.sides[index].held;
        if held.is_empty() {
            return None;
        }
        let found = held.remove(which % held.len());
        self.check_content(&found);
        self.in_hand.remove(&found.sequence);
        self.done.insert(found.sequence);
        Some(found.sequence)
    }

    /// The cursor has moved over all that is done, and nothing else.
    fn check_passed(&mut self, moved: Option<Position>) {
        let passed = self.oldest_open() - 1;
        assert_eq!(moved.is_some(), passed > self.passed);
        if let Some(cursor) = moved {
            assert_eq!(cursor, self.ends[&passed]);
        }
        self.passed = passed;
    }

    fn check_content(&self, found: &Found) {
        let whole = self.heap.is_filled(found.start, found.len, found.sequence);
        assert!(whole, "frame {} was overwritten", found.sequence);
    }

    fn run(&mut self, action: &Action) {
        match *action {
            Action::Write(len) => {
                let Ok(claim) = self.producer.claim(&self.heap, len) else {
                    assert!(self.passed < self.newest(), "an empty ring refused a frame");
                    return;
                };
                let number = self.producer.next_sequence();
                self.heap.fill(claim.start(), len, number);
                self.producer.commit(&self.heap, &claim);
                self.ends.insert(number, self.producer.head());
            }
            Action::Claim(index) => {
                let side = &mut self.sides[index];
                let found = side.claimant.claim(&self.heap).unwrap();
                assert!(!side.claimant.is_wiped_out(&self.heap));
                let oldest = self.oldest_open();
                let taken = |n: &u64| self.done.contains(n) || self.in_hand.contains(n);
                let next = (oldest..).find(|n| !taken(n)).unwrap();
                let possible = next <= self.newest().min(self.passed + GROUP_ENTRIES as u64);
                match found {
                    Some(found) => {
                        assert_eq!(found.sequence, next, "the oldest that nobody has");
                        assert!(possible, "beyond the window");
                        self.check_content(&found);
                        self.in_hand.insert(next);
                        self.sides[index].held.push(found);
                    }
                    None => assert!(!possible, "frame {next} is there and free"),
                }
            }
            Action::Release(index, which) => {
                if let Some(number) = self.put_down(index, which) {
                    let moved = self.sides[index].member.release(&self.heap, number);
                    self.check_passed(moved);
                }
            }
            Action::FinishAndDie(index, which) => {
                if let Some(number) = self.put_down(index, which) {
                    assert!(self.sides[index].member.finish(&self.heap, number));
                    self.run(&Action::Die(index));
                }
            }
            Action::Die(index) => {
                let dead = &self.sides[index];
                self.orphans.extend(dead.held.iter().map(|found| found.sequence));
                let (slot, generation) = (dead.member.slot, dead.member.generation);
                self.sides[index] = self.join(slot, generation + 1);
            }
            Action::Reclaim(index) => {
                let alive: Vec<_> = self.sides.iter().map(|side| side.member).collect();
                let is_alive = |owner: Owner| {
                    let is_owner = |member: &Membership| {
                        member.slot == owner.slot && owner.has_generation(member.generation)
                    };
                    alive.iter().any(is_owner)
                };
                let side = &mut self.sides[index];
                let found = side.claimant.reclaim(&self.heap, is_alive).unwrap();
                assert_eq!(found.map(|found| found.sequence), self.orphans.pop_first());
                if let Some(found) = found {
                    assert!(found.is_redelivered());
                    self.check_content(&found);
                    self.sides[index].held.push(found);
                }
                let moved = self.sides[index].member.advance(&self.heap);
                self.check_passed(moved);
            }
            Action::Look => {
                let looked = self.onlooker.look(&self.heap, &mut self.copied).unwrap();
                assert!(!self.onlooker.is_wiped_out(&self.heap));
                let Some(found) = looked else {
                    assert_eq!(self.seen, self.newest(), "there is a newer one");
                    return;
                };
                assert!(found.sequence > self.seen);
                self.seen = found.sequence;
                let whole = self.copied.payload(found.len).chunks(8);
                let expected = found.sequence.to_ne_bytes();
                whole.for_each(|word| assert_eq!(word, &expected[..word.len()]));
                self.onlooker.take(&found);
            }
        }
    }
}

proptest! {
    #[test]
    fn every_frame_has_one_holder_at_a_time_and_none_is_lost(
        actions in actions(),
        timestamps in any::<bool>(),
        near_the_wrap in any::<bool>(),
        window in prop_oneof![Just(None), Just(Some(1024))],
    ) {
        let start = if near_the_wrap { 0u64.wrapping_sub(8192) } else { 0 };
        let choice = window.map_or(Choice::Plain, |bytes| Choice::Cached(Footprint::Window(bytes)));
        let mut bench = Bench::new(if timestamps { 16 } else { 8 }, start, choice);
        for action in &actions {
            bench.run(action);
        }
        // Whatever happened: those who live finish, and nothing is left.
        for _ in 0..=bench.orphans.len() {
            bench.run(&Action::Reclaim(0));
        }
        while bench.oldest_open() <= bench.newest() {
            for member in 0..MEMBERS {
                bench.run(&Action::Claim(member));
                bench.run(&Action::Release(member, 0));
            }
        }
        let cursor = bench.heap.slots()[ANCHOR as usize].cursor.load(Ordering::Relaxed);
        prop_assert_eq!(Position(cursor), bench.producer.head());
    }
}
