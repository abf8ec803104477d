//! What frames are released to. The everyday reader's seat comes first, inlined; what leads to others is never inlined.

use std::sync::Arc;
use std::time::Duration;

use crate::sync::Shared;
use crate::sys::clock;
use crate::v1::engine::reader::V1Seat;
use crate::v2::engine::member::MemberSeat;
use crate::v2::engine::reader::{ReaderSeat, Referred};
use crate::v2::engine::writer::Elsewhere;
use crate::v2::rules::observe::Copied;
use crate::v2::rules::ring::Found;
use crate::values::error::WriteError;
use crate::values::stats::WhyCopied;

/// What a lent frame is released to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SeatRef<'a> {
    V2(&'a Shared<ReaderSeat>),
    V1(&'a Shared<V1Seat>),
    /// Nothing: the bytes are the reader's own.
    Copied(&'a Copied),
    Member(&'a Shared<MemberSeat>),
    /// The frame lies in another buffer.
    Referred(&'a Arc<Referred>),
}

/// What a kept frame is released to.
#[derive(Debug, Clone)]
pub(crate) enum OwnedSeat {
    V2(Shared<ReaderSeat>),
    V1(Shared<V1Seat>),
    Copied(Arc<Copied>),
    Member(Shared<MemberSeat>),
    Referred(Arc<Referred>),
}

impl<'a> SeatRef<'a> {
    /// Lends a frame of a batch. While this seat is borrowed from the batch's reader, the batch releases nothing.
    #[inline(always)]
    pub(crate) fn lend_in_batch(self, found: &Found) -> &'a [u8] {
        self.lend(found, &())
    }

    #[inline(always)]
    pub(crate) fn lend<'b, T: ?Sized>(self, found: &Found, holder: &'b T) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Self::V2(seat) => seat.segment().lend(found.start, found.len as usize, holder),
            _ => self.lend_otherwise(found, holder),
        }
    }

    #[cold]
    fn lend_otherwise<'b, T: ?Sized>(self, found: &Found, holder: &'b T) -> &'b [u8]
    where
        'a: 'b,
    {
        let len = found.len as usize;
        match self {
            Self::V2(seat) => seat.segment().lend(found.start, len, holder),
            Self::V1(seat) => seat.segment().mapping.lend(found.start.0, len, holder),
            Self::Copied(copied) => copied.payload(found.len),
            Self::Member(seat) => seat.segment().lend(found.start, len, holder),
            Self::Referred(shared) => shared.origin.segment.lend(found.start, len, holder),
        }
    }

    /// The attribute block in front of a lent frame's payload; empty if there is none.
    pub(crate) fn lend_block<'b, T: ?Sized>(self, found: &Found, holder: &'b T) -> &'b [u8]
    where
        'a: 'b,
    {
        if found.block() == 0 {
            return &[];
        }
        match self {
            Self::Copied(copied) => copied.block(),
            _ => self.lend(&found.only_block(), holder),
        }
    }

    /// Copies a frame's bytes from `skip` on, as many as `space` has; the frame has them.
    pub(crate) fn copy_out(self, found: &Found, skip: usize, space: &mut [u8]) {
        let start = found.start.plus(skip as u64);
        match self {
            Self::V2(seat) => seat.segment().copy_out(start, space),
            Self::V1(seat) => seat.segment().mapping.read_payload(start.0, space),
            Self::Copied(copied) => {
                space.copy_from_slice(&copied.payload(found.len)[skip..][..space.len()]);
            }
            Self::Member(seat) => seat.segment().copy_out(start, space),
            Self::Referred(shared) => shared.origin.segment.copy_out(start, space),
        }
    }

    /// Whether the bytes are this process's to look at; in a forked child they are not there.
    pub(crate) fn is_ours(self) -> bool {
        match self {
            Self::V2(seat) => seat.segment().is_ours(),
            Self::V1(seat) => seat.segment().mapping.is_ours(),
            Self::Copied(_) => true,
            Self::Member(seat) => seat.segment().is_ours(),
            Self::Referred(shared) => shared.origin.segment.is_ours(),
        }
    }

    /// Fails if the memory that the frame lies in is not to be used any more.
    pub(crate) fn check(self) -> Result<(), WriteError> {
        let segment = match self {
            Self::V2(seat) => seat.segment(),
            Self::V1(seat) => {
                let (mapping, name) = (&seat.segment().mapping, &seat.segment().names.name);
                let lost = || mapping.lost().to_write_error(name);
                return if mapping.is_sound() { Ok(()) } else { Err(lost()) };
            }
            Self::Copied(_) => return Ok(()),
            Self::Member(seat) => seat.segment(),
            Self::Referred(shared) => &shared.origin.segment,
        };
        segment.check_for_writing()
    }

    #[inline(always)]
    pub(crate) fn committed_at(self, found: &Found) -> Option<Duration> {
        match self {
            Self::V2(seat) if !seat.segment().layout().timestamps() => None,
            _ => self.stamp(found),
        }
    }

    #[cold]
    fn stamp(self, found: &Found) -> Option<Duration> {
        match self {
            Self::V2(seat) => seat.segment().committed_at(found.header),
            Self::V1(_) => None,
            Self::Copied(copied) => clock::own_time(copied.committed_ns()),
            Self::Member(seat) => seat.segment().committed_at(found.header),
            Self::Referred(shared) => shared.seat().segment().committed_at(found.header),
        }
    }

    /// Releases a lent frame.
    #[inline(always)]
    pub(crate) fn release_lent(self, found: &Found) {
        match self {
            Self::V2(seat) => seat.release_lent(found.end),
            _ => self.release_otherwise(found),
        }
    }

    #[cold]
    fn release_otherwise(self, found: &Found) {
        match self {
            Self::V2(seat) => seat.release_lent(found.end),
            Self::V1(seat) => seat.release(found.end.0),
            Self::Copied(_) => {}
            Self::Member(seat) => seat.release(found),
            Self::Referred(shared) => shared.release_lent(found),
        }
    }

    /// Where the frame lies, for another buffer's Writer.
    pub(crate) fn elsewhere(self, found: &Found) -> Result<Elsewhere<'a>, WhyCopied> {
        let Found { header, end, .. } = *found;
        let (start, len) = (found.start.minus(found.block()), found.len + found.block());
        let has_attributes = found.has_attributes();
        match self {
            Self::V2(seat) => Ok(Elsewhere {
                origin: seat.segment(),
                exports: &seat.exports,
                header,
                start,
                end,
                len,
                has_attributes,
            }),
            Self::Member(seat) => Ok(Elsewhere {
                origin: seat.segment(),
                exports: &seat.exports,
                header,
                start,
                end,
                len,
                has_attributes,
            }),
            Self::Referred(shared) => Ok(Elsewhere {
                origin: &shared.origin.segment,
                exports: &shared.seat().exports,
                header: shared.header,
                start,
                end: shared.end,
                len,
                has_attributes,
            }),
            Self::V1(_) => Err(WhyCopied::Protocol),
            Self::Copied(_) => Err(WhyCopied::NotInARing),
        }
    }

    /// Keeps a lent frame beyond its borrow.
    pub(crate) fn keep(self, found: &Found) -> OwnedSeat {
        match self {
            Self::V2(seat) => {
                seat.keep(found.end);
                OwnedSeat::V2(Shared::clone(seat))
            }
            // Every frame is kept until it is released.
            Self::V1(seat) => OwnedSeat::V1(Shared::clone(seat)),
            Self::Copied(copied) => OwnedSeat::Copied(Arc::new(copied.only(found.len))),
            // Every frame is kept until it is released.
            Self::Member(seat) => OwnedSeat::Member(Shared::clone(seat)),
            Self::Referred(shared) => {
                shared.seat().keep(found.end);
                OwnedSeat::Referred(Arc::clone(shared))
            }
        }
    }
}

impl OwnedSeat {
    pub(crate) fn as_ref(&self) -> SeatRef<'_> {
        match self {
            Self::V2(seat) => SeatRef::V2(seat),
            Self::V1(seat) => SeatRef::V1(seat),
            Self::Copied(copied) => SeatRef::Copied(copied),
            Self::Member(seat) => SeatRef::Member(seat),
            Self::Referred(shared) => SeatRef::Referred(shared),
        }
    }

    /// Releases a kept frame, from any thread and in any order.
    pub(crate) fn release(&self, found: &Found) {
        match self {
            Self::V2(seat) => seat.release_kept(found.end),
            Self::V1(seat) => seat.release(found.end.0),
            Self::Copied(_) => {}
            Self::Member(seat) => seat.release(found),
            Self::Referred(shared) => shared.release_kept(found),
        }
    }
}
