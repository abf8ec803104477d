//! What `zerobuffer bench compare` can be asked.

use std::path::PathBuf;

use clap::Args;

/// Puts results beside each other and says what is better or worse, as far as their noise lets one say.
///
/// The first is the base, each other one is compared with it, case by case. Read are the JSON of `zerobuffer bench`,
/// of `cargo xtask compare` and of Google Benchmark, and what Criterion leaves: an estimates.json, or target/criterion,
/// with @NAME behind it for a saved baseline.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 compared; 1 a file could not be read, or the files have no case in common; \
    2 bad arguments; 3 something is worse, if --fail-on-worse asks for that."
)]
pub(crate) struct CompareArgs {
    /// Files or folders of results, the base first
    #[arg(required = true, num_args = 2.., value_name = "RESULTS")]
    pub(super) files: Vec<PathBuf>,
    /// The base measured again, best after the others: what its two runs differ by counts as noise
    #[arg(long, value_name = "RESULTS")]
    pub(super) again: Vec<PathBuf>,
    /// Only cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub(super) only: Option<String>,
    /// End with exit code 3 if a case is worse than in the base
    #[arg(long)]
    pub(super) fail_on_worse: bool,
    /// Print JSON instead of tables
    #[arg(long)]
    pub(super) json: bool,
}
