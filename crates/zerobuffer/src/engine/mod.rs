//! Which protocol an endpoint speaks: every call goes to the engine of the one that its buffer has.
//!
//! What each frame costs is kept flat: claims and found frames have one form for both protocols, and the 2.0
//! engine comes first, inlined; what leads to the 1.0 engine is never inlined.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::sync::Shared;
use crate::sys::clock;
use crate::v1;
use crate::v1::engine::reader::V1Reader;
use crate::v1::engine::writer::V1Writer;
use crate::v1::rules::ring::Fit;
use crate::v2;
use crate::v2::engine::arrival;
use crate::v2::engine::member;
use crate::v2::engine::onlooker::Onlooker;
use crate::v2::engine::reader::Referred;
use crate::v2::engine::writer::Elsewhere;
use crate::v2::ground::segment::Segment;
use crate::v2::rules::observe::Copied;
use crate::v2::rules::ring::{Claim, Found};
use crate::values::config::{BufferConfig, Protocol, ReaderKind, WaitStrategy};
use crate::values::error::{MetadataError, OpenError, ReadError, WriteError, WriterPresence};
use crate::values::events::Noticed;
use crate::values::name::{self, Place};
use crate::values::stats::{ReaderInfo, ReaderStats, Undelivered, WhyCopied, WriterStats};
use crate::wait::Patience;
use crate::wait::armed::{Armed, PeerWatch};

/// 1.0 buffers have one directory.
fn may_hold_v1(dir: Option<&Path>) -> bool {
    match dir {
        Some(dir) => dir == Path::new(v1::ground::segment::SHM_DIR),
        None => name::default_dir() == Path::new(v1::ground::segment::SHM_DIR),
    }
}

/// Refuses a name that a live buffer of protocol 1.0 has too.
fn refuse_live_v1(name: &str, dir: Option<&Path>, advice: &'static str) -> Result<(), OpenError> {
    if may_hold_v1(dir) && v1::engine::inspect::is_live(name) {
        return Err(OpenError::OtherProtocol { name: name.to_owned(), found: "1.0", advice });
    }
    Ok(())
}

const USE_ANOTHER_NAME: &str =
    "connect to that one as its writer, stop its reader, or use another name";

/// The engine behind a Writer.
// In place, for a pointer to the 2.0 engine would be one more load in every call.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(crate) enum Writing {
    V2(v2::engine::writer::Engine),
    V1(Box<V1Writer>),
}

impl Writing {
    pub(crate) fn create(
        name: &str,
        dir: Option<&Path>,
        config: &BufferConfig,
        behaviour: v2::engine::writer::Behaviour,
    ) -> Result<Self, OpenError> {
        if config.protocol == Protocol::V1 {
            return Err(OpenError::InvalidConfig {
                name: name.to_owned(),
                problem: "in protocol 1.0 the reader makes the buffer: start it first, or wait \
                          for it (`connect` with `wait_for_buffer`)"
                    .to_owned(),
            });
        }
        refuse_live_v1(name, dir, USE_ANOTHER_NAME)?;
        v2::engine::writer::Engine::create(name, dir, config, behaviour).map(Self::V2)
    }

