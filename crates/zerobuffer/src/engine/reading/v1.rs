//! The reader of a 1.0 buffer, as an engine: frames in the form that both protocols share.

use std::sync::Arc;

use super::ReadingEngine;
use crate::engine::seat::SeatRef;
use crate::v1;
use crate::v1::engine::reader::V1Reader;
use crate::v2::rules::ring::Found;
use crate::values::config::{Protocol, ReaderKind};
use crate::values::error::{MetadataError, ReadError, WriterPresence};
use crate::values::events::Noticed;
use crate::values::stats::ReaderStats;
use crate::wait::Patience;

fn foreign(found: v1::rules::ring::Found) -> Found {
    Found::foreign(found.data_index, found.length, found.ticket, found.sequence)
}

// Sleeps are not announced for others: the semaphore's count cannot be waited for beside other things.
impl ReadingEngine for V1Reader {
    fn protocol(&self) -> Protocol {
        Protocol::V1
    }

    fn kind(&self) -> ReaderKind {
        ReaderKind::Every
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

    fn has_timestamps(&self) -> bool {
        false
    }

    fn seat(&self) -> SeatRef<'_> {
        SeatRef::V1(Self::seat(self))
    }

    fn find(&mut self, patience: Patience) -> Result<Option<Found>, ReadError> {
        Ok(Self::find(self, patience)?.map(foreign))
    }

    fn find_behind(&mut self, _previous: &Found) -> Option<Found> {
        Self::find_behind(self).map(foreign)
    }

    fn take(&mut self, _found: &Found) {
        Self::take(self);
    }

    fn advance(&mut self, _found: &Found) {
        self.take_into_batch();
    }

    fn release_batch(&mut self, newest: &Found) {
        Self::release_batch(self, newest.end.0);
    }

    fn check(&self) -> Result<(), ReadError> {
        Self::check(self)
    }

    /// Metadata is set once.
    fn metadata(&self) -> Result<Option<(u64, Vec<u8>)>, MetadataError> {
        Ok(Self::metadata(self)?.map(|bytes| (1, bytes)))
    }

    fn generations(&mut self) -> Option<(u64, u64)> {
        Self::generations(self)
    }

    fn writer_presence(&self) -> WriterPresence {
        Self::writer_presence(self)
    }

    fn noticed(&mut self) -> &mut Noticed {
        &mut self.noticed
    }

    fn stats(&self) -> ReaderStats {
        Self::stats(self)
    }

    fn backlog_bytes(&self) -> u64 {
        Self::backlog_bytes(self)
    }

    fn is_removed(&self) -> bool {
        false
    }

    /// Its buffer goes with it.
    fn is_durable(&self) -> bool {
        false
    }
}
