//! How a reader behaves, and how it attaches.

use std::path::PathBuf;
use std::time::Duration;

use super::looking::look_until;
use super::reader::Reader;
use crate::engine::{Attendance, Reading};
use crate::v2::engine::member;
use crate::v2::engine::onlooker;
use crate::v2::engine::reader::Behaviour;
use crate::v2::engine::roles::{MemberWish, ReaderWish, slot_name};
use crate::v2::protocol::layout::SlotName;
use crate::values::config::{BufferConfig, MAIN_READER, ReaderKind, StartAt, WaitStrategy};
use crate::values::error::OpenError;
use crate::values::name::problem_of;

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
    /// reader came to it is missed and counted ([`ReaderStats::missed`](crate::ReaderStats::missed)). For previews, together with
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
    /// one, [marked](crate::Frame::is_redelivered) and possibly out of order, so processing is at least once. Members that
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

impl Reader {
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
}
