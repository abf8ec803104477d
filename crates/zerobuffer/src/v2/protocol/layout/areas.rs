//! What lies where in a buffer's file: each field with its offset, its type and its meaning.
//!
//! `docs/protocol/2.0.md`, sections 1 to 3 and 8, has the same tables for people. The offsets of [`CreatorArea`] and [`WriterArea`] are
//! those in the OIEB, the others begin with their area.

use crate::field::{Pad, Value as _, area};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Size of the OIEB, and its first field's value.
pub(crate) const OIEB_BYTES: usize = 4096;
/// Protocol version written into new segments.
pub(crate) const VERSION: [u8; 4] = [2, 0, 0, 0];
/// Value of `magic`.
pub(crate) const MAGIC: [u8; 8] = *b"ZEROBUF2";
/// Bit of `features_observe`: frames carry the time of their commit.
pub(crate) const FEATURE_TIMESTAMPS: u64 = 1;
/// Bit of `features_observe`: frames may lie in other buffers, and other buffers' frames in this one.
pub(crate) const FEATURE_SHARING: u64 = 2;
/// Feature (observe): frames may have an attribute block in front of their payload.
pub(crate) const FEATURE_ATTRIBUTES: u64 = 4;
/// Most slots a registry can have: one bit each in `sleepers`.
pub(crate) const MAX_SLOTS: u32 = 64;
/// Bits of a slot's number.
pub(crate) const SLOT_INDEX_BITS: u32 = MAX_SLOTS.ilog2();
/// Size of one reader slot, and the value of `slot_bytes`.
pub(crate) const SLOT_BYTES: u32 = Slot::BYTES as u32;
/// Long skips that readers may be before while the Writer uses their bytes; see `ring::Room`.
pub(crate) const GAPS: usize = 3;
/// Bits of a frame's number in its commit word.
pub(crate) const FRAME_NUMBER_BITS: u32 = 28;

const SLOT_NAME_BYTES: usize = 32;

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

area! {
    /// The fields in use of the OIEB, which begins the file; the rest of its page is zero and reserved.
    #[derive(Debug)]
    pub(crate) struct Oieb at 0x000, 0x408 {
        0x000 pub(crate) creator: CreatorArea,
        0x100 pub(crate) writer: WriterArea,
    }
}

area! {
    /// The part of the OIEB that the creator writes, before the file has its name.
    #[derive(Debug)]
    pub(crate) struct CreatorArea at 0x000, 0x100 {
        /// [`OIEB_BYTES`]; 128 in protocol 1.0.
        0x000 pub(crate) oieb_size: u32,
        /// See [`VERSION`].
        0x004 pub(crate) version: [u8; 4],
        /// See [`MAGIC`].
        0x008 pub(crate) magic: [u8; 8],
        /// Whoever does not know a bit refuses the buffer.
        0x010 pub(crate) features_required: u64,
        /// Whoever does not know a bit may only look on.
        0x018 pub(crate) features_observe: u64,
        /// Whoever does not know a bit ignores it.
        0x020 pub(crate) features_optional: u64,
        /// Random; names this incarnation of the file.
        0x028 pub(crate) segment_id: u64,
        /// Size of the file.
        0x030 pub(crate) segment_bytes: u64,
        /// The creator's page size. Each region is a multiple of it.
        0x038 pub(crate) page_bytes: u32,
        /// 8, or 16 with timestamps.
        0x03c pub(crate) frame_header_bytes: u32,
        0x040 pub(crate) registry_offset: u64,
        0x048 pub(crate) slot_count: u32,
        /// See [`SLOT_BYTES`].
        0x04c pub(crate) slot_bytes: u32,
        0x050 pub(crate) metadata_offset: u64,
        /// Capacity of one copy of the metadata. There are two.
        0x058 pub(crate) metadata_bytes: u64,
        0x060 pub(crate) payload_offset: u64,
        /// Capacity of the ring.
        0x068 pub(crate) payload_bytes: u64,
        /// Payloads of at least this many bytes start on a cache line.
        0x070 pub(crate) align_threshold: u64,
        /// Position of the first frame.
        0x078 pub(crate) start_position: u64,
        /// The kernel's boot id.
        0x080 pub(crate) boot_id: [u8; 16],
        /// Nanoseconds since 1970.
        0x090 pub(crate) created_ns: u64,
        0x098 pub(crate) creator_pid: u32,
        0x09c _pad0: u32,
        /// Tables for work groups.
        0x0a0 pub(crate) group_count: u32,
        /// Entries of each table; 0 without tables.
        0x0a4 pub(crate) group_entries: u32,
        0x0a8 _pad1: Pad<11>,
    }
}

