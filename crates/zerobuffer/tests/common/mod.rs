//! What the integration tests share.
#![allow(dead_code)] // Each test program uses some of it.

use std::path::Path;

use zerobuffer::{Reader, ReaderOptions, Writer, WriterOptions};

/// A directory of its own for every test, on the same tmpfs that users have.
pub fn shm_dir() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("zerobuffer-test-").tempdir_in("/dev/shm").unwrap()
}

/// Options with a directory.
pub fn writer_in(dir: &Path) -> WriterOptions {
    Writer::options().dir(dir)
}

/// Options with a directory.
pub fn reader_in(dir: &Path) -> ReaderOptions {
    Reader::options().dir(dir)
}

/// Byte `i` of frame `sequence`, different for every frame and place.
pub fn byte(sequence: u64, i: usize) -> u8 {
    (sequence.wrapping_mul(31) as usize + i * 7 + (i >> 8)) as u8
}

/// A frame whose contents say which it is.
pub fn frame(sequence: u64, len: usize) -> Vec<u8> {
    (0..len).map(|i| byte(sequence, i)).collect()
}

/// Whether all bytes are those of frame `sequence`.
pub fn is_frame(sequence: u64, bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(i, &b)| b == byte(sequence, i))
}

/// Files left in a directory.
pub fn left_behind(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
