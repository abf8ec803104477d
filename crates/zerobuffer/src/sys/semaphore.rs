//! Named POSIX semaphores, as protocol 1.0 peers use them: glibc's, found under `/dev/shm/sem.NAME`.
//!
//! # Safety
//! A [`Semaphore`] owns a pointer that `sem_open` returned and closes it once, on drop; until then libc
//! guarantees that it stays a valid `sem_t`. libc's functions on it are thread-safe. glibc treats the value as
//! an atomic word, so a hostile peer can at worst make a wait return early or late.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::ptr::NonNull;
use std::time::Duration;

// Not in the `libc` crate; in glibc since 2.30. `sem_timedwait` counts on the wall clock, which may jump.
#[allow(unsafe_code)]
unsafe extern "C" {
    fn sem_clockwait(
        semaphore: *mut libc::sem_t,
        clock: libc::clockid_t,
        until: *const libc::timespec,
    ) -> libc::c_int;
}

/// An open named semaphore.
#[derive(Debug)]
pub(crate) struct Semaphore {
    sem: NonNull<libc::sem_t>,
}

// SAFETY: POSIX semaphores may be used from any thread of the process.
unsafe impl Send for Semaphore {}
// SAFETY: as above; every operation is an atomic one inside libc.
unsafe impl Sync for Semaphore {}

fn c_name(name: &str) -> io::Result<CString> {
    CString::new(format!("/{name}")).map_err(io::Error::other)
}

/// The file that stands for a semaphore of that name.
pub(crate) fn path(name: &str) -> std::path::PathBuf {
    format!("/dev/shm/sem.{name}").into()
}

/// Removes the name; those who have it open keep it.
pub(crate) fn unlink(name: &str) -> io::Result<()> {
    let name = c_name(name)?;
    // SAFETY: `name` is a terminated string that outlives the call.
    match unsafe { libc::sem_unlink(name.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Semaphore {
    /// Makes a new one with value 0 and mode 0666 less the umask; fails where the name is taken.
    pub(crate) fn create(name: &str) -> io::Result<Self> {
        let name = c_name(name)?;
        let mode: libc::mode_t = 0o666;
        let value: libc::c_uint = 0;
        // SAFETY: `name` is a terminated string; with `O_CREAT` the call takes a mode and a value.
        let sem =
            unsafe { libc::sem_open(name.as_ptr(), libc::O_CREAT | libc::O_EXCL, mode, value) };
        Self::checked(sem)
    }

    /// Opens an existing one.
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        let name = c_name(name)?;
        // SAFETY: `name` is a terminated string that outlives the call.
        Self::checked(unsafe { libc::sem_open(name.as_ptr(), 0) })
    }

    fn checked(sem: *mut libc::sem_t) -> io::Result<Self> {
        // glibc's `SEM_FAILED` is the null pointer, not -1 (L3).
        NonNull::new(sem).map(|sem| Self { sem }).ok_or_else(io::Error::last_os_error)
    }

    /// Adds a unit and wakes a waiter, if there is one; a system call only then. False where the value is at
    /// its limit: then nobody can be waiting, and nothing was lost (L9).
    pub(crate) fn post(&self) -> bool {
        // SAFETY: `self.sem` is open.
        unsafe { libc::sem_post(self.sem.as_ptr()) == 0 }
    }

    /// Takes a unit if there is one. Never a system call.
    #[inline]
    pub(crate) fn try_wait(&self) -> bool {
        // SAFETY: `self.sem` is open.
        unsafe { libc::sem_trywait(self.sem.as_ptr()) == 0 }
    }

    /// The value as it was a moment ago. Never a system call.
    pub(crate) fn value(&self) -> u32 {
        let mut value: libc::c_int = 0;
        // SAFETY: `self.sem` is open and `value` outlives the call.
        unsafe { libc::sem_getvalue(self.sem.as_ptr(), &raw mut value) };
        u32::try_from(value).unwrap_or(0)
    }

    /// Takes a unit, sleeping at most `limit` for it; false when none came or a signal did. A system call only
    /// if there is none yet.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let nanoseconds = now.tv_nsec as u64 + u64::from(limit.subsec_nanos());
        let until = libc::timespec {
            tv_sec: now
                .tv_sec
                .saturating_add(i64::try_from(limit.as_secs()).unwrap_or(i64::MAX))
                .saturating_add((nanoseconds / 1_000_000_000) as i64),
            tv_nsec: (nanoseconds % 1_000_000_000) as i64,
        };
        // SAFETY: `self.sem` is open and `until` outlives the call.
        unsafe { sem_clockwait(self.sem.as_ptr(), libc::CLOCK_MONOTONIC, &raw const until) == 0 }
    }
}

impl Drop for Semaphore {
    fn drop(&mut self) {
        // SAFETY: opened by us and closed only here.
        unsafe { libc::sem_close(self.sem.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_posted_is_a_unit_taken() {
        let name = format!("zb-test-semaphore-{}", std::process::id());
        let _ = unlink(&name);
        assert_eq!(Semaphore::open(&name).unwrap_err().kind(), io::ErrorKind::NotFound);
        let ours = Semaphore::create(&name).unwrap();
        assert_eq!(Semaphore::create(&name).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let theirs = Semaphore::open(&name).unwrap();
        assert!(path(&name).exists());
        assert!(!ours.try_wait() && !ours.wait(Duration::from_millis(1)));
        assert!(theirs.post() && theirs.post());
        assert_eq!(ours.value(), 2);
        assert!(ours.try_wait() && ours.wait(Duration::from_secs(60)));
        assert_eq!(ours.value(), 0);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| ours.wait(Duration::from_secs(60)));
            assert!(theirs.post());
            assert!(waiter.join().unwrap());
        });
        unlink(&name).unwrap();
        assert!(!path(&name).exists());
    }
}
