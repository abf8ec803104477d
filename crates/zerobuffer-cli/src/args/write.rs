//! `write`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use zerobuffer_format::{FormatError, StreamInfo, Video};

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
    /// [default: 1024; with --video and --caps: that of a picture]
    #[arg(short, long, value_name = "BYTES", value_parser = sizes::parse)]
    size: Option<usize>,
    /// Metadata, as text
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) metadata: Option<String>,
    /// Metadata from a file, unless --metadata gives some
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,
    /// Frames are raw pictures: WIDTHxHEIGHT@FPS:FORMAT, such as 1920x1080@30:I420. Becomes the metadata, and says how
    /// large each frame is
    #[arg(long, value_name = "PICTURES", value_parser = video, conflicts_with_all = ["metadata", "metadata_file", "y4m"])]
    video: Option<StreamInfo>,
    /// What frames are, as GStreamer caps: 'video/x-raw, format=I420, width=1920, height=1080, framerate=30/1'. Becomes
    /// the metadata; of raw pictures, says how large each frame is
    #[arg(long, value_name = "CAPS", value_parser = caps, conflicts_with_all = ["video", "metadata", "metadata_file", "y4m"])]
    caps: Option<StreamInfo>,
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

fn video(text: &str) -> Result<StreamInfo, FormatError> {
    Ok(text.parse::<Video>()?.into())
}

fn caps(text: &str) -> Result<StreamInfo, FormatError> {
    StreamInfo::from_caps(text)
}

impl Check for WriteArgs {
    fn check(&self) -> Result<(), String> {
        let is_told = self.frame_size.is_some() || self.described_bytes().is_some();
        if self.stdin && !self.framed && !self.y4m && !is_told {
            return Err(
                "--stdin needs to know where frames end: add --y4m, --framed, --video, or --frame-size BYTES"
                    .to_owned(),
            );
        }
        for (name, size) in [("--size", self.size), ("--frame-size", self.frame_size)] {
            if let (Some(size), Some(told)) = (size, self.described_bytes())
                && size as u64 != told
            {
                return Err(format!("{name} {size}: a picture of that kind has {told} bytes"));
            }
        }
        if self.frame_size == Some(0) {
            return Err("--frame-size 0: a frame needs at least one byte".to_owned());
        }
        if self.size == Some(0) && !self.stdin {
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
        let told = self.described_bytes().and_then(|bytes| usize::try_from(bytes).ok());
        if self.stdin {
            self.frame_size.or(told).unwrap_or(0)
        } else {
            self.size.or(told).unwrap_or(1024)
        }
    }

    /// What frames are, if that was said.
    pub(crate) fn description(&self) -> Option<&StreamInfo> {
        self.video.as_ref().or(self.caps.as_ref())
    }

    /// Bytes of every frame, by what frames are.
    fn described_bytes(&self) -> Option<u64> {
        self.description()?.frame_bytes()
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
