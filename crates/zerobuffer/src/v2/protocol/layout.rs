//! What lies where in a 2.0 segment: offsets, sizes and the checks on opening. No algorithm.
//!
//! The tables are in `PROTOCOL.md`, sections 1 to 3 and 10; the assertions below keep the two the same.

use super::position::Position;
use crate::sync::{AtomicU32, AtomicU64};

/// Size of the OIEB, and its first word.
pub(crate) const OIEB_BYTES: usize = 4096;
/// Protocol version written into new segments.
pub(crate) const VERSION: [u8; 4] = [2, 0, 0, 0];
/// Second word of the file.
pub(crate) const MAGIC: [u8; 8] = *b"ZEROBUF2";
/// Feature (observe): frames carry the time of their commit.
pub(crate) const FEATURE_TIMESTAMPS: u64 = 1;
/// Feature (observe): frames may lie in other buffers, and other buffers' frames in this one.
pub(crate) const FEATURE_SHARING: u64 = 2;
/// Feature (observe): frames may have an attribute block in front of their payload.
pub(crate) const FEATURE_ATTRIBUTES: u64 = 4;
/// Most slots a registry can have: one bit each in `sleepers`.
pub(crate) const MAX_SLOTS: u32 = 64;
/// Largest ring: frame lengths have 32 bits, frame numbers 28.
pub(crate) const MAX_CAPACITY: u64 = 1 << 32;
/// Largest metadata copy.
pub(crate) const MAX_METADATA: u64 = 1 << 30;
/// Payloads from this size start on a cache line in new segments.
pub(crate) const ALIGN_THRESHOLD: u64 = 1024;
/// Bits of a frame's number in its commit word.
pub(crate) const FRAME_NUMBER_BITS: u32 = 28;
/// Skips longer than a line that readers may be before; see `ring::Room`.
pub(crate) const GAPS: usize = 3;
/// Size of the head of each metadata copy: length and generation.
pub(crate) const METADATA_HEAD: u64 = 16;
/// Where the part of the OIEB begins that changes after creation.
pub(crate) const WRITER_AREA_OFFSET: usize = 0x100;
/// Size of the registry's header, and where its slots begin.
pub(crate) const REGISTRY_HEADER_BYTES: u64 = 512;
/// Size of one reader slot.
pub(crate) const SLOT_BYTES: u32 = 256;

/// Bits of a slot's number.
pub(crate) const SLOT_INDEX_BITS: u32 = MAX_SLOTS.ilog2();
/// Size of what precedes a group's entries.
pub(crate) const GROUP_HEADER_BYTES: u64 = 128;
/// Most work groups of one buffer.
pub(crate) const MAX_GROUPS: u32 = 64;
/// Most entries of a group's table.
pub(crate) const MAX_GROUP_ENTRIES: u32 = 1 << 20;

const SLOT_NAME_BYTES: usize = 32;
pub(crate) const CACHE_LINE: u64 = 64;

/// Byte of the file whose lock says "attached" (read) or "removing" (write).
pub(crate) const LIFE_LOCK: u64 = 0;
/// Byte of the file whose lock is the Writer's.
pub(crate) const WRITER_LOCK: u64 = 1;
/// Byte of the file whose lock is held, briefly, while the registry changes.
pub(crate) const REGISTRATION_LOCK: u64 = 2;
/// Byte of the file whose lock belongs to the owner of slot `index`.
pub(crate) fn slot_lock(index: u32) -> u64 {
    64 + u64::from(index)
}

