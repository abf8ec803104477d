//! The reading end.

use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use crate::endpoint::frame::Frame;
use crate::endpoint::writer::look_until;
use crate::engine::{Attendance, Reading, SeatRef};
use crate::v2::engine::member;
use crate::v2::engine::members::{MemberWish, ReaderWish, slot_name};
use crate::v2::engine::metadata::Version;
use crate::v2::engine::onlooker;
use crate::v2::engine::reader::{Behaviour, V2Reader};
use crate::v2::protocol::layout::SlotName;
use crate::v2::rules::ring::Found;
use crate::values::attributes::{AttributesError, AttributesRef};
use crate::values::config::{
    BufferConfig, MAIN_READER, Protocol, ReaderKind, StartAt, WaitStrategy,
};
use crate::values::error::{MetadataError, OpenError, ReadError, WriterPresence};
use crate::values::events::Events;
use crate::values::name::problem_of;
use crate::values::stats::ReaderStats;
use crate::wait::Patience;
use crate::wait::armed::{Armed, PeerWatch};

/// How a [`Reader`] behaves; the buffer itself is described by [`BufferConfig`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ReaderOptions {
    dir: Option<PathBuf>,
    wait: WaitStrategy,
    wait_for_buffer: Option<Duration>,
    name: Option<String>,
    kind: ReaderKind,
    group: String,
    start: StartAt,
    prefault: bool,
    changes_frames: bool,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        Self {
            dir: None,
            wait: WaitStrategy::default(),
            wait_for_buffer: None,
            name: Some(MAIN_READER.to_owned()),
            kind: ReaderKind::Every,
            group: String::new(),
            start: StartAt::default(),
            prefault: false,
            changes_frames: false,
        }
    }
}

impl ReaderOptions {
    /// Directory of the buffer; default `$ZEROBUFFER_DIR`, or else `/dev/shm`.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// How to wait for frames; default [`WaitStrategy::SpinThenPark`].
    pub fn wait_strategy(mut self, strategy: WaitStrategy) -> Self {
        self.wait = strategy;
        self
    }

    /// How long `join` waits for the buffer to appear; default not at all.
    pub fn wait_for_buffer(mut self, limit: Duration) -> Self {
        self.wait_for_buffer = Some(limit);
        self
    }

    /// Name of this reader's durable registration, 1 to 32 bytes; default [`MAIN_READER`].
    ///
    /// The rules are those of buffer names: no `/`, no control characters, no `.` at the beginning, no `.zb2` at the end.
    /// Every reader with a name of its own gets every frame. Frames wait for a durable reader while it is away,
    /// be it because it left or because it died: who asks for the name next goes on where it stopped.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Reads without a lasting registration: nothing waits for this reader when it leaves or dies.
    pub fn ephemeral(mut self) -> Self {
        self.name = None;
        self
    }

    /// Reads what it is in time for: the writer never waits for this reader, and what was overwritten before the
    /// reader came to it is missed and counted ([`ReaderStats::missed`]). For previews, together with
    /// [`Reader::latest`].
    ///
    /// Every frame is copied into memory of the reader's own, once, and checked before it is handed out: it is
    /// never torn, and nothing changes it afterwards. The place that a buffer keeps for its first reader
    /// ([`BufferConfig::keep_for_first_reader`]) stays kept, for a lossy one does not release it.
    ///
    /// ```
    /// use zerobuffer::{BufferConfig, Reader, Writer};
    /// # fn main() -> zerobuffer::Result<()> {
    /// # let name = format!("doc-lossy-{}", std::process::id());
    /// let config = BufferConfig::new().payload_bytes(4096).keep_for_first_reader(false);
    /// let mut writer = Writer::create(&name, &config)?;
    /// let mut preview = Reader::options().lossy().join(&name)?;
    /// for picture in 1..=100_u8 {
    ///     writer.write(&[picture; 100])?; // never waits
    /// }
    /// assert_eq!(preview.latest()?.unwrap()[..], [100; 100]);
    /// assert_eq!(preview.stats().missed, 99);
    /// # Ok(()) }
    /// ```
    pub fn lossy(mut self) -> Self {
        self.kind = ReaderKind::Lossy;
        self
    }

