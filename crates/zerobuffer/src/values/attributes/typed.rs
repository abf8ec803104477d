//! Attributes whose meaning is the same everywhere.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use super::error::AttributesError;

/// Kinds with a meaning.
pub(super) mod kinds {
    pub(crate) const PRESENTATION: u8 = 1;
    pub(crate) const DURATION: u8 = 2;
    pub(crate) const CAPTURE: u8 = 3;
    pub(crate) const FLAGS: u8 = 4;
    pub(crate) const PLANES: u8 = 5;
    pub(crate) const TRACE: u8 = 6;
    pub(crate) const CODEC: u8 = 7;
    pub(crate) const ORIGIN: u8 = 8;
    pub(crate) const SOURCE_SEQUENCE: u8 = 9;
    pub(crate) const EXPOSURE: u8 = 10;
}

/// Refuses a value that is too short for its kind, and reserved kinds. What is longer than expected is for later
/// versions to read.
pub(super) fn check(kind: u8, value: &[u8]) -> Result<(), AttributesError> {
    let is_text =
        |from: usize| value.get(from..).is_some_and(|text| std::str::from_utf8(text).is_ok());
    let at_least = |bytes: usize| value.len() >= bytes;
    let (name, expected, is_good) = match kind {
        0 | u8::MAX => return Err(AttributesError::ReservedKind { kind }),
        kinds::PRESENTATION => ("presentation time", "9 bytes", at_least(Timestamp::BYTES)),
        kinds::DURATION => ("duration", "8 bytes", at_least(8)),
        kinds::CAPTURE => ("capture time", "9 bytes", at_least(Timestamp::BYTES)),
        kinds::FLAGS => ("flags", "4 bytes", at_least(4)),
        kinds::PLANES => ("planes", "8 bytes for each", value.len().is_multiple_of(Plane::BYTES)),
        kinds::TRACE => ("trace context", "25 bytes", at_least(TraceContext::BYTES)),
        kinds::CODEC => ("codec", "8 bytes and UTF-8 text", is_text(8)),
        kinds::ORIGIN => ("origin", "16 bytes and UTF-8 text", is_text(16)),
        kinds::SOURCE_SEQUENCE => ("number at the source", "8 bytes", at_least(8)),
        kinds::EXPOSURE => ("exposure", "8 bytes", at_least(8)),
        _ => return Ok(()),
    };
    if is_good {
        Ok(())
    } else {
        Err(AttributesError::Value { kind, name, found: value.len(), expected })
    }
}

/// What a time stamp counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Clock {
    /// The stream's own time, which begins where its source says, as in GStreamer and in files.
    Stream,
    /// The machine's monotonic clock: comparable on one machine, until it boots again.
    Monotonic,
    /// UTC since 1970, as the machine believes.
    Realtime,
    /// International atomic time since 1970, as PTP tells it.
    Tai,
    /// Another one, by number: this version does not know what it means.
    Other(u8),
}

impl Clock {
    fn number(self) -> u8 {
        match self {
            Self::Stream => 0,
            Self::Monotonic => 1,
            Self::Realtime => 2,
            Self::Tai => 3,
            Self::Other(number) => number,
        }
    }

    fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Stream,
            1 => Self::Monotonic,
            2 => Self::Realtime,
            3 => Self::Tai,
            other => Self::Other(other),
        }
    }
}

/// A moment on a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timestamp {
    /// Nanoseconds since the clock's beginning.
    pub nanos: u64,
    /// The clock.
    pub clock: Clock,
}

impl Timestamp {
    pub(super) const BYTES: usize = 9;

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.nanos.to_le_bytes());
        bytes[8] = self.clock.number();
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (nanos, rest) = bytes.split_first_chunk()?;
        let clock = Clock::from_number(*rest.first()?);
        Some(Self { nanos: u64::from_le_bytes(*nanos), clock })
    }
}

/// What is to be known before a frame is used: a set of bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FrameFlags(u32);

