//! Text that somebody else chose, made fit for a terminal, a log, a row of a table.

use std::ffi::OsStr;
use std::fmt::{self, Write};

/// Text that another program chose (a name, a path, metadata), as it may be printed: on one line, and with nothing
/// in it that a terminal obeys or that hides or reorders what stands beside it.
///
/// Control characters, line separators, directional and invisible ones are shown as `\n`, `\r`, `\t` or `\u{1b}`,
/// bytes that are no UTF-8 as `\xff`. Everything else stays as it is, the backslash too: this is for eyes, not for
/// reading back. Made by [`printable`].
///
/// ```
/// assert_eq!(zerobuffer::printable("cam\x1b[2J\nforged").to_string(), r"cam\u{1b}[2J\nforged");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(&'a OsStr);

/// Shows `text` (a string, or a path) as [`Printable`] says. Every message of this library does so with what others
/// chose.
pub fn printable<T: AsRef<OsStr> + ?Sized>(text: &T) -> Printable<'_> {
    Printable(text.as_ref())
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.as_encoded_bytes().utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\n' | '\r' | '\t' => write!(f, "{}", c.escape_default())?,
                    c if is_obeyed(c) => write!(f, "{}", c.escape_unicode())?,
                    c => f.write_char(c)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Whether a terminal or a viewer does something with it other than drawing it.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_spelled_out() {
        for (text, shown) in [
            ("Kamera-Süd 1 \\ 画", "Kamera-Süd 1 \\ 画"),
            ("a\x1b[31mb", r"a\u{1b}[31mb"),
            ("a\nb\rc\td", r"a\nb\rc\td"),
            ("\u{9b}2J", r"\u{9b}2J"),
            ("x\u{202e}y\u{2028}z\u{7f}", r"x\u{202e}y\u{2028}z\u{7f}"),
        ] {
            assert_eq!(printable(text).to_string(), shown);
        }
        let bytes = OsStr::from_bytes(b"d\xff\x1b/x");
        assert_eq!(printable(bytes).to_string(), r"d\xff\u{1b}/x");
    }

    #[test]
    fn no_text_gets_through_that_a_terminal_obeys() {
        proptest::proptest!(|(bytes: Vec<u8>)| {
            let shown = printable(OsStr::from_bytes(&bytes)).to_string();
            proptest::prop_assert!(!shown.chars().any(is_obeyed), "{shown:?}");
        });
    }
}
