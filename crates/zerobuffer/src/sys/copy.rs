//! Copying through the caches.
//!
//! # Safety
//!
//! The copies touch what their caller promises, and no more.

#![allow(unsafe_code)]

use std::ptr::copy_nonoverlapping;

use super::processor;

/// Up to this length the C library copies with vectors, and from twice that on perhaps with the processor's string
/// instruction.
pub(crate) const SHORT: usize = 2048;
/// That instruction, `rep movsb`, takes twenty times as long on some processors (Zen 3) if the destination lies less
/// than a vector further within its page than the source does within its own, for then every load seems to depend on the
/// store before it.
const PAGE: usize = 4096;
const VECTOR: usize = 32;

/// As [`copy_nonoverlapping`], without that.
///
/// # Safety
/// The same.
#[inline(always)]
pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    let further = to.addr().wrapping_sub(from.addr()) % PAGE;
    let is_slow = len > SHORT && further.wrapping_sub(1) < VECTOR - 1;
    // SAFETY: the caller's promise.
    unsafe {
        if is_slow { copy_in_parts(from, to, len) } else { copy_nonoverlapping(from, to, len) }
    }
}

/// # Safety
/// As for [`copy_nonoverlapping`].
#[cold]
unsafe fn copy_in_parts(from: *const u8, to: *mut u8, len: usize) {
    for begin in (0..len).step_by(SHORT) {
        // SAFETY: a part of what the caller promised.
        unsafe { copy_nonoverlapping(from.add(begin), to.add(begin), SHORT.min(len - begin)) };
    }
}

/// As [`copy`], for large copies to where another core reads, by whichever way is the better one on this processor.
///
/// # Safety
/// The same.
pub(crate) unsafe fn copy_large(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if processor::string_copies_are_slow() {
            copy_taking_lines(from, to, len);
        } else {
            copy(from, to, len);
        }
    }
}

/// As [`copy`], and asks for the lines of the destination before they are stored to.
///
/// # Safety
/// The same.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
unsafe fn copy_taking_lines(from: *const u8, to: *mut u8, len: usize) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_storeu_si128};

    const LINE: usize = 64;
    // Not beyond the end, where readers may be at work.
    const AHEAD: usize = 16 * LINE;
    for offset in (0..len.min(AHEAD)).step_by(LINE) {
        hint_to_write(to.wrapping_add(offset));
    }
    let lines = len / LINE * LINE;
    for offset in (0..lines).step_by(LINE) {
        if offset + AHEAD < len {
            hint_to_write(to.wrapping_add(offset + AHEAD));
        }
        // SAFETY: a line's bytes, of those that the caller promises.
        unsafe {
            let (from, to) = (from.add(offset).cast::<__m128i>(), to.add(offset).cast::<__m128i>());
            let vectors = [0, 1, 2, 3].map(|index| _mm_loadu_si128(from.add(index)));
            for (index, vector) in vectors.into_iter().enumerate() {
                _mm_storeu_si128(to.add(index), vector);
            }
        }
    }
    // SAFETY: the rest of them.
    unsafe { copy_nonoverlapping(from.add(lines), to.add(lines), len - lines) };
}

/// The ordinary copy, where lines cannot be asked for.
#[cfg(not(target_arch = "x86_64"))]
use copy as copy_taking_lines;

/// Hints that a cache line is about to be written.
#[inline(always)]
pub(crate) fn hint_to_write(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        // Spelled out, for the compiler's own hint becomes one for reading where it does not know better.
        // SAFETY: a hint, which every 64-bit processor takes or ignores; it cannot fault.
        unsafe {
            std::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{PAGE, SHORT, copy, copy_taking_lines};

    proptest! {
        #[test]
        fn exactly_the_bytes_that_were_asked_for_are_copied(
            bytes in prop::collection::vec(any::<u8>(), 0..3 * SHORT),
            skip in 0_usize..70,
            further in 0_usize..40,
            takes_lines: bool,
        ) {
            // Where in their pages they lie is up to us.
            let mut space = vec![0xA5; 5 * PAGE];
            let to = space.as_ptr().align_offset(PAGE) + skip + further;
            let mut source = vec![0; 5 * PAGE];
            let from = source.as_ptr().align_offset(PAGE) + skip;
            source[from..][..bytes.len()].copy_from_slice(&bytes);
            // SAFETY: both ranges end before the vectors do, which are two.
            unsafe {
                let (source, space) = (source.as_ptr().add(from), space.as_mut_ptr().add(to));
                let way = if takes_lines { copy_taking_lines } else { copy };
                way(source, space, bytes.len());
            }
            let (before, rest) = space.split_at(to);
            let (copied, behind) = rest.split_at(bytes.len());
            prop_assert_eq!(copied, &bytes[..]);
            prop_assert!(before.iter().chain(behind).all(|byte| *byte == 0xA5));
        }
    }
}
