//! A copy, a flag and a sum: the least that any hand-over of a copied frame between two processes must do. No lengths, no
//! liveness, no successors, nothing to see from outside: a floor, to tell what is the memory's price from what is ours.
//!
//! # Safety
//!
//! [`Ring`] owns one mapping for its whole life: flags, each on a line of its own and only used as atomics, and behind them
//! slots. A slot's bytes belong to the writer while its flag is 0 and to the reader while it is 1, and each side hands them
//! over with a Release store that the other one's Acquire load has seen before it touches them.

#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use rustix::mm::{MapFlags, ProtFlags};

use super::{Link, Peer, Receiver, Sender};

const LINE: usize = 64;
/// Memory, not a disk: where buffers lie too.
pub(crate) const DIR: &str = "/dev/shm";
pub(crate) const SUFFIX: &str = ".bare";

#[derive(Debug)]
pub(crate) struct Bare;

/// One end's view of the slots.
#[derive(Debug)]
pub(crate) struct Ring {
    base: NonNull<u8>,
    len: usize,
    slots: usize,
    bytes: usize,
    next: usize,
}

#[derive(Debug)]
pub(crate) struct Out(Ring);

#[derive(Debug)]
pub(crate) struct In(Ring);

/// Opens the file; whoever finds it there is the second one, and takes its name away.
fn open(link: &Link) -> anyhow::Result<File> {
    let path = PathBuf::from(DIR).join(format!("{}{SUFFIX}", link.name));
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.clone().create_new(true).open(&path) {
        Ok(file) => Ok(file),
        Err(why) if why.kind() == ErrorKind::AlreadyExists => {
            let file = options.open(&path).context("open the slots")?;
            std::fs::remove_file(&path).context("take the slots' name away")?;
            Ok(file)
        }
        Err(why) => Err(why).context("make the slots"),
    }
}

impl Ring {
    fn map(link: &Link) -> anyhow::Result<Self> {
        let stride = link.bytes.next_multiple_of(LINE);
        let slots = (link.ring / stride).max(2);
        let len = slots * (LINE + stride);
        let file = open(link)?;
        // Both do, so that it has its length for whoever comes first; new bytes are zeros, so all slots are the writer's.
        file.set_len(len as u64).context("size the slots")?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address the kernel chooses; it replaces nothing.
        let base = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), len, access, MapFlags::SHARED, &file, 0)
        }
        .context("map the slots")?;
        let base = NonNull::new(base.cast()).context("the kernel mapped at address zero")?;
        Ok(Self { base, len, slots, bytes: link.bytes, next: 0 })
    }

    /// The flag of the next slot.
    #[inline(always)]
    fn flag(&self) -> &AtomicU64 {
        // SAFETY: `next < slots`, so it lies among the flags; aligned, and only ever used as an atomic.
        unsafe { self.base.add(self.next * LINE).cast::<AtomicU64>().as_ref() }
    }

    /// Waits until the next slot's flag has that value.
    #[inline(always)]
    fn wait_for(&self, value: u64) {
        while self.flag().load(Ordering::Acquire) != value {
            std::hint::spin_loop();
        }
    }

    /// The next slot.
    #[inline(always)]
    fn slot(&self) -> NonNull<u8> {
        let stride = self.bytes.next_multiple_of(LINE);
        // SAFETY: behind the flags, and `next < slots`.
        unsafe { self.base.add(self.slots * LINE + self.next * stride) }
    }

    /// Gives the next slot to the other side and goes on behind it.
    #[inline(always)]
    fn hand_over(&mut self, value: u64) {
        self.flag().store(value, Ordering::Release);
        self.next = if self.next + 1 == self.slots { 0 } else { self.next + 1 };
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `map` made; every borrow of it has ended with `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok());
    }
}

impl Peer for Bare {
    type Sender = Out;
    type Receiver = In;

    fn sender(link: &Link) -> anyhow::Result<Out> {
        Ring::map(link).map(Out)
    }

    fn receiver(link: &Link, _index: usize) -> anyhow::Result<In> {
        Ring::map(link).map(In)
    }
}

impl Sender for Out {
    #[inline(always)]
    fn send(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        let ring = &mut self.0;
        anyhow::ensure!(frame.len() == ring.bytes, "a frame of another size");
        ring.wait_for(0);
        // SAFETY: the slot has that many bytes, is this side's while its flag is 0, and is not where `frame` lies.
        unsafe { ring.slot().copy_from_nonoverlapping(NonNull::from(frame).cast(), frame.len()) };
        ring.hand_over(1);
        Ok(())
    }
}

impl Receiver for In {
    #[inline(always)]
    fn receive<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> anyhow::Result<T> {
        let ring = &mut self.0;
        ring.wait_for(1);
        // SAFETY: the slot has that many bytes, and the other side leaves them alone while its flag is 1: until the
        // hand-over below, when the slice is gone.
        let seen = look(unsafe { NonNull::slice_from_raw_parts(ring.slot(), ring.bytes).as_ref() });
        ring.hand_over(0);
        Ok(seen)
    }
}
