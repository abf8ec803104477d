//! Copying through the caches.
//!
//! # Safety
//!
//! [`copy`] touches what its caller promises, and no more.

#![allow(unsafe_code)]

use std::ptr::copy_nonoverlapping;

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

/// As [`slice::copy_from_slice`], by [`copy`].
///
/// # Panics
/// If the lengths differ.
#[inline]
pub(crate) fn copy_slice(from: &[u8], to: &mut [u8]) {
    assert_eq!(from.len(), to.len(), "copied from one length to another");
    // SAFETY: as long as each other, and one of them is borrowed mutably.
    unsafe { copy(from.as_ptr(), to.as_mut_ptr(), from.len()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{PAGE, SHORT, copy};

    proptest! {
        #[test]
        fn exactly_the_bytes_that_were_asked_for_are_copied(
            bytes in prop::collection::vec(any::<u8>(), 0..3 * SHORT),
            skip in 0_usize..70,
            further in 0_usize..40,
        ) {
            // Where in their pages they lie is up to us.
            let mut space = vec![0xA5; 5 * PAGE];
            let to = space.as_ptr().align_offset(PAGE) + skip + further;
            let mut source = vec![0; 5 * PAGE];
            let from = source.as_ptr().align_offset(PAGE) + skip;
            source[from..][..bytes.len()].copy_from_slice(&bytes);
            // SAFETY: both ranges end before the vectors do, which are two.
            unsafe { copy(source.as_ptr().add(from), space.as_mut_ptr().add(to), bytes.len()) };
            let (before, rest) = space.split_at(to);
            let (copied, behind) = rest.split_at(bytes.len());
            prop_assert_eq!(copied, &bytes[..]);
            prop_assert!(before.iter().chain(behind).all(|byte| *byte == 0xA5));
        }
    }
}
