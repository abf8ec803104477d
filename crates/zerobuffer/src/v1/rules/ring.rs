//! Claiming, committing, reading and releasing frames of protocol 1.0, as arithmetic on the control block.
//!
//! No system call, no clock, no semaphore: who waits and who wakes is in [`writer`](crate::v1::engine::writer) and
//! [`reader`](crate::v1::engine::reader). One shared word is loaded once, checked, and then only the copy is used.
//!
//! # Invariants
//! * A writer never leaves 1 to 15 bytes at the end of the ring, and stores its position modulo the ring (L5).
//! * Nothing is published before [`WriterRing::publish`]: an abandoned claim leaves no trace (L23).
//! * A reader frees bytes in the order in which it read them, whatever the order of release (L20).

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use crate::v1::protocol::layout::{HEADER_BYTES, Oieb, Sizes};

/// The memory that the rules work on: a mapping, or a plain buffer in tests.
pub(crate) trait Memory {
    /// The control block.
    fn oieb(&self) -> &Oieb;
    /// Copies a frame header out. `index + 16` is at most the payload size.
    fn read_header(&self, index: u64) -> FrameHeader;
    /// Copies a frame header in. `index + 16` is at most the payload size.
    fn write_header(&self, index: u64, header: FrameHeader);
}

/// What stands before each frame in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) length: u64,
    pub(crate) sequence: u64,
}

impl FrameHeader {
    /// "The rest of the ring is unused, go on at its start."
    pub(crate) const WRAP: Self = Self { length: 0, sequence: 0 };
}

/// A value in shared memory that no conforming peer writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Corrupt {
    ReadPosition,
    WritePosition,
    FreeBytes,
    FrameTooLong,
    FramePastEnd,
    FramePastWritePosition,
    WrapAtStart,
    WrapInTheMiddle,
}

impl Corrupt {
    /// What was found.
    pub(crate) fn problem(self) -> &'static str {
        match self {
            Self::ReadPosition => "the read position lies outside the payload",
            Self::WritePosition => "the write position lies outside the payload",
            Self::FreeBytes => "more bytes are free than the payload has",
            Self::FrameTooLong => "a frame header announces more bytes than the payload has",
            Self::FramePastEnd => "a frame runs past the end of the payload",
            Self::FramePastWritePosition => "a frame runs past the write position",
            Self::WrapAtStart => "a wrap marker stands at the start of the payload",
            Self::WrapInTheMiddle => {
                "a wrap marker stands before the write position, or a frame header was wiped out"
            }
        }
    }
}

/// Why there is no claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClaimError {
    /// Zero bytes: such a header is taken for a wrap marker (L8).
    Empty,
    /// Larger than every place in the ring.
    TooLarge,
    /// Fits the ring, but not from the present write position, however empty the ring gets (L6).
    NeverFitsHere,
    /// Not now.
    Full,
    /// Never again.
    Corrupt(Corrupt),
}

/// Whether a claim may be committed with fewer bytes than claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Exactly the claimed length: may fill the ring to its last byte.
    Exact,
    /// Up to the claimed length: leaves a header's room at the end, so that no shorter length leaves less.
    MayShrink,
}

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Index of the frame's first data byte in the payload.
    pub(crate) data_index: u64,
    /// Bytes that may be written there.
    pub(crate) length: u64,
    /// Bytes skipped at the end of the ring; the marker goes to `P - skipped`.
    skipped: u64,
}

/// The writer's side of the accounting.
#[derive(Debug)]
pub(crate) struct WriterRing {
    sizes: Sizes,
    /// Own position behind everything staged, below P. Nobody else writes it; shared memory has a copy.
    write_pos: u64,
    /// Own copy of `payload_written_count`, staged frames and markers included.
    written_count: u64,
    /// Sequence of the next frame; starts at 1 for each writer (L17).
    sequence: u64,
    /// Bytes, skips included, and frames staged but not published.
    staged_bytes: u64,
    staged_frames: u64,
    /// As last published, to go back to.
    published: (u64, u64, u64),
    claim: Option<Claim>,
}

