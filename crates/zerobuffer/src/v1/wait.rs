//! Waiting: spin, then sleep on a semaphore, look around now and then.

use std::time::{Duration, Instant};

use crate::config::WaitStrategy;

/// Longest sleep before everything is looked at again; so also how soon a peer's departure is noticed (L21).
const SLICE: Duration = Duration::from_millis(100);
/// Polls between two looks at the clock while spinning.
const POLLS_PER_GLANCE: u32 = 256;
const MAX_BUDGET: u32 = 2048;
const MIN_BUDGET: u32 = 16;
/// After spinning has stopped paying, it is tried again in one wait of this many.
const RETRY_INTERVAL: u32 = 32;

/// How long a call is willing to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// So long; `None` is for ever.
    For(Option<Duration>),
}

/// Something that can be waited for.
pub(crate) trait Awaited {
    type Output;
    type Error;
    /// Looks once, cheaply: no system call.
    fn poll(&mut self) -> Result<Option<Self::Output>, Self::Error>;
    /// Looks around in memory: has the other side left?
    fn glance(&mut self) -> Result<Option<Self::Output>, Self::Error>;
    /// Asks the kernel whether the other side lives.
    fn probe(&mut self) -> Result<Option<Self::Output>, Self::Error>;
    /// Sleeps until woken, at most `limit`.
    fn sleep(&mut self, limit: Duration);
}

/// Remembers whether spinning pays here, and when the other side was last asked for.
#[derive(Debug)]
pub(crate) struct Spinner {
    strategy: WaitStrategy,
    budget: u32,
    waits_without_spinning: u32,
    one_cpu: bool,
    next_probe: Option<Instant>,
}

impl Spinner {
    pub(crate) fn new(strategy: WaitStrategy) -> Self {
        let one_cpu = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) == 1;
        let (budget, next_probe) = (MAX_BUDGET, None);
        Self { strategy, budget, waits_without_spinning: 0, one_cpu, next_probe }
    }

    /// Polls to spin in this wait.
    fn polls(&mut self) -> u32 {
        match self.strategy {
            WaitStrategy::Spin => u32::MAX,
            WaitStrategy::Park => 0,
            WaitStrategy::SpinThenPark if self.one_cpu => 0,
            WaitStrategy::SpinThenPark if self.budget < MIN_BUDGET => {
                self.waits_without_spinning += 1;
                if self.waits_without_spinning < RETRY_INTERVAL {
                    return 0;
                }
                self.waits_without_spinning = 0;
                MAX_BUDGET
            }
            WaitStrategy::SpinThenPark => self.budget,
        }
    }

    fn learn(&mut self, paid: bool) {
        self.budget = if paid { MAX_BUDGET } else { self.budget / 2 };
    }

    /// Whether it is time to ask if the other side lives. Kept across calls, so that short timeouts ask too.
    fn probe_is_due(&mut self, now: Instant) -> bool {
        let due = self.next_probe.is_some_and(|at| now >= at);
        if due || self.next_probe.is_none() {
            self.next_probe = Some(now + SLICE);
        }
        due
    }
}

/// Waits for `awaited` as long as `patience` allows. `Ok(None)`: it did not come in time.
pub(crate) fn wait<A: Awaited>(
    awaited: &mut A,
    spinner: &mut Spinner,
    patience: Patience,
) -> Result<Option<A::Output>, A::Error> {
    if let Some(found) = awaited.poll()? {
        return Ok(Some(found));
    }
    let limit = match patience {
        Patience::None => {
            return match awaited.glance()? {
                None if spinner.probe_is_due(Instant::now()) => awaited.probe(),
                other => Ok(other),
            };
        }
        Patience::For(limit) => limit,
    };
    let polls = spinner.polls();
    let begin = Instant::now();
    let deadline = limit.and_then(|limit| begin.checked_add(limit));
    let mut spun = 0;
    while spun < polls {
        for _ in 0..POLLS_PER_GLANCE {
            if let Some(found) = awaited.poll()? {
                spinner.learn(true);
                return Ok(Some(found));
            }
            std::hint::spin_loop();
        }
        if let Some(found) = awaited.glance()? {
            return Ok(Some(found));
        }
        let now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Ok(None);
        }
        if spinner.probe_is_due(now)
            && let Some(found) = awaited.probe()?
        {
            return Ok(Some(found));
        }
        if spinner.strategy != WaitStrategy::Spin {
            spun += POLLS_PER_GLANCE;
        }
    }
    if polls > 0 {
        spinner.learn(false);
    }
    loop {
        if let Some(found) = awaited.glance()? {
            return Ok(Some(found));
        }
        let left = deadline.map_or(SLICE, |end| end.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Ok(None);
        }
        awaited.sleep(left.min(SLICE));
        if let Some(found) = awaited.poll()? {
            return Ok(Some(found));
        }
        if spinner.probe_is_due(Instant::now())
            && let Some(found) = awaited.probe()?
        {
            return Ok(Some(found));
        }
    }
}