    /// Looks on from outside: reads as a [lossy](Self::lossy) reader does, but without a registration, without a
    /// lock, and without write access to the file. Only for [`join`](Self::join).
    ///
    /// For recording and debugging: it works also when everybody else hangs, and nobody can tell that it is
    /// there. Nobody wakes it either, so while there is nothing to read it looks every millisecond.
    pub fn observe(mut self) -> Self {
        self.kind = ReaderKind::Observer;
        self
    }

    /// Reads as a member of the work group `name`, 1 to 32 bytes: each frame goes to one of the members. The rules for
    /// the name are those of [`name`](Self::name).
    ///
    /// One holder at a time: a frame that a member received and did not release before it died is handed to another
    /// one, [marked](Frame::is_redelivered) and possibly out of order, so processing is at least once. Members that
    /// wait are served in turn; one that is slow, or stopped, keeps nobody else waiting, until the frame it holds is
    /// [the whole window](BufferConfig::group_window) or the ring behind. The group stays when its members leave, and
    /// its frames with it, until the last one [unsubscribes](Reader::unsubscribe). Several groups, and readers that
    /// get every frame, can read one buffer.
    ///
    /// ```
    /// use zerobuffer::{BufferConfig, Reader, Writer};
    /// # fn main() -> zerobuffer::Result<()> {
    /// # let name = format!("doc-group-{}", std::process::id());
    /// let mut writer = Writer::create(&name, &BufferConfig::new())?;
    /// let mut one = Reader::options().group("workers").join(&name)?;
    /// let mut other = Reader::options().group("workers").join(&name)?;
    /// writer.write(b"first")?;
    /// writer.write(b"second")?;
    /// let (first, second) = (one.read()?.unwrap(), other.read()?.unwrap());
    /// assert_eq!((&first[..], &second[..]), (&b"first"[..], &b"second"[..]));
    /// # Ok(()) }
    /// ```
    pub fn group(mut self, name: impl Into<String>) -> Self {
        self.kind = ReaderKind::Member;
        self.group = name.into();
        self
    }

    /// Where to begin when registering for the first time; default at the oldest frame still there.
    pub fn start_at(mut self, start: StartAt) -> Self {
        self.start = start;
        self
    }

    /// Whether to touch every page of the ring now rather than in the first lap; default no.
    ///
    /// Through both of its mappings: twice as many pages for the kernel to take back when this process ends or is killed, before
    /// which its death cannot be noticed. For a ring of 4 GiB that takes some tenths of a second.
    pub fn prefault(mut self, on: bool) -> Self {
        self.prefault = on;
        self
    }

    /// Whether this reader may change frames where they lie; by default their memory is mapped read-only.
    pub(crate) fn changes_frames(mut self, on: bool) -> Self {
        self.changes_frames = on;
        self
    }

    /// Attaches to the buffer, creating it if there is none.
    ///
    /// A buffer that is there already is joined if it has the same configuration; if this reader's predecessor
    /// died, its unreleased frames come again.
    ///
    /// # Errors
    /// [`OpenError`], with what to do about it in its message.
    pub fn create(&self, name: &str, config: &BufferConfig) -> Result<Reader, OpenError> {
        let attendance = self.attendance(name)?;
        Ok(Reader::new(Reading::create(name, self.dir.as_deref(), config, attendance)?))
    }

    /// Attaches to a buffer that exists.
    ///
    /// # Errors
    /// [`OpenError`]; [`is_not_found`](OpenError::is_not_found) when there is no such buffer (yet).
    pub fn join(&self, name: &str) -> Result<Reader, OpenError> {
        let attendance = self.attendance(name)?;
        let dir = self.dir.as_deref();
        let engine = look_until(self.wait_for_buffer, || Reading::join(name, dir, attendance))?;
        Ok(Reader::new(engine))
    }

