//! A relay between two links: one frame in flight, from the writer through the relay to the reader.

use std::time::{Duration, Instant};

use super::{END, Found, header, median, sum};
use crate::pair::Pair;
use crate::peers::kind::Kind;
use crate::peers::{self, Job, Link, Peer, Receiver as _, Sender as _, Wait};
use crate::request::{Outcome, Reply, Request, Say};

struct PassOn<'a, 'b> {
    there: &'a Link,
    back: &'a Link,
    by_reference: bool,
    say: Say<'b>,
}

impl Job for PassOn<'_, '_> {
    type Output = Outcome;

    fn run<P: Peer>(self) -> anyhow::Result<Outcome> {
        let Self { there, back, by_reference, say } = self;
        let mut from = P::receiver(there, 0)?;
        let mut to = P::sender(back)?;
        say(Reply::Ready)?;
        let mut outcome = Outcome::default();
        loop {
            let first = if by_reference {
                P::forward(&mut from, &mut to)?
            } else {
                from.receive(|frame| to.send(frame).map(|()| header(frame)))??
            };
            outcome.frames += 1;
            if first == END {
                return Ok(outcome);
            }
        }
    }
}

/// The other side: the relay.
pub(crate) fn pass_on(
    kind: Kind,
    there: &Link,
    back: &Link,
    by_reference: bool,
    say: Say<'_>,
) -> anyhow::Result<Outcome> {
    peers::with(kind, there.bytes, PassOn { there, back, by_reference, say })
}

struct Feed<'a> {
    pair: &'a mut Pair,
    there: Link,
    back: Link,
    millis: u64,
}

impl Job for Feed<'_> {
    type Output = Found;

    fn run<P: Peer>(self) -> anyhow::Result<Found> {
        let Self { pair, there, back, millis } = self;
        let bytes = there.bytes;
        let mut to = P::sender(&there)?;
        let mut from = P::receiver(&back, 0)?;
        pair.ready()?;
        let mut payload = vec![1; bytes];
        payload[..8].fill(0);
        let rest = sum(&payload);
        let mut round = |first: u64| -> anyhow::Result<()> {
            payload[..8].copy_from_slice(&first.to_le_bytes());
            to.send(&payload)?;
            let got = from.receive(sum)?;
            anyhow::ensure!(got == rest.wrapping_add(first), "frame {first} arrived damaged");
            Ok(())
        };
        let warm_up = (P::lap(&there) / bytes).clamp(10, 20_000) as u64;
        for first in 0..warm_up {
            round(first)?;
        }
        let (started, limit) = (Instant::now(), Duration::from_millis(millis));
        let (mut ages, mut times) = (super::ages::Ages::new(), Vec::new());
        let mut sequence = warm_up;
        while started.elapsed() < limit || times.len() < 10 {
            let begun = Instant::now();
            round(sequence)?;
            let took = begun.elapsed().as_nanos() as u64;
            ages.note(took);
            times.push(took as f64);
            sequence += 1;
        }
        round(END)?;
        let outcome = pair.finish()?;
        anyhow::ensure!(outcome.frames == sequence + 1, "the relay lost frames");
        Ok(Found { value: median(&mut times), ages: ages.counts() })
    }
}

/// One measurement: ns from before a frame is written until it was read behind the relay.
pub(crate) fn measure(
    pair: &mut Pair,
    kind: Kind,
    bytes: usize,
    by_reference: bool,
    millis: u64,
) -> anyhow::Result<Found> {
    let ring = super::throughput::ring_for(bytes);
    let there = Link { sharing: by_reference, ..pair.link(bytes, ring, Wait::Spin) };
    let back = Link { sharing: by_reference, ..pair.link(bytes, ring, Wait::Spin) };
    pair.ask(&Request::Relay { kind, there: there.clone(), back: back.clone(), by_reference })?;
    peers::with(kind, bytes, Feed { pair, there, back, millis })
}
