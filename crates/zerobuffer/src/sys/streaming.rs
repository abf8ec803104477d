//! Copying past the caches: streaming (non-temporal) stores.
//!
//! # Safety
//!
//! [`copy`] touches what its caller promises, and no more; it ends with the fence that streaming stores need.

#![allow(unsafe_code)]

/// Whether this processor has stores that go past the caches; elsewhere they are ordinary ones.
pub(crate) const IS_THERE: bool = cfg!(target_arch = "x86_64");

/// The ordinary copy, where there are no such stores.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) use std::ptr::copy_nonoverlapping as copy;

/// Copies with streaming stores, which are done before any store that follows.
///
/// # Safety
/// As for [`std::ptr::copy_nonoverlapping`].
#[cfg(target_arch = "x86_64")]
#[inline(never)]
pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    use std::arch::x86_64::{_mm_loadu_si128, _mm_sfence, _mm_stream_si128};
    use std::ptr::copy_nonoverlapping;

    const LINE: usize = 64;
    const VECTOR: usize = 16;
    let head = to.align_offset(LINE).min(len);
    let lines = (len - head) / LINE;
    let tail = head + lines * LINE;
    // SAFETY: head, lines and tail make up the range that the caller promised. Streaming stores need a destination
    // aligned to a vector, which it is from `head` on. The fence orders them before whatever follows, as the compiler
    // expects of stores.
    unsafe {
        copy_nonoverlapping(from, to, head);
        for offset in (head..tail).step_by(LINE) {
            let line = [0, 1, 2, 3].map(|index| {
                let vector = from.add(offset + index * VECTOR);
                _mm_loadu_si128(vector.cast())
            });
            for (index, vector) in line.into_iter().enumerate() {
                _mm_stream_si128(to.add(offset + index * VECTOR).cast(), vector);
            }
        }
        copy_nonoverlapping(from.add(tail), to.add(tail), len - tail);
        _mm_sfence();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::copy;

    proptest! {
        #[test]
        fn exactly_the_bytes_that_were_asked_for_are_copied(
            bytes in prop::collection::vec(any::<u8>(), 0..1000),
            skip in 0_usize..70,
        ) {
            let mut space = vec![0xA5; 1200];
            // SAFETY: `skip` and the bytes end before the space does, and are elsewhere.
            unsafe { copy(bytes.as_ptr(), space.as_mut_ptr().add(skip), bytes.len()) };
            let (before, rest) = space.split_at(skip);
            let (copied, behind) = rest.split_at(bytes.len());
            prop_assert_eq!(copied, &bytes[..]);
            prop_assert!(before.iter().chain(behind).all(|byte| *byte == 0xA5));
        }
    }
}