/// Unused words that keep fields of different writers, or of different rates, 128 bytes apart.
#[repr(C)]
pub(crate) struct Pad<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Default for Pad<WORDS> {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl<const WORDS: usize> std::fmt::Debug for Pad<WORDS> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

/// The part of the OIEB that the Writer changes.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct WriterArea {
    /// Position behind the newest published frame.
    pub(crate) head: AtomicU64,
    /// Number of that frame.
    pub(crate) sequence: AtomicU64,
    /// Position of that frame.
    pub(crate) newest: AtomicU64,
    /// Payload bytes since creation.
    pub(crate) bytes_committed: AtomicU64,
    _pad0: Pad<12>,
    /// End of everything the Writer may have touched; never goes down.
    pub(crate) reserve: AtomicU64,
    _pad1: Pad<15>,
    /// Below it everything may be overwritten.
    pub(crate) floor: AtomicU64,
    _pad2: Pad<15>,
    /// See [`writer_state`].
    pub(crate) writer_state: AtomicU32,
    /// Bit 0: relies on sleepers' membarrier.
    pub(crate) writer_flags: AtomicU32,
    /// One more at each attach.
    pub(crate) writer_generation: AtomicU64,
    pub(crate) writer_pid: AtomicU32,
    _pad3: u32,
    pub(crate) writer_pid_namespace: AtomicU64,
    pub(crate) writer_start_time: AtomicU64,
    pub(crate) writer_attached_ns: AtomicU64,
    _pad4: Pad<10>,
    pub(crate) dropped_frames: AtomicU64,
    pub(crate) full_waits: AtomicU64,
    pub(crate) takeovers: AtomicU64,
    pub(crate) high_water_bytes: AtomicU64,
    pub(crate) wakes: AtomicU64,
    /// Sum of all skip frames.
    pub(crate) skipped_bytes: AtomicU64,
    /// Positions of the skips whose bytes the Writer may use while readers are before them, or of any frame.
    pub(crate) gaps: [AtomicU64; GAPS],
    _pad5: Pad<7>,
    /// 0: none yet.
    pub(crate) metadata_generation: AtomicU64,
    _pad6: Pad<15>,
    /// See [`segment_state`].
    pub(crate) segment_state: AtomicU32,
    _pad7: u32,
}

/// Values of `writer_state`.
pub(crate) mod writer_state {
    pub(crate) const NEVER: u32 = 0;
    pub(crate) const ATTACHED: u32 = 1;
    pub(crate) const CLOSED: u32 = 2;
}

/// Values of `segment_state`.
pub(crate) mod segment_state {
    pub(crate) const READY: u32 = 1;
    pub(crate) const RETIRED: u32 = 2;
}

/// `writer_flags` bit 0.
pub(crate) const WRITER_RELIES_ON_MEMBARRIER: u32 = 1;

/// The registry's header.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct RegistryHeader {
    /// Bit i: reader slot i may sleep.
    pub(crate) sleepers: AtomicU64,
    _pad0: Pad<15>,
    /// 1: the Writer may sleep.
    pub(crate) writer_waiting: AtomicU32,
    _pad1: u32,
    /// Cursor position that the Writer waits for.
    pub(crate) writer_wants: AtomicU64,
    _pad2: Pad<14>,
    /// Bit i: slot i may be active; spares the Writer a look at those that are not.
    pub(crate) active: AtomicU64,
    _pad3: Pad<31>,
}

/// What the members of a work group share, besides one entry a frame behind it.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct GroupHeader {
    /// Bit i: the member in slot i waits for its turn.
    pub(crate) waiting: AtomicU64,
    /// Next ticket.
    pub(crate) tickets: AtomicU64,
    /// Frames that were taken over from members that had died.
    pub(crate) redelivered: AtomicU64,
    _pad0: Pad<13>,
}

/// One reader's registration.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// Oldest position still needed.
    pub(crate) cursor: AtomicU64,
    /// Next position to hand out.
    pub(crate) read_position: AtomicU64,
    /// Number of the last frame handed out.
    pub(crate) read_sequence: AtomicU64,
    pub(crate) bytes_read: AtomicU64,
    /// Sum of the skip frames passed.
    pub(crate) skipped_bytes: AtomicU64,
    /// Generation of the metadata being looked at, per copy.
    pub(crate) metadata_held: [AtomicU64; 2],
    pub(crate) missed: AtomicU64,
    pub(crate) parks: AtomicU64,
    /// Of a group's member that waits: its turn.
    pub(crate) ticket: AtomicU64,
    /// Of a group's member: frames handed out.
    pub(crate) frames_read: AtomicU64,
    /// Of an export: end of the newest frame passed on.
    pub(crate) exported: AtomicU64,
    _pad0: Pad<4>,
    /// See [`slot_state`].
    pub(crate) state: AtomicU32,
    /// See [`slot_kind`].
    pub(crate) kind: AtomicU32,
    /// 1: sleeps.
    pub(crate) wait_flag: AtomicU32,
    /// See [`slot_flags`].
    pub(crate) flags: AtomicU32,
    /// One more at each attach.
    pub(crate) generation: AtomicU64,
    pub(crate) pid: AtomicU32,
    /// See [`owner_state`].
    pub(crate) owner_state: AtomicU32,
    pub(crate) start_time: AtomicU64,
    pub(crate) pid_namespace: AtomicU64,
    pub(crate) attached_ns: AtomicU64,
    pub(crate) group: AtomicU64,
    name: [AtomicU64; SLOT_NAME_BYTES / 8],
    _pad1: Pad<4>,
}

