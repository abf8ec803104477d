//! Lossy readers and observers, as an engine: they copy, and hold nobody back.

use std::io;
use std::sync::Arc;

use super::{ReadingEngine, of_segment};
use crate::engine::seat::SeatRef;
use crate::v2::engine::arrival;
use crate::v2::engine::onlooker::V2Onlooker;
use crate::v2::rules::ring::Found;
use crate::values::config::ReaderKind;
use crate::values::error::{MetadataError, ReadError, WriterPresence};
use crate::values::events::Noticed;
use crate::values::stats::ReaderStats;
use crate::wait::Patience;
use crate::wait::armed::{Armed, PeerWatch};

impl ReadingEngine for V2Onlooker {
    of_segment!();

    fn kind(&self) -> ReaderKind {
        Self::kind(self)
    }

    fn seat(&self) -> SeatRef<'_> {
        SeatRef::Copied(self.copied())
    }

    fn find(&mut self, patience: Patience) -> Result<Option<Found>, ReadError> {
        Self::find(self, patience)
    }

    /// There is one copy, and a frame of the batch is in it.
    fn find_behind(&mut self, _previous: &Found) -> Option<Found> {
        None
    }

    fn take(&mut self, found: &Found) {
        Self::take(self, found);
    }

    fn advance(&mut self, found: &Found) {
        Self::take(self, found);
    }

    fn release_batch(&mut self, _newest: &Found) {}

    fn go_to_newest(&mut self) {
        Self::go_to_newest(self);
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

    /// Nothing is kept for it.
    fn is_durable(&self) -> bool {
        false
    }
}
