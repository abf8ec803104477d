//! `zerobuffer-test-reader`: the reader of the cross-platform tests, with the defaults and exit codes of that contract.

use std::process::ExitCode;

fn main() -> ExitCode {
    zerobuffer_cli::test_reader()
}
