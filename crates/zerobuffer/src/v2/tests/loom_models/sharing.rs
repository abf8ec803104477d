//! Payload sharing: passing on, giving back and reuse, over two rings.

use loom::sync::Arc;
use loom::thread;

use super::{LEN, heap};
use crate::sync::Ordering;
use crate::v2::protocol::layout::slot_kind;
use crate::v2::protocol::position::Position;
use crate::v2::rules::memory::{Memory, ReadMemory};
use crate::v2::rules::registry::{self, activate};
use crate::v2::rules::ring::{self, Consumer, Found};
use crate::v2::rules::sharing;
use crate::v2::tests::heap::Heap;
use crate::v2::tests::policies::{Choice, Producer, attach};
use crate::values::config::StartAt;

/// Slots of the origin. A scan comes to the export first, although a frame is handed over to it.
const EXPORT: u32 = 0;
const RELAY: u32 = 1;
/// Number of the frame that is passed on.
const HELD: u64 = 2;

/// The origin with its second and third frame, the second received by the relay, and the target.
struct Rings {
    origin: Arc<Heap>,
    target: Arc<Heap>,
    camera: Producer,
    held: Found,
    output: Producer,
}

fn rings(viewers: usize) -> Rings {
    let (origin, target) = (heap(2, 0), heap(viewers, 0));
    origin.reserve(RELAY as usize, Position(0));
    target.reserve(0, Position(0));
    let mut camera = attach(&origin, Choice::Plain);
    let mut relay = Consumer::attach(&*origin, RELAY).unwrap();
    assert!(write(&origin, &mut camera));
    let first = relay.poll(&*origin).unwrap().unwrap();
    relay.take(&origin.slots()[RELAY as usize], &first);
    ring::release(&origin.slots()[RELAY as usize], first.end);
    // The third lies over the first, so the origin has gone on beyond where the export, idle, was made.
    assert!(write(&origin, &mut camera) && write(&origin, &mut camera));
    let held = relay.poll(&*origin).unwrap().unwrap();
    relay.take(&origin.slots()[RELAY as usize], &held);
    origin.slots()[EXPORT as usize].kind.store(slot_kind::EXPORT, Ordering::Relaxed);
    registry::mark(&*origin, EXPORT);
    origin.slots()[EXPORT as usize].state.store(2, Ordering::Release);
    let output = attach(&target, Choice::Plain);
    Rings { origin, target, camera, held, output }
}

/// Every word, so that a place that is reused is seen wherever one looks.
fn write(heap: &Heap, producer: &mut Producer) -> bool {
    let Ok(claim) = producer.claim(heap, LEN) else { return false };
    heap.fill(claim.start(), LEN, producer.next_sequence());
    producer.commit(heap, &claim);
    true
}

fn export(origin: &Heap) -> &crate::v2::protocol::layout::Slot {
    &origin.slots()[EXPORT as usize]
}

/// The relay's part: protect, refer, release.
fn pass_on(origin: &Heap, target: &Heap, output: &mut Producer, held: &Found) {
    let claim = output.claim(target, 16).unwrap();
    assert!(sharing::protect(export(origin), held.header, held.end));
    output.commit_reference(target, &claim, false);
    ring::release(&origin.slots()[RELAY as usize], held.end);
}

/// A viewer's part: what was found by reference is whole while it holds it.
fn view(origin: &Heap, target: &Heap, slot: u32, consumer: &mut Consumer, frame: &Found) -> bool {
    let Some(found) = consumer.poll(target).unwrap() else { return false };
    assert!(found.is_reference());
    consumer.take(&target.slots()[slot as usize], &found);
    if sharing::is_there(export(origin), frame.header) {
        assert!(origin.is_filled(frame.start, LEN, HELD), "reused under its reader");
    }
    ring::release(&target.slots()[slot as usize], found.end);
    sharing::give_back(export(origin), frame.end, || sharing::is_needed_before(target, found.end));
    true
}

#[test]
fn loom_a_frame_passed_on_is_not_reused_before_it_is_given_back() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let Rings { origin, target, mut camera, held, mut output } = rings(1);
        let (a, t) = (Arc::clone(&origin), Arc::clone(&target));
        let relay = thread::spawn(move || {
            pass_on(&a, &t, &mut output, &held);
            // Then it is the viewer, too: the camera is whom it races with.
            let mut viewer = Consumer::attach(&*t, 0).unwrap();
            assert!(view(&a, &t, 0, &mut viewer, &held));
        });
        let early = write(&origin, &mut camera);
        relay.join().unwrap();
        // The relay holds nothing any more, and the viewer has given back.
        assert!(
            early || write(&origin, &mut camera),
            "nobody needs the place of what was passed on"
        );
        drop(target);
    });
}

/// One viewer gives back while another joins at the oldest frame of the target, and the camera takes what it can get.
#[test]
fn loom_a_viewer_that_joins_follows_no_reference_to_what_is_given_back() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let Rings { origin, target, mut camera, held, mut output } = rings(2);
        pass_on(&origin, &target, &mut output, &held);
        let (a, t) = (Arc::clone(&origin), Arc::clone(&target));
        let first = thread::spawn(move || {
            let mut viewer = Consumer::attach(&*t, 0).unwrap();
            assert!(view(&a, &t, 0, &mut viewer, &held));
            write(&a, &mut camera);
        });
        if activate(&*target, 1, StartAt::Oldest, 2).is_some() {
            let mut late = Consumer::attach(&*target, 1).unwrap();
            assert!(view(&origin, &target, 1, &mut late, &held));
        }
        first.join().unwrap();
    });
}

/// Two viewers release at once: one of them gives back.
#[test]
fn loom_the_last_of_two_viewers_gives_back() {
    loom::model(|| {
        let Rings { origin, target, mut camera, held, mut output } = rings(2);
        target.reserve(1, Position(0));
        pass_on(&origin, &target, &mut output, &held);
        let (a, t) = (Arc::clone(&origin), Arc::clone(&target));
        let other = thread::spawn(move || {
            let mut viewer = Consumer::attach(&*t, 1).unwrap();
            assert!(view(&a, &t, 1, &mut viewer, &held));
        });
        let mut viewer = Consumer::attach(&*target, 0).unwrap();
        assert!(view(&origin, &target, 0, &mut viewer, &held));
        other.join().unwrap();
        assert!(write(&origin, &mut camera), "nobody needs the place of what was passed on");
    });
}
