//! What the programs make of their arguments and of each other's lines, without doing it: for `fuzz/` only.

use std::ffi::OsString;

use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::{Check, ReadArgs, RelayArgs, WriteArgs};
use crate::demo::lines::{FromReader, FromWriter};
use crate::sizes;
use crate::y4m::Header;

/// A tool under one of the older names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `zerobuffer-test-writer`.
    Writer,
    /// `zerobuffer-test-reader`.
    Reader,
    /// `zerobuffer-test-relay`.
    Relay,
}

/// Whether a tool would start with these words: they are parsed and checked. What it says to others is no empty line.
pub fn tool_understands(tool: Tool, words: impl Iterator<Item = OsString>) -> bool {
    let words: Vec<OsString> = std::iter::once(OsString::from("tool")).chain(words).collect();
    let verdict = match tool {
        Tool::Writer => parse::<WriteArgs>(words),
        Tool::Reader => parse::<ReadArgs>(words),
        Tool::Relay => parse::<RelayArgs>(words),
    };
    match &verdict {
        Ok(()) => true,
        Err(problem) => {
            assert!(!problem.trim().is_empty());
            false
        }
    }
}

fn parse<A: Args + Check>(words: Vec<OsString>) -> Result<(), String> {
    let matches = A::augment_args(clap::Command::new("tool")).try_get_matches_from(words);
    let args = matches.and_then(|matches| A::from_arg_matches(&matches));
    args.map_err(|error| error.render().to_string()).and_then(|args| args.check())
}

/// What is read as a size is not cut off.
pub fn size(text: &str) {
    let bytes = sizes::parse(text);
    if let Ok(bytes) = bytes {
        assert!(!sizes::show(bytes as u64).is_empty());
        let written_out = text.replace('_', "").contains(&usize::MAX.to_string());
        assert!(bytes != usize::MAX || written_out, "{text:?} is cut off rather than refused");
    }
}

/// Parses a line that one of the command's processes sends another.
pub fn line(text: &str) {
    survives_a_round::<FromWriter>(text);
    survives_a_round::<FromReader>(text);
}

/// Reads a YUV4MPEG2 stream as far as it is one: what is understood can be told again, and what is not is told in words
/// that command no terminal.
pub fn y4m(mut stream: &[u8]) {
    let mut line = || {
        let end = stream.iter().position(|&byte| byte == b'\n')?;
        let (line, rest) = stream.split_at(end);
        stream = &rest[1..];
        Some(line)
    };
    let Some(first) = line() else { return };
    let header = match Header::parse(first) {
        Ok(header) => header,
        Err(problem) => return assert!(!problem.contains(char::is_control)),
    };
    assert!(header.frame_bytes() > 0);
    assert_eq!(Header::parse(header.line().as_bytes()).as_ref(), Ok(&header));
    while let Some(between) = line() {
        if let Err(problem) = header.between(between) {
            assert!(!problem.contains(char::is_control));
        }
    }
}

/// What is understood can be said again, and is understood to be the same.
fn survives_a_round<T: Serialize + DeserializeOwned>(text: &str) {
    let Ok(understood) = serde_json::from_str::<T>(text) else { return };
    // What cannot be said in JSON is a path that is no text, or a number that is none: neither comes from JSON.
    let said = serde_json::to_string(&understood).expect("it came from JSON");
    let again: T = serde_json::from_str(&said).expect("it was just said");
    assert_eq!(serde_json::to_string(&again).expect("as before"), said);
}
