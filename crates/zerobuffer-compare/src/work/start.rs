//! How long it takes from nothing to the first frame that came back: both ends of two links opened by two processes
//! that run already, one frame there and one back.

use std::time::Instant;

use super::{END, Found, header};
use crate::pair::Pair;
use crate::peers::kind::{Kind, Mode};
use crate::peers::{self, Job, Link, Peer, Receiver as _, Sender as _, Wait};
use crate::request::Request;

struct First<'a> {
    pair: &'a mut Pair,
    there: Link,
    back: Link,
    begun: Instant,
}

impl Job for First<'_> {
    type Output = Found;

    fn run<P: Peer>(self) -> anyhow::Result<Found> {
        let mut to = P::sender(&self.there)?;
        let mut from = P::receiver(&self.back, 0)?;
        self.pair.ready()?;
        let mut frame = vec![1; self.there.bytes];
        frame[..8].copy_from_slice(&END.to_le_bytes());
        to.send(&frame)?;
        let first = from.receive(header)?;
        let took = self.begun.elapsed().as_nanos() as f64;
        anyhow::ensure!(first == END, "another frame came back");
        self.pair.finish()?;
        Ok(Found { value: took, ages: Vec::new() })
    }
}

/// One measurement: ns.
pub(crate) fn measure(pair: &mut Pair, kind: Kind, bytes: usize) -> anyhow::Result<Found> {
    let ring = super::throughput::ring_for(bytes);
    let there = pair.link(bytes, ring, Wait::Park);
    let back = pair.link(bytes, ring, Wait::Park);
    let begun = Instant::now();
    let (to, from) = (there.clone(), back.clone());
    pair.ask(&Request::Echo { kind, there: to, back: from, mode: Mode::Copied })?;
    peers::with(kind, bytes, First { pair, there, back, begun })
}
