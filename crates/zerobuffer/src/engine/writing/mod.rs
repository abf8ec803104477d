//! The engine behind a Writer.

mod everyday;
mod v1;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use super::seat::SeatRef;
use crate::v2::engine::writer::V2Writer;
use crate::v2::protocol::position::Position;
use crate::v2::rules::ring::{Claim, Found};
use crate::values::config::Protocol;
use crate::values::error::{MetadataError, WriteError};
use crate::values::stats::{ReaderInfo, Undelivered, WhyCopied, WriterStats};
use crate::wait::Patience;
use crate::wait::armed::Armed;

/// What every engine behind a Writer does. [`Writing`] leads here, and inlines what each frame costs.
pub(crate) trait WritingEngine: fmt::Debug + Send + Sync {
    fn protocol(&self) -> Protocol;
    fn name(&self) -> &Arc<str>;
    /// Largest frame that can be written wherever the ring stands.
    fn max_frame_bytes(&self) -> usize;
    /// Size of the ring.
    fn payload_bytes(&self) -> usize;
    /// Whether this is the process that attached; in a forked child nothing is committed.
    fn is_ours(&self) -> bool;

    /// Claims room for a frame of exactly `len` bytes, or, if it `may_shrink`, of up to so many.
    fn claim(
        &mut self,
        len: usize,
        may_shrink: bool,
        patience: Patience,
    ) -> Result<Claim, WriteError>;
    /// Copies a part of a frame to a place within its claim.
    fn copy_in(&mut self, start: Position, part: &[u8]);
    fn lend(&self, start: Position, len: usize) -> &[u8];
    fn lend_mut(&mut self, start: Position, len: usize) -> &mut [u8];
    /// The claim for the first `len` bytes only, which are moved if frames of that length begin elsewhere.
    fn shortened(&mut self, claim: &Claim, len: usize) -> Claim;
    /// Completes a claimed frame; visible with [`publish`](Self::publish). Returns its number.
    fn stage(&mut self, claim: &Claim) -> u64;
    /// Makes what is staged visible and wakes who waits for it.
    fn publish(&mut self);
    /// Forgets what is staged.
    fn abort(&mut self);
    fn count_dropped(&mut self, bytes: usize);

    /// From how many bytes on frames start on a cache line; `None`: frames have no attributes here.
    fn attributes_threshold(&self) -> Option<usize> {
        None
    }

    fn set_metadata(&mut self, bytes: &[u8]) -> Result<(), MetadataError>;
    fn replace_metadata(&mut self, bytes: &[u8]) -> Result<(), MetadataError>;

    /// Announces a sleep until there is room for `len` bytes, and looks once more.
    fn arm(&mut self, _len: usize) -> Armed {
        Armed::unattended()
    }

    fn readers(&self) -> Vec<ReaderInfo>;
    fn has_live_reader(&self) -> bool;
    fn has_had_reader(&self) -> bool;
    fn is_removed(&self) -> bool;
    fn undelivered(&self) -> Undelivered;
    fn wait_drained(&mut self, timeout: Option<Duration>) -> bool;
    /// Gives up what no reader has fetched, when this end leaves.
    fn discard_on_leaving(&self);
    fn next_sequence(&self) -> u64;
    fn stats(&self) -> WriterStats;
    /// Position behind what is published.
    fn head(&self) -> u64;
}

/// The engine behind a Writer.
// In place, for a pointer to the everyday engine would be one more load in every call.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(crate) enum Writing {
    Everyday(V2Writer),
    Other(Box<dyn WritingEngine>),
}

impl Deref for Writing {
    type Target = dyn WritingEngine;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Everyday(engine) => engine,
            Self::Other(engine) => &**engine,
        }
    }
}

impl DerefMut for Writing {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Self::Everyday(engine) => engine,
            Self::Other(engine) => &mut **engine,
        }
    }
}

/// What each frame costs.
impl Writing {
    /// Copies a frame in and makes it visible, if it is plain to see that there is room; its number.
    #[inline(always)]
    pub(crate) fn write_ready(&mut self, payload: &[u8]) -> Option<u64> {
        match self {
            Self::Everyday(engine) => {
                engine.copy_in_ready(payload).map(|claim| engine.commit(&claim))
            }
            Self::Other(_) => None,
        }
    }

    /// The same, visible with [`publish`](Self::publish).
    #[inline(always)]
    pub(crate) fn stage_ready(&mut self, payload: &[u8]) -> Option<u64> {
        match self {
            Self::Everyday(engine) => {
                engine.copy_in_ready(payload).map(|claim| engine.stage(&claim))
            }
            Self::Other(_) => None,
        }
    }

    /// Claims room for a frame, if there is some and nothing else has to be looked at.
    #[inline(always)]
    pub(crate) fn try_claim(&mut self, len: usize) -> Option<Claim> {
        match self {
            Self::Everyday(engine) => engine.try_claim(len),
            Self::Other(_) => None,
        }
    }

