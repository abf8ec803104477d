//! Whether spinning pays: learned from what came of it, never from where a process may run. One allowed CPU is not one CPU:
//! whoever pins each side to a core of its own wants them to spin; where the other side runs on this very CPU, spinning
//! keeps it from doing what is waited for.

use std::time::Duration;

/// Polls that a wait may spin before it sleeps: about as long as falling asleep and waking takes.
const MOST_POLLS: u32 = 2048;
/// A budget below this is none.
const FEWEST_POLLS: u32 = 16;
/// Whoever slept no longer than this might have spun instead: more than the slowest machine takes to wake both sides, less than
/// the time between two pictures.
const BRIEF: Duration = Duration::from_millis(1);
/// Brief sleeps from one trial to the next: twice as many after each that was in vain. Two sides that take turns on one CPU lose
/// a trial, some tens of microseconds, in so many waits of some microseconds each.
const SHORTEST_INTERVAL: u32 = 16;
const LONGEST_INTERVAL: u32 = 8192;
/// Of longer sleeps one in so many leads to a trial, too: they may be long because the machine is busy.
const LONG_SLEEPS: u32 = 256;

/// What is known of spinning here.
///
/// It begins with all that a wait may spin. Each spin in vain halves that, each that was of use restores it; when nothing is
/// left, waits sleep at once. Spinning is tried again by one wait of many, sooner if sleeps turn out to be brief.
#[derive(Debug, Clone, Copy)]
pub(super) struct Worth {
    /// Polls of a wait, while spinning pays.
    budget: u32,
    /// Brief sleeps until the next trial, and how many they were last time.
    until_trial: u32,
    interval: u32,
    long_sleeps: u32,
}

impl Worth {
    pub(super) fn new() -> Self {
        Self { budget: MOST_POLLS, until_trial: 0, interval: SHORTEST_INTERVAL, long_sleeps: 0 }
    }

    /// Polls of the wait that begins.
    pub(super) fn polls(&self) -> u32 {
        if self.pays() {
            self.budget
        } else if self.until_trial == 0 {
            MOST_POLLS
        } else {
            0
        }
    }

    /// A spin found what it waited for.
    #[inline(always)]
    pub(super) fn paid(&mut self) {
        if self.budget != MOST_POLLS {
            self.pays_again();
        }
    }

    /// Chance brings one, too, to two sides that take turns on one CPU: so the time to the next trial is forgotten step by step.
    #[cold]
    fn pays_again(&mut self) {
        if !self.pays() {
            self.interval = (self.interval / 2).max(SHORTEST_INTERVAL);
        }
        self.budget = MOST_POLLS;
    }

    /// A wait spun as long as it might, and then went to sleep.
    pub(super) fn was_in_vain(&mut self) {
        if self.pays() {
            self.budget /= 2;
        } else {
            self.interval = (self.interval * 2).min(LONGEST_INTERVAL);
        }
        if !self.pays() {
            self.until_trial = self.interval;
        }
    }

    /// The time of a wait was up while it spun: not long enough to say that spinning does not pay, but a trial is over.
    pub(super) fn was_cut_short(&mut self) {
        if !self.pays() {
            self.was_in_vain();
        }
    }

    /// Whether it is of interest how long a sleep was.
    pub(super) fn wants_to_know(&self) -> bool {
        !self.pays() && self.until_trial > 0
    }

    /// A sleep ended with what it was for.
    pub(super) fn slept(&mut self, time: Duration) {
        if time <= BRIEF {
            self.until_trial = self.until_trial.saturating_sub(1);
            return;
        }
        self.long_sleeps += 1;
        if self.long_sleeps == LONG_SLEEPS {
            self.long_sleeps = 0;
            self.until_trial = 0;
            // In vain, this trial says nothing about those after brief sleeps: their interval is doubled to what it was.
            self.interval /= 2;
        }
    }

