//! The commit word: a frame's length, kind and number in the eight bytes that make it visible.

use super::layout::{FRAME_NUMBER_BITS, FrameGeometry};

const FLAG_SKIP: u64 = 1 << 32;
const FLAG_REFERENCE: u64 = 1 << 33;
const FLAG_ATTRIBUTES: u64 = 1 << 35;
const FLAGS: u64 = 0xf << 32;
const FRAME_NUMBER_SHIFT: u32 = 64 - FRAME_NUMBER_BITS;
const NUMBER_MASK: u64 = (1 << FRAME_NUMBER_BITS) - 1;

/// What a commit word says, after it was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// Nothing here yet.
    Empty,
    /// A frame of `len` bytes, which begin with an attribute block if it `has_attributes`.
    Frame { len: u64, number_bits: u64, has_attributes: bool },
    /// A frame whose bytes lie in another buffer; the `len` bytes here say where. It is those there that begin with an
    /// attribute block.
    Reference { len: u64, number_bits: u64, has_attributes: bool },
    /// No frame: go on `bytes` further.
    Skip { bytes: u64, number_bits: u64 },
}

/// The word of a frame of `len` bytes with the given sequence number.
#[inline]
pub(crate) fn frame(len: u64, sequence: u64) -> u64 {
    debug_assert!(len > 0 && len < 1 << 32, "length was checked against the capacity");
    len | (sequence & NUMBER_MASK) << FRAME_NUMBER_SHIFT
}

/// The word of the frame behind the one of this word, if it is as long.
#[inline(always)]
pub(crate) fn next_of_same_length(word: u64) -> u64 {
    word.wrapping_add(1 << FRAME_NUMBER_SHIFT)
}

/// The word that sends readers `bytes` further; `sequence` is the next frame's.
#[inline]
pub(crate) fn skip(bytes: u64, sequence: u64) -> u64 {
    frame(bytes, sequence) | FLAG_SKIP
}

/// The word of a frame whose payload lies elsewhere, described by `len` bytes here.
#[inline]
pub(crate) fn reference(len: u64, sequence: u64) -> u64 {
    frame(len, sequence) | FLAG_REFERENCE
}

/// The word of the same frame, with an attribute block in front of its payload.
#[inline]
pub(crate) fn with_attributes(word: u64) -> u64 {
    word | FLAG_ATTRIBUTES
}

/// Whether nothing is committed where a word stands.
#[inline(always)]
pub(crate) fn is_empty(word: u64) -> bool {
    word == 0
}

/// What a word says of the number of its frame, or of the frame that its skip leads to; `None` for an empty word or a damaged
/// one.
pub(crate) fn number_bits(word: u64, geometry: &FrameGeometry) -> Option<u64> {
    match parse(word, geometry) {
        Ok(
            Word::Frame { number_bits, .. }
            | Word::Skip { number_bits, .. }
            | Word::Reference { number_bits, .. },
        ) => Some(number_bits),
        Ok(Word::Empty) | Err(_) => None,
    }
}

/// Whether a word, if it is not damaged, is that of a skip.
#[inline(always)]
pub(crate) fn is_skip(word: u64) -> bool {
    word & FLAG_SKIP != 0
}

/// Takes a word apart and checks all that can be checked without knowing the reader.
#[inline]
pub(crate) fn parse(word: u64, geometry: &FrameGeometry) -> Result<Word, &'static str> {
    if is_empty(word) {
        return Ok(Word::Empty);
    }
    let (len, number_bits) = (word & u64::from(u32::MAX), word >> FRAME_NUMBER_SHIFT);
    let has_attributes = word & FLAG_ATTRIBUTES != 0 && geometry.attributes;
    let flags = if has_attributes { word & FLAGS & !FLAG_ATTRIBUTES } else { word & FLAGS };
    match flags {
        0 if len >= 1 && len <= geometry.max_frame() => {
            Ok(Word::Frame { len, number_bits, has_attributes })
        }
        0 => Err("a frame length that is zero or larger than the ring allows"),
        FLAG_REFERENCE if len >= 1 && len <= geometry.max_frame() => {
            Ok(Word::Reference { len, number_bits, has_attributes })
        }
        FLAG_REFERENCE => Err("a reference of impossible length"),
        FLAG_SKIP if !has_attributes && len >= 8 && len % 8 == 0 && len < geometry.capacity => {
            Ok(Word::Skip { bytes: len, number_bits })
        }
        FLAG_SKIP => Err("a skip of impossible length"),
        _ => Err("frame flags that this version does not know"),
    }
}

