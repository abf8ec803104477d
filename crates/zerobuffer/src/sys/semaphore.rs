//! Named semaphores as glibc has them, which deployed peers of protocol 1.0 use: files `/dev/shm/sem.NAME` of 32 bytes.
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 4 | units, at most 2^31 - 1; also the word that sleepers sleep on |
//! | 4 | 4 | sleepers: who posts wakes only where there are some |
//! | 8 | 4 | 128: shared between processes |
//! | 12 | 20 | zero |
//!
//! That is glibc's layout since 2.21 on 64-bit little-endian machines. Posting and taking are done here rather than by
//! `sem_post` and `sem_wait`, because the file is the easiest of all to write to: glibc ends the process when the word
//! at 8 is strange, and takes units only one by one. Here nothing that stands in the file does more than wake a sleeper
//! early or late, and no operation takes longer than it was told, or more than a bounded number of steps.
//!
//! # Safety
//! A [`Semaphore`] maps the file's first 32 bytes until it is dropped, and reaches the first 8 as one atomic word. Who
//! may write to the file can also shrink it; see [`guard`](super::guard). A forked child does not have the mapping: each
//! operation asks the guard first.
#![allow(unsafe_code)]

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

use super::guard::{Guard, Lost};
use super::{file, futex, process, time};

/// Size of the file.
const BYTES: usize = 32;
/// What glibc stores at offset 8: its futex operations work across processes then.
const SHARED: u32 = 128;
/// glibc's `SEM_VALUE_MAX`.
const MOST_UNITS: u32 = i32::MAX as u32;
/// The low half of the word at 0.
const UNITS: u64 = u32::MAX as u64;
/// One in the high half.
const SLEEPER: u64 = 1 << 32;
/// With so many announced sleepers one more is not worth counting; the number is nobody's.
const MANY_SLEEPERS: u32 = 1 << 16;
/// A compare-and-swap fails when the other side has just changed the word, so a few times at most, unless it is
/// changed for that purpose.
const ATTEMPTS: u32 = 1000;

fn units(word: u64) -> u32 {
    (word & UNITS) as u32
}

fn sleepers(word: u64) -> u32 {
    (word >> 32) as u32
}

/// The file that stands for a semaphore of that name.
pub(crate) fn path(name: &str) -> PathBuf {
    format!("/dev/shm/sem.{name}").into()
}

/// Removes the name; those who have it open keep it.
pub(crate) fn unlink(name: &str) -> io::Result<()> {
    std::fs::remove_file(path(name))
}

/// Units of the semaphore of that name. Needs no more than read permission, and maps nothing.
pub(crate) fn look(name: &str) -> io::Result<u32> {
    let found = open(&path(name), false)?;
    let mut word = [0; 4];
    file::read_at(found.as_fd(), &mut word, 0)?;
    Ok(u32::from_le_bytes(word))
}

/// An open named semaphore.
#[derive(Debug)]
pub(crate) struct Semaphore {
    base: NonNull<u8>,
    /// Device and inode of the file.
    id: (u64, u64),
    /// Dropped by hand, before the page is unmapped.
    guard: ManuallyDrop<Guard>,
    /// Where the address used is instead.
    #[cfg(tsan)]
    view: super::one_view::OneView,
}

// SAFETY: the mapping belongs to the process, not to a thread; it is reached by atomics.
unsafe impl Send for Semaphore {}
// SAFETY: as above.
unsafe impl Sync for Semaphore {}

impl Semaphore {
    /// Makes a new one with value 0 and mode 0666 less the umask; fails where the name is taken.
    pub(crate) fn create(name: &str) -> io::Result<Self> {
        // Complete before it has its name, as glibc does it.
        let provisional = path(&format!("{name}.{:016x}", process::random_u64()));
        let flags =
            OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::CREATE | OFlags::EXCL;
        let fd = rustix::fs::open(&provisional, flags, Mode::from_raw_mode(0o666))?;
        let mut bytes = [0; BYTES];
        bytes[8..12].copy_from_slice(&SHARED.to_le_bytes());
        let made = file::write_at(fd.as_fd(), &bytes, 0).and_then(|()| {
            let made = Self::map(fd.as_fd())?;
            rustix::fs::link(&provisional, path(name))?;
            Ok(made)
        });
        let _ = std::fs::remove_file(&provisional);
        made
    }