    /// Attaches to the buffer of that name, whichever protocol it speaks.
    pub(crate) fn connect(
        name: &str,
        dir: Option<&Path>,
        behaviour: v2::engine::writer::Behaviour,
    ) -> Result<Self, OpenError> {
        match v2::engine::writer::Engine::connect(name, dir, behaviour) {
            Ok(engine) => {
                refuse_live_v1(name, dir, "stop one of the two, or use another name")?;
                Ok(Self::V2(engine))
            }
            Err(not_found @ OpenError::NotFound { .. }) if may_hold_v1(dir) => {
                match V1Writer::connect(name, behaviour.wait, behaviour.streaming) {
                    Err(OpenError::NotFound { .. }) => Err(not_found),
                    other => other.map(|engine| Self::V1(Box::new(engine))),
                }
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Self::V2(_) => Protocol::V2,
            Self::V1(_) => Protocol::V1,
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        match self {
            Self::V2(engine) => engine.name(),
            Self::V1(engine) => engine.name(),
        }
    }

    pub(crate) fn max_frame_bytes(&self) -> usize {
        match self {
            Self::V2(engine) => engine.layout().frames.max_frame() as usize,
            Self::V1(engine) => engine.max_frame_bytes(),
        }
    }

    pub(crate) fn payload_bytes(&self) -> usize {
        match self {
            Self::V2(engine) => engine.layout().frames.capacity as usize,
            Self::V1(engine) => engine.payload_bytes(),
        }
    }

    pub(crate) fn set_metadata(&mut self, bytes: &[u8]) -> Result<(), MetadataError> {
        match self {
            Self::V2(engine) => engine.set_metadata(bytes),
            Self::V1(engine) => engine.set_metadata(bytes),
        }
    }

    pub(crate) fn replace_metadata(&mut self, bytes: &[u8]) -> Result<(), MetadataError> {
        match self {
            Self::V2(engine) => engine.replace_metadata(bytes),
            Self::V1(engine) => engine.replace_metadata(bytes),
        }
    }

    /// Copies a frame in and makes it visible, if it is plain to see that there is room; its number.
    #[inline(always)]
    pub(crate) fn write_ready(&mut self, payload: &[u8]) -> Option<u64> {
        match self {
            Self::V2(engine) => engine.copy_in_ready(payload).map(|claim| engine.commit(&claim)),
            Self::V1(_) => None,
        }
    }

    /// The same, visible with [`publish`](Self::publish).
    #[inline(always)]
    pub(crate) fn stage_ready(&mut self, payload: &[u8]) -> Option<u64> {
        match self {
            Self::V2(engine) => engine.copy_in_ready(payload).map(|claim| engine.stage(&claim)),
            Self::V1(_) => None,
        }
    }

    /// Claims room for a frame, if there is some and nothing else has to be looked at.
    #[inline(always)]
    pub(crate) fn try_claim(&mut self, len: usize) -> Option<Claim> {
        match self {
            Self::V2(engine) => engine.try_claim(len),
            Self::V1(_) => None,
        }
    }

    /// Claims room for a frame of exactly `len` bytes, or, if it `may_shrink`, of up to so many.
    #[inline(never)]
    pub(crate) fn claim(
        &mut self,
        len: usize,
        may_shrink: bool,
        patience: Patience,
    ) -> Result<Claim, WriteError> {
        match self {
            Self::V2(engine) => engine.claim(len, patience),
            Self::V1(engine) => {
                let fit = if may_shrink { Fit::MayShrink } else { Fit::Exact };
                let claim = engine.claim(len, fit, patience)?;
                Ok(Claim::foreign(claim.data_index, claim.length))
            }
        }
    }

    /// Copies a frame to where it was claimed.
    #[inline(always)]
    pub(crate) fn copy_in(&mut self, claim: &Claim, payload: &[u8]) {
        match self {
            Self::V2(engine) => engine.copy_in(claim, payload),
            Self::V1(_) => self.copy_in_behind(claim, 0, payload),
        }
    }

    /// Copies a part of a frame to where it was claimed, behind `skip` bytes, a multiple of 8; the claim has room for it.
    #[inline(always)]
    pub(crate) fn copy_in_behind(&mut self, claim: &Claim, skip: usize, part: &[u8]) {
        debug_assert!(skip.is_multiple_of(8) && (skip + part.len()) as u64 <= claim.len());
        let start = claim.start().plus(skip as u64);
        match self {
            Self::V2(engine) => engine.copy_part_in(start, part),
            Self::V1(engine) => engine.copy_in(start.0, part),
        }
    }

    #[inline]
    pub(crate) fn lend(&self, claim: &Claim, len: usize) -> &[u8] {
        match self {
            Self::V2(engine) => engine.segment().lend(claim.start(), len, self),
            Self::V1(engine) => engine.segment().mapping.lend(claim.start().0, len, self),
        }
    }

    #[inline]
    pub(crate) fn lend_mut(&mut self, claim: &Claim, len: usize) -> &mut [u8] {
        match self {
            Self::V2(engine) => engine.lend_mut(claim.start(), len),
            Self::V1(engine) => engine.lend_mut(claim.start().0, len),
        }
    }

    /// Completes a claimed frame and makes it visible. Returns its number.
    #[inline(always)]
    pub(crate) fn commit(&mut self, claim: &Claim) -> u64 {
        match self {
            Self::V2(engine) => engine.commit(claim),
            Self::V1(engine) => commit_v1(engine, claim.len() as usize),
        }
    }

    /// As [`commit`](Self::commit), with the first `len` bytes of the frame, and for a claim that may be older than a fork:
    /// in the child nothing is done, and the number 0.
    #[inline(always)]
    pub(crate) fn commit_loan(&mut self, claim: &Claim, len: usize) -> u64 {
        match self {
            Self::V2(engine) if engine.segment().if_sound(len as u64) == claim.len() => {
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
        match self {
            Self::V2(_) => {
                let short = self.shortened(claim, len);
                self.commit(&short)
            }
            Self::V1(engine) => commit_v1(engine, len),
        }
    }

    /// The claim for the first `len` bytes only, which are moved if frames of that length begin elsewhere.
    pub(crate) fn shortened(&mut self, claim: &Claim, len: usize) -> Claim {
        match self {
            Self::V2(engine) => {
                let short = claim.shortened(&engine.layout().frames, len as u64);
                if short.start() != claim.start() {
                    engine.segment().move_payload(claim.start(), short.start(), len);
                }
                short
            }
            Self::V1(_) => *claim,
        }
    }

    /// Completes a claimed frame; visible with [`publish`](Self::publish). Returns its number.
    #[inline(always)]
    pub(crate) fn stage(&mut self, claim: &Claim) -> u64 {
        match self {
            Self::V2(engine) => engine.stage(claim),
            Self::V1(engine) => stage_v1(engine, claim.len() as usize),
        }
    }

    /// Where payloads of a frame start on a cache line, in bytes of the frame; `None`: frames have no attributes here.
    pub(crate) fn attributes_threshold(&self) -> Option<usize> {
        match self {
            Self::V2(engine) => {
                let frames = &engine.layout().frames;
                frames.attributes.then_some(frames.align_threshold as usize)
            }
            Self::V1(_) => None,
        }
    }

    /// Completes a claimed frame whose first `block` bytes are its attribute block, and makes it visible. Returns its
    /// number. For buffers whose frames have attributes.
    pub(crate) fn commit_with_attributes(&mut self, claim: &Claim, block: usize) -> u64 {
        match self {
            Self::V2(engine) => engine.commit_with_attributes(claim, block),
            Self::V1(engine) => commit_v1(engine, claim.len() as usize),
        }
    }

    /// Completes a claimed frame whose first `block` bytes are its attribute block; visible with
    /// [`publish`](Self::publish). Returns its number. For buffers whose frames have attributes.
    pub(crate) fn stage_with_attributes(&mut self, claim: &Claim, block: usize) -> u64 {
        match self {
            Self::V2(engine) => engine.stage_with_attributes(claim, block),
            Self::V1(engine) => stage_v1(engine, claim.len() as usize),
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
            (Self::V2(engine), Ok(frame)) => engine.pass_on(&frame, patience),
            (Self::V1(_), _) => Ok(Err(WhyCopied::Protocol)),
            (_, Err(why)) => Ok(Err(why)),
        }
    }

    /// Whether this is the process that attached; in a forked child nothing is committed.
    #[inline(always)]
    pub(crate) fn is_ours(&self) -> bool {
        match self {
            Self::V2(engine) => engine.segment().is_ours(),
            Self::V1(engine) => engine.segment().mapping.is_ours(),
        }
    }

    /// Makes what is staged visible and wakes who waits for it.
    #[inline]
    pub(crate) fn publish(&mut self) {
        match self {
            Self::V2(engine) => engine.publish(),
            Self::V1(engine) => {
                engine.publish();
            }
        }
    }

    /// Forgets what is staged.
    pub(crate) fn abort(&mut self) {
        match self {
            Self::V2(engine) => engine.abort(),
            Self::V1(engine) => engine.discard_staged(),
        }
    }

    pub(crate) fn count_dropped(&mut self, bytes: usize) {
        match self {
            Self::V2(engine) => engine.count_dropped(bytes),
            Self::V1(engine) => engine.count_dropped(bytes),
        }
    }

    /// Announces a sleep until there is room for `len` bytes, and looks once more.
    pub(crate) fn arm(&mut self, len: usize) -> Armed {
        match self {
            Self::V2(engine) => engine.arm(len),
            Self::V1(_) => Armed::unattended(),
        }
    }

    pub(crate) fn readers(&self) -> Vec<ReaderInfo> {
        match self {
            Self::V2(engine) => engine.readers(),
            Self::V1(engine) => engine.reader().into_iter().collect(),
        }
    }

    pub(crate) fn has_live_reader(&self) -> bool {
        match self {
            Self::V2(engine) => engine.has_live_reader(),
            Self::V1(engine) => engine.is_reader_alive(),
        }
    }

    pub(crate) fn is_removed(&self) -> bool {
        match self {
            Self::V2(engine) => engine.is_removed(),
            // It goes with its reader, of whose end the writer is told.
            Self::V1(_) => false,
        }
    }

    pub(crate) fn has_had_reader(&self) -> bool {
        match self {
            Self::V2(engine) => engine.has_had_reader(),
            // Its reader made it.
            Self::V1(_) => true,
        }
    }

    pub(crate) fn undelivered(&self) -> Undelivered {
        match self {
            Self::V2(engine) => engine.undelivered(),
            Self::V1(engine) => engine.undelivered(),
        }
    }

    pub(crate) fn wait_drained(&mut self, timeout: Option<Duration>) -> bool {
        match self {
            Self::V2(engine) => engine.wait_drained(timeout),
            Self::V1(engine) => engine.wait_drained(timeout),
        }
    }

    pub(crate) fn next_sequence(&self) -> u64 {
        match self {
            Self::V2(engine) => engine.next_sequence(),
            Self::V1(engine) => engine.next_sequence(),
        }
    }

    pub(crate) fn stats(&self) -> WriterStats {
        match self {
            Self::V2(engine) => engine.stats(),
            Self::V1(engine) => engine.stats(),
        }
    }

    pub(crate) fn discard_on_leaving(&self) {
        match self {
            Self::V2(engine) => engine.segment().discard_on_leaving(),
            // The buffer goes with its reader, not with its writer.
            Self::V1(_) => {}
        }
    }

    pub(crate) fn head(&self) -> u64 {
        match self {
            Self::V2(engine) => engine.head().0,
            Self::V1(engine) => engine.head(),
        }
    }
}

#[inline(never)]
fn commit_v1(engine: &mut V1Writer, len: usize) -> u64 {
    // The claim is open, for the loan that held it borrows the writer.
    engine.commit(len).unwrap_or_default()
}

#[inline(never)]
fn stage_v1(engine: &mut V1Writer, len: usize) -> u64 {
    engine.stage(len).unwrap_or_default()
}

/// The engine behind a Reader.
// In place, for a pointer to the 2.0 engine would be one more load in every call.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(crate) enum Reading {
    V2(v2::engine::reader::Engine),
    V1(Box<V1Reader>),
    Onlooker(Box<Onlooker>),
    Member(Box<member::Engine>),
}

/// How a Reader behaves, by its kind.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Attendance {
    /// It gets every frame.
    Every(v2::engine::reader::Behaviour),
    /// It is registered, and gets what it is in time for.
    Lossy(v2::engine::onlooker::Behaviour),
    /// It looks on from outside.
    Observer(v2::engine::onlooker::Behaviour),
    /// It gets its share of a work group's frames.
    Member(member::Behaviour),
}

impl Reading {
    pub(crate) fn create(
        name: &str,
        dir: Option<&Path>,
        config: &BufferConfig,
        attendance: Attendance,
    ) -> Result<Self, OpenError> {
        let kind = match (config.protocol, attendance) {
            (Protocol::V2, Attendance::Every(behaviour)) => {
                refuse_live_v1(name, dir, USE_ANOTHER_NAME)?;
                return v2::engine::reader::Engine::create(name, dir, config, behaviour)
                    .map(Self::V2);
            }
            (Protocol::V2, Attendance::Lossy(behaviour)) => {
                refuse_live_v1(name, dir, USE_ANOTHER_NAME)?;
                return Onlooker::create(name, dir, config, behaviour).map(Self::onlooker);
            }
            (Protocol::V2, Attendance::Member(behaviour)) => {
                refuse_live_v1(name, dir, USE_ANOTHER_NAME)?;
                return member::Engine::create(name, dir, config, behaviour).map(Self::member);
            }
            (Protocol::V1, Attendance::Every(behaviour)) => {
                return Self::create_v1(name, dir, config, behaviour.wait);
            }
            (_, Attendance::Observer(_)) => {
                "an observer looks at a buffer that others made: join it"
            }
            (Protocol::V1, Attendance::Lossy(_)) => {
                "protocol 1.0 has no lossy readers: use 2.0, or read every frame"
            }
            (Protocol::V1, Attendance::Member(_)) => {
                "protocol 1.0 has one reader and no work groups: use 2.0"
            }
        };
        Err(OpenError::InvalidConfig { name: name.to_owned(), problem: kind.to_owned() })
    }

    fn member(member: member::Engine) -> Self {
        Self::Member(Box::new(member))
    }

    fn onlooker(onlooker: Onlooker) -> Self {
        Self::Onlooker(Box::new(onlooker))
    }

    fn create_v1(
        name: &str,
        dir: Option<&Path>,
        config: &BufferConfig,
        strategy: WaitStrategy,
    ) -> Result<Self, OpenError> {
        let not_in_v1 = config.not_in_v1().or_else(|| {
            (!may_hold_v1(dir)).then_some("buffers outside /dev/shm (`--dir`, ZEROBUFFER_DIR)")
        });
        if let Some(wish) = not_in_v1 {
            let problem = format!("protocol 1.0 does not have {wish}: use 2.0, or do without");
            return Err(OpenError::InvalidConfig { name: name.to_owned(), problem });
        }
        let place = Place::new(name, dir)?;
        if v2::ground::removal::is_live(&place) {
            let advice = "join that one, stop those who use it, or use another name";
            return Err(OpenError::OtherProtocol { name: name.to_owned(), found: "2.0", advice });
        }
        V1Reader::create(name, config.metadata_bytes, config.payload_bytes, strategy)
            .map(|engine| Self::V1(Box::new(engine)))
    }

    pub(crate) fn join(
        name: &str,
        dir: Option<&Path>,
        attendance: Attendance,
    ) -> Result<Self, OpenError> {
        let joined = match attendance {
            Attendance::Every(behaviour) => {
                v2::engine::reader::Engine::join(name, dir, behaviour).map(Self::V2)
            }
            Attendance::Lossy(behaviour) => {
                Onlooker::join(name, dir, behaviour).map(Self::onlooker)
            }
            Attendance::Observer(behaviour) => {
                Onlooker::observe(name, dir, behaviour).map(Self::onlooker)
            }
            Attendance::Member(behaviour) => {
                member::Engine::join(name, dir, behaviour).map(Self::member)
            }
        };
        if let Err(OpenError::NotFound { .. }) = joined {
            let advice = "a 1.0 buffer has one reader, who makes it: read it there, or create \
                          one with `BufferConfig::v1()` (`--protocol 1`) under another name";
            refuse_live_v1(name, dir, advice)?;
        }
        joined
    }

    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Self::V2(_) | Self::Onlooker(_) | Self::Member(_) => Protocol::V2,
            Self::V1(_) => Protocol::V1,
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        match self {
            Self::V2(engine) => engine.name(),
            Self::V1(engine) => engine.name(),
            Self::Onlooker(engine) => engine.name(),
            Self::Member(engine) => engine.name(),
        }
    }

    pub(crate) fn max_frame_bytes(&self) -> usize {
        match self {
            Self::V2(engine) => engine.layout().frames.max_frame() as usize,
            Self::V1(engine) => engine.max_frame_bytes(),
            Self::Onlooker(engine) => engine.segment().layout().frames.max_frame() as usize,
            Self::Member(engine) => engine.segment().layout().frames.max_frame() as usize,
        }
    }

    pub(crate) fn payload_bytes(&self) -> usize {
        match self {
            Self::V2(engine) => engine.layout().frames.capacity as usize,
            Self::V1(engine) => engine.payload_bytes(),
            Self::Onlooker(engine) => engine.segment().layout().frames.capacity as usize,
            Self::Member(engine) => engine.segment().layout().frames.capacity as usize,
        }
    }

    pub(crate) fn has_timestamps(&self) -> bool {
        match self {
            Self::V2(engine) => engine.layout().timestamps(),
            Self::V1(_) => false,
            Self::Onlooker(engine) => engine.segment().layout().timestamps(),
            Self::Member(engine) => engine.segment().layout().timestamps(),
        }
    }

    #[inline(always)]
    pub(crate) fn seat(&self) -> SeatRef<'_> {
        match self {
            Self::V2(engine) => SeatRef::V2(engine.seat()),
            Self::V1(engine) => SeatRef::V1(engine.seat()),
            Self::Onlooker(engine) => SeatRef::Copied(engine.copied()),
            Self::Member(engine) => SeatRef::Member(engine.seat()),
        }
    }

