//! `tap`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Check, GraceArgs, PlaceArgs};

#[derive(Debug, Args)]
pub(crate) struct TapArgs {
    /// Name of the buffer to look at; waited for if there is none yet
    #[arg(value_name = "BUFFER")]
    pub(crate) name: String,
    /// Number of frames; 0: all there will be
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 0)]
    frames: u64,
    /// Where to begin
    #[arg(long, value_enum, default_value_t = From::Newest)]
    pub(crate) from: From,
    /// At most one frame in so many milliseconds: the newest there is then, as for a preview
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    every: Option<u64>,
    /// Give up when the buffer, or a frame, takes longer than this; 0: never
    #[arg(long, value_name = "MS", default_value_t = 0)]
    timeout_ms: u64,
    /// Stay when the writer leaves or dies, and look at what its successor writes
    #[arg(long)]
    pub(crate) follow: bool,

    /// Frames go to stdout, as they are; a summary goes to stderr
    #[arg(long)]
    pub(crate) stdout: bool,
    /// With --stdout: precede every frame by its size, as 4 bytes little-endian, so that its reader can tell where
    /// frames end
    #[arg(long, requires = "stdout")]
    pub(crate) framed: bool,
    /// One JSON object a line for each frame
    #[arg(long, conflicts_with = "stdout")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) grace: GraceArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

/// Where a tap begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum From {
    /// With the oldest frame that is still there
    Oldest,
    /// With the next one to come
    Newest,
}

impl Check for TapArgs {
    fn check(&self) -> Result<(), String> {
        if self.every.is_some() && self.from == From::Oldest {
            return Err("--every shows the newest frames: leave --from oldest out".to_owned());
        }
        Ok(())
    }
}

impl TapArgs {
    /// How many frames, if there is a limit.
    pub(crate) fn frames(&self) -> u64 {
        if self.frames == 0 { u64::MAX } else { self.frames }
    }

    pub(crate) fn every(&self) -> Option<Duration> {
        self.every.map(Duration::from_millis)
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        (self.timeout_ms > 0).then(|| Duration::from_millis(self.timeout_ms))
    }
}
