//! The `zerobuffer` command as a library, so that the tools under the older names share its code.
//!
//! Each program is one function that reads the process's arguments and returns its exit code. The parts:
//! `args` (what can be asked for), `commands` (one file each), `inlet` and `outlet` (an endpoint plus what a
//! command adds to it: signals, patience, saying what is waited for), `report` (the JSON).

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod commands;
mod demo;
mod exit;
mod further;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod inlet;
mod latency;
mod opening;
mod outlet;
mod pattern;
mod pipes;
mod progress;
mod report;
mod y4m;

use zerobuffer_terminal::{messages, output, signals, sizes};

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches};

use args::{Check, Cli, Command, Personality, ReadArgs, RelayArgs, WriteArgs};
use exit::BadArguments;
use messages::say;

/// The `zerobuffer` command.
pub fn zerobuffer() -> ExitCode {
    guard();
    let command = Cli::command().after_help(further::help());
    let cli = command.try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match cli {
        Ok(cli) => cli,
        Err(error) => {
            let word = std::env::args_os().nth(1);
            return usage(&error, BadArguments::of_subcommand(word.as_deref()));
        }
    };
    let own = Personality::Command;
    match cli.command {
        Command::Write(args) => {
            checked(*args, BadArguments::Write, |a| commands::write::run(&a, own))
        }
        Command::Read(args) => checked(*args, BadArguments::Read, |a| commands::read::run(&a, own)),
        Command::Relay(args) => {
            checked(*args, BadArguments::Relay, |a| commands::relay::run(&a, own))
        }
        Command::Tap(args) => checked(args, BadArguments::Other, |a| commands::tap::run(&a)),
        Command::Ls(args) => commands::ls::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Rm(args) => commands::rm::run(&args),
        Command::Forget(args) => commands::forget::run(&args),
        Command::Doctor(args) => commands::doctor::run(&args),
        Command::Demo(args) => commands::demo::run(&args),
        Command::DemoWriter(args) => demo::writer::run(&args),
        Command::DemoReader(args) => demo::reader::run(&args),
        Command::Completions(args) => commands::completions::run(&args),
        Command::Man(args) => commands::man::run(&args),
        Command::External(words) => further::run(&words),
    }
}

/// Whether `zerobuffer WORDS...` would be run: they are parsed and checked, and nothing is done.
#[doc(hidden)]
pub fn understands(words: impl IntoIterator<Item = OsString>) -> bool {
    let words = std::iter::once(OsString::from("zerobuffer")).chain(words);
    let matches = Cli::command().try_get_matches_from(words);
    let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    cli.is_ok_and(|cli| match cli.command {
        Command::Write(args) => args.check().is_ok(),
        Command::Read(args) => args.check().is_ok(),
        Command::Relay(args) => args.check().is_ok(),
        Command::Tap(args) => args.check().is_ok(),
        _ => true,
    })
}

/// A buffer that somebody cuts short ends a command with a message, not with a fault.
fn guard() {
    if let Err(error) = zerobuffer::survive_truncation() {
        say(format_args!("no guard against truncated buffers: {error}"));
    }
}

/// `zerobuffer-test-writer`: the writer of the cross-platform tests.
pub fn test_writer() -> ExitCode {
    tool::<WriteArgs>("zerobuffer-test-writer", BadArguments::Write, |args| {
        commands::write::run(&args, Personality::Contract)
    })
}

/// `zerobuffer-test-reader`: the reader of the cross-platform tests.
pub fn test_reader() -> ExitCode {
    tool::<ReadArgs>("zerobuffer-test-reader", BadArguments::Read, |args| {
        commands::read::run(&args, Personality::Contract)
    })
}

/// `zerobuffer-test-relay`: the relay of the cross-platform tests.
pub fn test_relay() -> ExitCode {
    tool::<RelayArgs>("zerobuffer-test-relay", BadArguments::Relay, |args| {
        commands::relay::run(&args, Personality::Contract)
    })
}

fn tool<A: Args + Check>(
    name: &'static str,
    bad: BadArguments,
    run: impl FnOnce(A) -> ExitCode,
) -> ExitCode {
    guard();
    let command = A::augment_args(clap::Command::new(name).version(env!("CARGO_PKG_VERSION")));
    match command.try_get_matches().and_then(|matches| A::from_arg_matches(&matches)) {
        Ok(args) => checked(args, bad, run),
        Err(error) => usage(&error, bad),
    }
}

fn checked<A: Check>(args: A, bad: BadArguments, run: impl FnOnce(A) -> ExitCode) -> ExitCode {
    match args.check() {
        Ok(()) => run(args),
        Err(problem) => {
            say(problem);
            bad.code()
        }
    }
}

/// Prints what clap found; asking for help is no error.
fn usage(error: &clap::Error, bad: BadArguments) -> ExitCode {
    match (error.kind(), error.print()) {
        // What was asked for did not arrive. Whoever reads it and went away has seen enough.
        (ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, Err(error))
            if error.kind() != std::io::ErrorKind::BrokenPipe =>
        {
            ExitCode::FAILURE
        }
        (ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, _) => ExitCode::SUCCESS,
        _ => bad.code(),
    }
}
