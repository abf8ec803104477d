//! Passing frames on to another buffer.

use super::frame::{Frame, OwnedFrame};
use super::writer::Writer;
use crate::engine::SeatRef;
use crate::v2::rules::ring::Found;
use crate::values::error::WriteError;
use crate::values::stats::Forwarded;

impl Writer {
    /// Passes on a frame that a [`Reader`](crate::Reader) of another buffer received: by reference if both buffers take
    /// part in [payload sharing](crate::BufferConfig::payload_sharing), and otherwise copied, which the result says and why.
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
}
