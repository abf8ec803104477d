//! Two processes that are pinned to a core each: the default waiting spins there, for that pays.
#![allow(missing_docs)]

mod common;

use std::time::Instant;

use common::{Call, PATIENCE, Placement, Stage};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use zerobuffer::{BufferConfig, WaitStrategy};

const ROUNDS: u64 = 2000;
const BYTES: usize = 64;

#[test]
fn child_role() {
    common::child(role);
}

/// Sends every frame back, on a core of its own.
fn role(call: &Call) {
    pin(call.numbers[0] as usize);
    let mut reader = call.reader().join("there").unwrap();
    let mut writer = call.writer().connect("back").unwrap();
    let mut bytes = [0; BYTES];
    while let Some(frame) = reader.read().unwrap() {
        frame.copy_to(&mut bytes);
        drop(frame);
        writer.write(&bytes).unwrap();
    }
    drop(writer);
}

fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).unwrap();
}

fn allowed() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap();
    (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
}

/// On a machine that has other things to do, too, spinning does not pay all the time. So the rounds go on until it has.
#[test]
fn one_core_each_is_no_reason_to_sleep() {
    let [ours, theirs, ..] = allowed()[..] else {
        println!("skipped: only one core is allowed here, and this needs two");
        return;
    };
    let stage = Stage::new(Placement::Processes, WaitStrategy::default(), role);
    let config = BufferConfig::new().payload_bytes(64 << 10);
    let round_trips = std::thread::scope(|scope| {
        let rounds = scope.spawn(|| {
            // Before the endpoints are made, as by `taskset`.
            pin(ours);
            let mut writer = stage.writer().create("there", &config).unwrap();
            let mut reader = stage.reader().create("back", &config).unwrap();
            let peer = stage.start("echo", &[theirs as u64]);
            let begun = Instant::now();
            let mut rounds = 0;
            let mut seen = reader.stats();
            loop {
                for _ in 0..ROUNDS {
                    writer.write(&[1; BYTES]).unwrap();
                    assert!(reader.read_timeout(PATIENCE).unwrap().is_some());
                }
                rounds += ROUNDS;
                let now = reader.stats();
                let (waits, parks) = (now.waits - seen.waits, now.parks - seen.parks);
                seen = now;
                if waits > ROUNDS / 2 && parks < waits / 10 {
                    break;
                }
                assert!(
                    begun.elapsed() < PATIENCE,
                    "after {rounds} rounds still {parks} of {waits} waits sleep"
                );
            }
            drop(writer);
            peer.finish();
            assert!(reader.read_timeout(PATIENCE).unwrap().is_none());
            rounds
        });
        rounds.join().unwrap()
    });
    println!("learned within {round_trips} rounds");
}
