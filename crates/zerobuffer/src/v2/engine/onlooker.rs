//! The engine of readers whom the Writer does not wait for: lossy ones, which are registered, and observers.

use std::path::Path;
use std::time::Duration;

use super::arrival::{Source, Watch};
use super::open::create_or_join;
use super::origin::Reference;
use super::roles;
use crate::sync::Ordering;
use crate::v2::ground::segment::{Access, Segment};
use crate::v2::protocol::layout::slot_state;
use crate::v2::protocol::position::Position;
use crate::v2::rules::memory::ReadMemory;
use crate::v2::rules::observe::{Copied, Observation};
use crate::v2::rules::ring::{Damage, Found};
use crate::v2::rules::wake::{self, Announced};
use crate::values::config::{BufferConfig, ReaderKind, StartAt, WaitStrategy};
use crate::values::error::{OpenError, ReadError};
use crate::values::name::Location;
use crate::values::stats::ReaderStats;
use crate::wait::armed::Armed;
use crate::wait::{Naps, Patience, Progress};

/// Frames that were passed on by reference and are gone, to pass over in one look.
const LOST_AT_ONCE: u32 = 1024;

/// How such a reader behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behaviour {
    pub(crate) wait: WaitStrategy,
    pub(crate) start: StartAt,
}

/// A lossy reader's place in the registry.
#[derive(Debug, Clone, Copy)]
struct Post {
    slot: u32,
    generation: u64,
}

/// A reader of a 2.0 buffer whom the Writer does not wait for.
#[derive(Debug)]
pub(crate) struct V2Onlooker {
    view: View,
    copied: Copied,
    pub(crate) watch: Watch,
}

/// Where it looks from, and how far it has looked.
#[derive(Debug)]
struct View {
    segment: Segment,
    /// `None` for an observer.
    post: Option<Post>,
    observation: Observation,
    naps: Naps,
    /// The buffer that the last reference led to.
    origin: Option<Segment>,
}

impl V2Onlooker {
    /// Registers as a lossy reader; creates the buffer if there is none.
    pub(crate) fn create(
        name: &str,
        dir: Option<&Path>,
        config: &BufferConfig,
        behaviour: Behaviour,
    ) -> Result<Self, OpenError> {
        let place = Location::new(name, dir)?;
        let may_sleep = behaviour.wait != WaitStrategy::Spin;
        let (segment, (slot, generation)) =
            create_or_join(&place, config, Access::Reader, |segment, fd| {
                roles::attach_lossy(segment, fd, &place, may_sleep)
            })?;
        Ok(Self::new(segment, Some(Post { slot, generation }), behaviour))
    }

    /// Registers as a lossy reader.
    pub(crate) fn join(
        name: &str,
        dir: Option<&Path>,
        behaviour: Behaviour,
    ) -> Result<Self, OpenError> {
        let place = Location::new(name, dir)?;
        let may_sleep = behaviour.wait != WaitStrategy::Spin;
        let (segment, (slot, generation)) =
            Segment::join(&place, Access::Reader, |segment, fd| {
                roles::attach_lossy(segment, fd, &place, may_sleep)
            })?;
        Ok(Self::new(segment, Some(Post { slot, generation }), behaviour))
    }

    /// Looks on from outside.
    pub(crate) fn observe(
        name: &str,
        dir: Option<&Path>,
        behaviour: Behaviour,
    ) -> Result<Self, OpenError> {
        let segment = Segment::observe(&Location::new(name, dir)?)?;
        Ok(Self::new(segment, None, behaviour))
    }

    fn new(segment: Segment, post: Option<Post>, behaviour: Behaviour) -> Self {
        let watch = Watch::new(&segment, behaviour.wait);
        let observation = Observation::begin(&segment, behaviour.start);
        let naps = Naps::new();
        let view = View { segment, post, observation, naps, origin: None };
        view.tell();
        Self { view, copied: Copied::default(), watch }
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.view.segment
    }

    pub(crate) fn kind(&self) -> ReaderKind {
        if self.view.post.is_some() { ReaderKind::Lossy } else { ReaderKind::Observer }
    }

    /// The bytes of the frame that was found last.
    #[inline]
    pub(crate) fn copied(&self) -> &Copied {
        &self.copied
    }

    /// Copies the next frame without taking it.
    pub(crate) fn find(&mut self, patience: Patience) -> Result<Option<Found>, ReadError> {
        let observation = &self.view.observation;
        let progress = Progress { frames: observation.frames(), bytes: observation.position().0 };
        let mut source = Looking { view: &mut self.view, copied: &mut self.copied };
        self.watch.find(&mut source, progress, patience)
    }

    /// Announces a sleep, and looks once more.
    pub(crate) fn arm(&mut self) -> Armed {
        let mut source = Looking { view: &mut self.view, copied: &mut self.copied };
        match (self.watch.arm(&mut source), self.view.post) {
            (None, _) => Armed::Ready,
            (Some((announced, lived)), Some(post)) => Armed::on(
                &self.segment().slots()[post.slot as usize].wait_flag,
                announced,
                Some(lived),
            ),
            (Some(_), None) => Armed::unattended(),
        }
    }

