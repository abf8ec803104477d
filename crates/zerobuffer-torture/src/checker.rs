//! What was committed against what arrived.

mod group;
mod passed_on;
mod row;

use std::collections::{BTreeMap, HashMap};

use crate::cast::{GROUP, Part};
use crate::notes::{Note, What};

use group::Group;
use passed_on::PassedOn;
use row::Row;

/// Frames whose two sides are kept for comparison: the notes of one end may come long after the other's.
const KEPT: usize = 1 << 16;

/// Counts of what must not be.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Wrong {
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) torn: u64,
    /// A number that two writers committed, or a frame that arrived and is not the one committed under its number.
    pub(crate) mixed_up: u64,
}

/// Something that must not be.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Lost(u64, String),
    Duplicated(String),
    MixedUp(String),
}

/// Counts of what may be.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) received: u64,
    pub(crate) redelivered: u64,
    /// Passed on by reference, and by copy.
    pub(crate) shared: u64,
    pub(crate) copied: u64,
}

/// Knows what every end has told in a round.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// Incarnation that committed, or was seen to have committed, each frame.
    frames: BTreeMap<u64, u64>,
    newest_committed: u64,
    /// What readers with a row of their own have got.
    rows: HashMap<&'static str, Row>,
    group: Group,
    passed_on: HashMap<&'static str, PassedOn>,
    pub(crate) seen: Seen,
    pub(crate) wrong: Wrong,
    /// The first thing that was wrong, in words.
    pub(crate) first_wrong: Option<String>,
}

impl Checker {
    /// A process that plays that part begins.
    pub(crate) fn begins(&mut self, part: Part) {
        self.rows.entry(part.name()).or_default().begins();
        self.passed_on.entry(part.name()).or_default().begins();
    }

    /// Newest frame that an account has, counted as the first writer did.
    pub(crate) fn newest_of(&self, account: &str) -> u64 {
        match account {
            GROUP => self.group.newest(),
            "downstream" => self.passed_on.get(account).map_or(0, PassedOn::newest),
            _ => self.rows.get(account).map_or(0, Row::newest),
        }
    }

    pub(crate) fn newest_committed(&self) -> u64 {
        self.newest_committed
    }

    /// Nobody tells anything more: what should have arrived by now?
    pub(crate) fn finish(&mut self, accounts: &[&str]) {
        for account in accounts {
            let newest = self.newest_of(account);
            // What repeats behind a relay, and is lost both times, counts twice there.
            let is_counted_exactly = *account != "downstream";
            if newest < self.newest_committed
                || (is_counted_exactly && newest > self.newest_committed)
            {
                let missing = self.newest_committed.saturating_sub(newest);
                let committed = self.newest_committed;
                self.note([Finding::Lost(
                    missing,
                    format!("{account}: got frames up to {newest}, {committed} were committed"),
                )]);
            }
        }
        if accounts.contains(&GROUP) {
            let findings = self.group.settle_up_to(self.newest_committed);
            self.note(findings);
        }
    }

    /// Takes what an end has told.
    pub(crate) fn take(&mut self, part: Part, note: Note) {
        let sequence = note.sequence;
        match note.what {
            What::Committed => self.committed(note),
            What::Torn => {
                self.wrong.torn += 1;
                self.say(format!("{}: frame {sequence} is torn", part.name()));
            }
            What::Shared => self.seen.shared += 1,
            What::Copied => self.seen.copied += 1,
            What::Finished => {
                let findings = self.group.finished(part, note);
                self.note(findings);
            }
            What::Released => self.rows.entry(part.name()).or_default().released(sequence),
            What::Received | What::Redelivered | What::PayloadLost => self.arrived(part, note),
        }
    }

    fn committed(&mut self, note: Note) {
        let sequence = note.sequence;
        if sequence <= self.newest_committed {
            let text = format!("frame {sequence} was committed twice");
            self.note([Finding::MixedUp(text)]);
        }
        self.newest_committed = self.newest_committed.max(sequence);
        self.compare(sequence, note.incarnation, "writer");
    }

    fn arrived(&mut self, part: Part, note: Note) {
        let is_lost = note.what == What::PayloadLost;
        self.seen.received += u64::from(!is_lost);
        self.seen.redelivered += u64::from(note.what == What::Redelivered);
        let mut findings = Vec::new();
        let is_settled = self.rows.get(part.name()).is_some_and(Row::is_settled);
        // One that has died before it came to its first frames may find that nobody had kept them.
        if is_lost && (is_settled || part != Part::Downstream) {
            let text = format!("{}: the payload of frame {} was lost", part.name(), note.sequence);
            findings.push(Finding::Lost(1, text));
        }
        match part {
            Part::Member0 | Part::Member1 | Part::Member2 => self.group.received(part, note),
            // What is still in the ring behind a relay when an ephemeral reader comes may have been given back in part.
            Part::Lossy | Part::Observer | Part::DownstreamEphemeral => {
                findings.extend(self.rows.entry(part.name()).or_default().sampled(part, note));
            }
            _ => {
                let is_durable = part != Part::Ephemeral;
                let row = self.rows.entry(part.name()).or_default();
                findings.extend(row.arrived(part, note, is_durable));
            }
        }
        if part == Part::Downstream {
            let row = self.passed_on.entry(part.name()).or_default();
            findings.extend(row.arrived(part, note).filter(|_| is_settled));
        }
        self.note(findings);
        if !is_lost {
            self.compare(note.origin, note.incarnation, part.name());
        }
    }

    /// One number, one writer.
    fn compare(&mut self, sequence: u64, incarnation: u64, name: &str) {
        let known = *self.frames.entry(sequence).or_insert(incarnation);
        if known != incarnation {
            let text = format!(
                "{name}: frame {sequence} is of writer {incarnation}, but writer {known} had committed it"
            );
            self.note([Finding::MixedUp(text)]);
        }
        while self.frames.len() > KEPT {
            self.frames.pop_first();
        }
    }

    fn note(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            let text = match finding {
                Finding::Lost(count, text) => {
                    self.wrong.lost += count;
                    text
                }
                Finding::Duplicated(text) => {
                    self.wrong.duplicated += 1;
                    text
                }
                Finding::MixedUp(text) => {
                    self.wrong.mixed_up += 1;
                    text
                }
            };
            self.say(text);
        }
    }

    fn say(&mut self, text: String) {
        self.first_wrong.get_or_insert(text);
    }
}

#[cfg(test)]
mod tests;
