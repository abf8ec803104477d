//! One-way latency: half a round trip through two buffers, one frame in flight.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use zerobuffer::{Reader, Writer};

use super::args::LatencyArgs;
use super::bare_ring::{self, BareRing, Way};
use super::peer::{Outcome, Pair, Place, Request};
use super::raw::Shared;
use super::report::{Case, Column, Metrics, Report, Samples, histogram, median, percentiles};
use super::{END, header, sum_bytes};

/// Up to this size a copied frame is copied out as well; larger ones are read where they lie.
const COPIED_OUT_BYTES: usize = 1024;

/// How the floor is called.
const BARE: &str = "bare ring";

/// Puts a frame into `writer`: copied from `payload`, or loaned with only its first eight bytes written.
#[inline]
fn send(writer: &mut Writer, payload: &mut [u8], first: u64, loaned: bool) -> anyhow::Result<()> {
    if loaned {
        let mut frame = writer.loan(payload.len())?;
        frame[..8].copy_from_slice(&first.to_le_bytes());
        frame.commit();
    } else {
        payload[..8].copy_from_slice(&first.to_le_bytes());
        writer.write(payload)?;
    }
    Ok(())
}

/// Takes a frame out of `reader` and returns its first eight bytes. What a loaned case does not touch, a
/// copied one copies out or sums.
#[inline]
fn receive(
    reader: &mut Reader,
    out: &mut [u8],
    sum: &mut u64,
    loaned: bool,
) -> anyhow::Result<u64> {
    let frame = reader.read()?.context("the other side closed in the middle")?;
    if !loaned {
        if frame.len() <= COPIED_OUT_BYTES {
            out.copy_from_slice(&frame);
            std::hint::black_box(&out);
        } else {
            *sum = sum.wrapping_add(sum_bytes(&frame));
        }
    }
    Ok(header(&frame))
}

/// The peer: sends every frame back, the last one too.
pub(super) fn echo(
    reader: &mut Reader,
    writer: &mut Writer,
    bytes: usize,
    loaned: bool,
) -> anyhow::Result<Outcome> {
    let mut payload = vec![1; bytes];
    let mut out = vec![0; bytes];
    let mut outcome = Outcome::default();
    loop {
        let first = receive(reader, &mut out, &mut outcome.sum, loaned)?;
        send(writer, &mut payload, first, loaned)?;
        outcome.frames += 1;
        if first == END {
            return Ok(outcome);
        }
    }
}

fn measure(
    pair: &mut Pair,
    args: &LatencyArgs,
    bytes: usize,
    loaned: bool,
) -> anyhow::Result<Metrics> {
    let ring = args.ring.max(4 * (bytes + 128));
    let mut place =
        || Place { elastic: args.elastic, stores: args.streaming_stores, ..pair.place(args.wait) };
    let (there, back) = (place(), place());
    let mut writer = there.create_writer(ring)?;
    let mut reader = back.create_reader(ring)?;
    pair.start(&Request::Echo { there, back, bytes, loaned })?;

    let mut payload = vec![1; bytes];
    let mut out = vec![0; bytes];
    let (mut sum, mut sequence) = (0, 0);
    // One lap of the ring, so that neither page faults nor cold code are measured.
    let lap = (ring / (bytes + 16)).clamp(100, 20_000);
    let metrics = rounds(args, lap, || {
        sequence += 1;
        send(&mut writer, &mut payload, sequence, loaned)?;
        let first = receive(&mut reader, &mut out, &mut sum, loaned)?;
        anyhow::ensure!(first == sequence, "frame {sequence} came back as {first}");
        Ok(())
    })?;

    send(&mut writer, &mut payload, END, loaned)?;
    receive(&mut reader, &mut out, &mut sum, loaned)?;
    let outcome = pair.finish()?;
    anyhow::ensure!(outcome.frames == sequence + 1, "frames were lost on the way");
    if !loaned && bytes > COPIED_OUT_BYTES {
        // Both directions carried the same frames, whatever the first eight bytes were.
        anyhow::ensure!(outcome.sum == sum, "the two directions disagree about what was sent");
    }
    Ok(metrics.into_iter().chain([("ring_bytes", ring as f64)]).collect())
}

/// The same through bare rings.
fn measure_bare(pair: &mut Pair, args: &LatencyArgs, bytes: usize) -> anyhow::Result<Metrics> {
    let words = bytes / 8;
    for way in [Way::There, Way::Back] {
        BareRing::new(&pair.shared, way, words).clear();
    }
    pair.start(&Request::EchoBare { words })?;
    let mut there = BareRing::new(&pair.shared, Way::There, words);
    let mut back = BareRing::new(&pair.shared, Way::Back, words);
    let (mut frame, mut out) = (vec![1; words], vec![0; words]);
    let mut sequence = 0;
    let metrics = rounds(args, 20_000, || {
        sequence += 1;
        frame[0] = sequence;
        there.send(&frame);
        back.receive(&mut out);
        anyhow::ensure!(out == frame, "frame {sequence} came back as {}", out[0]);
        Ok(())
    })?;
    frame[0] = END;
    there.send(&frame);
    back.receive(&mut out);
    let outcome = pair.finish()?;
    anyhow::ensure!(outcome.frames == sequence + 1, "frames were lost on the way");
    Ok(metrics)
}

