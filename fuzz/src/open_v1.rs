//! Any bytes as a 1.0 segment, and as the files of its semaphores: connected to by our writer, or changed under our
//! reader's eyes.
#![no_main]

mod common;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use zerobuffer::{BufferConfig, FullPolicy, Reader, Writer};

/// Size of a semaphore's file.
const SEMAPHORE: usize = 32;

/// Changes both semaphores as `input` says, in place: the data semaphore's bytes, and behind them the space semaphore's.
fn change_semaphores(name: &str, input: &[u8]) {
    let paths = ["w", "r"].map(|side| format!("/dev/shm/sem.sem-{side}-{name}"));
    let mut bytes: Vec<u8> = paths.iter().flat_map(|path| std::fs::read(path).unwrap()).collect();
    common::change(&mut bytes, input);
    bytes.resize(2 * SEMAPHORE, 0);
    for (path, bytes) in paths.iter().zip(bytes.chunks(SEMAPHORE)) {
        OpenOptions::new().write(true).open(path).unwrap().write_all(bytes).unwrap();
    }
}

fuzz_target!(|input: &[u8]| {
    let name = format!("zerobuffer-fuzz-{}", std::process::id());
    let path: PathBuf = Path::new("/dev/shm").join(&name);
    let Some((&how, changes)) = input.split_first() else { return };
    let config = BufferConfig::v1().payload_bytes(4096).metadata_bytes(64);
    // Never waits, so that an input that takes long is a finding.
    let connect = || Writer::options().full_policy(FullPolicy::Fail).connect(&name);
    // Its lock is what it should be; semaphores and segment are what the input says.
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
    let mut changes = changes;
    if how & 16 != 0
        && let [len, rest @ ..] = changes
    {
        let (semaphores, segment) = rest.split_at(usize::from(*len).min(rest.len()));
        change_semaphores(&name, semaphores);
        changes = segment;
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