    fn attendance(&self, buffer: &str) -> Result<Attendance, OpenError> {
        let to_slot_name = |name: &str, what: &str| {
            let invalid = |problem| OpenError::InvalidConfig {
                name: buffer.to_owned(),
                problem: format!(
                    "{what} {name:?}: {problem}; use 1 to {MAX_SLOT_NAME_BYTES} bytes without `/` or control characters, not starting with `.`"
                ),
            };
            match problem_of(name, MAX_SLOT_NAME_BYTES) {
                Some(problem) => Err(invalid(problem)),
                None => slot_name(name).ok_or_else(|| invalid("no place can have it")),
            }
        };
        let (wait, start) = (self.wait, self.start);
        let may_sleep = wait != WaitStrategy::Spin;
        match self.kind {
            ReaderKind::Lossy => return Ok(Attendance::Lossy(onlooker::Behaviour { wait, start })),
            ReaderKind::Observer => {
                return Ok(Attendance::Observer(onlooker::Behaviour { wait, start }));
            }
            ReaderKind::Member | ReaderKind::Group | ReaderKind::Export => {
                let wish = MemberWish {
                    group: to_slot_name(&self.group, "work group name")?,
                    start,
                    may_sleep,
                };
                return Ok(Attendance::Member(member::Behaviour { wait, wish }));
            }
            ReaderKind::Every => {}
        }
        let to_slot_name = |name| to_slot_name(name, "reader name");
        let name = self.name.as_deref().map(to_slot_name).transpose()?;
        let wish = ReaderWish { name, start, may_sleep };
        let (prefault, changes_frames) = (self.prefault, self.changes_frames);
        Ok(Attendance::Every(Behaviour { wait, wish, prefault, changes_frames }))
    }
}

/// Most bytes of the name of a reader or a work group.
const MAX_SLOT_NAME_BYTES: usize = size_of::<SlotName>();

/// The reading end of a buffer.
///
/// Dropping it leaves gracefully. What it has not read stays in the ring for its successor (see
/// [`ReaderOptions::name`]) unless it is ephemeral or [unsubscribes](Self::unsubscribe).
///
/// ```
/// use zerobuffer::{BufferConfig, Reader, Writer};
/// # fn main() -> zerobuffer::Result<()> {
/// # let name = format!("doc-reader-{}", std::process::id());
/// let mut reader = Reader::create(&name, &BufferConfig::new().payload_bytes(1 << 20))?;
/// let mut writer = Writer::connect(&name)?;
/// writer.write(b"hello")?;
/// drop(writer); // closes gracefully
/// while let Some(frame) = reader.read()? {
///     assert_eq!(&frame[..], b"hello");
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Reader {
    engine: Reading,
    /// The frame that is lent, or was last, by engines that do not remember it themselves.
    lent: Found,
}

impl Reader {
    fn new(engine: Reading) -> Self {
        Self { engine, lent: Found::foreign(0, 0, 0, 0) }
    }

    /// The frame that is lent, and what it is released to.
    #[inline(always)]
    pub(crate) fn lent(&self) -> (SeatRef<'_>, &Found) {
        self.engine.lent(&self.lent)
    }

    /// Options, for more than [`create`](Self::create) and [`join`](Self::join) offer.
    pub fn options() -> ReaderOptions {
        ReaderOptions::default()
    }

    /// Attaches to the buffer in the default directory, creating it if there is none.
    ///
    /// # Errors
    /// See [`ReaderOptions::create`].
    pub fn create(name: &str, config: &BufferConfig) -> Result<Self, OpenError> {
        Self::options().create(name, config)
    }

    /// Attaches to a buffer that exists in the default directory.
    ///
    /// # Errors
    /// See [`ReaderOptions::join`].
    pub fn join(name: &str) -> Result<Self, OpenError> {
        Self::options().join(name)
    }

    /// Name of the buffer.
    pub fn name(&self) -> &str {
        self.engine.name()
    }

    /// The protocol that this buffer speaks.
    pub fn protocol(&self) -> Protocol {
        self.engine.protocol()
    }

    /// What this reader gets.
    pub fn kind(&self) -> ReaderKind {
        self.engine.kind()
    }

    /// Largest frame that this buffer can carry at every position of its ring, in bytes.
    pub fn max_frame_bytes(&self) -> usize {
        self.engine.max_frame_bytes()
    }