    /// Copies a frame to where it was claimed.
    #[inline(always)]
    pub(crate) fn copy_in(&mut self, claim: &Claim, payload: &[u8]) {
        match self {
            Self::Everyday(engine) => engine.copy_in(claim, payload),
            Self::Other(_) => self.copy_in_behind(claim, 0, payload),
        }
    }

    /// Copies a part of a frame to where it was claimed, behind `skip` bytes, a multiple of 8; the claim has room for it.
    #[inline(always)]
    pub(crate) fn copy_in_behind(&mut self, claim: &Claim, skip: usize, part: &[u8]) {
        debug_assert!(skip.is_multiple_of(8) && (skip + part.len()) as u64 <= claim.len());
        let start = claim.start().plus(skip as u64);
        match self {
            Self::Everyday(engine) => engine.copy_part_in(start, part),
            Self::Other(engine) => engine.copy_in(start, part),
        }
    }

    #[inline]
    pub(crate) fn lend(&self, claim: &Claim, len: usize) -> &[u8] {
        match self {
            Self::Everyday(engine) => engine.segment().lend(claim.start(), len, self),
            Self::Other(engine) => engine.lend(claim.start(), len),
        }
    }

    #[inline]
    pub(crate) fn lend_mut(&mut self, claim: &Claim, len: usize) -> &mut [u8] {
        match self {
            Self::Everyday(engine) => engine.lend_mut(claim.start(), len),
            Self::Other(engine) => engine.lend_mut(claim.start(), len),
        }
    }

    /// Completes a claimed frame and makes it visible. Returns its number.
    #[inline(always)]
    pub(crate) fn commit(&mut self, claim: &Claim) -> u64 {
        match self {
            Self::Everyday(engine) => engine.commit(claim),
            Self::Other(engine) => commit(&mut **engine, claim),
        }
    }

    /// Commits the first `len` bytes of a claimed frame. The claim may be older than a fork: in the child nothing is done,
    /// and the number is 0.
    #[inline(always)]
    pub(crate) fn commit_loan(&mut self, claim: &Claim, len: usize) -> u64 {
        match self {
            Self::Everyday(engine) if engine.segment().if_sound(len as u64) == claim.len() => {
                engine.commit(claim)
            }
            _ => self.commit_loan_with_care(claim, len),
        }
    }

    #[cold]
    fn commit_loan_with_care(&mut self, claim: &Claim, len: usize) -> u64 {
        if !self.is_ours() {
            return 0;
        }
        let claim = self.shortened(claim, len);
        self.commit(&claim)
    }

    /// Completes a claimed frame; visible with [`publish`](Self::publish). Returns its number.
    #[inline(always)]
    pub(crate) fn stage(&mut self, claim: &Claim) -> u64 {
        match self {
            Self::Everyday(engine) => engine.stage(claim),
            Self::Other(engine) => engine.stage(claim),
        }
    }

    /// Completes a claimed frame whose first `block` bytes are its attribute block, and makes it visible. Returns its
    /// number.
    pub(crate) fn commit_with_attributes(&mut self, claim: &Claim, block: usize) -> u64 {
        match self {
            Self::Everyday(engine) => engine.commit_with_attributes(claim, block),
            Self::Other(engine) => commit(&mut **engine, claim),
        }
    }

    /// Completes a claimed frame whose first `block` bytes are its attribute block; visible with
    /// [`publish`](Self::publish). Returns its number.
    pub(crate) fn stage_with_attributes(&mut self, claim: &Claim, block: usize) -> u64 {
        match self {
            Self::Everyday(engine) => engine.stage_with_attributes(claim, block),
            Self::Other(engine) => engine.stage(claim),
        }
    }

    /// Passes a frame on by reference; its number, or why it has to be copied.
    pub(crate) fn pass_on(
        &mut self,
        seat: SeatRef<'_>,
        found: &Found,
        patience: Patience,
    ) -> Result<Result<u64, WhyCopied>, WriteError> {
        seat.check()?;
        match (self, seat.elsewhere(found)) {
            (Self::Everyday(engine), Ok(frame)) => engine.pass_on(&frame, patience),
            (Self::Other(_), _) => Ok(Err(WhyCopied::Protocol)),
            (_, Err(why)) => Ok(Err(why)),
        }
    }

    /// Makes what is staged visible and wakes who waits for it.
    #[inline]
    pub(crate) fn publish(&mut self) {
        match self {
            Self::Everyday(engine) => engine.publish(),
            Self::Other(engine) => engine.publish(),
        }
    }
}

#[inline(never)]
fn commit(engine: &mut dyn WritingEngine, claim: &Claim) -> u64 {
    let sequence = engine.stage(claim);
    engine.publish();
    sequence
}
