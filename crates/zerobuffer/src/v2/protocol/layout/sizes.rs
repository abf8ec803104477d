//! How large the regions of a segment are, and where that puts them.

use super::areas::{
    FrameHeader, GroupHeader, MAX_SLOTS, MetadataHeader, OIEB_BYTES, Oieb, RegistryHeader, Slot,
    VERSION,
};
use super::geometry::{ALIGN_THRESHOLD, CACHE_LINE, FrameGeometry};
use crate::field::{At, Value as _};
use crate::v2::protocol::position::Position;

/// Largest ring: frame lengths have 32 bits, frame numbers 28.
pub(crate) const MAX_CAPACITY: u64 = 1 << 32;
/// Largest metadata copy.
pub(crate) const MAX_METADATA: u64 = 1 << 30;
/// Most work groups of one buffer.
pub(crate) const MAX_GROUPS: u32 = 64;
/// Most entries of a group's table.
pub(crate) const MAX_GROUP_ENTRIES: u32 = 1 << 20;
/// Size of what precedes the bytes of each metadata copy.
pub(crate) const METADATA_HEAD: u64 = MetadataHeader::BYTES as u64;
/// Size of a frame's header without timestamps.
const COMMIT_WORD_BYTES: u64 = 8;

/// What a segment is made of: parsed and checked, or built for a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) frames: FrameGeometry,
    pub(crate) slot_count: u32,
    /// Tables for work groups, and entries of each.
    pub(crate) group_count: u32,
    pub(crate) group_entries: u32,
    /// Whether it takes part in payload sharing.
    pub(crate) sharing: bool,
    pub(crate) page_bytes: u64,
    pub(crate) registry_offset: u64,
    pub(crate) metadata_offset: u64,
    /// Capacity of one metadata copy.
    pub(crate) metadata_bytes: u64,
    pub(crate) payload_offset: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) start_position: Position,
    pub(crate) segment_id: u64,
    pub(crate) boot_id: [u8; 16],
    pub(crate) created_ns: u64,
    pub(crate) creator_pid: u32,
    pub(crate) version: [u8; 4],
}

/// What a new segment is to have; sizes in bytes, not yet rounded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) payload_bytes: u64,
    pub(crate) metadata_bytes: u64,
    pub(crate) slot_count: u32,
    pub(crate) group_count: u32,
    pub(crate) group_entries: u32,
    pub(crate) timestamps: bool,
    pub(crate) sharing: bool,
    pub(crate) attributes: bool,
    pub(crate) start_position: u64,
    pub(crate) page_bytes: u64,
}

/// Who makes a new segment, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Birth {
    pub(crate) segment_id: u64,
    pub(crate) boot_id: [u8; 16],
    pub(crate) created_ns: u64,
    pub(crate) creator_pid: u32,
}

impl Layout {
    /// Lays out a new segment, or says which wish is out of range.
    pub(crate) fn build(wish: &Wish, birth: Birth) -> Result<Self, String> {
        let page = wish.page_bytes;
        if wish.payload_bytes == 0 || wish.payload_bytes > MAX_CAPACITY {
            return Err(format!(
                "payload of {} bytes asked for; possible are 1 to {MAX_CAPACITY} (4 GiB)",
                wish.payload_bytes
            ));
        }
        if wish.metadata_bytes > MAX_METADATA {
            return Err(format!(
                "metadata of {} bytes asked for; possible are 0 to {MAX_METADATA} (1 GiB)",
                wish.metadata_bytes
            ));
        }
        if wish.slot_count == 0 || wish.slot_count > MAX_SLOTS {
            return Err(format!(
                "{} reader slots asked for; possible are 1 to {MAX_SLOTS}",
                wish.slot_count
            ));
        }
        if wish.group_count > MAX_GROUPS {
            return Err(format!(
                "{} work groups asked for; possible are 0 to {MAX_GROUPS}",
                wish.group_count
            ));
        }
        let group_entries = wish.group_entries.checked_next_power_of_two();
        let in_range = |n: &u32| *n <= MAX_GROUP_ENTRIES && wish.group_entries > 0;
        let Some(group_entries) = group_entries.filter(in_range) else {
            return Err(format!(
                "a group window of {} frames asked for; possible are 1 to {MAX_GROUP_ENTRIES}",
                wish.group_entries
            ));
        };
        let capacity = wish.payload_bytes.next_power_of_two().max(page);
        Ok(Self {
            frames: FrameGeometry::new(capacity, header_bytes(wish.timestamps), ALIGN_THRESHOLD)
                .with_attributes(wish.attributes),
            slot_count: wish.slot_count,
            group_count: wish.group_count,
            group_entries: if wish.group_count == 0 { 0 } else { group_entries },
            sharing: wish.sharing,
            page_bytes: page,
            metadata_bytes: wish.metadata_bytes.next_multiple_of(8),
            registry_offset: 0,
            metadata_offset: 0,
            payload_offset: 0,
            segment_bytes: 0,
            start_position: Position(wish.start_position).round_up(CACHE_LINE),
            segment_id: birth.segment_id,
            boot_id: birth.boot_id,
            created_ns: birth.created_ns,
            creator_pid: birth.creator_pid,
            version: VERSION,
        }
        .with_offsets())
    }

