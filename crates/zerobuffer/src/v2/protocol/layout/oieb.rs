//! The OIEB of a new segment, and the checks of one that was found.

use super::areas::{
    FEATURE_ATTRIBUTES, FEATURE_SHARING, FEATURE_TIMESTAMPS, MAGIC, MAX_SLOTS, OIEB_BYTES, Oieb,
    SLOT_BYTES, VERSION, segment_state,
};
use super::geometry::{CACHE_LINE, FrameGeometry};
use super::sizes::{
    Layout, MAX_CAPACITY, MAX_GROUP_ENTRIES, MAX_GROUPS, MAX_METADATA, header_bytes,
};
use crate::field::field;
use crate::v2::protocol::position::Position;

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

impl Layout {
    /// The OIEB of a new segment.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let timestamps = if self.timestamps() { FEATURE_TIMESTAMPS } else { 0 };
        let sharing = if self.sharing { FEATURE_SHARING } else { 0 };
        let attributes = if self.frames.attributes { FEATURE_ATTRIBUTES } else { 0 };
        let bytes = &mut vec![0; OIEB_BYTES];
        field!(Oieb.creator.oieb_size).put(bytes, OIEB_BYTES as u32);
        field!(Oieb.creator.version).put(bytes, self.version);
        field!(Oieb.creator.magic).put(bytes, MAGIC);
        field!(Oieb.creator.features_observe).put(bytes, timestamps | sharing | attributes);
        field!(Oieb.creator.segment_id).put(bytes, self.segment_id);
        field!(Oieb.creator.segment_bytes).put(bytes, self.segment_bytes);
        field!(Oieb.creator.page_bytes).put(bytes, self.page_bytes as u32);
        field!(Oieb.creator.frame_header_bytes).put(bytes, self.frames.header as u32);
        field!(Oieb.creator.registry_offset).put(bytes, self.registry_offset);
        field!(Oieb.creator.slot_count).put(bytes, self.slot_count);
        field!(Oieb.creator.slot_bytes).put(bytes, SLOT_BYTES);
        field!(Oieb.creator.metadata_offset).put(bytes, self.metadata_offset);
        field!(Oieb.creator.metadata_bytes).put(bytes, self.metadata_bytes);
        field!(Oieb.creator.payload_offset).put(bytes, self.payload_offset);
        field!(Oieb.creator.payload_bytes).put(bytes, self.frames.capacity);
        field!(Oieb.creator.align_threshold).put(bytes, self.frames.align_threshold);
        field!(Oieb.creator.start_position).put(bytes, self.start_position.0);
        field!(Oieb.creator.boot_id).put(bytes, self.boot_id);
        field!(Oieb.creator.created_ns).put(bytes, self.created_ns);
        field!(Oieb.creator.creator_pid).put(bytes, self.creator_pid);
        field!(Oieb.creator.group_count).put(bytes, self.group_count);
        field!(Oieb.creator.group_entries).put(bytes, self.group_entries);
        field!(Oieb.writer.head).put(bytes, self.start_position.0);
        field!(Oieb.writer.newest).put(bytes, self.start_position.0);
        field!(Oieb.writer.reserve).put(bytes, self.start_position.0);
        field!(Oieb.writer.floor).put(bytes, self.start_position.0);
        field!(Oieb.writer.segment_state).put(bytes, segment_state::READY);
        std::mem::take(bytes)
    }

    /// Checks an OIEB against `docs/protocol/2.0.md` section 10 and against the file's size.
    ///
    /// `observe` allows feature bits that only forbid taking part.
    pub(crate) fn parse(
        oieb: &[u8; OIEB_BYTES],
        file_bytes: u64,
        own_page: u64,
        observe: bool,
    ) -> Result<Self, LayoutProblem> {
        let require = |holds: bool, field, found, expected| {
            if holds { Ok(()) } else { Err(LayoutProblem::Field { field, found, expected }) }
        };
        let found = field!(Oieb.creator).get(oieb);
        let magic = u64::from_le_bytes(found.magic);
        require(found.magic == MAGIC, "magic", magic, "the bytes ZEROBUF2")?;
        if found.version[0] != VERSION[0] {
            return Err(LayoutProblem::Version(found.version));
        }
        let oieb_size = found.oieb_size;
        require(oieb_size as usize == OIEB_BYTES, "oieb_size", oieb_size.into(), "4096")?;
        let known = FEATURE_TIMESTAMPS | FEATURE_SHARING | FEATURE_ATTRIBUTES;
        let unknown =
            found.features_required | if observe { 0 } else { found.features_observe & !known };
        if unknown != 0 {
            return Err(LayoutProblem::Features(unknown));
        }
        let page = u64::from(found.page_bytes);
        require(
            page.is_power_of_two() && page % own_page == 0,
            "page_bytes",
            page,
            "a power of two and a multiple of this system's page",
        )?;
        let timestamps = found.features_observe & FEATURE_TIMESTAMPS != 0;
        let header = u64::from(found.frame_header_bytes);
        require(
            header == header_bytes(timestamps),
            "frame_header_bytes",
            header,
            "16 with timestamps, 8 without",
        )?;
        let slot_bytes = found.slot_bytes;
        require(slot_bytes == SLOT_BYTES, "slot_bytes", slot_bytes.into(), "256")?;
        let slot_count = found.slot_count;
        require((1..=MAX_SLOTS).contains(&slot_count), "slot_count", slot_count.into(), "1 to 64")?;
        let (group_count, group_entries) = (found.group_count, found.group_entries);
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
        let metadata_bytes = found.metadata_bytes;
        require(
            metadata_bytes % 8 == 0 && metadata_bytes <= MAX_METADATA,
            "metadata_bytes",
            metadata_bytes,
            "a multiple of 8 up to 2^30",
        )?;
        let capacity = found.payload_bytes;
        require(
            capacity.is_power_of_two() && capacity >= page && capacity <= MAX_CAPACITY,
            "payload_bytes",
            capacity,
            "a power of two from one page to 2^32",
        )?;
        let align_threshold = found.align_threshold;
        require(align_threshold >= CACHE_LINE, "align_threshold", align_threshold, "at least 64")?;
        let start_position = found.start_position;
        require(
            start_position % CACHE_LINE == 0,
            "start_position",
            start_position,
            "a multiple of 64",
        )?;
        let layout = Self {
            frames: FrameGeometry::new(capacity, header, align_threshold)
                .with_attributes(found.features_observe & FEATURE_ATTRIBUTES != 0),
            slot_count,
            group_count,
            group_entries,
            sharing: found.features_observe & FEATURE_SHARING != 0,
            page_bytes: page,
            registry_offset: found.registry_offset,
            metadata_offset: found.metadata_offset,
            metadata_bytes,
            payload_offset: found.payload_offset,
            segment_bytes: found.segment_bytes,
            start_position: Position(start_position),
            segment_id: found.segment_id,
            boot_id: found.boot_id,
            created_ns: found.created_ns,
            creator_pid: found.creator_pid,
            version: found.version,
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
    use proptest::prelude::*;

    use super::*;
    use crate::field::Value as _;
    use crate::v2::protocol::layout::{Birth, CreatorArea, Wish};

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
    fn each_wrong_field_is_named() {
        let layout = Layout::build(&wish(), BIRTH).unwrap();
        macro_rules! named {
            ($($field:ident),*) => {
                [$((field!(Oieb.creator.$field).offset() as usize, stringify!($field))),*]
            };
        }
        let fields = named![
            oieb_size,
            magic,
            segment_bytes,
            page_bytes,
            frame_header_bytes,
            registry_offset,
            slot_count,
            slot_bytes,
            metadata_offset,
            metadata_bytes,
            payload_offset,
            payload_bytes,
            start_position,
            group_count,
            group_entries
        ];
        for (offset, name) in fields {
            let mut oieb = encoded(&layout);
            oieb[offset + 1] ^= 0x55;
            oieb[offset] ^= 3;
            let problem = Layout::parse(&oieb, layout.segment_bytes, 4096, false).unwrap_err();
            assert!(problem.to_string().contains(name), "{name}: {problem}");
        }
        let mut oieb = encoded(&layout);
        field!(Oieb.creator.version).put(&mut oieb, [3, 0, 0, 0]);
        let problem = Layout::parse(&oieb, layout.segment_bytes, 4096, false);
        assert_eq!(problem, Err(LayoutProblem::Version([3, 0, 0, 0])));
        let mut oieb = encoded(&layout);
        field!(Oieb.creator.features_observe)
            .put(&mut oieb, FEATURE_TIMESTAMPS | FEATURE_SHARING | 1 << 8);
        let problem = Layout::parse(&oieb, layout.segment_bytes, 4096, false);
        assert_eq!(problem, Err(LayoutProblem::Features(1 << 8)));
        assert!(Layout::parse(&oieb, layout.segment_bytes, 4096, true).is_ok());
        let cut = Layout::parse(&encoded(&layout), layout.segment_bytes - 1, 4096, false);
        assert!(matches!(cut, Err(LayoutProblem::Size { .. })));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_never_parse_to_something_larger_than_the_file(
            changes in proptest::collection::vec((0..CreatorArea::BYTES, any::<u8>()), 0..12),
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
