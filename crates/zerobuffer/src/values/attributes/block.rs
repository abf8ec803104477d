//! The attribute block: a head of two lengths, then records of kind, length and value.
//!
//! ```text
//! 0  u16  bytes of the block: head, records and padding; a multiple of 8
//! 2  u16  bytes of the records
//! 4       records: u8 kind (1 to 254, each at most once), u8 bytes of the value, the value
//! ```
//!
//! Numbers are little-endian. As each kind occurs once and a value has at most 255 bytes, records have at most
//! 254 × 257 = 65,278 bytes: a block never outgrows its 16-bit length.

use super::error::AttributesError;
use super::typed::{self, Clock, Codec, FrameFlags, Origin, Plane, Timestamp, TraceContext, kinds};
use std::time::Duration;

/// Bytes of the block's head.
const HEAD_BYTES: usize = 4;
/// A block's length is a multiple of this.
const GRANULE_BYTES: usize = 8;
/// The block's length is a multiple of this where payloads start on a cache line.
const LINE_BYTES: usize = 64;

/// The attributes of a frame, to be written with it. Owns its bytes; [`clear`](Self::clear) and use it again, and
/// no frame allocates.
///
/// ```
/// use std::time::Duration;
/// use zerobuffer::attributes::{Attributes, FrameFlags};
///
/// let mut attributes = Attributes::new();
/// attributes.set_presentation_time(Duration::from_millis(40)).set_flags(FrameFlags::KEY_FRAME);
/// attributes.set(128, b"lane 3")?; // of your own
/// assert_eq!(attributes.view().duration(), None);
/// assert_eq!(attributes.view().get(128), Some(&b"lane 3"[..]));
/// # Ok::<(), zerobuffer::attributes::AttributesError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Records, each kind once.
    records: Vec<u8>,
}

impl Attributes {
    /// No attributes.
    pub const fn new() -> Self {
        Self { records: Vec::new() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Removes all, and keeps the memory.
    pub fn clear(&mut self) {
        self.records.clear();
    }

    /// Removes the attribute of that kind, if there is one.
    pub fn remove(&mut self, kind: u8) {
        let mut begin = 0;
        for (other, value) in self.view() {
            let end = begin + 2 + value.len();
            if other == kind {
                self.records.drain(begin..end);
                return;
            }
            begin = end;
        }
    }

    /// Sets an attribute, in place of what was set for that kind. Kinds from 128 to 254 are for users.
    ///
    /// # Errors
    /// [`AttributesError::TooLong`] for more than 255 bytes; [`AttributesError::ReservedKind`] for 0 and 255;
    /// [`AttributesError::Value`] for a value that cannot be what its kind means.
    pub fn set(&mut self, kind: u8, value: &[u8]) -> Result<(), AttributesError> {
        typed::check(kind, value)?;
        if value.len() > usize::from(u8::MAX) {
            return Err(AttributesError::TooLong { found: value.len() });
        }
        self.put(kind, &[value]);
        Ok(())
    }

    /// When to show the frame, in the stream's own time, which begins where its source says.
    pub fn set_presentation_time(&mut self, time: Duration) -> &mut Self {
        self.set_presentation_timestamp(Timestamp { nanos: nanos(time), clock: Clock::Stream })
    }

    /// When to show the frame, on a clock.
    pub fn set_presentation_timestamp(&mut self, time: Timestamp) -> &mut Self {
        self.put(kinds::PRESENTATION, &[&time.to_bytes()])
    }

    /// For how long the frame is shown. More than 584 years count as 584.
    pub fn set_duration(&mut self, duration: Duration) -> &mut Self {
        self.put(kinds::DURATION, &[&nanos(duration).to_le_bytes()])
    }

    /// When the frame was captured.
    pub fn set_capture_time(&mut self, time: Timestamp) -> &mut Self {
        self.put(kinds::CAPTURE, &[&time.to_bytes()])
    }

    /// What is to be known before the frame is used.
    pub fn set_flags(&mut self, flags: FrameFlags) -> &mut Self {
        self.put(kinds::FLAGS, &[&flags.bits().to_le_bytes()])
    }

    /// Where the planes of a picture begin in the payload, and how far its rows are apart: only where they do not
    /// follow from the stream's description.
    ///
    /// # Errors
    /// [`AttributesError::TooLong`] for more than 31 planes.
    pub fn set_planes(&mut self, planes: &[Plane]) -> Result<&mut Self, AttributesError> {
        let mut value = [0; u8::MAX as usize];
        let len = planes.len() * Plane::BYTES;
        let space = value.get_mut(..len).ok_or(AttributesError::TooLong { found: len })?;
        for (bytes, plane) in space.chunks_exact_mut(Plane::BYTES).zip(planes) {
            bytes.copy_from_slice(&plane.to_bytes());
        }
        Ok(self.put(kinds::PLANES, &[&value[..len]]))
    }

    /// The trace that the frame belongs to (W3C Trace Context).
    pub fn set_trace_context(&mut self, context: TraceContext) -> &mut Self {
        self.put(kinds::TRACE, &[&context.to_bytes()])
    }

    /// That the payload is compressed, by what, and how long it was before.
    ///
    /// # Errors
    /// [`AttributesError::TooLong`] for a name of more than 247 bytes.
    pub fn set_codec(&mut self, codec: Codec<'_>) -> Result<&mut Self, AttributesError> {
        self.put_text(kinds::CODEC, &codec.original_bytes.to_le_bytes(), codec.name)
    }

    /// The host that the frame came from, and when it was committed there.
    ///
    /// # Errors
    /// [`AttributesError::TooLong`] for a name of more than 239 bytes.
    pub fn set_origin(&mut self, origin: Origin<'_>) -> Result<&mut Self, AttributesError> {
        let mut fixed = [0; 16];
        fixed[..8].copy_from_slice(&origin.realtime_ns.to_le_bytes());
        fixed[8..].copy_from_slice(&origin.sequence.to_le_bytes());
        self.put_text(kinds::ORIGIN, &fixed, origin.host)
    }

    /// The number that the frame's source gave it.
    pub fn set_source_sequence(&mut self, number: u64) -> &mut Self {
        self.put(kinds::SOURCE_SEQUENCE, &[&number.to_le_bytes()])
    }

    /// For how long the sensor was exposed, in nanoseconds.
    pub fn set_exposure(&mut self, time: Duration) -> &mut Self {
        self.put(kinds::EXPOSURE, &[&nanos(time).to_le_bytes()])
    }

    /// What was set.
    pub fn view(&self) -> AttributesRef<'_> {
        AttributesRef { records: &self.records }
    }

    /// Takes over what another frame has, as it is.
    pub fn copy_from(&mut self, other: AttributesRef<'_>) {
        self.records.clear();
        self.records.extend_from_slice(other.records);
    }

    fn put_text(
        &mut self,
        kind: u8,
        fixed: &[u8],
        text: &str,
    ) -> Result<&mut Self, AttributesError> {
        let found = fixed.len() + text.len();
        if found > usize::from(u8::MAX) {
            return Err(AttributesError::TooLong { found });
        }
        Ok(self.put(kind, &[fixed, text.as_bytes()]))
    }

    /// Sets a record whose parts have at most 255 bytes together.
    fn put(&mut self, kind: u8, parts: &[&[u8]]) -> &mut Self {
        self.remove(kind);
        let len: usize = parts.iter().map(|part| part.len()).sum();
        debug_assert!(len <= usize::from(u8::MAX), "lengths were checked");
        self.records.extend([kind, len as u8]);
        for part in parts {
            self.records.extend_from_slice(part);
        }
        self
    }
}

impl From<AttributesRef<'_>> for Attributes {
    fn from(other: AttributesRef<'_>) -> Self {
        Self { records: other.records.to_owned() }
    }
}

