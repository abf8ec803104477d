//! Who of a work group had each frame: one at a time, and somebody to the end.

use std::collections::BTreeMap;

use super::{Finding, KEPT};
use crate::cast::Part;
use crate::notes::{Note, What};

#[derive(Debug, Default)]
pub(super) struct Group {
    frames: BTreeMap<u64, Vec<Receipt>>,
    /// Everything before this one is settled; 0 until the first has come.
    next: u64,
    newest: u64,
}

/// A member's hold of a frame.
#[derive(Debug)]
struct Receipt {
    by: &'static str,
    flagged: bool,
    at_ns: u64,
    finished_ns: Option<u64>,
}

impl Group {
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    pub(super) fn received(&mut self, part: Part, note: Note) {
        self.newest = self.newest.max(note.sequence);
        self.frames.entry(note.sequence).or_default().push(Receipt {
            by: part.name(),
            flagged: note.what == What::Redelivered,
            at_ns: note.at_ns,
            finished_ns: None,
        });
    }

    /// A member has released a frame. Looks at what is old enough for everybody to have told of it.
    pub(super) fn finished(&mut self, part: Part, note: Note) -> Vec<Finding> {
        let receipts = self.frames.get_mut(&note.sequence);
        let open = receipts.and_then(|receipts| {
            let mut own = receipts.iter_mut().rev();
            own.find(|receipt| receipt.by == part.name() && receipt.finished_ns.is_none())
        });
        let Some(receipt) = open else {
            let name = part.name();
            return vec![Finding::MixedUp(format!(
                "{name}: finished frame {}, which it did not have",
                note.sequence
            ))];
        };
        receipt.finished_ns = Some(note.at_ns);
        self.settle_up_to(self.newest.saturating_sub(KEPT as u64))
    }

    /// Checks and forgets the frames up to `last`.
    pub(super) fn settle_up_to(&mut self, last: u64) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.next == 0 {
            // The group may have been founded at a later frame.
            self.next = self.frames.keys().next().copied().unwrap_or(last + 1);
        }
        while self.next <= last {
            let receipts = self.frames.remove(&self.next).unwrap_or_default();
            findings.extend(settle(self.next, receipts));
            self.next += 1;
        }
        findings
    }
}

/// What is wrong with the way of one frame through the group.
fn settle(sequence: u64, mut receipts: Vec<Receipt>) -> Option<Finding> {
    if receipts.is_empty() {
        return Some(Finding::Lost(1, format!("no member of the group got frame {sequence}")));
    }
    receipts.sort_by_key(|receipt| receipt.at_ns);
    let unflagged = receipts.iter().filter(|receipt| !receipt.flagged).count();
    let overlaps = receipts.windows(2).any(|two| two[0].finished_ns.is_some());
    (unflagged > 1 || overlaps).then(|| {
        Finding::Duplicated(format!("frame {sequence} had more than one holder: {receipts:?}"))
    })
}
