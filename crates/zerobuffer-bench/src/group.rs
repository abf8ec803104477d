//! How fair a work group is: each member's share of the frames under load, and the longest that one waited.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use zerobuffer::{BufferConfig, FullPolicy, Reader, Writer};

use super::args::{GroupArgs, Wait};
use super::peer::{Pair, Place};
use super::report::{Case, Column, Metrics, Report, Samples};

/// What a member came to.
struct Share {
    frames: u64,
    longest_wait: Duration,
}

fn work(reader: &mut Reader, work: Duration) -> anyhow::Result<Share> {
    let mut share = Share { frames: 0, longest_wait: Duration::ZERO };
    loop {
        let begun = Instant::now();
        let Some(frame) = reader.read()? else { return Ok(share) };
        share.frames += 1;
        share.longest_wait = share.longest_wait.max(begun.elapsed());
        // What a member does with a frame: it waits for something else, so that they do not compete for the cores.
        thread::sleep(work);
        drop(frame);
    }
}

fn measure(place: &Place, args: &GroupArgs, members: usize) -> anyhow::Result<Metrics> {
    let config = BufferConfig::new().payload_bytes(256 << 10).reader_slots(members as u32 + 2);
    let policy = FullPolicy::Block { timeout: None };
    let mut writer =
        Writer::options().dir(&place.dir).full_policy(policy).create(&place.name, &config)?;
    let start = Barrier::new(members + 1);
    let pause = Duration::from_micros(args.work_us);
    let begun = Instant::now();
    let shares = thread::scope(|scope| -> anyhow::Result<Vec<Share>> {
        let member = || -> anyhow::Result<Share> {
            let options = Reader::options().dir(&place.dir).wait_strategy(place.wait.strategy());
            let joined = options.group("members").join(&place.name);
            start.wait();
            work(&mut joined?, pause)
        };
        let threads: Vec<_> = (0..members).map(|_| scope.spawn(member)).collect();
        start.wait();
        let bytes = vec![1; args.size];
        for _ in 0..args.frames {
            writer.write(&bytes)?;
        }
        drop(writer);
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a member panicked"))?)
            .collect()
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let all: u64 = shares.iter().map(|share| share.frames).sum();
    anyhow::ensure!(all >= args.frames, "{all} frames arrived of {}", args.frames);
    let even = all as f64 / members as f64;
    let percent = |share: Option<u64>| share.unwrap_or(0) as f64 / even * 100.0;
    let longest = shares.iter().map(|share| share.longest_wait).max().context("no members")?;
    Ok(Metrics::from([
        ("least_percent", percent(shares.iter().map(|share| share.frames).min())),
        ("most_percent", percent(shares.iter().map(|share| share.frames).max())),
        ("longest_wait_us", longest.as_secs_f64() * 1e6),
        ("frames_per_s", args.frames as f64 / seconds),
    ]))
}

/// `zerobuffer bench group`.
pub(super) fn run(args: &GroupArgs) -> anyhow::Result<Report> {
    let mut pair = Pair::start_up(&args.common, 0)?;
    let mut cases = Vec::new();
    for &members in &args.members {
        cases.push(Case {
            how: format!("{members} members"),
            bytes: args.size,
            wait: "spin-then-park",
            payload: "written",
            copies: "writer",
            placement_matters: false,
            rivals: Vec::new(),
        });
    }
    let samples = Samples::collect(&mut pair, &args.common, &cases, |pair, index| {
        let place = pair.place(Wait::SpinThenPark);
        measure(&place, args, args.members[index])
    })?;
    Ok(Report::new("group", &pair, &args.common, cases, samples)
        .columns(vec![
            Column::plain("least_percent", "least share, % of even", 1),
            Column::plain("most_percent", "most", 1),
            Column::us("longest_wait_us", "longest wait"),
            Column::plain("frames_per_s", "frames/s", 0),
        ])
        .note(&format!(
            "{} frames at full speed; a member sleeps {} µs over each, and a little more. Members are threads, not pinned.",
            args.frames, args.work_us
        )))
}
