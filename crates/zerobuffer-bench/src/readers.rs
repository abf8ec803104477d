//! What readers cost the writer: the same frames with none, one, two, and up to sixteen of them.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use zerobuffer::{BufferConfig, Reader, Writer};

use super::args::{ReadersArgs, Wait};
use super::peer::{Pair, Place};
use super::report::{Case, Column, Metrics, Report, Samples, median};

/// Frames that the writer writes before the readers read them.
const BURST: u32 = 64;

struct Stage {
    writer: Writer,
    readers: Vec<Reader>,
    bytes: Vec<u8>,
}

impl Stage {
    /// `idle`: they are there, and somebody else's frames are what they wait for, so only their kind can be lossy.
    fn new(place: &Place, bytes: usize, count: usize, lossy: bool) -> anyhow::Result<Self> {
        let config = BufferConfig::new()
            .payload_bytes((4 * BURST as usize * (bytes + 64)).max(256 << 10))
            .reader_slots(count.max(1) as u32)
            .keep_for_first_reader(false);
        let writer =
            Writer::options().dir(&place.dir).prefault(true).create(&place.name, &config)?;
        let options = || {
            let options = Reader::options().dir(&place.dir).wait_strategy(place.wait.strategy());
            if lossy { options.lossy() } else { options.ephemeral() }
        };
        let readers = (0..count).map(|_| options().join(&place.name)).collect::<Result<_, _>>()?;
        Ok(Self { writer, readers, bytes: vec![7; bytes] })
    }

    /// Time that one frame took the writer, and each reader.
    fn burst(&mut self) -> anyhow::Result<(f64, f64)> {
        let begun = Instant::now();
        for _ in 0..BURST {
            self.writer.write(&self.bytes)?;
        }
        let written = begun.elapsed();
        let begun = Instant::now();
        for reader in &mut self.readers {
            for _ in 0..BURST {
                drop(reader.read()?.context("the buffer closed in the middle")?);
            }
        }
        let a_reader = self.readers.len().max(1) as f64 * f64::from(BURST);
        Ok((
            written.as_nanos() as f64 / f64::from(BURST),
            begun.elapsed().as_nanos() as f64 / a_reader,
        ))
    }

    fn measure(&mut self, millis: u64) -> anyhow::Result<Metrics> {
        for _ in 0..100 {
            self.burst()?;
        }
        let (mut written, mut read) = (Vec::new(), Vec::new());
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(millis) || written.is_empty() {
            let (writer, reader) = self.burst()?;
            written.push(writer);
            read.push(reader);
        }
        Ok(Metrics::from([("write_ns", median(&mut written)), ("read_ns", median(&mut read))]))
    }
}

/// `zerobuffer bench readers`.
pub(super) fn run(args: &ReadersArgs) -> anyhow::Result<Report> {
    let mut pair = Pair::start_up(&args.common, 0)?;
    let (mut cases, mut plan) = (Vec::new(), Vec::new());
    for lossy in [false, true] {
        let kind = if lossy { "lossy" } else { "of every frame" };
        let one = cases.len();
        for &count in &args.counts {
            plan.push((count, lossy));
            cases.push(Case {
                how: format!("{count} readers {kind}"),
                bytes: args.size,
                wait: "spin",
                payload: "written; read in place",
                copies: if lossy { "writer and readers" } else { "writer" },
                placement_matters: false,
                rivals: if cases.len() > one { vec![("first", one)] } else { Vec::new() },
            });
        }
    }
    let samples = Samples::collect(&mut pair, &args.common, &cases, |pair, index| {
        let (count, lossy) = plan[index];
        let place = pair.place(Wait::Spin);
        Stage::new(&place, args.size, count, lossy)?.measure(args.millis)
    })?;
    let report = Report::new("readers", &pair, &args.common, cases, samples)
        .columns(vec![
            Column::ns("write_ns", "the writer, a frame"),
            Column::ratio("write_ns_vs_first", "of the first row's"),
            Column::ns("read_ns", "each reader, a frame"),
        ])
        .note(&format!(
            "Bursts of {BURST} frames, then every reader reads them, all in one thread: what the writer does for readers, without \
             the cache lines that they take from it on other cores."
        ));
    Ok(report.versus("write_ns"))
}
