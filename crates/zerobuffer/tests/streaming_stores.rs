//! Frames copied in through the caches and past them: every byte arrives, whichever stores were chosen.
#![allow(missing_docs)]

mod common;

use common::{Call, PATIENCE, Placement, Stage, everywhere, frame, is_frame, some_len};
use zerobuffer::{BufferConfig, StreamingStores, WaitStrategy};

const NAME: &str = "streams";
const RING: usize = 256 << 10;
const LARGEST: usize = 64 << 10;
/// From this size on frames may be streamed.
const LARGE: usize = 4096;
const COUNT: u64 = 1000;
const CHOICES: [StreamingStores; 3] =
    [StreamingStores::Auto, StreamingStores::Never, StreamingStores::Always];

#[test]
fn child_role() {
    common::child(role);
}

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(RING)
}

/// Writes frames of many sizes, one by one and in batches, and counts those that were streamed.
fn role(call: &Call) {
    let [count, choice] = call.numbers[..] else { panic!("{call:?}") };
    let stores = CHOICES[choice as usize];
    let mut writer = call.writer().streaming_stores(stores).create(NAME, &config()).unwrap();
    let mut large = 0;
    let mut sequence = 0;
    while sequence < count {
        let mut batch = writer.batch();
        for _ in 0..=sequence % 3 {
            sequence += 1;
            let len = some_len(sequence, LARGEST);
            large += u64::from(len >= LARGE);
            batch.push(&frame(sequence, len)).unwrap();
        }
        batch.commit();
        sequence += 1;
        let len = some_len(sequence, LARGEST);
        large += u64::from(len >= LARGE);
        writer.write(&frame(sequence, len)).unwrap();
    }
    assert!(large > count / 10, "hardly any large frames: {large} of {count}");
    let streamed = writer.stats().streamed_frames;
    match stores {
        StreamingStores::Never => assert_eq!(streamed, 0),
        StreamingStores::Always => assert_eq!(streamed, large),
        // Both ways were tried, at least.
        StreamingStores::Auto => {
            let tried = cfg!(target_arch = "x86_64");
            assert!(streamed < large && (streamed > 0) == tried, "{streamed} of {large}");
        }
    }
    assert!(writer.wait_drained(Some(PATIENCE)));
}

everywhere!(every_byte_arrives);

fn every_byte_arrives(p: Placement, wait: WaitStrategy) {
    for (choice, stores) in CHOICES.into_iter().enumerate() {
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