/// Values of a slot's `state`.
pub(crate) mod slot_state {
    pub(crate) const FREE: u32 = 0;
    pub(crate) const JOINING: u32 = 1;
    pub(crate) const ACTIVE: u32 = 2;
}

/// Values of a slot's `kind`.
pub(crate) mod slot_kind {
    /// Gets every frame, and holds the Writer back.
    pub(crate) const BROADCAST: u32 = 0;
    /// A work group's anchor: its cursor holds the Writer back for all members.
    pub(crate) const GROUP: u32 = 1;
    /// Gets what it is in time for; its cursor holds nobody back, so its bit in `active` stays 0.
    pub(crate) const LOSSY: u32 = 2;
    /// Holds the Writer back for those who read its frames in another buffer.
    pub(crate) const EXPORT: u32 = 3;
    /// Gets its share of a group's frames; its bit in `active` stays 0 too.
    pub(crate) const MEMBER: u32 = 4;
}

/// Bits of a slot's `flags`.
pub(crate) mod slot_flags {
    pub(crate) const DURABLE: u32 = 1;
    pub(crate) const MAY_SLEEP: u32 = 2;
    pub(crate) const RELIES_ON_MEMBARRIER: u32 = 4;
}

/// Values of a slot's `owner_state`.
pub(crate) mod owner_state {
    pub(crate) const NEVER: u32 = 0;
    pub(crate) const ATTACHED: u32 = 1;
    pub(crate) const LEFT: u32 = 2;
}

/// A reader slot's name: up to 32 bytes of UTF-8, zero-padded.
pub(crate) type SlotName = [u8; SLOT_NAME_BYTES];

impl Slot {
    /// The name, as it stands.
    /// Where the name lies in a slot.
    #[cfg(not(loom))]
    pub(crate) const NAME_OFFSET: u64 = std::mem::offset_of!(Self, name) as u64;

    pub(crate) fn name(&self) -> SlotName {
        let mut name = SlotName::default();
        for (bytes, word) in name.chunks_exact_mut(8).zip(&self.name) {
            bytes.copy_from_slice(&word.load(crate::sync::Ordering::Relaxed).to_le_bytes());
        }
        name
    }

    /// Writes the name; only the holder of the slot's lock does.
    pub(crate) fn set_name(&self, name: &SlotName) {
        for (bytes, word) in name.chunks_exact(8).zip(&self.name) {
            let mut value = [0; 8];
            value.copy_from_slice(bytes);
            word.store(u64::from_le_bytes(value), crate::sync::Ordering::Relaxed);
        }
    }
}