impl WriterRing {
    /// Goes on where the last writer ended.
    pub(crate) fn new(memory: &impl Memory, sizes: Sizes) -> Result<Self, Corrupt> {
        let found = memory.oieb().payload_write_pos.load(Ordering::Acquire);
        if found > sizes.payload_bytes {
            return Err(Corrupt::WritePosition);
        }
        // The end itself is how some peers store the start (D6).
        let write_pos = found % sizes.payload_bytes;
        let written_count = memory.oieb().payload_written_count.load(Ordering::Relaxed);
        Ok(Self {
            sizes,
            write_pos,
            written_count,
            sequence: 1,
            staged_bytes: 0,
            staged_frames: 0,
            published: (write_pos, written_count, 1),
            claim: None,
        })
    }

    /// Sequence of the next frame.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.sequence
    }

    /// Bytes that may be overwritten now: the smaller of the counter and of what the positions allow, since the
    /// counter drifts where a peer updates it without atomics (L14).
    pub(crate) fn free_bytes(&self, memory: &impl Memory) -> Result<u64, Corrupt> {
        let capacity = self.sizes.payload_bytes;
        // RELEASE: pairs with `ReaderRing::release`: what is free is no longer read.
        let counted = memory.oieb().payload_free_bytes.load(Ordering::Acquire);
        let read_pos = memory.oieb().payload_read_pos.load(Ordering::Acquire);
        if counted > capacity {
            return Err(Corrupt::FreeBytes);
        }
        if read_pos > capacity {
            return Err(Corrupt::ReadPosition);
        }
        let (read_pos, write_pos) = (read_pos % capacity, self.published.0);
        let bound = match read_pos.cmp(&write_pos) {
            // Empty or full: the positions cannot tell.
            std::cmp::Ordering::Equal => capacity,
            std::cmp::Ordering::Greater => read_pos - write_pos,
            std::cmp::Ordering::Less => capacity - write_pos + read_pos,
        };
        Ok(counted.min(bound).saturating_sub(self.staged_bytes))
    }

    /// Looks for room for `length` bytes. A claim that is open is given up. Publishes nothing.
    pub(crate) fn claim(
        &mut self,
        memory: &impl Memory,
        length: u64,
        fit: Fit,
    ) -> Result<Claim, ClaimError> {
        self.claim = None;
        let place = self.place(length, fit)?;
        let free = self.free_bytes(memory).map_err(ClaimError::Corrupt)?;
        if free < place.skipped + HEADER_BYTES + length {
            return Err(ClaimError::Full);
        }
        self.claim = Some(place);
        Ok(place)
    }

    fn place(&self, length: u64, fit: Fit) -> Result<Claim, ClaimError> {
        let capacity = self.sizes.payload_bytes;
        if length == 0 {
            return Err(ClaimError::Empty);
        }
        if length > capacity - HEADER_BYTES {
            return Err(ClaimError::TooLarge);
        }
        let total = HEADER_BYTES + length;
        let fits_at = |index: u64| {
            let room = capacity - index;
            match fit {
                Fit::Exact => total == room || total + HEADER_BYTES <= room,
                Fit::MayShrink => total + HEADER_BYTES <= room,
            }
        };
        if fits_at(self.write_pos) {
            let data_index = self.write_pos + HEADER_BYTES;
            return Ok(Claim { data_index, length, skipped: 0 });
        }
        if !fits_at(0) {
            return Err(ClaimError::TooLarge);
        }
        let skipped = capacity - self.write_pos;
        // The skipped bytes must be free together with the frame, and positions move only by writing.
        if total > self.write_pos {
            return Err(ClaimError::NeverFitsHere);
        }
        Ok(Claim { data_index: HEADER_BYTES, length, skipped })
    }

    /// Writes the headers of the open claim, whose first `length` bytes are the frame, and moves the private
    /// position. Returns the frame's sequence; `None` without a claim or with a length it does not allow.
    pub(crate) fn stage(&mut self, memory: &impl Memory, length: u64) -> Option<u64> {
        let claim = self.claim.take()?;
        if length == 0 || length > claim.length {
            return None;
        }
        let capacity = self.sizes.payload_bytes;
        if claim.skipped > 0 {
            // Where a predecessor left fewer than 16 bytes there is no room for the marker; readers that
            // know (L5) wrap without it. Peers count a wrap that has its marker.
            if claim.skipped >= HEADER_BYTES {
                memory.write_header(self.write_pos, FrameHeader::WRAP);
                self.written_count = self.written_count.wrapping_add(1);
            }
        }
        let index = claim.data_index - HEADER_BYTES;
        memory.write_header(index, FrameHeader { length, sequence: self.sequence });
        self.write_pos = (claim.data_index + length) % capacity;
        self.written_count = self.written_count.wrapping_add(1);
        self.staged_bytes += claim.skipped + HEADER_BYTES + length;
        self.staged_frames += 1;
        let sequence = self.sequence;
        self.sequence += 1;
        Some(sequence)
    }

    /// Forgets what was staged; nobody has seen it.
    pub(crate) fn discard_staged(&mut self) {
        (self.write_pos, self.written_count, self.sequence) = self.published;
        (self.staged_bytes, self.staged_frames) = (0, 0);
        self.claim = None;
    }

    /// Publishes what was staged; returns how often the data semaphore is to be posted: once a frame.
    ///
    /// Position before counter, as deployed: a crash in between leaves the counter too large, which the
    /// position bound of [`free_bytes`](Self::free_bytes) makes up for; the other order would lose bytes.
    pub(crate) fn publish(&mut self, memory: &impl Memory) -> u64 {
        let oieb = memory.oieb();
        // COMMIT: pairs with `ReaderRing::next`: the headers and data below the position are written. The
        // semaphore posted afterwards orders it again, for peers that load without acquire.
        oieb.payload_write_pos.store(self.write_pos, Ordering::Release);
        oieb.payload_free_bytes.fetch_sub(self.staged_bytes, Ordering::Release);
        oieb.payload_written_count.store(self.written_count, Ordering::Release);
        self.published = (self.write_pos, self.written_count, self.sequence);
        self.staged_bytes = 0;
        std::mem::take(&mut self.staged_frames)
    }
}

