//! Further commands: programs named `zerobuffer-NAME`, beside this one or on the PATH, as `git` and `cargo` have them.

use std::collections::BTreeSet;
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::CommandFactory as _;
use zerobuffer::printable;
use zerobuffer_terminal::messages::{say, tell};

use crate::args::Cli;
use crate::exit::BadArguments;

const PREFIX: &str = "zerobuffer-";
/// Programs under the names of the deployed tools are no commands.
const TOOLS: &str = "test-";
/// Commands that come with packages of their own.
const KNOWN: [(&str, &str); 1] = [("bench", "zerobuffer-bench")];

/// Becomes the program for `words`, the first of which is its name. Returns if that cannot be.
pub(crate) fn run(words: &[OsString]) -> ExitCode {
    let Some((name, arguments)) = words.split_first() else { return BadArguments::Other.code() };
    let Some(program) = find(name) else { return unknown(name) };
    let error = Command::new(&program).args(arguments).exec();
    say(format_args!("{} cannot be run: {error}", program.display()));
    ExitCode::FAILURE
}

/// The program of that name: beside this one first, for those belong together.
fn find(name: &OsStr) -> Option<PathBuf> {
    // A name that leads elsewhere is no name.
    if name.is_empty() || name.as_bytes().contains(&b'/') {
        return None;
    }
    let mut file = OsString::from(PREFIX);
    file.push(name);
    places().into_iter().map(|dir| dir.join(&file)).find(|path| is_program(path))
}

/// Where programs are looked for.
fn places() -> Vec<PathBuf> {
    let own = env::current_exe().ok().and_then(|own| Some(own.parent()?.to_path_buf()));
    let path = env::var_os("PATH").unwrap_or_default();
    // An empty part means the directory that somebody happens to be in, where nobody looks for commands.
    let on_path = env::split_paths(&path).filter(|dir| dir.is_absolute()).collect::<Vec<_>>();
    own.into_iter().chain(on_path).collect()
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Says that there is no such command, what was perhaps meant, or how to get it.
fn unknown(name: &OsStr) -> ExitCode {
    if let Some((_, package)) = KNOWN.iter().find(|(known, _)| name == *known) {
        say(format_args!(
            "`{}` is a program of its own, `{package}`, which is not installed: `cargo install {package}`, or in the \
             repository `cargo build --release --package {package}`",
            printable(name)
        ));
        return BadArguments::Other.code();
    }
    // What clap says where no further commands are allowed, with what is nearest.
    let own =
        clap::Command::new("zerobuffer").subcommands(Cli::command().get_subcommands().cloned());
    let words = [OsStr::new("zerobuffer"), name];
    match own.try_get_matches_from(words) {
        Err(error) => tell(error.render().to_string().trim_end()),
        Ok(_) => say(format_args!("there is no command `{}`", printable(name))),
    }
    BadArguments::Other.code()
}

/// Names of the further commands that are installed.
fn installed() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for dir in places() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let file = entry.file_name();
            let name = file.to_str().and_then(|file| file.strip_prefix(PREFIX));
            let name = name.filter(|name| !name.starts_with(TOOLS) && !name.contains('.'));
            if let Some(name) = name.filter(|_| is_program(&entry.path())) {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

/// What `zerobuffer help` says of them.
pub(crate) fn help() -> String {
    let installed = installed();
    if installed.is_empty() {
        return "Further commands: programs named `zerobuffer-NAME`, beside this one or on the PATH".to_owned();
    }
    let names: Vec<_> = installed.iter().map(|name| printable(name).to_string()).collect();
    format!("Further commands, programs of their own: {}", names.join(", "))
}