    /// Opens an existing one.
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        Self::map(open(&path(name), true)?.as_fd())
    }

    fn map(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let facts = rustix::fs::fstat(fd)?;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe { mmap(std::ptr::null_mut(), BYTES, access, MapFlags::SHARED, fd, 0)? };
        // SAFETY: our own mapping; a child must not keep it, see `guard`.
        let _ = unsafe { madvise(base, BYTES, Advice::LinuxDontFork) };
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let guard = ManuallyDrop::new(Guard::new(base, BYTES));
        Ok(Self {
            base,
            id: (facts.st_dev, facts.st_ino),
            guard,
            #[cfg(tsan)]
            view: super::one_view::OneView::of(fd, BYTES as u64, BYTES as u64)?,
        })
    }

    /// Whether the mapping is this process's, and whole as far as is known. Without it no operation has an effect.
    #[inline]
    pub(crate) fn is_sound(&self) -> bool {
        self.guard.is_sound()
    }

    /// Why it is not sound.
    pub(crate) fn lost(&self) -> Lost {
        self.guard.lost()
    }

    /// Whether the name stands for this semaphore. Others may have removed or replaced it.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        rustix::fs::lstat(path(name)).is_ok_and(|named| (named.st_dev, named.st_ino) == self.id)
    }

    /// Units and sleepers.
    #[inline(always)]
    fn word(&self) -> Option<&AtomicU64> {
        #[cfg(tsan)]
        let at = self.view.at(0);
        #[cfg(not(tsan))]
        let at = self.base;
        // SAFETY: the first eight bytes of a page that this process has mapped, as the guard says.
        self.is_sound().then(|| unsafe { at.cast::<AtomicU64>().as_ref() })
    }

    /// Adds a unit and wakes a waiter, if there is one; a system call only then. False where the value is at
    /// its limit: then nobody can be waiting, and nothing was lost (L9).
    #[inline]
    pub(crate) fn post(&self) -> bool {
        let Some(word) = self.word() else { return false };
        if units(word.load(Ordering::Relaxed)) >= MOST_UNITS {
            return false;
        }
        let before = word.fetch_add(1, Ordering::Release);
        if sleepers(before) > 0 {
            futex::wake(low_half(word));
        }
        true
    }

    /// Takes a unit if there is one. Never a system call.
    #[inline]
    pub(crate) fn try_wait(&self) -> bool {
        self.word().is_some_and(|word| take(word, 0))
    }

    /// Takes every unit that there is, however many. Never a system call.
    #[inline]
    pub(crate) fn take_all(&self) {
        if let Some(word) = self.word()
            && units(word.load(Ordering::Relaxed)) > 0
        {
            word.fetch_and(!UNITS, Ordering::Acquire);
        }
    }

    /// The value as it was a moment ago. Never a system call.
    #[inline]
    pub(crate) fn value(&self) -> u32 {
        self.word().map_or(0, |word| units(word.load(Ordering::Relaxed)))
    }

    /// Takes a unit, sleeping at most `limit` for it; false when none came, or the file was cut short. A system call only
    /// if there is none yet.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        if self.try_wait() {
            return true;
        }
        let Some(word) = self.word() else { return false };
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let until = time::monotonic_ns().saturating_add(limit);
        let counted = sleepers(word.load(Ordering::Relaxed)) < MANY_SLEEPERS;
        if counted {
            word.fetch_add(SLEEPER, Ordering::Relaxed);
        }
        // Whatever happens to the word meanwhile: each turn sleeps, or takes a unit, or time passes.
        loop {
            if take(word, if counted { SLEEPER } else { 0 }) {
                return true;
            }
            let left = until.saturating_sub(time::monotonic_ns());
            if left == 0 || !self.is_sound() {
                break;
            }
            futex::wait(low_half(word), 0, Duration::from_nanos(left));
        }
        if counted {
            let less_one = |found| (sleepers(found) > 0).then(|| found - SLEEPER);
            change(word, Ordering::Relaxed, less_one);
        }
        false
    }
}

/// Takes a unit if there is one, and one sleeper less (`sleeper` is [`SLEEPER`]) together with it.
#[inline]
fn take(word: &AtomicU64, sleeper: u64) -> bool {
    change(word, Ordering::Acquire, |found| {
        // Somebody may have put another number there.
        let sleeper = if sleepers(found) > 0 { sleeper } else { 0 };
        (units(found) > 0).then(|| found - 1 - sleeper)
    })
}

