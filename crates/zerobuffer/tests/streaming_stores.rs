//! Frames copied in through the caches and past them: every byte arrives, whichever stores were chosen.
#![allow(missing_docs)]

mod common;

use common::{
    Call, LARGE, PATIENCE, Placement, STORES, Stage, assert_streamed, everywhere, frame, is_frame,
    some_len,
};
use zerobuffer::{BufferConfig, WaitStrategy};

const NAME: &str = "streams";
const RING: usize = 256 << 10;
const LARGEST: usize = 64 << 10;
const COUNT: u64 = 1000;

#[test]
fn child_role() {
    common::child(role);
}

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(RING)
}

/// Writes frames of many sizes, one by one, in batches and to loans, and counts those that were streamed.
fn role(call: &Call) {
    let [count, choice] = call.numbers[..] else { panic!("{call:?}") };
    let stores = STORES[choice as usize];
    let mut writer = call.writer().streaming_stores(stores).create(NAME, &config()).unwrap();
    let mut sequence = 0;
    let mut next = || {
        sequence += 1;
        frame(sequence, some_len(sequence, LARGEST))
    };
    let mut written = 0;
    while written < count {
        let mut batch = writer.batch();
        for _ in 0..=written % 3 {
            batch.push(&next()).unwrap();
        }
        batch.commit();
        writer.write(&next()).unwrap();
        let bytes = next();
        let mut loan = writer.loan(bytes.len()).unwrap();
        loan.copy_from_slice(&bytes);
        loan.commit();
        written = writer.next_sequence() - 1;
    }
    let large = (1..=written).filter(|&sequence| some_len(sequence, LARGEST) >= LARGE).count();
    let large = large as u64;
    assert!(large > count / 10, "hardly any large frames: {large} of {count}");
    assert_streamed(stores, writer.stats().streamed_frames, large);
    assert!(writer.wait_drained(Some(PATIENCE)));
}

everywhere!(every_byte_arrives);

fn every_byte_arrives(p: Placement, wait: WaitStrategy) {
    for (choice, stores) in STORES.into_iter().enumerate() {
        let stage = Stage::new(p, wait, role);
        let mut reader = stage.reader().create(NAME, &config()).unwrap();
        let writer = stage.start("write", &[COUNT, choice as u64]);
        let mut sequence = 0;
        while let Some(read) = reader.read().unwrap() {
            sequence += 1;
            assert_eq!(read.len(), some_len(sequence, LARGEST));
            assert!(is_frame(sequence, &read), "frame {sequence}, {stores:?}");
        }
        assert!(sequence >= COUNT, "{sequence} frames of {COUNT}, {stores:?}");
        writer.finish();
    }
}
