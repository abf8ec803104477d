//! The peer: does its half of whatever is measured.

use std::io::BufRead as _;

use super::args::PeerArgs;
use super::peer::{Outcome, Reply, Request, ready, say};
use super::raw::Shared;
use super::{bare_ring, floor, idle, latency, pin, throughput, wake};

/// `zerobuffer bench peer`: serves requests until the parent closes the pipe.
pub(super) fn serve(args: &PeerArgs) -> anyhow::Result<()> {
    // Spinning on a dead parent's memory would never end.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    pin::pin(args.core)?;
    let shared = Shared::inherit(args.fd)?;
    for line in std::io::stdin().lock().lines() {
        let request = serde_json::from_str(&line?)?;
        let reply = match serve_one(&shared, request) {
            Ok(outcome) => Reply::Done(outcome),
            Err(why) => Reply::Failed(format!("{why:#}")),
        };
        say(&reply)?;
    }
    Ok(())
}

fn serve_one(shared: &Shared, request: Request) -> anyhow::Result<Outcome> {
    match request {
        Request::Probe => {
            ready()?;
            floor::answer(shared)?;
            Ok(Outcome::default())
        }
        Request::Echo { there, back, bytes, loaned } => {
            let (mut reader, mut writer) = (there.join()?, back.connect()?);
            ready()?;
            latency::echo(&mut reader, &mut writer, bytes, loaned)
        }
        Request::EchoBare { words } => {
            anyhow::ensure!((1..=bare_ring::MAX_BYTES / 8).contains(&words), "{words} words");
            ready()?;
            Ok(latency::echo_bare(shared, words))
        }
        Request::Drain { from, bytes, touch, batch, v1_ring } => {
            let mut reader = match v1_ring {
                Some(ring) => from.create_v1_reader(ring)?,
                None => from.join()?,
            };
            ready()?;
            throughput::drain(&mut reader, bytes, touch, batch)
        }
        Request::DrainBare { slots, stride, bytes } => {
            ready()?;
            throughput::drain_bare(shared, slots, stride, bytes)
        }
        Request::WakeReader { from, count } => {
            let mut reader = from.join()?;
            ready()?;
            wake::receive(&mut reader, count)
        }
        Request::WakeFutex { count } => {
            ready()?;
            wake::receive_futex(shared, count)
        }
        Request::IdleReader { from } => {
            let mut reader = from.join()?;
            ready()?;
            idle::wait_for_frame(&mut reader)
        }
        Request::IdleWriter { to } => {
            let mut writer = to.connect()?;
            idle::fill(&mut writer)?;
            ready()?;
            idle::wait_for_room(&mut writer)
        }
    }
}