fn nanos(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// The attributes of a frame, as they lie in front of its payload, checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AttributesRef<'a> {
    records: &'a [u8],
}

impl<'a> AttributesRef<'a> {
    /// Checks records: whole, each kind once, and typed values long enough.
    ///
    /// # Errors
    /// [`AttributesError`] says what is wrong with which record.
    pub fn from_records(records: &'a [u8]) -> Result<Self, AttributesError> {
        let mut seen = [0_u64; 4];
        let mut at = 0;
        while at < records.len() {
            let truncated = |missing| AttributesError::Truncated { at, missing };
            let &[kind, len] = records[at..].first_chunk().ok_or(truncated(1))?;
            let (begin, len) = (at + 2, usize::from(len));
            let value = records[begin..].get(..len);
            let value = value.ok_or_else(|| truncated(begin + len - records.len()))?;
            let (word, bit) = (usize::from(kind / 64), 1 << (kind % 64));
            if seen[word] & bit != 0 {
                return Err(AttributesError::Doubled { kind });
            }
            seen[word] |= bit;
            typed::check(kind, value)?;
            at = begin + len;
        }
        Ok(Self { records })
    }

    /// Reads a whole block; an empty one has no attributes.
    ///
    /// # Errors
    /// [`AttributesError`] says what is wrong with the block, or with which record.
    pub(crate) fn from_block(block: &'a [u8]) -> Result<Self, AttributesError> {
        let Some(head) = block.first_chunk() else { return Ok(Self::default()) };
        let (_, records) = split(*head, block.len())?;
        Self::from_records(&block[records])
    }