    /// The frame that was received last, and what it is released to. `other` is that frame for those who do not remember
    /// it themselves.
    #[inline(always)]
    pub(crate) fn lent<'a>(&'a self, other: &'a Found) -> (SeatRef<'a>, &'a Found) {
        match self {
            Self::V2(engine) if !engine.newest().is_reference() => {
                (SeatRef::V2(engine.seat()), engine.newest())
            }
            _ => self.lent_otherwise(other),
        }
    }

    #[cold]
    fn lent_otherwise<'a>(&'a self, other: &'a Found) -> (SeatRef<'a>, &'a Found) {
        match self {
            Self::V2(engine) => {
                let shared = engine.shared().map(SeatRef::Referred);
                (shared.unwrap_or(SeatRef::V2(engine.seat())), engine.newest())
            }
            _ => (self.seat(), other),
        }
    }

    /// Receives the next frame, if it is plain to see that there is one; false if not.
    #[inline(always)]
    pub(crate) fn next_ready(&mut self) -> bool {
        match self {
            Self::V2(engine) => engine.next_ready(),
            Self::V1(_) | Self::Onlooker(_) | Self::Member(_) => false,
        }
    }

    /// Receives the next frame, which is then [`lent`](Self::lent), from `other` for those who do not remember it themselves;
    /// false when the writer has closed.
    #[cold]
    #[inline(never)]
    pub(crate) fn receive(
        &mut self,
        patience: Patience,
        other: &mut Found,
    ) -> Result<bool, ReadError> {
        if let Self::V2(engine) = self {
            return engine.receive(patience);
        }
        let Some(found) = self.find(patience)? else { return Ok(false) };
        self.take(&found);
        *other = found;
        Ok(true)
    }

    /// Finds the next frame without receiving it.
    pub(crate) fn find(&mut self, patience: Patience) -> Result<Option<Found>, ReadError> {
        // Some remember what they found before a fork.
        self.check()?;
        match self {
            Self::V2(engine) => engine.find(patience),
            Self::V1(engine) => Ok(engine.find(patience)?.map(foreign)),
            Self::Onlooker(engine) => engine.find(patience),
            Self::Member(engine) => engine.find(patience),
        }
    }

    /// Whether the next frame is there and as long as the last one.
    #[inline(always)]
    pub(crate) fn is_next_plain(&self) -> bool {
        match self {
            Self::V2(engine) => engine.is_next_plain(),
            Self::V1(_) | Self::Onlooker(_) | Self::Member(_) => false,
        }
    }

    /// Goes behind the next frame, as part of a batch, if it is plain to see that there is one; false if not.
    #[inline(always)]
    pub(crate) fn advance_ready(&mut self) -> bool {
        match self {
            Self::V2(engine) => engine.advance_ready(),
            Self::V1(_) | Self::Onlooker(_) | Self::Member(_) => false,
        }
    }

    /// Announces a sleep, and looks once more.
    pub(crate) fn arm(&mut self) -> Armed {
        match self {
            Self::V2(engine) => engine.arm(),
            Self::Onlooker(engine) => engine.arm(),
            // The semaphore's count cannot be waited for beside other things; a member's announcement stands only
            // while it queues for its turn, in a call.
            Self::V1(_) | Self::Member(_) => Armed::unattended(),
        }
    }

    /// Looks after the writer from outside; `None` where nobody is announced who would need it.
    pub(crate) fn peer_watch(&self) -> std::io::Result<Option<PeerWatch>> {
        self.check().map_err(std::io::Error::other)?;
        match self {
            Self::V2(engine) => PeerWatch::of(engine.segment()).map(Some),
            Self::Onlooker(engine) => PeerWatch::of(engine.segment()).map(Some),
            Self::V1(_) | Self::Member(_) => Ok(None),
        }
    }

    /// Whether the next try finds nothing, as far as memory shows; false where only a try can tell.
    pub(crate) fn is_quiet(&mut self) -> bool {
        match self {
            Self::V2(engine) => engine.is_quiet(),
            Self::Onlooker(engine) => engine.is_quiet(),
            Self::V1(_) | Self::Member(_) => false,
        }
    }

    /// The frame behind one that was found and advanced over, if it is there already.
    #[inline]
    pub(crate) fn find_behind(&mut self, previous: &Found) -> Option<Found> {
        match self {
            Self::V2(engine) => engine.find_behind(previous),
            Self::V1(engine) => engine.find_behind().map(foreign),
            // There is one copy, and a frame of the batch is in it.
            Self::Onlooker(_) => None,
            Self::Member(engine) => engine.find_behind(),
        }
    }

    /// Receives a found frame.
    pub(crate) fn take(&mut self, found: &Found) {
        match self {
            Self::V2(engine) => engine.take(found),
            Self::V1(engine) => engine.take(),
            Self::Onlooker(engine) => engine.take(found),
            Self::Member(engine) => engine.take(found),
        }
    }

    /// Goes behind a found frame, as a part of a batch.
    #[inline]
    pub(crate) fn advance(&mut self, found: &Found) {
        match self {
            Self::V2(engine) => engine.advance(found),
            Self::V1(engine) => engine.take_into_batch(),
            Self::Onlooker(engine) => engine.take(found),
            Self::Member(engine) => engine.take_into_batch(found),
        }
    }

    /// Tells that all frames of a batch were received, and releases them. `newest` is the last one for those who do not remember
    /// it themselves.
    pub(crate) fn release_batch(&mut self, newest: &Found) {
        match self {
            Self::V2(engine) if engine.segment().is_sound() => {
                engine.publish_received();
                engine.seat().release_lent(engine.newest().end);
                engine.seat().settle();
            }
            Self::V2(_) | Self::Onlooker(_) => {}
            Self::V1(engine) => engine.release_batch(newest.end.0),
            Self::Member(engine) => engine.release_batch(),
        }
    }

    pub(crate) fn noticed(&mut self) -> &mut Noticed {
        match self {
            Self::V2(engine) => &mut engine.watch.noticed,
            Self::V1(engine) => &mut engine.noticed,
            Self::Onlooker(engine) => &mut engine.watch.noticed,
            Self::Member(engine) => &mut engine.watch.noticed,
        }
    }

    /// Newest generations of the Writer and of the metadata; `None` in a forked child.
    pub(crate) fn generations(&mut self) -> Option<(u64, u64)> {
        match self {
            Self::V2(engine) => known_generations(engine.segment()),
            Self::V1(engine) => engine.generations(),
            Self::Onlooker(engine) => known_generations(engine.segment()),
            Self::Member(engine) => known_generations(engine.segment()),
        }
    }

    pub(crate) fn writer_presence(&self) -> WriterPresence {
        match self {
            Self::V2(engine) => arrival::writer_presence(engine.segment()),
            Self::V1(engine) => engine.writer_presence(),
            Self::Onlooker(engine) => arrival::writer_presence(engine.segment()),
            Self::Member(engine) => arrival::writer_presence(engine.segment()),
        }
    }

    pub(crate) fn stats(&self) -> ReaderStats {
        match self {
            Self::V2(engine) => engine.stats(),
            Self::V1(engine) => engine.stats(),
            Self::Onlooker(engine) => engine.stats(),
            Self::Member(engine) => engine.stats(),
        }
    }

    /// Fails if the buffer's memory is not to be used any more.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), ReadError> {
        match self {
            Self::V2(engine) => arrival::check(engine.segment()),
            Self::V1(engine) => engine.check(),
            Self::Onlooker(engine) => arrival::check(engine.segment()),
            Self::Member(engine) => arrival::check(engine.segment()),
        }
    }

    pub(crate) fn backlog_bytes(&self) -> u64 {
        match self {
            Self::V2(engine) => engine.backlog_bytes(),
            Self::V1(engine) => engine.backlog_bytes(),
            Self::Onlooker(engine) => engine.backlog_bytes(),
            Self::Member(engine) => engine.backlog_bytes(),
        }
    }

    pub(crate) fn is_removed(&self) -> bool {
        match self {
            Self::V2(engine) => engine.segment().is_removed(),
            Self::V1(_) => false,
            Self::Onlooker(engine) => engine.segment().is_removed(),
            Self::Member(engine) => engine.segment().is_removed(),
        }
    }

    pub(crate) fn is_durable(&self) -> bool {
        match self {
            Self::V2(engine) => engine.is_durable(),
            // The one's buffer goes with it; nothing is kept for the other.
            Self::V1(_) | Self::Onlooker(_) => false,
            // Frames are kept for its group.
            Self::Member(_) => true,
        }
    }

    pub(crate) fn kind(&self) -> ReaderKind {
        match self {
            Self::V2(_) | Self::V1(_) => ReaderKind::Every,
            Self::Onlooker(engine) => engine.kind(),
            Self::Member(_) => ReaderKind::Member,
        }
    }

    /// As [`receive`](Self::receive), without waiting: the newest frame that is there; passes over those before it.
    pub(crate) fn receive_newest(&mut self, other: &mut Found) -> Result<bool, ReadError> {
        if let Self::Onlooker(engine) = self {
            engine.go_to_newest();
        }
        if !self.receive(Patience::None, other)? {
            return Ok(false);
        }
        if let Self::Member(_) = self {
            // What it passes over would be processed by nobody.
            return Ok(true);
        }
        let mut newest = *self.lent(other).1;
        // Behind a whole ring of frames is what came after this call, however fast the writer is.
        let mut left = self.payload_bytes() as u64;
        while left > 0
            && let Some(later) = self.find_behind(&newest)
        {
            left = left.saturating_sub(later.len.max(1));
            // Of frames in other buffers: those are given back with the newest one.
            self.seat().release_lent(&newest);
            self.take(&later);
            newest = later;
        }
        *other = newest;
        Ok(true)
    }

    pub(crate) fn leave_for_good(&self) {
        match self {
            Self::V2(engine) => engine.leave_for_good(),
            Self::Member(engine) => engine.leave_for_good(),
            Self::V1(_) | Self::Onlooker(_) => {}
        }
    }
}

