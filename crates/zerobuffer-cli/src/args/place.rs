//! Where buffers live.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Clone, Args)]
pub(crate) struct PlaceArgs {
    /// Directory that holds the buffers [default: /dev/shm]
    #[arg(long, value_name = "DIR", env = "ZEROBUFFER_DIR", hide_env_values = true)]
    dir: Option<PathBuf>,
}

impl PlaceArgs {
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(zerobuffer::default_dir)
    }
}