/// Changes the word, unless `next` finds nothing to change, or it is changed again and again by others.
#[inline]
fn change(word: &AtomicU64, success: Ordering, next: impl Fn(u64) -> Option<u64>) -> bool {
    let mut found = word.load(Ordering::Relaxed);
    for _ in 0..ATTEMPTS {
        let Some(new) = next(found) else { return false };
        match word.compare_exchange_weak(found, new, success, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(other) => found = other,
        }
    }
    false
}

/// The units alone, for the kernel.
fn low_half(word: &AtomicU64) -> &AtomicU32 {
    // SAFETY: the first half of the word on a little-endian machine. Only the kernel looks at it by itself.
    unsafe { AtomicU32::from_ptr(word.as_ptr().cast()) }
}

fn open(path: &Path, writable: bool) -> io::Result<std::os::fd::OwnedFd> {
    let fd = file::open(path, writable)?;
    let found = file::size(fd.as_fd())?;
    if found < BYTES as u64 {
        let problem = format!("it has {found} bytes where a semaphore of glibc has {BYTES}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(fd)
}

impl Drop for Semaphore {
    fn drop(&mut self) {
        let is_ours = self.guard.is_ours();
        // SAFETY: dropped here only, and not used behind it.
        unsafe { ManuallyDrop::drop(&mut self.guard) };
        if is_ours {
            // SAFETY: our mapping, and nobody uses it any more.
            let _ = unsafe { munmap(self.base.as_ptr().cast(), BYTES) };
        }
    }
}

/// glibc's own, as deployed peers use it.
#[cfg(test)]
pub(crate) mod glibc {
    use std::ffi::CString;
    use std::ptr::NonNull;
    use std::time::Duration;

    /// A semaphore that glibc opened.
    #[derive(Debug)]
    pub(crate) struct Theirs(NonNull<libc::sem_t>);

    // SAFETY: POSIX semaphores may be used from any thread of the process.
    unsafe impl Send for Theirs {}
    // SAFETY: as above; every operation is an atomic one inside libc.
    unsafe impl Sync for Theirs {}

    fn c_name(name: &str) -> CString {
        CString::new(format!("/{name}")).unwrap()
    }

    impl Theirs {
        pub(crate) fn create(name: &str) -> Self {
            let (name, mode, value): (_, libc::mode_t, libc::c_uint) = (c_name(name), 0o666, 0);
            let how = libc::O_CREAT | libc::O_EXCL;
            // SAFETY: `name` is a terminated string; with `O_CREAT` the call takes a mode and a value.
            Self(NonNull::new(unsafe { libc::sem_open(name.as_ptr(), how, mode, value) }).unwrap())
        }

        pub(crate) fn open(name: &str) -> Self {
            let name = c_name(name);
            // SAFETY: `name` is a terminated string that outlives the call.
            Self(NonNull::new(unsafe { libc::sem_open(name.as_ptr(), 0) }).unwrap())
        }

        pub(crate) fn post(&self) -> bool {
            // SAFETY: it is open.
            unsafe { libc::sem_post(self.0.as_ptr()) == 0 }
        }

        pub(crate) fn try_wait(&self) -> bool {
            // SAFETY: it is open.
            unsafe { libc::sem_trywait(self.0.as_ptr()) == 0 }
        }

        pub(crate) fn wait(&self) {
            // SAFETY: it is open.
            while unsafe { libc::sem_wait(self.0.as_ptr()) } != 0 {}
        }

        pub(crate) fn timed_wait(&self, limit: Duration) -> bool {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
            let nanoseconds = now.tv_nsec as u64 + u64::from(limit.subsec_nanos());
            let until = libc::timespec {
                tv_sec: now.tv_sec + limit.as_secs() as i64 + (nanoseconds / 1_000_000_000) as i64,
                tv_nsec: (nanoseconds % 1_000_000_000) as i64,
            };
            // SAFETY: it is open, and `until` outlives the call.
            unsafe { libc::sem_timedwait(self.0.as_ptr(), &raw const until) == 0 }
        }
    }

    impl Drop for Theirs {
        fn drop(&mut self) {
            // SAFETY: opened by us and closed only here.
            unsafe { libc::sem_close(self.0.as_ptr()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, PermissionsExt};
    use std::sync::atomic::AtomicBool;

    use super::glibc::Theirs;
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A name of its own, and nothing under it afterwards.
    struct Name(String);

    impl Name {
        fn new(test: &str) -> Self {
            let name = Self(format!("zb-test-{test}-{}", std::process::id()));
            let _ = unlink(&name.0);
            name
        }

        fn file(&self) -> std::fs::File {
            std::fs::OpenOptions::new().read(true).write(true).open(path(&self.0)).unwrap()
        }

        fn set(&self, at: u64, word: u32) {
            self.file().write_all_at(&word.to_le_bytes(), at).unwrap();
        }

        fn word(&self) -> u64 {
            let mut bytes = [0; 8];
            self.file().read_exact_at(&mut bytes, 0).unwrap();
            u64::from_le_bytes(bytes)
        }
    }

    impl Drop for Name {
        fn drop(&mut self) {
            let _ = unlink(&self.0);
        }
    }

    #[test]
    fn a_unit_posted_is_a_unit_taken() {
        let name = Name::new("semaphore");
        assert_eq!(Semaphore::open(&name.0).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(look(&name.0).unwrap_err().kind(), io::ErrorKind::NotFound);
        let ours = Semaphore::create(&name.0).unwrap();
        assert_eq!(Semaphore::create(&name.0).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let theirs = Semaphore::open(&name.0).unwrap();
        assert!(path(&name.0).exists());
        assert!(!ours.try_wait() && !ours.wait(Duration::from_millis(1)));
        assert!(theirs.post() && theirs.post());
        assert_eq!((ours.value(), look(&name.0).unwrap()), (2, 2));
        assert!(ours.try_wait() && ours.wait(LONG));
        assert_eq!(ours.value(), 0);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| ours.wait(LONG));
            assert!(theirs.post());
            assert!(waiter.join().unwrap());
        });
        assert_eq!(name.word(), 0, "nobody sleeps any more");
        assert!(ours.is_named(&name.0) && theirs.is_named(&name.0));
        unlink(&name.0).unwrap();
        assert!(!path(&name.0).exists() && !ours.is_named(&name.0));
        let _successor = Semaphore::create(&name.0).unwrap();
        assert!(!ours.is_named(&name.0));
    }

    #[test]
    fn the_file_is_byte_for_byte_what_glibc_makes() {
        let (ours, theirs) = (Name::new("bytes-ours"), Name::new("bytes-theirs"));
        let (made, by_glibc) = (Semaphore::create(&ours.0).unwrap(), Theirs::create(&theirs.0));
        for _ in 0..3 {
            let bytes = [&ours, &theirs].map(|name| std::fs::read(path(&name.0)).unwrap());
            assert_eq!(bytes[0], bytes[1]);
            assert!(made.post() && by_glibc.post());
        }
        let modes = [&ours, &theirs].map(|name| name.file().metadata().unwrap().permissions());
        assert_eq!(modes[0].mode(), modes[1].mode());
        let left = std::fs::read_dir("/dev/shm").unwrap().flatten().map(|entry| entry.file_name());
        let left = left.filter(|file| file.to_string_lossy().contains(&ours.0)).count();
        assert_eq!(left, 1, "the provisional name is still there");
    }

    /// Every way of waiting on one side, every way of posting on the other, and both sides the other way round.
    #[test]
    fn glibc_and_ours_hand_units_to_each_other() {
        const TURNS: u32 = 3000;
        let names = ["there", "back"].map(Name::new);
        let ours = names.each_ref().map(|name| Semaphore::create(&name.0).unwrap());
        let theirs = names.each_ref().map(|name| Theirs::open(&name.0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for turn in 0..TURNS {
                    match turn % 3 {
                        0 => theirs[0].wait(),
                        1 => assert!(theirs[0].timed_wait(LONG)),
                        _ => {
                            while !theirs[0].try_wait() {
                                std::thread::yield_now();
                            }
                        }
                    }
                    assert!(theirs[1].post());
                }
            });
            for turn in 0..TURNS {
                // Now and then the other side has gone to sleep.
                if turn % 100 == 0 {
                    std::thread::sleep(Duration::from_micros(300));
                }
                assert!(ours[0].post());
                if turn % 2 == 0 {
                    assert!(ours[1].wait(LONG));
                } else {
                    while !ours[1].try_wait() {
                        std::thread::yield_now();
                    }
                }
            }
        });
        // A stream: who posts does not wait for the other.
        std::thread::scope(|scope| {
            scope.spawn(|| (0..TURNS).for_each(|_| assert!(theirs[0].post())));
            (0..TURNS).for_each(|_| assert!(ours[0].wait(LONG)));
            scope.spawn(|| (0..TURNS).for_each(|_| theirs[1].wait()));
            (0..TURNS).for_each(|_| assert!(ours[1].post()));
        });
        for name in &names {
            assert_eq!(name.word(), 0, "units or sleepers are left");
        }
    }

    #[test]
    fn what_stands_in_the_file_ends_no_wait_late_and_no_process() {
        let name = Name::new("strange");
        let ours = Semaphore::create(&name.0).unwrap();
        let strange = [1, 127, 0x7fff_fffe, 0x7fff_ffff, 0x8000_0000, u32::MAX];
        for word in strange {
            for sleepers in strange {
                name.set(0, 0);
                name.set(4, sleepers);
                name.set(8, word);
                assert!(!ours.wait(Duration::from_micros(50)));
                assert!(ours.post() && ours.wait(LONG));
                name.set(0, word);
                assert_eq!(ours.value(), word);
                assert_eq!(ours.post(), word < MOST_UNITS);
                assert!(ours.try_wait() && ours.wait(LONG));
                ours.take_all();
                assert_eq!((ours.value(), ours.try_wait()), (0, false));
            }
        }
        assert_eq!(name.word() >> 32, u64::from(u32::MAX), "what others count is left alone");
    }

    #[test]
    fn a_number_of_sleepers_that_vanishes_is_not_counted_down_again() {
        let name = Name::new("sleepers");
        let ours = Semaphore::create(&name.0).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| ours.wait(Duration::from_millis(200)));
            while name.word() == 0 && !waiter.is_finished() {
                std::thread::yield_now();
            }
            name.set(4, 0);
            assert!(!waiter.join().unwrap());
        });
        assert_eq!(name.word(), 0);
    }

    #[test]
    fn words_that_change_all_the_time_hold_nobody_up() {
        let name = Name::new("changing");
        let ours = Semaphore::create(&name.0).unwrap();
        let other = Semaphore::open(&name.0).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let word = other.word().unwrap();
                let mut number = 1_u64;
                while !stop.load(Ordering::Relaxed) {
                    number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(7);
                    word.store(if number & 3 == 0 { 0 } else { number }, Ordering::Relaxed);
                }
            });
            for turn in 0..20_000 {
                match turn % 4 {
                    0 => {
                        ours.post();
                    }
                    1 => {
                        ours.try_wait();
                    }
                    2 => ours.take_all(),
                    _ => {
                        ours.wait(Duration::from_micros(20));
                    }
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn a_file_that_is_no_semaphore_is_refused() {
        let name = Name::new("refused");
        for bytes in [0, 1, 16, 31] {
            std::fs::write(path(&name.0), vec![0; bytes]).unwrap();
            for error in [Semaphore::open(&name.0).unwrap_err(), look(&name.0).unwrap_err()] {
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                assert!(error.to_string().contains(&format!("{bytes} bytes")), "{error}");
            }
        }
        unlink(&name.0).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path(&name.0)).unwrap();
        assert!(Semaphore::open(&name.0).is_err());
        unlink(&name.0).unwrap();
        std::fs::create_dir(path(&name.0)).unwrap();
        assert!(Semaphore::open(&name.0).is_err());
        std::fs::remove_dir(path(&name.0)).unwrap();
        // The layout of glibc before 2.21: the value, and no more is looked at.
        std::fs::write(path(&name.0), [2_u32, 0, 0, 0, 0, 0, 0, 0].map(u32::to_le_bytes).concat())
            .unwrap();
        let ours = Semaphore::open(&name.0).unwrap();
        assert!(ours.try_wait() && ours.wait(LONG) && !ours.try_wait());
    }

    #[test]
    fn a_file_that_is_cut_short_while_mapped_is_no_more_than_lost() {
        super::super::guard::survive_truncation().unwrap();
        let name = Name::new("cut");
        let ours = Semaphore::create(&name.0).unwrap();
        assert!(ours.post());
        name.file().set_len(0).unwrap();
        assert!(!ours.wait(LONG));
        assert!(!ours.is_sound() && ours.lost() == Lost::CutShort);
        assert!(!ours.try_wait() && !ours.post() && ours.value() == 0);
        ours.take_all();
        drop(ours);
        // While somebody sleeps on it.
        let _ = unlink(&name.0);
        let ours = Semaphore::create(&name.0).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| ours.wait(Duration::from_millis(100)));
            while name.word() == 0 && !waiter.is_finished() {
                std::thread::yield_now();
            }
            name.file().set_len(0).unwrap();
            assert!(!waiter.join().unwrap());
        });
    }
}
