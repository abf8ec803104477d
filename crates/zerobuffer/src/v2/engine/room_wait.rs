//! What a Writer waits for: room, and the ring empty.

use crate::v2::placing::Producer;
use std::time::{Duration, Instant};

use super::forget;
use super::liveness::{self, Reaped};
use crate::sync::Ordering;
use crate::v2::ground::segment::Segment;
use crate::v2::protocol::layout::{MAX_SLOTS, slot_flags, slot_lock};
use crate::v2::rules::memory::ReadMemory;
use crate::v2::rules::ring::{Claim, Full};
use crate::v2::rules::wake::{self, Announced};
use crate::values::error::WriteError;
use crate::values::stats::WriterStats;
use crate::wait::Awaited;

/// The room that a Writer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Behind the tail, though there is room elsewhere: for the cache's sake, and not for long.
    AtTheTail,
    Anywhere,
}

impl Wanted {
    pub(super) fn claim(
        self,
        producer: &mut Producer,
        segment: &Segment,
        len: u64,
    ) -> Result<Claim, Full> {
        match self {
            Self::AtTheTail => producer.claim(segment, len),
            Self::Anywhere => producer.claim_beyond(segment, len),
        }
    }
}

/// RoomWait for one frame, waited for.
pub(super) struct RoomWait<'a> {
    pub(super) segment: &'a Segment,
    pub(super) producer: &'a mut Producer,
    pub(super) len: u64,
    pub(super) wanted: Wanted,
    pub(super) full: Full,
    pub(super) told: &'a mut [u64; MAX_SLOTS as usize],
    pub(super) forget_after: Option<Duration>,
    pub(super) absent: &'a mut Option<Absent>,
    pub(super) stats: &'a mut WriterStats,
}

/// Who held this writer back when it looked last, and was gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Absent {
    slot: u32,
    generation: u64,
    /// When that was noticed.
    since: Instant,
}

impl RoomWait<'_> {
    /// Gives up the place of one who is gone, if he has been for as long as is waited for him.
    fn gives_up(&mut self, slot: u32, generation: u64) -> bool {
        let Some(limit) = self.forget_after else { return false };
        let is_known = |absent: &Absent| (absent.slot, absent.generation) == (slot, generation);
        let noticed_now = Absent { slot, generation, since: Instant::now() };
        let absent = *self.absent.insert(self.absent.filter(is_known).unwrap_or(noticed_now));
        if absent.since.elapsed() < limit {
            return false;
        }
        let Some(loss) = forget::forget_absent(self.segment, slot, generation) else {
            return false;
        };
        *self.absent = None;
        self.stats.forgotten_readers += 1;
        self.stats.forgotten_frames += loss.frames;
        true
    }

    fn gone(&self, slot: u32) -> WriteError {
        WriteError::ReaderGone {
            name: self.segment.name().clone(),
            holder: liveness::peer(self.segment, slot),
            took_buffer: false,
        }
    }
}

impl Awaited for RoomWait<'_> {
    type Output = Claim;
    type Error = WriteError;

    fn poll(&mut self) -> Result<Option<Claim>, WriteError> {
        match self.wanted.claim(self.producer, self.segment, self.len) {
            Ok(claim) => Ok(Some(claim)),
            Err(full) => {
                self.full = full;
                Ok(None)
            }
        }
    }

    fn glance(&mut self) -> Result<Option<Claim>, WriteError> {
        if !self.segment.is_sound() || self.segment.is_retired() {
            return Err(WriteError::Retired { name: self.segment.name().clone() });
        }
        Ok(None)
    }

    /// Looks after the reader in the way: a dead ephemeral one is freed, the end of a durable one is told once.
    fn probe(&mut self) -> Result<Option<Claim>, WriteError> {
        self.segment.look_at_file();
        self.glance()?;
        let Some(index) = self.full.holder else {
            return Ok(None);
        };
        // The ring is not full: whoever is in the way of a better place need not live, and nobody is told of it.
        if self.wanted == Wanted::AtTheTail {
            return Ok(None);
        }
        if liveness::is_looked_after(self.segment, index) {
            return Ok(None);
        }
        let slot = &self.segment.slots()[index as usize];
        if slot.flags.load(Ordering::Relaxed) & slot_flags::DURABLE == 0
            && liveness::reap(self.segment, index) != Reaped::Awaited
        {
            return self.poll();
        }
        let generation = slot.generation.load(Ordering::Acquire);
        if self.gives_up(index, generation) {
            return self.poll();
        }
        if self.told[index as usize] == generation {
            return Ok(None);
        }
        self.told[index as usize] = generation;
        Err(self.gone(index))
    }

    fn announce(&mut self) -> Announced {
        wake::announce_writer(self.segment, self.full.wants)
    }

    fn is_announced(&self) -> bool {
        wake::is_writer_announced(self.segment)
    }

    fn sleep(&mut self, limit: Duration) -> bool {
        self.stats.parks += 1;
        wake::writer_sleeps(self.segment, limit)
    }

    fn overslept(&mut self) {
        self.stats.late_wakes += 1;
    }
}

/// The ring empty, waited for.
pub(super) struct Drained<'a> {
    pub(super) segment: &'a Segment,
    pub(super) producer: &'a mut Producer,
    /// Who is in the way.
    pub(super) holder: Option<u32>,
}

/// Nobody will empty this ring: it was retired.
pub(super) struct NeverDrained;

impl Awaited for Drained<'_> {
    type Output = ();
    type Error = NeverDrained;

    fn poll(&mut self) -> Result<Option<()>, NeverDrained> {
        let lowest = self.producer.refresh_floor(self.segment);
        self.holder = lowest.slot;
        Ok((lowest.cursor == self.producer.head()).then_some(()))
    }

    fn glance(&mut self) -> Result<Option<()>, NeverDrained> {
        if !self.segment.is_sound() || self.segment.is_retired() {
            Err(NeverDrained)
        } else {
            Ok(None)
        }
    }

    /// An ephemeral reader that died will release nothing more.
    fn probe(&mut self) -> Result<Option<()>, NeverDrained> {
        self.segment.look_at_file();
        self.glance()?;
        let Some(index) = self.holder else {
            return Ok(None);
        };
        let slot = &self.segment.slots()[index as usize];
        if slot.flags.load(Ordering::Relaxed) & slot_flags::DURABLE == 0
            && !self.segment.is_lock_held(slot_lock(index))
        {
            liveness::reap(self.segment, index);
        }
        self.poll()
    }

    fn announce(&mut self) -> Announced {
        wake::announce_writer(self.segment, self.producer.head())
    }

    fn is_announced(&self) -> bool {
        wake::is_writer_announced(self.segment)
    }

    fn sleep(&mut self, limit: Duration) -> bool {
        wake::writer_sleeps(self.segment, limit)
    }

    fn overslept(&mut self) {}
}
