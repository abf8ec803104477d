//! The bytes of frames and of metadata: copied in and out, and lent.
//!
//! # Safety
//! Positions are masked into the ring, whose bytes are mapped twice in a row, and lengths were checked against the capacity: no
//! range leads outside. Who is lent bytes holds what keeps the other side from touching them.
#![allow(unsafe_code)]

use super::Segment;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::field::At;
use crate::sys::copy::{self, copy};
use crate::sys::{clock, streaming};
use crate::v2::protocol::layout::{METADATA_HEAD, MetadataHeader};
use crate::v2::protocol::position::Position;
use crate::v2::rules::memory::Memory;

/// Up to this size frames are copied in word by word.
const SMALL_COPY: usize = 128;

impl Segment {
    /// Copies `bytes` into the ring at `start`, a multiple of 8; the caller has claimed that room.
    #[inline(always)]
    pub(crate) fn copy_in(&self, start: Position, bytes: &[u8]) {
        debug_assert!(bytes.len() as u64 <= self.layout.frames.capacity, "claimed");
        if bytes.len() <= SMALL_COPY {
            return self.copy_words_in(start, bytes);
        }
        // SAFETY: `capacity` bytes are mapped from `start` on, `bytes` is no longer, and lies in memory of ours.
        unsafe { copy(bytes.as_ptr(), self.payload(start), bytes.len()) }
    }

    /// As [`copy_in`](Self::copy_in), of large frames.
    pub(crate) fn copy_large_in(&self, start: Position, bytes: &[u8]) {
        debug_assert!(bytes.len() as u64 <= self.layout.frames.capacity, "claimed");
        // SAFETY: as in `copy_in`.
        unsafe { copy::copy_large(bytes.as_ptr(), self.payload(start), bytes.len()) }
    }

    /// As [`copy_in`](Self::copy_in), with stores that go past the caches.
    pub(crate) fn stream_in(&self, start: Position, bytes: &[u8]) {
        debug_assert!(bytes.len() as u64 <= self.layout.frames.capacity, "claimed");
        // SAFETY: as in `copy_in`.
        unsafe { streaming::copy(bytes.as_ptr(), self.payload(start), bytes.len()) }
    }

    /// Copies word by word. A small frame has often been put together a moment before; a wider load than the
    /// stores that did it would wait until they have reached the cache, behind all earlier stores to the ring.
    #[inline(always)]
    fn copy_words_in(&self, start: Position, bytes: &[u8]) {
        let place = self.payload(start).cast::<AtomicU64>();
        // SAFETY: aligned, for a claim's payload begins at a multiple of 8; within the claim, which ends at one.
        let store = |index: usize, word: [u8; 8]| unsafe {
            (*place.add(index)).store(u64::from_ne_bytes(word), Ordering::Relaxed);
        };
        let (words, tail) = bytes.as_chunks::<8>();
        // A loop over any number of words takes as many instructions again.
        match words.len() {
            0 => {}
            1 => in_pieces::<1>(words, store),
            2..4 => in_pieces::<2>(words, store),
            4..8 => in_pieces::<4>(words, store),
            _ => in_pieces::<8>(words, store),
        }
        if !tail.is_empty() {
            let mut word = [0; 8];
            word[..tail.len()].copy_from_slice(tail);
            store(words.len(), word);
        }
    }

    /// Copies from the ring at `start` into `space`, without ever forming a reference to shared bytes.
    #[inline(always)]
    pub(crate) fn copy_out(&self, start: Position, space: &mut [u8]) {
        debug_assert!(space.len() as u64 <= self.layout.frames.capacity, "found");
        // SAFETY: as in `copy_in`, the other way round.
        unsafe { copy(self.payload(start), space.as_mut_ptr(), space.len()) }
    }

    /// When the frame whose header is at a position was committed, on this process's clock, if this buffer notes that.
    #[inline]
    pub(crate) fn committed_at(&self, header: Position) -> Option<Duration> {
        let stamp = self.layout.frames.stamp(header).filter(|_| self.is_ours());
        stamp.map(|at| self.word(at).load(Ordering::Relaxed)).and_then(clock::own_time)
    }

    /// Moves payload within a claim; the ranges may overlap.
    pub(crate) fn move_payload(&self, from: Position, to: Position, len: usize) {
        let first = from.earlier(to);
        let base = self.payload(first);
        // SAFETY: both ranges lie within one claim, so within the `capacity` bytes from the earlier one.
        unsafe {
            let (from, to) =
                (base.add(from.since(first) as usize), base.add(to.since(first) as usize));
            std::ptr::copy(from, to, len);
        }
    }

