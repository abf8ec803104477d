//! Deployed peers as models, for the languages that cannot run here: one switch for each disagreement of theirs
//! that concerns the ring (D6 to D10), or who takes over from whom (D2). They are models of the accounting, and of what
//! lies in the file system, not the peers themselves.

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;

use rustix::fs::{FlockOperation, flock};

use super::heap::Heap;
use super::support::{Unique, until};
use crate::sys::semaphore::{self, glibc::Theirs};
use crate::v1::ground::locks::FileId;
use crate::v1::ground::mapping::Mapping;
use crate::v1::ground::segment::own_pid;
use crate::v1::protocol::layout::{HEADER_BYTES, Sizes};
use crate::v1::rules::ring::{FrameHeader, Memory};

/// What a writer does with 1 to 15 bytes at the end (D7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    Unmarked,
    UnmarkedCounted,
    Fails,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct WriterHabits {
    /// D6: stores P, not 0, after an exact fit.
    pub(super) exact_fit_stores_end: bool,
    /// D7.
    pub(super) tail: Tail,
    /// D7: with the position at P and a reader at 0, writes past the end.
    pub(super) stuck_at_end: bool,
    /// D8: writes frames of zero bytes.
    pub(super) writes_empty: bool,
    /// D9: knows that a frame is too large, instead of waiting for room.
    pub(super) knows_too_large: bool,
}

pub(super) const CPP: WriterHabits = WriterHabits {
    exact_fit_stores_end: true,
    tail: Tail::Unmarked,
    stuck_at_end: false,
    writes_empty: false,
    knows_too_large: false,
};
pub(super) const PYTHON: WriterHabits = WriterHabits {
    exact_fit_stores_end: true,
    tail: Tail::UnmarkedCounted,
    stuck_at_end: true,
    writes_empty: false,
    knows_too_large: true,
};
pub(super) const PYTHON_ZERO_COPY: WriterHabits =
    WriterHabits { exact_fit_stores_end: false, ..PYTHON };
pub(super) const CSHARP: WriterHabits = WriterHabits {
    exact_fit_stores_end: false,
    tail: Tail::Fails,
    stuck_at_end: false,
    writes_empty: true,
    knows_too_large: true,
};

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrote {
    Frame,
    Full,
    Refused,
    /// The peer fails here, and at every later write.
    Stuck,
}

#[derive(Debug)]
pub(super) struct PeerWriter {
    habits: WriterHabits,
    pub(super) sequence: u64,
}

impl PeerWriter {
    pub(super) fn new(habits: WriterHabits) -> Self {
        Self { habits, sequence: 1 }
    }

    pub(super) fn write(&mut self, heap: &Heap, data: &[u8]) -> Wrote {
        let oieb = heap.oieb();
        let (capacity, total) = (heap.capacity(), HEADER_BYTES + data.len() as u64);
        if data.is_empty() && !self.habits.writes_empty {
            return Wrote::Refused;
        }
        if total > capacity {
            return if self.habits.knows_too_large { Wrote::Refused } else { Wrote::Full };
        }
        let mut at = oieb.payload_write_pos.load(SeqCst);
        let room = capacity - at;
        let needed = if room >= total { total } else { room + total };
        if oieb.payload_free_bytes.load(SeqCst) < needed {
            return Wrote::Full;
        }
        if room < total {
            if room >= HEADER_BYTES {
                heap.write_header(at, FrameHeader::WRAP);
                oieb.payload_written_count.fetch_add(1, SeqCst);
            } else if room == 0
                && self.habits.stuck_at_end
                && oieb.payload_read_pos.load(SeqCst) == 0
            {
                return Wrote::Stuck;
            } else {
                match self.habits.tail {
                    Tail::Unmarked => {}
                    Tail::UnmarkedCounted => {
                        oieb.payload_written_count.fetch_add(1, SeqCst);
                    }
                    Tail::Fails => return Wrote::Stuck,
                }
            }
            oieb.payload_free_bytes.fetch_sub(room, SeqCst);
            at = 0;
            oieb.payload_write_pos.store(0, SeqCst);
        }
        heap.write_header(at, FrameHeader { length: data.len() as u64, sequence: self.sequence });
        heap.put(at + HEADER_BYTES, data);
        let mut end = at + total;
        if end == capacity && !self.habits.exact_fit_stores_end {
            end = 0;
        }
        oieb.payload_write_pos.store(end, SeqCst);
        oieb.payload_free_bytes.fetch_sub(total, SeqCst);
        oieb.payload_written_count.fetch_add(1, SeqCst);
        self.sequence += 1;
        Wrote::Frame
    }
}

