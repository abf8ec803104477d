//! What the end of the ring costs, mapped twice against a marker that says "go on at the start"; and what the first
//! lap costs, for pages that were only allocated, touched in advance, or put together to huge ones. And what it does to a
//! copy how much further within its page the one place lies than the other.
#![allow(missing_docs)]

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use zerobuffer::{BufferConfig, Reader, Writer};
use zerobuffer_micro::{Mapped, Pages};

const MIB: usize = 1 << 20;
const RING: usize = 256 << 10;

/// Length of the header before each frame, of a round size.
const HEADER: usize = 16;

/// Copies frames into a ring that is mapped twice: the end is nowhere.
fn mapped_twice(ring: &mut Mapped, at: &mut usize, payload: &[u8]) {
    let frame = ring.bytes(*at, HEADER + payload.len());
    frame[..8].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    frame[HEADER..].copy_from_slice(payload);
    *at = (*at + HEADER + payload.len()) & (RING - 1);
}

/// Copies frames into a ring that is mapped once: what does not fit before the end goes to the start, behind a marker.
fn wrap_marker(ring: &mut Mapped, at: &mut usize, payload: &[u8]) {
    let need = HEADER + payload.len();
    if *at + need > ring.len() {
        if *at < ring.len() {
            ring.bytes(*at, 8).copy_from_slice(&u64::MAX.to_le_bytes());
        }
        *at = 0;
    }
    let frame = ring.bytes(*at, need);
    frame[..8].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    frame[HEADER..].copy_from_slice(payload);
    *at += need;
}

fn wrap(criterion: &mut Criterion) {
    type Place = fn(&mut Mapped, &mut usize, &[u8]);
    let mut group = criterion.benchmark_group("wrap");
    // Just over a third of the ring: with a marker, a third of it stays empty in each lap.
    for len in [48, 1008, RING / 3] {
        let payload = vec![1; len.next_multiple_of(16)];
        group.throughput(Throughput::Bytes(payload.len() as u64));
        let ways: [(&str, usize, Place); 2] =
            [("mapped twice", 2, mapped_twice), ("marker", 1, wrap_marker)];
        for (way, views, place) in ways {
            let mut ring = Mapped::new(RING, views).expect("memory of this size");
            let mut at = 0;
            group.bench_function(BenchmarkId::new(way, payload.len()), |bencher| {
                bencher.iter(|| place(&mut ring, &mut at, &payload));
            });
        }
    }
    group.finish();
}

/// Memory whose pages are as `pages` says.
fn prepared(pages: Pages) -> anyhow::Result<Mapped> {
    let mut memory = Mapped::new(8 * MIB, 1)?;
    memory.prepare(pages)?;
    Ok(memory)
}

/// Those of `ways` that this system has.
fn possible(ways: &[Pages]) -> impl Iterator<Item = Pages> {
    ways.iter().copied().filter(|&pages| {
        prepared(pages).inspect_err(|why| eprintln!("NOT MEASURED: {pages:?}: {why:#}")).is_ok()
    })
}

fn first_lap(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("first lap of 8 MiB");
    group.sample_size(20);
    for pages in possible(&[Pages::Allocated, Pages::Prefaulted, Pages::Huge]) {
        let lap = |_| {
            let mut memory = prepared(pages).expect("it went well before");
            let begin = Instant::now();
            memory.touch();
            begin.elapsed()
        };
        group.bench_function(format!("{pages:?}"), |bencher| {
            bencher.iter_custom(|count| (0..count).map(lap).sum::<Duration>());
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("preparing 8 MiB");
    group.sample_size(20);
    for pages in possible(&[Pages::Prefaulted, Pages::Huge]) {
        let prepare = |_| {
            let mut memory = Mapped::new(8 * MIB, 1).expect("memory of this size");
            let begin = Instant::now();
            memory.prepare(pages).expect("it went well before");
            begin.elapsed()
        };
        group.bench_function(format!("{pages:?}"), |bencher| {
            bencher.iter_custom(|count| (0..count).map(prepare).sum::<Duration>());
        });
    }
    group.finish();
}

/// Where a frame's payload begins, after a header.
const PAYLOAD: usize = 64;
/// A frame after which the next one lies the same in its page.
const FRAME: usize = (64 << 10) - PAYLOAD;

fn copy(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("copy of 64 KiB");
    group.throughput(Throughput::Bytes(FRAME as u64));
    let memory = || Mapped::new(MIB, 1).expect("memory of this size");
    let (mut source, mut place) = (memory(), memory());
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory in shared memory");
    let config = BufferConfig::new().payload_bytes(256 << 10);
    let writer = Writer::options().dir(dir.path()).create("micro", &config);
    let mut writer = writer.expect("a buffer of its own");
    let reader = Reader::options().dir(dir.path()).join("micro");
    let mut reader = reader.expect("nobody else reads it");
    for further in [0, 16, 48] {
        let from = source.bytes(PAYLOAD - further, FRAME);
        group.bench_function(BenchmarkId::new("copy_from_slice", further), |bencher| {
            bencher.iter(|| place.bytes(PAYLOAD, FRAME).copy_from_slice(from));
        });
        group.bench_function(BenchmarkId::new("write and read", further), |bencher| {
            bencher.iter(|| {
                writer.write(from).expect("there is room");
                reader.read().expect("a frame").map(|frame| frame.len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, wrap, first_lap, copy);
criterion_main!(benches);
