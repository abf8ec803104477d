//! What is in a protocol 1.0 segment: offsets, sizes, and the checks that stand between a file and its use.
//!
//! No algorithm and no operating system here; `docs/protocol/1.0.md` has the same table for people.

use crate::field::{At, Pad, Value as _, area};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Size of the control block, and the value of its first field.
pub(crate) const OIEB_BYTES: u64 = Oieb::BYTES as u64;
/// Metadata and payload sizes are rounded up to this.
pub(crate) const BLOCK_BYTES: u64 = 64;
/// Size of a frame header: length and sequence, two 64-bit words at any byte address.
pub(crate) const HEADER_BYTES: u64 = 16;
/// Size of what precedes the metadata in its block.
pub(crate) const METADATA_PREFIX_BYTES: u64 = MetadataPrefix::BYTES as u64;
/// Major version spoken here.
pub(crate) const MAJOR: u8 = 1;
/// Version word: major 1, minor 0, patch 0, reserved 0, in byte order.
const VERSION_1_0_0: u32 = u32::from_le_bytes([MAJOR, 0, 0, 0]);

area! {
    /// The control block. Every word may be changed by another process at any time.
    #[derive(Debug, Default)]
    pub(crate) struct Oieb at 0x00, 0x80 {
        /// [`OIEB_BYTES`]; 4096 in protocol 2.0.
        0x00 pub(crate) oieb_size: AtomicU32,
        /// Major, minor, patch, reserved: a byte each.
        0x04 pub(crate) version: AtomicU32,
        /// Size of the metadata block.
        0x08 pub(crate) metadata_size: AtomicU64,
        0x10 pub(crate) metadata_free_bytes: AtomicU64,
        /// Length word and content; 0: no metadata yet.
        0x18 pub(crate) metadata_written_bytes: AtomicU64,
        /// P: size of the ring.
        0x20 pub(crate) payload_size: AtomicU64,
        /// F: both ends change it.
        0x28 pub(crate) payload_free_bytes: AtomicU64,
        /// W: where the next frame goes.
        0x30 pub(crate) payload_write_pos: AtomicU64,
        /// R: where the next frame is read.
        0x38 pub(crate) payload_read_pos: AtomicU64,
        /// Frames, and markers of wraps.
        0x40 pub(crate) payload_written_count: AtomicU64,
        0x48 pub(crate) payload_read_count: AtomicU64,
        /// 0: no Writer.
        0x50 pub(crate) writer_pid: AtomicU64,
        /// 0: no Reader, or not complete yet.
        0x58 pub(crate) reader_pid: AtomicU64,
        0x60 _reserved: Pad<4>,
    }
}

area! {
    /// What precedes the metadata in its block.
    #[derive(Debug, Default)]
    pub(crate) struct MetadataPrefix at 0x00, 0x08 {
        /// Length of the metadata in bytes.
        0x00 pub(crate) length: AtomicU64,
    }
}

impl Oieb {
    /// Fills a zeroed control block for an empty buffer that belongs to `reader_pid`.
    pub(crate) fn initialize(&self, sizes: Sizes, reader_pid: u64) {
        let relaxed = Ordering::Relaxed;
        self.oieb_size.store(OIEB_BYTES as u32, relaxed);
        self.version.store(VERSION_1_0_0, relaxed);
        self.metadata_size.store(sizes.metadata_bytes, relaxed);
        self.metadata_free_bytes.store(sizes.metadata_bytes, relaxed);
        self.payload_size.store(sizes.payload_bytes, relaxed);
        self.payload_free_bytes.store(sizes.payload_bytes, relaxed);
        // Peers take a non-zero reader pid for "complete".
        self.reader_pid.store(reader_pid, Ordering::Release);
    }

