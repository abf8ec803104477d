//! Torture: writers and readers of one buffer are killed, at random moments and at every step of the protocol,
//! while a checker that was told of every committed frame looks for one that is lost, torn, or comes twice.
//!
//! Every process is a real one and every death is `SIGKILL`. A round has one of three casts: readers of every kind; a
//! work group; a relay that passes frames on by reference. Its processes run where the system puts them, pinned to a core each, or all pinned to
//! one. It begins without a file, kills processes some hundreds of times, lets the last ones end in peace, and must leave an empty directory.

#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
#[path = "../../../xtask/src/messages.rs"]
mod messages;

mod cast;
mod checker;
mod ends;
mod frames;
mod notes;
mod notice;
mod pins;
mod report;
mod round;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "zerobuffer-torture", about)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    torture: TortureArgs,
}

#[derive(Debug, Args)]
struct TortureArgs {
    /// How many deaths in all
    #[arg(long, default_value_t = 2000)]
    kills: u64,
    /// Deaths a round; each round begins with no buffer
    #[arg(long, default_value_t = 200)]
    kills_a_round: u64,
    /// Who plays; default: one after the other
    #[arg(long)]
    cast: Option<cast::Cast>,
    /// Seed of what is random; default: another one each time
    #[arg(long)]
    seed: Option<u64>,
    /// Directory in which each round has its own; in memory, preferably
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
}

/// What else this program does.
#[derive(Debug, Subcommand)]
enum Role {
    /// Measure how soon deaths are told to those who sleep
    Notice(notice::NoticeArgs),
    #[command(hide = true)]
    End(ends::EndArgs),
    #[command(hide = true)]
    Victim(notice::VictimArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.role {
        Some(Role::Notice(args)) => notice::run(&args),
        Some(Role::End(args)) => ends::play(&args).map(|()| true),
        Some(Role::Victim(args)) => notice::play(&args).map(|()| true),
        None => torture(&cli.torture),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("torture: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs rounds until enough have died; false if anything was found wrong.
fn torture(args: &TortureArgs) -> anyhow::Result<bool> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("torture: {} kills, seed {seed}", args.kills);
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut report = report::Report::default();
    let mut casts = cast::Cast::ALL.into_iter().cycle();
    while report.kills() < args.kills && report.is_clean() {
        let left = (args.kills - report.kills()).min(args.kills_a_round);
        let next = casts.next().unwrap_or(cast::Cast::Readers);
        round::run(&args.dir, args.cast.unwrap_or(next), left, &mut chance, &mut report)?;
    }
    println!("{report}");
    Ok(report.is_clean() && notice::check(&args.dir, seed)?)
}
