//! How long a sleeping reader takes to notice a frame, and what waking it costs the writer.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::thread::futex;
use rustix::time::{ClockId, clock_gettime};
use zerobuffer::Reader;

use super::args::{Wait, WakeArgs};
use super::header;
use super::peer::{Outcome, Pair, Request};
use super::raw::Shared;
use super::report::{Case, Column, Metrics, Report, Samples, histogram, percentiles};

const FUTEX: usize = 512;
const STAMP: usize = 640;
/// Left out at the start of each measurement: the first sleeps find cold code.
const WARM_UP: u32 = 5;

/// Now, on the clock that all processes share.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The peer: notes how old each time stamp is when it gets to see it.
pub(super) fn receive(reader: &mut Reader, count: u32) -> anyhow::Result<Outcome> {
    let mut ages = histogram();
    for index in 0..count {
        let frame = reader.read()?.context("the writer closed in the middle")?;
        let age = now_ns().saturating_sub(header(&frame));
        if index >= WARM_UP {
            ages.saturating_record(age);
        }
    }
    Ok(Outcome {
        frames: u64::from(count),
        percentiles_ns: percentiles(&ages).to_vec(),
        ..Outcome::default()
    })
}

/// The same over a bare futex.
pub(super) fn receive_futex(shared: &Shared, count: u32) -> anyhow::Result<Outcome> {
    let word = shared.futex(FUTEX);
    let mut ages = histogram();
    for seen in 0..count {
        while word.load(Acquire) == seen {
            match futex::wait(word, futex::Flags::empty(), seen, None) {
                Ok(()) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(why) => return Err(why).context("wait on the futex"),
            }
        }
        let age = now_ns().saturating_sub(shared.word(STAMP).load(Relaxed));
        if seen >= WARM_UP {
            ages.saturating_record(age);
        }
    }
    Ok(Outcome {
        frames: u64::from(count),
        percentiles_ns: percentiles(&ages).to_vec(),
        ..Outcome::default()
    })
}

/// Calls `send` once an interval and returns the median of what a call took, in ns.
fn pace(args: &WakeArgs, mut send: impl FnMut(u64) -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let interval = Duration::from_micros(args.interval_us);
    let mut costs = histogram();
    let mut due = Instant::now() + interval;
    for index in 0..args.count {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        due += interval;
        let before = now_ns();
        send(before)?;
        if index >= WARM_UP {
            costs.saturating_record(now_ns() - before);
        }
    }
    Ok(percentiles(&costs)[0])
}

fn metrics(outcome: &Outcome, sender_ns: f64) -> anyhow::Result<Metrics> {
    let &[p50, p99, p999, max] = &outcome.percentiles_ns[..] else {
        anyhow::bail!("the other process sent no percentiles");
    };
    Ok(Metrics::from([
        ("p50_us", p50 / 1e3),
        ("p99_us", p99 / 1e3),
        ("p999_us", p999 / 1e3),
        ("max_us", max / 1e3),
        ("sender_us", sender_ns / 1e3),
    ]))
}

fn ring(pair: &mut Pair, args: &WakeArgs, wait: Wait) -> anyhow::Result<Metrics> {
    let place = pair.place(wait);
    let mut writer = place.create_writer(64 << 10)?;
    pair.start(&Request::WakeReader { from: place, count: args.count })?;
    let sender_ns = pace(args, |stamp| {
        writer.write(&stamp.to_le_bytes())?;
        Ok(())
    })?;
    metrics(&pair.finish()?, sender_ns)
}

fn bare(pair: &mut Pair, args: &WakeArgs) -> anyhow::Result<Metrics> {
    pair.shared.futex(FUTEX).store(0, SeqCst);
    pair.start(&Request::WakeFutex { count: args.count })?;
    let sender_ns = pace(args, |stamp| {
        pair.shared.word(STAMP).store(stamp, Relaxed);
        pair.shared.futex(FUTEX).fetch_add(1, Release);
        futex::wake(pair.shared.futex(FUTEX), futex::Flags::empty(), 1)
            .context("wake the futex")?;
        Ok(())
    })?;
    metrics(&pair.finish()?, sender_ns)
}

/// `zerobuffer bench wake`.
pub(super) fn run(args: &WakeArgs) -> anyhow::Result<Report> {
    let mut pair = Pair::start_up(&args.common, 0)?;
    let case = |how: &str, wait, rivals| Case {
        how: how.into(),
        bytes: 8,
        wait,
        payload: "a time stamp",
        copies: "Writer in",
        placement_matters: true,
        rivals,
    };
    let cases = vec![
        case("ZeroBuffer", "park", vec![("futex", 2)]),
        case("ZeroBuffer", "spin-then-park", vec![("futex", 2)]),
        case("bare futex", "futex", Vec::new()),
    ];
    let samples = Samples::collect(&mut pair, &args.common, &cases, |pair, index| match index {
        0 => ring(pair, args, Wait::Park),
        1 => ring(pair, args, Wait::SpinThenPark),
        _ => bare(pair, args),
    })?;
    Ok(Report::new("wake", &pair, &args.common, cases, samples)
        .versus("p50_us")
        .versus("sender_us")
        .columns(vec![
            Column::us("p50_us", "p50"),
            Column::us("p99_us", "p99"),
            Column::us("max_us", "max"),
            Column::us("sender_us", "Writer's call"),
            Column::ratio("p50_us_vs_futex", "p50 ÷ futex"),
            Column::ratio("sender_us_vs_futex", "call ÷ futex"),
        ])
        .note(&format!(
            "A frame every {} µs, {} in each measurement; from just before the Writer's call until the Reader has the time stamp.",
            args.interval_us, args.count
        )))
}