    /// Copies every field once.
    pub(crate) fn load(&self) -> OiebCopy {
        let acquire = Ordering::Acquire;
        OiebCopy {
            oieb_size: self.oieb_size.load(acquire),
            version: self.version.load(acquire).to_le_bytes(),
            metadata_size: self.metadata_size.load(acquire),
            metadata_free_bytes: self.metadata_free_bytes.load(acquire),
            metadata_written_bytes: self.metadata_written_bytes.load(acquire),
            payload_size: self.payload_size.load(acquire),
            payload_free_bytes: self.payload_free_bytes.load(acquire),
            payload_write_pos: self.payload_write_pos.load(acquire),
            payload_read_pos: self.payload_read_pos.load(acquire),
            payload_written_count: self.payload_written_count.load(acquire),
            payload_read_count: self.payload_read_count.load(acquire),
            writer_pid: self.writer_pid.load(acquire),
            reader_pid: self.reader_pid.load(acquire),
        }
    }
}

/// A private copy of the control block, as found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct OiebCopy {
    pub(crate) oieb_size: u32,
    pub(crate) version: [u8; 4],
    pub(crate) metadata_size: u64,
    pub(crate) metadata_free_bytes: u64,
    pub(crate) metadata_written_bytes: u64,
    pub(crate) payload_size: u64,
    pub(crate) payload_free_bytes: u64,
    pub(crate) payload_write_pos: u64,
    pub(crate) payload_read_pos: u64,
    pub(crate) payload_written_count: u64,
    pub(crate) payload_read_count: u64,
    pub(crate) writer_pid: u64,
    pub(crate) reader_pid: u64,
}

/// What is wrong with a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OiebProblem {
    /// Its creator has not finished, or died before it had.
    #[error("its header is not complete yet")]
    NotReady,
    #[error("its OIEB size is {found}, expected 128")]
    OiebSize { found: u32 },
    #[error("protocol version {}.{}.{}", found[0], found[1], found[2])]
    Version { found: [u8; 4] },
    #[error(
        "its metadata size {found} is not a multiple of 64 that a file of {file_bytes} bytes can hold"
    )]
    MetadataSize { found: u64, file_bytes: u64 },
    #[error(
        "its payload size {found} is not a positive multiple of 64 that a file of {file_bytes} bytes can hold"
    )]
    PayloadSize { found: u64, file_bytes: u64 },
    #[error("its write position {found} lies outside its payload of {payload_bytes} bytes")]
    WritePosition { found: u64, payload_bytes: u64 },
    #[error("its read position {found} lies outside its payload of {payload_bytes} bytes")]
    ReadPosition { found: u64, payload_bytes: u64 },
    #[error("{found} free bytes are more than its payload of {payload_bytes}")]
    FreeBytes { found: u64, payload_bytes: u64 },
    #[error("{found} bytes of metadata are more than its block of {block_bytes}")]
    MetadataWritten { found: u64, block_bytes: u64 },
}

impl OiebCopy {
    /// Reads a control block from the first bytes of a segment or of a dump; checks nothing.
    pub(crate) fn from_bytes(bytes: &[u8; OIEB_BYTES as usize]) -> Self {
        Oieb::decode(bytes).load()
    }

    /// Checks everything that does not change after creation; returns the sizes, to be used from then on
    /// instead of what shared memory says.
    pub(crate) fn check_layout(&self, file_bytes: u64) -> Result<Sizes, OiebProblem> {
        if self.oieb_size == 0 || (u64::from(self.oieb_size) == OIEB_BYTES && self.version[0] == 0)
        {
            return Err(OiebProblem::NotReady);
        }
        if u64::from(self.oieb_size) != OIEB_BYTES {
            return Err(OiebProblem::OiebSize { found: self.oieb_size });
        }
        if self.version[0] != MAJOR {
            return Err(OiebProblem::Version { found: self.version });
        }
        let blocks = file_bytes.saturating_sub(OIEB_BYTES);
        let (metadata, payload) = (self.metadata_size, self.payload_size);
        if metadata == 0 && payload == 0 && self.reader_pid == 0 {
            return Err(OiebProblem::NotReady);
        }
        if metadata % BLOCK_BYTES != 0 || metadata > blocks {
            return Err(OiebProblem::MetadataSize { found: metadata, file_bytes });
        }
        if payload % BLOCK_BYTES != 0 || payload == 0 || payload > blocks - metadata {
            return Err(OiebProblem::PayloadSize { found: payload, file_bytes });
        }
        Ok(Sizes { metadata_bytes: metadata, payload_bytes: payload })
    }

