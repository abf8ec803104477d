//! The writing end.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::endpoint::frame::{Frame, OwnedFrame};
use crate::engine::{SeatRef, Writing};
use crate::sys::{process, processor};
use crate::v2::engine::writer::Behaviour;
use crate::v2::placing::Footprint;
use crate::v2::rules::ring::{Claim, Found};
use crate::values::config::{
    BufferConfig, Elastic, FullPolicy, Protocol, StreamingStores, WaitStrategy,
};
use crate::values::error::{MetadataError, OpenError, WriteError};
use crate::values::stats::{Forwarded, ReaderInfo, Undelivered, WriterStats};
use crate::wait::Patience;
use crate::wait::armed::Armed;

/// Window of an elastic writer: fits the cache that two cores share on most machines.
const ELASTIC_WINDOW: u64 = 4 << 20;
/// Part of the largest cache that a ring may have for itself: others use it too.
const CACHE_PART: u64 = 4;
/// Between two looks for a buffer that is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

fn footprint(elastic: Elastic) -> Footprint {
    match elastic {
        Elastic::Auto => Footprint::Learned {
            window: ELASTIC_WINDOW,
            cached: || processor::largest_cache_bytes() / CACHE_PART,
            now_ns: process::monotonic_ns,
        },
        Elastic::Never => Footprint::Whole,
        Elastic::Always => Footprint::Window(ELASTIC_WINDOW),
    }
}

/// How a [`Writer`] behaves; the buffer itself is described by [`BufferConfig`].
#[derive(Debug, Clone)]
#[must_use]
pub struct WriterOptions {
    dir: Option<PathBuf>,
    behaviour: Behaviour,
    full: FullPolicy,
    wait_for_buffer: Option<Duration>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        let behaviour = Behaviour {
            wait: WaitStrategy::default(),
            require_reader: false,
            footprint: footprint(Elastic::default()),
            prefault: false,
            streaming: StreamingStores::default(),
            forget_after: None,
        };
        Self { dir: None, behaviour, full: FullPolicy::default(), wait_for_buffer: None }
    }
}

impl WriterOptions {
    /// Directory of the buffer; default `$ZEROBUFFER_DIR`, or else `/dev/shm`.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// How to wait for room; default [`WaitStrategy::SpinThenPark`].
    pub fn wait_strategy(mut self, strategy: WaitStrategy) -> Self {
        self.behaviour.wait = strategy;
        self
    }

    /// What to do when the ring is full; default: wait at most five seconds.
    ///
    /// A reader that is stopped (a debugger, `SIGSTOP`) is not dead and can hold the ring back without end:
    /// only a timeout or another policy helps.
    pub fn full_policy(mut self, policy: FullPolicy) -> Self {
        self.full = policy;
        self
    }

    /// Whether writing without a live reader is an error; default no: frames wait for one.
    pub fn require_reader(mut self, require: bool) -> Self {
        self.behaviour.require_reader = require;
        self
    }

    /// How long `connect` waits for the buffer to appear; default not at all.
    pub fn wait_for_buffer(mut self, limit: Duration) -> Self {
        self.wait_for_buffer = Some(limit);
        self
    }

    /// Whether to keep to a part of a large ring while readers keep up; default [`Elastic::Auto`].
    pub fn elastic(mut self, elastic: Elastic) -> Self {
        self.behaviour.footprint = footprint(elastic);
        self
    }

    /// As [`Elastic::Always`], with a window of so many bytes, or [`Elastic::Never`]: for tests with small rings.
    #[doc(hidden)]
    pub fn elastic_window(mut self, bytes: Option<u64>) -> Self {
        self.behaviour.footprint = bytes.map_or(Footprint::Whole, Footprint::Window);
        self
    }

    /// Whether to touch every page of the ring now rather than in the first lap; default no.
    ///
    /// Through both of its mappings: twice as many pages for the kernel to take back when this process ends or is killed, before
    /// which its death cannot be noticed. For a ring of 4 GiB that takes some tenths of a second.
    pub fn prefault(mut self, on: bool) -> Self {
        self.behaviour.prefault = on;
        self
    }

    /// Which stores large frames are copied in with; default [`StreamingStores::Auto`].
    pub fn streaming_stores(mut self, stores: StreamingStores) -> Self {
        self.behaviour.streaming = stores;
        self
    }