/// A frame as handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// Index of its first data byte in the payload.
    pub(crate) data_index: u64,
    pub(crate) length: u64,
    pub(crate) sequence: u64,
    /// The first frame of another writer (L17).
    pub(crate) restarted: bool,
    /// To release it with.
    pub(crate) ticket: u64,
}

/// Why there is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextError {
    /// Announced, but nothing is there: a post too many.
    Nothing,
    /// The frame is whole but not the one expected. The next call hands it out.
    Gap { expected: u64, found: u64 },
    /// Never again.
    Corrupt(Corrupt),
}

#[derive(Debug, Clone, Copy)]
struct Held {
    bytes: u64,
    released: bool,
}

/// The reader's side of the accounting.
#[derive(Debug)]
pub(crate) struct ReaderRing {
    sizes: Sizes,
    /// Own position, below P. Nobody else writes it; shared memory has a copy.
    read_pos: u64,
    read_count: u64,
    expected: u64,
    /// Pid of the writer of the last frame; 0 before the first.
    writer_pid: u64,
    /// The gap reported last, accepted when met again.
    reported_gap: Option<u64>,
    /// Frames handed out, oldest first; the first one's ticket is `first_ticket`.
    held: VecDeque<Held>,
    first_ticket: u64,
    held_bytes: u64,
    frames: u64,
    bytes: u64,
    corrupt: Option<Corrupt>,
}