    /// Checks what changes while the buffer is used.
    pub(crate) fn check_positions(&self, sizes: Sizes) -> Result<(), OiebProblem> {
        let payload_bytes = sizes.payload_bytes;
        // The end itself is a legal write position: some peers store it after an exact fit (D6).
        if self.payload_write_pos > payload_bytes {
            return Err(OiebProblem::WritePosition {
                found: self.payload_write_pos,
                payload_bytes,
            });
        }
        if self.payload_read_pos > payload_bytes {
            return Err(OiebProblem::ReadPosition { found: self.payload_read_pos, payload_bytes });
        }
        if self.payload_free_bytes > payload_bytes {
            return Err(OiebProblem::FreeBytes { found: self.payload_free_bytes, payload_bytes });
        }
        if self.metadata_written_bytes > sizes.metadata_bytes {
            return Err(OiebProblem::MetadataWritten {
                found: self.metadata_written_bytes,
                block_bytes: sizes.metadata_bytes,
            });
        }
        Ok(())
    }
}

/// Sizes of a buffer's blocks: checked, and from then on private to the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) metadata_bytes: u64,
    pub(crate) payload_bytes: u64,
}

impl Sizes {
    /// Rounds what was asked for as every peer does; `None` where that overflows or leaves no payload.
    pub(crate) fn rounded(metadata_bytes: u64, payload_bytes: u64) -> Option<Self> {
        let sizes = Self {
            metadata_bytes: metadata_bytes.checked_next_multiple_of(BLOCK_BYTES)?,
            payload_bytes: payload_bytes.checked_next_multiple_of(BLOCK_BYTES)?,
        };
        let total =
            OIEB_BYTES.checked_add(sizes.metadata_bytes)?.checked_add(sizes.payload_bytes)?;
        (payload_bytes > 0 && i64::try_from(total).is_ok()).then_some(sizes)
    }

    /// Where the control block lies.
    pub(crate) const OIEB: At<Oieb> = At::new(0);

    /// Where the metadata block begins, if it has room for as much as its prefix.
    pub(crate) fn metadata(self) -> At<MetadataPrefix> {
        At::new(OIEB_BYTES)
    }

    /// Where the payload begins.
    pub(crate) fn payload_offset(self) -> u64 {
        OIEB_BYTES + self.metadata_bytes
    }

    /// Size of the whole segment.
    pub(crate) fn total_bytes(self) -> u64 {
        self.payload_offset() + self.payload_bytes
    }

    /// Content that fits into the metadata block.
    pub(crate) fn metadata_capacity(self) -> u64 {
        self.metadata_bytes.saturating_sub(METADATA_PREFIX_BYTES)
    }

    /// The largest frame that fits at every write position (L5, L6): twice the frame and the 15 bytes that
    /// may have to be skipped at the end must fit into the ring.
    pub(crate) fn max_frame_bytes(self) -> u64 {
        ((self.payload_bytes - (HEADER_BYTES - 1)) / 2).saturating_sub(HEADER_BYTES)
    }
}

/// Why stored metadata cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetadataProblem {
    WrittenBeyondBlock,
    LengthBeyondWritten,
    NoLength,
}

impl MetadataProblem {
    /// What was found.
    pub(crate) fn problem(self) -> &'static str {
        match self {
            Self::WrittenBeyondBlock => "more bytes are written than the block has",
            Self::LengthBeyondWritten => "its length word is larger than what was written",
            Self::NoLength => "fewer bytes are written than the length word takes",
        }
    }
}