    /// Gives up the place of a durable reader, or of a work group, that holds this writer back and is gone for longer
    /// than `limit`, with the frames that are kept there; default: never, they wait for its successor.
    ///
    /// Counted from when this writer notices, which it does while it waits for room, or meets a full ring again. It is
    /// told first, as always ([`WriteError::ReaderGone`]); [`WriterStats`] tells what was given up. The place for the first
    /// reader, before any has come, is kept. By hand: [`inspect::forget`](crate::inspect::forget). No effect in protocol
    /// 1.0.
    pub fn forget_readers_after(mut self, limit: Duration) -> Self {
        self.behaviour.forget_after = Some(limit);
        self
    }

    /// Attaches to the buffer, creating it if there is none.
    ///
    /// A buffer that is there already, say from a predecessor that crashed, is taken over with all frames that
    /// wait in it, if it has the same configuration.
    ///
    /// # Errors
    /// [`OpenError`], with what to do about it in its message; for example when another writer is attached,
    /// the configuration differs, or the memory asked for is not to be had.
    pub fn create(&self, name: &str, config: &BufferConfig) -> Result<Writer, OpenError> {
        let engine = Writing::create(name, self.dir.as_deref(), config, self.behaviour)?;
        Ok(Writer { engine, full: self.full, loaned: Claimed::nothing() })
    }

    /// Attaches to a buffer that exists.
    ///
    /// # Errors
    /// [`OpenError`]; [`is_not_found`](OpenError::is_not_found) when there is no such buffer (yet).
    pub fn connect(&self, name: &str) -> Result<Writer, OpenError> {
        let dir = self.dir.as_deref();
        let engine =
            look_until(self.wait_for_buffer, || Writing::connect(name, dir, self.behaviour))?;
        Ok(Writer { engine, full: self.full, loaned: Claimed::nothing() })
    }
}

/// Tries again while the buffer is not found, for at most `limit`.
pub(crate) fn look_until<T>(
    limit: Option<Duration>,
    mut look: impl FnMut() -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let begin = Instant::now();
    loop {
        match look() {
            Err(error) if error.is_not_found() && limit.is_some_and(|l| begin.elapsed() < l) => {
                std::thread::sleep(LOOK_INTERVAL);
            }
            other => return other,
        }
    }
}

/// The writing end of a buffer. A buffer has one at a time.
///
/// Dropping it closes gracefully: readers drain what was committed, then see the end. The file goes with the
/// last to leave, unless committed frames wait in it for a durable reader.
///
/// ```
/// use zerobuffer::{BufferConfig, Reader, Writer};
/// # fn main() -> zerobuffer::Result<()> {
/// # let name = format!("doc-writer-{}", std::process::id());
/// let mut writer = Writer::create(&name, &BufferConfig::new().payload_bytes(1 << 20))?;
/// let mut reader = Reader::join(&name)?;
/// writer.set_metadata(b"text/plain")?;
/// writer.write(b"one copy")?;
/// let mut frame = writer.loan(7)?;
/// frame.copy_from_slice(b"no copy");
/// frame.commit();
/// assert_eq!(&reader.read()?.unwrap()[..], b"one copy");
/// assert_eq!(&reader.read()?.unwrap()[..], b"no copy");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Writer {
    pub(super) engine: Writing,
    full: FullPolicy,
    /// The frame that is loaned, or was last: here and not in the [`FrameMut`], so that a loan is one word; see [`Frame`].
    loaned: Claimed,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is in the ring, under this number. Numbers start at 1 and have no gaps, across
    /// writers, as long as the buffer lives: a new one of the same name (everybody had left, or it was removed) begins at 1 again.
    Committed(u64),
    /// The ring was full and the policy is [`FullPolicy::DropNewest`]: it is gone, and counted.
    Dropped,
}

impl Written {
    /// Number of the frame, unless it was dropped.
    pub fn sequence(self) -> Option<u64> {
        match self {
            Self::Committed(sequence) => Some(sequence),
            Self::Dropped => None,
        }
    }
}

impl Writer {
    /// Options, for more than [`create`](Self::create) and [`connect`](Self::connect) offer.
    pub fn options() -> WriterOptions {
        WriterOptions::default()
    }

    /// Attaches to the buffer in the default directory, creating it if there is none.
    ///
    /// # Errors
    /// See [`WriterOptions::create`].
    pub fn create(name: &str, config: &BufferConfig) -> Result<Self, OpenError> {
        Self::options().create(name, config)
    }