    /// Size of the ring in bytes.
    pub fn payload_bytes(&self) -> usize {
        self.engine.payload_bytes()
    }

    /// Whether frames of this buffer carry the time of their commit ([`BufferConfig::timestamps`]), by which they have an age.
    ///
    /// [`BufferConfig::timestamps`]: crate::BufferConfig::timestamps
    pub fn has_timestamps(&self) -> bool {
        self.engine.has_timestamps()
    }

    /// The metadata in place, if any is set: no copy is made, and this version stays as it is meanwhile.
    ///
    /// # Errors
    /// [`MetadataError::Damaged`] if the block contradicts itself.
    pub fn metadata(&self) -> Result<Option<Metadata<'_>>, MetadataError> {
        let held = match &self.engine {
            Reading::Everyday(engine) => {
                engine.hold_metadata()?.map(|version| MetadataPlace::Held(engine, version))
            }
            Reading::Other(engine) => engine
                .metadata()?
                .map(|(generation, bytes)| MetadataPlace::Copied(generation, bytes)),
        };
        Ok(held.map(|place| Metadata { place }))
    }

    /// The next frame; waits for one without limit.
    ///
    /// `Ok(None)` comes once when the writer has closed and everything was read; calling again waits for a
    /// successor.
    ///
    /// # Errors
    /// [`ReadError::WriterGone`] once when the writer died, after all frames it had committed; calling again
    /// waits for a successor. Others name damage or removal.
    #[inline(always)]
    pub fn read(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        self.read_within(Patience::For(None))
    }

    /// The next frame; waits at most `timeout`. Without any time this is [`try_read`](Self::try_read).
    ///
    /// # Errors
    /// [`ReadError::Timeout`] when nothing came in time; otherwise as [`read`](Self::read).
    pub fn read_timeout(&mut self, timeout: Duration) -> Result<Option<Frame<'_>>, ReadError> {
        self.read_within(Patience::up_to(timeout))
    }

    /// The next frame, if it is there already.
    ///
    /// # Errors
    /// [`ReadError::Timeout`], waited zero, when it is not; otherwise as [`read`](Self::read).
    #[inline]
    pub fn try_read(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        self.read_within(Patience::None)
    }

    #[inline(always)]
    fn read_within(&mut self, patience: Patience) -> Result<Option<Frame<'_>>, ReadError> {
        Ok(self.receive_within(patience)?.then(|| Frame::new(self)))
    }

    /// Receives the next frame, which [`lent_frame`](Self::lent_frame) has then; false when the writer has closed.
    #[inline(always)]
    pub(crate) fn receive_within(&mut self, patience: Patience) -> Result<bool, ReadError> {
        if self.engine.next_ready() {
            return Ok(true);
        }
        self.engine.receive(patience, &mut self.lent)
    }

    /// The bytes of the frame that was received last, and not released yet.
    #[inline(always)]
    pub(crate) fn lent_bytes(&self) -> &[u8] {
        let (seat, found) = self.lent();
        seat.lend(found, self)
    }

    /// The frame that was received last, and not released yet.
    #[inline(always)]
    pub(crate) fn lent_frame(&mut self) -> Frame<'_> {
        Frame::new(self)
    }

    /// The newest frame, if there is one that was not handed out yet; releases, or passes over, all before it.
    /// Never waits.
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read).
    pub fn latest(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        let is_there = self.engine.receive_newest(&mut self.lent)?;
        Ok(is_there.then(|| Frame::new(self)))
    }

    /// Up to `max` frames at once: waits for the first, takes what else is there, releases all together.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_batch(&mut self, max: usize) -> Result<Option<Batch<'_>>, ReadError> {
        self.batch_within(max, Patience::For(None))
    }

    /// Like [`read_batch`](Self::read_batch), but waits at most `timeout`.
    ///
    /// # Errors
    /// As [`read_timeout`](Self::read_timeout).
    pub fn read_batch_timeout(
        &mut self,
        max: usize,
        timeout: Duration,
    ) -> Result<Option<Batch<'_>>, ReadError> {
        self.batch_within(max, Patience::up_to(timeout))
    }

    /// Like [`read_batch`](Self::read_batch), but never waits.
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read).
    pub fn try_read_batch(&mut self, max: usize) -> Result<Option<Batch<'_>>, ReadError> {
        self.batch_within(max, Patience::None)
    }

    fn batch_within(
        &mut self,
        max: usize,
        patience: Patience,
    ) -> Result<Option<Batch<'_>>, ReadError> {
        let mut first = None;
        if !self.engine.is_next_plain() {
            first = self.engine.find(patience)?;
            if first.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(Batch { reader: self, first, has_begun: false, left: max.max(1) }))
    }

    /// Copies the next frame into `space` and releases it; its length. Waits without limit, and never forms a
    /// reference to shared bytes.
    ///
    /// # Errors
    /// [`ReadError::SpaceTooSmall`] leaves the frame unread; otherwise as [`read`](Self::read).
    pub fn read_into(&mut self, space: &mut [u8]) -> Result<Option<usize>, ReadError> {
        let Some(found) = self.engine.find(Patience::For(None))? else {
            return Ok(None);
        };
        let bytes = found.len as usize;
        if bytes > space.len() {
            return Err(ReadError::SpaceTooSmall {
                name: self.engine.name().clone(),
                bytes,
                space: space.len(),
            });
        }
        self.engine.take(&found);
        self.lent = found;
        let copied = Frame::new(self).copy_to(space);
        // The bytes may be zeros of a buffer that was cut short while they were copied.
        self.engine.check()?;
        Ok(Some(copied))
    }

    /// Announces to the writer that this reader is about to sleep, and looks once more: for those who wait for many
    /// things at once, after a `try_` call that found nothing. See [`Armed`].
    pub fn arm(&mut self) -> Armed {
        self.engine.arm()
    }

    /// Looks after the writer in this reader's place while this reader is [armed](Self::arm). `None` where it has to be tried
    /// again and again anyway (protocol 1.0, members of a work group).
    ///
    /// # Errors
    /// No more descriptors.
    pub fn peer_watch(&self) -> std::io::Result<Option<PeerWatch>> {
        self.engine.peer_watch()
    }

    /// Whether a `try_` call would find nothing and have nothing to tell, as far as memory shows: a look without any system
    /// call, for those who have many readers. False where that cannot be seen so cheaply (protocol 1.0, members of a work
    /// group). A writer's death does not show in memory: `try_` calls notice it, when a tenth of a second has passed.
    pub fn is_quiet(&mut self) -> bool {
        self.engine.is_quiet()
    }

    /// What happened to the other side since the last call. Never waits.
    pub fn events(&mut self) -> Events {
        let generations = self.engine.generations();
        self.engine.noticed().tell(generations)
    }

    /// Whether a writer is there, as of now. Asks the kernel.
    pub fn writer_presence(&self) -> WriterPresence {
        self.engine.writer_presence()
    }

    /// What this reader has done since it attached.
    pub fn stats(&self) -> ReaderStats {
        self.engine.stats()
    }

    /// Ring bytes committed and not handed to this reader yet, as of now.
    pub fn backlog_bytes(&self) -> u64 {
        self.engine.backlog_bytes()
    }

    /// Whether the buffer was removed or replaced, or its file cut short, so that no writer will find it any more. Asks the
    /// system.
    ///
    /// A reader that waits finds out within 100 ms: it gets what was committed, then [`ReadError::Retired`]. Always false in
    /// protocol 1.0, whose reader works on when the name vanishes.
    pub fn is_removed(&self) -> bool {
        self.engine.is_removed()
    }

    /// Whether frames wait for this reader when it leaves or dies.
    pub fn is_durable(&self) -> bool {
        self.engine.is_durable()
    }

    /// Leaves for good: nothing is kept for a reader of this name.
    pub fn unsubscribe(self) {
        self.engine.leave_for_good();
    }
}

