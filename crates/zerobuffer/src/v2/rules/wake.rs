//! Sleeping and waking: the handshakes between a party that may sleep and one that makes progress.
//!
//! Both are store-load handshakes. The sleeper stores its announcement and then looks for progress again; the
//! waker stores its progress and then looks for an announcement. With a barrier between store and load on
//! both sides at least one of them sees the other, so nobody sleeps through progress. The waker's barrier is a
//! real fence, or, when it has registered with the kernel for it, the sleeper's `membarrier` does its part.

use std::time::Duration;

use super::memory::Memory;
use crate::fault::{self, Fault};
use crate::sync::{Ordering, compiler_fence, fence};
use crate::v2::protocol::position::Position;

/// How the running side keeps its store before its load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Barrier {
    /// By a fence of its own.
    Fence,
    /// By the sleeper's `membarrier`, for which this process is registered and has said so in the segment.
    LeftToSleeper,
}

impl Barrier {
    #[inline(always)]
    fn execute(self) {
        match self {
            Self::Fence => fence(Ordering::SeqCst),
            Self::LeftToSleeper => compiler_fence(Ordering::SeqCst),
        }
    }
}

/// Whether the sleeper may sleep its whole slice, or must look again soon because the system has no barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announced {
    Safely,
    WithoutBarrier,
}

/// Reader `slot` announces that it is about to sleep. It must look again before [`reader_sleeps`].
pub(crate) fn announce_reader(memory: &impl Memory, slot: u32) -> Announced {
    memory.slots()[slot as usize].wait_flag.store(1, Ordering::Relaxed);
    memory.registry().sleepers.fetch_or(1 << slot, Ordering::SeqCst);
    barrier_of_sleeper(memory)
}

/// Whether the announcement of reader `slot` still stands: no waker has taken it up.
pub(crate) fn is_reader_announced(memory: &impl Memory, slot: u32) -> bool {
    memory.slots()[slot as usize].wait_flag.load(Ordering::Relaxed) == 1
        && memory.registry().sleepers.load(Ordering::Relaxed) & 1 << slot != 0
}

/// Sleeps until woken or `limit` passed (false).
pub(crate) fn reader_sleeps(memory: &impl Memory, slot: u32, limit: Duration) -> bool {
    memory.sleep(&memory.slots()[slot as usize].wait_flag, 1, limit)
}

/// Sleeps as [`reader_sleeps`], and counts it.
pub(crate) fn sleep_as_reader(memory: &impl Memory, slot: u32, limit: Duration) -> bool {
    let parks = &memory.slots()[slot as usize].parks;
    parks.store(parks.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    reader_sleeps(memory, slot, limit)
}

/// After progress: wakes the readers that sleep. Returns how many were called.
#[inline(always)]
pub(crate) fn wake_readers(memory: &impl Memory, barrier: Barrier) -> u32 {
    barrier.execute();
    if memory.registry().sleepers.load(Ordering::Relaxed) == 0 {
        return 0;
    }
    wake_announced(memory)
}

/// Wakes the readers that sleep, without a barrier of its own.
#[cold]
pub(crate) fn wake_announced(memory: &impl Memory) -> u32 {
    let mut announced = memory.registry().sleepers.swap(0, Ordering::SeqCst);
    fault::point(Fault::SleepersTaken);
    let mut woken = 0;
    while announced != 0 {
        let index = announced.trailing_zeros();
        announced &= announced - 1;
        // Bits beyond the last slot can only be damage; there is nobody to wake.
        if let Some(slot) = memory.slots().get(index as usize) {
            slot.wait_flag.store(0, Ordering::Release);
            memory.wake(&slot.wait_flag);
            woken += 1;
        }
    }
    woken
}

/// Wakes reader `slot`, if it sleeps or is about to.
pub(crate) fn wake_reader(memory: &impl Memory, slot: u32) {
    let flag = &memory.slots()[slot as usize].wait_flag;
    if flag.load(Ordering::Acquire) != 0 {
        flag.store(0, Ordering::Release);
        memory.wake(flag);
    }
}

/// Wakes all readers, announced or not: a Writer that died may have taken up an announcement and not followed it.
/// For its successor.
#[cold]
pub(crate) fn wake_every_reader(memory: &impl Memory) {
    fence(Ordering::SeqCst);
    memory.registry().sleepers.swap(0, Ordering::SeqCst);
    for slot in memory.slots() {
        slot.wait_flag.store(0, Ordering::Release);
        memory.wake(&slot.wait_flag);
    }
}

/// Wakes everybody: there is something to tell that is neither a frame nor room.
#[cold]
pub(crate) fn wake_everybody(memory: &impl Memory) {
    fence(Ordering::SeqCst);
    for slot in memory.slots() {
        slot.wait_flag.store(0, Ordering::Release);
        memory.wake(&slot.wait_flag);
    }
    wake_writer_anyway(memory);
}

/// The Writer announces that it waits for the lowest cursor to reach `wants`. It must look again before
/// [`writer_sleeps`].
pub(crate) fn announce_writer(memory: &impl Memory, wants: Position) -> Announced {
    let registry = memory.registry();
    registry.writer_wants.store(wants.0, Ordering::Relaxed);
    registry.writer_waiting.store(1, Ordering::SeqCst);
    barrier_of_sleeper(memory)
}

/// Whether the Writer's announcement still stands: no waker has taken it up.
pub(crate) fn is_writer_announced(memory: &impl Memory) -> bool {
    memory.registry().writer_waiting.load(Ordering::Relaxed) == 1
}

/// Sleeps until woken or `limit` passed (false).
pub(crate) fn writer_sleeps(memory: &impl Memory, limit: Duration) -> bool {
    memory.sleep(&memory.registry().writer_waiting, 1, limit)
}

/// After a release up to `cursor`: wakes the Writer if it waits for no more than that.
#[inline(always)]
pub(crate) fn wake_writer(memory: &impl Memory, barrier: Barrier, cursor: Position) {
    barrier.execute();
    if memory.registry().writer_waiting.load(Ordering::Acquire) != 0 {
        wake_satisfied_writer(memory, cursor);
    }
}

/// Wakes the waiting Writer if it waits for no more than `cursor`.
#[cold]
fn wake_satisfied_writer(memory: &impl Memory, cursor: Position) {
    let wants = Position(memory.registry().writer_wants.load(Ordering::Relaxed));
    if wants.is_at_or_before(cursor) {
        wake_waiting_writer(memory);
    }
}

/// Wakes the Writer, whatever it waits for.
#[cold]
pub(crate) fn wake_waiting_writer(memory: &impl Memory) {
    fence(Ordering::SeqCst);
    let registry = memory.registry();
    if registry.writer_waiting.swap(0, Ordering::SeqCst) != 0 {
        memory.wake(&registry.writer_waiting);
    }
}

/// Wakes the Writer, announced or not: a reader that died may have taken up the announcement and not followed it.
/// For its successor.
#[cold]
pub(crate) fn wake_writer_anyway(memory: &impl Memory) {
    fence(Ordering::SeqCst);
    let waiting = &memory.registry().writer_waiting;
    waiting.swap(0, Ordering::SeqCst);
    memory.wake(waiting);
}

fn barrier_of_sleeper(memory: &impl Memory) -> Announced {
    fence(Ordering::SeqCst);
    if memory.sleeper_barrier() { Announced::Safely } else { Announced::WithoutBarrier }
}
