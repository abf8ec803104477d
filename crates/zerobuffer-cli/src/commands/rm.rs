//! `zerobuffer rm`.

use std::process::ExitCode;

use crate::args::RmArgs;
use crate::exit::say;
use crate::sizes;

pub(crate) fn run(args: &RmArgs) -> ExitCode {
    let dir = args.place.dir();
    let mut code = ExitCode::SUCCESS;
    for name in &args.names {
        match zerobuffer::inspect::remove(name, &dir, args.force) {
            Ok(removed) => {
                let unread = match removed.undelivered_frames {
                    0 => String::new(),
                    n => format!(" and {n} unread frames"),
                };
                say(format_args!("removed `{name}`: {}{unread}", sizes::show(removed.file_bytes)));
            }
            Err(error) => {
                say(error);
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