impl ReaderRing {
    /// The reader of a buffer that it has just made.
    pub(crate) fn new(sizes: Sizes) -> Self {
        Self {
            sizes,
            read_pos: 0,
            read_count: 0,
            expected: 1,
            writer_pid: 0,
            reported_gap: None,
            held: VecDeque::with_capacity(16),
            first_ticket: 0,
            held_bytes: 0,
            frames: 0,
            bytes: 0,
            corrupt: None,
        }
    }

    /// Own position in the payload.
    pub(crate) fn read_pos(&self) -> u64 {
        self.read_pos
    }

    /// Bytes written and not yet read, by the positions.
    pub(crate) fn unread_bytes(&self, memory: &impl Memory) -> Result<u64, Corrupt> {
        let capacity = self.sizes.payload_bytes;
        // COMMIT: pairs with `WriterRing::publish`.
        let write_pos = memory.oieb().payload_write_pos.load(Ordering::Acquire);
        if write_pos > capacity {
            return Err(Corrupt::WritePosition);
        }
        let write_pos = write_pos % capacity;
        if write_pos != self.read_pos {
            return Ok((write_pos + capacity - self.read_pos) % capacity);
        }
        // Empty or full: only the counter tells. What is held counts as used.
        let free = memory.oieb().payload_free_bytes.load(Ordering::Acquire);
        let full = free.saturating_add(self.held_bytes) < capacity;
        Ok(if full { capacity } else { 0 })
    }

    /// The next frame, if there is one; advances the read position as peers do, before the data is used.
    ///
    /// To be called once for each unit taken from the data semaphore. `writer_pid` is whom the control block
    /// names now: another than before may begin again at sequence 1.
    pub(crate) fn next(
        &mut self,
        memory: &impl Memory,
        writer_pid: u64,
    ) -> Result<Found, NextError> {
        if let Some(corrupt) = self.corrupt {
            return Err(NextError::Corrupt(corrupt));
        }
        self.look(memory, writer_pid).inspect_err(|&error| {
            if let NextError::Corrupt(corrupt) = error {
                self.corrupt = Some(corrupt);
            }
        })
    }

    fn look(&mut self, memory: &impl Memory, writer_pid: u64) -> Result<Found, NextError> {
        let capacity = self.sizes.payload_bytes;
        let unread = self.unread_bytes(memory).map_err(NextError::Corrupt)?;
        if unread == 0 {
            return Err(NextError::Nothing);
        }
        let mut header = None;
        let room = capacity - self.read_pos;
        if room < HEADER_BYTES {
            // Some writers leave such a rest without a marker (L5, D7).
            self.wrap(memory, false);
        } else {
            header = Some(memory.read_header(self.read_pos));
            if header == Some(FrameHeader::WRAP) {
                if self.read_pos == 0 {
                    return Err(NextError::Corrupt(Corrupt::WrapAtStart));
                }
                if unread < room {
                    // What follows lies here and not at the start: it is no marker.
                    return Err(NextError::Corrupt(Corrupt::WrapInTheMiddle));
                }
                self.wrap(memory, true);
                header = None;
            }
        }
        let unread = if header.is_none() { unread.saturating_sub(room) } else { unread };
        if unread == 0 {
            // A wrap published without its frame, by a writer that died or gave up in between (L23).
            return Err(NextError::Nothing);
        }
        let header = header.unwrap_or_else(|| memory.read_header(self.read_pos));
        if header == FrameHeader::WRAP {
            return Err(NextError::Corrupt(Corrupt::WrapAtStart));
        }
        if header.length > capacity - HEADER_BYTES {
            return Err(NextError::Corrupt(Corrupt::FrameTooLong));
        }
        // A length of 0 with a sequence is an empty frame, as one of the peers writes it (L8).
        let total = HEADER_BYTES + header.length;
        if total > capacity - self.read_pos {
            return Err(NextError::Corrupt(Corrupt::FramePastEnd));
        }
        if total > unread {
            return Err(NextError::Corrupt(Corrupt::FramePastWritePosition));
        }
        let restarted = self.check_sequence(header.sequence, writer_pid)?;
        self.writer_pid = writer_pid;
        self.expected = header.sequence.wrapping_add(1);
        let data_index = self.read_pos + HEADER_BYTES;
        self.read_pos = (self.read_pos + total) % capacity;
        self.read_count = self.read_count.wrapping_add(1);
        memory.oieb().payload_read_pos.store(self.read_pos, Ordering::Release);
        memory.oieb().payload_read_count.store(self.read_count, Ordering::Release);
        let ticket = self.first_ticket + self.held.len() as u64;
        self.held.push_back(Held { bytes: total, released: false });
        self.held_bytes += total;
        self.frames += 1;
        self.bytes += header.length;
        Ok(Found {
            data_index,
            length: header.length,
            sequence: header.sequence,
            restarted,
            ticket,
        })
    }

