//! What any ring with its flags among the frames has to do: words stored, then a flag; the flag polled, then words
//! loaded. No room is claimed, nothing is counted, nobody sleeps.
//!
//! It takes longer than handing a line to and fro, for the next frame lies on a line that the other side saw a lap ago.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::raw::{FIRST_FLAG, Shared};

/// Largest frame in bytes, and the size of each of the two rings.
pub(super) const MAX_BYTES: usize = 64;
const RING_BYTES: usize = 64 << 10;

/// Which of the two rings: from the parent to its peer, and back.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    There,
    Back,
}

/// One side's view of one of the rings.
pub(super) struct BareRing<'a> {
    shared: &'a Shared,
    first: usize,
    /// Bytes from one frame to the next, and frames in a lap.
    stride: usize,
    slots: u64,
    /// Frames so far.
    count: u64,
}

impl<'a> BareRing<'a> {
    /// The ring for frames of `words` words.
    pub(super) fn new(shared: &'a Shared, way: Way, words: usize) -> Self {
        let stride = 8 * (words + 1);
        let first = match way {
            Way::There => FIRST_FLAG,
            Way::Back => FIRST_FLAG + RING_BYTES,
        };
        Self { shared, first, stride, slots: (RING_BYTES / stride) as u64, count: 0 }
    }

    /// Forgets what an earlier measurement left behind.
    pub(super) fn clear(&self) {
        for offset in (0..RING_BYTES).step_by(8) {
            self.shared.word(self.first + offset).store(0, Relaxed);
        }
    }

    /// Where the next frame lies; its number.
    #[inline]
    fn advance(&mut self) -> (usize, u64) {
        let slot = (self.count % self.slots) as usize;
        self.count += 1;
        (self.first + slot * self.stride, self.count)
    }

    #[inline]
    pub(super) fn send(&mut self, frame: &[u64]) {
        let (at, number) = self.advance();
        for (index, word) in frame.iter().enumerate() {
            self.shared.word(at + 8 * (index + 1)).store(*word, Relaxed);
        }
        self.shared.word(at).store(number, Release);
    }

    #[inline]
    pub(super) fn receive(&mut self, frame: &mut [u64]) {
        let (at, number) = self.advance();
        while self.shared.word(at).load(Acquire) != number {
            std::hint::spin_loop();
        }
        for (index, word) in frame.iter_mut().enumerate() {
            *word = self.shared.word(at + 8 * (index + 1)).load(Relaxed);
        }
    }
}
