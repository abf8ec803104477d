//! One-way latency: half a round trip through two links, one frame in flight.

use super::rounds::time;
use super::{END, Found, header, sum};
use crate::pair::Pair;
use crate::peers::kind::{Kind, Mode};
use crate::peers::{self, Job, Link, Peer, Receiver as _, Sender as _, Wait};
use crate::request::{Outcome, Reply, Request, Say};

#[inline(always)]
fn send<P: Peer>(
    to: &mut P::Sender,
    payload: &mut [u8],
    first: u64,
    mode: Mode,
) -> anyhow::Result<()> {
    if mode == Mode::Loaned {
        return to.send_loaned(payload.len(), first);
    }
    payload[..8].copy_from_slice(&first.to_le_bytes());
    to.send(payload)
}

/// The first eight bytes of the next frame; a copied one is summed on the way.
#[inline(always)]
fn receive<P: Peer>(from: &mut P::Receiver, total: &mut u64, mode: Mode) -> anyhow::Result<u64> {
    from.receive(|frame| {
        if mode != Mode::Loaned {
            *total = total.wrapping_add(sum(frame));
        }
        header(frame)
    })
}

struct Echo<'a, 'b> {
    there: &'a Link,
    back: &'a Link,
    mode: Mode,
    say: Say<'b>,
}

impl Job for Echo<'_, '_> {
    type Output = Outcome;

    fn run<P: Peer>(self) -> anyhow::Result<Outcome> {
        let Self { there, back, mode, say } = self;
        let mut from = P::receiver(there, 0)?;
        let mut to = P::sender(back)?;
        say(Reply::Ready)?;
        let mut payload = vec![1; back.bytes];
        let mut outcome = Outcome::default();
        loop {
            let first = receive::<P>(&mut from, &mut outcome.sum, mode)?;
            send::<P>(&mut to, &mut payload, first, mode)?;
            outcome.frames += 1;
            if first == END {
                return Ok(outcome);
            }
        }
    }
}

/// The other side: sends every frame back, the last one too.
pub(crate) fn echo(
    kind: Kind,
    there: &Link,
    back: &Link,
    mode: Mode,
    say: Say<'_>,
) -> anyhow::Result<Outcome> {
    peers::with(kind, there.bytes, Echo { there, back, mode, say })
}

struct Bounce<'a> {
    pair: &'a mut Pair,
    there: Link,
    back: Link,
    mode: Mode,
    millis: u64,
}

impl Job for Bounce<'_> {
    type Output = Found;

    fn run<P: Peer>(self) -> anyhow::Result<Found> {
        let Self { pair, there, back, mode, millis } = self;
        let bytes = there.bytes;
        let mut to = P::sender(&there)?;
        let mut from = P::receiver(&back, 0)?;
        pair.ready()?;

        let mut payload = vec![1; bytes];
        let (mut total, mut sequence) = (0, 0_u64);
        let lap = (P::lap(&there) / (bytes + 16)).clamp(10, 20_000) as u64;
        let found = time(lap, 2, millis, || {
            sequence += 1;
            send::<P>(&mut to, &mut payload, sequence, mode)?;
            let first = receive::<P>(&mut from, &mut total, mode)?;
            anyhow::ensure!(first == sequence, "frame {sequence} came back as {first}");
            Ok(())
        })?;

        send::<P>(&mut to, &mut payload, END, mode)?;
        receive::<P>(&mut from, &mut total, mode)?;
        let outcome = pair.finish()?;
        anyhow::ensure!(outcome.frames == sequence + 1, "frames were lost on the way");
        anyhow::ensure!(outcome.sum == total, "the two directions disagree about what was sent");
        Ok(found)
    }
}

/// One measurement: ns one way.
pub(crate) fn measure(
    pair: &mut Pair,
    kind: Kind,
    bytes: usize,
    mode: Mode,
    wait: Wait,
    millis: u64,
) -> anyhow::Result<Found> {
    let ring = super::throughput::ring_for(bytes);
    let there = pair.link(bytes, ring, wait);
    let back = pair.link(bytes, ring, wait);
    pair.ask(&Request::Echo { kind, there: there.clone(), back: back.clone(), mode })?;
    peers::with(kind, bytes, Bounce { pair, there, back, mode, millis })
}
