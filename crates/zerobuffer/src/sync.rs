//! The atomics that the rules are written with: the processor's, or `loom`'s when models are explored. And what the
//! threads of one process share a seat by: the standard library's, or ThreadSanitizer's to understand.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence, fence};

#[cfg(not(tsan))]
pub(crate) use std::sync::{Arc as Shared, Mutex, MutexGuard};

#[cfg(tsan)]
mod told;
#[cfg(tsan)]
pub(crate) use told::{Mutex, MutexGuard, Shared};

#[cfg(loom)]
pub(crate) use crate::mortal::{AtomicU32, AtomicU64};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{Ordering, fence};

/// In a model nothing interrupts the other side's processor, so the asymmetric barrier is a full fence there.
#[cfg(loom)]
pub(crate) fn compiler_fence(order: Ordering) {
    fence(order);
}
