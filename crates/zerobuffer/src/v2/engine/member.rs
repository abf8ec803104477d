//! The engine of a work group's member: the group's rules with waiting in turn, holding frames, and messages.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::arrival::{Source, Watch};
use super::liveness;
use super::open::create_or_join;
use super::origin::Exports;
use super::roles::{self, MemberWish};
use crate::sync::{Ordering, Shared};
use crate::v2::ground::segment::{Access, Segment};
use crate::v2::protocol::layout::slot_state;
use crate::v2::protocol::position::Position;
use crate::v2::rules::group::{Claimant, Membership};
use crate::v2::rules::memory::ReadMemory;
use crate::v2::rules::ring::{Damage, Found};
use crate::v2::rules::wake::{self, Announced, Barrier};
use crate::values::config::{BufferConfig, WaitStrategy};
use crate::values::error::{OpenError, ReadError};
use crate::values::name::Location;
use crate::values::stats::ReaderStats;
use crate::wait::{Courtesy, Patience, Progress};

/// A member's place in its group. Lives as long as the member or any frame it still holds.
#[derive(Debug)]
pub(crate) struct MemberSeat {
    segment: Segment,
    member: Membership,
    barrier: Barrier,
    /// Through which its frames were passed on.
    pub(crate) exports: Exports,
    leaves_for_good: AtomicBool,
}

impl MemberSeat {
    #[inline]
    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Releases a frame, from any thread and in any order.
    pub(crate) fn release(&self, found: &Found) {
        if !self.segment.is_sound() {
            return;
        }
        if let Some(cursor) = self.member.release(&self.segment, found.sequence) {
            wake::wake_writer(&self.segment, self.barrier, cursor);
        }
    }

    /// Whether this seat is still the one that was taken.
    fn is_taken(&self) -> bool {
        let slot = &self.segment.slots()[self.member.slot as usize];
        slot.state.load(Ordering::Acquire) == slot_state::ACTIVE
            && slot.generation.load(Ordering::Acquire) == self.member.generation
    }
}

impl Drop for MemberSeat {
    fn drop(&mut self) {
        if self.segment.is_sound() && self.is_taken() {
            self.member.step_out(&self.segment);
            let for_good = self.leaves_for_good.load(Ordering::Relaxed);
            roles::detach_member(&self.segment, &self.member, for_good);
        }
    }
}

/// How a member behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behaviour {
    pub(crate) wait: WaitStrategy,
    pub(crate) wish: MemberWish,
}

/// A work group's member.
#[derive(Debug)]
pub(crate) struct V2Member {
    seat: Shared<MemberSeat>,
    claims: Claims,
    /// Claimed and not handed out yet.
    pending: Option<Found>,
    /// Handed out as a batch, to be released together.
    batch: Vec<Found>,
    pub(crate) watch: Watch,
    frames: u64,
    bytes: u64,
}

/// How a member gets at frames.
#[derive(Debug)]
struct Claims {
    claimant: Claimant,
    /// How long others were let go first although there was a frame.
    courtesy: Courtesy,
    /// Time to look for frames of the dead.
    look_for_orphans: bool,
}

impl V2Member {
    pub(crate) fn create(
        name: &str,
        dir: Option<&Path>,
        config: &BufferConfig,
        behaviour: Behaviour,
    ) -> Result<Self, OpenError> {
        let place = Location::new(name, dir)?;
        let (segment, role) = create_or_join(&place, config, Access::Reader, |segment, fd| {
            roles::attach_member(segment, fd, &place, &behaviour.wish)
        })?;
        Ok(Self::new(segment, role, behaviour))
    }

    pub(crate) fn join(
        name: &str,
        dir: Option<&Path>,
        behaviour: Behaviour,
    ) -> Result<Self, OpenError> {
        let place = Location::new(name, dir)?;
        let (segment, role) = Segment::join(&place, Access::Reader, |segment, fd| {
            roles::attach_member(segment, fd, &place, &behaviour.wish)
        })?;
        Ok(Self::new(segment, role, behaviour))
    }

    fn new(
        segment: Segment,
        (member, barrier): (Membership, Barrier),
        behaviour: Behaviour,
    ) -> Self {
        let watch = Watch::new(&segment, behaviour.wait);
        let claimant = Claimant::new(member, &segment);
        let leaves_for_good = AtomicBool::new(false);
        Self {
            seat: Shared::new(MemberSeat {
                segment,
                member,
                barrier,
                exports: Exports::default(),
                leaves_for_good,
            }),
            claims: Claims { claimant, courtesy: Courtesy::default(), look_for_orphans: true },
            pending: None,
            batch: Vec::new(),
            watch,
            frames: 0,
            bytes: 0,
        }
    }

    pub(crate) fn seat(&self) -> &Shared<MemberSeat> {
        &self.seat
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.seat.segment
    }

    /// Claims the next frame; it stays claimed until it is [taken](Self::take).
    pub(crate) fn find(&mut self, patience: Patience) -> Result<Option<Found>, ReadError> {
        if self.pending.is_none() {
            let progress =
                Progress { frames: self.frames, bytes: self.claims.claimant.position().0 };
            let waits = patience != Patience::None;
            let mut source = Claiming { seat: &self.seat, claims: &mut self.claims, waits };
            self.pending = self.watch.find(&mut source, progress, patience)?;
        }
        Ok(self.pending)
    }

    /// Claims one more frame, if one is plain to see and nobody else waits for it.
    pub(crate) fn find_behind(&mut self) -> Option<Found> {
        if !self.segment().is_sound() {
            return None;
        }
        if self.pending.is_none() {
            let mut source = Claiming { seat: &self.seat, claims: &mut self.claims, waits: false };
            self.pending = source.poll_ready();
        }
        self.pending
    }

