//! GStreamer's caps as text: a media type with fields, each with a type and a value.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use crate::error::FormatError;
use crate::framerate::Framerate;

mod parser;

/// Caps have some ten fields. So many are looked at, and no more.
const MAX_FIELDS: usize = 256;

/// What GStreamer calls fixed caps: one media type, one value for each field.
///
/// Parsed from both ways of writing them, with types (`width=(int)1920`, as GStreamer prints) and without
/// (`width=1920`, as people type). Shown with types, whole numbers in decimal and fractions reduced, in the way that
/// `gst_caps_to_string` of GStreamer 1.22 prints. Arrays, and values of other types, stay as they were written.
///
/// ```
/// use zerobuffer_format::Caps;
///
/// let caps: Caps = "video/x-raw,format=I420,width=1920,height=1080,framerate=60/2".parse()?;
/// assert_eq!(caps.media(), "video/x-raw");
/// assert_eq!(caps.get("format"), Some("I420"));
/// assert_eq!(
///     caps.to_string(),
///     "video/x-raw, format=(string)I420, width=(int)1920, height=(int)1080, framerate=(fraction)30/1",
/// );
/// let choice = "video/x-raw,width=[1,4096]".parse::<Caps>().expect_err("caps of an element, not of a stream");
/// assert!(choice.to_string().contains("`width` is a range"));
/// # Ok::<(), zerobuffer_format::FormatError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    media: String,
    features: Vec<String>,
    fields: Vec<Field>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    name: String,
    /// The type; empty for an array that has none.
    kind: String,
    value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    /// Unescaped.
    Scalar(String),
    /// From `<` to `>`, as it was written; texts in it escaped as in scalars.
    Array(String),
}

impl Caps {
    pub(crate) fn new(media: &str) -> Self {
        Self { media: media.to_owned(), features: Vec::new(), fields: Vec::new() }
    }

    /// Sets a field to a value of the type `kind`.
    pub(crate) fn set(&mut self, name: &str, kind: &str, value: &str) {
        let value = Value::Scalar(value.to_owned());
        self.put(Field { name: name.to_owned(), kind: kind.to_owned(), value });
    }

    fn put(&mut self, field: Field) {
        match self.fields.iter_mut().find(|there| there.name == field.name) {
            Some(there) => *there = field,
            None => self.fields.push(field),
        }
    }

    /// The media type, such as `video/x-raw`.
    pub fn media(&self) -> &str {
        &self.media
    }

    /// The caps features, such as `memory:DMABuf`. Bytes in ordinary memory have none.
    pub fn features(&self) -> &[String] {
        &self.features
    }

    /// The value of a field as text, without its type, quotes and escapes, and with whatever characters it has; of an
    /// array as it was written: `<1,3>`.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.field(field).map(|field| match &field.value {
            Value::Scalar(text) | Value::Array(text) => text.as_str(),
        })
    }

    fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The value of a field if it has that type, `None` without the field.
    fn typed(
        &self,
        name: &str,
        kind: &str,
        expected: &'static str,
    ) -> Result<Option<&str>, FormatError> {
        match self.field(name) {
            None => Ok(None),
            Some(Field { kind: there, value: Value::Scalar(text), .. }) if there == kind => {
                Ok(Some(text))
            }
            Some(other) => Err(FormatError::invalid(name, other.shown(), expected)),
        }
    }

    /// A text that has to be there.
    pub(crate) fn required(&self, name: &'static str) -> Result<&str, FormatError> {
        let text = self.typed(name, "string", "a text")?;
        text.ok_or_else(|| FormatError::missing(&self.media, name))
    }

    /// A number from 1 on that has to be there.
    pub(crate) fn positive(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<u32, FormatError> {
        let digits = self.typed(name, "int", expected)?;
        let digits = digits.ok_or_else(|| FormatError::missing(&self.media, name))?;
        let number = digits.parse().ok().filter(|&number| number > 0);
        number.ok_or_else(|| FormatError::invalid(name, digits, expected))
    }

    /// A fraction that may be there.
    pub(crate) fn fraction(&self, name: &'static str) -> Result<Option<Framerate>, FormatError> {
        let text = self.typed(name, "fraction", "a fraction such as 30/1")?;
        text.map(str::parse).transpose()
    }
}

impl Field {
    /// As in caps.
    fn shown(&self) -> String {
        let kind = match self.kind.as_str() {
            "" => String::new(),
            kind => format!("({kind})"),
        };
        match &self.value {
            Value::Array(text) => kind + text,
            Value::Scalar(text) if is_plain(text) => kind + text,
            Value::Scalar(text) => {
                let mut quoted = kind;
                push_quoted(&mut quoted, text);
                quoted
            }
        }
    }
}

/// A text with quotes around it; what is not plain is escaped, beyond ASCII byte for byte.
fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for byte in text.bytes() {
        match byte {
            byte if is_plain_byte(byte) => out.push(char::from(byte)),
            b' '..=b'~' => out.extend(['\\', char::from(byte)]),
            byte => out.push_str(&format!("\\{byte:03o}")),
        }
    }
    out.push('"');
}

/// Whether a value needs no quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_plain_byte)
}

fn is_plain_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_+/:.".contains(&byte)
}

/// With types.
impl Display for Caps {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.media)?;
        if !self.features.is_empty() {
            write!(f, "({})", self.features.join(", "))?;
        }
        for field in &self.fields {
            write!(f, ", {}={}", field.name, field.shown())?;
        }
        Ok(())
    }
}

impl FromStr for Caps {
    type Err = FormatError;

    /// # Errors
    ///
    /// [`TooLong`](FormatError::TooLong), [`Syntax`](FormatError::Syntax), [`NotFixed`](FormatError::NotFixed), or
    /// [`Invalid`](FormatError::Invalid) for a value that is not of its type.
    fn from_str(text: &str) -> Result<Self, FormatError> {
        if text.len() > crate::MAX_TEXT_BYTES {
            return Err(FormatError::TooLong { found: text.len() as u64 });
        }
        parser::caps(text)
    }
}
