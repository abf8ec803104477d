//! What can be wrong with a description, and with a frame.

use std::fmt::{self, Display, Formatter};

use crate::text::Shown;

/// Why a description is none, or says less than it should.
///
/// Texts from outside are escaped and cut when the error is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// Longer than what is looked at: [`MAX_TEXT_BYTES`](crate::MAX_TEXT_BYTES).
    TooLong {
        /// Bytes that there are.
        found: u64,
    },
    /// Not written as caps are.
    Syntax {
        /// Byte of the text, from 0.
        at: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// The caps leave a choice (a list, a range, alternatives, `ANY`), where a stream has made it.
    NotFixed {
        /// The field or the whole, and what it is: "`width` is a range".
        what: String,
    },
    /// A field is not there.
    Missing {
        /// The media type, such as `video/x-raw`, or `tensor`.
        media: String,
        /// Name of the field.
        field: &'static str,
    },
    /// A field says what it cannot say.
    Invalid {
        /// Name of the field.
        field: String,
        /// What it says.
        found: String,
        /// What it may say.
        expected: &'static str,
    },
    /// Right, perhaps, but not known to this crate, so that sizes are not, either.
    Unsupported {
        /// Name of the field.
        field: &'static str,
        /// What it says.
        found: String,
    },
    /// A frame would have more bytes than fit in 64 bits.
    TooLarge,
}

impl FormatError {
    pub(crate) fn missing(media: &str, field: &'static str) -> Self {
        Self::Missing { media: media.to_owned(), field }
    }

    pub(crate) fn invalid(field: &str, found: impl Into<String>, expected: &'static str) -> Self {
        Self::Invalid { field: field.to_owned(), found: found.into(), expected }
    }
}

impl std::error::Error for FormatError {}

impl Display for FormatError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { found } => {
                let limit = crate::MAX_TEXT_BYTES;
                write!(f, "{found} bytes: descriptions have at most {limit}")
            }
            Self::Syntax { at, expected } => write!(f, "{expected} expected at byte {at}"),
            Self::NotFixed { what } => {
                write!(f, "not fixed caps: {}; a stream has one value for each field", Shown(what))
            }
            Self::Missing { media, field } => {
                write!(f, "{} without `{field}`", Shown(media))
            }
            Self::Invalid { field, found, expected } => {
                write!(f, "`{}` is `{}`, but should be {expected}", Shown(field), Shown(found))
            }
            Self::Unsupported { field, found } => {
                write!(f, "{field} `{}` is not known here, nor is the size of frames", Shown(found))
            }
            Self::TooLarge => f.write_str("a frame would have more bytes than fit in 64 bits"),
        }
    }
}

/// A frame whose length contradicts the metadata: one of the two is wrong, or the frame has something before or
/// behind the payload that the metadata does not mention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("does not fit: {}{expected} bytes expected, {found} found", if *.multiple { "a multiple of " } else { "" })]
#[non_exhaustive]
pub struct DoesNotFit {
    /// Bytes that a frame has by the metadata.
    pub expected: u64,
    /// Bytes that the frame at hand has.
    pub found: u64,
    /// Whether a frame may also have a multiple of `expected`, as with audio.
    pub multiple: bool,
}
