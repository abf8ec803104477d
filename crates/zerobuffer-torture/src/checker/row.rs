//! What a reader of every frame has got, over all its incarnations.

use super::Finding;
use crate::cast::Part;
use crate::notes::{Note, What};

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Row {
    newest: u64,
    /// Everything up to here was certainly released.
    released: u64,
    /// Newest of the present incarnation; 0 before its first.
    here: u64,
}

impl Row {
    /// A new incarnation.
    pub(super) fn begins(&mut self) {
        self.here = 0;
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Whether everything is kept for it.
    pub(super) fn is_settled(&self) -> bool {
        self.released > 0
    }

    pub(super) fn released(&mut self, sequence: u64) {
        self.released = sequence;
    }

    /// A frame of a reader that gets all, while it is there; a durable one also what came in between.
    pub(super) fn arrived(&mut self, part: Part, note: Note, is_durable: bool) -> Vec<Finding> {
        let (before, sequence, name) = (*self, note.sequence, part.name());
        self.here = sequence;
        self.newest = before.newest.max(sequence);
        let mut findings = Vec::new();
        let begins = before.newest == 0 || (before.here == 0 && !is_durable);
        // What it finds behind a relay when it first comes may have been given back in part.
        let is_first = begins || (part == Part::Downstream && before.released == 0);
        // Within an incarnation frames follow each other; between two, those not released come again.
        let next = if before.here == 0 { before.newest + 1 } else { before.here + 1 };
        if sequence > next && !is_first {
            findings.push(Finding::Lost(
                sequence - next,
                format!("{name}: frame {sequence} came where {next} was to come"),
            ));
        }
        let comes_again = is_durable && sequence <= before.newest;
        let was_released = is_durable && sequence <= before.released;
        // The loss of a payload is told again to the next reader, and not flagged, for it is not a frame.
        let is_flagged = note.what != What::Received;
        if (comes_again && !is_flagged) || was_released || (before.here != 0 && sequence < next) {
            findings.push(Finding::Duplicated(format!(
                "{name}: frame {sequence} came again (flagged: {is_flagged}); newest {}, released {}, \
                 of this incarnation {}",
                before.newest, before.released, before.here
            )));
        }
        findings
    }

    /// A frame of a reader that gets some.
    pub(super) fn sampled(&mut self, part: Part, note: Note) -> Option<Finding> {
        let (before, sequence) = (self.here, note.sequence);
        self.here = sequence;
        self.newest = self.newest.max(sequence);
        (sequence <= before).then(|| {
            let name = part.name();
            Finding::Duplicated(format!("{name}: frame {sequence} came after frame {before}"))
        })
    }
}
