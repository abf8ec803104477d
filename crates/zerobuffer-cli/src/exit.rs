//! Exit codes and error messages.
//!
//! `write`, `read` and `relay` keep the codes of the cross-platform contract; every other command has 0, 1
//! (it went wrong) and 2 (bad arguments).

use std::ffi::OsStr;
use std::fmt::Display;
use std::process::ExitCode;

pub(crate) use zerobuffer_terminal::exit::finish;
pub(crate) use zerobuffer_terminal::messages::say;

/// Could not connect, create or join (contract: writer, reader; for the relay its input).
pub(crate) const OPEN_FAILED: u8 = 1;
/// Writing or reading went wrong or timed out (for the relay: its output could not be opened).
pub(crate) const TRANSFER_FAILED: u8 = 2;
/// Relay: its output could not be opened.
pub(crate) const OUTPUT_FAILED: u8 = 2;
/// Relay: frames stopped passing.
pub(crate) const RELAY_FAILED: u8 = 3;
/// Reader: a frame was not what it should be.
pub(crate) const VERIFICATION_FAILED: u8 = 4;
/// Which code bad arguments get.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BadArguments {
    Write,
    Read,
    Relay,
    Other,
}

impl BadArguments {
    /// By the word after `zerobuffer`.
    pub(crate) fn of_subcommand(word: Option<&OsStr>) -> Self {
        match word.and_then(OsStr::to_str) {
            Some("write" | "writer") => Self::Write,
            Some("read" | "reader") => Self::Read,
            Some("relay") => Self::Relay,
            _ => Self::Other,
        }
    }

    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Write | Self::Read => 3,
            Self::Relay => 4,
            Self::Other => 2,
        })
    }
}

/// Why a command ends with something other than success.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Display) -> Self {
        Self { code, message: message.to_string() }
    }
}

/// What a report that could not be written makes of an exit code: nothing is well of which nobody learns.
pub(crate) fn told(code: u8, written: std::io::Result<()>, failed: u8) -> u8 {
    match written {
        Ok(()) => code,
        Err(error) => {
            say(format_args!("the report could not be written: {error}"));
            if code == 0 { failed } else { code }
        }
    }
}