#[cfg(not(loom))]
const _: () = {
    use std::mem::{offset_of, size_of};
    const fn at(offset: usize) -> usize {
        WRITER_AREA_OFFSET + offset
    }
    assert!(at(offset_of!(WriterArea, head)) == 0x100);
    assert!(at(offset_of!(WriterArea, sequence)) == 0x108);
    assert!(at(offset_of!(WriterArea, newest)) == 0x110);
    assert!(at(offset_of!(WriterArea, bytes_committed)) == 0x118);
    assert!(at(offset_of!(WriterArea, reserve)) == 0x180);
    assert!(at(offset_of!(WriterArea, floor)) == 0x200);
    assert!(at(offset_of!(WriterArea, writer_state)) == 0x280);
    assert!(at(offset_of!(WriterArea, writer_flags)) == 0x284);
    assert!(at(offset_of!(WriterArea, writer_generation)) == 0x288);
    assert!(at(offset_of!(WriterArea, writer_pid)) == 0x290);
    assert!(at(offset_of!(WriterArea, writer_pid_namespace)) == 0x298);
    assert!(at(offset_of!(WriterArea, writer_start_time)) == 0x2a0);
    assert!(at(offset_of!(WriterArea, writer_attached_ns)) == 0x2a8);
    assert!(at(offset_of!(WriterArea, dropped_frames)) == 0x300);
    assert!(at(offset_of!(WriterArea, full_waits)) == 0x308);
    assert!(at(offset_of!(WriterArea, takeovers)) == 0x310);
    assert!(at(offset_of!(WriterArea, high_water_bytes)) == 0x318);
    assert!(at(offset_of!(WriterArea, wakes)) == 0x320);
    assert!(at(offset_of!(WriterArea, skipped_bytes)) == 0x328);
    assert!(at(offset_of!(WriterArea, gaps)) == 0x330);
    assert!(at(offset_of!(WriterArea, metadata_generation)) == 0x380);
    assert!(at(offset_of!(WriterArea, segment_state)) == 0x400);
    assert!(at(size_of::<WriterArea>()) <= OIEB_BYTES);
    assert!(offset_of!(RegistryHeader, sleepers) == 0);
    assert!(offset_of!(RegistryHeader, writer_waiting) == 0x80);
    assert!(offset_of!(RegistryHeader, writer_wants) == 0x88);
    assert!(offset_of!(RegistryHeader, active) == 0x100);
    assert!(size_of::<RegistryHeader>() == REGISTRY_HEADER_BYTES as usize);
    assert!(offset_of!(Slot, cursor) == 0);
    assert!(offset_of!(Slot, read_position) == 0x08);
    assert!(offset_of!(Slot, read_sequence) == 0x10);
    assert!(offset_of!(Slot, bytes_read) == 0x18);
    assert!(offset_of!(Slot, skipped_bytes) == 0x20);
    assert!(offset_of!(Slot, metadata_held) == 0x28);
    assert!(offset_of!(Slot, missed) == 0x38);
    assert!(offset_of!(Slot, parks) == 0x40);
    assert!(offset_of!(Slot, ticket) == 0x48);
    assert!(offset_of!(Slot, frames_read) == 0x50);
    assert!(offset_of!(Slot, exported) == 0x58);
    assert!(offset_of!(Slot, state) == 0x80);
    assert!(offset_of!(Slot, kind) == 0x84);
    assert!(offset_of!(Slot, wait_flag) == 0x88);
    assert!(offset_of!(Slot, flags) == 0x8c);
    assert!(offset_of!(Slot, generation) == 0x90);
    assert!(offset_of!(Slot, pid) == 0x98);
    assert!(offset_of!(Slot, owner_state) == 0x9c);
    assert!(offset_of!(Slot, start_time) == 0xa0);
    assert!(offset_of!(Slot, pid_namespace) == 0xa8);
    assert!(offset_of!(Slot, attached_ns) == 0xb0);
    assert!(offset_of!(Slot, group) == 0xb8);
    assert!(offset_of!(Slot, name) == 0xc0);
    assert!(size_of::<Slot>() == SLOT_BYTES as usize);
    assert!(offset_of!(GroupHeader, waiting) == 0);
    assert!(offset_of!(GroupHeader, tickets) == 0x08);
    assert!(offset_of!(GroupHeader, redelivered) == 0x10);
    assert!(size_of::<GroupHeader>() == GROUP_HEADER_BYTES as usize);
};

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

    /// Offset of a position in the ring.
    #[inline(always)]
    pub(crate) fn offset(&self, position: Position) -> u64 {
        position.0 & (self.capacity - 1)
    }
}

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

/// Why a file is not a usable 2.0 segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LayoutProblem {
    /// Another major version.
    Version([u8; 4]),
    /// Feature bits that must be known are not.
    Features(u64),
    /// A value contradicts the others: field, found, expected.
    Field { field: &'static str, found: u64, expected: &'static str },
    /// The file does not have the size it says.
    Size { found: u64, expected: u64 },
}

