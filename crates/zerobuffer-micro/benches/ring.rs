//! What each step of the ring costs where nobody else is at it: both endpoints in one thread, the lines in its cache.
//! What another processor adds is in `zerobuffer bench` and in the comparison.
#![allow(missing_docs)]

use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use zerobuffer::{BufferConfig, Reader, WaitStrategy, Writer};

const MIB: usize = 1 << 20;
/// Frames in a row between two looks at the clock: few enough to stay in the first cache.
const RUN: u64 = 256;
/// Frames of a batch.
const BATCH: u64 = 16;

/// A buffer with both its endpoints.
struct Pair {
    writer: Writer,
    reader: Reader,
    _dir: tempfile::TempDir,
}

impl Pair {
    fn new(payload_bytes: usize) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").expect("a directory in shared memory");
        let config = BufferConfig::new().payload_bytes(payload_bytes);
        let writer = Writer::options().dir(dir.path()).wait_strategy(WaitStrategy::Spin);
        let writer = writer.create("micro", &config).expect("a buffer of its own");
        let reader = Reader::options().dir(dir.path()).wait_strategy(WaitStrategy::Spin);
        let reader = reader.join("micro").expect("nobody else reads it");
        Self { writer, reader, _dir: dir }
    }

    fn drain(&mut self) {
        while self.poll() {}
    }

    /// Takes a frame if there is one.
    fn poll(&mut self) -> bool {
        match self.reader.try_read() {
            Ok(frame) => frame.is_some(),
            Err(error) => {
                assert!(error.is_timeout(), "{error}");
                false
            }
        }
    }

    fn fill(&mut self, frames: u64, payload: &[u8]) {
        for _ in 0..frames {
            self.writer.try_write(payload).expect("there is room");
        }
    }
}

/// Times `count` times `step`, which takes `frames` each, in runs with `before` and `after` them, which are not timed.
fn timed(
    pair: &mut Pair,
    count: u64,
    frames: u64,
    before: impl Fn(&mut Pair, u64),
    mut step: impl FnMut(&mut Pair),
    after: impl Fn(&mut Pair),
) -> Duration {
    let (mut left, mut spent) = (count, Duration::ZERO);
    while left > 0 {
        let run = left.min(RUN / frames);
        before(pair, run * frames);
        let begin = Instant::now();
        for _ in 0..run {
            step(pair);
        }
        spent += begin.elapsed();
        after(pair);
        left -= run;
    }
    spent
}

fn nothing(_: &mut Pair, _: u64) {}

fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publish");
    for len in [8, 64, 1024] {
        let (mut pair, payload) = (Pair::new(MIB), vec![1; len]);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("write", len), |bencher| {
            let write = |pair: &mut Pair| {
                pair.writer.try_write(&payload).expect("there is room");
            };
            bencher.iter_custom(|count| timed(&mut pair, count, 1, nothing, write, Pair::drain));
        });
    }
    group.throughput(Throughput::Elements(1));
    for len in [64, 64 << 10] {
        let mut pair = Pair::new((len + 64) * RUN as usize + MIB);
        group.bench_function(BenchmarkId::new("loan and commit, untouched", len), |bencher| {
            let lend = |pair: &mut Pair| {
                pair.writer.try_loan(len).expect("there is room").commit();
            };
            bencher.iter_custom(|count| timed(&mut pair, count, 1, nothing, lend, Pair::drain));
        });
    }
    let mut pair = Pair::new(MIB);
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("batch of 16 frames of 64 bytes", |bencher| {
        let batch = |pair: &mut Pair| {
            let mut batch = pair.writer.batch();
            for _ in 0..BATCH {
                batch.push(&[1; 64]).expect("there is room");
            }
            assert_eq!(batch.commit() as u64, BATCH);
        };
        bencher.iter_custom(|count| timed(&mut pair, count, BATCH, nothing, batch, Pair::drain));
    });
    let mut pair = Pair::new(64 << 10);
    group.throughput(Throughput::Elements(1));
    group.bench_function("write into a full ring, refused", |bencher| {
        while pair.writer.try_write(&[1; 4096]).is_ok() {}
        bencher.iter(|| assert!(pair.writer.try_write(&[1; 4096]).is_err()));
    });
    group.finish();
}

fn receive(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("receive");
    for len in [8, 64, 1024] {
        let (mut pair, payload) = (Pair::new(MIB), vec![1; len]);
        let fill = |pair: &mut Pair, run| pair.fill(run, &payload);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("read and release", len), |bencher| {
            let read = |pair: &mut Pair| {
                let frame = pair.reader.try_read().expect("the writer lives").expect("a frame");
                assert_eq!(frame.len(), len);
            };
            bencher.iter_custom(|count| timed(&mut pair, count, 1, fill, read, Pair::drain));
        });
    }
    group.throughput(Throughput::Elements(1));
    let mut pair = Pair::new(MIB);
    group.bench_function("poll of an empty ring", |bencher| {
        bencher.iter(|| assert!(!pair.poll()));
    });
    group.bench_function("release of a frame that was kept", |bencher| {
        bencher.iter_batched(
            || {
                pair.fill(1, &[1; 64]);
                pair.reader.try_read().expect("the writer lives").expect("a frame").into_owned()
            },
            drop,
            BatchSize::NumIterations(RUN / 8),
        );
    });
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("batch of 16 frames of 64 bytes", |bencher| {
        let fill = |pair: &mut Pair, run| pair.fill(run, &[1; 64]);
        let read = |pair: &mut Pair| {
            let mut batch = pair
                .reader
                .try_read_batch(BATCH as usize)
                .expect("the writer lives")
                .expect("frames");
            let mut frames = 0;
            while batch.next().is_some() {
                frames += 1;
            }
            assert_eq!(frames, BATCH);
        };
        bencher.iter_custom(|count| timed(&mut pair, count, BATCH, fill, read, Pair::drain));
    });
    group.finish();
}

criterion_group!(benches, publish, receive);
criterion_main!(benches);
