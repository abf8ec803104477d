//! How fast ZeroBuffer is on this machine; started as `zerobuffer bench`.

use std::process::ExitCode;

fn main() -> ExitCode {
    zerobuffer_bench::bench()
}
