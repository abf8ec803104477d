//! The engine behind a Reader.

mod everyday;
mod member;
mod onlooker;
mod v1;

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::seat::SeatRef;
use crate::v2::engine::arrival;
use crate::v2::engine::metadata;
use crate::v2::engine::reader::V2Reader;
use crate::v2::ground::segment::Segment;
use crate::v2::rules::ring::Found;
use crate::values::config::{Protocol, ReaderKind};
use crate::values::error::{MetadataError, ReadError, WriterPresence};
use crate::values::events::Noticed;
use crate::values::stats::ReaderStats;
use crate::wait::Patience;
use crate::wait::armed::{Armed, PeerWatch};

/// What every engine behind a Reader does. [`Reading`] leads here, and inlines what each frame costs.
pub(crate) trait ReadingEngine: fmt::Debug + Send + Sync {
    fn protocol(&self) -> Protocol {
        Protocol::V2
    }

    fn kind(&self) -> ReaderKind;
    fn name(&self) -> &Arc<str>;
    /// Largest frame that can be written wherever the ring stands.
    fn max_frame_bytes(&self) -> usize;
    /// Size of the ring.
    fn payload_bytes(&self) -> usize;
    fn has_timestamps(&self) -> bool;

    /// What received frames are released to.
    fn seat(&self) -> SeatRef<'_>;
    /// Finds the next frame without receiving it.
    fn find(&mut self, patience: Patience) -> Result<Option<Found>, ReadError>;
    /// The frame behind one that was found and advanced over, if it is there already.
    fn find_behind(&mut self, previous: &Found) -> Option<Found>;
    /// Receives a found frame.
    fn take(&mut self, found: &Found);
    /// Goes behind a found frame, as a part of a batch.
    fn advance(&mut self, found: &Found);
    /// Tells that all frames of a batch were received, and releases them; `newest` is the last one.
    fn release_batch(&mut self, newest: &Found);

    /// Goes on at the newest frame, where that is another step than to receive those before it.
    fn go_to_newest(&mut self) {}

    /// Announces a sleep, and looks once more.
    fn arm(&mut self) -> Armed {
        Armed::unattended()
    }

    /// Looks after the writer from outside; `None` where nobody is announced who would need it.
    fn peer_watch(&self) -> io::Result<Option<PeerWatch>> {
        Ok(None)
    }

    /// Whether the next try finds nothing, as far as memory shows; false where only a try can tell.
    fn is_quiet(&mut self) -> bool {
        false
    }

    /// Fails if the buffer's memory is not to be used any more.
    fn check(&self) -> Result<(), ReadError>;
    /// The metadata of now, copied, with its generation.
    fn metadata(&self) -> Result<Option<(u64, Vec<u8>)>, MetadataError>;
    /// Newest generations of the Writer and of the metadata; `None` in a forked child.
    fn generations(&mut self) -> Option<(u64, u64)>;
    fn writer_presence(&self) -> WriterPresence;
    fn noticed(&mut self) -> &mut Noticed;
    fn stats(&self) -> ReaderStats;
    fn backlog_bytes(&self) -> u64;
    fn is_removed(&self) -> bool;
    /// Whether frames are kept for it when it leaves.
    fn is_durable(&self) -> bool;
    /// Leaves nothing behind when this end leaves.
    fn leave_for_good(&self) {}
}

/// The engine behind a Reader.
// In place, for a pointer to the everyday engine would be one more load in every call.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(crate) enum Reading {
    Everyday(V2Reader),
    Other(Box<dyn ReadingEngine>),
}

impl Deref for Reading {
    type Target = dyn ReadingEngine;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Everyday(engine) => engine,
            Self::Other(engine) => &**engine,
        }
    }
}

impl DerefMut for Reading {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Self::Everyday(engine) => engine,
            Self::Other(engine) => &mut **engine,
        }
    }
}

