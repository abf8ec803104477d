//! The reading end.

use std::time::Duration;

use super::frame::Frame;
use super::lender::Lender;
use crate::engine::Reading;
use crate::v2::rules::ring::Found;
use crate::values::config::{Protocol, ReaderKind};
use crate::values::error::{ReadError, WriterPresence};
use crate::values::events::Events;
use crate::values::stats::ReaderStats;
use crate::wait::Patience;
use crate::wait::armed::{Armed, PeerWatch};

/// The reading end of a buffer.
///
/// Dropping it leaves gracefully. What it has not read stays in the ring for its successor (see
/// [`ReaderOptions::name`](crate::ReaderOptions::name)) unless it is ephemeral or [unsubscribes](Self::unsubscribe).
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
    pub(super) lender: Lender,
}

impl Reader {
    pub(super) fn new(engine: Reading) -> Self {
        Self { lender: Lender { engine, lent: Found::foreign(0, 0, 0, 0) } }
    }

    /// Name of the buffer.
    pub fn name(&self) -> &str {
        self.lender.engine.name()
    }

    /// The protocol that this buffer speaks.
    pub fn protocol(&self) -> Protocol {
        self.lender.engine.protocol()
    }

    /// What this reader gets.
    pub fn kind(&self) -> ReaderKind {
        self.lender.engine.kind()
    }

    /// Largest frame that this buffer can carry at every position of its ring, in bytes.
    pub fn max_frame_bytes(&self) -> usize {
        self.lender.engine.max_frame_bytes()
    }

    /// Size of the ring in bytes.
    pub fn payload_bytes(&self) -> usize {
        self.lender.engine.payload_bytes()
    }

    /// Whether frames of this buffer carry the time of their commit ([`BufferConfig::timestamps`]), by which they have an age.
    ///
    /// [`BufferConfig::timestamps`]: crate::BufferConfig::timestamps
    pub fn has_timestamps(&self) -> bool {
        self.lender.engine.has_timestamps()
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
        Ok(self.receive_within(patience)?.then(|| Frame::new(&mut self.lender)))
    }

    /// Receives the next frame, which [`lent_frame`](Self::lent_frame) has then; false when the writer has closed.
    #[inline(always)]
    pub(crate) fn receive_within(&mut self, patience: Patience) -> Result<bool, ReadError> {
        if self.lender.engine.next_ready() {
            return Ok(true);
        }
        self.lender.engine.receive(patience, &mut self.lender.lent)
    }

    /// The bytes of the frame that was received last, and not released yet.
    #[inline(always)]
    pub(crate) fn lent_bytes(&self) -> &[u8] {
        let (seat, found) = self.lender.lent();
        seat.lend(found, self)
    }

    /// The frame that was received last, and not released yet.
    #[inline(always)]
    pub(crate) fn lent_frame(&mut self) -> Frame<'_> {
        Frame::new(&mut self.lender)
    }

    /// The newest frame, if there is one that was not handed out yet; releases, or passes over, all before it.
    /// Never waits.
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read).
    pub fn latest(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        let is_there = self.lender.engine.receive_newest(&mut self.lender.lent)?;
        Ok(is_there.then(|| Frame::new(&mut self.lender)))
    }

    /// Copies the next frame into `space` and releases it; its length. Waits without limit, and never forms a
    /// reference to shared bytes.
    ///
    /// # Errors
    /// [`ReadError::SpaceTooSmall`] leaves the frame unread; otherwise as [`read`](Self::read).
    pub fn read_into(&mut self, space: &mut [u8]) -> Result<Option<usize>, ReadError> {
        let Some(found) = self.lender.engine.find(Patience::For(None))? else {
            return Ok(None);
        };
        let bytes = found.len as usize;
        if bytes > space.len() {
            return Err(ReadError::SpaceTooSmall {
                name: self.lender.engine.name().clone(),
                bytes,
                space: space.len(),
            });
        }
        self.lender.engine.take(&found);
        self.lender.lent = found;
        let copied = Frame::new(&mut self.lender).copy_to(space);
        // The bytes may be zeros of a buffer that was cut short while they were copied.
        self.lender.engine.check()?;
        Ok(Some(copied))
    }

    /// Announces to the writer that this reader is about to sleep, and looks once more: for those who wait for many
    /// things at once, after a `try_` call that found nothing. See [`Armed`].
    pub fn arm(&mut self) -> Armed {
        self.lender.engine.arm()
    }

    /// Looks after the writer in this reader's place while this reader is [armed](Self::arm). `None` where it has to be tried
    /// again and again anyway (protocol 1.0, members of a work group).
    ///
    /// # Errors
    /// No more descriptors.
    pub fn peer_watch(&self) -> std::io::Result<Option<PeerWatch>> {
        self.lender.engine.peer_watch()
    }

    /// Whether a `try_` call would find nothing and have nothing to tell, as far as memory shows: a look without any system
    /// call, for those who have many readers. False where that cannot be seen so cheaply (protocol 1.0, members of a work
    /// group). A writer's death does not show in memory: `try_` calls notice it, when a tenth of a second has passed.
    pub fn is_quiet(&mut self) -> bool {
        self.lender.engine.is_quiet()
    }

    /// What happened to the other side since the last call. Never waits.
    pub fn events(&mut self) -> Events {
        let generations = self.lender.engine.generations();
        self.lender.engine.noticed().tell(generations)
    }

    /// Whether a writer is there, as of now. Asks the kernel.
    pub fn writer_presence(&self) -> WriterPresence {
        self.lender.engine.writer_presence()
    }

    /// What this reader has done since it attached.
    pub fn stats(&self) -> ReaderStats {
        self.lender.engine.stats()
    }

    /// Ring bytes committed and not handed to this reader yet, as of now.
    pub fn backlog_bytes(&self) -> u64 {
        self.lender.engine.backlog_bytes()
    }

    /// Whether the buffer was removed or replaced, or its file cut short, so that no writer will find it any more. Asks the
    /// system.
    ///
    /// A reader that waits finds out within 100 ms: it gets what was committed, then [`ReadError::Retired`]. Always false in
    /// protocol 1.0, whose reader works on when the name vanishes.
    pub fn is_removed(&self) -> bool {
        self.lender.engine.is_removed()
    }

    /// Whether frames wait for this reader when it leaves or dies.
    pub fn is_durable(&self) -> bool {
        self.lender.engine.is_durable()
    }

    /// Leaves for good: nothing is kept for a reader of this name.
    pub fn unsubscribe(self) {
        self.lender.engine.leave_for_good();
    }
}
