//! What was asked for, on its way out: frames, tables, reports.
//!
//! Whatever stdout is (a pipe, a socket, a terminal, non-blocking because its other owners want it so), all of it is
//! written, or an error says why not; and a signal ends the wait for somebody who does not read. A blocked `write`
//! would not see one, since the handlers restart system calls: so a pipe is opened a second time, non-blocking,
//! because that flag belongs to the open file and must not be changed under the program at the other end of ours.
//! A socket is told so with each call. Where neither can be, as with a pipe of another user, `poll` says when there is
//! room, and no more is written than fits then.

use std::io::{self, Write};
use std::time::Duration;

use crate::signals;
use crate::way::{SLICE, Way};

/// stdout or stderr, for what must arrive.
#[derive(Debug)]
pub struct Output {
    way: Way,
    what: &'static str,
}

impl Output {
    /// Where the answer goes.
    pub fn stdout() -> Self {
        let paths = ["/proc/self/fd/1", "/dev/stdout", "/dev/fd/1"];
        Self { way: Way::of(rustix::stdio::stdout(), &paths), what: "stdout" }
    }

    /// Where what is said beside the answer goes.
    pub fn stderr() -> Self {
        Self { way: Way::careful(rustix::stdio::stderr()), what: "stderr" }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            let patience = if signals::insisting() { Duration::ZERO } else { SLICE };
            if let Some(written) = self.way.write(bytes, patience)? {
                signals::moved();
                return Ok(written);
            }
            if patience.is_zero() {
                let message =
                    format!("stopped by {} while nobody read {}", signals::name(), self.what);
                return Err(io::Error::other(message));
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints `text`, all of it. Whoever reads it and went away (`| head`) has seen enough, and that is no error.
pub fn print(text: &str) -> io::Result<()> {
    match Output::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| io::Error::new(error.kind(), format!("stdout: {error}"))),
    }
}

/// JSON for people and programs: nothing in it is obeyed by a terminal, and it means the same.
pub fn json(value: &impl serde::Serialize) -> serde_json::Result<String> {
    Ok(escape_json(&serde_json::to_string_pretty(value)?))
}

/// Escapes within JSON what JSON need not escape, and a terminal obeys.
pub fn escape_json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        // Lines are the layout; within strings JSON has none.
        if c == '\n' || c.is_ascii_graphic() || c == ' ' {
            escaped.push(c);
            continue;
        }
        let mut bytes = [0; 4];
        let shown = zerobuffer::printable(&*c.encode_utf8(&mut bytes)).to_string();
        if shown.starts_with('\\') {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::escape_json;

    proptest! {
        #[test]
        fn escaped_json_means_the_same_and_commands_no_terminal(text: String) {
            let json = serde_json::to_string_pretty(&vec![&text]).unwrap();
            let escaped = escape_json(&json);
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&escaped).unwrap(), vec![text]);
            prop_assert!(!escaped.chars().any(|c| c.is_control() && c != '\n'));
        }
    }
}
