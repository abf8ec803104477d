//! Waiting for the other side: spin, then sleep, look around now and then. The clock of waits.

pub(crate) mod armed;
mod worth;

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::sys::time;
use crate::v2::rules::wake::Announced;
use crate::values::config::WaitStrategy;
use worth::Worth;

/// Longest sleep before everything is looked at again, and the time between two questions to the kernel whether the other side
/// lives. A death is to be told within 100 ms of the kernel's release: the rest is for a processor that is busy.
pub(crate) const SLICE: Duration = Duration::from_millis(80);
/// The question is asked so much before it is due: the coarse clock is behind by up to a tick, which lasts 10 ms at most,
/// and a sleep that ended a moment too soon would have to be followed by another one.
const EARLY: Duration = Duration::from_millis(10);
/// Sleep where the system has no barrier for sleepers: a wake-up may be missed, so not for long.
pub(crate) const SLICE_WITHOUT_BARRIER: Duration = Duration::from_millis(1);
/// First sleep of one whom nobody wakes, and the longest that it grows to.
const FIRST_NAP: Duration = Duration::from_micros(50);
const LONGEST_NAP: Duration = SLICE_WITHOUT_BARRIER;
/// Polls at the beginning of a wait that follow each other without a pause.
const BRISK_POLLS: u32 = 256;
/// Polls between two looks at the clock while spinning.
const POLLS_PER_GLANCE: u32 = 256;
/// Longest pause between two polls behind a stream, in `spin_loop` hints; see [`Spin::pause`].
const MAX_PAUSE: u32 = 1024;
/// A stream brings a frame at least every so many hints; beyond about ten million frames a second, that is.
const HINTS_PER_FRAME: u32 = 4;
/// Or so many bytes every hint, about a gigabyte a second, and between two waits at most so many.
const BYTES_PER_HINT: u64 = 32;
const MAX_LAG: u64 = 32 * 1024;
/// A wait behind a stream that takes more polls than this is no longer behind a stream.
const STREAM_POLLS: u32 = 3;

/// How long a call is willing to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// So long; `None` is for ever.
    For(Option<Duration>),
}

impl Patience {
    /// So long; without any time not at all, so that whoever looks again and again also notices deaths.
    #[inline]
    pub(crate) fn up_to(timeout: Duration) -> Self {
        if timeout.is_zero() { Self::None } else { Self::For(Some(timeout)) }
    }

    /// The same, but no longer than `limit`.
    pub(crate) fn at_most(self, limit: Duration) -> Self {
        match self {
            Self::None => Self::None,
            Self::For(own) => Self::For(Some(own.map_or(limit, |own| own.min(limit)))),
        }
    }

    /// Whether it ends by itself.
    pub(crate) fn is_limited(self) -> bool {
        matches!(self, Self::For(Some(_)))
    }

    /// What is left of it after a time.
    pub(crate) fn less(self, passed: Duration) -> Self {
        match self {
            Self::For(Some(limit)) => Self::For(Some(limit.saturating_sub(passed))),
            other => other,
        }
    }

    /// How long a call that gave up has waited.
    pub(crate) fn limit(self) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::For(limit) => limit.unwrap_or(Duration::MAX),
        }
    }
}

/// Something that can be waited for.
pub(crate) trait Awaited {
    type Output;
    type Error;
    /// Looks once, cheaply.
    fn poll(&mut self) -> Result<Option<Self::Output>, Self::Error>;
    /// Looks around in memory: has the other side left, is the segment still in use?
    fn glance(&mut self) -> Result<Option<Self::Output>, Self::Error>;
    /// Asks the kernel whether the other side lives.
    fn probe(&mut self) -> Result<Option<Self::Output>, Self::Error>;
    /// Announces a sleep; everything is looked at once more before it.
    fn announce(&mut self) -> Announced;
    /// Whether the last announcement still stands, so that it need not be made again.
    fn is_announced(&self) -> bool;
    /// Sleeps until woken; false when `limit` passed first.
    fn sleep(&mut self, limit: Duration) -> bool;
    /// A sleep ended by its limit although there was something to wake for.
    fn overslept(&mut self);
}

