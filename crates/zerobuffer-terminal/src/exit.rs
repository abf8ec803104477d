//! How a program ends whose only failure code is 1.

use std::process::ExitCode;

use crate::messages::say;

/// The exit code of a program that did `result`; says what went wrong. A reader of our output that went away (`| head`) has seen
/// enough, and that is success.
pub fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Whoever read our output (`| head`) has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
