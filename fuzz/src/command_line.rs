//! Any words after the name of the command.
#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let words = input.split(|&byte| byte == b'\n' || byte == 0);
    zerobuffer_cli::understands(words.map(|word| OsString::from_vec(word.to_vec())));
});
