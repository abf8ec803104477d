//! Where a frame's bytes lie in the ring: arithmetic on positions.

use super::areas::FrameHeader;
use crate::field::Value as _;
use crate::v2::protocol::position::Position;

pub(crate) const CACHE_LINE: u64 = 64;
/// Payloads from this size start on a cache line in new segments.
pub(crate) const ALIGN_THRESHOLD: u64 = 1024;

/// Where the time of the commit stands in a header that has one.
const STAMP_OFFSET: u64 = 8;

#[cfg(not(loom))]
const _: () = assert!(std::mem::offset_of!(FrameHeader, committed_ns) as u64 == STAMP_OFFSET);

/// The numbers that frame arithmetic needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameGeometry {
    /// C: bytes in the ring, a power of two.
    pub(crate) capacity: u64,
    /// H: 8, or 16 with timestamps.
    pub(crate) header: u64,
    /// Payloads of at least this many bytes start on 64.
    pub(crate) align_threshold: u64,
    /// Whether frames may have attributes.
    pub(crate) attributes: bool,
}

/// Where one frame's bytes lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// First payload byte.
    pub(crate) start: Position,
    /// Next frame's position.
    pub(crate) end: Position,
}

impl FrameGeometry {
    /// Geometry of a ring of `capacity` bytes.
    pub(crate) const fn new(capacity: u64, header: u64, align_threshold: u64) -> Self {
        Self { capacity, header, align_threshold, attributes: false }
    }

    /// The same, for frames that may have attributes.
    pub(crate) const fn with_attributes(self, attributes: bool) -> Self {
        Self { attributes, ..self }
    }

    /// Largest frame that fits at every position.
    #[inline(always)]
    pub(crate) const fn max_frame(&self) -> u64 {
        self.capacity - self.header - CACHE_LINE
    }

    /// How far the head may be beyond the lowest cursor: more than a lap where skips lead over what is in between.
    #[inline(always)]
    pub(crate) const fn farthest(&self) -> u64 {
        2 * self.capacity
    }

    /// Where a frame of `len` bytes at `position` lies.
    #[inline(always)]
    pub(crate) fn extent(&self, position: Position, len: u64) -> Extent {
        let packed = position.plus(self.header);
        let start = if len >= self.align_threshold { packed.round_up(CACHE_LINE) } else { packed };
        Extent { start, end: start.plus(len).round_up(8) }
    }

    /// Where the time of a frame's commit stands, in rings whose frames have one.
    #[inline]
    pub(crate) fn stamp(&self, header: Position) -> Option<Position> {
        let has_stamps = self.header == FrameHeader::BYTES as u64;
        has_stamps.then(|| header.plus(STAMP_OFFSET))
    }

    /// Offset of a position in the ring.
    #[inline(always)]
    pub(crate) fn offset(&self, position: Position) -> u64 {
        position.0 & (self.capacity - 1)
    }
}