impl FrameFlags {
    /// Nothing special.
    pub const NONE: Self = Self(0);
    /// It can be decoded without those before it.
    pub const KEY_FRAME: Self = Self(1);
    /// Something is missing before it: decoders and clocks begin anew.
    pub const DISCONTINUITY: Self = Self(1 << 1);
    /// Its bytes may be wrong.
    pub const CORRUPTED: Self = Self(1 << 2);
    /// The last one of its stream.
    pub const LAST: Self = Self(1 << 3);

    /// The set with these bits; those without a meaning here are kept.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits of the set.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all flags of `other` are in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOr for FrameFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

/// Where a plane of a picture lies in the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Plane {
    /// First byte of the plane, from the payload's first byte on.
    pub offset: u32,
    /// Bytes from one row to the next.
    pub stride: u32,
}

impl Plane {
    pub(super) const BYTES: usize = 8;

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.offset.to_le_bytes());
        bytes[4..].copy_from_slice(&self.stride.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (offset, rest) = bytes.split_first_chunk()?;
        let stride = rest.first_chunk()?;
        Some(Self { offset: u32::from_le_bytes(*offset), stride: u32::from_le_bytes(*stride) })
    }
}

/// What a compressed payload was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Codec<'a> {
    /// Name of the compression, such as `zstd`.
    pub name: &'a str,
    /// Bytes before compression: another program's word, to be checked before memory is taken for it.
    pub original_bytes: u64,
}

/// Where a frame came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin<'a> {
    /// Name of the host.
    pub host: &'a str,
    /// When the frame was committed there, in nanoseconds of UTC since 1970.
    pub realtime_ns: u64,
    /// Its number there.
    pub sequence: u64,
}

/// The trace that a frame belongs to: the identifiers of W3C Trace Context, version 00.
///
/// ```
/// use zerobuffer::attributes::TraceContext;
///
/// let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let context: TraceContext = header.parse()?;
/// assert!(context.is_sampled());
/// assert_eq!(context.to_string(), header);
/// # Ok::<(), zerobuffer::attributes::AttributesError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The whole trace.
    pub trace_id: [u8; 16],
    /// The span that the frame was sent in.
    pub parent_id: [u8; 8],
    /// Bit 0: the trace is recorded.
    pub flags: u8,
}

impl TraceContext {
    pub(super) const BYTES: usize = 25;

    /// Whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 != 0
    }

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.trace_id);
        bytes[16..24].copy_from_slice(&self.parent_id);
        bytes[24] = self.flags;
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (trace_id, rest) = bytes.split_first_chunk()?;
        let (parent_id, rest) = rest.split_first_chunk()?;
        Some(Self { trace_id: *trace_id, parent_id: *parent_id, flags: *rest.first()? })
    }
}

/// As the header `traceparent` has it.
impl Display for TraceContext {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let hex = |f: &mut Formatter<'_>, bytes: &[u8]| {
            bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        };
        f.write_str("00-")?;
        hex(f, &self.trace_id)?;
        f.write_str("-")?;
        hex(f, &self.parent_id)?;
        write!(f, "-{:02x}", self.flags)
    }
}

impl FromStr for TraceContext {
    type Err = AttributesError;

    /// Reads a `traceparent` header of version 00.
    fn from_str(text: &str) -> Result<Self, AttributesError> {
        let wrong = AttributesError::Value {
            kind: kinds::TRACE,
            name: "trace context",
            found: text.len(),
            expected: "00-, 32 hexadecimal digits, -, 16, -, 2",
        };
        let mut parts = text.split('-');
        let version = parts.next();
        let context = Self {
            trace_id: digits(parts.next()).ok_or(wrong)?,
            parent_id: digits(parts.next()).ok_or(wrong)?,
            flags: digits(parts.next()).map(|[flags]| flags).ok_or(wrong)?,
        };
        let has_identifiers = context.trace_id != [0; 16] && context.parent_id != [0; 8];
        let is_whole = version == Some("00") && parts.next().is_none() && has_identifiers;
        if is_whole { Ok(context) } else { Err(wrong) }
    }
}

/// Bytes written as lower-case hexadecimal digits, two for each.
fn digits<const N: usize>(text: Option<&str>) -> Option<[u8; N]> {
    let text = text?.as_bytes();
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}
