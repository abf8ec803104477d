//! What can be asked for on the command line, and the defaults.

mod create;
mod grace;
mod place;
mod read;
mod relay;
pub(crate) mod tap;
mod wait;
mod write;

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand};

pub(crate) use create::CreateArgs;
pub(crate) use grace::GraceArgs;
pub(crate) use place::PlaceArgs;
pub(crate) use read::ReadArgs;
pub(crate) use relay::{RelayArgs, Transform};
pub(crate) use tap::TapArgs;
pub(crate) use wait::WaitArgs;
pub(crate) use write::{Full, WriteArgs};
pub(crate) use zerobuffer_terminal::elastic::Elastic;

/// Under which name a program was started; it decides the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Personality {
    /// `zerobuffer …`: either side first, patient.
    Command,
    /// `zerobuffer-test-…`: exactly what the cross-platform contract says.
    Contract,
}

/// What clap cannot check by itself.
pub(crate) trait Check {
    fn check(&self) -> Result<(), String>;
}

/// Frames between processes on one host, through shared memory, without a copy.
#[derive(Debug, Parser)]
#[command(name = "zerobuffer", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Stream synthetic 1080p video between two processes and check every byte
    Demo(DemoArgs),
    /// Write frames into a buffer: a test pattern, or what comes in on stdin
    #[command(alias = "writer")]
    Write(Box<WriteArgs>),
    /// Read frames from a buffer: check them, or pass them on to stdout
    #[command(alias = "reader")]
    Read(Box<ReadArgs>),
    /// Move frames from one buffer to another
    Relay(Box<RelayArgs>),
    /// Look at the frames of a running buffer from outside, unnoticed: show them, or copy them to stdout
    Tap(TapArgs),
    /// List the buffers
    Ls(LsArgs),
    /// Show one buffer: who is attached and alive, positions, fill, metadata; without joining it
    Inspect(InspectArgs),
    /// Remove buffers that nobody uses; `forget` is there to give up the place of one reader only
    Rm(RmArgs),
    /// Give up the place of a durable reader, or work group, that does not come back: the frames kept there are lost, and
    /// the writer goes on
    Forget(ForgetArgs),
    /// Check whether this machine can carry frames, and say what to change
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Write man pages into a directory
    Man(ManArgs),
    #[command(hide = true, name = "demo-writer")]
    DemoWriter(DemoWriterArgs),
    #[command(hide = true, name = "demo-reader")]
    DemoReader(DemoReaderArgs),
    /// A program `zerobuffer-NAME`, with its arguments.
    #[command(external_subcommand)]
    External(Vec<OsString>),
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print again every second until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Name of the buffer
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print again every second until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// Names of the buffers
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Also remove a buffer that is in use; its users get an error
    #[arg(long, short)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    /// Name of the buffer
    #[arg(value_name = "BUFFER")]
    pub(crate) name: String,
    /// Name of the reader or the work group, as `zerobuffer inspect` shows it; `main` also stands for the first reader
    /// before any has come
    #[arg(value_name = "READER")]
    pub(crate) reader: String,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Only say what would be lost
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print a JSON report
    #[arg(long)]
    pub(crate) json_output: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Directory to write into; created if missing
    pub(crate) dir: std::path::PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How long to stream
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// Size of the picture, WIDTHxHEIGHT
    #[arg(long, default_value = "1920x1080")]
    pub(crate) size: crate::demo::picture::Size,
    /// Frames per second; 0: as fast as they go [default: 0, with --chaos 60]
    #[arg(long)]
    pub(crate) fps: Option<f64>,
    /// Kill writer and reader in turn, once a second, while frames flow
    #[arg(long)]
    pub(crate) chaos: bool,
    /// Print the summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DemoWriterArgs {
    pub(crate) name: String,
    #[arg(long)]
    pub(crate) size: crate::demo::picture::Size,
    #[arg(long)]
    pub(crate) fps: f64,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DemoReaderArgs {
    pub(crate) name: String,
    #[arg(long)]
    pub(crate) size: crate::demo::picture::Size,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}
