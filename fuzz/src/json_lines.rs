//! Lines that the command's processes send each other, arguments of the tools under their older names, and sizes.
//!
//! First byte: `w`, `r` or `y`, the lines behind it are arguments of the test writer, reader or relay; otherwise the
//! whole input is a line. Each line of either is a size, too.
#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use libfuzzer_sys::fuzz_target;
use zerobuffer_cli::fuzzing::{self, Tool};

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let tool = match first {
        b'w' => Some(Tool::Writer),
        b'r' => Some(Tool::Reader),
        b'y' => Some(Tool::Relay),
        _ => None,
    };
    let lines = || rest.split(|&byte| byte == b'\n' || byte == 0);
    match tool {
        Some(tool) => {
            // What follows the first byte in its own line is nothing.
            let words = lines().skip(1).map(|word| OsString::from_vec(word.to_vec()));
            fuzzing::tool_understands(tool, words);
        }
        None => {
            if let Ok(line) = std::str::from_utf8(input) {
                fuzzing::line(line);
            }
        }
    }
    for text in lines().chain([input]).filter_map(|line| std::str::from_utf8(line).ok()) {
        fuzzing::size(text);
    }
});
