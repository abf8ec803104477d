//! Waiting for a frame: what every kind of reader does while there is none, and what it is told meanwhile.

use std::sync::Arc;
use std::time::Duration;

use crate::sync::Ordering;
use crate::v2::ground::segment::Segment;
use crate::v2::protocol::layout::{WRITER_LOCK, writer_state};
use crate::v2::protocol::position::Position;
use crate::v2::rules::memory::ReadMemory;
use crate::v2::rules::ring::{Damage, Found, WIPED_OUT};
use crate::v2::rules::wake::Announced;
use crate::values::config::WaitStrategy;
use crate::values::error::{ReadError, WriterPresence};
use crate::values::events::Noticed;
use crate::values::stats::ReaderStats;
use crate::wait::{Awaited, Patience, Progress, Spin, Spinner, wait};

/// Where one kind of reader has its frames from.
pub(crate) trait Source {
    fn segment(&self) -> &Segment;
    /// The next frame, if it is there.
    fn poll(&mut self) -> Result<Option<Found>, Damage>;
    /// The next frame, if that is plain to see. Damage is for [`poll`](Self::poll) to tell.
    #[inline]
    fn poll_ready(&mut self) -> Option<Found> {
        self.poll().ok().flatten()
    }
    /// As [`poll`](Self::poll), before the end of a Writer is told: finds whatever nobody else will come for.
    fn poll_last(&mut self) -> Result<Option<Found>, Damage> {
        self.poll()
    }
    /// Where that is, or will be.
    fn position(&self) -> Position;
    /// Whether the next frame was committed, and is not to be seen because its word is gone. To be asked before it is
    /// said that there is none; see `ring/missing.rs`.
    fn is_wiped_out(&self) -> bool;
    /// Whether the buffer may be removed while this reader looks at it, as one that nobody uses.
    fn only_looks_on(&self) -> bool {
        false
    }
    /// Whether this reader's registration still stands.
    fn is_registered(&self) -> bool;
    /// Announces a sleep; everything is looked at once more before it.
    fn announce(&mut self) -> Announced;
    /// Whether the announcement still stands.
    fn is_announced(&self) -> bool;
    /// Sleeps until woken; false when `limit` passed first.
    fn sleep(&mut self, limit: Duration) -> bool;
    /// Sees after other readers, once in a while.
    fn look_after_others(&mut self) {}
    /// The wait ended without a frame.
    fn stop_waiting(&mut self) {}
}

/// What a reader remembers from one wait to the next.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) noticed: Noticed,
    pub(crate) stats: ReaderStats,
    pub(crate) damage: Option<Damage>,
    spinner: Spinner,
    /// The wait that [`spin`](Self::spin) began, and nothing came in.
    begun: Option<Spin>,
    /// How the last announcement of [`arm`](Self::arm) was made.
    armed: Option<Announced>,
}

impl Watch {
    pub(crate) fn new(segment: &Segment, strategy: WaitStrategy) -> Self {
        let (writer, metadata) = generations(segment);
        Self {
            noticed: Noticed { writer, metadata, ..Noticed::default() },
            stats: ReaderStats::default(),
            damage: None,
            spinner: Spinner::new(strategy),
            begun: None,
            armed: None,
        }
    }

    /// Begins a wait, and polls briefly whether there is anything at all, for whoever finds without this what it is: a frame
    /// that is passed on through all the layers of [`find`](Self::find), moved from stack to stack, comes later. If nothing
    /// comes, `find` goes on with this wait.
    #[inline(always)]
    pub(crate) fn spin(
        &mut self,
        segment: &Segment,
        progress: Progress,
        is_there: impl FnMut() -> bool,
    ) -> bool {
        let spin = self.begin(segment, progress);
        let comes = self.spinner.poll_briefly(spin, is_there);
        self.begun = (!comes).then_some(spin);
        comes
    }

    #[inline]
    fn begin(&mut self, segment: &Segment, progress: Progress) -> Spin {
        self.stats.waits += 1;
        self.spinner.begin(progress, segment.layout().frames.capacity)
    }

    /// Finds the next frame of `source`; waits as long as `patience` allows. `progress` is how far it has come.
    #[inline(never)]
    pub(crate) fn find(
        &mut self,
        source: &mut impl Source,
        progress: Progress,
        patience: Patience,
    ) -> Result<Option<Found>, ReadError> {
        check(source.segment())?;
        // What was found amiss in a segment that was cut short meanwhile is not what is wrong with it.
        self.find_in_sound(source, progress, patience)
            .or_else(|error| check(source.segment()).and(Err(error)))
    }

