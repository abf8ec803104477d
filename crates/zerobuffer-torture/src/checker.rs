//! What was committed against what arrived.

use std::collections::{BTreeMap, HashMap};

use crate::ends::{Note, What};

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

/// Knows what every end has told in a round.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// Incarnation that committed, or was seen to have committed, each frame.
    frames: BTreeMap<u64, u64>,
    newest_committed: u64,
    readers: HashMap<String, Progress>,
    pub(crate) received: u64,
    pub(crate) redelivered: u64,
    pub(crate) wrong: Wrong,
    /// The first thing that was wrong, in words.
    pub(crate) first_wrong: Option<String>,
}

/// How far a reader has come, over all its incarnations.
#[derive(Debug, Default, Clone, Copy)]
struct Progress {
    newest: u64,
    /// Everything up to here was certainly released.
    released: u64,
    /// Newest of the present incarnation; 0 before its first.
    here: u64,
}

impl Checker {
    /// A reader of that name begins anew.
    pub(crate) fn reader_begins(&mut self, name: &str) {
        self.readers.entry(name.to_owned()).or_default().here = 0;
    }

    /// Frames that a reader has been told of.
    pub(crate) fn newest_of(&self, name: &str) -> u64 {
        self.readers.get(name).map_or(0, |progress| progress.newest)
    }

    pub(crate) fn newest_committed(&self) -> u64 {
        self.newest_committed
    }

    /// Takes a note of the writer, or of the reader of that name. What an ephemeral reader misses between two
    /// lives is not lost.
    pub(crate) fn take(&mut self, name: &str, note: Note, ephemeral: bool) {
        match note.what {
            What::Committed => {
                if note.sequence <= self.newest_committed {
                    let text = format!("frame {} was committed twice", note.sequence);
                    self.wrong.mixed_up += 1;
                    self.say(text);
                }
                self.newest_committed = self.newest_committed.max(note.sequence);
                self.compare(note.sequence, note.incarnation, name);
            }
            What::Torn => {
                self.wrong.torn += 1;
                self.say(format!("{name}: frame {} is torn", note.sequence));
            }
            What::Released => {
                if let Some(progress) = self.readers.get_mut(name) {
                    progress.released = note.sequence;
                }
            }
            What::Received | What::Redelivered if ephemeral => {
                self.received += 1;
                self.compare(note.sequence, note.incarnation, name);
            }
            What::Received | What::Redelivered => self.arrived(name, note),
        }
    }

    fn arrived(&mut self, name: &str, note: Note) {
        let sequence = note.sequence;
        let progress = self.readers.entry(name.to_owned()).or_default();
        let before = *progress;
        progress.here = sequence;
        progress.newest = before.newest.max(sequence);
        self.received += 1;
        let redelivered = note.what == What::Redelivered;
        self.redelivered += u64::from(redelivered);
        // Within an incarnation frames follow each other; between two, those not released come again.
        let next = if before.here == 0 { before.newest + 1 } else { before.here + 1 };
        let is_first_of_all = before.newest == 0;
        if sequence > next && !is_first_of_all {
            self.wrong.lost += sequence - next;
            self.say(format!("{name}: frame {sequence} came where {next} was to come"));
        }
        let comes_again = sequence <= before.newest;
        let was_released = sequence <= before.released;
        if (comes_again && !redelivered) || was_released || (before.here != 0 && sequence < next) {
            self.wrong.duplicated += 1;
            self.say(format!(
                "{name}: frame {sequence} came again (flagged: {redelivered}); newest {}, released {}, \
                 of this incarnation {}",
                before.newest, before.released, before.here
            ));
        }
        self.compare(sequence, note.incarnation, name);
    }

    /// One number, one writer.
    fn compare(&mut self, sequence: u64, incarnation: u64, name: &str) {
        let known = *self.frames.entry(sequence).or_insert(incarnation);
        if known != incarnation {
            self.wrong.mixed_up += 1;
            let text = format!(
                "{name}: frame {sequence} is of writer {incarnation}, but writer {known} had committed it"
            );
            self.say(text);
        }
        while self.frames.len() > KEPT {
            self.frames.pop_first();
        }
    }

    fn say(&mut self, text: String) {
        self.first_wrong.get_or_insert(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(sequence: u64, what: What) -> Note {
        Note { sequence, incarnation: 7, what }
    }

    fn checked(notes: &[(&str, Note)]) -> Checker {
        let mut checker = Checker::default();
        for (name, note) in notes {
            match name.strip_prefix("again ") {
                Some(name) => {
                    checker.reader_begins(name);
                    checker.take(name, *note, false);
                }
                None => checker.take(name, *note, false),
            }
        }
        checker
    }

    #[test]
    fn each_kind_of_wrong_is_seen_and_redelivery_is_none() {
        use What::{Committed, Received, Redelivered, Released, Torn};
        let fine = checked(&[
            ("w", note(1, Committed)),
            ("a", note(1, Received)),
            ("a", note(2, Received)),
            ("a", note(1, Released)),
            ("again a", note(2, Redelivered)),
            ("a", note(3, Received)),
        ]);
        assert!(fine.first_wrong.is_none(), "{fine:?}");
        assert_eq!((fine.received, fine.redelivered), (4, 1));
        let lost = checked(&[("a", note(1, Received)), ("again a", note(3, Received))]);
        assert_eq!(lost.wrong.lost, 1);
        let gap = checked(&[("a", note(1, Received)), ("a", note(4, Received))]);
        assert_eq!(gap.wrong.lost, 2);
        let twice = checked(&[("a", note(1, Received)), ("again a", note(1, Received))]);
        assert_eq!(twice.wrong.duplicated, 1);
        let late = checked(&[
            ("a", note(1, Received)),
            ("a", note(1, Released)),
            ("again a", note(1, Redelivered)),
        ]);
        assert_eq!(late.wrong.duplicated, 1);
        assert_eq!(checked(&[("a", note(1, Torn))]).wrong.torn, 1);
        let mut other = note(1, Received);
        other.incarnation = 8;
        assert_eq!(checked(&[("w", note(1, Committed)), ("a", other)]).wrong.mixed_up, 1);
        let reused = checked(&[("w", note(1, Committed)), ("w", note(1, Committed))]);
        assert_eq!(reused.wrong.mixed_up, 1);
    }
}
