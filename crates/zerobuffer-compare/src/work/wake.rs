//! How long a sleeping reader takes to notice a frame, and what a stream at a fixed pace costs.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use rustix::thread::futex;

use super::ages::Ages;
use super::cost::cpu_seconds;
use super::{Found, header, now_ns};
use crate::pair::Pair;
use crate::peers::kind::Kind;
use crate::peers::{self, Job, Link, Peer, Receiver as _, Sender as _, Wait};
use crate::request::{Outcome, Reply, Request, Say};
use crate::shared::Shared;

/// Time between two frames.
const INTERVAL: Duration = Duration::from_millis(1);
/// The first frames find everything cold.
const WARM_UP: u32 = 10;
/// The futex, and the time stamp that goes with it and with the semaphore.
const FUTEX: usize = 512;
const STAMP: usize = 1024;

/// What one run found: ages, and processor time of both sides for a million frames.
#[derive(Debug)]
pub(crate) struct Woken {
    pub(crate) ages: Found,
    pub(crate) cpu_s_per_million: f64,
}

/// Calls `next`, which waits for a frame and returns its time stamp, `count` times.
fn note_ages(
    count: u32,
    mut next: impl FnMut(u32) -> anyhow::Result<u64>,
) -> anyhow::Result<Outcome> {
    let (mut ages, cpu) = (Ages::new(), cpu_seconds());
    for index in 0..count {
        let stamp = next(index)?;
        let age = now_ns().saturating_sub(stamp);
        if index >= WARM_UP {
            ages.note(age);
        }
    }
    let cpu_seconds = cpu_seconds() - cpu;
    Ok(Outcome { frames: count.into(), cpu_seconds, ages: ages.counts(), ..Outcome::default() })
}

struct Receive<'a, 'b> {
    from: &'a Link,
    count: u32,
    say: Say<'b>,
}

impl Job for Receive<'_, '_> {
    type Output = Outcome;

    fn run<P: Peer>(self) -> anyhow::Result<Outcome> {
        let mut from = P::receiver(self.from, 0)?;
        (self.say)(Reply::Ready)?;
        note_ages(self.count, |_| from.receive(header))
    }
}

/// The other side, asleep on a link.
pub(crate) fn receive(
    kind: Kind,
    from: &Link,
    count: u32,
    say: Say<'_>,
) -> anyhow::Result<Outcome> {
    peers::with(kind, from.bytes, Receive { from, count, say })
}

/// The other side, asleep on a bare futex.
pub(crate) fn receive_futex(shared: &Shared, count: u32) -> anyhow::Result<Outcome> {
    let word = shared.futex(FUTEX);
    note_ages(count, |seen| {
        while word.load(Acquire) == seen {
            match futex::wait(word, futex::Flags::empty(), seen, None) {
                Ok(()) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(why) => return Err(why.into()),
            }
        }
        Ok(shared.word(STAMP).load(Relaxed))
    })
}

/// The other side, asleep on a bare semaphore.
pub(crate) fn receive_semaphore(shared: &Shared, count: u32) -> anyhow::Result<Outcome> {
    note_ages(count, |_| {
        shared.wait();
        Ok(shared.word(STAMP).load(Acquire))
    })
}

/// Calls `send` with a fresh time stamp once an interval.
fn pace(count: u32, mut send: impl FnMut(u64) -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let cpu = cpu_seconds();
    let mut due = Instant::now() + INTERVAL;
    for _ in 0..count {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        due += INTERVAL;
        send(now_ns())?;
    }
    Ok(cpu_seconds() - cpu)
}

fn woken(outcome: Outcome, count: u32, cpu_sender: f64) -> anyhow::Result<Woken> {
    anyhow::ensure!(outcome.frames == u64::from(count), "frames were lost");
    let mut ages = Ages::new();
    ages.add(&outcome.ages);
    Ok(Woken {
        ages: Found { value: ages.at(50.0), ages: outcome.ages },
        cpu_s_per_million: (cpu_sender + outcome.cpu_seconds) / f64::from(count) * 1e6,
    })
}

struct Pace<'a> {
    pair: &'a mut Pair,
    link: Link,
    count: u32,
}

impl Job for Pace<'_> {
    type Output = Woken;

    fn run<P: Peer>(self) -> anyhow::Result<Woken> {
        let mut to = P::sender(&self.link)?;
        self.pair.ready()?;
        let mut frame = vec![1; self.link.bytes];
        let cpu = pace(self.count, |stamp| {
            frame[..8].copy_from_slice(&stamp.to_le_bytes());
            to.send(&frame)
        })?;
        woken(self.pair.finish()?, self.count, cpu)
    }
}

/// One measurement: `count` frames of `bytes` bytes, a millisecond apart.
pub(crate) fn measure(
    pair: &mut Pair,
    kind: Kind,
    bytes: usize,
    count: u32,
) -> anyhow::Result<Woken> {
    let link = pair.link(bytes, super::throughput::ring_for(bytes), Wait::Park);
    pair.ask(&Request::Wake { kind, from: link.clone(), count })?;
    peers::with(kind, bytes, Pace { pair, link, count })
}

/// The same with nothing but a futex.
pub(crate) fn futex(pair: &mut Pair, count: u32) -> anyhow::Result<Woken> {
    pair.shared.futex(FUTEX).store(0, Release);
    pair.ask(&Request::WakeFutex { count })?;
    pair.ready()?;
    let shared = pair.shared.clone();
    let cpu = pace(count, |stamp| {
        shared.word(STAMP).store(stamp, Relaxed);
        shared.futex(FUTEX).fetch_add(1, Release);
        futex::wake(shared.futex(FUTEX), futex::Flags::empty(), 1)?;
        Ok(())
    })?;
    woken(pair.finish()?, count, cpu)
}

/// The same with nothing but a semaphore.
pub(crate) fn semaphore(pair: &mut Pair, count: u32) -> anyhow::Result<Woken> {
    pair.ask(&Request::WakeSemaphore { count })?;
    pair.ready()?;
    let shared = pair.shared.clone();
    let cpu = pace(count, |stamp| {
        shared.word(STAMP).store(stamp, Release);
        shared.post();
        Ok(())
    })?;
    woken(pair.finish()?, count, cpu)
}
