//! From text to caps. Nothing here calls itself, so that no text is nested too deeply.

use super::{Caps, Field, MAX_FIELDS, Value, is_plain_byte, push_quoted};
use crate::error::FormatError;
use crate::framerate::Framerate;

/// One structure, and nothing behind it but a `;`.
pub(super) fn caps(text: &str) -> Result<Caps, FormatError> {
    match text.trim_ascii() {
        "" | "EMPTY" | "NONE" => return Err(not_fixed("they are empty")),
        "ANY" => return Err(not_fixed("`ANY` is every format")),
        _ => {}
    }
    let mut cursor = Cursor { text, at: 0 };
    cursor.skip_spaces();
    let start = cursor.at;
    let media = cursor.plain();
    let written_well = media.starts_with(|c: char| c.is_ascii_alphabetic())
        && media.split_once('/').is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty());
    if !written_well {
        return Err(FormatError::Syntax {
            at: start,
            expected: "a media type such as video/x-raw",
        });
    }
    let mut caps = Caps::new(media);
    if cursor.eat(b'(') {
        caps.features = features(&mut cursor)?;
    }
    loop {
        match cursor.peek_after_spaces() {
            None => return Ok(caps),
            Some(b';') => {
                cursor.at += 1;
                return match cursor.peek_after_spaces() {
                    None => Ok(caps),
                    Some(_) => Err(not_fixed("there are alternatives, divided by `;`")),
                };
            }
            Some(_) => cursor.expect(b',', "`,` or the end")?,
        }
        // A comma at the end is nothing.
        if matches!(cursor.peek_after_spaces(), None | Some(b';')) {
            continue;
        }
        if caps.fields.len() == MAX_FIELDS {
            return Err(FormatError::Syntax {
                at: cursor.at,
                expected: "the end after 256 fields",
            });
        }
        let field = field(&mut cursor)?;
        caps.put(field);
    }
}

fn not_fixed(what: impl Into<String>) -> FormatError {
    FormatError::NotFixed { what: what.into() }
}

/// What is between the parentheses behind the media type; the opening one is eaten.
fn features(cursor: &mut Cursor<'_>) -> Result<Vec<String>, FormatError> {
    let mut features = Vec::new();
    loop {
        cursor.skip_spaces();
        match cursor.plain() {
            "" => return Err(cursor.here("a caps feature such as memory:SystemMemory")),
            "ANY" => return Err(not_fixed("the features are `ANY`")),
            feature if features.len() < MAX_FIELDS => features.push(feature.to_owned()),
            _ => return Err(cursor.here("no more than 256 features")),
        }
        if cursor.peek_after_spaces() != Some(b')') {
            cursor.expect(b',', "`,` or `)` in the features")?;
            continue;
        }
        cursor.at += 1;
        // What everything has that names no feature, and is shown without.
        let ordinary = features == ["memory:SystemMemory"];
        return Ok(if ordinary { Vec::new() } else { features });
    }
}

/// `name=value`, `name=(type)value`.
fn field(cursor: &mut Cursor<'_>) -> Result<Field, FormatError> {
    let name = cursor.plain();
    if name.is_empty() {
        return Err(cursor.here("the name of a field"));
    }
    cursor.expect(b'=', "`=` and a value")?;
    cursor.skip_spaces();
    let mut kind = None;
    if cursor.eat(b'(') {
        cursor.skip_spaces();
        kind = Some(cursor.plain()).filter(|kind| !kind.is_empty());
        if kind.is_none() {
            return Err(cursor.here("the name of a type"));
        }
        cursor.expect(b')', "`)` behind the name of the type")?;
        cursor.skip_spaces();
    }
    let kind = kind.map(|kind| match kind {
        "i" | "gint" => "int",
        "s" | "str" | "gchararray" => "string",
        "b" | "bool" | "gboolean" => "boolean",
        "GstFraction" => "fraction",
        "d" | "gdouble" => "double",
        "f" | "gfloat" => "float",
        other => other,
    });
    let (kind, value) = match cursor.peek() {
        Some(b'[') => return Err(not_fixed(format!("`{name}` is a range"))),
        Some(b'{') => return Err(not_fixed(format!("`{name}` is a list"))),
        Some(b'<') => (kind.unwrap_or(""), Value::Array(array(cursor, name)?)),
        byte => {
            let text = match byte {
                Some(b'"') => quoted(cursor)?,
                _ => match cursor.plain() {
                    "" => return Err(cursor.here("a value")),
                    text => text.to_owned(),
                },
            };
            match kind {
                None => guessed(text),
                Some(kind) => scalar(name, kind, text)?,
            }
        }
    };
    Ok(Field { name: name.to_owned(), kind: kind.to_owned(), value })
}

