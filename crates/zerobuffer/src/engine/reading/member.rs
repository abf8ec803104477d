//! A member of a work group, as an engine.

use std::sync::Arc;

use super::{ReadingEngine, of_segment};
use crate::engine::seat::SeatRef;
use crate::v2::engine::arrival;
use crate::v2::engine::member::V2Member;
use crate::v2::rules::ring::Found;
use crate::values::config::ReaderKind;
use crate::values::error::{MetadataError, ReadError, WriterPresence};
use crate::values::events::Noticed;
use crate::values::stats::ReaderStats;
use crate::wait::Patience;

impl ReadingEngine for V2Member {
    of_segment!();

    fn kind(&self) -> ReaderKind {
        ReaderKind::Member
    }

    fn seat(&self) -> SeatRef<'_> {
        SeatRef::Member(Self::seat(self))
    }

    fn find(&mut self, patience: Patience) -> Result<Option<Found>, ReadError> {
        Self::find(self, patience)
    }

    fn find_behind(&mut self, _previous: &Found) -> Option<Found> {
        Self::find_behind(self)
    }

    fn take(&mut self, found: &Found) {
        Self::take(self, found);
    }

    fn advance(&mut self, found: &Found) {
        self.take_into_batch(found);
    }

    fn release_batch(&mut self, _newest: &Found) {
        Self::release_batch(self);
    }

    fn stats(&self) -> ReaderStats {
        Self::stats(self)
    }

    fn backlog_bytes(&self) -> u64 {
        Self::backlog_bytes(self)
    }

    /// Frames are kept for its group.
    fn is_durable(&self) -> bool {
        true
    }

    fn leave_for_good(&self) {
        Self::leave_for_good(self);
    }
}
