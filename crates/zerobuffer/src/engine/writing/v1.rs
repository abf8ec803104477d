//! The Writer of a 1.0 buffer, as an engine: claims in the form that both protocols share.

use std::sync::Arc;
use std::time::Duration;

use super::WritingEngine;
use crate::v1::engine::writer::V1Writer;
use crate::v1::rules::ring::Fit;
use crate::v2::protocol::position::Position;
use crate::v2::rules::ring::Claim;
use crate::values::config::Protocol;
use crate::values::error::{MetadataError, WriteError};
use crate::values::stats::{ReaderInfo, Undelivered, WriterStats};
use crate::wait::Patience;

impl WritingEngine for V1Writer {
    fn protocol(&self) -> Protocol {
        Protocol::V1
    }

    fn name(&self) -> &Arc<str> {
        Self::name(self)
    }

    fn max_frame_bytes(&self) -> usize {
        Self::max_frame_bytes(self)
    }

    fn payload_bytes(&self) -> usize {
        Self::payload_bytes(self)
    }

    fn is_ours(&self) -> bool {
        self.segment().mapping.is_ours()
    }

    fn claim(
        &mut self,
        len: usize,
        may_shrink: bool,
        patience: Patience,
    ) -> Result<Claim, WriteError> {
        let fit = if may_shrink { Fit::MayShrink } else { Fit::Exact };
        let claim = Self::claim(self, len, fit, patience)?;
        Ok(Claim::foreign(claim.data_index, claim.length))
    }

    fn copy_in(&mut self, start: Position, part: &[u8]) {
        Self::copy_in(self, start.0, part);
    }

    fn lend(&self, start: Position, len: usize) -> &[u8] {
        self.segment().mapping.lend(start.0, len, self)
    }

    fn lend_mut(&mut self, start: Position, len: usize) -> &mut [u8] {
        Self::lend_mut(self, start.0, len)
    }

    fn shortened(&mut self, claim: &Claim, len: usize) -> Claim {
        Claim::foreign(claim.start().0, len as u64)
    }

    fn stage(&mut self, claim: &Claim) -> u64 {
        // The claim is open, for the loan that held it borrows the writer.
        Self::stage(self, claim.len() as usize).unwrap_or_default()
    }

    fn publish(&mut self) {
        Self::publish(self);
    }

    fn abort(&mut self) {
        self.discard_staged();
    }

    fn count_dropped(&mut self, bytes: usize) {
        Self::count_dropped(self, bytes);
    }

    fn set_metadata(&mut self, bytes: &[u8]) -> Result<(), MetadataError> {
        Self::set_metadata(self, bytes)
    }

    fn replace_metadata(&mut self, bytes: &[u8]) -> Result<(), MetadataError> {
        Self::replace_metadata(self, bytes)
    }

    fn readers(&self) -> Vec<ReaderInfo> {
        self.reader().into_iter().collect()
    }

    fn has_live_reader(&self) -> bool {
        self.is_reader_alive()
    }

    /// Its reader made it.
    fn has_had_reader(&self) -> bool {
        true
    }

    /// It goes with its reader, of whose end the writer is told.
    fn is_removed(&self) -> bool {
        false
    }

    fn undelivered(&self) -> Undelivered {
        Self::undelivered(self)
    }

    fn wait_drained(&mut self, timeout: Option<Duration>) -> bool {
        Self::wait_drained(self, timeout)
    }

    /// The buffer goes with its reader, not with its writer.
    fn discard_on_leaving(&self) {}

    fn next_sequence(&self) -> u64 {
        Self::next_sequence(self)
    }

    fn stats(&self) -> WriterStats {
        Self::stats(self)
    }

    fn head(&self) -> u64 {
        Self::head(self)
    }
}
