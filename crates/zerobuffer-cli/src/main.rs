//! `zerobuffer`: move, watch and measure frames between processes.

use std::process::ExitCode;

fn main() -> ExitCode {
    zerobuffer_cli::zerobuffer()
}