    /// Lends `len` bytes from `start`, for as long as `_holder` keeps the Writer from touching them.
    ///
    /// A conforming peer does not change them meanwhile. A hostile one can; who must reckon with that uses
    /// [`copy_out`](Self::copy_out).
    #[inline(always)]
    pub(crate) fn lend<'a, T: ?Sized>(
        &self,
        start: Position,
        len: usize,
        _holder: &'a T,
    ) -> &'a [u8] {
        debug_assert!(len as u64 <= self.layout.frames.capacity, "claimed or found");
        // SAFETY: mapped for `capacity` bytes from `start`. The holder owns or borrows what keeps the segment
        // mapped, and its frame is committed and unreleased, or claimed: nobody conforming writes to it.
        unsafe { std::slice::from_raw_parts(self.payload(start), len) }
    }

    /// Lends the bytes of a frame to be changed by the one reader that has it; `None` where they are mapped read-only.
    pub(crate) fn lend_to_change<'a, T: ?Sized>(
        &self,
        start: Position,
        len: usize,
        _holder: &'a mut T,
    ) -> Option<&'a mut [u8]> {
        debug_assert!(len as u64 <= self.layout.frames.capacity, "found");
        // SAFETY: mapped for writing, `capacity` bytes from `start`. The holder is the frame, borrowed mutably, so this
        // process forms no other reference to its bytes; the Writer leaves them alone until the frame is released, and
        // has agreed that they are changed (docs/protocol/2.0.md, section 11). Observers may read them racily, as in `lend_mut`.
        self.changes_payload
            .then(|| unsafe { std::slice::from_raw_parts_mut(self.payload(start), len) })
    }

    /// Lends claimed bytes to the one Writer, which nobody else reads before the commit.
    #[inline(always)]
    pub(crate) fn lend_mut(&mut self, start: Position, len: usize) -> &mut [u8] {
        debug_assert!(len as u64 <= self.layout.frames.capacity, "claimed");
        // SAFETY: as in `lend`; exclusive, for there is one Writer and it is borrowed mutably. Observers may
        // read these bytes racily, but discard what they read (docs/protocol/2.0.md, section 6).
        unsafe { std::slice::from_raw_parts_mut(self.payload(start), len) }
    }

    /// Lends metadata that a reader holds, for as long as `_holder` lives.
    pub(crate) fn lend_metadata<'a, T: ?Sized>(
        &self,
        offset: u64,
        len: usize,
        _holder: &'a T,
    ) -> &'a [u8] {
        debug_assert!(offset + len as u64 <= self.layout.payload_offset, "checked");
        // SAFETY: within the metadata region; its version is announced as held, so a conforming Writer leaves it.
        unsafe { std::slice::from_raw_parts(self.mapping.at(offset).as_ptr(), len) }
    }

    /// The header of a metadata copy, which the layout has.
    pub(crate) fn metadata_header(&self, copy: At<MetadataHeader>) -> &MetadataHeader {
        let offset = copy.offset();
        debug_assert!(
            offset.is_multiple_of(8) && offset >= self.layout.metadata_offset,
            "from the layout"
        );
        debug_assert!(offset + METADATA_HEAD <= self.layout.payload_offset, "from the layout");
        // SAFETY: aligned and within the metadata region, which is mapped as long as `self` lives; atomics only.
        unsafe { self.mapping.at(offset).cast::<MetadataHeader>().as_ref() }
    }

    /// Copies metadata into its region at `offset`; the size was checked against the layout.
    pub(crate) fn copy_metadata_in(&self, offset: u64, bytes: &[u8]) {
        debug_assert!(offset + bytes.len() as u64 <= self.layout.payload_offset, "checked");
        // SAFETY: within the metadata region, from memory of ours.
        unsafe {
            let place = self.mapping.at(offset).as_ptr();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len());
        }
    }

    /// Copies metadata out of its region; the size was checked against the layout.
    pub(crate) fn copy_metadata_out(&self, offset: u64, space: &mut [u8]) {
        debug_assert!(offset + space.len() as u64 <= self.layout.payload_offset, "checked");
        // SAFETY: within the metadata region, into memory of ours.
        unsafe {
            let place = self.mapping.at(offset).as_ptr();
            std::ptr::copy_nonoverlapping(place, space.as_mut_ptr(), space.len());
        }
    }
}

/// Stores `N` to `2 * N` words: the first `N`, and the last `N`, some of them for the second time perhaps.
#[inline(always)]
fn in_pieces<const N: usize>(words: &[[u8; 8]], store: impl Fn(usize, [u8; 8])) {
    debug_assert!((N..=2 * N).contains(&words.len()), "none is left out");
    if let (Some(first), Some(last)) = (words.first_chunk::<N>(), words.last_chunk::<N>()) {
        for (index, word) in first.iter().enumerate() {
            store(index, *word);
        }
        let behind = words.len() - N;
        if behind > 0 {
            for (index, word) in last.iter().enumerate() {
                store(behind + index, *word);
            }
        }
    }
}
