//! The ground: everything that touches the operating system. Linux, 64-bit, little-endian.
//!
//! * [`file`]: opening, creating, naming and checking segment files
//! * [`fields`]: fields of a file, read and written without mapping it
//! * [`lock`]: open-file-description locks, which say who is alive
//! * [`mapping`]: the segment in this process's address space, payload twice
//!   (`one_view`: once for all endpoints of a process, for ThreadSanitizer)
//! * [`guard`]: noticing that a mapping was left by fork, or cut short by a peer
//! * [`space`]: how much memory can be had without waking the OOM killer
//! * [`trial`]: trying what a directory offers
//! * [`futex`], [`barrier`]: sleeping, waking, and the sleeper's barrier
//! * [`process`]: who we are; [`time`]: what time it is; [`clock`]: the same time for processes in different time namespaces
//! * [`fork`]: telling a process from its forked children
//! * [`processor`]: how large its caches are, and what it is good at
//! * [`copy`], [`streaming`]: copying through the caches, and past them
//! * [`semaphore`]: the named semaphores of protocol 1.0

pub(crate) mod barrier;
pub(crate) mod clock;
pub(crate) mod copy;
pub(crate) mod copying;
pub(crate) mod fields;
pub(crate) mod file;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod guard;
pub(crate) mod lock;
pub(crate) mod mapping;
#[cfg(tsan)]
pub(crate) mod one_view;
pub(crate) mod process;
pub(crate) mod processor;
pub(crate) mod semaphore;
pub(crate) mod space;
pub(crate) mod streaming;
pub(crate) mod time;
pub(crate) mod trial;