    /// The records as they are carried: for those who pass them on.
    pub fn as_records(self) -> &'a [u8] {
        self.records
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.records.is_empty()
    }

    /// The value of that kind.
    pub fn get(self, kind: u8) -> Option<&'a [u8]> {
        self.into_iter().find(|(other, _)| *other == kind).map(|(_, value)| value)
    }

    /// When to show the frame, and on which clock.
    pub fn presentation_time(self) -> Option<Timestamp> {
        self.get(kinds::PRESENTATION).and_then(Timestamp::from_bytes)
    }

    /// For how long to show it.
    pub fn duration(self) -> Option<Duration> {
        self.number(kinds::DURATION).map(Duration::from_nanos)
    }

    /// When it was captured, and on which clock.
    pub fn capture_time(self) -> Option<Timestamp> {
        self.get(kinds::CAPTURE).and_then(Timestamp::from_bytes)
    }

    /// Its flags; none are set where there is no such attribute.
    pub fn flags(self) -> FrameFlags {
        let bits = self.get(kinds::FLAGS).and_then(|value| value.first_chunk());
        bits.map_or(FrameFlags::NONE, |bits| FrameFlags::from_bits(u32::from_le_bytes(*bits)))
    }

    /// Where the planes of the picture begin and how far its rows are apart; empty where that follows from the
    /// stream's description.
    pub fn planes(self) -> impl Iterator<Item = Plane> {
        let value = self.get(kinds::PLANES).unwrap_or_default();
        value.chunks_exact(Plane::BYTES).filter_map(Plane::from_bytes)
    }

    /// The trace that it belongs to.
    pub fn trace_context(self) -> Option<TraceContext> {
        self.get(kinds::TRACE).and_then(TraceContext::from_bytes)
    }

    /// What the payload was compressed by.
    pub fn codec(self) -> Option<Codec<'a>> {
        let (number, name) = self.get(kinds::CODEC)?.split_first_chunk()?;
        let name = std::str::from_utf8(name).ok()?;
        Some(Codec { name, original_bytes: u64::from_le_bytes(*number) })
    }

    /// The host that it came from.
    pub fn origin(self) -> Option<Origin<'a>> {
        let (time, rest) = self.get(kinds::ORIGIN)?.split_first_chunk()?;
        let (sequence, host) = rest.split_first_chunk()?;
        Some(Origin {
            host: std::str::from_utf8(host).ok()?,
            realtime_ns: u64::from_le_bytes(*time),
            sequence: u64::from_le_bytes(*sequence),
        })
    }

    /// The number that its source gave it.
    pub fn source_sequence(self) -> Option<u64> {
        self.number(kinds::SOURCE_SEQUENCE)
    }

    /// For how long the sensor was exposed.
    pub fn exposure(self) -> Option<Duration> {
        self.number(kinds::EXPOSURE).map(Duration::from_nanos)
    }

    fn number(self, kind: u8) -> Option<u64> {
        self.get(kind)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }
}

impl<'a> IntoIterator for AttributesRef<'a> {
    type Item = (u8, &'a [u8]);
    type IntoIter = Records<'a>;

    fn into_iter(self) -> Records<'a> {
        Records { rest: self.records }
    }
}

/// Kinds and values of a frame's attributes, in the order in which they were set.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[kind, len], rest) = self.rest.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(usize::from(len))?;
        self.rest = rest;
        Some((kind, value))
    }
}

/// Bytes of the block for these attributes. `starts_on_a_line`: the block starts on a cache line, and so shall the
/// payload behind it.
pub(crate) fn block_bytes(attributes: AttributesRef<'_>, starts_on_a_line: bool) -> usize {
    let granule = if starts_on_a_line { LINE_BYTES } else { GRANULE_BYTES };
    (HEAD_BYTES + attributes.records.len()).next_multiple_of(granule)
}

/// Bytes of the block for these attributes in front of `payload` bytes, where frames of at least `threshold` bytes start
/// on a cache line.
pub(crate) fn padded_block_bytes(
    attributes: AttributesRef<'_>,
    payload: usize,
    threshold: usize,
) -> usize {
    let short = block_bytes(attributes, false);
    if short + payload < threshold { short } else { block_bytes(attributes, true) }
}

/// Fills a block: its head, the records, zeros.
///
/// # Panics
/// If the block has not the length that [`block_bytes`] says.
pub(crate) fn fill(block: &mut [u8], attributes: AttributesRef<'_>) {
    let (head, rest) = block.split_at_mut(HEAD_BYTES);
    let (records, padding) = rest.split_at_mut(attributes.records.len());
    let lengths = [(HEAD_BYTES + records.len() + padding.len()) as u16, records.len() as u16];
    for (bytes, length) in head.chunks_exact_mut(2).zip(lengths) {
        bytes.copy_from_slice(&length.to_le_bytes());
    }
    records.copy_from_slice(attributes.records);
    padding.fill(0);
}

/// Splits what a frame holds, of `frame_bytes` bytes that begin with `head`, into block and payload: how long the
/// block is, and where in it the records lie.
pub(crate) fn split(
    head: [u8; GRANULE_BYTES],
    frame_bytes: usize,
) -> Result<(usize, std::ops::Range<usize>), AttributesError> {
    let [a, b, c, d, ..] = head;
    let block = usize::from(u16::from_le_bytes([a, b]));
    let records = usize::from(u16::from_le_bytes([c, d]));
    if block < GRANULE_BYTES || block > frame_bytes || !block.is_multiple_of(GRANULE_BYTES) {
        return Err(AttributesError::BlockLength { found: block, frame: frame_bytes });
    }
    if records > block - HEAD_BYTES {
        let room = block - HEAD_BYTES;
        return Err(AttributesError::RecordsLength { found: records, room });
    }
    Ok((block, HEAD_BYTES..HEAD_BYTES + records))
}