/// From `<` to the `>` that belongs to it, as it is written but for texts in it, which are escaped in one way.
fn array(cursor: &mut Cursor<'_>, name: &str) -> Result<String, FormatError> {
    let mut array = String::new();
    let mut depth = 0_u32;
    while let Some(byte) = cursor.peek() {
        match byte {
            b'[' => return Err(not_fixed(format!("there is a range in `{name}`"))),
            b'{' => return Err(not_fixed(format!("there is a list in `{name}`"))),
            b'"' => {
                push_quoted(&mut array, &quoted(cursor)?);
                continue;
            }
            b'<' => depth += 1,
            b'>' => depth -= 1,
            _ => {}
        }
        array.push(match byte {
            byte if byte.is_ascii_whitespace() => ' ',
            byte if byte.is_ascii_graphic() => char::from(byte),
            _ => return Err(cursor.here("quotes around this character")),
        });
        cursor.at += 1;
        if depth == 0 {
            return Ok(array);
        }
    }
    Err(cursor.here("`>` at the end of the array"))
}

/// A text between quotes, unescaped: `\303` is a byte, `\` before anything else stands for that.
fn quoted(cursor: &mut Cursor<'_>) -> Result<String, FormatError> {
    let start = cursor.at;
    cursor.at += 1;
    let mut bytes = Vec::new();
    loop {
        let byte = match cursor.next() {
            None => return Err(cursor.here("`\"` at the end of the text")),
            Some(b'"') => break,
            Some(b'\\') => match cursor.octal() {
                Some(byte) => byte,
                None => cursor.next().ok_or_else(|| cursor.here("something behind `\\`"))?,
            },
            Some(byte) => byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).map_err(|_| FormatError::Syntax { at: start, expected: "UTF-8" })
}

/// A value without type has the first that it can have, in this order: number, fraction, truth, text.
fn guessed(text: String) -> (&'static str, Value) {
    let (kind, text) = if let Some(number) = integer(&text) {
        ("int", number.to_string())
    } else if text.parse::<f64>().is_ok() {
        ("double", text)
    } else if let Some(fraction) = fraction(&text) {
        ("fraction", fraction)
    } else if let Some(truth) = truth(&text) {
        ("boolean", truth.to_string())
    } else {
        ("string", text)
    };
    (kind, Value::Scalar(text))
}

/// A value of a type. Those that mean something here are checked, and written in one way.
fn scalar<'k>(name: &str, kind: &'k str, text: String) -> Result<(&'k str, Value), FormatError> {
    let (checked, expected) = match kind {
        "int" => (integer(&text).map(|number| number.to_string()), "a number of 32 bits"),
        "fraction" => (fraction(&text), "a fraction such as 30/1"),
        "boolean" => (truth(&text).map(|truth| truth.to_string()), "true or false"),
        _ => return Ok((kind, Value::Scalar(text))),
    };
    match checked {
        Some(checked) => Ok((kind, Value::Scalar(checked))),
        None => Err(FormatError::invalid(name, text, expected)),
    }
}

/// Decimal, hexadecimal (`0x10`) or octal (`010`), of 32 bits with sign.
fn integer(text: &str) -> Option<i32> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (digits, radix) = match unsigned.strip_prefix("0x").or(unsigned.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if unsigned.len() > 1 && unsigned.starts_with('0') => (&unsigned[1..], 8),
        None => (unsigned, 10),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None; // No second sign.
    }
    let size = i64::from_str_radix(digits, radix).ok()?;
    i32::try_from(if text.starts_with('-') { -size } else { size }).ok()
}

/// Reduced, the sign in front. A whole number is one, too.
fn fraction(text: &str) -> Option<String> {
    let (numerator, denominator) = text.split_once('/').unwrap_or((text, "1"));
    let (numerator, denominator): (i32, i32) = (numerator.parse().ok()?, denominator.parse().ok()?);
    let rate = Framerate::new(numerator.unsigned_abs(), denominator.unsigned_abs()).ok()?;
    let sign = if (numerator < 0) != (denominator < 0) && numerator != 0 { "-" } else { "" };
    Some(format!("{sign}{}/{}", rate.numerator(), rate.denominator()))
}

fn truth(text: &str) -> Option<bool> {
    let is = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match text {
        "1" => Some(true),
        "0" => Some(false),
        _ if is(["true", "yes", "t"]) => Some(true),
        _ if is(["false", "no", "f"]) => Some(false),
        _ => None,
    }
}

/// A place in the text; always between characters, as only ASCII is stepped over, or the whole of what is quoted.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn peek_after_spaces(&mut self) -> Option<u8> {
        self.skip_spaces();
        self.peek()
    }

    /// Steps over spaces and `byte`.
    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), FormatError> {
        self.skip_spaces();
        if self.eat(byte) { Ok(()) } else { Err(self.here(expected)) }
    }

    /// As much as needs no quotes; possibly nothing.
    fn plain(&mut self) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(is_plain_byte) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    /// Three octal digits that are a byte.
    fn octal(&mut self) -> Option<u8> {
        let digits = self.text.as_bytes().get(self.at..self.at + 3)?;
        let octal = digits.iter().all(|digit| (b'0'..=b'7').contains(digit));
        let byte = digits.iter().fold(0_u16, |byte, digit| (byte << 3) | u16::from(digit & 7));
        let byte = u8::try_from(byte).ok().filter(|_| octal)?;
        self.at += 3;
        Some(byte)
    }

    fn here(&self, expected: &'static str) -> FormatError {
        FormatError::Syntax { at: self.at, expected }
    }
}
