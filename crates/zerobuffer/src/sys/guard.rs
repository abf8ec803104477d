//! What became of a mapping: still there, left behind by a fork, or cut short by another process.
//!
//! A forked child has none of its parent's mappings. Calls find that out by a word; but bytes that were lent before
//! the fork are plain memory. So each child of `fork` gets private zeros where the mappings were, before anything else
//! runs there: what it reads are zeros, and what it stores nobody sees.
//!
//! Who may write to a file may also shrink it, and touching a page beyond its end is a bus error (`SIGBUS`): the
//! process ends. [`survive_truncation`] replaces such a mapping by private zeros instead and notes it, so that
//! the endpoint's next call is an error.
//!
//! # Safety
//! The signal handler runs at any instruction of any thread, so it only loads and stores atomics of entries that
//! are never freed, and calls `mmap`, `sigaction` and the handler that was there before. It maps over nothing but
//! the range of a live mapping of ours in which the fault lies: the faulting access proves that it is live.
//!
//! What runs in a forked child, before `fork` returns there, does as little: it loads and stores the entries' atomics and
//! calls `mmap`, which never replaces what is mapped already.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::fork;
use crate::values::error::{MetadataError, ReadError, WriteError};

/// What a mapping's word says: it is there, and whole as far as is known; or it was cut short. In a forked child, where there
/// is no mapping, the kernel has set the word to 0.
const SOUND: u64 = u64::MAX;
const CUT_SHORT: u64 = 1 << 63;

/// A mapping that the handler knows. Entries are reused, never freed: the handler may look at any of them.
#[derive(Debug)]
struct Entry {
    /// Some guard has it.
    taken: AtomicBool,
    /// [`SOUND`], [`CUT_SHORT`], or 0.
    word: &'static AtomicU64,
    base: AtomicUsize,
    /// 0 while the entry stands for nothing.
    len: AtomicUsize,
    /// In a forked child: zeros are mapped there instead.
    has_zeros: AtomicBool,
    next: Option<&'static Self>,
}

static ENTRIES: AtomicPtr<Entry> = AtomicPtr::new(ptr::null_mut());

/// Why a mapping is no longer to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// This process is a child of the one that made it.
    Forked,
    /// Another process made the file shorter.
    CutShort,
}

/// What a call says whose memory is not to be used any more.
impl Lost {
    #[cold]
    pub(crate) fn to_write_error(self, name: &Arc<str>) -> WriteError {
        let name = name.clone();
        match self {
            Self::Forked => WriteError::Forked { name },
            Self::CutShort => WriteError::CutShort { name },
        }
    }

    #[cold]
    pub(crate) fn to_read_error(self, name: &Arc<str>) -> ReadError {
        let name = name.clone();
        match self {
            Self::Forked => ReadError::Forked { name },
            Self::CutShort => ReadError::CutShort { name },
        }
    }

    #[cold]
    pub(crate) fn to_metadata_error(self, name: &Arc<str>) -> MetadataError {
        let name = name.clone();
        match self {
            Self::Forked => MetadataError::Forked { name },
            Self::CutShort => MetadataError::CutShort { name },
        }
    }
}

/// Watches over one mapping. Dropped before the mapping is unmapped.
#[derive(Debug)]
pub(crate) struct Guard {
    /// The entry's, at hand: every call asks it.
    word: &'static AtomicU64,
    entry: &'static Entry,
}

impl Guard {
    /// Begins to watch over a mapping of this process.
    pub(crate) fn new(base: NonNull<u8>, len: usize) -> Self {
        stand_in_for_children();
        let entry = take_entry();
        entry.has_zeros.store(false, Ordering::Relaxed);
        entry.word.store(SOUND, Ordering::Relaxed);
        entry.base.store(base.as_ptr().addr(), Ordering::Relaxed);
        entry.len.store(len, Ordering::Release);
        Self { word: entry.word, entry }
    }

    /// Whether the mapping is this process's, and whole as far as is known. Not a system call.
    #[inline(always)]
    pub(crate) fn is_sound(&self) -> bool {
        self.word.load(Ordering::Relaxed) == SOUND
    }

    /// A number below 2^63, or 0 if the mapping is not sound: for those who compare it with another one anyway, and so
    /// learn both by one branch.
    #[inline(always)]
    pub(crate) fn if_sound(&self, number: u64) -> u64 {
        number & self.word.load(Ordering::Relaxed)
    }