/// The peer's half of [`measure_bare`].
pub(super) fn echo_bare(shared: &Shared, words: usize) -> Outcome {
    let mut there = BareRing::new(shared, Way::There, words);
    let mut back = BareRing::new(shared, Way::Back, words);
    let mut frame = vec![0; words];
    let mut outcome = Outcome::default();
    while frame[0] != END {
        there.receive(&mut frame);
        back.send(&frame);
        outcome.frames += 1;
    }
    outcome
}

/// Times rounds, after a warm-up of `lap` of them.
fn rounds(
    args: &LatencyArgs,
    lap: usize,
    mut round: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Metrics> {
    let warm_up = Instant::now();
    for _ in 0..lap {
        round()?;
    }
    let one_round = warm_up.elapsed() / lap as u32;

    // Half of the time in batches between two clock readings, of which the median is the headline; half
    // with a reading each round, for the percentiles, which therefore include half a clock reading.
    let half = Duration::from_millis(args.millis) / 2;
    let rounds = (1_000_000 / one_round.as_nanos().max(1)).clamp(1, 1000) as u64;
    let mut batches = Vec::new();
    let started = Instant::now();
    while started.elapsed() < half || batches.is_empty() {
        let batch = Instant::now();
        for _ in 0..rounds {
            round()?;
        }
        batches.push(batch.elapsed().as_nanos() as f64 / (2 * rounds) as f64);
    }
    let mut each = histogram();
    let started = Instant::now();
    let mut before = started;
    while before - started < half || each.len() < 100 {
        round()?;
        let now = Instant::now();
        each.saturating_record((now - before).as_nanos() as u64 / 2);
        before = now;
    }
    let [p50, p99, p999, max] = percentiles(&each);
    Ok(Metrics::from([
        ("one_way_ns", median(&mut batches)),
        ("p50_ns", p50),
        ("p99_ns", p99),
        ("p999_ns", p999),
        ("max_ns", max),
        ("rounds", each.len() as f64),
    ]))
}

/// What is sent to and fro.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Without a buffer: words and a flag in a bare ring.
    Bare,
    Copied,
    Loaned,
}

/// `zerobuffer bench latency`.
pub(super) fn run(args: &LatencyArgs) -> anyhow::Result<Report> {
    let mut pair = Pair::start_up(&args.common, 0)?;
    let mut cases = Vec::new();
    let mut plan = Vec::new();
    for &bytes in &args.sizes {
        for what in [How::Bare, How::Copied, How::Loaned] {
            let copied_out = "every byte written and copied out";
            let (how, payload, copies) = match what {
                How::Bare if bytes > bare_ring::MAX_BYTES || !bytes.is_multiple_of(8) => continue,
                How::Bare => (BARE, copied_out, "in and out"),
                How::Loaned => ("loaned", "first 8 bytes written and read", "nobody"),
                How::Copied if bytes <= COPIED_OUT_BYTES => {
                    ("copied", copied_out, "Writer in, Reader out")
                }
                How::Copied => {
                    ("copied and read", "every byte written and read in place", "Writer in")
                }
            };
            plan.push((bytes, what));
            let wait = if what == How::Bare { "spin" } else { args.wait.name() };
            cases.push(Case {
                how: how.into(),
                bytes,
                wait,
                payload,
                copies,
                placement_matters: true,
                rivals: Vec::new(),
            });
        }
    }
    let samples =
        Samples::collect(&mut pair, &args.common, &cases, |pair, index| match plan[index] {
            (bytes, How::Bare) => measure_bare(pair, args, bytes),
            (bytes, what) => measure(pair, args, bytes, what == How::Loaned),
        })?;
    let clock_ns = super::report::clock_ns();
    Ok(Report::new("latency", &pair, &args.common, cases, samples)
        .per_line("one_way_ns")
        .columns(vec![
            Column::ns("one_way_ns", "one way"),
            Column::ratio("one_way_ns_per_line", "× line"),
            Column::ns("p50_ns", "p50"),
            Column::ns("p99_ns", "p99"),
            Column::ns("p999_ns", "p99.9"),
            Column::ns("max_ns", "max"),
        ])
        .note("One way = half a round trip through two buffers, one frame in flight; median of batches of rounds.")
        .note("bare ring: words and a flag stored one behind the other in 64 KiB, the flag polled and the words loaded: what any ring with its flags among the frames has to do.")
        .note(&format!(
            "Percentiles time every round by itself and include half a clock reading ({:.0} ns).",
            clock_ns / 2.0
        )))
}
