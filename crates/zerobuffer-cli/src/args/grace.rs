//! How long finishing may take.

use std::time::Duration;

use clap::Args;

#[derive(Debug, Clone, Args)]
pub(crate) struct GraceArgs {
    /// After the first Ctrl-C, SIGTERM or SIGHUP: how long to go on with what can still be finished; a second signal
    /// ends it at once [default: 5000, and 1500 while nothing moves]
    #[arg(long, value_name = "MS")]
    grace_ms: Option<u64>,
}

impl GraceArgs {
    /// What was asked for.
    pub(crate) fn grace(&self) -> Option<Duration> {
        self.grace_ms.map(Duration::from_millis)
    }
}
