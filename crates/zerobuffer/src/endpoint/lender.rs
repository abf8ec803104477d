//! What lends a reader's frames.

use crate::engine::{Reading, SeatRef};
use crate::v2::rules::ring::Found;

/// A reader's engine, and the frame that it lends.
#[derive(Debug)]
pub(crate) struct Lender {
    pub(super) engine: Reading,
    /// The frame that is lent, or was last, by engines that do not remember it themselves.
    pub(super) lent: Found,
}

impl Lender {
    /// The frame that is lent, and what it is released to.
    #[inline(always)]
    pub(crate) fn lent(&self) -> (SeatRef<'_>, &Found) {
        self.engine.lent(&self.lent)
    }
}
