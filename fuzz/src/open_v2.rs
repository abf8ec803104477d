//! Any bytes as a 2.0 segment: opened by both sides, written, read, looked at, removed.
#![no_main]

mod common;
mod fields;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use zerobuffer::{Elastic, FullPolicy, Reader, Writer};

const NAME: &str = "fuzzed";

/// A segment with frames in it, a reader, a member of a work group, and metadata, as its last user left it.
fn valid() -> &'static (TempDir, Vec<u8>) {
    static VALID: OnceLock<(TempDir, Vec<u8>)> = OnceLock::new();
    VALID.get_or_init(|| {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let mut writer = Writer::options().dir(dir.path()).create(NAME, &fields::config()).unwrap();
        writer.set_metadata(b"metadata").unwrap();
        let options = Reader::options().dir(dir.path());
        let mut reader = options.join(NAME).unwrap();
        let mut member = options.group("group").join(NAME).unwrap();
        for len in [1, 8, 100, 1000, 700] {
            writer.write(&vec![7; len]).unwrap();
        }
        drop(reader.read().unwrap());
        let held = member.read().unwrap();
        let bytes = std::fs::read(dir.path().join("fuzzed.zb2")).unwrap();
        drop(held);
        reader.unsubscribe();
        member.unsubscribe();
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
    let reader = match how >> 4 & 3 {
        0 => reader,
        1 => reader.lossy(),
        2 => reader.observe(),
        _ => reader.group("group"),
    };
    let joined = match how & 3 {
        0 => reader.join(NAME),
        1 => reader.ephemeral().join(NAME),
        2 => reader.name("other").join(NAME),
        _ => reader.create(NAME, &fields::config()),
    };
    let mut reader = joined.ok();
    if let Some(reader) = &mut reader {
        common::read(reader);
    }
    // Never waits, so that an input that takes long is a finding.
    let options = Writer::options().dir(dir).full_policy(FullPolicy::Fail);
    let mut writer = options
        .elastic(if how & 4 != 0 { Elastic::Always } else { Elastic::Auto })
        .connect(NAME)
        .ok();
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
