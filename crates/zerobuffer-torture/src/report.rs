//! What all rounds came to.

use std::collections::BTreeMap;
use std::fmt;

use zerobuffer::fault::STEPS;

use crate::checker::{Seen, Wrong};

/// What all rounds came to.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) rounds: u64,
    /// Those whose processes were pinned to a core each, or all to one.
    pub(crate) pinned_rounds: u64,
    /// Deaths by our hand, at any moment.
    pub(crate) random_kills: u64,
    /// Deaths at each step.
    pub(crate) deaths_at: BTreeMap<&'static str, u64>,
    pub(crate) committed: u64,
    pub(crate) seen: Seen,
    pub(crate) wrong: Wrong,
    pub(crate) stuck: u64,
    /// Processes that ended with an error.
    pub(crate) failed: u64,
    pub(crate) leaked_files: u64,
    first_wrong: Option<String>,
}

impl Report {
    pub(crate) fn kills(&self) -> u64 {
        self.random_kills + self.deaths_at.values().sum::<u64>()
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.first_wrong.is_none()
    }

    /// Something is wrong; the first is kept.
    pub(crate) fn say(&mut self, text: impl Into<String>) {
        self.first_wrong.get_or_insert_with(|| text.into());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at_steps: u64 = self.deaths_at.values().sum();
        writeln!(
            f,
            "rounds       {:>10}   {} with pinned processes",
            self.rounds, self.pinned_rounds
        )?;
        writeln!(
            f,
            "kills        {:>10}   {} at random moments, {at_steps} at named steps",
            self.kills(),
            self.random_kills
        )?;
        writeln!(
            f,
            "frames       {:>10}   committed; {} received, {} of them again",
            self.committed, self.seen.received, self.seen.redelivered
        )?;
        writeln!(
            f,
            "passed on    {:>10}   by reference; {} copied",
            self.seen.shared, self.seen.copied
        )?;
        for (what, count) in [
            ("lost", self.wrong.lost),
            ("duplicated", self.wrong.duplicated),
            ("torn", self.wrong.torn),
            ("mixed up", self.wrong.mixed_up),
            ("stuck", self.stuck),
            ("failed", self.failed),
            ("leaked files", self.leaked_files),
        ] {
            writeln!(f, "{what:<12} {count:>10}")?;
        }
        let never: Vec<_> =
            STEPS.iter().filter(|step| !self.deaths_at.contains_key(*step)).collect();
        writeln!(
            f,
            "steps        {:>10}   of {} with a death",
            STEPS.len() - never.len(),
            STEPS.len()
        )?;
        if !never.is_empty() {
            writeln!(f, "             without: {never:?}")?;
        }
        match &self.first_wrong {
            Some(text) => write!(f, "FAILED: {text}"),
            None => write!(f, "clean"),
        }
    }
}
