//! A moving I420 picture with a frame counter, made by copying and checked by comparing.
//!
//! Frame `k` is a window into one long strip of bytes, a few bytes further on than that of frame `k - 1`; a
//! stripe at its top is painted over with the counter. Any two frames that can be in a ring at the same time
//! differ, so a frame that is torn or out of order is noticed, whichever byte is wrong.

use std::fmt;
use std::str::FromStr;

/// Width and height of the picture, both even.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    width: usize,
    height: usize,
}

impl Size {
    /// Bytes of a frame: one byte a pixel for brightness, half a byte for colour.
    pub(crate) fn frame_bytes(self) -> usize {
        self.width * self.height * 3 / 2
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |part: &str| part.parse::<usize>().ok();
        let size = text.split_once(['x', 'X']).and_then(|(width, height)| {
            Some(Self { width: parse(width)?, height: parse(height)? })
        });
        match size {
            Some(size)
                if size.width % 2 == 0
                    && size.height % 2 == 0
                    && (16..=16384).contains(&size.width)
                    && (16..=16384).contains(&size.height) =>
            {
                Ok(size)
            }
            _ => {
                Err("a size is WIDTHxHEIGHT, both even, 16 to 16384, such as 1920x1080".to_owned())
            }
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// Window positions before the picture repeats; a prime, so that it fits no ring.
const STEPS: usize = 4093;
/// Bytes that the window moves per frame.
const STEP: usize = 4;

/// Rows of three pixels, top to bottom, for the digits.
const DIGITS: [[u8; 5]; 10] = [
    [7, 5, 5, 5, 7],
    [2, 6, 2, 2, 7],
    [7, 1, 7, 4, 7],
    [7, 1, 7, 1, 7],
    [5, 5, 7, 1, 1],
    [7, 4, 7, 1, 7],
    [7, 4, 7, 5, 7],
    [7, 1, 2, 2, 2],
    [7, 5, 7, 5, 7],
    [7, 5, 7, 1, 7],
];
/// Pixels per pixel of a digit.
const ZOOM: usize = 8;
/// Height of the stripe: a digit and a pixel above and below.
const STRIPE_ROWS: usize = 7 * ZOOM;
const COUNTER_DIGITS: usize = 10;

/// Makes and checks frames of one size.
#[derive(Debug)]
pub(crate) struct Picture {
    size: Size,
    strip: Vec<u8>,
    stripe: Vec<u8>,
}

impl Picture {
    pub(crate) fn new(size: Size) -> Self {
        let strip = (0..size.frame_bytes() + STEP * STEPS)
            .map(|i| {
                let (x, y) = (i % size.width, i / size.width);
                // A texture with structure at every scale, lightened along the diagonal.
                ((x ^ y) as u8 >> 1).wrapping_add(((x + y) / 16) as u8)
            })
            .collect();
        let stripe = vec![0; size.width * STRIPE_ROWS.min(size.height)];
        Self { size, strip, stripe }
    }

    /// Makes `frame` the picture of frame `k`.
    pub(crate) fn fill(&mut self, k: u64, frame: &mut [u8]) {
        self.paint_stripe(k);
        let (top, rest) = frame.split_at_mut(self.stripe.len());
        top.copy_from_slice(&self.stripe);
        rest.copy_from_slice(self.below_stripe(k));
    }

    /// Whether `frame` is the picture of frame `k`; every byte is compared.
    pub(crate) fn matches(&mut self, k: u64, frame: &[u8]) -> bool {
        if frame.len() != self.size.frame_bytes() {
            return false;
        }
        self.paint_stripe(k);
        let (top, rest) = frame.split_at(self.stripe.len());
        top == self.stripe && rest == self.below_stripe(k)
    }

    fn below_stripe(&self, k: u64) -> &[u8] {
        let start = (k % STEPS as u64) as usize * STEP;
        &self.strip[start + self.stripe.len()..start + self.size.frame_bytes()]
    }

    /// White digits on black, and the counter itself in the first eight bytes for programs.
    fn paint_stripe(&mut self, k: u64) {
        const BLACK: u8 = 16;
        const WHITE: u8 = 235;
        self.stripe.fill(BLACK);
        let mut rest = k;
        for place in (0..COUNTER_DIGITS).rev() {
            let digit = &DIGITS[(rest % 10) as usize];
            rest /= 10;
            let left = (1 + 4 * place) * ZOOM;
            for (row, pixels) in
                self.stripe.chunks_mut(self.size.width).enumerate().skip(ZOOM).take(5 * ZOOM)
            {
                let bits = digit[row / ZOOM - 1];
                for column in 0..3 {
                    if bits & (4 >> column) != 0 {
                        let from = (left + column * ZOOM).min(pixels.len());
                        let to = (left + (column + 1) * ZOOM).min(pixels.len());
                        pixels[from..to].fill(WHITE);
                    }
                }
            }
        }
        self.stripe[..8].copy_from_slice(&k.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::{Picture, Size};

    #[test]
    fn a_1080p_frame_has_the_size_of_i420() {
        assert_eq!("1920x1080".parse::<Size>().unwrap().frame_bytes(), 3_110_400);
    }

    #[test]
    fn odd_or_missing_sizes_are_refused() {
        for text in ["", "1920", "1919x1080", "0x0", "8x8", "axb", "99999x2"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn any_wrong_byte_is_noticed_and_any_other_frame() {
        for size in ["16x16", "64x48", "320x240"] {
            let size: Size = size.parse().unwrap();
            let mut picture = Picture::new(size);
            let mut frame = vec![0; size.frame_bytes()];
            picture.fill(41, &mut frame);
            assert!(picture.matches(41, &frame));
            for near in 1..100 {
                assert!(!picture.matches(41 + near, &frame));
            }
            for i in (0..frame.len()).step_by(61) {
                frame[i] ^= 0x10;
                assert!(!picture.matches(41, &frame), "byte {i}");
                frame[i] ^= 0x10;
            }
        }
    }
}
