//! `zerobuffer-test-relay`: the relay of the cross-platform tests, with the defaults and exit codes of that contract.

use std::process::ExitCode;

fn main() -> ExitCode {
    zerobuffer_cli::test_relay()
}