area! {
    /// The part of the OIEB that the Writer changes.
    #[derive(Debug, Default)]
    pub(crate) struct WriterArea at 0x100, 0x308 {
        /// Position behind the newest published frame.
        0x100 pub(crate) head: AtomicU64,
        /// Number of that frame.
        0x108 pub(crate) sequence: AtomicU64,
        /// Position of that frame.
        0x110 pub(crate) newest: AtomicU64,
        /// Payload bytes since creation.
        0x118 pub(crate) bytes_committed: AtomicU64,
        0x120 _pad0: Pad<12>,
        /// End of everything the Writer may have touched; never goes down.
        0x180 pub(crate) reserve: AtomicU64,
        0x188 _pad1: Pad<15>,
        /// Below it everything may be overwritten.
        0x200 pub(crate) floor: AtomicU64,
        0x208 _pad2: Pad<15>,
        /// See [`writer_state`].
        0x280 pub(crate) writer_state: AtomicU32,
        /// Bit 0: relies on sleepers' membarrier.
        0x284 pub(crate) writer_flags: AtomicU32,
        /// One more at each attach.
        0x288 pub(crate) writer_generation: AtomicU64,
        /// In the Writer's own PID namespace.
        0x290 pub(crate) writer_pid: AtomicU32,
        0x294 _pad3: u32,
        0x298 pub(crate) writer_pid_namespace: AtomicU64,
        0x2a0 pub(crate) writer_start_time: AtomicU64,
        /// Nanoseconds since 1970.
        0x2a8 pub(crate) writer_attached_ns: AtomicU64,
        0x2b0 _pad4: Pad<10>,
        /// By the full-policy.
        0x300 pub(crate) dropped_frames: AtomicU64,
        /// Calls that met a full ring.
        0x308 pub(crate) full_waits: AtomicU64,
        /// Attaches after a Writer died.
        0x310 pub(crate) takeovers: AtomicU64,
        0x318 pub(crate) high_water_bytes: AtomicU64,
        0x320 pub(crate) wakes: AtomicU64,
        /// Sum of all skip frames.
        0x328 pub(crate) skipped_bytes: AtomicU64,
        /// Positions of the skips whose bytes the Writer may use while readers are before them, or of any frame.
        0x330 pub(crate) gaps: [AtomicU64; GAPS],
        0x348 _pad5: Pad<7>,
        /// 0: none yet.
        0x380 pub(crate) metadata_generation: AtomicU64,
        0x388 _pad6: Pad<15>,
        /// See [`segment_state`].
        0x400 pub(crate) segment_state: AtomicU32,
        0x404 _pad7: u32,
    }
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

area! {
    /// The registry's header. Slots follow, then tables of work groups.
    #[derive(Debug, Default)]
    pub(crate) struct RegistryHeader at 0x000, 0x200 {
        /// Bit i: reader slot i may sleep.
        0x000 pub(crate) sleepers: AtomicU64,
        0x008 _pad0: Pad<15>,
        /// 1: the Writer may sleep.
        0x080 pub(crate) writer_waiting: AtomicU32,
        0x084 _pad1: u32,
        /// Cursor position that the Writer waits for.
        0x088 pub(crate) writer_wants: AtomicU64,
        0x090 _pad2: Pad<14>,
        /// Bit i: slot i may be active; spares the Writer a look at those that are not.
        0x100 pub(crate) active: AtomicU64,
        0x108 _pad3: Pad<31>,
    }
}

area! {
    /// One reader's registration.
    #[derive(Debug, Default)]
    pub(crate) struct Slot at 0x00, 0x100 {
        /// Oldest position still needed.
        0x00 pub(crate) cursor: AtomicU64,
        /// Next position to hand out.
        0x08 pub(crate) read_position: AtomicU64,
        /// Number of the last frame handed out.
        0x10 pub(crate) read_sequence: AtomicU64,
        /// Payload bytes handed out.
        0x18 pub(crate) bytes_read: AtomicU64,
        /// Sum of the skip frames passed.
        0x20 pub(crate) skipped_bytes: AtomicU64,
        /// Generation of the metadata being looked at, per copy.
        0x28 pub(crate) metadata_held: [AtomicU64; 2],
        /// Of a lossy reader: frames overtaken.
        0x38 pub(crate) missed: AtomicU64,
        /// Times it slept.
        0x40 pub(crate) parks: AtomicU64,
        /// Of a group's member that waits: its turn.
        0x48 pub(crate) ticket: AtomicU64,
        /// Of a group's member: frames handed out.
        0x50 pub(crate) frames_read: AtomicU64,
        /// Of an export: end of the newest frame passed on.
        0x58 pub(crate) exported: AtomicU64,
        0x60 _pad0: Pad<4>,
        /// See [`slot_state`].
        0x80 pub(crate) state: AtomicU32,
        /// See [`slot_kind`].
        0x84 pub(crate) kind: AtomicU32,
        /// 1: sleeps.
        0x88 pub(crate) wait_flag: AtomicU32,
        /// See [`slot_flags`].
        0x8c pub(crate) flags: AtomicU32,
        /// One more at each attach.
        0x90 pub(crate) generation: AtomicU64,
        /// In its own PID namespace.
        0x98 pub(crate) pid: AtomicU32,
        /// See [`owner_state`].
        0x9c pub(crate) owner_state: AtomicU32,
        0xa0 pub(crate) start_time: AtomicU64,
        0xa8 pub(crate) pid_namespace: AtomicU64,
        /// Nanoseconds since 1970.
        0xb0 pub(crate) attached_ns: AtomicU64,
        /// Of an anchor: number of its table. Of a member: its anchor's slot. Of an export: `segment_id` of the target.
        0xb8 pub(crate) group: AtomicU64,
        0xc0 name: [AtomicU64; SLOT_NAME_BYTES / 8],
        0xe0 _pad1: Pad<4>,
    }
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
    pub(crate) fn name(&self) -> SlotName {
        let mut name = SlotName::default();
        for (bytes, word) in name.chunks_exact_mut(8).zip(&self.name) {
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        name
    }

    /// Writes the name; only the holder of the slot's lock does.
    pub(crate) fn set_name(&self, name: &SlotName) {
        for (bytes, word) in name.chunks_exact(8).zip(&self.name) {
            let mut value = [0; 8];
            value.copy_from_slice(bytes);
            word.store(u64::from_le_bytes(value), Ordering::Relaxed);
        }
    }
}

area! {
    /// What the members of a work group share. Entries of eight bytes follow, one a frame in turn.
    #[derive(Debug, Default)]
    pub(crate) struct GroupHeader at 0x00, 0x80 {
        /// Bit i: the member in slot i waits for its turn.
        0x00 pub(crate) waiting: AtomicU64,
        /// Next ticket.
        0x08 pub(crate) tickets: AtomicU64,
        /// Frames that were taken over from members that had died.
        0x10 pub(crate) redelivered: AtomicU64,
        0x18 _pad0: Pad<13>,
    }
}

area! {
    /// What precedes the bytes of each copy of the metadata.
    #[derive(Debug, Default)]
    pub(crate) struct MetadataHeader at 0x00, 0x10 {
        /// Length in bytes.
        0x00 pub(crate) length: AtomicU64,
        0x08 pub(crate) generation: AtomicU64,
    }
}

area! {
    /// What precedes a frame's payload in a buffer with timestamps; in others the commit word alone.
    #[derive(Debug, Default)]
    pub(crate) struct FrameHeader at 0x00, 0x10 {
        /// See [`word`](crate::v2::protocol::word).
        0x00 pub(crate) commit_word: AtomicU64,
        /// Nanoseconds of the monotonic clock; 0: unknown.
        0x08 pub(crate) committed_ns: AtomicU64,
    }
}