/// How far a Reader or Writer had come when it began to wait.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    pub(crate) frames: u64,
    /// Bytes of the ring, from any start.
    pub(crate) bytes: u64,
}

/// What an endpoint remembers from one wait to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spinner {
    strategy: WaitStrategy,
    worth: Worth,
    /// What had been received, or written, when the last wait began.
    progress: Progress,
    pause: u32,
    trials: Trials,
    /// When to ask next whether the other side lives, in nanoseconds of the monotonic clock: kept across calls, so that
    /// short timeouts ask too.
    next_probe_ns: u64,
}

/// How one wait spins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spin {
    polls: u32,
    /// Hints between two polls. One who polls right at the heels of a stream pulls each cache line away while
    /// it is being written; lagging a little, he gets whole lines, many at a time. So the pause grows while
    /// frames come several between two waits, and is none when they come one by one, as in a dialogue.
    pause: u32,
}

impl Spin {
    /// Not at all.
    pub(crate) const NONE: Self = Self { polls: 0, pause: 0 };
}

/// Pauses of one who gets a single frame in each wait, and soon.
///
/// He may be in a dialogue, and a pause would only cost him time; or at the heels of a stream, as long as he makes none.
/// So one is tried now and then. Of smaller frames several come anyway, and larger ones gain nothing.
#[derive(Debug, Clone, Copy)]
struct Trials {
    was_brief: bool,
    /// Waits until the next one, and how many they were last time: twice as many each time, until one was of use.
    left: u32,
    interval: u32,
}

impl Trials {
    const FRAME_BYTES: Range<u64> = 512..8192;
    const BRIEF_POLLS: u32 = 16;
    const PAUSE: u32 = 64;
    const SHORTEST_INTERVAL: u32 = 256;
    const LONGEST_INTERVAL: u32 = 64 * 1024;

    fn new() -> Self {
        let interval = Self::SHORTEST_INTERVAL;
        Self { was_brief: false, left: interval, interval }
    }

    /// The pause of the next wait, after one that brought a single frame of `bytes`.
    fn pause_after(&mut self, bytes: u64) -> u32 {
        if !(self.was_brief && Self::FRAME_BYTES.contains(&bytes)) {
            return 0;
        }
        self.left -= 1;
        if self.left > 0 {
            return 0;
        }
        self.interval = (self.interval * 2).min(Self::LONGEST_INTERVAL);
        self.left = self.interval;
        Self::PAUSE
    }
}

impl Spinner {
    /// Begins a wait at `progress`, in a ring of `capacity` bytes.
    pub(crate) fn begin(&mut self, progress: Progress, capacity: u64) -> Spin {
        let frames = progress.frames.wrapping_sub(self.progress.frames);
        let bytes = progress.bytes.wrapping_sub(self.progress.bytes);
        self.progress = progress;
        let dense = frames >= u64::from(self.pause / HINTS_PER_FRAME)
            || (u64::from(self.pause) * BYTES_PER_HINT..MAX_LAG).contains(&bytes);
        if frames > 1 && self.pause == Trials::PAUSE {
            self.trials = Trials::new();
        }
        self.pause = match frames {
            0 => 0,
            1 => self.trials.pause_after(bytes),
            _ if dense && bytes <= capacity / 4 => (self.pause * 2).clamp(1, MAX_PAUSE),
            _ => self.pause / 2,
        };
        Spin { polls: self.polls(), pause: self.pause }
    }

    /// Polls a few times, as briskly as this wait may. The rest is for [`wait`].
    #[inline(always)]
    pub(crate) fn poll_briefly(&mut self, spin: Spin, mut is_there: impl FnMut() -> bool) -> bool {
        for polls in 0..spin.polls.min(BRISK_POLLS) {
            if is_there() {
                self.worth.paid();
                self.trials.was_brief = polls <= Trials::BRIEF_POLLS;
                if polls > STREAM_POLLS {
                    self.pause = 0;
                }
                return true;
            }
            let hints = if polls <= STREAM_POLLS { spin.pause } else { 0 };
            for _ in 0..=hints {
                std::hint::spin_loop();
            }
        }
        self.pause = 0;
        false
    }