    fn find_in_sound(
        &mut self,
        source: &mut impl Source,
        progress: Progress,
        patience: Patience,
    ) -> Result<Option<Found>, ReadError> {
        let begun = self.begun.take();
        if let Some(found) = self.poll(source)? {
            return Ok(Some(found));
        }
        let spin = match begun {
            Some(spin) => spin,
            // A call that does not wait has nothing to spin for, and learns nothing of it.
            None if patience == Patience::None => {
                self.stats.waits += 1;
                Spin::NONE
            }
            None => {
                let spin = self.begin(source.segment(), progress);
                if let Some(found) = self.poll_briefly(source, spin) {
                    return Ok(Some(found));
                }
                spin
            }
        };
        let (noticed, stats) = (&mut self.noticed, &mut self.stats);
        let mut awaited = Arrival { source, noticed, stats, damage: &mut self.damage };
        let waited = wait(&mut awaited, &mut self.spinner, spin, patience);
        if !matches!(waited, Ok(Some(_))) {
            source.stop_waiting();
        }
        match waited {
            Ok(Some(found)) => Ok(Some(found)),
            Ok(None) => Err(ReadError::Timeout {
                name: source.segment().name().clone(),
                waited: patience.limit(),
                writer: match patience {
                    Patience::None => self.presence_as_told(source.segment()),
                    Patience::For(_) => writer_presence(source.segment()),
                },
            }),
            Err(End::Closed) => Ok(None),
            Err(End::Failed(error)) => Err(error),
        }
    }

    /// Whether a writer is there, as far as this reader was told: a call that does not wait does not ask the kernel
    /// either, unless it is time to.
    fn presence_as_told(&self, segment: &Segment) -> WriterPresence {
        let generation = segment.writer().writer_generation.load(Ordering::Acquire);
        presence(segment, || self.noticed.ended != generation)
    }

    /// Announces a sleep and looks once more, also whether the writer lives, which goes with it. `None` if the next try
    /// finds something, or has something to tell.
    pub(crate) fn arm(&mut self, source: &mut impl Source) -> Option<(Announced, bool)> {
        if !source.segment().is_sound() {
            return None;
        }
        // One that still stands has had its barrier.
        let standing = self.armed.filter(|_| source.is_announced());
        let announced = standing.unwrap_or_else(|| source.announce());
        self.armed = Some(announced);
        if !self.is_quiet(source) {
            return None;
        }
        let lives = source.segment().is_lock_held(WRITER_LOCK);
        let area = source.segment().writer();
        let was_there = area.writer_state.load(Ordering::Acquire) != writer_state::NEVER;
        if !lives
            && was_there
            && self.noticed.ended != area.writer_generation.load(Ordering::Acquire)
        {
            self.spinner.probe_next_time();
            return None;
        }
        Some((announced, lives))
    }

    /// Whether the next try finds nothing and has nothing to tell, as far as memory shows.
    pub(crate) fn is_quiet(&mut self, source: &mut impl Source) -> bool {
        if !source.segment().is_sound() {
            return false;
        }
        let area = source.segment().writer();
        let generation = area.writer_generation.load(Ordering::Acquire);
        let has_closed = area.writer_state.load(Ordering::Acquire) == writer_state::CLOSED;
        source.is_registered()
            && !source.segment().is_retired()
            && (!has_closed || self.noticed.ended == generation)
            && self.damage.is_none()
            && matches!(source.poll(), Ok(None))
            && !source.is_wiped_out()
    }

    fn poll_briefly(&mut self, source: &mut impl Source, spin: Spin) -> Option<Found> {
        let mut arrived = None;
        self.spinner.poll_briefly(spin, || {
            arrived = source.poll_ready();
            arrived.is_some()
        });
        arrived
    }

    /// Looks once; damage stays.
    fn poll(&mut self, source: &mut impl Source) -> Result<Option<Found>, ReadError> {
        let polled = match self.damage {
            Some(problem) => Err(problem),
            None => source.poll(),
        };
        polled.map_err(|problem| {
            self.damage = Some(problem);
            damaged(source, problem)
        })
    }
}

fn damaged(source: &impl Source, problem: Damage) -> ReadError {
    let (name, position) = (source.segment().name().clone(), source.position().0);
    ReadError::Damaged { name, position, problem }
}

/// Fails if the segment's memory is not to be used any more.
#[inline]
pub(crate) fn check(segment: &Segment) -> Result<(), ReadError> {
    if segment.is_sound() { Ok(()) } else { Err(segment.lost().to_read_error(segment.name())) }
}

/// Newest generations of the Writer and of the metadata.
pub(crate) fn generations(segment: &Segment) -> (u64, u64) {
    let area = segment.writer();
    let writer = area.writer_generation.load(Ordering::Acquire);
    (writer, area.metadata_generation.load(Ordering::Acquire))
}

/// Whether a writer is there. Asks the kernel.
pub(crate) fn writer_presence(segment: &Segment) -> WriterPresence {
    if !segment.is_sound() {
        return WriterPresence::Never;
    }
    presence(segment, || segment.is_lock_held(WRITER_LOCK))
}

