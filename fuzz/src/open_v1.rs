//! Any bytes as a 1.0 segment: connected to by our writer, or changed under our reader's eyes.
#![no_main]

mod common;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use zerobuffer::{BufferConfig, FullPolicy, Reader, Writer};

fuzz_target!(|input: &[u8]| {
    let name = format!("zerobuffer-fuzz-{}", std::process::id());
    let path: PathBuf = Path::new("/dev/shm").join(&name);
    let Some((&how, changes)) = input.split_first() else { return };
    let config = BufferConfig::v1().payload_bytes(4096).metadata_bytes(64);
    // Never waits, so that an input that takes long is a finding.
    let connect = || Writer::options().full_policy(FullPolicy::Fail).connect(&name);
    // Its semaphores and its lock are what they should be; the segment is what the input says.
    let mut reader = Reader::create(&name, &config).unwrap();
    let mut writer = None;
    if how & 1 != 0 {
        let mut connected = connect().unwrap();
        let _ = connected.set_metadata(b"metadata");
        for len in [1, 100, 700] {
            let _ = connected.try_write(&vec![7; len]);
        }
        if how & 2 != 0 {
            let _ = reader.try_read();
        }
        writer = (how & 4 != 0).then_some(connected);
    }
    let mut bytes = std::fs::read(&path).unwrap();
    let size = bytes.len();
    common::change(&mut bytes, changes);
    // In place, and never shorter: that would be a bus error, which has a test of its own.
    bytes.resize(size.max(bytes.len()), 0);
    OpenOptions::new().write(true).open(&path).unwrap().write_all(&bytes).unwrap();
    let _ = zerobuffer::inspect::snapshot(&name, Path::new("/dev/shm"));
    if how & 8 != 0 {
        common::read(&mut reader);
    }
    if let Some(mut writer) = writer.or_else(|| connect().ok()) {
        common::write(&mut writer);
        common::read(&mut reader);
    }
    drop(reader);
    let _ = std::fs::remove_file(&path);
});