    pub(crate) fn new(strategy: WaitStrategy) -> Self {
        Self {
            strategy,
            worth: Worth::new(),
            progress: Progress::default(),
            pause: 0,
            trials: Trials::new(),
            next_probe_ns: 0,
        }
    }

    /// Polls to spin in this wait.
    fn polls(&self) -> u32 {
        match self.strategy {
            WaitStrategy::Spin => u32::MAX,
            WaitStrategy::Park => 0,
            WaitStrategy::SpinThenPark => self.worth.polls(),
        }
    }

    /// Takes note of a wait that found what it waited for after it had announced a sleep, which began, if it did, at that time.
    fn found_asleep(&mut self, since_ns: Option<u64>) {
        if self.strategy != WaitStrategy::SpinThenPark || !self.worth.wants_to_know() {
            return;
        }
        let slept = since_ns.map_or(0, |since| time::monotonic_ns().saturating_sub(since));
        self.worth.slept(Duration::from_nanos(slept));
    }

    /// Whether it is time to ask if the other side lives. If so, it is taken for asked.
    fn probe_is_due(&mut self, now_ns: u64) -> bool {
        let due = now_ns.saturating_add(nanoseconds(EARLY)) >= self.next_probe_ns;
        if due {
            self.next_probe_ns = now_ns.saturating_add(nanoseconds(SLICE));
        }
        due
    }

    /// Until it is time to ask if the other side lives.
    fn until_probe(&self, now_ns: u64) -> Duration {
        Duration::from_nanos(self.next_probe_ns.saturating_sub(now_ns))
    }

    /// When one whose calls do not wait, and who sleeps in between, is to try again: then the other side is asked for.
    pub(crate) fn look_again_after(&self) -> Duration {
        self.until_probe(time::monotonic_ns()).clamp(SLICE_WITHOUT_BARRIER, SLICE)
    }

    /// Has the next try ask if the other side lives, however short the time since the last.
    pub(crate) fn probe_next_time(&mut self) {
        self.next_probe_ns = 0;
    }

    fn never_sleeps(&self) -> bool {
        self.strategy == WaitStrategy::Spin
    }
}

/// Sleeps of one whom nobody wakes: short at first, longer while nothing comes.
#[derive(Debug)]
pub(crate) struct Naps {
    next: Duration,
}

impl Naps {
    pub(crate) fn new() -> Self {
        Self { next: FIRST_NAP }
    }

    /// Something came.
    pub(crate) fn begin_anew(&mut self) {
        self.next = FIRST_NAP;
    }

    pub(crate) fn sleep(&mut self, limit: Duration) {
        std::thread::sleep(self.next.min(limit));
        self.next = (self.next * 2).min(LONGEST_NAP);
    }
}

/// How long a member of a work group lets the one go first whose turn it is: long enough to wake up.
const COURTESY: Duration = Duration::from_micros(300);

/// Letting others go first, within limits.
#[derive(Debug, Default)]
pub(crate) struct Courtesy {
    since: Option<Instant>,
}

impl Courtesy {
    /// Notes whether there is something that another should take; true when he has had his time.
    pub(crate) fn is_exhausted(&mut self, something_is_there: bool) -> bool {
        if !something_is_there {
            self.since = None;
            return false;
        }
        let exhausted = self.since.get_or_insert_with(Instant::now).elapsed() >= COURTESY;
        if exhausted {
            self.since = None;
        }
        exhausted
    }

    /// What is left of it, if it has begun.
    pub(crate) fn left(&self) -> Option<Duration> {
        // Not zero: that would be no sleep at all.
        self.since.map(|since| COURTESY.saturating_sub(since.elapsed()).max(COURTESY / 8))
    }

    /// It is our turn.
    pub(crate) fn begin_anew(&mut self) {
        self.since = None;
    }
}

