//! What has come through a relay: every frame of the origin, in its order; those that a relay died on perhaps again.

use super::Finding;
use crate::cast::Part;
use crate::notes::{Note, What};

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct PassedOn {
    /// Newest frame of the origin.
    newest: u64,
    /// Number in the buffer behind the relay, of the newest that has come.
    number: u64,
    /// References since the newest that led nowhere.
    lost: u64,
}

impl PassedOn {
    /// A new incarnation: what it gets again is known from its number.
    pub(super) fn begins(&mut self) {}

    /// Newest frame of the origin that has come, or that was told to be lost.
    pub(super) fn newest(&self) -> u64 {
        self.newest + self.lost
    }

    pub(super) fn arrived(&mut self, part: Part, note: Note) -> Option<Finding> {
        let is_new = note.sequence > self.number;
        self.number = self.number.max(note.sequence);
        if note.what == What::PayloadLost {
            self.lost += u64::from(is_new);
            return None;
        }
        let before = *self;
        if note.origin > self.newest {
            (self.newest, self.lost) = (note.origin, 0);
        }
        let missing = note.origin.saturating_sub(before.newest + 1);
        (missing > before.lost && before.newest != 0).then(|| {
            let (name, origin, newest) = (part.name(), note.origin, before.newest);
            Finding::Lost(
                missing - before.lost,
                format!("{name}: frame {origin} of the origin came behind frame {newest} of it"),
            )
        })
    }
}