/// What the segment says of its writer; `lives` tells of one that is attached.
fn presence(segment: &Segment, lives: impl FnOnce() -> bool) -> WriterPresence {
    match segment.writer().writer_state.load(Ordering::Acquire) {
        writer_state::NEVER => WriterPresence::Never,
        writer_state::ATTACHED if lives() => WriterPresence::Attached,
        writer_state::ATTACHED => WriterPresence::Dead,
        _ => WriterPresence::Closed,
    }
}

/// How a wait ended without a frame.
enum End {
    Closed,
    Failed(ReadError),
}

/// A frame, waited for; or the news that none will come from this Writer.
struct Arrival<'a, S> {
    source: &'a mut S,
    noticed: &'a mut Noticed,
    stats: &'a mut ReaderStats,
    damage: &'a mut Option<Damage>,
}

impl<S: Source> Arrival<'_, S> {
    /// The last look before the end of a Writer is told.
    fn poll_last(&mut self) -> Result<Option<Found>, End> {
        let polled = self.source.poll_last();
        match self.judged(polled)? {
            Some(found) => Ok(Some(found)),
            None => self.check_nothing_is_lost().map(|()| None),
        }
    }

    /// Fails if what was found is nothing because it was wiped out.
    fn check_nothing_is_lost(&mut self) -> Result<(), End> {
        let is_lost = self.source.is_wiped_out();
        self.judged(if is_lost { Err(WIPED_OUT) } else { Ok(None) }).map(drop)
    }

    fn judged(&mut self, polled: Result<Option<Found>, Damage>) -> Result<Option<Found>, End> {
        polled.map_err(|problem| {
            *self.damage = Some(problem);
            End::Failed(damaged(self.source, problem))
        })
    }

    fn failed<T>(&self, error: impl FnOnce(Arc<str>) -> ReadError) -> Result<T, End> {
        Err(End::Failed(error(self.source.segment().name().clone())))
    }
}

impl<S: Source> Awaited for Arrival<'_, S> {
    type Output = Found;
    type Error = End;

    #[inline]
    fn poll(&mut self) -> Result<Option<Found>, End> {
        let polled = self.source.poll();
        self.judged(polled)
    }

    fn glance(&mut self) -> Result<Option<Found>, End> {
        let segment = self.source.segment();
        let retired = |name| ReadError::Retired { name };
        if !segment.is_sound() {
            return self.failed(retired);
        }
        if !self.source.is_registered() {
            return self.failed(|name| ReadError::Evicted { name });
        }
        let area = segment.writer();
        let generation = area.writer_generation.load(Ordering::Acquire);
        let has_closed = area.writer_state.load(Ordering::Acquire) == writer_state::CLOSED;
        let was_told = !has_closed || self.noticed.ended == generation;
        // One who only looks on may be the last to see a buffer that everybody has left: first the end.
        if segment.is_retired() && (was_told || !self.source.only_looks_on()) {
            // What was committed there is read first.
            return match self.poll_last()? {
                Some(found) => Ok(Some(found)),
                None => self.failed(retired),
            };
        }
        if was_told {
            return self.check_nothing_is_lost().map(|()| None);
        }
        // Closed, seen with Acquire: every frame of that Writer is visible by now.
        if let Some(found) = self.poll_last()? {
            return Ok(Some(found));
        }
        self.noticed.ended = generation;
        self.noticed.closed = true;
        Err(End::Closed)
    }

    fn probe(&mut self) -> Result<Option<Found>, End> {
        let segment = self.source.segment();
        segment.look_at_file();
        if !segment.is_sound() || segment.is_retired() {
            return self.glance();
        }
        self.source.look_after_others();
        let area = self.source.segment().writer();
        let generation = area.writer_generation.load(Ordering::Acquire);
        if area.writer_state.load(Ordering::Acquire) != writer_state::ATTACHED
            || self.noticed.ended == generation
            || self.source.segment().is_lock_held(WRITER_LOCK)
        {
            return Ok(None);
        }
        // The lock is free: what that Writer committed is visible. It may also have closed, or a successor come.
        if let Some(found) = self.poll_last()? {
            return Ok(Some(found));
        }
        let area = self.source.segment().writer();
        if area.writer_state.load(Ordering::Acquire) != writer_state::ATTACHED
            || area.writer_generation.load(Ordering::Acquire) != generation
        {
            return Ok(None);
        }
        let pid = area.writer_pid.load(Ordering::Relaxed);
        self.noticed.ended = generation;
        self.noticed.died = Some(pid);
        self.failed(|name| ReadError::WriterGone { name, pid })
    }

    fn announce(&mut self) -> Announced {
        self.source.announce()
    }

    fn is_announced(&self) -> bool {
        self.source.is_announced()
    }

    fn sleep(&mut self, limit: Duration) -> bool {
        self.stats.parks += 1;
        self.source.sleep(limit)
    }

    fn overslept(&mut self) {
        self.stats.late_wakes += 1;
    }
}
