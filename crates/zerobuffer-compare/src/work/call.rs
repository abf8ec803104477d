//! Request and answer: a client asks, a server answers with the same bytes, one call under way.

use std::sync::atomic::Ordering::{Acquire, Release};

use rustix::thread::futex;

use super::rounds::time;
use super::{END, Found, header, sum};
use crate::callers::{self, Caller, Client as _, Job, Server as _, Service};
use crate::pair::Pair;
use crate::peers::kind::Mode;
use crate::peers::{Link, Wait};
use crate::request::{Outcome, Reply, Request, Say};
use crate::shared::Shared;

/// Calls before any counts, at most.
const WARM_UP: u64 = 20_000;
/// Where the two futexes of the floor lie.
const THERE: usize = 2048;
const BACK: usize = 2048 + 256;

/// What is read of a frame: every byte of a copied one, of others nothing but the header.
#[inline]
fn seen(frame: &[u8], mode: Mode) -> u64 {
    match mode {
        Mode::Loaned => 0,
        Mode::Copied | Mode::Batched => sum(frame),
    }
}

struct Answer<'a, 'b> {
    link: &'a Link,
    mode: Mode,
    say: Say<'b>,
}

impl Job for Answer<'_, '_> {
    type Output = Outcome;

    fn run<S: Service>(self) -> anyhow::Result<Outcome> {
        let mode = self.mode;
        let mut server = S::server(self.link)?;
        (self.say)(Reply::Ready)?;
        let mut outcome = Outcome::default();
        loop {
            let (first, part) = server.answer(|request| (header(request), seen(request, mode)))?;
            outcome.frames += 1;
            outcome.sum = outcome.sum.wrapping_add(part);
            if first == END {
                return Ok(outcome);
            }
        }
    }
}

/// The other side: answers every request, the last one too.
pub(crate) fn answer(
    caller: Caller,
    link: &Link,
    mode: Mode,
    say: Say<'_>,
) -> anyhow::Result<Outcome> {
    callers::with(caller, Answer { link, mode, say })
}

struct Ask<'a> {
    pair: &'a mut Pair,
    link: Link,
    mode: Mode,
    millis: u64,
}

impl Job for Ask<'_> {
    type Output = Found;

    fn run<S: Service>(self) -> anyhow::Result<Found> {
        let Self { pair, link, mode, millis } = self;
        pair.ready()?;
        let mut client = S::client(&link)?;
        let mut request = vec![1; link.bytes];
        let (mut total, mut number) = (0_u64, 0);
        let mut ask = |first: u64| -> anyhow::Result<()> {
            let look = |answer: &[u8]| (header(answer), seen(answer, mode));
            let (back, part) = match mode {
                Mode::Loaned => client.call_loaned(link.bytes, first, look)?,
                Mode::Copied | Mode::Batched => {
                    request[..8].copy_from_slice(&first.to_le_bytes());
                    client.call(&request, look)?
                }
            };
            anyhow::ensure!(back == first, "request {first} was answered with {back}");
            total = total.wrapping_add(part);
            Ok(())
        };
        let found = time(WARM_UP, 1, millis, || {
            number += 1;
            ask(number)
        })?;
        ask(END)?;
        let outcome = pair.finish()?;
        anyhow::ensure!(outcome.frames == number + 1, "requests were lost on the way");
        anyhow::ensure!(outcome.sum == total, "the two sides disagree about what was asked");
        Ok(found)
    }
}

/// One measurement: ns from a request to its answer.
pub(crate) fn measure(
    pair: &mut Pair,
    caller: Caller,
    bytes: usize,
    mode: Mode,
    wait: Wait,
    millis: u64,
) -> anyhow::Result<Found> {
    let link = pair.link(bytes, super::throughput::ring_for(bytes), wait);
    pair.ask(&Request::Answer { caller, link: link.clone(), mode })?;
    callers::with(caller, Ask { pair, link, mode, millis })
}

fn sleep_until(shared: &Shared, at: usize, wanted: u32) -> anyhow::Result<u32> {
    let word = shared.futex(at);
    loop {
        let seen = word.load(Acquire);
        if seen == wanted || seen == u32::MAX {
            return Ok(seen);
        }
        match futex::wait(word, futex::Flags::empty(), seen, None) {
            Ok(()) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(why) => return Err(why.into()),
        }
    }
}

fn wake(shared: &Shared, at: usize, number: u32) -> anyhow::Result<()> {
    shared.futex(at).store(number, Release);
    futex::wake(shared.futex(at), futex::Flags::empty(), 1)?;
    Ok(())
}

/// The other side of [`two_wakes`].
pub(crate) fn answer_futex(shared: &Shared) -> anyhow::Result<Outcome> {
    let mut number = 0;
    loop {
        number += 1;
        let seen = sleep_until(shared, THERE, number)?;
        wake(shared, BACK, seen)?;
        if seen == u32::MAX {
            return Ok(Outcome { frames: number.into(), ..Outcome::default() });
        }
    }
}

/// The floor of those who sleep: a futex wakes the other side, and another one wakes this one.
pub(crate) fn two_wakes(pair: &mut Pair, millis: u64) -> anyhow::Result<Found> {
    for at in [THERE, BACK] {
        pair.shared.futex(at).store(0, Release);
    }
    pair.ask(&Request::AnswerFutex)?;
    pair.ready()?;
    let shared = pair.shared.clone();
    let mut number = 0;
    let found = time(WARM_UP, 1, millis, || {
        number += 1;
        wake(&shared, THERE, number)?;
        sleep_until(&shared, BACK, number)?;
        Ok(())
    })?;
    wake(&shared, THERE, u32::MAX)?;
    let outcome = pair.finish()?;
    anyhow::ensure!(outcome.frames == u64::from(number) + 1, "wake-ups were lost");
    Ok(found)
}