    /// Whether this is the first frame of another writer; an error where it is neither that nor the next one.
    fn check_sequence(&mut self, found: u64, writer_pid: u64) -> Result<bool, NextError> {
        if found == self.expected {
            self.reported_gap = None;
            return Ok(false);
        }
        // Also for the same pid: a program that closes and connects again keeps its pid.
        if found == 1 && self.frames > 0 {
            self.reported_gap = None;
            return Ok(true);
        }
        if self.reported_gap.take() == Some(found) {
            return Ok(writer_pid != self.writer_pid);
        }
        self.reported_gap = Some(found);
        Err(NextError::Gap { expected: self.expected, found })
    }

    fn wrap(&mut self, memory: &impl Memory, marked: bool) {
        let skipped = self.sizes.payload_bytes - self.read_pos;
        self.read_pos = 0;
        let oieb = memory.oieb();
        if marked {
            self.read_count = self.read_count.wrapping_add(1);
            oieb.payload_read_count.store(self.read_count, Ordering::Release);
        }
        // Position before counter: the writer's bound by positions must not lag behind the counter.
        oieb.payload_read_pos.store(0, Ordering::Release);
        if self.held.is_empty() {
            oieb.payload_free_bytes.fetch_add(skipped, Ordering::Release);
        } else {
            // Behind frames that are still held: freed after them, as part of the ring's order (L20).
            self.held.push_back(Held { bytes: skipped, released: true });
            self.held_bytes += skipped;
        }
    }

    /// Gives a frame back. Bytes become free in reading order: a frame behind one that is still held waits for
    /// it (L20). Returns whether bytes became free, so that the writer is to be told.
    pub(crate) fn release(&mut self, memory: &impl Memory, ticket: u64) -> bool {
        let Some(at) = ticket.checked_sub(self.first_ticket) else {
            return false;
        };
        match usize::try_from(at).ok().and_then(|at| self.held.get_mut(at)) {
            Some(held) if !held.released => held.released = true,
            // Released before.
            _ => return false,
        }
        let mut freed = 0;
        while let Some(&Held { bytes, released: true }) = self.held.front() {
            self.held.pop_front();
            freed += bytes;
            self.first_ticket += 1;
        }
        if freed == 0 {
            return false;
        }
        self.held_bytes -= freed;
        // RELEASE: pairs with `WriterRing::free_bytes`.
        memory.oieb().payload_free_bytes.fetch_add(freed, Ordering::Release);
        true
    }
}

#[cfg(test)]
impl WriterRing {
    /// Length of the open claim.
    pub(crate) fn claimed(&self) -> Option<u64> {
        self.claim.map(|claim| claim.length)
    }

    /// Gives the open claim up.
    pub(crate) fn abort(&mut self) {
        self.claim = None;
    }
}

#[cfg(test)]
impl ReaderRing {
    /// Frames and data bytes handed out.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.frames, self.bytes)
    }

    /// Frames handed out and not yet given back to the writer.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }
}
