//! Any bytes where a YUV4MPEG2 stream is expected.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| zerobuffer_cli::fuzzing::y4m(input));