/// Waits for `awaited` as long as `patience` allows. `Ok(None)`: it did not come in time.
pub(crate) fn wait<A: Awaited>(
    awaited: &mut A,
    spinner: &mut Spinner,
    spin: Spin,
    patience: Patience,
) -> Result<Option<A::Output>, A::Error> {
    let limit = match patience {
        Patience::None => {
            if let Some(found) = awaited.glance()? {
                return Ok(Some(found));
            }
            let now = time::coarse_ns();
            return if spinner.probe_is_due(now) { awaited.probe() } else { Ok(None) };
        }
        Patience::For(limit) => limit,
    };
    let deadline = limit.map(|limit| time::monotonic_ns().saturating_add(nanoseconds(limit)));
    let mut spun = 0;
    while spun < spin.polls {
        if let Some(found) = awaited.glance()? {
            return Ok(Some(found));
        }
        let now = time::monotonic_ns();
        if deadline.is_some_and(|deadline| now >= deadline) {
            spinner.worth.was_cut_short();
            return Ok(None);
        }
        if spinner.probe_is_due(now)
            && let Some(found) = awaited.probe()?
        {
            return Ok(Some(found));
        }
        for _ in 0..POLLS_PER_GLANCE {
            if let Some(found) = awaited.poll()? {
                spinner.worth.paid();
                return Ok(Some(found));
            }
            std::hint::spin_loop();
        }
        if !spinner.never_sleeps() {
            spun += POLLS_PER_GLANCE;
        }
    }
    if spin.polls > 0 {
        spinner.worth.was_in_vain();
    }
    let mut announced = None;
    let mut asleep_since = None;
    loop {
        // One that still stands has had its barrier.
        let standing = announced.filter(|_| awaited.is_announced());
        let how = standing.unwrap_or_else(|| awaited.announce());
        announced = Some(how);
        if let Some(found) = awaited.poll()? {
            spinner.found_asleep(asleep_since);
            return Ok(Some(found));
        }
        if let Some(found) = awaited.glance()? {
            return Ok(Some(found));
        }
        let now = time::monotonic_ns();
        if spinner.probe_is_due(now) {
            if let Some(found) = awaited.probe()? {
                return Ok(Some(found));
            }
            // What the dead have left is found by the next poll.
            continue;
        }
        let left = deadline
            .map_or(Duration::MAX, |deadline| Duration::from_nanos(deadline.saturating_sub(now)));
        if left.is_zero() {
            return Ok(None);
        }
        // One sleep ends when the question is due: if it ended by itself, the question might wait for the next one's end.
        let slice = match how {
            Announced::Safely => spinner.until_probe(now),
            Announced::WithoutBarrier => SLICE_WITHOUT_BARRIER,
        };
        asleep_since = asleep_since.or(Some(now));
        let woken = awaited.sleep(slice.min(left));
        if let Some(found) = awaited.poll()? {
            if !woken && how == Announced::Safely && slice <= left {
                awaited.overslept();
            }
            spinner.found_asleep(asleep_since);
            return Ok(Some(found));
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: u64 = 1088;
    const RING: u64 = 1 << 20;

    /// A wait that finds something soon, behind one that `frames` came in; its pause.
    fn brief_wait(spinner: &mut Spinner, at: &mut Progress, frames: u64) -> u32 {
        at.frames += frames;
        at.bytes += frames * FRAME;
        let spin = spinner.begin(*at, RING);
        let mut polls = 0;
        let found = spinner.poll_briefly(spin, || {
            polls += 1;
            polls > 2
        });
        assert!(found);
        spin.pause
    }

    #[test]
    fn a_dialogue_is_hardly_ever_paused_in() {
        let (mut spinner, mut at) = (Spinner::new(WaitStrategy::Spin), Progress::default());
        let pauses = (0..1_000_000).filter(|_| brief_wait(&mut spinner, &mut at, 1) > 0).count();
        assert!((2..30).contains(&pauses), "{pauses} pauses in a million waits");
    }

    #[test]
    fn one_at_the_heels_of_a_stream_comes_to_pause() {
        let (mut spinner, mut at) = (Spinner::new(WaitStrategy::Spin), Progress::default());
        let mut pause = 0;
        // A frame every eight hints.
        let longest = (0..1000).map(|_| {
            pause = brief_wait(&mut spinner, &mut at, u64::from(pause / 8).max(1));
            pause
        });
        let longest = longest.max().unwrap_or_default();
        assert!((128..=512).contains(&longest), "a pause of {longest} hints");
    }
}
