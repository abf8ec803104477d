//! Lines for the person at the terminal, or for the log.
//!
//! Work goes on when they cannot be written: the collector went away, its disk is full, or nobody reads the pipe.
//! They are lost then, and nothing waits for them longer than a moment. `println!` and its like would panic, so that
//! the lint denies them; what a command is asked to print goes through [`output`](crate::output), and is an error
//! when it cannot be written.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use zerobuffer::printable;

use crate::way::{SLICE, Way};

/// Whether the last message was lost, because nobody read: the next one is not waited for.
static STUCK: AtomicBool = AtomicBool::new(false);

/// A line in the command's name. Whatever is in it stays on its line.
pub fn say(message: impl Display) {
    let message = message.to_string();
    tell(format_args!("zerobuffer: {}", printable(&message)));
}

/// Lines as they are, on stderr; nothing in them is another's choice.
pub fn tell(lines: impl Display) {
    show(&format!("{lines}\n"));
}

/// The same, without an end of line: for a place on the terminal that is written over and over.
pub fn show(text: &str) {
    let way = Way::careful(rustix::stdio::stderr());
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let patience = if STUCK.load(Ordering::Relaxed) { Duration::ZERO } else { SLICE };
        match way.write(rest, patience) {
            Ok(Some(written)) if written > 0 => rest = &rest[written..],
            // Not now, or never: lost either way.
            lost => {
                STUCK.store(matches!(lost, Ok(None)), Ordering::Relaxed);
                return;
            }
        }
    }
    STUCK.store(false, Ordering::Relaxed);
}
