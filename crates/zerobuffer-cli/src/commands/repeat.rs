//! What is shown once, or again and again.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use crate::output::Output;
use crate::signals;

/// Once, or every second until a signal.
pub(crate) fn repeat(
    watch: bool,
    show: impl Fn() -> anyhow::Result<(String, bool)>,
) -> anyhow::Result<ExitCode> {
    if watch {
        signals::install(None)?;
    }
    let mut out = Output::stdout();
    loop {
        let (text, good) = show()?;
        if watch && std::io::stdout().is_terminal() {
            // Home, then clear.
            out.write_all(b"\x1b[H\x1b[2J")?;
        }
        out.write_all(text.as_bytes())?;
        if !watch {
            return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        signals::sleep(Duration::from_secs(1));
        if signals::stopping() {
            return Ok(ExitCode::SUCCESS);
        }
    }
}