    /// Attaches to a buffer that exists in the default directory.
    ///
    /// # Errors
    /// See [`WriterOptions::connect`].
    pub fn connect(name: &str) -> Result<Self, OpenError> {
        Self::options().connect(name)
    }

    /// Name of the buffer.
    pub fn name(&self) -> &str {
        self.engine.name()
    }

    /// The protocol that this buffer speaks.
    pub fn protocol(&self) -> Protocol {
        self.engine.protocol()
    }

    /// Largest frame that this buffer can carry at every position of its ring, in bytes.
    pub fn max_frame_bytes(&self) -> usize {
        self.engine.max_frame_bytes()
    }

    /// Size of the ring in bytes.
    pub fn payload_bytes(&self) -> usize {
        self.engine.payload_bytes()
    }

    /// Sets the metadata, once.
    ///
    /// A successor of a writer that had set the same bytes may set them again; nothing changes then.
    ///
    /// # Errors
    /// [`MetadataError::AlreadySet`] the second time, [`MetadataError::TooLarge`] if it does not fit.
    pub fn set_metadata(&mut self, bytes: &[u8]) -> Result<(), MetadataError> {
        self.engine.set_metadata(bytes)
    }

    /// Replaces the metadata; readers are told by its generation.
    ///
    /// # Errors
    /// [`MetadataError::Held`] while a live reader looks at the version before the current one, whose place
    /// the new one takes; [`MetadataError::TooLarge`] if it does not fit.
    pub fn replace_metadata(&mut self, bytes: &[u8]) -> Result<(), MetadataError> {
        self.engine.replace_metadata(bytes)
    }

    /// Copies a frame into the ring and commits it. When the ring is full, does what the full-policy says.
    ///
    /// # Errors
    /// [`WriteError::Full`] when the policy's time is up, naming the reader that holds the ring back;
    /// [`WriteError::ReaderGone`] once when that reader has died or left; others name a misuse or damage.
    /// Nothing was written then.
    #[inline(always)]
    pub fn write(&mut self, payload: &[u8]) -> Result<Written, WriteError> {
        match self.engine.write_ready(payload) {
            Some(sequence) => Ok(Written::Committed(sequence)),
            None => self.write_by_policy(payload),
        }
    }

    #[inline(never)]
    fn write_by_policy(&mut self, payload: &[u8]) -> Result<Written, WriteError> {
        let patience = self.default_patience();
        match self.write_within(payload, patience) {
            Err(WriteError::Full { .. } | WriteError::ReaderGone { .. }) if self.drops_newest() => {
                self.engine.count_dropped(payload.len());
                Ok(Written::Dropped)
            }
            other => other,
        }
    }

    /// Like [`write`](Self::write), but never waits and never drops.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[inline]
    pub fn try_write(&mut self, payload: &[u8]) -> Result<Written, WriteError> {
        match self.engine.write_ready(payload) {
            Some(sequence) => Ok(Written::Committed(sequence)),
            None => self.write_within(payload, Patience::None),
        }
    }

