//! The writing end.

use std::time::Duration;

use super::claimed::Claimed;
use crate::engine::Writing;
use crate::v2::rules::ring::Claim;
use crate::values::config::{FullPolicy, Protocol};
use crate::values::error::{MetadataError, WriteError};
use crate::values::stats::{ReaderInfo, Undelivered, WriterStats};
use crate::wait::Patience;
use crate::wait::armed::Armed;

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
    pub(super) full: FullPolicy,
    /// The frame that is loaned, or was last: here and not in the [`FrameMut`], so that a loan is one word; see [`Frame`].
    pub(super) loaned: Claimed,
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

    /// Announces to the readers that this writer is about to sleep until there is room for `len` bytes, and looks once
    /// more: for those who wait for many things at once, after a `try_` call that found none. See [`Armed`].
    pub fn arm(&mut self, len: usize) -> Armed {
        self.engine.arm(len)
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