    /// Whether this is the process that made the mapping.
    #[inline(always)]
    pub(crate) fn is_ours(&self) -> bool {
        self.word.load(Ordering::Relaxed) != 0
    }

    /// Whether something of ours is mapped there: the mapping, or zeros instead of it.
    pub(crate) fn is_mapped(&self) -> bool {
        self.is_ours() || self.entry.has_zeros.load(Ordering::Relaxed)
    }

    /// Notes that the file was found to be shorter. Its memory stays as it is, for nobody has touched what is gone.
    #[cold]
    pub(crate) fn note_cut_short(&self) {
        // Not in a forked child, where the word is 0.
        let _ = self.word.compare_exchange(SOUND, CUT_SHORT, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Why it is not sound.
    #[cold]
    pub(crate) fn lost(&self) -> Lost {
        match self.word.load(Ordering::Relaxed) {
            CUT_SHORT => Lost::CutShort,
            _ => Lost::Forked,
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.entry.len.store(0, Ordering::Release);
        self.entry.taken.store(false, Ordering::Release);
    }
}

/// The entries, newest first.
fn entries() -> impl Iterator<Item = &'static Entry> {
    // SAFETY: null, or an entry that is never freed.
    let first = unsafe { ENTRIES.load(Ordering::Acquire).as_ref() };
    std::iter::successors(first, |entry| entry.next)
}

/// An entry for one guard. Without a lock, which a forked child could inherit locked.
fn take_entry() -> &'static Entry {
    let take = |entry: &&Entry| !entry.taken.swap(true, Ordering::Acquire);
    entries().find(take).unwrap_or_else(add_entry)
}

#[cold]
fn add_entry() -> &'static Entry {
    let entry = Box::leak(Box::new(Entry {
        taken: AtomicBool::new(true),
        word: fork::wiped_word(),
        base: AtomicUsize::new(0),
        len: AtomicUsize::new(0),
        has_zeros: AtomicBool::new(false),
        next: None,
    }));
    let mut first = ENTRIES.load(Ordering::Acquire);
    loop {
        // SAFETY: null, or an entry that was leaked.
        entry.next = unsafe { first.as_ref() };
        match ENTRIES.compare_exchange(first, entry, Ordering::Release, Ordering::Acquire) {
            Ok(_) => return entry,
            Err(other) => first = other,
        }
    }
}

/// Has every child of `fork` get zeros in place of what it does not inherit.
///
/// Children that come about without libc's `fork` (a bare `clone`, `vfork`, `_Fork`) get none. Nor do those in which
/// the system refuses: where memory is not to be promised beyond what there is, for reading only.
fn stand_in_for_children() {
    static DONE: AtomicBool = AtomicBool::new(false);
    if !DONE.swap(true, Ordering::Relaxed) {
        // SAFETY: the handler is a function of this program that does only what is allowed in a child, see above.
        unsafe { libc::pthread_atfork(None, None, Some(map_zeros_in_child)) };
    }
}

extern "C" fn map_zeros_in_child() {
    for entry in entries() {
        let len = entry.len.load(Ordering::Acquire);
        if len == 0 {
            continue;
        }
        // The kernel has done so already, where it is not older than 4.14.
        entry.word.store(0, Ordering::Relaxed);
        // A child's child has inherited its parent's.
        if !entry.has_zeros.load(Ordering::Relaxed) {
            let base = entry.base.load(Ordering::Acquire);
            let is_there = [libc::PROT_READ | libc::PROT_WRITE, libc::PROT_READ]
                .into_iter()
                // SAFETY: nothing is replaced.
                .any(|access| unsafe { map_zeros(base, len, access, libc::MAP_FIXED_NOREPLACE) });
            entry.has_zeros.store(is_there, Ordering::Relaxed);
        }
    }
}

/// Maps zeros of this process alone at a place. `errno` is left as it was.
///
/// # Safety
/// With `MAP_FIXED` the range is that of a mapping whose users expect any bytes at any time. With `MAP_FIXED_NOREPLACE`
/// nothing that is mapped is replaced.
unsafe fn map_zeros(base: usize, len: usize, access: libc::c_int, fixed: libc::c_int) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | fixed;
    let start = ptr::with_exposed_provenance_mut::<c_void>(base);
    // SAFETY: the caller answers for the range. What a kernel that does not know `MAP_FIXED_NOREPLACE` (before 4.17)
    // maps elsewhere is unmapped again.
    unsafe {
        let errno = *libc::__errno_location();
        let mapped = libc::mmap(start, len, access, flags, -1, 0);
        let is_there = mapped == start;
        if !is_there && mapped != libc::MAP_FAILED {
            libc::munmap(mapped, len);
        }
        *libc::__errno_location() = errno;
        is_there
    }
}