    /// Like [`write`](Self::write), but waits at most `timeout` and never drops. Without any time this is
    /// [`try_write`](Self::try_write).
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_timeout(
        &mut self,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Written, WriteError> {
        self.write_within(payload, Patience::up_to(timeout))
    }

    #[inline(never)]
    fn write_within(&mut self, payload: &[u8], patience: Patience) -> Result<Written, WriteError> {
        let claim = self.engine.claim(payload.len(), false, patience)?;
        Ok(self.fill(&claim, payload))
    }

    /// Copies the payload where it was claimed, and commits it.
    ///
    /// Results are built where they are returned, not passed on: re-tagging one on the stack right after the
    /// commit waits for the store buffer, and so for the cache line on its way from the reader.
    #[inline(always)]
    fn fill(&mut self, claim: &Claim, payload: &[u8]) -> Written {
        self.engine.copy_in(claim, payload);
        Written::Committed(self.engine.commit(claim))
    }

    /// Passes on a frame that a [`Reader`](crate::Reader) of another buffer received: by reference if both buffers take
    /// part in [payload sharing](BufferConfig::payload_sharing), and otherwise copied, which the result says and why.
    ///
    /// By reference no byte of it is touched, and it costs the same whatever its size. Readers of this buffer read it
    /// where it lies; its place is not reused before the last of them has released it, whoever dies meanwhile. Only if
    /// this writer and all of those readers are gone at once, it is given back, and what was not read by then is
    /// [`ReadError::PayloadLost`](crate::ReadError::PayloadLost). Drop the frame as usual afterwards.
    ///
    /// When the ring is full, does what the full-policy says. While frames are out, the readers of this buffer hold
    /// back the writer of the other one.
    ///
    /// # Errors
    /// As [`write`](Self::write); nothing was passed on then.
    ///
    /// # Examples
    /// ```
    /// use zerobuffer::{BufferConfig, Reader, Writer};
    /// # fn main() -> zerobuffer::Result<()> {
    /// # let (camera, checked) = (format!("doc-fwd-a-{}", std::process::id()), format!("doc-fwd-b-{}", std::process::id()));
    /// # let (camera, checked) = (&camera[..], &checked[..]);
    /// # /*
    /// let (camera, checked) = ("camera", "checked");
    /// # */
    /// let config = BufferConfig::new().payload_sharing(true);
    /// let mut source = Writer::create(camera, &config)?;
    /// let mut input = Reader::create(camera, &config)?;
    /// let mut output = Writer::create(checked, &config.clone().payload_bytes(64 << 10))?; // holds references only
    /// let mut sink = Reader::join(checked)?;
    ///
    /// source.write(&[7; 1_000_000])?;
    /// let frame = input.read()?.unwrap();
    /// if frame[0] == 7 {
    ///     assert_eq!(output.forward(&frame)?.copied, None);
    /// }
    /// drop(frame);
    /// assert_eq!(sink.read()?.unwrap()[..], [7; 1_000_000]);
    /// # Ok(()) }
    /// ```
    pub fn forward(&mut self, frame: &Frame<'_>) -> Result<Forwarded, WriteError> {
        let (seat, found) = frame.place();
        self.forward_from(seat, found, seat.lend_block(found, frame), frame)
    }

    /// Like [`forward`](Self::forward), for a frame that was kept.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_owned(&mut self, frame: &OwnedFrame) -> Result<Forwarded, WriteError> {
        let (seat, found) = frame.place();
        self.forward_from(seat, found, seat.lend_block(found, frame), frame)
    }

    fn forward_from(
        &mut self,
        seat: SeatRef<'_>,
        found: &Found,
        block: &[u8],
        payload: &[u8],
    ) -> Result<Forwarded, WriteError> {
        match self.engine.pass_on(seat, found, self.default_patience()) {
            Ok(Ok(sequence)) => Ok(Forwarded { sequence: Some(sequence), copied: None }),
            Ok(Err(why)) => {
                let sequence = self.write_copied(block, payload)?.sequence();
                Ok(Forwarded { sequence, copied: Some(why) })
            }
            Err(WriteError::Full { .. } | WriteError::ReaderGone { .. }) if self.drops_newest() => {
                self.engine.count_dropped(payload.len());
                Ok(Forwarded { sequence: None, copied: None })
            }
            Err(error) => Err(error),
        }
    }