    /// Whether the next try finds nothing, as far as memory shows.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut source = Looking { view: &mut self.view, copied: &mut self.copied };
        self.watch.is_quiet(&mut source)
    }

    /// Goes behind a found frame.
    pub(crate) fn take(&mut self, found: &Found) {
        self.view.observation.take(found);
        self.view.naps.begin_anew();
        self.view.tell();
    }

    /// Passes over everything but the newest frame.
    pub(crate) fn go_to_newest(&mut self) {
        if self.segment().is_sound() {
            self.view.observation.go_to_newest(&self.view.segment);
        }
    }

    pub(crate) fn backlog_bytes(&self) -> u64 {
        if !self.segment().is_sound() {
            return 0;
        }
        let head = Position(self.segment().writer().head.load(Ordering::Acquire));
        let position = self.view.observation.position();
        if position.is_at_or_before(head) { head.since(position) } else { 0 }
    }

    pub(crate) fn stats(&self) -> ReaderStats {
        let observation = &self.view.observation;
        ReaderStats {
            frames: observation.frames(),
            bytes: observation.bytes(),
            missed: observation.missed(),
            skipped_bytes: observation.skipped_bytes(),
            ..self.watch.stats
        }
    }
}

impl Drop for V2Onlooker {
    fn drop(&mut self) {
        if let Some(post) = self.view.post
            && self.view.segment.is_sound()
            && self.view.is_registered()
        {
            roles::detach_reader(&self.view.segment, post.slot, true);
        }
    }
}

impl View {
    /// Copies what a reference leads to. `None`: it is not there any more, or may not be looked at.
    fn follow(&mut self, found: &Found, copied: &mut Copied) -> Option<Found> {
        let Reference { segment_id, name, header, start, len, .. } =
            Reference::parse(copied.payload(found.len))?;
        if self.origin.as_ref().is_none_or(|known| known.layout().segment_id != segment_id) {
            let place = Location::new(&name, Some(self.segment.dir())).ok()?;
            let origin = Segment::observe(&place).ok()?;
            self.origin = (origin.layout().segment_id == segment_id).then_some(origin);
        }
        let origin = self.origin.as_ref().filter(|origin| origin.is_sound())?;
        copied.follow(origin, found, header, start, len)
    }

    fn is_registered(&self) -> bool {
        self.post.is_none_or(|post| {
            let slot = &self.segment.slots()[post.slot as usize];
            slot.state.load(Ordering::Acquire) == slot_state::ACTIVE
                && slot.generation.load(Ordering::Acquire) == post.generation
        })
    }

    /// Tells those who inspect the buffer how far it has come.
    fn tell(&self) {
        let Some(post) = self.post else { return };
        let (slot, seen) = (&self.segment.slots()[post.slot as usize], &self.observation);
        slot.cursor.store(seen.position().0, Ordering::Relaxed);
        slot.read_position.store(seen.position().0, Ordering::Relaxed);
        slot.read_sequence.store(seen.next_sequence().wrapping_sub(1), Ordering::Relaxed);
        slot.bytes_read.store(seen.bytes(), Ordering::Relaxed);
        slot.skipped_bytes.store(seen.skipped_bytes(), Ordering::Relaxed);
        slot.missed.store(seen.missed(), Ordering::Relaxed);
    }
}

/// Frames that the Writer may overwrite while they are copied.
struct Looking<'a> {
    view: &'a mut View,
    copied: &'a mut Copied,
}

impl Source for Looking<'_> {
    fn segment(&self) -> &Segment {
        &self.view.segment
    }

    fn poll(&mut self) -> Result<Option<Found>, Damage> {
        for _ in 0..LOST_AT_ONCE {
            let found = match self.view.observation.look(&self.view.segment, self.copied)? {
                Some(found) if found.is_reference() => found,
                found => return Ok(found),
            };
            if let Some(found) = self.view.follow(&found, self.copied) {
                return Ok(Some(found));
            }
            self.view.observation.pass_over(&found);
        }
        Ok(None)
    }

    fn position(&self) -> Position {
        self.view.observation.position()
    }

    fn is_wiped_out(&self) -> bool {
        self.view.observation.is_wiped_out(&self.view.segment)
    }

    fn only_looks_on(&self) -> bool {
        self.view.post.is_none()
    }

    fn is_registered(&self) -> bool {
        self.view.is_registered()
    }

    fn announce(&mut self) -> Announced {
        match self.view.post {
            Some(post) => wake::announce_reader(&self.view.segment, post.slot),
            // Nobody knows of it, so nobody will wake it.
            None => Announced::WithoutBarrier,
        }
    }

    fn is_announced(&self) -> bool {
        self.view.post.is_none_or(|post| wake::is_reader_announced(&self.view.segment, post.slot))
    }

    fn sleep(&mut self, limit: Duration) -> bool {
        match self.view.post {
            Some(post) => wake::sleep_as_reader(&self.view.segment, post.slot, limit),
            None => {
                self.view.naps.sleep(limit);
                false
            }
        }
    }
}