    /// The one arrangement of the regions that the sizes allow.
    pub(super) fn with_offsets(mut self) -> Self {
        let page = self.page_bytes;
        let slots = u64::from(self.slot_count) * Slot::BYTES as u64;
        let groups = u64::from(self.group_count) * self.group_bytes();
        let registry = RegistryHeader::BYTES as u64 + slots + groups;
        let metadata = match self.metadata_bytes {
            0 => 0,
            bytes => 2 * (METADATA_HEAD + bytes),
        };
        self.registry_offset = page.max(OIEB_BYTES as u64);
        self.metadata_offset = self.registry_offset + registry.next_multiple_of(page);
        self.payload_offset = self.metadata_offset + metadata.next_multiple_of(page);
        self.segment_bytes = self.payload_offset + self.frames.capacity;
        self
    }

    /// Size of one group's header and entries.
    fn group_bytes(&self) -> u64 {
        GroupHeader::BYTES as u64 + 8 * u64::from(self.group_entries)
    }

    /// Where the OIEB lies.
    pub(crate) const OIEB: At<Oieb> = At::new(0);

    /// Where the registry begins.
    pub(crate) fn registry(&self) -> At<RegistryHeader> {
        At::new(self.registry_offset)
    }

    /// Where a reader slot lies; that of `slot_count` would be the first behind the last one.
    pub(crate) fn slot(&self, index: u32) -> At<Slot> {
        let slots = self.registry_offset + RegistryHeader::BYTES as u64;
        At::new(slots + u64::from(index) * Slot::BYTES as u64)
    }

    /// Where the header of a work group's table lies; its entries follow.
    pub(crate) fn group(&self, table: u32) -> At<GroupHeader> {
        let tables = self.slot(self.slot_count).offset();
        At::new(tables + u64::from(table) * self.group_bytes())
    }

    /// Where the header of metadata copy 0 or 1 lies; `copy` may be a generation.
    pub(crate) fn metadata_copy(&self, copy: u64) -> At<MetadataHeader> {
        At::new(self.metadata_offset + (copy & 1) * (METADATA_HEAD + self.metadata_bytes))
    }

    /// Offset of the word at a position of the ring.
    pub(crate) fn word(&self, position: Position) -> u64 {
        self.payload_offset + (self.frames.offset(position) & !7)
    }

    /// Whether frames carry the time of their commit.
    pub(crate) fn timestamps(&self) -> bool {
        self.frames.header == header_bytes(true)
    }
}

/// Size of a frame's header.
pub(super) const fn header_bytes(timestamps: bool) -> u64 {
    if timestamps { FrameHeader::BYTES as u64 } else { COMMIT_WORD_BYTES }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish() -> Wish {
        Wish {
            payload_bytes: 1 << 20,
            metadata_bytes: 100,
            slot_count: 3,
            group_count: 2,
            group_entries: 64,
            timestamps: true,
            sharing: true,
            attributes: true,
            start_position: 0,
            page_bytes: 4096,
        }
    }

    const BIRTH: Birth = Birth { segment_id: 7, boot_id: [9; 16], created_ns: 1, creator_pid: 2 };

    #[test]
    fn the_smallest_buffer_is_one_page() {
        let layout = Layout::build(&Wish { payload_bytes: 1, ..wish() }, BIRTH).unwrap();
        assert_eq!(layout.frames.capacity, 4096);
        assert_eq!(layout.frames.max_frame(), 4096 - 16 - 64);
    }

    #[test]
    fn the_largest_frame_fits_at_every_position_and_no_position_needs_less_than_eight_bytes_more() {
        for header in [8, 16] {
            let geometry = FrameGeometry::new(4096, header, ALIGN_THRESHOLD);
            for position in (0..8192).step_by(8).map(Position) {
                let extent = geometry.extent(position, geometry.max_frame());
                assert!(extent.end.since(position) + 8 <= 4096);
            }
        }
    }

    #[test]
    fn wishes_out_of_range_are_refused() {
        for bad in [
            Wish { payload_bytes: 0, ..wish() },
            Wish { payload_bytes: MAX_CAPACITY + 1, ..wish() },
            Wish { metadata_bytes: MAX_METADATA + 1, ..wish() },
            Wish { slot_count: 0, ..wish() },
            Wish { slot_count: 65, ..wish() },
            Wish { group_count: 65, ..wish() },
            Wish { group_entries: 0, ..wish() },
            Wish { group_entries: u32::MAX, ..wish() },
        ] {
            assert!(Layout::build(&bad, BIRTH).is_err());
        }
    }
}