    /// Lends `len` bytes of the ring to be filled in place and committed: no copy.
    ///
    /// The bytes hold what was there before. When the ring is full, waits as the full-policy says;
    /// under [`FullPolicy::DropNewest`] there is nothing to drop yet, and the call fails and counts a drop.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[inline(always)]
    pub fn loan(&mut self, len: usize) -> Result<FrameMut<'_>, WriteError> {
        match self.engine.try_claim(len) {
            Some(claim) => self.loaned = Claimed { claim, len },
            None => self.claim_by_policy(len)?,
        }
        Ok(FrameMut { writer: self })
    }

    #[inline(never)]
    fn claim_by_policy(&mut self, len: usize) -> Result<(), WriteError> {
        let patience = self.default_patience();
        let claimed = self.claim_within(len, patience);
        if let Err(error) = &claimed
            && self.drops_newest()
            && (error.is_timeout() || error.is_peer_gone())
        {
            self.engine.count_dropped(len);
        }
        claimed
    }

    #[inline(never)]
    fn claim_within(&mut self, len: usize, patience: Patience) -> Result<(), WriteError> {
        let claim = self.engine.claim(len, true, patience)?;
        self.loaned = Claimed { claim, len };
        Ok(())
    }

    /// Like [`loan`](Self::loan), but never waits.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[inline]
    pub fn try_loan(&mut self, len: usize) -> Result<FrameMut<'_>, WriteError> {
        match self.engine.try_claim(len) {
            Some(claim) => self.loaned = Claimed { claim, len },
            None => self.claim_within(len, Patience::None)?,
        }
        Ok(FrameMut { writer: self })
    }

    /// Like [`loan`](Self::loan), but waits at most `timeout`. Without any time this is [`try_loan`](Self::try_loan).
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn loan_timeout(
        &mut self,
        len: usize,
        timeout: Duration,
    ) -> Result<FrameMut<'_>, WriteError> {
        self.claim_within(len, Patience::up_to(timeout))?;
        Ok(FrameMut { writer: self })
    }

    /// Like [`loan_timeout`](Self::loan_timeout), for whoever keeps this writer beside the loan. The loan is given back by
    /// doing nothing.
    #[inline]
    pub(crate) fn claim_timeout(
        &mut self,
        len: usize,
        timeout: Duration,
    ) -> Result<Claimed, WriteError> {
        let claim = match self.engine.try_claim(len) {
            Some(claim) => claim,
            None => self.engine.claim(len, true, Patience::up_to(timeout))?,
        };
        Ok(Claimed { claim, len })
    }

    /// A loan, if there is room for it and nothing else has to be looked at.
    #[inline(always)]
    pub(crate) fn loan_ready(&mut self, len: usize) -> Option<FrameMut<'_>> {
        let claim = self.engine.try_claim(len)?;
        self.loaned = Claimed { claim, len };
        Some(FrameMut { writer: self })
    }

    #[inline]
    pub(crate) fn lend(&self, claimed: &Claimed) -> &[u8] {
        self.engine.lend(&claimed.claim, claimed.len)
    }

    #[inline]
    pub(crate) fn lend_mut(&mut self, claimed: &Claimed) -> &mut [u8] {
        self.engine.lend_mut(&claimed.claim, claimed.len)
    }

    /// Copies `bytes` into a loan behind its first `skip` bytes, a multiple of 8.
    ///
    /// # Panics
    /// If they do not fit.
    pub(crate) fn copy_in(&mut self, claimed: &Claimed, skip: usize, bytes: &[u8]) {
        if !self.engine.is_ours() {
            return;
        }
        claimed.copy_in(&mut self.engine, skip, bytes);
    }

    /// Commits the frame that was claimed last; its number.
    #[inline]
    pub(crate) fn commit(&mut self, claimed: Claimed) -> u64 {
        self.loaned = claimed;
        FrameMut { writer: self }.commit()
    }

    /// Announces to the readers that this writer is about to sleep until there is room for `len` bytes, and looks once
    /// more: for those who wait for many things at once, after a `try_` call that found none. See [`Armed`].
    pub fn arm(&mut self, len: usize) -> Armed {
        self.engine.arm(len)
    }

    /// Begins a batch: several frames that become visible together, with one wake-up.
    ///
    /// ```
    /// # use zerobuffer::{BufferConfig, Reader, Writer};
    /// # fn main() -> zerobuffer::Result<()> {
    /// # let name = format!("doc-batch-{}", std::process::id());
    /// # let mut writer = Writer::create(&name, &BufferConfig::new())?;
    /// let mut batch = writer.batch();
    /// for record in [b"a", b"b", b"c"] {
    ///     batch.push(record)?;
    /// }
    /// assert_eq!(batch.commit(), 3);
    /// # writer.discard_undelivered();
    /// # Ok(()) }
    /// ```
    pub fn batch(&mut self) -> WriteBatch<'_> {
        WriteBatch { writer: self, frames: 0, committed: 0 }
    }

    /// Patience that the full-policy gives to calls that name none.
    pub(super) fn default_patience(&self) -> Patience {
        match self.full {
            FullPolicy::Block { timeout } => timeout.map_or(Patience::For(None), Patience::up_to),
            FullPolicy::Fail | FullPolicy::DropNewest => Patience::None,
        }
    }

    pub(super) fn drops_newest(&self) -> bool {
        self.full == FullPolicy::DropNewest
    }

    /// The registered readers, as of now.
    pub fn readers(&self) -> Vec<ReaderInfo> {
        self.engine.readers()
    }

    /// Whether a reader is attached and alive, as of now. Asks the kernel.
    pub fn has_live_reader(&self) -> bool {
        self.engine.has_live_reader()
    }

    /// Whether the buffer was removed or replaced, or its file cut short, so that nobody will get what is written from now on.
    /// Asks the system.
    ///
    /// Calls find out for themselves and return [`WriteError::Retired`]: at once if it was removed by force
    /// (`zerobuffer rm --force`), within 100 ms while a reader waits or this writer does, and otherwise (somebody's `rm` or `mv`,
    /// small frames, and nobody waits) at the latest after an eighth of the ring. This is for those who write seldom, or want to
    /// be sure before they end. Always false in protocol 1.0, whose buffer goes with its reader.
    ///
    /// # Examples
    /// ```
    /// # use zerobuffer::{BufferConfig, Writer, inspect};
    /// # fn main() -> zerobuffer::Result<()> {
    /// # let name = format!("doc-removed-{}", std::process::id());
    /// let mut writer = Writer::create(&name, &BufferConfig::new())?;
    /// assert!(!writer.is_removed());
    /// inspect::remove(&name, &zerobuffer::default_dir(), true)?;
    /// assert!(writer.is_removed());
    /// # Ok(()) }
    /// ```
    pub fn is_removed(&self) -> bool {
        self.engine.is_removed()
    }

    /// Whether any reader has ever attached to this buffer.
    pub fn has_had_reader(&self) -> bool {
        self.engine.has_had_reader()
    }

    /// What the slowest registered reader has yet to release, as of now.
    pub fn undelivered(&self) -> Undelivered {
        self.engine.undelivered()
    }

    /// Waits until every registered reader has released everything; false if `timeout` passed first, or the
    /// buffer was retired. `None` waits without limit, also for readers that are yet to come.
    pub fn wait_drained(&mut self, timeout: Option<Duration>) -> bool {
        self.engine.wait_drained(timeout)
    }

    /// Number that the next frame will have: 1 in a new buffer, one more than that of the last frame in one that was joined.
    pub fn next_sequence(&self) -> u64 {
        self.engine.next_sequence()
    }

    /// What this writer has done since it attached.
    pub fn stats(&self) -> WriterStats {
        self.engine.stats()
    }

    /// Closes, and gives up what no reader has fetched: if nobody else is attached, the buffer is removed.
    pub fn discard_undelivered(self) {
        self.engine.discard_on_leaving();
    }

    /// Directory-independent handle for tests of the protocol: position of the published head.
    #[doc(hidden)]
    pub fn head_position(&self) -> u64 {
        self.engine.head()
    }
}

