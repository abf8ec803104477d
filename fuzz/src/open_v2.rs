//! Any bytes as a 2.0 segment: opened by both sides, written, read, looked at, removed.
#![no_main]

mod common;
mod fields;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use zerobuffer::{BufferConfig, FullPolicy, Reader, Writer};

const NAME: &str = "fuzzed";

/// A segment with frames in it, two readers, and metadata, as its last user left it.
fn valid() -> &'static (TempDir, Vec<u8>) {
    static VALID: OnceLock<(TempDir, Vec<u8>)> = OnceLock::new();
    VALID.get_or_init(|| {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let config = BufferConfig::new().payload_bytes(4096).metadata_bytes(64).reader_slots(2);
        let mut writer = Writer::options().dir(dir.path()).create(NAME, &config).unwrap();
        writer.set_metadata(b"metadata").unwrap();
        let mut reader = Reader::options().dir(dir.path()).join(NAME).unwrap();
        for len in [1, 8, 100, 1000, 700] {
            writer.write(&vec![7; len]).unwrap();
        }
        drop(reader.read().unwrap());
        let bytes = std::fs::read(dir.path().join("fuzzed.zb2")).unwrap();
        reader.unsubscribe();
        drop(writer);
        (dir, bytes)
    })
}

fuzz_target!(|input: &[u8]| {
    let (dir, valid) = valid();
    let dir = dir.path();
    let Some((&how, changes)) = input.split_first() else { return };
    let mut bytes = valid.clone();
    if how & 0x80 != 0 {
        bytes = changes.to_vec();
    } else if how & 0x40 != 0 {
        fields::change(&mut bytes, changes);
    } else {
        common::change(&mut bytes, changes);
    }
    std::fs::write(dir.join("fuzzed.zb2"), &bytes).unwrap();
    let _ = zerobuffer::inspect::snapshot(NAME, dir);
    let reader = Reader::options().dir(dir);
    let joined = match how & 3 {
        0 => reader.join(NAME),
        1 => reader.ephemeral().join(NAME),
        2 => reader.name("other").join(NAME),
        _ => reader.create(NAME, &BufferConfig::new().payload_bytes(4096).reader_slots(2)),
    };
    let mut reader = joined.ok();
    if let Some(reader) = &mut reader {
        common::read(reader);
    }
    // Never waits, so that an input that takes long is a finding.
    let options = Writer::options().dir(dir).full_policy(FullPolicy::Fail);
    let mut writer = options.elastic(how & 4 != 0).connect(NAME).ok();
    if let Some(writer) = &mut writer {
        common::write(writer);
    }
    if let Some(reader) = &mut reader {
        common::read(reader);
    }
    if how & 8 != 0 {
        drop(writer.take());
    }
    drop((reader, writer));
    common::look_and_remove(NAME, dir);
});
