//! What a loan costs by frame size: if nothing is copied, a frame of 100 MB costs what one of 64 B costs.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use zerobuffer::{BufferConfig, Reader, Writer};

use super::args::{LoanArgs, Wait};
use super::header;
use super::peer::Pair;
use super::report::{Case, Column, Metrics, Report, Samples, median};
use super::throughput::{self, Touch};

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

/// `zerobuffer bench loan`.
pub(super) fn run(args: &LoanArgs) -> anyhow::Result<Report> {
    let mut pair = Pair::start_up(&args.common, 0)?;
    let place = pair.place(Wait::Spin);
    let largest = args.sizes.iter().copied().max().context("no sizes")?;
    let ring = args.ring.unwrap_or(0).max(ring_for(largest));
    let config = BufferConfig::new().payload_bytes(ring);
    let mut reader = place.create_reader(ring).with_context(|| {
        format!(
            "make a ring for frames of {largest} bytes; smaller ones can be chosen with --sizes"
        )
    })?;
    let mut writer = Writer::options()
        .dir(&place.dir)
        .wait_strategy(place.wait.strategy())
        .prefault(true)
        .create(&place.name, &config)?;

    // One lap with every page touched: page faults are what creating a buffer costs, not what a frame does.
    let page = vec![1; 4000];
    for _ in 0..writer.payload_bytes() / page.len() + 1 {
        writer.write(&page)?;
        drop(reader.read()?);
    }

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
                    elastic: false,
                    v1: false,
                },
            )?;
            let rate = metrics["frames_per_s"];
            metrics.insert("frame_ns", 1e9 / rate);
            Ok(metrics)
        } else {
            alone(&mut writer, &mut reader, bytes, args.millis)
        }
    })?;
    let report = Report::new("loan", &pair, &args.common, cases, samples)
        .columns(vec![Column::ns("frame_ns", "a frame")])
        .note(&format!(
            "One frame = loan, commit, read, release in a ring of {ring} bytes, the same for every size."
        ));
    Ok(report.flatness("frame_ns"))
}
