//! A mutex and a shared owner whose orderings ThreadSanitizer is told of (`--cfg tsan`).
//!
//! The standard library is not built for it: it does not see what happens inside `std`'s, nor the fence with which
//! the last owner begins to drop. Each has an atomic word beside it here, which says the same in its hearing.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LockResult, PoisonError};

#[derive(Debug, Default)]
pub(crate) struct Mutex<T> {
    told: AtomicU32,
    inner: std::sync::Mutex<T>,
}

#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    // Dropped by itself, behind what `drop` tells.
    inner: std::sync::MutexGuard<'a, T>,
    told: &'a AtomicU32,
}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { told: AtomicU32::new(0), inner: std::sync::Mutex::new(value) }
    }

    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let guard = |inner| {
            self.told.load(Ordering::Acquire);
            MutexGuard { inner, told: &self.told }
        };
        match self.inner.lock() {
            Ok(inner) => Ok(guard(inner)),
            Err(poisoned) => Err(PoisonError::new(guard(poisoned.into_inner()))),
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.told.store(1, Ordering::Release);
    }
}

/// An [`Arc`].
#[derive(Debug)]
pub(crate) struct Shared<T>(Arc<Told<T>>);

#[derive(Debug)]
struct Told<T> {
    owners_gone: AtomicU32,
    value: T,
}

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Told { owners_gone: AtomicU32::new(0), value }))
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        self.0.owners_gone.fetch_add(1, Ordering::Release);
    }
}

impl<T> Drop for Told<T> {
    fn drop(&mut self) {
        // The last one: behind all that the others did.
        self.owners_gone.load(Ordering::Acquire);
    }
}
