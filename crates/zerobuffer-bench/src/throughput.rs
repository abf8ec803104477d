//! One-way streaming: frames a second through a buffer, and through what it is compared with.

use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use zerobuffer::{Reader, Writer};

use super::args::{Stores, ThroughputArgs, Wait, Way};
use super::peer::{Outcome, Pair, Request, Touch};
use super::raw::{FIRST_FLAG, FLAG_COUNT, Shared};
use super::report::{Case, Column, Metrics, Report, Samples};
use super::{BEGIN, END, header, pin, sum_bytes};
use zerobuffer_terminal::elastic::Elastic;

/// One stream through a buffer.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) bytes: usize,
    pub(super) ring: usize,
    pub(super) wait: Wait,
    pub(super) millis: u64,
    pub(super) touch: Touch,
    pub(super) batch: usize,
    /// See [`zerobuffer::WriterOptions::elastic`].
    pub(super) elastic: Elastic,
    /// See [`zerobuffer::WriterOptions::streaming_stores`].
    pub(super) stores: Stores,
    /// Through a buffer of protocol 1.0.
    pub(super) v1: bool,
}

/// The receiving half of every stream: counts and sums what comes between [`BEGIN`] and [`END`].
///
/// What comes before `BEGIN` warms up; `END` itself is not counted.
#[derive(Clone, Copy, Default)]
struct Tally {
    begun: Option<Instant>,
    frames: u64,
    sum: u64,
    seconds: f64,
}

impl Tally {
    /// Takes one frame in; true at the end of the stream.
    #[inline]
    fn take(&mut self, first: u64, sum: u64) -> bool {
        if first >= BEGIN {
            *self = self.marked(first);
            return first == END;
        }
        self.frames += 1;
        self.sum = self.sum.wrapping_add(sum);
        false
    }

    /// By value, so that the counts stay in registers: in memory, each frame's would wait for the last one's, for as long
    /// as the stack happens to lie.
    #[cold]
    #[inline(never)]
    fn marked(self, first: u64) -> Self {
        if first == BEGIN {
            return Self { begun: Some(Instant::now()), ..Self::default() };
        }
        let seconds = self.begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
        Self { seconds, ..self }
    }

    fn outcome(self) -> Outcome {
        let Self { frames, sum, seconds, .. } = self;
        Outcome { frames, sum, seconds, ..Outcome::default() }
    }
}

/// What the sending half counted, to compare with the receiving half.
struct Sent {
    frames: u64,
    sum: u64,
}

impl Sent {
    fn check(&self, got: &Outcome) -> anyhow::Result<()> {
        anyhow::ensure!(
            got.frames == self.frames && got.sum == self.sum,
            "sent {} frames that sum to {:#x}, but {} arrived that sum to {:#x}",
            self.frames,
            self.sum,
            got.frames,
            got.sum
        );
        Ok(())
    }
}

