//! `read`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Check, CreateArgs, GraceArgs, Personality, PlaceArgs, WaitArgs};
use crate::pattern::Pattern;
use crate::pipes::Framing;
use crate::sizes;

#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// Name of the buffer to read from; created if there is none
    #[arg(value_name = "BUFFER")]
    pub(crate) name: String,
    /// Number of frames; 0: all there will be [default: 1000; with --stdout: all]
    #[arg(short = 'n', long, value_name = "COUNT")]
    frames: Option<u64>,
    /// Size that every frame should have [default: any; started as zerobuffer-test-reader: 1024]
    #[arg(short, long, value_name = "BYTES", value_parser = sizes::parse)]
    size: Option<usize>,
    /// How long to wait for each frame after the first; 0: without limit
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    timeout_ms: u64,
    /// Check what the frames contain
    #[arg(long, value_enum, default_value_t = Verify::None)]
    verify: Verify,
    /// Report the MD5 of the first 100 frames
    #[arg(long)]
    pub(crate) checksum: bool,
    /// Take up to so many frames at once, and release them at once
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// Print a JSON report
    #[arg(long)]
    pub(crate) json_output: bool,
    /// Say more on stderr
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Frames go to stdout; the report goes to stderr
    #[arg(long)]
    pub(crate) stdout: bool,
    /// With --stdout: precede every frame by its size, as 4 bytes little-endian. Without it, or --y4m, the bytes of one
    /// frame follow those of another, and whoever reads them has to know their sizes
    #[arg(long, requires = "stdout")]
    pub(crate) framed: bool,
    /// With --stdout: pictures as a YUV4MPEG2 stream, under the header that `write --stdin --y4m` left as metadata; an
    /// error where the header changes
    #[arg(long, requires = "stdout", conflicts_with = "framed")]
    pub(crate) y4m: bool,
    /// Print the writer's metadata (on stderr, if stdout is taken) before the first frame, and again before the first
    /// one that is read after a change. It is printed on one line, control characters as \u{1b} and the like. Frames
    /// that were written before a change and read after it are not told apart
    #[arg(long)]
    pub(crate) print_metadata: bool,

    /// Read under this name: the buffer keeps frames for it while it is away [default: main]
    #[arg(long = "as", value_name = "NAME", conflicts_with_all = ["ephemeral", "lossy", "work_group"])]
    pub(crate) reader_name: Option<String>,
    /// Read without a name: nothing is kept once this reader is gone
    #[arg(long, conflicts_with_all = ["lossy", "work_group"])]
    pub(crate) ephemeral: bool,
    /// Read only what there is time for: the writer never waits, and what was overwritten is counted as missed
    #[arg(long, conflicts_with = "work_group")]
    pub(crate) lossy: bool,
    /// Read as a member of this work group: its members divide the frames among them
    #[arg(long, value_name = "NAME")]
    pub(crate) work_group: Option<String>,
    /// Stay when the writer leaves or dies, and read what its successor writes; when the buffer is removed, go on with one
    /// of that name, which is created if need be
    #[arg(long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    #[command(flatten)]
    pub(crate) grace: GraceArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) creation: CreateArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Verify {
    None,
    Sequential,
    Random,
    Zero,
    Ones,
}

impl Check for ReadArgs {
    fn check(&self) -> Result<(), String> {
        if self.reader_name.is_some() && self.creation.is_v1() {
            return Err("--as: a buffer of protocol 1 has one reader, without a name: leave --as out, or use \
                        --protocol 2"
                .to_owned());
        }
        let foreign = [(self.lossy, "--lossy"), (self.work_group.is_some(), "--work-group")];
        if let Some((_, option)) = foreign.iter().find(|(given, _)| *given && self.creation.is_v1())
        {
            return Err(format!(
                "{option}: a buffer of protocol 1 has one reader, of every frame: leave {option} out, or use --protocol 2"
            ));
        }
        self.creation.check()
    }
}

impl ReadArgs {
    /// How many frames, if there is a limit.
    pub(crate) fn frames(&self) -> Option<u64> {
        match self.frames {
            Some(0) => None,
            Some(frames) => Some(frames),
            None if self.stdout => None,
            None => Some(1000),
        }
    }

    /// Whether fewer frames are an error: they were asked for, or the contract asks for them.
    pub(crate) fn needs_all(&self, who: Personality) -> bool {
        self.frames.is_some() || who == Personality::Contract
    }

    pub(crate) fn expected_size(&self, who: Personality) -> Option<usize> {
        match who {
            Personality::Command => self.size,
            Personality::Contract => Some(self.size.unwrap_or(1024)),
        }
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        (self.timeout_ms > 0).then(|| Duration::from_millis(self.timeout_ms))
    }

    pub(crate) fn verify(&self) -> Option<Pattern> {
        match self.verify {
            Verify::None => None,
            Verify::Sequential => Some(Pattern::Sequential),
            Verify::Random => Some(Pattern::Random),
            Verify::Zero => Some(Pattern::Zero),
            Verify::Ones => Some(Pattern::Ones),
        }
    }

    pub(crate) fn framing(&self) -> Framing {
        match (self.framed, self.y4m) {
            (true, _) => Framing::Prefix,
            (_, true) => Framing::Y4m,
            _ => Framing::Raw,
        }
    }

    pub(crate) fn batch_size(&self) -> usize {
        self.batch_size as usize
    }
}
