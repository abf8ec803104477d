//! The other process: serves requests until the measuring one closes the pipe.

use std::io::{BufRead as _, Write as _};

use crate::request::{Outcome, Reply, Request, Say};
use crate::shared::Shared;
use crate::work::{call, latency, relay, throughput, wake};
use crate::{floors, pin};

/// `zerobuffer-compare other CORE DESCRIPTOR`.
pub(crate) fn run(core: usize, fd: u32) -> anyhow::Result<()> {
    // Spinning on a dead parent's memory would never end.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    pin::pin(core)?;
    let shared = Shared::inherit(fd)?;
    let mut say = |reply: Reply| {
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &reply)?;
        out.write_all(b"\n")?;
        Ok(out.flush()?)
    };
    for line in std::io::stdin().lock().lines() {
        let request = serde_json::from_str(&line?)?;
        let last = match serve(&shared, request, &mut say) {
            Ok(outcome) => Reply::Done(outcome),
            Err(why) => Reply::Failed(format!("{why:#}")),
        };
        say(last)?;
    }
    Ok(())
}

/// Does what was asked for; `say` is used once, when everything is open.
pub(crate) fn serve(shared: &Shared, request: Request, say: Say<'_>) -> anyhow::Result<Outcome> {
    match request {
        Request::Probe => {
            say(Reply::Ready)?;
            floors::answer(shared)?;
            Ok(Outcome::default())
        }
        Request::Echo { kind, there, back, mode } => latency::echo(kind, &there, &back, mode, say),
        Request::Relay { kind, there, back, by_reference } => {
            relay::pass_on(kind, &there, &back, by_reference, say)
        }
        Request::Drain { kind, from, mode, batch } => {
            throughput::drain(kind, &from, mode, batch, say)
        }
        Request::Answer { caller, link, mode } => call::answer(caller, &link, mode, say),
        Request::AnswerFutex => {
            say(Reply::Ready)?;
            call::answer_futex(shared)
        }
        Request::Wake { kind, from, count } => wake::receive(kind, &from, count, say),
        Request::WakeFutex { count } => {
            say(Reply::Ready)?;
            wake::receive_futex(shared, count)
        }
        Request::WakeSemaphore { count } => {
            say(Reply::Ready)?;
            wake::receive_semaphore(shared, count)
        }
    }
}
