//! Barriers and sleepers as the system has them, with nothing of ours around.
//!
//! # Safety
//!
//! `membarrier` takes integers only. A [`Semaphore`] lies in a box from `sem_init` to `sem_destroy`, so it never moves, and
//! whoever uses it borrows it.

#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::futex;

use crate::Turn;

fn call_membarrier(command: libc::c_int) -> bool {
    // SAFETY: the call takes integers only.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

/// Makes this process one that [`membarrier`] reaches; false where the system has none.
#[must_use]
pub fn register_for_membarrier() -> bool {
    call_membarrier(libc::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED)
}

/// A barrier on every processor that runs a registered process; false where the system has none.
#[must_use]
pub fn membarrier() -> bool {
    call_membarrier(libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED)
}

/// An unnamed POSIX semaphore that other processes could share, as those of protocol 1.0 are.
#[derive(Debug)]
pub struct Semaphore(Box<UnsafeCell<libc::sem_t>>);

// SAFETY: POSIX semaphores may be used from any thread.
unsafe impl Send for Semaphore {}
// SAFETY: as above.
unsafe impl Sync for Semaphore {}

impl Default for Semaphore {
    fn default() -> Self {
        let semaphore = MaybeUninit::<libc::sem_t>::zeroed();
        // SAFETY: all zeros are a `sem_t`, which `sem_init` then makes a valid one where it will stay.
        let semaphore = Self(Box::new(UnsafeCell::new(unsafe { semaphore.assume_init() })));
        // SAFETY: the pointer is to memory of ours that is not used yet.
        let failed = unsafe { libc::sem_init(semaphore.0.get(), 1, 0) };
        assert_eq!(failed, 0, "sem_init with value 0 has no reason to fail");
        semaphore
    }
}

impl Semaphore {
    /// Takes a unit if there is one.
    #[inline]
    #[must_use]
    pub fn try_wait(&self) -> bool {
        // SAFETY: initialised, and not destroyed while it is borrowed.
        unsafe { libc::sem_trywait(self.0.get()) == 0 }
    }
}

impl Turn for Semaphore {
    #[inline]
    fn give(&self) {
        // SAFETY: as in `try_wait`.
        unsafe { libc::sem_post(self.0.get()) };
    }

    #[inline]
    fn take(&self) {
        // SAFETY: as in `try_wait`. A signal ends the wait early; then it is begun again.
        while unsafe { libc::sem_wait(self.0.get()) } != 0 {}
    }
}

impl Drop for Semaphore {
    fn drop(&mut self) {
        // SAFETY: initialised, and nobody borrows it any more.
        unsafe { libc::sem_destroy(self.0.get()) };
    }
}

/// A word to sleep on, not private to the process, as the ring's words are.
#[derive(Debug, Default)]
pub struct Futex(AtomicU32);

impl Futex {
    /// Wakes one sleeper, if there is one, without changing the word.
    #[inline]
    pub fn wake(&self) {
        // Cannot fail for a word that exists.
        let _ = futex::wake(&self.0, futex::Flags::empty(), 1);
    }
}

impl Turn for Futex {
    #[inline]
    fn give(&self) {
        self.0.store(1, Ordering::SeqCst);
        self.wake();
    }

    #[inline]
    fn take(&self) {
        while self.0.swap(0, Ordering::SeqCst) == 0 {
            // Returns at once if the word changed meanwhile; whatever it returns, the word decides.
            let _ = futex::wait(&self.0, futex::Flags::empty(), 0, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Partner;

    fn turns_alternate<T: Turn>() {
        let partner = Partner::<T>::start();
        for _ in 0..1000 {
            partner.round();
        }
        assert_eq!(partner.end(), 1000);
    }

    #[test]
    fn a_semaphore_hands_every_turn_over_and_back() {
        turns_alternate::<Semaphore>();
        let semaphore = Semaphore::default();
        assert!(!semaphore.try_wait());
        semaphore.give();
        assert!(semaphore.try_wait() && !semaphore.try_wait());
    }

    #[test]
    fn a_futex_hands_every_turn_over_and_back() {
        turns_alternate::<Futex>();
    }
}
