//! What a relay's hop costs by frame size: passing a frame on by reference, against copying it.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use zerobuffer::{BufferConfig, Reader, Writer};

use super::args::{HopArgs, Wait};
use super::header;
use super::peer::{Pair, Place};
use super::report::{Case, Column, Metrics, Report, Samples, clock_ns, median};

/// How a relay passes frames on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Reference,
    Copy,
}

/// A camera, a relay's two ends, and a screen, all in this thread.
struct Chain {
    camera: Writer,
    input: Reader,
    output: Writer,
    screen: Reader,
    sequence: u64,
}

impl Chain {
    fn new(first: &Place, second: &Place, bytes: usize, how: How) -> anyhow::Result<Self> {
        let ring = bytes / 2 * 5 + (64 << 10);
        let config = |room: usize| {
            BufferConfig::new().payload_bytes(room).payload_sharing(how == How::Reference)
        };
        // What is passed on by reference needs no room but for the references.
        let room = if how == How::Reference { 64 << 10 } else { ring };
        let writer = |place: &Place| Writer::options().dir(&place.dir).prefault(true);
        let camera = writer(first).create(&first.name, &config(ring))?;
        let output = writer(second).create(&second.name, &config(room))?;
        let reader = |place: &Place| Reader::options().dir(&place.dir).join(&place.name);
        let (input, screen) = (reader(first)?, reader(second)?);
        let mut chain = Self { camera, input, output, screen, sequence: 0 };
        // Each ring's first lap: page faults are what a buffer costs, not what a frame does.
        for _ in 0..4 {
            chain.hop(bytes, how)?;
        }
        Ok(chain)
    }

    /// One frame from the camera to the screen; how long the relay and the screen took for it, and the relay's call.
    fn hop(&mut self, bytes: usize, how: How) -> anyhow::Result<(Duration, Duration)> {
        self.sequence += 1;
        let mut frame = self.camera.loan(bytes)?;
        frame[..8].copy_from_slice(&self.sequence.to_le_bytes());
        frame.commit();
        let begun = Instant::now();
        let frame = self.input.read()?.context("the camera closed in the middle")?;
        let calls = Instant::now();
        match how {
            How::Reference => {
                let forwarded = self.output.forward(&frame)?;
                anyhow::ensure!(forwarded.copied.is_none(), "a frame was copied: {forwarded:?}");
            }
            How::Copy => drop(self.output.write(&frame)?),
        }
        let called = calls.elapsed();
        drop(frame);
        let frame = self.screen.read()?.context("the relay closed in the middle")?;
        let arrived = header(&frame) == self.sequence && frame.len() == bytes;
        drop(frame);
        let took = begun.elapsed();
        anyhow::ensure!(arrived, "a wrong frame arrived");
        Ok((took, called))
    }

    fn measure(&mut self, bytes: usize, how: How, millis: u64) -> anyhow::Result<Metrics> {
        let (mut hops, mut calls) = (Vec::new(), Vec::new());
        let clock = clock_ns();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(millis) || hops.is_empty() {
            let (took, called) = self.hop(bytes, how)?;
            // Between two readings of the clock lies one; the hop has two more in it.
            hops.push(took.as_nanos() as f64 - 3.0 * clock);
            calls.push(called.as_nanos() as f64 - clock);
        }
        Ok(Metrics::from([("hop_ns", median(&mut hops)), ("pass_on_ns", median(&mut calls))]))
    }
}

/// `zerobuffer bench hop`.
pub(super) fn run(args: &HopArgs) -> anyhow::Result<Report> {
    let mut pair = Pair::start_up(&args.common, 0)?;
    let (mut cases, mut plan) = (Vec::new(), Vec::new());
    for &bytes in &args.sizes {
        for (how, words, copies) in
            [(How::Copy, "by copy", "the relay"), (How::Reference, "by reference", "nobody")]
        {
            // Both, one behind the other.
            let rivals =
                if how == How::Copy { vec![("reference", cases.len() + 1)] } else { Vec::new() };
            plan.push((bytes, how));
            cases.push(Case {
                how: words.into(),
                bytes,
                wait: "spin",
                payload: "first 8 bytes written and read",
                copies,
                placement_matters: false,
                rivals,
            });
        }
    }
    let samples = Samples::collect(&mut pair, &args.common, &cases, |pair, index| {
        let (bytes, how) = plan[index];
        let (first, second) = (pair.place(Wait::Spin), pair.place(Wait::Spin));
        let mut chain = Chain::new(&first, &second, bytes, how).with_context(|| {
            format!("make the buffers for frames of {bytes} bytes; smaller ones can be chosen with --sizes")
        })?;
        chain.measure(bytes, how, args.millis)
    })?;
    let report = Report::new("hop", &pair, &args.common, cases, samples)
        .columns(vec![
            Column::ns("hop_ns", "a hop"),
            Column::plain("hop_ns_vs_reference", "times by reference", 1),
            Column::ns("pass_on_ns", "the relay's call alone"),
        ])
        .note("One hop = the relay reads a frame, passes it on, releases it; the reader behind it reads and releases it. All in one thread.");
    Ok(report.versus("hop_ns").flatness("pass_on_ns"))
}
