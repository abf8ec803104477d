//! What waiting costs: the CPU time of a process whose only thread waits.

use std::time::Instant;

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};
use zerobuffer::{Reader, Writer};

use super::args::IdleArgs;
use super::peer::{Outcome, Pair, Request};
use super::report::{Case, Column, Metrics, Report, Samples};

/// CPU time of this process so far, in user and in system mode.
fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

fn timed(wait: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Outcome> {
    let (started, cpu) = (Instant::now(), cpu_seconds());
    wait()?;
    Ok(Outcome {
        seconds: started.elapsed().as_secs_f64(),
        cpu_seconds: cpu_seconds() - cpu,
        ..Outcome::default()
    })
}

/// The peer as a Reader with nothing to read.
pub(super) fn wait_for_frame(reader: &mut Reader) -> anyhow::Result<Outcome> {
    timed(|| {
        drop(reader.read()?.context("the writer closed in the middle")?);
        Ok(())
    })
}

/// Writes until there is no room.
pub(super) fn fill(writer: &mut Writer) -> anyhow::Result<()> {
    loop {
        match writer.try_write(&[7; 1000]) {
            Ok(_) => {}
            Err(full) if full.is_timeout() => return Ok(()),
            Err(other) => return Err(other.into()),
        }
    }
}

/// The peer as a Writer with no room to write.
pub(super) fn wait_for_room(writer: &mut Writer) -> anyhow::Result<Outcome> {
    timed(|| {
        writer.write(&[7; 1000])?;
        Ok(())
    })
}

/// `zerobuffer bench idle`.
pub(super) fn run(args: &IdleArgs) -> anyhow::Result<Report> {
    let wait_for = args.seconds;
    let mut pair = Pair::start_up(&args.common, 0)?;
    let mut cases = Vec::new();
    let mut plan = Vec::new();
    for &wait in &args.wait {
        for (how, writes) in [("Reader, nothing to read", false), ("Writer, no room", true)] {
            plan.push((wait, writes));
            cases.push(Case {
                how: how.into(),
                bytes: 1000,
                wait: wait.name(),
                payload: "none moves",
                copies: "nobody",
                placement_matters: false,
                rivals: Vec::new(),
            });
        }
    }
    let samples = Samples::collect(&mut pair, &args.common, &cases, |pair, index| {
        let (wait, writes) = plan[index];
        let place = pair.place(wait);
        let outcome = if writes {
            let mut reader = place.create_reader(64 << 10)?;
            pair.start(&Request::IdleWriter { to: place })?;
            std::thread::sleep(wait_for);
            // Room for the frame that is waited for, whatever the ring needs between frames.
            for _ in 0..8 {
                drop(reader.read()?.context("the writer closed in the middle")?);
            }
            let outcome = pair.finish()?;
            // Nobody wants the rest.
            reader.unsubscribe();
            outcome
        } else {
            let mut writer = place.create_writer(64 << 10)?;
            pair.start(&Request::IdleReader { from: place })?;
            std::thread::sleep(wait_for);
            writer.write(&[7; 1000])?;
            pair.finish()?
        };
        anyhow::ensure!(
            outcome.seconds >= 0.9 * args.seconds.as_secs_f64(),
            "waiting ended after {:.3} s with nothing to wait for",
            outcome.seconds
        );
        Ok(Metrics::from([
            ("cpu_percent", 100.0 * outcome.cpu_seconds / outcome.seconds),
            ("cpu_us", outcome.cpu_seconds * 1e6),
            ("waited_s", outcome.seconds),
        ]))
    })?;
    Ok(Report::new("idle", &pair, &args.common, cases, samples)
        .columns(vec![
            Column::plain("cpu_percent", "% of a core", 4),
            Column::us("cpu_us", "CPU time"),
            Column::plain("waited_s", "waited s", 1),
        ])
        .note("CPU time of the whole waiting process, user and system, over the time it waited."))
}