    /// Hands out the claimed frame.
    pub(crate) fn take(&mut self, found: &Found) {
        self.pending = None;
        self.frames += 1;
        self.bytes = self.bytes.wrapping_add(found.len);
        self.watch.stats.redelivered += u64::from(found.is_redelivered());
        let slot = &self.seat.segment.slots()[self.seat.member.slot as usize];
        slot.frames_read.store(self.frames, Ordering::Relaxed);
        slot.bytes_read.store(self.bytes, Ordering::Relaxed);
        slot.read_sequence.store(found.sequence, Ordering::Relaxed);
        slot.cursor.store(found.header.0, Ordering::Relaxed);
        slot.read_position.store(found.end.0, Ordering::Relaxed);
    }

    /// Hands out the claimed frame, to be released with the others of its batch.
    pub(crate) fn take_into_batch(&mut self, found: &Found) {
        self.take(found);
        self.batch.push(*found);
    }

    pub(crate) fn release_batch(&mut self) {
        for found in self.batch.drain(..) {
            self.seat.release(&found);
        }
    }

    /// Ring bytes committed that no member has claimed yet, as far as this one has looked.
    pub(crate) fn backlog_bytes(&self) -> u64 {
        if !self.segment().is_sound() {
            return 0;
        }
        let head = Position(self.segment().writer().head.load(Ordering::Acquire));
        let position = self.claims.claimant.position();
        if position.is_at_or_before(head) { head.since(position) } else { 0 }
    }

    pub(crate) fn stats(&self) -> ReaderStats {
        ReaderStats { frames: self.frames, bytes: self.bytes, ..self.watch.stats }
    }

    /// If nobody else is left in the group then, it ends with this member.
    pub(crate) fn leave_for_good(&self) {
        self.seat.leaves_for_good.store(true, Ordering::Relaxed);
    }
}

/// Frames of a group, as a member gets them.
struct Claiming<'a> {
    seat: &'a Shared<MemberSeat>,
    claims: &'a mut Claims,
    /// The call waits, and so takes its turn.
    waits: bool,
}

impl Claiming<'_> {
    fn member(&self) -> &Membership {
        &self.seat.member
    }

    /// A frame of a member that died.
    fn reclaim(&mut self) -> Result<Option<Found>, Damage> {
        let segment = &self.seat.segment;
        let own = self.seat.member;
        let orphan = self.claims.claimant.reclaim(segment, |owner| {
            if owner.slot == own.slot {
                owner.has_generation(own.generation)
            } else {
                liveness::is_owner_alive(segment, owner)
            }
        })?;
        if orphan.is_none() {
            self.claims.look_for_orphans = false;
            if let Some(cursor) = self.member().advance(segment) {
                wake::wake_writer(segment, Barrier::Fence, cursor);
            }
        }
        Ok(orphan)
    }
}

impl Source for Claiming<'_> {
    fn segment(&self) -> &Segment {
        &self.seat.segment
    }

    fn poll(&mut self) -> Result<Option<Found>, Damage> {
        let segment = &self.seat.segment;
        if self.claims.look_for_orphans
            && let Some(found) = self.reclaim()?
        {
            return Ok(Some(found));
        }
        let member = &self.seat.member;
        if self.waits && !member.is_queued(segment) && !member.is_in_turn(segment) {
            member.queue_up(segment);
        }
        if !member.is_in_turn(segment) || (!self.waits && member.others_wait(segment)) {
            let could = self.claims.claimant.could_claim(segment)?;
            if !self.claims.courtesy.is_exhausted(could) {
                return Ok(None);
            }
            // Whoever it is does not come.
            member.pass_over_first(segment);
            return Ok(None);
        }
        self.claims.courtesy.begin_anew();
        let found = self.claims.claimant.claim(segment)?;
        if member.is_queued(segment) {
            if found.is_some() {
                member.step_out(segment);
            }
        } else if self.waits && found.is_none() {
            member.queue_up(segment);
        }
        Ok(found)
    }

    /// Out of turn: those before this member may be dead, and then nobody would come for what is left.
    fn poll_last(&mut self) -> Result<Option<Found>, Damage> {
        if let Some(found) = self.reclaim()? {
            return Ok(Some(found));
        }
        let segment = &self.seat.segment;
        let found = self.claims.claimant.claim(segment)?;
        if found.is_some() && self.member().is_queued(segment) {
            self.member().step_out(segment);
        }
        Ok(found)
    }

    fn position(&self) -> Position {
        self.claims.claimant.position()
    }

    fn is_wiped_out(&self) -> bool {
        self.claims.claimant.is_wiped_out(&self.seat.segment)
    }

    fn is_registered(&self) -> bool {
        self.seat.is_taken()
    }

    fn announce(&mut self) -> Announced {
        self.member().announce(&self.seat.segment)
    }

    fn is_announced(&self) -> bool {
        self.member().is_announced(&self.seat.segment)
    }

    fn sleep(&mut self, limit: Duration) -> bool {
        let (segment, slot) = (&self.seat.segment, self.member().slot);
        match self.claims.courtesy.left() {
            // A frame is there; the one whose turn it is may not come.
            Some(left) => {
                wake::sleep_as_reader(segment, slot, left.min(limit));
                true
            }
            None => wake::sleep_as_reader(segment, slot, limit),
        }
    }

    fn look_after_others(&mut self) {
        self.claims.look_for_orphans = true;
        self.seat.exports.tidy();
        let segment = &self.seat.segment;
        self.member().pass_over(segment, |slot| !liveness::is_alive(segment, slot));
    }

    fn stop_waiting(&mut self) {
        let segment = &self.seat.segment;
        if segment.is_sound() && self.member().is_queued(segment) {
            self.member().step_out(segment);
        }
    }
}