/// Makes a buffer that another process cut short an error of the next call, instead of the end of this process.
///
/// For the whole process, once; a second call has no effect. Without it the process gets `SIGBUS` when it touches
/// memory beyond the end of the file, as with every mapped file. ZeroBuffer itself never makes a file shorter, but
/// whoever may write to it can.
///
/// With it, the buffer's memory is replaced by zeros in this process when that happens: a [`Frame`](crate::Frame)
/// that is being read shows zeros from there on, frames written but not yet received are gone, and the next call
/// on the endpoint returns [`ReadError::CutShort`](crate::ReadError::CutShort) or
/// [`WriteError::CutShort`](crate::WriteError::CutShort). Drop it then, and create or join the buffer anew.
///
/// It installs a handler for `SIGBUS` that deals with this library's memory only and hands everything else to the
/// handler that was there before. A program that installs its own later has to do the same.
///
/// # Errors
/// The system refused to install the handler.
///
/// # Examples
/// ```
/// # fn main() -> std::io::Result<()> {
/// zerobuffer::survive_truncation()?;
/// # Ok(()) }
/// ```
pub fn survive_truncation() -> io::Result<()> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*installed {
        install()?;
        *installed = true;
    }
    Ok(())
}

/// What handled the signal before us.
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

fn install() -> io::Result<()> {
    let mut previous = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: asks only; on success `previous` is filled in.
    if unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), previous.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: filled in, as just checked. Known before the handler can run, which only reads it.
    let _ = PREVIOUS.set(unsafe { previous.assume_init() });
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut c_void) = on_bus_error;
    // SAFETY: all zeros is a valid `sigaction`; the handler has the form that SA_SIGINFO asks for.
    let failed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) != 0
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

extern "C" fn on_bus_error(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a filled-in `info`; for this signal it has an address.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    // Broken memory has other codes, and a signal that somebody sent has no address.
    if code == libc::BUS_ADRERR && replace_around(address) {
        return;
    }
    hand_on(signal, info, context);
}

/// Replaces the mapping of ours that an address lies in by zeros of this process alone.
fn replace_around(address: usize) -> bool {
    for entry in entries() {
        let len = entry.len.load(Ordering::Acquire);
        let base = entry.base.load(Ordering::Acquire);
        // Asked again: meanwhile the entry may have come to stand for another mapping. That of a parent process
        // is not here.
        if address.wrapping_sub(base) < len
            && entry.len.load(Ordering::Acquire) == len
            && entry.word.load(Ordering::Relaxed) != 0
        {
            entry.word.store(CUT_SHORT, Ordering::Relaxed);
            let access = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: the range of a mapping of ours that is in use at this moment, for its access brought us here.
            return unsafe { map_zeros(base, len, access, libc::MAP_FIXED) };
        }
    }
    false
}

/// Does what would have been done without us.
fn hand_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    type WithInfo = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut c_void);
    type Plain = extern "C" fn(libc::c_int);
    static GAVE_UP: AtomicBool = AtomicBool::new(false);
    let previous = PREVIOUS.get().filter(|_| !GAVE_UP.load(Ordering::Relaxed));
    match previous {
        Some(action)
            if action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != libc::SIG_IGN =>
        {
            // SAFETY: a handler of the form that its flags say, as the kernel would have called it.
            unsafe {
                if action.sa_flags & libc::SA_SIGINFO != 0 {
                    std::mem::transmute::<usize, WithInfo>(action.sa_sigaction)(
                        signal, info, context,
                    );
                } else {
                    std::mem::transmute::<usize, Plain>(action.sa_sigaction)(signal);
                }
            }
        }
        _ => {
            GAVE_UP.store(true, Ordering::Relaxed);
            // SAFETY: the default action; the faulting instruction runs again when we return, and ends the process.
            // A signal that was sent is sent once more, and waits until then.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &raw const action, ptr::null_mut());
                if (*info).si_code <= 0 {
                    libc::raise(signal);
                }
            }
        }
    }
}
