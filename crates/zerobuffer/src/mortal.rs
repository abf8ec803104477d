//! `loom`'s atomics, for modelled processes that may die: before any of their stores they can stop for ever.
//!
//! What a dead process did is what it had stored; between two stores of it nobody else can tell one moment from
//! another. So a process that dies before its first, its second, ... its last store has died at every step.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::sync::Ordering;

loom::thread_local! {
    /// Stores that the process on this thread has left to live; `None`: it does not die.
    static LEFT: Cell<Option<usize>> = Cell::new(None);
}

/// What unwinds a dying process.
struct Death;

/// Runs a process that dies before its store number `stores`, counted from 0, or when it would sleep or wake
/// somebody in that place; `None` when it died. Its locks are free when this returns, as the kernel frees them.
///
/// It must not own anything of `loom`'s: a dead process runs no destructors.
pub(crate) fn dying_at<T>(stores: usize, process: impl FnOnce() -> T) -> Option<T> {
    LEFT.with(|left| left.set(Some(stores)));
    let end = catch_unwind(AssertUnwindSafe(process));
    LEFT.with(|left| left.set(None));
    match end {
        Ok(value) => Some(value),
        Err(payload) if payload.is::<Death>() => None,
        Err(payload) => resume_unwind(payload),
    }
}

/// Comes to something that others can notice: perhaps the process does not live to do it.
pub(crate) fn step() {
    let dies = LEFT.with(|left| match left.get() {
        Some(0) => true,
        Some(more) => {
            left.set(Some(more - 1));
            false
        }
        None => false,
    });
    if dies {
        resume_unwind(Box::new(Death));
    }
}

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[derive(Debug, Default)]
        pub(crate) struct $name(loom::sync::atomic::$name);

        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                self.0.load(order)
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                step();
                self.0.store(value, order);
            }

            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                step();
                self.0.swap(value, order)
            }

            pub(crate) fn compare_exchange(
                &self,
                expected: $value,
                value: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                step();
                self.0.compare_exchange(expected, value, success, failure)
            }

            pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                step();
                self.0.fetch_add(value, order)
            }

            pub(crate) fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                step();
                self.0.fetch_or(value, order)
            }

            pub(crate) fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                step();
                self.0.fetch_and(value, order)
            }
        }
    };
}

atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);