    fn pays(&self) -> bool {
        self.budget >= FEWEST_POLLS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAKE: Duration = Duration::from_micros(20);
    const PICTURE: Duration = Duration::from_millis(16);

    /// Waits where a spin of `needed` polls would have found what a sleep of that time brings; polls of all of them, and sleeps.
    fn waits(worth: &mut Worth, count: u32, needed: u32, sleep: Duration) -> (u64, u32) {
        let (mut polls, mut sleeps) = (0, 0);
        for _ in 0..count {
            let may = worth.polls();
            polls += u64::from(may.min(needed));
            if needed <= may {
                worth.paid();
                continue;
            }
            if may > 0 {
                worth.was_in_vain();
            }
            sleeps += 1;
            if worth.wants_to_know() {
                worth.slept(sleep);
            }
        }
        (polls, sleeps)
    }

    #[test]
    fn who_finds_by_spinning_never_sleeps() {
        let mut worth = Worth::new();
        assert_eq!(waits(&mut worth, 1_000_000, 3, WAKE), (3_000_000, 0));
    }

    #[test]
    fn where_it_never_pays_it_is_hardly_ever_tried() {
        let mut worth = Worth::new();
        let (polls, sleeps) = waits(&mut worth, 1_000_000, u32::MAX, WAKE);
        assert_eq!(sleeps, 1_000_000);
        let trials = polls / u64::from(MOST_POLLS);
        // One in 8192, and some at first.
        assert!((100..150).contains(&trials), "{trials} trials");
    }

    #[test]
    fn one_who_sleeps_long_hardly_ever_tries_but_does() {
        let mut worth = Worth::new();
        let (polls, _) = waits(&mut worth, 1_000_000, u32::MAX, PICTURE);
        let trials = polls / u64::from(MOST_POLLS);
        assert!((3000..4000).contains(&trials), "{trials} trials");
        assert_eq!(worth.interval, SHORTEST_INTERVAL);
    }

    #[test]
    fn it_is_learned_soon_that_it_pays() {
        for before in [10, 1000, 1_000_000] {
            let mut worth = Worth::new();
            waits(&mut worth, before, u32::MAX, PICTURE);
            let (_, sleeps) = waits(&mut worth, 100_000, 1500, WAKE);
            assert!(sleeps <= SHORTEST_INTERVAL, "{sleeps} sleeps after {before}");
        }
    }

    #[test]
    fn it_is_learned_that_it_pays_after_a_long_time_when_it_did_not() {
        let mut worth = Worth::new();
        waits(&mut worth, 1_000_000, u32::MAX, WAKE);
        let (_, sleeps) = waits(&mut worth, 100_000, 100, WAKE);
        assert!(sleeps <= LONGEST_INTERVAL, "{sleeps} sleeps");
        // And held on to, though a picture comes late now and then.
        for _ in 0..100 {
            waits(&mut worth, 1, u32::MAX, PICTURE);
            assert_eq!(waits(&mut worth, 100, 1000, WAKE).1, 0);
        }
    }

    #[test]
    fn a_find_by_chance_does_not_bring_the_trials_back() {
        let mut worth = Worth::new();
        waits(&mut worth, 1_000_000, u32::MAX, WAKE);
        worth.paid();
        let (polls, _) = waits(&mut worth, 100_000, u32::MAX, WAKE);
        let trials = polls / u64::from(MOST_POLLS);
        assert!(trials < 30, "{trials} trials");
    }

    #[test]
    fn a_trial_whose_time_is_up_is_over() {
        let mut worth = Worth::new();
        waits(&mut worth, 1000, u32::MAX, PICTURE);
        assert_eq!(worth.polls(), 0);
        while worth.polls() == 0 {
            worth.slept(WAKE);
        }
        assert_eq!(worth.polls(), MOST_POLLS);
        worth.was_cut_short();
        assert_eq!(worth.polls(), 0);
    }
}