/// Metadata. While it lives the writer of a 2.0 buffer cannot replace this version's successor. For other
/// kinds of readers than those that get every frame, and from a 1.0 buffer, it is a copy.
#[derive(Debug)]
pub struct Metadata<'a> {
    place: MetadataPlace<'a>,
}

/// The metadata, for one who cannot ask the writer to leave it as it is.
#[derive(Debug)]
enum MetadataPlace<'a> {
    Held(&'a V2Reader, Version),
    Copied(u64, Vec<u8>),
}

impl Metadata<'_> {
    /// Which version this is, from 1.
    pub fn generation(&self) -> u64 {
        match &self.place {
            MetadataPlace::Held(_, version) => version.generation,
            MetadataPlace::Copied(generation, _) => *generation,
        }
    }
}

impl Deref for Metadata<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.place {
            MetadataPlace::Held(engine, version) => {
                engine.segment().lend_metadata(version.offset, version.len, self)
            }
            MetadataPlace::Copied(_, bytes) => bytes,
        }
    }
}

impl Drop for Metadata<'_> {
    fn drop(&mut self) {
        if let MetadataPlace::Held(engine, version) = &self.place {
            engine.let_metadata_go(version.generation);
        }
    }
}

/// Frames taken at once; a lending iterator over them. All are released when it is dropped.
#[derive(Debug)]
pub struct Batch<'a> {
    reader: &'a mut Reader,
    /// Found by the call that began the batch, and not handed out yet, if that needed more than a look.
    first: Option<Found>,
    /// Whether any was handed out: the newest is the one that the reader lends.
    has_begun: bool,
    left: usize,
}

