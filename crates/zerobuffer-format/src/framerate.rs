//! Frames per second, as a fraction.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::time::Duration;

use crate::error::FormatError;

const EXPECTED: &str = "frames per second, such as 30, 30000/1001 or 29.97";

/// The names that people give to the rates of television, which are no decimal numbers.
const NTSC: [(&str, u32); 5] =
    [("23.976", 24), ("23.98", 24), ("29.97", 30), ("59.94", 60), ("119.88", 120)];

/// Frames per second, as a reduced fraction. The default is [`VARIABLE`](Self::VARIABLE).
///
/// Parsed from `30`, `30000/1001` and decimals; `29.97` and its kind are read as 30000/1001.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Framerate {
    numerator: u32,
    denominator: u32,
}

impl Framerate {
    /// No constant rate, or one that nobody told: `0/1` in caps.
    pub const VARIABLE: Self = Self { numerator: 0, denominator: 1 };

    /// So many frames a second.
    pub const fn fps(frames: u16) -> Self {
        Self { numerator: frames as u32, denominator: 1 }
    }

    /// A fraction, which is reduced. 0 is [`VARIABLE`](Self::VARIABLE).
    ///
    /// # Errors
    ///
    /// `denominator` is 0, or the reduced fraction needs more than 31 bits.
    pub fn new(numerator: u32, denominator: u32) -> Result<Self, FormatError> {
        let invalid =
            || FormatError::invalid("framerate", format!("{numerator}/{denominator}"), EXPECTED);
        if denominator == 0 {
            return Err(invalid());
        }
        let divisor = greatest_common_divisor(numerator, denominator);
        let rate = Self { numerator: numerator / divisor, denominator: denominator / divisor };
        let fits = |number: u32| i32::try_from(number).is_ok();
        if fits(rate.numerator) && fits(rate.denominator) { Ok(rate) } else { Err(invalid()) }
    }

    /// Numerator of the reduced fraction.
    pub const fn numerator(self) -> u32 {
        self.numerator
    }

    /// Denominator of the reduced fraction; never 0.
    pub const fn denominator(self) -> u32 {
        self.denominator
    }

    /// From one frame to the next, to the nanosecond below; `None` with a variable rate.
    ///
    /// ```
    /// use std::time::Duration;
    /// use zerobuffer_format::Framerate;
    ///
    /// assert_eq!(Framerate::fps(25).interval(), Some(Duration::from_millis(40)));
    /// assert_eq!(Framerate::VARIABLE.interval(), None);
    /// ```
    pub fn interval(self) -> Option<Duration> {
        let ns = 1_000_000_000 * u64::from(self.denominator);
        ns.checked_div(u64::from(self.numerator)).map(Duration::from_nanos)
    }
}

impl Default for Framerate {
    fn default() -> Self {
        Self::VARIABLE
    }
}

/// `30 fps`, `29.97 fps`, `variable rate`.
impl Display for Framerate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if *self == Self::VARIABLE {
            return f.write_str("variable rate");
        }
        let decimal = format!("{:.3}", f64::from(self.numerator) / f64::from(self.denominator));
        match decimal.trim_end_matches('0').trim_end_matches('.') {
            "0" | "" => write!(f, "{}/{} fps", self.numerator, self.denominator),
            decimal => write!(f, "{decimal} fps"),
        }
    }
}

impl FromStr for Framerate {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let invalid = || FormatError::invalid("framerate", text, EXPECTED);
        let number = |digits: &str| match digits.bytes().all(|digit| digit.is_ascii_digit()) {
            true => digits.parse().map_err(|_| invalid()),
            false => Err(invalid()),
        };
        if let Some((_, rounded)) = NTSC.iter().find(|(name, _)| *name == text) {
            return Self::new(rounded * 1000, 1001);
        }
        if let Some((numerator, denominator)) = text.split_once('/') {
            return Self::new(number(numerator)?, number(denominator)?).map_err(|_| invalid());
        }
        match text.split_once('.') {
            None => Self::new(number(text)?, 1).map_err(|_| invalid()),
            Some((whole, part)) if (1..=3).contains(&part.len()) => {
                let scale = [10, 100, 1000][part.len() - 1];
                let whole: u32 = number(whole)?;
                let scaled =
                    whole.checked_mul(scale).and_then(|n| n.checked_add(number(part).ok()?));
                Self::new(scaled.ok_or_else(invalid)?, scale).map_err(|_| invalid())
            }
            Some(_) => Err(invalid()),
        }
    }
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Option<(u32, u32)> {
        text.parse().ok().map(|rate: Framerate| (rate.numerator, rate.denominator))
    }

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, expected) in [
            ("30", (30, 1)),
            ("60/2", (30, 1)),
            ("30000/1001", (30000, 1001)),
            ("29.97", (30000, 1001)),
            ("23.976", (24000, 1001)),
            ("12.5", (25, 2)),
            ("0.25", (1, 4)),
            ("0", (0, 1)),
            ("0/7", (0, 1)),
            ("2147483647", (2147483647, 1)),
            ("4294967294/2", (2147483647, 1)),
        ] {
            assert_eq!(rate(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "30/0",
            "0/0",
            "-30",
            "+30",
            "30/",
            "/1",
            "1/2/3",
            ".5",
            "5.",
            "1.2345",
            "x",
            "3e1",
            "2147483648",
            "4294967296",
            "4294967295.5",
            "1/2147483648",
        ] {
            assert_eq!(rate(text), None, "{text}");
        }
    }

    #[test]
    fn rates_are_shown_short() {
        let shown = |text: &str| text.parse::<Framerate>().expect(text).to_string();
        assert_eq!(shown("30"), "30 fps");
        assert_eq!(shown("100"), "100 fps");
        assert_eq!(shown("30000/1001"), "29.97 fps");
        assert_eq!(shown("1/4"), "0.25 fps");
        assert_eq!(shown("1/100000"), "1/100000 fps");
        assert_eq!(shown("0"), "variable rate");
    }

    #[test]
    fn the_longest_interval_fits() {
        let slowest = Framerate::new(1, i32::MAX as u32).expect("31 bits");
        assert_eq!(slowest.interval(), Some(Duration::from_secs(i32::MAX as u64)));
    }
}
