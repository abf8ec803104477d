//! `zerobuffer completions`.

use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::{Cli, CompletionsArgs};
use crate::exit::finish;
use crate::output;

pub(crate) fn run(args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "zerobuffer", &mut script);
    let script = String::from_utf8_lossy(&script);
    finish(output::print(&script).map(|()| ExitCode::SUCCESS).map_err(Into::into))
}
