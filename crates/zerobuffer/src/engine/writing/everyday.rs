//! The everyday engine beside its hot path: as any other does it.

use std::sync::Arc;
use std::time::Duration;

use super::WritingEngine;
use crate::v2::engine::writer::V2Writer;
use crate::v2::protocol::position::Position;
use crate::v2::rules::ring::Claim;
use crate::values::config::Protocol;
use crate::values::error::{MetadataError, WriteError};
use crate::values::stats::{ReaderInfo, Undelivered, WriterStats};
use crate::wait::Patience;
use crate::wait::armed::Armed;

impl WritingEngine for V2Writer {
    fn protocol(&self) -> Protocol {
        Protocol::V2
    }

    fn name(&self) -> &Arc<str> {
        self.segment().name()
    }

    fn max_frame_bytes(&self) -> usize {
        self.layout().frames.max_frame() as usize
    }

    fn payload_bytes(&self) -> usize {
        self.layout().frames.capacity as usize
    }

    fn is_ours(&self) -> bool {
        self.segment().is_ours()
    }

    fn claim(
        &mut self,
        len: usize,
        _may_shrink: bool,
        patience: Patience,
    ) -> Result<Claim, WriteError> {
        Self::claim(self, len, patience)
    }

    fn copy_in(&mut self, start: Position, part: &[u8]) {
        self.copy_part_in(start, part);
    }

    fn lend(&self, start: Position, len: usize) -> &[u8] {
        self.segment().lend(start, len, self)
    }

    fn lend_mut(&mut self, start: Position, len: usize) -> &mut [u8] {
        Self::lend_mut(self, start, len)
    }

    fn shortened(&mut self, claim: &Claim, len: usize) -> Claim {
        let short = claim.shortened(&self.layout().frames, len as u64);
        if short.start() != claim.start() {
            self.segment().move_payload(claim.start(), short.start(), len);
        }
        short
    }

    fn stage(&mut self, claim: &Claim) -> u64 {
        Self::stage(self, claim)
    }

    fn publish(&mut self) {
        Self::publish(self);
    }

    fn abort(&mut self) {
        Self::abort(self);
    }

    fn count_dropped(&mut self, bytes: usize) {
        Self::count_dropped(self, bytes);
    }

    fn attributes_threshold(&self) -> Option<usize> {
        let frames = &self.layout().frames;
        frames.attributes.then_some(frames.align_threshold as usize)
    }

    fn set_metadata(&mut self, bytes: &[u8]) -> Result<(), MetadataError> {
        Self::set_metadata(self, bytes)
    }

    fn replace_metadata(&mut self, bytes: &[u8]) -> Result<(), MetadataError> {
        Self::replace_metadata(self, bytes)
    }

    fn arm(&mut self, len: usize) -> Armed {
        Self::arm(self, len)
    }

    fn readers(&self) -> Vec<ReaderInfo> {
        Self::readers(self)
    }

    fn has_live_reader(&self) -> bool {
        Self::has_live_reader(self)
    }

    fn has_had_reader(&self) -> bool {
        Self::has_had_reader(self)
    }

    fn is_removed(&self) -> bool {
        self.segment().is_removed()
    }

    fn undelivered(&self) -> Undelivered {
        Self::undelivered(self)
    }

    fn wait_drained(&mut self, timeout: Option<Duration>) -> bool {
        Self::wait_drained(self, timeout)
    }

    fn discard_on_leaving(&self) {
        self.segment().discard_on_leaving();
    }

    fn next_sequence(&self) -> u64 {
        Self::next_sequence(self)
    }

    fn stats(&self) -> WriterStats {
        Self::stats(self)
    }

    fn head(&self) -> u64 {
        Self::head(self).0
    }
}
