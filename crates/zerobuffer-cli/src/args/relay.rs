//! `relay`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Check, CreateArgs, GraceArgs, PlaceArgs, WaitArgs};

#[derive(Debug, Args)]
pub(crate) struct RelayArgs {
    /// Name of the buffer to read from; created if there is none
    #[arg(value_name = "INPUT")]
    pub(crate) input: String,
    /// Name of the buffer to write to
    #[arg(value_name = "OUTPUT")]
    pub(crate) output: String,
    /// Number of frames; 0: all there will be
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 0)]
    frames: u64,
    /// Create the output buffer if there is none, rather than wait for a reader to do so
    #[arg(long)]
    pub(crate) create_output: bool,
    /// How long to wait for each frame after the first, and for room in the output; 0: without limit
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    timeout_ms: u64,
    /// Stay when the input's writer leaves or dies, or the input is removed, and pass on what comes next
    #[arg(long)]
    pub(crate) follow: bool,
    /// What to do to each frame
    #[arg(long, value_enum, default_value_t = Transform::None)]
    pub(crate) transform: Transform,
    /// Pass frames on by reference, without copying them, where both buffers were created with --share (those created
    /// here are); a transform makes a copy
    #[arg(long)]
    pub(crate) zero_copy: bool,
    /// With --transform xor: the byte
    #[arg(long, value_name = "BYTE", default_value_t = 255)]
    pub(crate) xor_key: u8,
    /// With --verbose: say so every so many frames
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) log_interval: u64,
    /// Print a JSON report
    #[arg(long)]
    pub(crate) json_output: bool,
    /// Say more on stderr
    #[arg(short, long)]
    pub(crate) verbose: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    #[command(flatten)]
    pub(crate) grace: GraceArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) creation: CreateArgs,
}

/// What a relay does to the bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transform {
    /// Nothing
    None,
    /// The bytes in reverse order
    Reverse,
    /// Every byte XOR the key
    Xor,
}

impl Transform {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Reverse => "reverse",
            Self::Xor => "xor",
        }
    }
}

impl Check for RelayArgs {
    fn check(&self) -> Result<(), String> {
        if self.input == self.output {
            return Err(
                "input and output are the same buffer: frames would go round for ever".to_owned()
            );
        }
        if self.create_output {
            self.creation.check_writers("--create-output")?;
        }
        self.creation.check()
    }
}

impl RelayArgs {
    /// How many frames, if there is a limit.
    pub(crate) fn frames(&self) -> Option<u64> {
        (self.frames > 0).then_some(self.frames)
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        (self.timeout_ms > 0).then(|| Duration::from_millis(self.timeout_ms))
    }
}
