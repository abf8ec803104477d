//! `write`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Check, CreateArgs, Elastic, GraceArgs, Personality, PlaceArgs, WaitArgs};
use crate::pattern::Pattern;
use crate::sizes;

#[derive(Debug, Args)]
pub(crate) struct WriteArgs {
    /// Name of the buffer to write to
    #[arg(value_name = "BUFFER")]
    pub(crate) name: String,
    /// Number of frames [default: 1000; with --stdin: all]
    #[arg(short = 'n', long, value_name = "COUNT")]
    frames: Option<u64>,
    /// Size of each frame of the pattern
    #[arg(short, long, value_name = "BYTES", value_parser = sizes::parse, default_value = "1024")]
    size: usize,
    /// Metadata, as text
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) metadata: Option<String>,
    /// Metadata from a file, unless --metadata gives some
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,
    /// What the frames contain
    #[arg(long, value_enum, default_value_t = Pattern::Sequential)]
    pub(crate) pattern: Pattern,
    /// Pause after every frame
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay_ms: u64,
    /// Commit so many frames of the pattern at once, with one wake-up
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch_size: u32,
    /// Print a JSON report
    #[arg(long)]
    pub(crate) json_output: bool,
    /// Say more on stderr
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Frames come from stdin; the report goes to stderr. Says where frames end: --frame-size, --framed or --y4m
    #[arg(long)]
    pub(crate) stdin: bool,
    /// With --stdin: every frame has this size. Raw video has no bounds of its own: if its resolution changes (as with
    /// `ffmpeg -autoscale 0`), frames are cut in the wrong places and nobody can tell; --y4m and --framed are safe
    #[arg(long, value_name = "BYTES", value_parser = sizes::parse, requires = "stdin", conflicts_with = "framed")]
    frame_size: Option<usize>,
    /// With --stdin: every frame is preceded by its size, as 4 bytes little-endian; one of 0 bytes (a heartbeat) cannot
    /// be in a buffer: it is skipped, and counted as skipped_empty
    #[arg(long, requires = "stdin")]
    pub(crate) framed: bool,
    /// With --stdin: pictures come as a YUV4MPEG2 stream (`ffmpeg -f yuv4mpegpipe`). Its header says how large they are
    /// and becomes the metadata; a header that changes, or a picture of another size, is an error
    #[arg(long, requires = "stdin", conflicts_with_all = ["framed", "frame_size", "metadata", "metadata_file"])]
    pub(crate) y4m: bool,

    /// Create the buffer if there is none, rather than wait for a reader to do so (--stdin does, too)
    #[arg(long)]
    create: bool,
    /// When the ring is full
    #[arg(long, value_enum, default_value_t = Full::Block)]
    pub(crate) full_policy: Full,
    /// With --full-policy block: how long [default: without limit; started as zerobuffer-test-…: 5000]
    #[arg(long, value_name = "MS")]
    full_timeout_ms: Option<u64>,
    /// Give up the place of a durable reader that holds the ring back and is gone for so long, with the frames kept
    /// there [default: never; by hand: `zerobuffer forget`]
    #[arg(long, value_name = "MS")]
    forget_after_ms: Option<u64>,
    /// While readers keep up, use only as much of the ring as stays in the cache (4 MiB, or two frames)
    #[arg(long, value_enum, default_value_t = Elastic::Auto)]
    pub(crate) elastic: Elastic,
    /// Leave at once and leave the buffer for later, even if no reader ever came
    #[arg(long, conflicts_with = "linger_ms")]
    pub(crate) keep: bool,
    /// If no reader ever came: how long to wait for one before removing the buffer and what is in it
    /// [default: until Ctrl-C or SIGTERM, and a moment longer]
    #[arg(long, value_name = "MS")]
    linger_ms: Option<u64>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    #[command(flatten)]
    pub(crate) grace: GraceArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) creation: CreateArgs,
}

/// What to do when the ring is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Full {
    /// Wait for the reader
    Block,
    /// Stop with an error
    Fail,
    /// Drop the frame, count it, go on
    Drop,
}

impl Check for WriteArgs {
    fn check(&self) -> Result<(), String> {
        if self.stdin && !self.framed && !self.y4m && self.frame_size.is_none() {
            return Err(
                "--stdin needs to know where frames end: add --y4m, --framed, or --frame-size BYTES"
                    .to_owned(),
            );
        }
        if self.frame_size == Some(0) {
            return Err("--frame-size 0: a frame needs at least one byte".to_owned());
        }
        if self.size == 0 && !self.stdin {
            return Err("--size 0: a frame needs at least one byte".to_owned());
        }
        if self.create {
            self.creation.check_writers("--create")?;
        }
        self.creation.check()
    }
}

impl WriteArgs {
    /// How many frames, if there is a limit.
    pub(crate) fn frames(&self) -> Option<u64> {
        match (self.frames, self.stdin) {
            (Some(0) | None, true) => None,
            (Some(frames), _) => Some(frames),
            (None, false) => Some(1000),
        }
    }

    /// Size of every frame; 0 where only what comes in can tell.
    pub(crate) fn frame_bytes(&self) -> usize {
        if self.stdin { self.frame_size.unwrap_or(0) } else { self.size }
    }

    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    /// Whether a missing buffer is created rather than waited for; that of protocol 1.0 is its reader's to make.
    pub(crate) fn creates(&self) -> bool {
        self.create || (self.stdin && !self.creation.is_v1())
    }

    pub(crate) fn full_timeout(&self, who: Personality) -> Option<Duration> {
        match (self.full_timeout_ms, who) {
            (Some(ms), _) => Some(Duration::from_millis(ms)),
            (None, Personality::Command) => None,
            (None, Personality::Contract) => Some(Duration::from_secs(5)),
        }
    }

    pub(crate) fn forget_after(&self) -> Option<Duration> {
        self.forget_after_ms.map(Duration::from_millis)
    }

    pub(crate) fn linger(&self) -> Option<Duration> {
        self.linger_ms.map(Duration::from_millis)
    }
}
