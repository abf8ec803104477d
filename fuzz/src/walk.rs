//! A living segment whose words another process changes between our calls: what each side believed a moment ago.
#![no_main]

mod common;
mod fields;

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use zerobuffer::{FullPolicy, Reader, Writer};

const NAME: &str = "walked";

fuzz_target!(|input: &[u8]| {
    static DIR: OnceLock<TempDir> = OnceLock::new();
    let dir = DIR.get_or_init(|| tempfile::tempdir_in("/dev/shm").unwrap()).path();
    let config = fields::config();
    // Never waits, so that an input that takes long is a finding.
    let options = Writer::options().dir(dir).full_policy(FullPolicy::Fail);
    let mut writer = options.create(NAME, &config).unwrap();
    let options = Reader::options().dir(dir);
    let mut reader = options.join(NAME).unwrap();
    let mut lossy = options.clone().lossy().join(NAME).unwrap();
    let mut member = options.group("group").join(NAME).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(dir.join("walked.zb2")).unwrap();
    let size = file.metadata().unwrap().len();
    let mut input = input;
    assert_eq!(size, 4 * fields::PAGE as u64, "regions of one page each");
    let mut segment = vec![0; size as usize];
    // Each piece: what to do, then a word at an offset; or a chain of frames.
    while let [what, a, b, rest @ ..] = input {
        let Some((word, rest)) = rest.split_first_chunk::<8>() else { break };
        if what & 0xc0 == 0xc0 {
            file.read_exact_at(&mut segment, 0).unwrap();
            let (changes, rest) = fields::chain(&segment, &input[1..]);
            for (at, word) in changes {
                file.write_all_at(&word.to_le_bytes(), at as u64).unwrap();
            }
            input = rest;
            continue;
        }
        input = rest;
        let _ = match what % 8 {
            0 => writer.try_write(&[5; 40]).is_ok(),
            1 => writer.try_write(&vec![6; usize::from(*a) * 8 + 1]).is_ok(),
            2 => reader.try_read().is_ok(),
            3 => reader.try_read().map(|frame| frame.map(|f| f.into_owned().len())).is_ok(),
            4 => reader.metadata().is_ok(),
            5 => writer.replace_metadata(&[*a; 30]).is_ok(),
            6 => member.try_read().map(|frame| frame.map(|f| f.into_owned().len())).is_ok(),
            _ => lossy.try_read().is_ok(),
        };
        let offset = u64::from(u16::from_le_bytes([*a, *b])) * 8 % size;
        let _ = file.write_all_at(word, offset);
    }
    for reader in [&mut reader, &mut lossy, &mut member] {
        common::read(reader);
    }
    common::write(&mut writer);
    drop((writer, reader, lossy, member));
    common::look_and_remove(NAME, dir);
});