/// How many bytes of metadata there are, from the length word and the control block (L15).
pub(crate) fn metadata_bytes(
    written: u64,
    length: u64,
    sizes: Sizes,
) -> Result<u64, MetadataProblem> {
    if written > sizes.metadata_bytes {
        return Err(MetadataProblem::WrittenBeyondBlock);
    }
    let content = written.checked_sub(METADATA_PREFIX_BYTES).ok_or(MetadataProblem::NoLength)?;
    if length > content {
        return Err(MetadataProblem::LengthBeyondWritten);
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> OiebCopy {
        let oieb = Oieb::default();
        oieb.initialize(Sizes::rounded(100, 1000).unwrap(), 7);
        oieb.load()
    }

    #[test]
    fn blocks_are_rounded_to_64_bytes() {
        let sizes = Sizes::rounded(100, 1000).unwrap();
        assert_eq!((sizes.metadata_bytes, sizes.payload_bytes), (128, 1024));
        assert_eq!((sizes.payload_offset(), sizes.total_bytes()), (256, 1280));
        assert_eq!(Sizes::rounded(0, 64).unwrap().metadata_capacity(), 0);
        assert_eq!(Sizes::rounded(0, 0), None);
        assert_eq!(Sizes::rounded(u64::MAX, 64), None);
        assert_eq!(Sizes::rounded(1 << 63, 1 << 63), None);
    }

    #[test]
    fn every_wrong_field_has_its_own_problem() {
        use OiebProblem as P;
        let check = |change: &dyn Fn(&mut OiebCopy)| {
            let mut header = good();
            change(&mut header);
            header.check_layout(1280).and_then(|sizes| header.check_positions(sizes)).err()
        };
        assert_eq!(check(&|_| ()), None);
        assert_eq!(check(&|h| h.oieb_size = 0), Some(P::NotReady));
        assert_eq!(check(&|h| h.version = [0; 4]), Some(P::NotReady));
        assert_eq!(check(&|h| h.oieb_size = 127), Some(P::OiebSize { found: 127 }));
        assert_eq!(check(&|h| h.version = [2, 0, 0, 0]), Some(P::Version { found: [2, 0, 0, 0] }));
        for found in [65, 1280, u64::MAX - 63] {
            assert_eq!(
                check(&|h| h.metadata_size = found),
                Some(P::MetadataSize { found, file_bytes: 1280 })
            );
        }
        for found in [0, 65, 1088, u64::MAX - 63] {
            assert_eq!(
                check(&|h| h.payload_size = found),
                Some(P::PayloadSize { found, file_bytes: 1280 })
            );
        }
        assert_eq!(check(&|h| h.payload_write_pos = 1024), None, "the end itself is legal (D6)");
        assert!(matches!(check(&|h| h.payload_write_pos = 1025), Some(P::WritePosition { .. })));
        assert!(matches!(check(&|h| h.payload_read_pos = 1025), Some(P::ReadPosition { .. })));
        assert!(matches!(check(&|h| h.payload_free_bytes = 1025), Some(P::FreeBytes { .. })));
        assert!(matches!(
            check(&|h| h.metadata_written_bytes = 129),
            Some(P::MetadataWritten { .. })
        ));
        assert!(
            matches!(good().check_layout(127), Err(P::MetadataSize { .. })),
            "a file cut short"
        );
    }

    #[test]
    fn l15_a_metadata_length_beyond_its_block_is_refused() {
        let sizes = Sizes::rounded(128, 64).unwrap();
        assert_eq!(metadata_bytes(8, 0, sizes), Ok(0));
        assert_eq!(metadata_bytes(128, 120, sizes), Ok(120));
        assert_eq!(metadata_bytes(128, 121, sizes), Err(MetadataProblem::LengthBeyondWritten));
        assert_eq!(metadata_bytes(128, u64::MAX, sizes), Err(MetadataProblem::LengthBeyondWritten));
        assert_eq!(metadata_bytes(129, 1, sizes), Err(MetadataProblem::WrittenBeyondBlock));
        assert_eq!(metadata_bytes(7, 0, sizes), Err(MetadataProblem::NoLength));
    }
}
