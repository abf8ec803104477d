//! `zerobuffer man`.

use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::{Cli, ManArgs};
use crate::exit::finish;
use crate::messages::say;

pub(crate) fn run(args: &ManArgs) -> ExitCode {
    finish(write(args))
}

fn write(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let failed = |error| anyhow::anyhow!("{}: {error}", zerobuffer::printable(&args.dir));
    std::fs::create_dir_all(&args.dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &args.dir).map_err(failed)?;
    say(format_args!("man pages are in {}", zerobuffer::printable(&args.dir)));
    Ok(ExitCode::SUCCESS)
}
