//! The everyday engine beside its hot path: as any other does it.

use std::io;
use std::sync::Arc;

use super::{ReadingEngine, of_segment};
use crate::engine::seat::SeatRef;
use crate::v2::engine::arrival;
use crate::v2::engine::reader::V2Reader;
use crate::v2::rules::ring::Found;
use crate::values::config::ReaderKind;
use crate::values::error::{MetadataError, ReadError, WriterPresence};
use crate::values::events::Noticed;
use crate::values::stats::ReaderStats;
use crate::wait::Patience;
use crate::wait::armed::{Armed, PeerWatch};

impl ReadingEngine for V2Reader {
    of_segment!();

    fn kind(&self) -> ReaderKind {
        ReaderKind::Every
    }

    fn seat(&self) -> SeatRef<'_> {
        SeatRef::V2(Self::seat(self))
    }

    fn find(&mut self, patience: Patience) -> Result<Option<Found>, ReadError> {
        Self::find(self, patience)
    }

    fn find_behind(&mut self, previous: &Found) -> Option<Found> {
        Self::find_behind(self, previous)
    }

    fn take(&mut self, found: &Found) {
        Self::take(self, found);
    }

    fn advance(&mut self, found: &Found) {
        Self::advance(self, found);
    }

    fn release_batch(&mut self, _newest: &Found) {
        if self.segment().is_sound() {
            self.publish_received();
            Self::seat(self).release_lent(self.newest().end);
            Self::seat(self).settle();
        }
    }

    fn arm(&mut self) -> Armed {
        Self::arm(self)
    }

    fn peer_watch(&self) -> io::Result<Option<PeerWatch>> {
        PeerWatch::of(self.segment()).map(Some)
    }

    fn is_quiet(&mut self) -> bool {
        Self::is_quiet(self)
    }

    fn stats(&self) -> ReaderStats {
        Self::stats(self)
    }

    fn backlog_bytes(&self) -> u64 {
        Self::backlog_bytes(self)
    }

    fn is_durable(&self) -> bool {
        Self::is_durable(self)
    }

    fn leave_for_good(&self) {
        Self::leave_for_good(self);
    }
}
