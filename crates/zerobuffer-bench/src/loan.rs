//! What a loan costs by frame size: if nothing is copied, a frame of 100 MB costs what one of 64 B costs.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use zerobuffer::{BufferConfig, Reader, Writer};

use super::args::{LoanArgs, MAX_BYTES, Stores, Wait};
use super::header;
use super::peer::{Pair, Touch};
use super::report::{Case, Column, Metrics, Report, Samples, median};
use super::throughput;
use zerobuffer_terminal::elastic::Elastic;

/// Room for two and a half of the largest frame: one being read, one being filled.
fn ring_for(largest: usize) -> usize {
    largest / 2 * 5 + 4096
}

/// Loan, first eight bytes, commit, read, first eight bytes, release: all in this thread.
fn alone(
    writer: &mut Writer,
    reader: &mut Reader,
    bytes: usize,
    millis: u64,
) -> anyhow::Result<Metrics> {
    let mut sequence = 0_u64;
    let mut round = || -> anyhow::Result<()> {
        sequence += 1;
        let mut frame = writer.loan(bytes)?;
        frame[..8].copy_from_slice(&sequence.to_le_bytes());
        frame.commit();
        let frame = reader.read()?.context("the buffer closed in the middle")?;
        anyhow::ensure!(
            header(&frame) == sequence && frame.len() == bytes,
            "a wrong frame arrived"
        );
        Ok(())
    };
    for _ in 0..1000 {
        round()?;
    }
    let mut batches = Vec::new();
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(millis) || batches.is_empty() {
        let batch = Instant::now();
        for _ in 0..1000 {
            round()?;
        }
        batches.push(batch.elapsed().as_nanos() as f64 / 1000.0);
    }
    Ok(Metrics::from([("frame_ns", median(&mut batches))]))
}

/// The smallest ring with room for so many frames.
fn ring_with_room(count: u32, bytes: usize) -> usize {
    (count as usize * (bytes + 128)).next_power_of_two().max(4096)
}

/// A buffer's two ends, after one lap with every page touched: page faults are what creating a buffer costs, not
/// what a frame does.
fn open(pair: &mut Pair, ring: usize) -> anyhow::Result<(Writer, Reader)> {
    let place = pair.place(Wait::Spin);
    let config = BufferConfig::new().payload_bytes(ring);
    let mut reader = place.create_reader(ring).with_context(|| {
        format!("make a ring of {ring} bytes; for smaller frames (--sizes) or fewer it is smaller")
    })?;
    let mut writer = Writer::options()
        .dir(&place.dir)
        .wait_strategy(place.wait.strategy())
        .prefault(true)
        .create(&place.name, &config)?;
    let page = vec![1; 4000];
    for _ in 0..writer.payload_bytes() / page.len() + 1 {
        writer.write(&page)?;
        drop(reader.read()?);
    }
    Ok((writer, reader))
}

/// `zerobuffer bench loan`.
pub(super) fn run(args: &LoanArgs) -> anyhow::Result<Report> {
    let mut pair = Pair::start_up(&args.common, 0)?;
    let largest = args.sizes.iter().copied().max().context("no sizes")?;
    let one_for_all = args.ring.unwrap_or(0).max(ring_for(largest));
    let ring_of = |bytes: usize| match args.frames {
        Some(count) => ring_with_room(count, bytes),
        None => one_for_all,
    };
    anyhow::ensure!(
        ring_of(largest) <= MAX_BYTES,
        "room for {} frames of {largest} bytes is more than the largest ring has, {MAX_BYTES} bytes; take fewer frames, or smaller ones (--sizes)",
        args.frames.unwrap_or_default(),
    );
    let mut shared_ends = match args.frames {
        Some(_) => None,
        None => Some(open(&mut pair, one_for_all)?),
    };

    let mut cases = Vec::new();
    let mut plan = Vec::new();
    for &bytes in &args.sizes {
        for (how, drained) in [("one thread", false), ("Reader on the other core", true)] {
            plan.push((bytes, drained));
            cases.push(Case {
                how: how.into(),
                bytes,
                wait: "spin",
                payload: "first 8 bytes written and read",
                copies: "nobody",
                placement_matters: true,
                rivals: Vec::new(),
            });
        }
    }
    let samples = Samples::collect(&mut pair, &args.common, &cases, |pair, index| {
        let (bytes, drained) = plan[index];
        let ring = ring_of(bytes);
        if drained {
            let mut metrics = throughput::stream(
                pair,
                &throughput::Stream {
                    bytes,
                    ring,
                    wait: Wait::Spin,
                    millis: args.millis,
                    touch: Touch::Header,
                    batch: 1,
                    elastic: Elastic::Auto,
                    stores: Stores::Auto,
                    v1: false,
                },
            )?;
            let rate = metrics["frames_per_s"];
            metrics.insert("frame_ns", 1e9 / rate);
            Ok(metrics)
        } else if let Some((writer, reader)) = &mut shared_ends {
            alone(writer, reader, bytes, args.millis)
        } else {
            let (mut writer, mut reader) = open(pair, ring)?;
            alone(&mut writer, &mut reader, bytes, args.millis)
        }
    })?;
    let rings = match args.frames {
        Some(count) => {
            format!("a ring of its own for each size, the smallest with room for {count}")
        }
        None => format!("a ring of {one_for_all} bytes, the same for every size"),
    };
    let report = Report::new("loan", &pair, &args.common, cases, samples)
        .columns(vec![Column::ns("frame_ns", "a frame")])
        .note(&format!("One frame = loan, commit, read, release in {rings}."));
    Ok(report.flatness("frame_ns"))
}