/// One frame of a [`Batch`].
#[derive(Debug, Clone, Copy)]
pub struct BatchFrame<'a> {
    /// Number of the frame.
    pub sequence: u64,
    /// A reader that died had received it and not released it.
    pub redelivered: bool,
    /// When it was committed, on this process's `CLOCK_MONOTONIC`; `None` in a buffer without timestamps, and where the
    /// clocks of writer and reader cannot be compared (without `/proc`, in sandboxes with clocks of their own).
    pub committed_at: Option<Duration>,
    /// Its bytes; see [`Frame`] for what may happen to them.
    pub payload: &'a [u8],
    seat: SeatRef<'a>,
    found: &'a Found,
}

impl<'a> Batch<'a> {
    /// The next frame of the batch.
    #[allow(clippy::should_implement_trait)] // An `Iterator` could let frames outlive the batch.
    #[inline(always)]
    pub fn next(&mut self) -> Option<BatchFrame<'_>> {
        if self.left == 0 {
            return None;
        }
        let is_ready = self.first.is_none() && self.reader.engine.advance_ready();
        let is_there = is_ready || self.next_with_care();
        // What comes later belongs to the next batch.
        self.left = if is_there { self.left - 1 } else { 0 };
        self.has_begun |= is_there;
        is_there.then(|| {
            let (seat, found) = self.reader.lent();
            BatchFrame::new(found, seat)
        })
    }

    #[inline(never)]
    fn next_with_care(&mut self) -> bool {
        // A forked child must not be handed what was found before the fork.
        if self.reader.engine.check().is_err() {
            return false;
        }
        let newest = *self.reader.lent().1;
        let Reader { engine, lent } = &mut *self.reader;
        let found = match self.first.take() {
            None if self.has_begun => engine.find_behind(&newest),
            first => first,
        };
        let Some(found) = found else { return false };
        engine.advance(&found);
        *lent = found;
        true
    }
}

impl<'a> BatchFrame<'a> {
    #[inline(always)]
    fn new(found: &'a Found, seat: SeatRef<'a>) -> Self {
        Self {
            seat,
            found,
            sequence: found.sequence,
            redelivered: found.is_redelivered(),
            committed_at: seat.committed_at(found),
            payload: seat.lend_in_batch(found),
        }
    }

    /// What belongs to the frame and is not its bytes; empty if the writer gave it nothing.
    ///
    /// # Errors
    /// [`AttributesError`]: they are damaged. The payload is not, as far as that shows.
    pub fn attributes(&self) -> Result<AttributesRef<'a>, AttributesError> {
        AttributesRef::from_block(self.seat.lend_block(self.found, &()))
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if self.has_begun {
            let Reader { engine, lent } = &mut *self.reader;
            engine.release_batch(lent);
        }
    }
}