/// The length of the frame with that number, if that is what the word says; everything else, nothing yet, a
/// skip, damage, is for [`parse`]. One comparison tells the flags and the number.
#[inline(always)]
pub(crate) fn plain_frame(word: u64, sequence: u64, geometry: &FrameGeometry) -> Option<u64> {
    let len = word & u64::from(u32::MAX);
    let expected = (sequence as u32) << (FRAME_NUMBER_SHIFT - 32);
    let fits = len.wrapping_sub(1) < geometry.max_frame();
    ((word >> 32) as u32 == expected && fits).then_some(len)
}

/// As [`plain_frame`], of a frame with an attribute block.
#[inline(always)]
pub(crate) fn frame_with_attributes(
    word: u64,
    sequence: u64,
    geometry: &FrameGeometry,
) -> Option<u64> {
    let is_flagged = word & FLAG_ATTRIBUTES != 0 && geometry.attributes;
    if is_flagged { plain_frame(word & !FLAG_ATTRIBUTES, sequence, geometry) } else { None }
}

/// Whether `number_bits` are those of `sequence`.
#[inline]
pub(crate) fn is_number(number_bits: u64, sequence: u64) -> bool {
    number_bits == sequence & NUMBER_MASK
}

/// The full number behind `number_bits`, given one that is the same or at most 2^28 − 1 later.
pub(crate) fn rebuild_number(number_bits: u64, not_before: u64) -> u64 {
    not_before.wrapping_sub(not_before.wrapping_sub(number_bits) & NUMBER_MASK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry() -> FrameGeometry {
        FrameGeometry::new(4096, 8, 1024)
    }

    #[test]
    fn the_documented_example_word() {
        assert_eq!(frame(2000, 3), 0x0000_0030_0000_07d0);
    }

    #[test]
    fn frames_and_skips_survive_the_round_trip() {
        for sequence in [1, 2, NUMBER_MASK, NUMBER_MASK + 1, u64::MAX] {
            let Ok(Word::Frame { len, number_bits, has_attributes: false }) =
                parse(frame(77, sequence), &geometry())
            else {
                panic!("a frame");
            };
            assert_eq!(len, 77);
            assert!(is_number(number_bits, sequence));
            assert_eq!(rebuild_number(number_bits, sequence), sequence);
            assert_eq!(rebuild_number(number_bits, sequence.wrapping_add(9999)), sequence);
            assert!(matches!(
                parse(skip(64, sequence), &geometry()),
                Ok(Word::Skip { bytes: 64, .. })
            ));
        }
    }

    #[test]
    fn the_short_way_agrees_with_the_long_one() {
        for sequence in [1, 2, NUMBER_MASK, NUMBER_MASK + 1, u64::MAX] {
            let word = frame(77, sequence);
            assert_eq!(plain_frame(word, sequence, &geometry()), Some(77));
            assert_eq!(plain_frame(word, sequence.wrapping_add(1), &geometry()), None);
            assert_eq!(plain_frame(skip(64, sequence), sequence, &geometry()), None);
            assert_eq!(plain_frame(0, sequence, &geometry()), None);
            let max = geometry().max_frame();
            assert_eq!(plain_frame(frame(max, sequence), sequence, &geometry()), Some(max));
            assert_eq!(plain_frame(frame(max + 1, sequence), sequence, &geometry()), None);
        }
    }

    #[test]
    fn every_impossible_word_is_refused() {
        let bad = [
            frame(1, 0) & !1 | 1 << 40,           // length zero, number 16
            frame(4096, 1),                       // larger than the ring
            frame(geometry().max_frame() + 1, 1), // one byte more than fits
            skip(8, 1) + 1,                       // crooked skip
            skip(4096, 1),                        // a whole lap
            reference(geometry().max_frame() + 1, 1),
            reference(64, 1) | 1 << 32, // a skip that is a reference
            frame(8, 1) | 1 << 34,
            frame(8, 1) | 1 << 35,
        ];
        for word in bad {
            assert!(parse(word, &geometry()).is_err(), "{word:#x}");
        }
        assert_eq!(parse(0, &geometry()), Ok(Word::Empty));
        let referring = parse(reference(64, 5), &geometry());
        assert_eq!(
            referring,
            Ok(Word::Reference { len: 64, number_bits: 5, has_attributes: false })
        );
        assert_eq!(plain_frame(reference(64, 5), 5, &geometry()), None);
    }
}