/// The sending half of every stream: a warm-up of `lap` frames, then frames until the time is up.
///
/// `send` gets each frame's first eight bytes. `rest` is the sum of all other bytes of a frame.
fn send_all(
    lap: u64,
    millis: u64,
    check_every: u64,
    rest: u64,
    mut send: impl FnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<Sent> {
    let limit = Duration::from_millis(millis);
    let (mut stage, mut started) = (Stage::WarmUp, Instant::now());
    let (mut first, mut count) = (0, lap);
    let mut frames = 0;
    // One place that sends, so that it is compiled into the loop, whoever is compared. A function of its own is not: it halves
    // the rate of rtrb, and ours is as before.
    loop {
        for index in 0..count {
            send(first + index)?;
        }
        match stage {
            Stage::WarmUp => (stage, first, count) = (Stage::Begin, BEGIN, 1),
            Stage::Begin => {
                (stage, first, count) = (Stage::Timed, 0, check_every);
                started = Instant::now();
            }
            Stage::Timed => {
                first += count;
                if started.elapsed() >= limit {
                    frames = first;
                    (stage, first, count) = (Stage::End, END, 1);
                }
            }
            Stage::End => break,
        }
    }
    let numbers = u128::from(frames) * u128::from(frames.saturating_sub(1)) / 2;
    let sum = (numbers as u64).wrapping_add(frames.wrapping_mul(rest));
    Ok(Sent { frames, sum })
}

/// What was just sent.
enum Stage {
    WarmUp,
    Begin,
    Timed,
    End,
}

/// How many frames to send between two looks at the clock: about 64 KiB of them.
fn check_every(bytes: usize) -> u64 {
    ((64 << 10) / bytes).clamp(1, 1024) as u64
}

/// Frames in one lap of a ring.
fn lap(ring: usize, bytes: usize) -> u64 {
    (ring / (bytes + 16)).clamp(4, 20_000_000) as u64
}

fn rates(outcome: &Outcome, bytes: usize, ring: usize) -> anyhow::Result<Metrics> {
    anyhow::ensure!(outcome.seconds > 0.0, "the stream ended before it was timed");
    let frames = outcome.frames as f64 / outcome.seconds;
    Ok(Metrics::from([
        ("frames_per_s", frames),
        ("mframes_per_s", frames / 1e6),
        ("gb_per_s", frames * bytes as f64 / 1e9),
        ("ring_bytes", ring as f64),
    ]))
}

/// Streams through a buffer to the peer.
pub(super) fn stream(pair: &mut Pair, what: &Stream) -> anyhow::Result<Metrics> {
    let &Stream { bytes, ring, wait, millis, touch, batch, elastic, stores, v1 } = what;
    let place = super::peer::Place { elastic, stores, ..pair.place(wait) };
    let v1_ring = v1.then_some(ring);
    let drain = Request::Drain { from: place.clone(), bytes, touch, batch, v1_ring };
    // In protocol 1.0 the reader makes the buffer.
    let mut writer = if v1 {
        pair.start(&drain)?;
        place.connect()?
    } else {
        let writer = place.create_writer(ring)?;
        pair.start(&drain)?;
        writer
    };

    let mut payload = vec![1; bytes];
    payload[..8].fill(0);
    let rest = match touch {
        Touch::All => sum_bytes(&payload),
        Touch::Header => 0,
    };
    let (lap, every) = (lap(writer.payload_bytes(), bytes), check_every(bytes));
    let times = (lap, millis, every, rest);
    let sent = match (touch, batch) {
        (Touch::Header, _) => send_all(lap, millis, every, rest, |first| {
            let mut frame = writer.loan(bytes)?;
            frame[..8].copy_from_slice(&first.to_le_bytes());
            frame.commit();
            Ok(())
        })?,
        // Records of a size that the program knows, as rtrb's side sends them.
        (Touch::All, _) => match bytes {
            8 => send_copies(&mut writer, Record([1; 8]), batch, times)?,
            64 => send_copies(&mut writer, Record([1; 64]), batch, times)?,
            _ => send_copies(&mut writer, payload, batch, times)?,
        },
    };
    let outcome = pair.finish()?;
    sent.check(&outcome)?;
    let mut metrics = rates(&outcome, bytes, ring)?;
    let stats = writer.stats();
    metrics.insert("streamed_share", stats.streamed_frames as f64 / stats.frames as f64);
    Ok(metrics)
}

/// A record on lines of its own. Where on the stack one happened to lie decided about a third of a stream's rate.
#[repr(align(64))]
struct Record<const N: usize>([u8; N]);

impl<const N: usize> AsMut<[u8]> for Record<N> {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// Sends copies of one frame, `batch` a call.
fn send_copies(
    writer: &mut Writer,
    mut frame: impl AsMut<[u8]>,
    batch: usize,
    (lap, millis, every, rest): (u64, u64, u64, u64),
) -> anyhow::Result<Sent> {
    if batch == 1 {
        return send_all(lap, millis, every, rest, |first| {
            let frame = frame.as_mut();
            frame[..8].copy_from_slice(&first.to_le_bytes());
            writer.write(frame)?;
            Ok(())
        });
    }
    let mut pending: Vec<u64> = Vec::with_capacity(batch);
    send_all(lap, millis, every, rest, |first| {
        pending.push(first);
        if pending.len() == batch || first >= BEGIN {
            let mut frames = writer.batch();
            for first in pending.drain(..) {
                let frame = frame.as_mut();
                frame[..8].copy_from_slice(&first.to_le_bytes());
                frames.push(frame)?;
            }
            frames.commit();
        }
        Ok(())
    })
}

/// The peer's half of [`stream`].
pub(super) fn drain(
    reader: &mut Reader,
    bytes: usize,
    touch: Touch,
    batch: usize,
) -> anyhow::Result<Outcome> {
    const ENDED: &str = "the writer closed in the middle";
    let mut tally = Tally::default();
    match (touch, batch) {
        (Touch::Header, _) => loop {
            let Some(frame) = reader.read()? else { anyhow::bail!(ENDED) };
            let first = header(&frame);
            if tally.take(first, first) {
                break;
            }
        },
        (Touch::All, 1) => loop {
            let Some(frame) = reader.read()? else { anyhow::bail!(ENDED) };
            if tally.take(header(&frame), sum_bytes(&frame)) {
                break;
            }
        },
        (Touch::All, _) => loop {
            let mut ended = false;
            let Some(mut frames) = reader.read_batch(batch)? else { anyhow::bail!(ENDED) };
            while let Some(frame) = frames.next() {
                ended |= tally.take(header(frame.payload), sum_bytes(frame.payload));
            }
            if ended {
                break;
            }
        },
    }
    anyhow::ensure!(bytes >= 8, "frames of {bytes} bytes hold no sequence number");
    Ok(tally.outcome())
}

/// How the bare ring is cut: as many slots as fit, each on lines of its own.
fn bare_layout(ring: usize, bytes: usize) -> (usize, usize) {
    let stride = bytes.next_multiple_of(64);
    ((ring / stride).clamp(2, FLAG_COUNT), stride)
}

/// A memcpy, a flag and a sum: the least that any hand-over of copied frames must do.
fn bare(pair: &mut Pair, ring: usize, bytes: usize, millis: u64) -> anyhow::Result<Metrics> {
    let (slots, stride) = bare_layout(ring, bytes);
    for slot in 0..slots {
        pair.shared.word(FIRST_FLAG + 64 * slot).store(0, Release);
    }
    pair.start(&Request::DrainBare { slots, stride, bytes })?;
    let mut payload = vec![1; bytes];
    payload[..8].fill(0);
    let rest = sum_bytes(&payload);
    let mut slot = 0;
    let sent = send_all(lap(ring, bytes), millis, check_every(bytes), rest, |first| {
        let flag = pair.shared.word(FIRST_FLAG + 64 * slot);
        while flag.load(Acquire) != 0 {
            std::hint::spin_loop();
        }
        payload[..8].copy_from_slice(&first.to_le_bytes());
        pair.shared.copy_in(slot * stride, &payload);
        // Zero stands for an empty slot; marks are the largest values and stay what they are.
        flag.store(if first >= BEGIN { first } else { first + 1 }, Release);
        slot = if slot + 1 == slots { 0 } else { slot + 1 };
        Ok(())
    })?;
    let outcome = pair.finish()?;
    sent.check(&outcome)?;
    rates(&outcome, bytes, slots * stride)
}

/// The peer's half of [`bare`].
pub(super) fn drain_bare(
    shared: &Shared,
    slots: usize,
    stride: usize,
    bytes: usize,
) -> anyhow::Result<Outcome> {
    let mut tally = Tally::default();
    let mut slot = 0;
    loop {
        let flag = shared.word(FIRST_FLAG + 64 * slot);
        let first = loop {
            match flag.load(Acquire) {
                0 => std::hint::spin_loop(),
                mark if mark >= BEGIN => break mark,
                number => break number - 1,
            }
        };
        let sum = shared.sum(slot * stride, bytes);
        flag.store(0, Release);
        if tally.take(first, sum) {
            return Ok(tally.outcome());
        }
        slot = if slot + 1 == slots { 0 } else { slot + 1 };
    }
}

/// rtrb between two threads of this process, on the same two cores.
fn rtrb<const N: usize>(cores: [usize; 2], slots: usize, millis: u64) -> anyhow::Result<Metrics> {
    let (mut producer, mut consumer) = rtrb::RingBuffer::<[u8; N]>::new(slots);
    let (sent, outcome) = std::thread::scope(|scope| {
        let receiving = scope.spawn(move || -> anyhow::Result<Outcome> {
            pin::pin(cores[1])?;
            let mut tally = Tally::default();
            loop {
                let item = loop {
                    match consumer.pop() {
                        Ok(item) => break item,
                        // It may have pushed its last one between the two looks.
                        Err(_) if consumer.is_abandoned() && consumer.is_empty() => {
                            anyhow::bail!("the producer ended")
                        }
                        Err(_) => std::hint::spin_loop(),
                    }
                };
                if tally.take(header(&item), sum_bytes(&item)) {
                    return Ok(tally.outcome());
                }
            }
        });
        let Record(item) = &mut Record([1; N]);
        item[..8].fill(0);
        let rest = sum_bytes(&item[..]);
        let sent = send_all(slots as u64, millis, check_every(N), rest, |first| {
            item[..8].copy_from_slice(&first.to_le_bytes());
            while producer.push(*item).is_err() {
                anyhow::ensure!(!producer.is_abandoned(), "the consumer ended");
                std::hint::spin_loop();
            }
            Ok(())
        });
        drop(producer);
        let outcome = receiving.join().map_err(|_| anyhow::anyhow!("the consumer panicked"));
        (sent, outcome)
    });
    let (sent, outcome) = (sent?, outcome??);
    sent.check(&outcome)?;
    rates(&outcome, N, slots * N)
}

/// The ring for frames of this size: what was asked for, or what suits them; two and a half fit in any case.
fn ring_for(asked: Option<usize>, bytes: usize) -> usize {
    let suitable = if bytes <= 4096 { 256 << 10 } else { 8 << 20 };
    asked.unwrap_or(suitable).max(bytes / 2 * 5 + 4096)
}

/// `zerobuffer bench throughput`.
pub(super) fn run(args: &ThroughputArgs) -> anyhow::Result<Report> {
    let largest = args.sizes.iter().copied().max().context("no sizes")?;
    let bare_bytes = ring_for(args.ring, largest) + 2 * largest;
    let mut pair = Pair::start_up(&args.common, bare_bytes)?;
    let mut cases: Vec<Case> = Vec::new();
    let mut plan = Vec::new();
    for &bytes in &args.sizes {
        // Those who are compared with come first, so that the others can name them.
        let (mut rivals, mut v2) = (Vec::new(), None);
        for way in [Way::Rtrb, Way::Bare, Way::Copied, Way::Batched, Way::Loaned, Way::V1] {
            let fits = match way {
                Way::Rtrb => bytes == 8 || bytes == 64,
                Way::Bare => bytes >= 4096,
                Way::Copied | Way::Batched | Way::Loaned | Way::V1 => true,
            };
            if !fits || !args.ways.contains(&way) {
                continue;
            }
            let all = "every byte written and summed";
            let (how, payload, copies) = match way {
                Way::Copied => ("copied".into(), all, "Writer in"),
                Way::Batched => (format!("copied, {} a call", args.batch), all, "Writer in"),
                Way::Loaned => ("loaned".into(), "first 8 bytes written and read", "nobody"),
                Way::V1 => ("copied, protocol 1.0".into(), all, "Writer in"),
                Way::Rtrb => ("rtrb, one process".into(), all, "producer in, consumer out"),
                Way::Bare => ("bare copy + sum".into(), all, "sender in"),
            };
            match way {
                Way::Rtrb => rivals.push(("rtrb", cases.len())),
                Way::Bare => rivals.push(("bare", cases.len())),
                Way::Copied => v2 = Some(("v2", cases.len())),
                Way::V1 => rivals.extend(v2),
                Way::Batched | Way::Loaned => {}
            }
            let ours = !matches!(way, Way::Rtrb | Way::Bare);
            // A frame of which only the header moves is not compared with one of which all bytes do,
            // save at sizes where the header is all of the frame or its line.
            let compared = ours && (way != Way::Loaned || bytes <= 64);
            cases.push(Case {
                how,
                bytes,
                wait: if ours { args.wait.name() } else { "spin" },
                payload,
                copies,
                placement_matters: true,
                rivals: if compared { rivals.clone() } else { Vec::new() },
            });
            plan.push((bytes, way));
        }
    }
    let samples = Samples::collect(&mut pair, &args.common, &cases, |pair, index| {
        let (bytes, way) = plan[index];
        let ring = ring_for(args.ring, bytes);
        let millis = args.millis;
        let ours = |touch, batch| Stream {
            bytes,
            ring,
            wait: args.wait,
            millis,
            touch,
            batch,
            elastic: args.elastic,
            stores: args.streaming_stores,
            v1: way == Way::V1,
        };
        let slots = args.rtrb_slots.unwrap_or(ring / bytes).max(2);
        match way {
            Way::Copied | Way::V1 => stream(pair, &ours(Touch::All, 1)),
            Way::Batched => stream(pair, &ours(Touch::All, args.batch as usize)),
            Way::Loaned => stream(pair, &ours(Touch::Header, 1)),
            Way::Rtrb if bytes == 8 => rtrb::<8>(pair.cores, slots, millis),
            Way::Rtrb => rtrb::<64>(pair.cores, slots, millis),
            Way::Bare => bare(pair, ring, bytes, millis),
        }
    })?;
    Ok(Report::new("throughput", &pair, &args.common, cases, samples)
        .versus("frames_per_s")
        .columns(vec![
            Column::plain("mframes_per_s", "M frames/s", 4),
            Column::plain("gb_per_s", "GB/s", 2),
            Column::ratio("frames_per_s_vs_rtrb", "÷ rtrb"),
            Column::ratio("frames_per_s_vs_bare", "÷ bare"),
            Column::ratio("frames_per_s_vs_v2", "÷ 2.0"),
        ])
        .note("Timed by the receiving side, after one lap of the ring; counts and sums of both sides agree.")
        .note(match args.elastic {
            Elastic::Auto => "The Writer keeps to a part of a ring of more than 8 MiB if frames are better off there (see --elastic).",
            Elastic::Never => "The Writer goes round the whole ring (see --elastic).",
            Elastic::Always => "The Writer keeps to a part of the ring that fits the cache (see --elastic).",
        })
        .note("Frames from 4 KiB on are copied in with streaming stores where those are faster, see --streaming-stores; the JSON has the share.")
        .note("Ring: as --ring says, or 256 KiB for frames up to 4 KiB and 8 MiB beyond, the same for all.")
        .note("Ratios are taken within one repetition and one placement class."))
}
