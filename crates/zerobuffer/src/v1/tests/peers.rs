//! Deployed peers as models, for the languages that cannot run here: one switch for each disagreement of theirs
//! that concerns the ring (D6 to D10). They are models of the accounting, not the peers themselves.

use std::sync::atomic::Ordering::SeqCst;

use super::super::layout::HEADER_BYTES;
use super::super::ring::{FrameHeader, Memory};
use super::heap::Heap;

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