/// A strict deployed reader: C++ and Python check sequence and size, and none checks for 16 bytes of room
/// before it reads a header (here that panics).
#[derive(Debug)]
pub(super) struct PeerReader {
    expected: u64,
}

impl PeerReader {
    pub(super) fn new() -> Self {
        Self { expected: 1 }
    }

    /// For one unit of the data semaphore: index and length of the data, to be released with `release`.
    pub(super) fn read(&mut self, heap: &Heap) -> (u64, u64, u64) {
        let (oieb, capacity) = (heap.oieb(), heap.capacity());
        let mut at = oieb.payload_read_pos.load(SeqCst);
        let mut header = heap.read_header(at);
        if header.length == 0 {
            oieb.payload_free_bytes.fetch_add(capacity - at, SeqCst);
            oieb.payload_read_count.fetch_add(1, SeqCst);
            at = 0;
            header = heap.read_header(0);
        }
        assert_eq!(header.sequence, self.expected, "sequence error in the peer");
        assert!(header.length > 0 && at + HEADER_BYTES + header.length <= capacity);
        self.expected += 1;
        oieb.payload_read_pos.store((at + HEADER_BYTES + header.length) % capacity, SeqCst);
        oieb.payload_read_count.fetch_add(1, SeqCst);
        (at + HEADER_BYTES, header.length, header.sequence)
    }

    pub(super) fn release(&self, heap: &Heap, length: u64) {
        heap.oieb().payload_free_bytes.fetch_add(HEADER_BYTES + length, SeqCst);
    }
}

/// What a reader of theirs does with a buffer that it finds under its name (D2).
#[derive(Debug, Clone, Copy)]
pub(super) struct TakeOver {
    /// Clears `reader_pid` of the old buffer before it removes it, so that a writer that is still there learns of it.
    pub(super) clears_reader_pid: bool,
    /// Removes old semaphores only when it makes its own, behind the segment (D3).
    pub(super) leaves_semaphores_until_last: bool,
}

impl TakeOver {
    pub(super) const CPP: Self =
        Self { clears_reader_pid: false, leaves_semaphores_until_last: false };
    pub(super) const PYTHON: Self =
        Self { clears_reader_pid: true, leaves_semaphores_until_last: true };
}

/// A reader of theirs as it stands in the file system, in the process that calls: it reads nothing.
#[derive(Debug)]
pub(super) struct PeerOwner {
    _lock: Option<File>,
    mapping: Mapping,
    _semaphores: [Theirs; 2],
}

impl PeerOwner {
    /// Takes the lock file, removes what has the name, and makes the buffer, in the order of section 3. `before_semaphores`
    /// runs while the segment is complete and its semaphores are not there yet.
    pub(super) fn create(
        name: &Unique,
        how: TakeOver,
        payload_bytes: u64,
        before_semaphores: impl FnOnce(),
    ) -> Self {
        let path = Path::new("/tmp/zerobuffer").join(format!("{}.lock", name.0));
        std::fs::create_dir_all("/tmp/zerobuffer").unwrap();
        let mut locked = None;
        // Other tests' readers look at locks, and remove those that nobody holds.
        until(|| {
            let file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
            let taken = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
            locked = (taken && FileId::of(&file) == FileId::of_path(&path)).then_some(file);
            locked.is_some()
        });
        let sizes = Sizes::rounded(64, payload_bytes).unwrap();
        let open = |new: bool| {
            OpenOptions::new().read(true).write(true).create_new(new).open(name.segment())
        };
        if let Ok(old) = open(false) {
            if how.clears_reader_pid {
                Mapping::new(old.as_fd(), sizes).unwrap().oieb().reader_pid.store(0, SeqCst);
            }
            std::fs::remove_file(name.segment()).unwrap();
        }
        let semaphores = ["sem-w-", "sem-r-"].map(|which| format!("{which}{}", name.0));
        let remove_semaphores = || semaphores.iter().for_each(|name| drop(semaphore::unlink(name)));
        if !how.leaves_semaphores_until_last {
            remove_semaphores();
        }
        let file = open(true).unwrap();
        file.set_len(sizes.total_bytes()).unwrap();
        let mapping = Mapping::new(file.as_fd(), sizes).unwrap();
        mapping.oieb().initialize(sizes, own_pid());
        before_semaphores();
        remove_semaphores();
        Self {
            _lock: locked,
            mapping,
            _semaphores: semaphores.each_ref().map(|n| Theirs::create(n)),
        }
    }

    /// Announces this process as the buffer's writer as well.
    pub(super) fn announce_writer(&self) {
        self.mapping.oieb().writer_pid.store(own_pid(), SeqCst);
    }
}