/// A loan without its borrow, see [`Writer::claim_timeout`].
#[derive(Debug)]
pub(crate) struct Claimed {
    claim: Claim,
    len: usize,
}

impl Claimed {
    fn nothing() -> Self {
        Self { claim: Claim::foreign(0, 0), len: 0 }
    }

    /// Keeps only the first `len` bytes; longer, or zero, changes nothing.
    pub(crate) fn truncate(&mut self, len: usize) {
        if len > 0 {
            self.len = self.len.min(len);
        }
    }

    #[inline(always)]
    fn copy_in(&self, engine: &mut Writing, skip: usize, bytes: &[u8]) {
        let fits = skip <= self.len && bytes.len() <= self.len - skip;
        assert!(fits, "more bytes than were loaned");
        engine.copy_in_behind(&self.claim, skip, bytes);
    }
}

/// A frame being filled in place. Dropped without [`commit`](Self::commit), nothing happened.
///
/// Filling it with streaming (non-temporal) stores needs an `sfence` before the commit. A device or an
/// `io_uring` that fills it must be done before the commit, and before this process ends.
#[derive(Debug)]
#[must_use = "a loan that is not committed is given back unused"]
pub struct FrameMut<'a> {
    writer: &'a mut Writer,
}

impl FrameMut<'_> {
    /// Commits the frame; its number.
    ///
    /// In a forked child nothing is committed, and the number is 0, which no frame has.
    #[inline(always)]
    pub fn commit(self) -> u64 {
        let Writer { engine, loaned: Claimed { claim, len }, .. } = self.writer;
        engine.commit_loan(claim, *len)
    }

    /// Keeps only the first `len` bytes; longer, or zero, changes nothing.
    pub fn truncate(&mut self, len: usize) {
        self.writer.loaned.truncate(len);
    }

    /// Copies `bytes`, as many as were loaned, into the frame, as [`Writer::write`] does: large ones past the caches where that
    /// is faster (see [`WriterOptions::streaming_stores`]), which the method of slices that it stands before cannot know.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Examples
    /// ```
    /// # use zerobuffer::{BufferConfig, Writer};
    /// # fn main() -> zerobuffer::Result<()> {
    /// # let name = format!("doc-copy-{}", std::process::id());
    /// # let mut writer = Writer::create(&name, &BufferConfig::new())?;
    /// let image = vec![7; 100_000];
    /// let mut frame = writer.loan(image.len())?;
    /// frame.copy_from_slice(&image);
    /// frame.commit();
    /// # writer.discard_undelivered();
    /// # Ok(()) }
    /// ```
    pub fn copy_from_slice(&mut self, bytes: &[u8]) {
        assert_eq!(bytes.len(), self.writer.loaned.len, "copied from one length to another");
        if self.writer.engine.is_ours() {
            self.copy_in(0, bytes);
        }
    }

    /// Copies `bytes` behind the first `skip` bytes, a multiple of 8.
    ///
    /// # Panics
    /// If they do not fit.
    #[inline(always)]
    pub(crate) fn copy_in(&mut self, skip: usize, bytes: &[u8]) {
        let Writer { engine, loaned, .. } = &mut *self.writer;
        loaned.copy_in(engine, skip, bytes);
    }
}

