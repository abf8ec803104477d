//! Frames with attributes: written, staged, and filled in place.

use std::ops::{Deref, DerefMut};

use super::write_batch::WriteBatch;
use super::writer::{Writer, Written};
use crate::v2::rules::ring::Claim;
use crate::values::attributes::{self, Attributes, AttributesError, AttributesRef};
use crate::values::error::WriteError;

impl Writer {
    /// Copies a frame with attributes into the ring and commits it. When the ring is full, does what the full-policy says.
    /// The payload may be empty.
    ///
    /// ```
    /// use std::time::Duration;
    /// use zerobuffer::attributes::{Attributes, FrameFlags};
    /// use zerobuffer::{BufferConfig, Reader, Writer};
    /// # fn main() -> zerobuffer::Result<()> {
    /// # let name = format!("doc-attributes-{}", std::process::id());
    /// let mut writer = Writer::create(&name, &BufferConfig::new())?;
    /// let mut reader = Reader::join(&name)?;
    /// let mut attributes = Attributes::new();
    /// attributes.set_presentation_time(Duration::from_millis(40)).set_flags(FrameFlags::KEY_FRAME);
    /// writer.write_with(&attributes, b"picture")?;
    ///
    /// let frame = reader.read()?.unwrap();
    /// assert_eq!(&frame[..], b"picture");
    /// assert!(frame.attributes().unwrap().flags().contains(FrameFlags::KEY_FRAME));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`write`](Self::write); [`WriteError::NoAttributes`] where frames have none.
    pub fn write_with(
        &mut self,
        attributes: &Attributes,
        payload: &[u8],
    ) -> Result<Written, WriteError> {
        self.write_with_ref(attributes.view(), payload)
    }

    fn write_with_ref(
        &mut self,
        attributes: AttributesRef<'_>,
        payload: &[u8],
    ) -> Result<Written, WriteError> {
        let block = self.block_for(attributes, payload.len())?;
        match self.claim_with(block, payload.len()) {
            Ok(claim) => {
                self.fill_with(&claim, block, attributes, payload);
                Ok(Written::Committed(self.engine.commit_with_attributes(&claim, block)))
            }
            Err(error) if self.drops_newest() && (error.is_timeout() || error.is_peer_gone()) => {
                Ok(Written::Dropped)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a frame that another buffer's reader lent, with its attributes if they can be read, and carried here.
    pub(super) fn write_copied(
        &mut self,
        block: &[u8],
        payload: &[u8],
    ) -> Result<Written, WriteError> {
        match AttributesRef::from_block(block) {
            Ok(attributes) if !block.is_empty() && self.engine.attributes_threshold().is_some() => {
                self.write_with_ref(attributes, payload)
            }
            _ => self.write(payload),
        }
    }

    /// Lends `len` bytes of the ring to be filled in place and committed with attributes: no copy. When the ring is full,
    /// waits as the full-policy says. `len` may be 0.
    ///
    /// The block takes the room that these attributes need. They can be set again before the commit: what is known only
    /// then, such as a time, gets its room by a value that stands for it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use zerobuffer::attributes::Attributes;
    /// use zerobuffer::{BufferConfig, Reader, Writer};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let name = format!("doc-loan-with-{}", std::process::id());
    /// let mut writer = Writer::create(&name, &BufferConfig::new())?;
    /// let mut reader = Reader::join(&name)?;
    /// let mut attributes = Attributes::new();
    /// attributes.set_presentation_time(Duration::ZERO);
    ///
    /// let mut frame = writer.loan_with(&attributes, 1_000_000)?;
    /// frame.fill(7);
    /// frame.set_attributes(attributes.set_presentation_time(Duration::from_millis(40)))?;
    /// frame.commit();
    ///
    /// let frame = reader.read()?.unwrap();
    /// assert_eq!(frame.attributes()?.presentation_time().unwrap().nanos, 40_000_000);
    /// assert_eq!(frame.len(), 1_000_000);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`write_with`](Self::write_with).
    pub fn loan_with(
        &mut self,
        attributes: &Attributes,
        len: usize,
    ) -> Result<FrameMutWith<'_>, WriteError> {
        let attributes = attributes.view();
        let block = self.block_for(attributes, len)?;
        let claim = self.claim_with(block, len)?;
        attributes::fill(self.engine.lend_mut(&claim, block), attributes);
        Ok(FrameMutWith { writer: self, claim, block, len })
    }

    /// Claims room for a block and `payload` bytes as the full-policy says; counts a drop where it says so.
    fn claim_with(&mut self, block: usize, payload: usize) -> Result<Claim, WriteError> {
        if let Some(claim) = self.engine.try_claim(block + payload) {
            return Ok(claim);
        }
        let patience = self.default_patience();
        let claimed = self.engine.claim(block + payload, false, patience);
        if let Err(error) = &claimed
            && self.drops_newest()
            && (error.is_timeout() || error.is_peer_gone())
        {
            self.engine.count_dropped(payload);
        }
        claimed
    }

    fn fill_with(
        &mut self,
        claim: &Claim,
        block: usize,
        attributes: AttributesRef<'_>,
        payload: &[u8],
    ) {
        attributes::fill(self.engine.lend_mut(claim, block), attributes);
        self.engine.copy_in_behind(claim, block, payload);
    }

    /// Bytes of the block for these attributes in front of `payload` bytes.
    fn block_for(
        &self,
        attributes: AttributesRef<'_>,
        payload: usize,
    ) -> Result<usize, WriteError> {
        let threshold = self.engine.attributes_threshold();
        let none = || WriteError::NoAttributes { name: self.engine.name().clone() };
        Ok(attributes::padded_block_bytes(attributes, payload, threshold.ok_or_else(none)?))
    }
}

impl WriteBatch<'_> {
    /// Copies a frame with attributes into the batch; otherwise as [`push`](Self::push). The payload may be empty.
    ///
    /// # Errors
    /// As [`Writer::write_with`]; the frame is not part of the batch then.
    pub fn push_with(
        &mut self,
        attributes: &Attributes,
        payload: &[u8],
    ) -> Result<Written, WriteError> {
        let attributes = attributes.view();
        let block = self.writer.block_for(attributes, payload.len())?;
        let len = block + payload.len();
        let claim = match self.writer.engine.try_claim(len) {
            Some(claim) => claim,
            None => match self.claim_by_policy(len, payload.len())? {
                Some(claim) => claim,
                None => return Ok(Written::Dropped),
            },
        };
        self.writer.fill_with(&claim, block, attributes, payload);
        self.frames += 1;
        Ok(Written::Committed(self.writer.engine.stage_with_attributes(&claim, block)))
    }
}

/// A frame with attributes that is being filled in place, as a [`FrameMut`](crate::FrameMut) is. Dropped without
/// [`commit`](Self::commit), nothing happened.
#[derive(Debug)]
#[must_use = "a loan that is not committed is given back unused"]
pub struct FrameMutWith<'a> {
    writer: &'a mut Writer,
    claim: Claim,
    block: usize,
    len: usize,
}

