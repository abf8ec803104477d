//! Text for people: what came from outside made harmless, numbers that can be read.

use std::fmt::{self, Display, Formatter};

/// How much of a text from outside a message shows.
const SHOWN_CHARS: usize = 80;

/// A text from outside, for a terminal: control characters and the like escaped, cut after 80 characters.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        for c in chars.by_ref().take(SHOWN_CHARS) {
            match c {
                '"' | '\'' => write!(f, "{c}")?,
                _ => write!(f, "{}", c.escape_debug())?,
            }
        }
        if chars.next().is_some() { f.write_str("…") } else { Ok(()) }
    }
}

/// A number with a comma between thousands.
pub(crate) struct Grouped(pub(crate) u64);

impl Display for Grouped {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (number, shown) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (3_110_400, "3,110,400"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(Grouped(number).to_string(), shown);
        }
    }

    #[test]
    fn what_steers_a_terminal_is_escaped_and_what_is_long_is_cut() {
        assert_eq!(Shown("\x1b[31mred\u{202e}\n").to_string(), "\\u{1b}[31mred\\u{202e}\\n");
        assert_eq!(Shown("it's ü").to_string(), "it's ü");
        assert_eq!(Shown(&"x".repeat(80)).to_string(), "x".repeat(80));
        assert_eq!(Shown(&"x".repeat(81)).to_string(), format!("{}…", "x".repeat(80)));
    }
}