impl std::fmt::Display for LayoutProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version([major, minor, patch, _]) => write!(f, "version {major}.{minor}.{patch}"),
            Self::Features(bits) => write!(f, "unknown feature bits {bits:#x}"),
            Self::Field { field, found, expected } => {
                write!(f, "{field} is {found:#x}, expected {expected}")
            }
            Self::Size { found, expected } => {
                write!(f, "the file has {found} bytes, its OIEB says {expected}")
            }
        }
    }
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
        let header = if wish.timestamps { 16 } else { 8 };
        Ok(Self {
            frames: FrameGeometry::new(capacity, header, ALIGN_THRESHOLD)
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
    fn with_offsets(mut self) -> Self {
        let page = self.page_bytes;
        let groups = u64::from(self.group_count) * self.group_bytes();
        let registry =
            REGISTRY_HEADER_BYTES + u64::from(self.slot_count) * u64::from(SLOT_BYTES) + groups;
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
        GROUP_HEADER_BYTES + 8 * u64::from(self.group_entries)
    }

    /// Offset of a work group's header; its entries follow.
    pub(crate) fn group_offset(&self, group: u32) -> u64 {
        let slots = u64::from(self.slot_count) * u64::from(SLOT_BYTES);
        let first = self.registry_offset + REGISTRY_HEADER_BYTES + slots;
        first + u64::from(group) * self.group_bytes()
    }

    /// Whether frames carry the time of their commit.
    pub(crate) fn timestamps(&self) -> bool {
        self.frames.header == 16
    }

    /// Offset of metadata copy 0 or 1.
    pub(crate) fn metadata_copy(&self, copy: u64) -> u64 {
        self.metadata_offset + (copy & 1) * (METADATA_HEAD + self.metadata_bytes)
    }

    /// The OIEB of a new segment.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut oieb = vec![0; OIEB_BYTES];
        let mut put =
            |offset: usize, bytes: &[u8]| oieb[offset..offset + bytes.len()].copy_from_slice(bytes);
        put(0x000, &(OIEB_BYTES as u32).to_le_bytes());
        put(0x004, &self.version);
        put(0x008, &MAGIC);
        let timestamps = if self.timestamps() { FEATURE_TIMESTAMPS } else { 0 };
        let sharing = if self.sharing { FEATURE_SHARING } else { 0 };
        let attributes = if self.frames.attributes { FEATURE_ATTRIBUTES } else { 0 };
        put(0x018, &(timestamps | sharing | attributes).to_le_bytes());
        put(0x028, &self.segment_id.to_le_bytes());
        put(0x030, &self.segment_bytes.to_le_bytes());
        put(0x038, &(self.page_bytes as u32).to_le_bytes());
        put(0x03c, &(self.frames.header as u32).to_le_bytes());
        put(0x040, &self.registry_offset.to_le_bytes());
        put(0x048, &self.slot_count.to_le_bytes());
        put(0x04c, &SLOT_BYTES.to_le_bytes());
        put(0x050, &self.metadata_offset.to_le_bytes());
        put(0x058, &self.metadata_bytes.to_le_bytes());
        put(0x060, &self.payload_offset.to_le_bytes());
        put(0x068, &self.frames.capacity.to_le_bytes());
        put(0x070, &self.frames.align_threshold.to_le_bytes());
        put(0x078, &self.start_position.0.to_le_bytes());
        put(0x080, &self.boot_id);
        put(0x090, &self.created_ns.to_le_bytes());
        put(0x098, &self.creator_pid.to_le_bytes());
        put(0x0a0, &self.group_count.to_le_bytes());
        put(0x0a4, &self.group_entries.to_le_bytes());
        for offset in [0x100, 0x110, 0x180, 0x200] {
            put(offset, &self.start_position.0.to_le_bytes());
        }
        put(0x400, &segment_state::READY.to_le_bytes());
        oieb
    }

    /// Checks an OIEB against `PROTOCOL.md` section 10 and against the file's size.
    ///
    /// `observe` allows feature bits that only forbid taking part.
    pub(crate) fn parse(
        oieb: &[u8; OIEB_BYTES],
        file_bytes: u64,
        own_page: u64,
        observe: bool,
    ) -> Result<Self, LayoutProblem> {
        let u32_at = |offset: usize| {
            u32::from_le_bytes([oieb[offset], oieb[offset + 1], oieb[offset + 2], oieb[offset + 3]])
        };
        let u64_at =
            |offset: usize| u64::from(u32_at(offset)) | u64::from(u32_at(offset + 4)) << 32;
        let require = |holds: bool, field, found, expected| {
            if holds { Ok(()) } else { Err(LayoutProblem::Field { field, found, expected }) }
        };
        let version = [oieb[4], oieb[5], oieb[6], oieb[7]];
        require(oieb[8..16] == MAGIC, "magic", u64_at(8), "the bytes ZEROBUF2")?;
        if version[0] != VERSION[0] {
            return Err(LayoutProblem::Version(version));
        }
        require(u32_at(0) as usize == OIEB_BYTES, "oieb_size", u32_at(0).into(), "4096")?;
        let known = FEATURE_TIMESTAMPS | FEATURE_SHARING | FEATURE_ATTRIBUTES;
        let unknown = u64_at(0x10) | if observe { 0 } else { u64_at(0x18) & !known };
        if unknown != 0 {
            return Err(LayoutProblem::Features(unknown));
        }
        let page = u64::from(u32_at(0x38));
        require(
            page.is_power_of_two() && page % own_page == 0,
            "page_bytes",
            page,
            "a power of two and a multiple of this system's page",
        )?;
        let timestamps = u64_at(0x18) & FEATURE_TIMESTAMPS != 0;
        let header = u64::from(u32_at(0x3c));
        require(
            header == if timestamps { 16 } else { 8 },
            "frame_header_bytes",
            header,
            "16 with timestamps, 8 without",
        )?;
        require(u32_at(0x4c) == SLOT_BYTES, "slot_bytes", u32_at(0x4c).into(), "256")?;
        let slot_count = u32_at(0x48);
        require((1..=MAX_SLOTS).contains(&slot_count), "slot_count", slot_count.into(), "1 to 64")?;
        let (group_count, group_entries) = (u32_at(0xa0), u32_at(0xa4));
        require(group_count <= MAX_GROUPS, "group_count", group_count.into(), "0 to 64")?;
        require(
            match group_count {
                0 => group_entries == 0,
                _ => group_entries.is_power_of_two() && group_entries <= MAX_GROUP_ENTRIES,
            },
            "group_entries",
            group_entries.into(),
            "a power of two up to 2^20, 0 without groups",
        )?;
        let metadata_bytes = u64_at(0x58);
        require(
            metadata_bytes % 8 == 0 && metadata_bytes <= MAX_METADATA,
            "metadata_bytes",
            metadata_bytes,
            "a multiple of 8 up to 2^30",
        )?;
        let capacity = u64_at(0x68);
        require(
            capacity.is_power_of_two() && capacity >= page && capacity <= MAX_CAPACITY,
            "payload_bytes",
            capacity,
            "a power of two from one page to 2^32",
        )?;
        let align_threshold = u64_at(0x70);
        require(align_threshold >= CACHE_LINE, "align_threshold", align_threshold, "at least 64")?;
        let start_position = u64_at(0x78);
        require(
            start_position % CACHE_LINE == 0,
            "start_position",
            start_position,
            "a multiple of 64",
        )?;
        let mut boot_id = [0; 16];
        boot_id.copy_from_slice(&oieb[0x80..0x90]);
        let layout = Self {
            frames: FrameGeometry::new(capacity, header, align_threshold)
                .with_attributes(u64_at(0x18) & FEATURE_ATTRIBUTES != 0),
            slot_count,
            group_count,
            group_entries,
            sharing: u64_at(0x18) & FEATURE_SHARING != 0,
            page_bytes: page,
            registry_offset: u64_at(0x40),
            metadata_offset: u64_at(0x50),
            metadata_bytes,
            payload_offset: u64_at(0x60),
            segment_bytes: u64_at(0x30),
            start_position: Position(start_position),
            segment_id: u64_at(0x28),
            boot_id,
            created_ns: u64_at(0x90),
            creator_pid: u32_at(0x98),
            version,
        };
        let expected = layout.clone().with_offsets();
        for (field, found, wanted) in [
            ("registry_offset", layout.registry_offset, expected.registry_offset),
            ("metadata_offset", layout.metadata_offset, expected.metadata_offset),
            ("payload_offset", layout.payload_offset, expected.payload_offset),
            ("segment_bytes", layout.segment_bytes, expected.segment_bytes),
        ] {
            require(found == wanted, field, found, "the offset that the region sizes give")?;
        }
        if file_bytes != layout.segment_bytes {
            return Err(LayoutProblem::Size { found: file_bytes, expected: layout.segment_bytes });
        }
        Ok(layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    fn encoded(layout: &Layout) -> [u8; OIEB_BYTES] {
        layout.encode().try_into().unwrap()
    }

    #[test]
    fn what_is_encoded_is_what_is_parsed() {
        for (payload_bytes, metadata_bytes, timestamps) in [
            (1, 0, false),
            (4096, 1, true),
            (4097, 4096, false),
            (MAX_CAPACITY, MAX_METADATA, true),
        ] {
            let wish = Wish { payload_bytes, metadata_bytes, timestamps, ..wish() };
            let layout = Layout::build(&wish, BIRTH).unwrap();
            assert_eq!(
                Layout::parse(&encoded(&layout), layout.segment_bytes, 4096, false),
                Ok(layout)
            );
        }
    }

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

    #[test]
    fn each_wrong_field_is_named() {
        let layout = Layout::build(&wish(), BIRTH).unwrap();
        for (offset, name) in [
            (0x000, "oieb_size"),
            (0x008, "magic"),
            (0x030, "segment_bytes"),
            (0x038, "page_bytes"),
            (0x03c, "frame_header_bytes"),
            (0x040, "registry_offset"),
            (0x048, "slot_count"),
            (0x04c, "slot_bytes"),
            (0x050, "metadata_offset"),
            (0x058, "metadata_bytes"),
            (0x060, "payload_offset"),
            (0x068, "payload_bytes"),
            (0x078, "start_position"),
            (0x0a0, "group_count"),
            (0x0a4, "group_entries"),
        ] {
            let mut oieb = encoded(&layout);
            oieb[offset + 1] ^= 0x55;
            oieb[offset] ^= 3;
            let problem = Layout::parse(&oieb, layout.segment_bytes, 4096, false).unwrap_err();
            assert!(problem.to_string().contains(name), "{name}: {problem}");
        }
        let mut oieb = encoded(&layout);
        oieb[4] = 3;
        let problem = Layout::parse(&oieb, layout.segment_bytes, 4096, false);
        assert_eq!(problem, Err(LayoutProblem::Version([3, 0, 0, 0])));
        let mut oieb = encoded(&layout);
        oieb[0x19] = 1;
        let problem = Layout::parse(&oieb, layout.segment_bytes, 4096, false);
        assert_eq!(problem, Err(LayoutProblem::Features(0x100)));
        assert!(Layout::parse(&oieb, layout.segment_bytes, 4096, true).is_ok());
        let cut = Layout::parse(&encoded(&layout), layout.segment_bytes - 1, 4096, false);
        assert!(matches!(cut, Err(LayoutProblem::Size { .. })));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_never_parse_to_something_larger_than_the_file(
            changes in proptest::collection::vec((0usize..0xc0, any::<u8>()), 0..12),
            file in any::<u64>(),
        ) {
            let layout = Layout::build(&wish(), BIRTH).unwrap();
            let mut oieb = encoded(&layout);
            for (offset, byte) in changes {
                oieb[offset] = byte;
            }
            for size in [file, layout.segment_bytes] {
                if let Ok(parsed) = Layout::parse(&oieb, size, 4096, false) {
                    prop_assert_eq!(parsed.payload_offset + parsed.frames.capacity, size);
                }
            }
        }
    }
}