impl Deref for FrameMut<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.writer.lend(&self.writer.loaned)
    }
}

impl DerefMut for FrameMut<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        let Writer { engine, loaned, .. } = &mut *self.writer;
        engine.lend_mut(&loaned.claim, loaned.len)
    }
}

/// Several frames that become visible together. Dropped without [`commit`](Self::commit), those not yet
/// visible never happened.
#[derive(Debug)]
#[must_use = "a batch that is not committed is forgotten"]
pub struct WriteBatch<'a> {
    pub(super) writer: &'a mut Writer,
    pub(super) frames: u64,
    committed: usize,
}

impl WriteBatch<'_> {
    /// Copies a frame into the batch.
    ///
    /// When the ring is full, what the batch holds so far is committed first, so that readers can make room;
    /// then the full-policy applies.
    ///
    /// # Errors
    /// As [`Writer::write`]; the frame is not part of the batch then.
    #[inline(always)]
    pub fn push(&mut self, payload: &[u8]) -> Result<Written, WriteError> {
        match self.writer.engine.stage_ready(payload) {
            Some(sequence) => {
                self.frames += 1;
                Ok(Written::Committed(sequence))
            }
            None => self.push_by_policy(payload),
        }
    }

    #[inline(always)]
    fn stage(&mut self, claim: &Claim, payload: &[u8]) -> Written {
        let engine = &mut self.writer.engine;
        engine.copy_in(claim, payload);
        self.frames += 1;
        Written::Committed(engine.stage(claim))
    }

    #[inline(never)]
    fn push_by_policy(&mut self, payload: &[u8]) -> Result<Written, WriteError> {
        match self.claim_by_policy(payload.len(), payload.len())? {
            Some(claim) => Ok(self.stage(&claim, payload)),
            None => Ok(Written::Dropped),
        }
    }

    /// Claims `len` bytes as the full-policy says; `None`: a frame with so many bytes of `payload` was dropped.
    pub(super) fn claim_by_policy(
        &mut self,
        len: usize,
        payload: usize,
    ) -> Result<Option<Claim>, WriteError> {
        let (patience, drops) = (self.writer.default_patience(), self.writer.drops_newest());
        let engine = &mut self.writer.engine;
        let before = engine.stats().full_waits;
        let claim = engine.claim(len, false, patience);
        if engine.stats().full_waits != before {
            self.committed += self.frames as usize;
            self.frames = 0;
        }
        match claim {
            Ok(claim) => Ok(Some(claim)),
            Err(error) if drops && (error.is_timeout() || error.is_peer_gone()) => {
                engine.count_dropped(payload);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the frames visible and wakes readers once; how many frames the batch had in all.
    ///
    /// In a forked child nothing is committed, and the result is 0.
    pub fn commit(mut self) -> usize {
        let frames = std::mem::take(&mut self.frames);
        if !self.writer.engine.is_ours() {
            return 0;
        }
        self.writer.engine.publish();
        self.committed + frames as usize
    }
}

impl Drop for WriteBatch<'_> {
    fn drop(&mut self) {
        if self.frames > 0 && self.writer.engine.is_ours() {
            self.writer.engine.abort();
        }
    }
}
