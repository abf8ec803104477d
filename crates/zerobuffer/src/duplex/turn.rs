//! Taking something in turns, with a time limit, which `std::sync::Mutex` does not have.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::sys::fork::ForkMark;

/// Locks; what a panicking thread left is used all the same, for nothing here is ever left half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When a call is to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    begin: Instant,
    end: Option<Instant>,
}

impl Deadline {
    /// So long from now; a time beyond what the clock can count is without limit.
    pub(crate) fn after(timeout: Duration) -> Self {
        let begin = Instant::now();
        Self { begin, end: begin.checked_add(timeout) }
    }

    /// What is left of it.
    pub(crate) fn left(&self) -> Duration {
        self.end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn has_passed(&self) -> bool {
        self.left().is_zero()
    }

    /// Time since it was set.
    pub(crate) fn waited(&self) -> Duration {
        self.begin.elapsed()
    }
}

/// A thing that one thread has at a time. It is moved out and back, so what is taken can be kept beside what was
/// made with it.
///
/// In a forked child it stays empty, and its lock is left alone: a thread that the child has not may have it.
#[derive(Debug)]
pub(crate) struct Turns<T> {
    mark: ForkMark,
    inside: Mutex<Inside<T>>,
    returned: Condvar,
}

#[derive(Debug)]
struct Inside<T> {
    thing: Option<Box<T>>,
    waiting: usize,
}

impl<T> Turns<T> {
    pub(crate) fn new(thing: T) -> Self {
        let inside = Inside { thing: Some(Box::new(thing)), waiting: 0 };
        Self { mark: ForkMark::current(), inside: Mutex::new(inside), returned: Condvar::new() }
    }

    /// Whether this is the process that made it.
    #[inline]
    pub(crate) fn is_ours(&self) -> bool {
        self.mark.is_current()
    }

    /// Takes it if nobody has it.
    pub(crate) fn try_take(&self) -> Option<Taken<'_, T>> {
        if !self.is_ours() {
            return None;
        }
        let thing = lock(&self.inside).thing.take()?;
        Some(Taken { slot: self, thing: Some(thing) })
    }

    /// Takes it; waits until the deadline for whoever has it.
    pub(crate) fn take(&self, deadline: Deadline) -> Option<Taken<'_, T>> {
        if !self.is_ours() {
            return None;
        }
        let mut inside = lock(&self.inside);
        loop {
            if let Some(thing) = inside.thing.take() {
                return Some(Taken { slot: self, thing: Some(thing) });
            }
            let left = deadline.left();
            if left.is_zero() {
                return None;
            }
            inside.waiting += 1;
            let waited = self.returned.wait_timeout(inside, left);
            inside = waited.unwrap_or_else(PoisonError::into_inner).0;
            inside.waiting -= 1;
        }
    }

    /// The thing, for one whom nobody can take it from; `None` if whoever took it forgot to give it back.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        let inside = self.inside.get_mut().unwrap_or_else(PoisonError::into_inner);
        inside.thing.as_deref_mut()
    }

    /// Whether somebody has it.
    pub(crate) fn is_taken(&self) -> bool {
        !self.is_ours() || lock(&self.inside).thing.is_none()
    }

    /// Takes it out for good; nobody can have it now.
    pub(crate) fn take_for_good(&mut self) -> Option<T> {
        let inside = self.inside.get_mut().unwrap_or_else(PoisonError::into_inner);
        inside.thing.take().map(|thing| *thing)
    }
}

/// What was taken; goes back when dropped.
#[derive(Debug)]
pub(crate) struct Taken<'a, T> {
    slot: &'a Turns<T>,
    thing: Option<Box<T>>,
}

impl<T> Deref for Taken<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.thing.as_ref().expect("there until dropped")
    }
}

impl<T> DerefMut for Taken<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.thing.as_mut().expect("there until dropped")
    }
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        if !self.slot.is_ours() {
            return;
        }
        let mut inside = lock(&self.slot.inside);
        inside.thing = self.thing.take();
        let someone_waits = inside.waiting > 0;
        drop(inside);
        if someone_waits {
            self.slot.returned.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_the_others_in_time_or_not() {
        let mut slot = Turns::new(0_u32);
        let held = slot.try_take().unwrap();
        assert!(slot.is_taken() && slot.try_take().is_none());
        assert!(slot.take(Deadline::after(Duration::from_millis(5))).is_none());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        *slot.take(Deadline::after(Duration::MAX)).unwrap() += 1;
                    }
                });
            }
            drop(held);
        });
        assert_eq!(slot.take_for_good(), Some(400));
    }
}