impl FrameMutWith<'_> {
    /// Commits the frame; its number.
    ///
    /// In a forked child nothing is committed, and the number is 0, which no frame has.
    pub fn commit(self) -> u64 {
        let engine = &mut self.writer.engine;
        if !engine.is_ours() {
            return 0;
        }
        let claim = engine.shortened(&self.claim, self.block + self.len);
        engine.commit_with_attributes(&claim, self.block)
    }

    /// Keeps only the first `len` bytes of the payload; longer changes nothing.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Sets the attributes, in place of those that the loan began with.
    ///
    /// # Errors
    /// [`AttributesError::NoRoom`] if they need more bytes than those; nothing is changed then.
    pub fn set_attributes(&mut self, attributes: &Attributes) -> Result<(), AttributesError> {
        let needed = attributes::block_bytes(attributes.view(), false);
        if needed > self.block {
            return Err(AttributesError::NoRoom { needed, room: self.block });
        }
        attributes::fill(self.writer.engine.lend_mut(&self.claim, self.block), attributes.view());
        Ok(())
    }

    /// Copies `bytes`, as many as were loaned, into the payload.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn copy_from_slice(&mut self, bytes: &[u8]) {
        assert_eq!(bytes.len(), self.len, "copied from one length to another");
        if self.writer.engine.is_ours() {
            self.writer.engine.copy_in_behind(&self.claim, self.block, bytes);
        }
    }
}

impl Deref for FrameMutWith<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.writer.engine.lend(&self.claim, self.block + self.len)[self.block..]
    }
}

impl DerefMut for FrameMutWith<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        let (block, len) = (self.block, self.len);
        &mut self.writer.engine.lend_mut(&self.claim, block + len)[block..]
    }
}
