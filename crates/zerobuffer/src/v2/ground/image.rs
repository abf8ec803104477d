//! A buffer as its file shows it to somebody from outside: of a live buffer, of one that all have left, or of a copy.
//!
//! The file is read, not mapped, so nothing in it can harm the one who looks: a file that is cut short meanwhile is an error.
//! The OIEB and the slots are those of the moment when the image was taken, one read after the other, so that of a live buffer
//! they may not fit together. Words of the ring and tables of groups are read when they are asked for.

use std::cell::{Cell, OnceCell};
use std::io;
use std::os::fd::BorrowedFd;

use crate::field::{Value as _, field};
use crate::sync::AtomicU64;
use crate::sys::{fields, file, lock};
use crate::v2::protocol::layout::{
    FrameGeometry, GroupHeader, Layout, METADATA_HEAD, MetadataHeader, Oieb, Slot, WriterArea,
    slot_lock,
};
use crate::v2::protocol::position::Position;
use crate::v2::rules::group::Table;
use crate::v2::rules::memory::ReadMemory;
use crate::values::config::ReaderKind;

/// How often to read metadata that is being replaced.
const METADATA_ATTEMPTS: u32 = 100;

/// The bytes of a buffer's file.
pub(crate) struct Image<'a> {
    fd: BorrowedFd<'a>,
    layout: &'a Layout,
    writer: WriterArea,
    slots: Vec<Slot>,
    groups: Vec<OnceCell<Group>>,
    /// A read or a look at a lock that failed, where the answer could not tell.
    failure: Cell<Option<io::Error>>,
}

/// A copy of a work group's table.
struct Group {
    header: GroupHeader,
    entries: Vec<AtomicU64>,
}

/// The newest version of the metadata.
pub(crate) struct ImageMetadata {
    pub(crate) generation: u64,
    /// `None`: there is none. An error says in words why it cannot be had.
    pub(crate) bytes: Result<Option<Vec<u8>>, String>,
}

impl<'a> Image<'a> {
    /// Reads the control words of a file whose layout was checked.
    pub(crate) fn take(fd: BorrowedFd<'a>, layout: &'a Layout) -> io::Result<Self> {
        let writer = fields::load(fd, Layout::OIEB, field!(Oieb.writer))?;
        let slots = layout.slot_count as usize * Slot::BYTES;
        let slots = fields::read_bytes(fd, layout.slot(0).offset(), slots)?;
        let slots = slots.chunks_exact(Slot::BYTES).map(Slot::decode).collect();
        let groups = (0..layout.group_count).map(|_| OnceCell::new()).collect();
        Ok(Self { fd, layout, writer, slots, groups, failure: Cell::new(None) })
    }

    /// What was asked of the image, unless some of it could not be read.
    pub(crate) fn checked<T>(&self, answer: T) -> io::Result<T> {
        match self.failure.take() {
            None => Ok(answer),
            Some(error) => Err(error),
        }
    }

    /// The newest version of the metadata, with its bytes as they were together at one moment.
    pub(crate) fn metadata(&self) -> io::Result<ImageMetadata> {
        let newest =
            || fields::load(self.fd, Layout::OIEB, field!(Oieb.writer.metadata_generation));
        let mut generation = newest()?;
        for _ in 0..METADATA_ATTEMPTS {
            let capacity = self.layout.metadata_bytes;
            if generation == 0 || capacity == 0 {
                return Ok(ImageMetadata { generation, bytes: Ok(None) });
            }
            let copy = self.layout.metadata_copy(generation);
            let len = fields::load(self.fd, copy, field!(MetadataHeader.length))?;
            if len > capacity {
                let problem = format!("metadata of {len} bytes in a block of {capacity}");
                return Ok(ImageMetadata { generation, bytes: Err(problem) });
            }
            let start = copy.offset() + METADATA_HEAD;
            let bytes = fields::read_bytes(self.fd, start, len as usize)?;
            // Once another version is there, the one behind that may be on its way to the bytes just read.
            let seen = std::mem::replace(&mut generation, newest()?);
            if seen == generation {
                return Ok(ImageMetadata { generation, bytes: Ok(Some(bytes)) });
            }
        }
        let problem = "its metadata is replaced faster than it can be read".to_owned();
        Ok(ImageMetadata { generation, bytes: Err(problem) })
    }

    /// Whether the kernel says that the owner of a slot lives; an export has several, who share its lock.
    pub(crate) fn is_alive(&self, kind: ReaderKind, index: u32) -> bool {
        let is_held = match kind {
            ReaderKind::Export => lock::is_shared_or_held(self.fd, slot_lock(index)),
            _ => lock::is_held(self.fd, slot_lock(index)),
        };
        self.or_note(is_held).unwrap_or(false)
    }

    fn read_group(&self, table: u32) -> io::Result<Group> {
        let at = self.layout.group(table);
        let first = at.offset() + GroupHeader::BYTES as u64;
        let entries = fields::read_bytes(self.fd, first, 8 * self.layout.group_entries as usize)?;
        let entries = entries.chunks_exact(8).map(|word| AtomicU64::new(u64::decode(word)));
        Ok(Group { header: fields::load_all(self.fd, at)?, entries: entries.collect() })
    }

    fn or_note<T>(&self, read: io::Result<T>) -> Option<T> {
        read.map_err(|error| self.failure.set(Some(error))).ok()
    }
}

impl ReadMemory for Image<'_> {
    fn frames(&self) -> &FrameGeometry {
        &self.layout.frames
    }

    fn writer(&self) -> &WriterArea {
        &self.writer
    }

    fn slots(&self) -> &[Slot] {
        &self.slots
    }

    fn find_group(&self, table: u64) -> Option<Table<'_>> {
        let group = self.groups.get(usize::try_from(table).ok()?)?;
        if group.get().is_none() {
            let read = self.or_note(self.read_group(table as u32))?;
            // It is empty.
            let _ = group.set(read);
        }
        group.get().map(|Group { header, entries }| Table { header, entries })
    }

    fn load_word(&self, position: Position) -> u64 {
        let mut word = [0; 8];
        let read = file::read_at(self.fd, &mut word, self.layout.word(position));
        self.or_note(read).map_or(0, |()| u64::from_le_bytes(word))
    }
}
