//! One-way streaming: frames a second to one or more readers.

use std::time::{Duration, Instant};

use super::cost::{cpu_seconds, memory_bytes};
use super::{BEGIN, END, header, sum};
use crate::pair::Pair;
use crate::peers::kind::{Kind, Mode, SMALL};
use crate::peers::{self, Job, Link, Peer, Receiver as _, Sender as _, Wait};
use crate::request::{Outcome, Reply, Request, Say};

/// Frames a call in the batched case.
pub(crate) const BATCH: usize = 16;

/// One stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream {
    pub(crate) kind: Kind,
    pub(crate) bytes: usize,
    pub(crate) mode: Mode,
    pub(crate) wait: Wait,
    pub(crate) readers: usize,
    pub(crate) millis: u64,
    /// Whether memory is what is asked for; looking at it takes time that a rate would suffer from.
    pub(crate) weighed: bool,
}

/// What a stream came to, of both sides together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow {
    pub(crate) frames_per_s: f64,
    /// User and system time for a million frames.
    pub(crate) cpu_s_per_million: f64,
    /// Memory that came into use from before opening until after the last frame.
    pub(crate) memory_bytes: f64,
}

/// The receiving half: counts and sums what comes between [`BEGIN`] and [`END`]. What comes before warms up.
#[derive(Clone, Copy, Default)]
struct Tally {
    begun: Option<(Instant, f64)>,
    frames: u64,
    sum: u64,
    seconds: f64,
    cpu_seconds: f64,
}

impl Tally {
    /// Takes one frame in; true at the end of the stream.
    #[inline(always)]
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
            return Self { begun: Some((Instant::now(), cpu_seconds())), ..Self::default() };
        }
        let Some((begun, cpu)) = self.begun else { return self };
        let seconds = begun.elapsed().as_secs_f64();
        Self { seconds, cpu_seconds: cpu_seconds() - cpu, ..self }
    }

    fn outcome(self) -> Outcome {
        let Self { frames, sum, seconds, cpu_seconds, .. } = self;
        Outcome { frames, sum, seconds, cpu_seconds, ..Outcome::default() }
    }
}

/// A record on lines of its own. Where on the stack one happened to lie decided about a third of a stream's rate.
#[repr(align(64))]
struct Record<const N: usize>([u8; N]);

struct Drain<'a, 'b> {
    from: &'a Link,
    mode: Mode,
    batch: usize,
    say: Say<'b>,
}

impl Job for Drain<'_, '_> {
    type Output = Outcome;

    fn run<P: Peer>(self) -> anyhow::Result<Outcome> {
        let Self { from: link, mode, batch, say } = self;
        let memory = memory_bytes()?;
        let mut readers = Vec::new();
        for index in 0..link.readers {
            readers.push(P::receiver(link, index)?);
        }
        say(Reply::Ready)?;
        let mut tally = Tally::default();
        let mut outcome = match &mut readers[..] {
            [from] => drain_one::<P>(from, mode, batch, &mut tally)?,
            several => {
                // One after the other, frame by frame: nobody's turn depends on the scheduler.
                let mut ended = false;
                while !ended {
                    for from in &mut *several {
                        ended = from.receive(|frame| tally.take(header(frame), sum(frame)))?;
                    }
                }
                tally.outcome()
            }
        };
        outcome.memory_bytes = memory_bytes()? - memory;
        Ok(outcome)
    }
}

fn drain_one<P: Peer>(
    from: &mut P::Receiver,
    mode: Mode,
    batch: usize,
    tally: &mut Tally,
) -> anyhow::Result<Outcome> {
    match mode {
        Mode::Copied => while !from.receive(|frame| tally.take(header(frame), sum(frame)))? {},
        Mode::Loaned => while !from.receive(|frame| tally.take(header(frame), header(frame)))? {},
        Mode::Batched => {
            let mut ended = false;
            while !ended {
                from.receive_batch(batch, |frame| ended |= tally.take(header(frame), sum(frame)))?;
            }
        }
    }
    Ok(tally.outcome())
}

/// The other side: reads a stream to its end.
pub(crate) fn drain(
    kind: Kind,
    from: &Link,
    mode: Mode,
    batch: usize,
    say: Say<'_>,
) -> anyhow::Result<Outcome> {
    peers::with(kind, from.bytes, Drain { from, mode, batch, say })
}

/// What the sending half counted, to compare with the receiving half.
struct Sent {
    frames: u64,
    sum: u64,
    cpu_seconds: f64,
    memory_bytes: f64,
}

