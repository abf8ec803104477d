//! The conformance vectors of protocol 2.0 (`conformance/2.0`): segments that this library has not written, and what a
//! reader must answer to each.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::{reader_in, shm_dir, writer_in};
use md5::{Digest as _, Md5};
use serde_json::Value;
use zerobuffer::{OpenError, ReadError, Reader, StartAt, WriterPresence, inspect};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/2.0")
}

fn cases() -> Vec<Value> {
    let text = std::fs::read_to_string(vectors().join("index.json")).unwrap();
    let index: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(index["format"], "zerobuffer-conformance/1");
    index["cases"].as_array().unwrap().clone()
}

/// Puts a case's files where buffers live; the buffer that is read.
fn laid_out(case: &Value, dir: &Path) -> String {
    let files = case["files"].as_object().unwrap();
    for (buffer, file) in files {
        let from = vectors().join(file.as_str().unwrap());
        std::fs::copy(from, dir.join(format!("{buffer}.zb2"))).unwrap();
    }
    files.keys().find(|name| *name == "b" || *name == "target").unwrap().clone()
}

fn joined(case: &Value, dir: &Path, buffer: &str) -> Result<Reader, OpenError> {
    match case["reader"].as_str().unwrap().split_once(' ') {
        Some(("member", group)) => reader_in(dir).group(group).join(buffer),
        None if case["reader"] == "observer" => {
            reader_in(dir).observe().start_at(StartAt::Oldest).join(buffer)
        }
        _ => reader_in(dir).join(buffer),
    }
}

/// How opening failed, in the words of the index.
fn condition(error: &OpenError) -> &'static str {
    match error {
        OpenError::Damaged { .. } => "open: damaged",
        OpenError::WrongVersion { .. } => "open: wrong-version",
        OpenError::UnknownFeatures { .. } => "open: unknown-features",
        _ => "open: something else",
    }
}

/// What comes behind the frames.
fn end(reader: &mut Reader) -> &'static str {
    match reader.read_timeout(Duration::from_millis(1)) {
        Ok(None) => "end",
        Ok(Some(_)) => "another frame",
        Err(ReadError::WriterGone { .. }) => "died",
        Err(ReadError::Damaged { .. }) => "damaged",
        Err(ReadError::Timeout { writer, .. }) => {
            assert_ne!(writer, WriterPresence::Attached);
            "none"
        }
        Err(_) => "something else",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_vector_is_answered_as_the_index_says() {
    let cases = cases();
    assert!(cases.len() >= 30, "{}", cases.len());
    for case in &cases {
        let (name, dir) = (case["name"].as_str().unwrap(), shm_dir());
        let buffer = laid_out(case, dir.path());
        let then = case["then"].as_str().unwrap();
        // Looking changes nothing, and comes to no harm.
        _ = inspect::snapshot(&buffer, dir.path());
        let mut reader = match joined(case, dir.path(), &buffer) {
            Ok(reader) => reader,
            Err(error) => {
                assert_eq!(condition(&error), then, "{name}: {error}");
                continue;
            }
        };
        if let Some(metadata) = case.get("metadata") {
            let found = reader.metadata().unwrap().unwrap();
            assert_eq!(found.generation(), metadata["generation"].as_u64().unwrap(), "{name}");
            assert_eq!(&found[..], metadata["text"].as_str().unwrap().as_bytes(), "{name}");
        }
        for expected in case["frames"].as_array().unwrap() {
            let read = reader.try_read().unwrap_or_else(|error| panic!("{name}: {error}"));
            let frame = read.unwrap_or_else(|| panic!("{name}: {expected}"));
            assert_eq!(frame.sequence(), expected["sequence"].as_u64().unwrap(), "{name}");
            assert_eq!(frame.len() as u64, expected["length"].as_u64().unwrap(), "{name}");
            assert_eq!(hex(&Md5::digest(&frame[..])), expected["md5"].as_str().unwrap(), "{name}");
            let redelivered = expected.get("redelivered").is_some();
            assert_eq!(frame.is_redelivered(), redelivered, "{name}: {expected}");
            if let Some(attributes) = expected.get("attributes") {
                let found = frame.attributes().unwrap();
                let found: serde_json::Map<_, _> = found
                    .into_iter()
                    .map(|(kind, value)| (kind.to_string(), hex(value).into()))
                    .collect();
                assert_eq!(&Value::Object(found), attributes, "{name}: {expected}");
            }
        }
        assert_eq!(end(&mut reader), then, "{name}");
    }
}

#[test]
fn a_writer_goes_on_where_the_vectors_stop() {
    for case in cases() {
        let (name, dir) = (case["name"].as_str().unwrap(), shm_dir());
        if !matches!(case["then"].as_str().unwrap(), "none" | "end" | "died") {
            continue;
        }
        let buffer = laid_out(&case, dir.path());
        let mut writer = writer_in(dir.path()).connect(&buffer).unwrap();
        let last = case["frames"].as_array().unwrap().last();
        let next = last.map_or(1, |frame| frame["sequence"].as_u64().unwrap() + 1);
        assert_eq!(writer.next_sequence(), next, "{name}");
        if let Some(expected) = case.get("next_sequence") {
            assert_eq!(writer.next_sequence(), expected.as_u64().unwrap(), "{name}");
        }
        writer.try_write(b"behind them").unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut reader = joined(&case, dir.path(), &buffer).unwrap();
        for _ in case["frames"].as_array().unwrap() {
            _ = reader.try_read().unwrap().unwrap_or_else(|| panic!("{name}"));
        }
        assert_eq!(&reader.try_read().unwrap().unwrap()[..], b"behind them", "{name}");
    }
}

#[test]
fn the_vectors_are_what_their_generator_makes() {
    let dir = tempfile::tempdir().unwrap();
    let made = Command::new("python3").arg(vectors().join("make.py")).arg(dir.path()).status();
    assert!(made.expect("python3 is there").success());
    let list = |dir: &Path| {
        let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files
            .filter(|file| file.extension().is_some_and(|e| e == "zb2" || e == "json"))
            .map(|file| (file.file_name().unwrap().to_owned(), std::fs::read(&file).unwrap()))
            .collect();
        files.sort();
        files
    };
    let (made, kept) = (list(dir.path()), list(&vectors()));
    assert_eq!(made.len(), kept.len());
    for ((name, made), (_, kept)) in made.iter().zip(&kept) {
        assert!(made == kept, "{name:?}");
    }
}
