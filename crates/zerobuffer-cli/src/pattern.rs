//! What test frames contain: byte `i` of frame `k`, the same in writer and reader.
//!
//! A frame's `k` is its sequence number less one, so that a reader can check frames that it gets from the
//! middle of a stream, and a restarted writer goes on where the last one stopped.

use clap::ValueEnum;

/// Patterns of the cross-platform contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pattern {
    /// Byte i of frame k is (k + i) mod 256.
    Sequential,
    /// SplitMix64 seeded with k, little-endian words.
    Random,
    /// 0x00.
    Zero,
    /// 0xFF.
    Ones,
}

/// A multiple of 256, so that every chunk of a frame starts at the same place of the tape.
const CHUNK: usize = 64 << 10;

/// Fills and checks frames; holds the precomputed bytes that make both a `memcpy` and a `memcmp`.
#[derive(Debug)]
pub(crate) struct Painter {
    pattern: Pattern,
    tape: Vec<u8>,
}

impl Painter {
    pub(crate) fn new(pattern: Pattern) -> Self {
        let tape = match pattern {
            Pattern::Sequential => (0..CHUNK + 256).map(|i| i as u8).collect(),
            Pattern::Random => Vec::new(),
            Pattern::Zero => vec![0; CHUNK],
            Pattern::Ones => vec![0xFF; CHUNK],
        };
        Self { pattern, tape }
    }

    /// Makes `bytes` the content of frame `k`.
    pub(crate) fn fill(&self, k: u64, bytes: &mut [u8]) {
        if self.pattern == Pattern::Random {
            return random_fill(k, bytes);
        }
        let tape = self.tape(k);
        for chunk in bytes.chunks_mut(CHUNK) {
            chunk.copy_from_slice(&tape[..chunk.len()]);
        }
    }

    /// Whether `bytes` is the content of frame `k`; every byte is looked at.
    pub(crate) fn matches(&self, k: u64, bytes: &[u8]) -> bool {
        if self.pattern == Pattern::Random {
            return random_matches(k, bytes);
        }
        let tape = self.tape(k);
        bytes.chunks(CHUNK).all(|chunk| chunk == &tape[..chunk.len()])
    }

    fn tape(&self, k: u64) -> &[u8] {
        let start = if self.pattern == Pattern::Sequential { (k % 256) as usize } else { 0 };
        &self.tape[start..start + CHUNK]
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): one addition and one mix per word, any seed.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> [u8; 8] {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)).to_le_bytes()
    }
}

fn random_fill(k: u64, bytes: &mut [u8]) {
    let mut words = SplitMix64(k);
    let (whole, rest) = bytes.as_chunks_mut::<8>();
    for word in whole {
        *word = words.next();
    }
    let last = words.next();
    rest.copy_from_slice(&last[..rest.len()]);
}

fn random_matches(k: u64, bytes: &[u8]) -> bool {
    let mut words = SplitMix64(k);
    let (whole, rest) = bytes.as_chunks::<8>();
    whole.iter().all(|word| *word == words.next()) && rest == &words.next()[..rest.len()]
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Painter, Pattern};

    const ALL: [Pattern; 4] = [Pattern::Sequential, Pattern::Random, Pattern::Zero, Pattern::Ones];

    #[test]
    fn sequential_is_frame_plus_index() {
        let painter = Painter::new(Pattern::Sequential);
        for k in [0, 1, 255, 256, u64::MAX] {
            let mut bytes = vec![0; 2 * CHUNK + 77];
            painter.fill(k, &mut bytes);
            for (i, byte) in bytes.iter().enumerate() {
                assert_eq!(u64::from(*byte), k.wrapping_add(i as u64) % 256);
            }
        }
    }

    #[test]
    fn every_pattern_recognises_itself_and_no_damage() {
        for pattern in ALL {
            let painter = Painter::new(pattern);
            for len in [1, 7, 8, 9, 4096, CHUNK, CHUNK + 1] {
                let mut bytes = vec![0x55; len];
                painter.fill(12, &mut bytes);
                assert!(painter.matches(12, &bytes));
                bytes[len - 1] ^= 1;
                assert!(!painter.matches(12, &bytes), "{pattern:?} {len}");
            }
        }
    }

    #[test]
    fn random_depends_on_the_frame() {
        let painter = Painter::new(Pattern::Random);
        let mut bytes = [0; 64];
        painter.fill(3, &mut bytes);
        assert!(!painter.matches(4, &bytes));
    }
}
