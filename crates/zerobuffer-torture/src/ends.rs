//! What all the ends have in common that are killed.

mod reader;
mod relay;
mod writer;

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use zerobuffer::{BufferConfig, OpenError};

use crate::cast::{Cast, Part};

#[derive(Debug, Args)]
pub(crate) struct EndArgs {
    #[arg(long)]
    pub(crate) dir: PathBuf,
    #[arg(long)]
    pub(crate) cast: Cast,
    #[arg(long)]
    pub(crate) part: Part,
    /// Tells this process from its predecessors; also the seed of what it does.
    #[arg(long)]
    pub(crate) incarnation: u64,
    /// Frames to write or read before leaving; none: until killed.
    #[arg(long)]
    pub(crate) frames: Option<u64>,
    /// A reader: read until the writer has closed, then leave for good.
    #[arg(long)]
    pub(crate) to_the_end: bool,
    /// Core to stay on.
    #[arg(long)]
    pub(crate) core: Option<usize>,
}

/// Name of the buffer in its directory.
pub(crate) const BUFFER: &str = "tortured";
/// Name of the buffer that a relay writes.
const PASSED_ON: &str = "passed-on";
const RING: usize = 16 << 10;

/// Plays a part until its end.
pub(crate) fn play(args: &EndArgs) -> anyhow::Result<()> {
    lifeline();
    if let Some(core) = args.core {
        crate::pins::pin(core)?;
    }
    match args.part {
        Part::Writer => writer::play(args),
        Part::Relay => relay::play(args),
        _ => reader::play(args),
    }
}

fn config(cast: Cast) -> BufferConfig {
    BufferConfig::new()
        .payload_bytes(RING)
        .metadata_bytes(64)
        .reader_slots(8)
        .payload_sharing(cast == Cast::Sharing)
}

/// Tries again while others come and go.
fn open<T>(attempt: impl Fn() -> Result<T, OpenError>) -> anyhow::Result<T> {
    let mut attempts = 0;
    loop {
        match attempt() {
            Ok(open) => return Ok(open),
            // The kernel may still be about to release our dead predecessor.
            Err(OpenError::WriterConnected { .. } | OpenError::ReaderConnected { .. })
                if attempts < 2000 =>
            {
                attempts += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends this process when its parent does, so that nothing outlives a torture that was interrupted.
pub(crate) fn lifeline() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
}