/// A warm-up of `lap` frames, then frames until the time is up. `send` gets each frame's first eight bytes; `rest` is
/// the sum of all other bytes of a frame.
#[inline(always)]
fn send_all(
    lap: u64,
    millis: u64,
    bytes: usize,
    rest: u64,
    weighed: bool,
    mut send: impl FnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<Sent> {
    let limit = Duration::from_millis(millis);
    let every = ((64 << 10) / bytes).clamp(1, 1024) as u64;
    let (mut stage, mut since, mut cpu) = (Stage::WarmUp, Instant::now(), 0.0);
    let (mut first, mut count) = (0, every);
    let (mut frames, mut memory) = (0, 0.0);
    // One place that sends, so that it is compiled into the loop, whoever is compared. A function of its own is not: it halves
    // the rate of rtrb, and ours is as before.
    loop {
        for index in 0..count {
            send(first + index)?;
        }
        match stage {
            Stage::WarmUp => {
                first += count;
                if first >= lap || since.elapsed() >= limit {
                    (stage, first, count) = (Stage::Begin, BEGIN, 1);
                }
            }
            Stage::Begin => {
                (stage, first, count) = (Stage::Timed, 0, every);
                (since, cpu) = (Instant::now(), cpu_seconds());
            }
            Stage::Timed => {
                first += count;
                if since.elapsed() >= limit {
                    cpu = cpu_seconds() - cpu;
                    // While both sides still have everything open.
                    memory = if weighed { memory_bytes()? } else { 0.0 };
                    frames = first;
                    (stage, first, count) = (Stage::End, END, 1);
                }
            }
            Stage::End => break,
        }
    }
    let numbers = u128::from(frames) * u128::from(frames.saturating_sub(1)) / 2;
    let sum = (numbers as u64).wrapping_add(frames.wrapping_mul(rest));
    Ok(Sent { frames, sum, cpu_seconds: cpu, memory_bytes: memory })
}

/// What was just sent.
enum Stage {
    WarmUp,
    Begin,
    Timed,
    End,
}

struct Send<'a> {
    pair: &'a mut Pair,
    link: Link,
    what: Stream,
}

impl Send<'_> {
    /// Records whose size the program knows, like a user's: the same for all who are compared.
    fn records<P: Peer, const N: usize>(
        &self,
        to: &mut P::Sender,
        lap: u64,
    ) -> anyhow::Result<Sent> {
        let Record(record) = &mut Record([1; N]);
        record[..8].fill(0);
        let rest = sum(&record[..]);
        send_all(lap, self.what.millis, N, rest, self.what.weighed, |first| {
            record[..8].copy_from_slice(&first.to_le_bytes());
            to.send(&record[..])
        })
    }

    fn frames<P: Peer>(&self, to: &mut P::Sender, lap: u64) -> anyhow::Result<Sent> {
        let Stream { bytes, mode, millis, weighed, .. } = self.what;
        let mut payload = vec![1; bytes];
        payload[..8].fill(0);
        let rest = if mode == Mode::Loaned { 0 } else { sum(&payload) };
        match (mode, bytes) {
            (Mode::Copied, 8) => self.records::<P, 8>(to, lap),
            (Mode::Copied, 64) => self.records::<P, 64>(to, lap),
            (Mode::Copied, _) => send_all(lap, millis, bytes, rest, weighed, |first| {
                payload[..8].copy_from_slice(&first.to_le_bytes());
                to.send(&payload)
            }),
            (Mode::Loaned, _) => {
                send_all(lap, millis, bytes, rest, weighed, |first| to.send_loaned(bytes, first))
            }
            (Mode::Batched, 64) => {
                let Record(record) = &mut Record([1; 64]);
                record[..8].fill(0);
                self.batches::<P>(to, lap, rest, record)
            }
            (Mode::Batched, _) => self.batches::<P>(to, lap, rest, &mut payload),
        }
    }

    fn batches<P: Peer>(
        &self,
        to: &mut P::Sender,
        lap: u64,
        rest: u64,
        payload: &mut [u8],
    ) -> anyhow::Result<Sent> {
        let Stream { bytes, millis, weighed, .. } = self.what;
        let mut pending = Vec::with_capacity(BATCH);
        send_all(lap, millis, bytes, rest, weighed, |first| {
            pending.push(first);
            if pending.len() == BATCH || first >= BEGIN {
                to.send_batch(payload, &pending)?;
                pending.clear();
            }
            Ok(())
        })
    }
}

impl Job for Send<'_> {
    type Output = Flow;

    fn run<P: Peer>(self) -> anyhow::Result<Flow> {
        let memory = memory_bytes()?;
        let mut to = P::sender(&self.link)?;
        self.pair.ready()?;
        let lap = (P::lap(&self.link) / (self.what.bytes + 16)).clamp(4, 20_000_000) as u64;
        let sent = self.frames::<P>(&mut to, lap)?;
        let got = self.pair.finish()?;
        let readers = self.what.readers as u64;
        anyhow::ensure!(
            got.frames == sent.frames * readers && got.sum == sent.sum.wrapping_mul(readers),
            "sent {} frames that sum to {:#x} to {readers}, but {} arrived that sum to {:#x}",
            sent.frames,
            sent.sum,
            got.frames,
            got.sum
        );
        anyhow::ensure!(got.seconds > 0.0, "the stream ended before it was timed");
        let frames = sent.frames as f64;
        Ok(Flow {
            frames_per_s: frames / got.seconds,
            cpu_s_per_million: (sent.cpu_seconds + got.cpu_seconds) / frames * 1e6,
            memory_bytes: sent.memory_bytes - memory + got.memory_bytes,
        })
    }
}

/// Room of a link for frames of this size, the same for all who can choose: two and a half frames fit in any case.
pub(crate) fn ring_for(bytes: usize) -> usize {
    let suitable = if bytes <= SMALL { 256 << 10 } else { 8 << 20 };
    suitable.max(bytes / 2 * 5 + 4096)
}

/// One measurement.
pub(crate) fn measure(pair: &mut Pair, what: Stream) -> anyhow::Result<Flow> {
    let Stream { kind, bytes, mode, wait, readers, .. } = what;
    let link = Link { readers, ..pair.link(bytes, ring_for(bytes), wait) };
    pair.ask(&Request::Drain { kind, from: link.clone(), mode, batch: BATCH })?;
    peers::with(kind, bytes, Send { pair, link, what })
}