/// What each frame costs.
impl Reading {
    /// The frame that was received last, and what it is released to. `other` is that frame for those who do not remember
    /// it themselves.
    #[inline(always)]
    pub(crate) fn lent<'a>(&'a self, other: &'a Found) -> (SeatRef<'a>, &'a Found) {
        match self {
            Self::Everyday(engine) if !engine.newest().is_reference() => {
                (SeatRef::V2(engine.seat()), engine.newest())
            }
            _ => self.lent_otherwise(other),
        }
    }

    #[cold]
    fn lent_otherwise<'a>(&'a self, other: &'a Found) -> (SeatRef<'a>, &'a Found) {
        match self {
            Self::Everyday(engine) => {
                let shared = engine.shared().map(SeatRef::Referred);
                (shared.unwrap_or(SeatRef::V2(engine.seat())), engine.newest())
            }
            Self::Other(engine) => (engine.seat(), other),
        }
    }

    /// Receives the next frame, if it is plain to see that there is one; false if not.
    #[inline(always)]
    pub(crate) fn next_ready(&mut self) -> bool {
        match self {
            Self::Everyday(engine) => engine.next_ready(),
            Self::Other(_) => false,
        }
    }

    /// Receives the next frame, which is then [`lent`](Self::lent), from `other` for those who do not remember it themselves;
    /// false when the writer has closed.
    #[cold]
    #[inline(never)]
    pub(crate) fn receive(
        &mut self,
        patience: Patience,
        other: &mut Found,
    ) -> Result<bool, ReadError> {
        if let Self::Everyday(engine) = self {
            return engine.receive(patience);
        }
        let Some(found) = self.find(patience)? else { return Ok(false) };
        self.take(&found);
        *other = found;
        Ok(true)
    }

    /// Finds the next frame without receiving it.
    pub(crate) fn find(&mut self, patience: Patience) -> Result<Option<Found>, ReadError> {
        // Some remember what they found before a fork.
        self.check()?;
        (**self).find(patience)
    }

    /// Looks after the writer from outside; `None` where nobody is announced who would need it.
    pub(crate) fn peer_watch(&self) -> io::Result<Option<PeerWatch>> {
        self.check().map_err(io::Error::other)?;
        (**self).peer_watch()
    }

    /// Receives the newest frame that is there, without waiting; passes over those before it.
    pub(crate) fn receive_newest(&mut self, other: &mut Found) -> Result<bool, ReadError> {
        self.go_to_newest();
        if !self.receive(Patience::None, other)? {
            return Ok(false);
        }
        if self.kind() == ReaderKind::Member {
            // What it passes over would be processed by nobody.
            return Ok(true);
        }
        let mut newest = *self.lent(other).1;
        // Behind a whole ring of frames is what came after this call, however fast the writer is.
        let mut left = self.payload_bytes() as u64;
        while left > 0
            && let Some(later) = self.find_behind(&newest)
        {
            left = left.saturating_sub(later.len.max(1));
            // Of frames in other buffers: those are given back with the newest one.
            self.seat().release_lent(&newest);
            self.take(&later);
            newest = later;
        }
        *other = newest;
        Ok(true)
    }

    /// Whether the next frame is there and as long as the last one.
    #[inline(always)]
    pub(crate) fn is_next_plain(&self) -> bool {
        match self {
            Self::Everyday(engine) => engine.is_next_plain(),
            Self::Other(_) => false,
        }
    }

    /// Goes behind the next frame, as part of a batch, if it is plain to see that there is one; false if not.
    #[inline(always)]
    pub(crate) fn advance_ready(&mut self) -> bool {
        match self {
            Self::Everyday(engine) => engine.advance_ready(),
            Self::Other(_) => false,
        }
    }
}

/// Generations of Writer and metadata; `None` in a forked child, where there is no memory to look at.
fn generations(segment: &Segment) -> Option<(u64, u64)> {
    segment.is_sound().then(|| arrival::generations(segment))
}

/// The metadata of now, for those who cannot ask the Writer to leave it as it is.
fn copied_metadata(segment: &Segment) -> Result<Option<(u64, Vec<u8>)>, MetadataError> {
    if !segment.is_sound() {
        return Err(segment.lost().to_metadata_error(segment.name()));
    }
    metadata::copy(segment)
        .map_err(|problem| MetadataError::Damaged { name: segment.name().clone(), problem })
}

/// What all engines of protocol 2.0 answer alike.
macro_rules! of_segment {
    () => {
        fn name(&self) -> &Arc<str> {
            self.segment().name()
        }

        fn max_frame_bytes(&self) -> usize {
            self.segment().layout().frames.max_frame() as usize
        }

        fn payload_bytes(&self) -> usize {
            self.segment().layout().frames.capacity as usize
        }

        fn has_timestamps(&self) -> bool {
            self.segment().layout().timestamps()
        }

        fn check(&self) -> Result<(), ReadError> {
            arrival::check(self.segment())
        }

        fn metadata(&self) -> Result<Option<(u64, Vec<u8>)>, MetadataError> {
            super::copied_metadata(self.segment())
        }

        fn generations(&mut self) -> Option<(u64, u64)> {
            super::generations(self.segment())
        }

        fn writer_presence(&self) -> WriterPresence {
            arrival::writer_presence(self.segment())
        }

        fn noticed(&mut self) -> &mut Noticed {
            &mut self.watch.noticed
        }

        fn is_removed(&self) -> bool {
            self.segment().is_removed()
        }
    };
}
use of_segment;