/// `None` in a forked child, where there is no memory to look at.
fn known_generations(segment: &Segment) -> Option<(u64, u64)> {
    segment.is_sound().then(|| arrival::generations(segment))
}

fn foreign(found: v1::rules::ring::Found) -> Found {
    Found::foreign(found.data_index, found.length, found.ticket, found.sequence)
}

/// What a lent frame is released to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SeatRef<'a> {
    V2(&'a Shared<v2::engine::reader::Seat>),
    V1(&'a Shared<v1::engine::reader::Seat>),
    /// Nothing: the bytes are the reader's own.
    Copied(&'a Copied),
    Member(&'a Shared<member::Seat>),
    /// The frame lies in another buffer.
    Referred(&'a Arc<Referred>),
}

/// What a kept frame is released to.
#[derive(Debug, Clone)]
pub(crate) enum OwnedSeat {
    V2(Shared<v2::engine::reader::Seat>),
    V1(Shared<v1::engine::reader::Seat>),
    Copied(Arc<Copied>),
    Member(Shared<member::Seat>),
    Referred(Arc<Referred>),
}

impl<'a> SeatRef<'a> {
    /// Lends a frame of a batch. While this seat is borrowed from the batch's reader, the batch releases nothing.
    #[inline(always)]
    pub(crate) fn lend_in_batch(self, found: &Found) -> &'a [u8] {
        self.lend(found, &())
    }

    #[inline(always)]
    pub(crate) fn lend<'b, T: ?Sized>(self, found: &Found, holder: &'b T) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Self::V2(seat) => seat.segment().lend(found.start, found.len as usize, holder),
            _ => self.lend_otherwise(found, holder),
        }
    }

    #[cold]
    fn lend_otherwise<'b, T: ?Sized>(self, found: &Found, holder: &'b T) -> &'b [u8]
    where
        'a: 'b,
    {
        let len = found.len as usize;
        match self {
            Self::V2(seat) => seat.segment().lend(found.start, len, holder),
            Self::V1(seat) => seat.segment().mapping.lend(found.start.0, len, holder),
            Self::Copied(copied) => copied.payload(found.len),
            Self::Member(seat) => seat.segment().lend(found.start, len, holder),
            Self::Referred(shared) => shared.origin.segment.lend(found.start, len, holder),
        }
    }

    /// The attribute block in front of a lent frame's payload; empty if there is none.
    pub(crate) fn lend_block<'b, T: ?Sized>(self, found: &Found, holder: &'b T) -> &'b [u8]
    where
        'a: 'b,
    {
        if found.block() == 0 {
            return &[];
        }
        match self {
            Self::Copied(copied) => copied.block(),
            _ => self.lend(&found.only_block(), holder),
        }
    }

    /// Copies a frame's bytes from `skip` on, as many as `space` has; the frame has them.
    pub(crate) fn copy_out(self, found: &Found, skip: usize, space: &mut [u8]) {
        let start = found.start.plus(skip as u64);
        match self {
            Self::V2(seat) => seat.segment().copy_out(start, space),
            Self::V1(seat) => seat.segment().mapping.read_payload(start.0, space),
            Self::Copied(copied) => {
                space.copy_from_slice(&copied.payload(found.len)[skip..][..space.len()]);
            }
            Self::Member(seat) => seat.segment().copy_out(start, space),
            Self::Referred(shared) => shared.origin.segment.copy_out(start, space),
        }
    }

    /// Whether the bytes are this process's to look at; in a forked child they are not there.
    pub(crate) fn is_ours(self) -> bool {
        match self {
            Self::V2(seat) => seat.segment().is_ours(),
            Self::V1(seat) => seat.segment().mapping.is_ours(),
            Self::Copied(_) => true,
            Self::Member(seat) => seat.segment().is_ours(),
            Self::Referred(shared) => shared.origin.segment.is_ours(),
        }
    }

    /// Fails if the memory that the frame lies in is not to be used any more.
    fn check(self) -> Result<(), WriteError> {
        let segment = match self {
            Self::V2(seat) => seat.segment(),
            Self::V1(seat) => {
                let (mapping, name) = (&seat.segment().mapping, &seat.segment().names.name);
                let lost = || mapping.lost().to_write_error(name);
                return if mapping.is_sound() { Ok(()) } else { Err(lost()) };
            }
            Self::Copied(_) => return Ok(()),
            Self::Member(seat) => seat.segment(),
            Self::Referred(shared) => &shared.origin.segment,
        };
        segment.check_for_writing()
    }

    #[inline(always)]
    pub(crate) fn committed_at(self, found: &Found) -> Option<Duration> {
        match self {
            Self::V2(seat) if !seat.segment().layout().timestamps() => None,
            _ => self.stamp(found),
        }
    }

    #[cold]
    fn stamp(self, found: &Found) -> Option<Duration> {
        match self {
            Self::V2(seat) => seat.segment().committed_at(found.header),
            Self::V1(_) => None,
            Self::Copied(copied) => clock::own_time(copied.committed_ns()),
            Self::Member(seat) => seat.segment().committed_at(found.header),
            Self::Referred(shared) => shared.seat().segment().committed_at(found.header),
        }
    }

    /// Releases a lent frame.
    #[inline(always)]
    pub(crate) fn release_lent(self, found: &Found) {
        match self {
            Self::V2(seat) => seat.release_lent(found.end),
            _ => self.release_otherwise(found),
        }
    }

    #[cold]
    fn release_otherwise(self, found: &Found) {
        match self {
            Self::V2(seat) => seat.release_lent(found.end),
            Self::V1(seat) => seat.release(found.end.0),
            Self::Copied(_) => {}
            Self::Member(seat) => seat.release(found),
            Self::Referred(shared) => shared.release_lent(found),
        }
    }

    /// Where the frame lies, for another buffer's Writer.
    fn elsewhere(self, found: &Found) -> Result<Elsewhere<'a>, WhyCopied> {
        let Found { header, end, .. } = *found;
        let (start, len) = (found.start.minus(found.block()), found.len + found.block());
        let has_attributes = found.has_attributes();
        match self {
            Self::V2(seat) => Ok(Elsewhere {
                origin: seat.segment(),
                exports: &seat.exports,
                header,
                start,
                end,
                len,
                has_attributes,
            }),
            Self::Member(seat) => Ok(Elsewhere {
                origin: seat.segment(),
                exports: &seat.exports,
                header,
                start,
                end,
                len,
                has_attributes,
            }),
            Self::Referred(shared) => Ok(Elsewhere {
                origin: &shared.origin.segment,
                exports: &shared.seat().exports,
                header: shared.header,
                start,
                end: shared.end,
                len,
                has_attributes,
            }),
            Self::V1(_) => Err(WhyCopied::Protocol),
            Self::Copied(_) => Err(WhyCopied::NotInARing),
        }
    }

    /// Keeps a lent frame beyond its borrow.
    pub(crate) fn keep(self, found: &Found) -> OwnedSeat {
        match self {
            Self::V2(seat) => {
                seat.keep(found.end);
                OwnedSeat::V2(Shared::clone(seat))
            }
            // Every frame is kept until it is released.
            Self::V1(seat) => OwnedSeat::V1(Shared::clone(seat)),
            Self::Copied(copied) => OwnedSeat::Copied(Arc::new(copied.only(found.len))),
            // Every frame is kept until it is released.
            Self::Member(seat) => OwnedSeat::Member(Shared::clone(seat)),
            Self::Referred(shared) => {
                shared.seat().keep(found.end);
                OwnedSeat::Referred(Arc::clone(shared))
            }
        }
    }
}

impl OwnedSeat {
    pub(crate) fn as_ref(&self) -> SeatRef<'_> {
        match self {
            Self::V2(seat) => SeatRef::V2(seat),
            Self::V1(seat) => SeatRef::V1(seat),
            Self::Copied(copied) => SeatRef::Copied(copied),
            Self::Member(seat) => SeatRef::Member(seat),
            Self::Referred(shared) => SeatRef::Referred(shared),
        }
    }

    /// Releases a kept frame, from any thread and in any order.
    pub(crate) fn release(&self, found: &Found) {
        match self {
            Self::V2(seat) => seat.release_kept(found.end),
            Self::V1(seat) => seat.release(found.end.0),
            Self::Copied(_) => {}
            Self::Member(seat) => seat.release(found),
            Self::Referred(shared) => shared.release_kept(found),
        }
    }
}
