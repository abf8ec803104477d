//! What the system charges for what the ring uses, and for what it avoids: barriers, semaphores, futexes, the clock.
//!
//! A round trip holds two wake-ups of a sleeping thread.
#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence, fence};
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use zerobuffer_micro::{Futex, Partner, Semaphore, Turn, membarrier, register_for_membarrier};

/// A store and a load of another word, as both sides do before one sleeps, with what keeps them in order.
fn barriers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("barrier");
    let (ours, theirs) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut turn = 0;
    group.bench_function("store and load, none between", |bencher| {
        bencher.iter(|| {
            turn += 1;
            ours.store(turn, Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
            theirs.load(Ordering::Relaxed)
        });
    });
    group.bench_function("store and load, a release store", |bencher| {
        bencher.iter(|| {
            turn += 1;
            ours.store(turn, Ordering::Release);
            theirs.load(Ordering::Acquire)
        });
    });
    group.bench_function("store and load, a full fence between", |bencher| {
        bencher.iter(|| {
            turn += 1;
            ours.store(turn, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            theirs.load(Ordering::Relaxed)
        });
    });
    group.bench_function("store and load, the store an exchange", |bencher| {
        bencher.iter(|| {
            turn += 1;
            ours.swap(turn, Ordering::SeqCst) + theirs.load(Ordering::Relaxed)
        });
    });
    if register_for_membarrier() && membarrier() {
        group.bench_function("membarrier, for all processes that registered", |bencher| {
            bencher.iter(|| assert!(membarrier()));
        });
    } else {
        eprintln!("NOT MEASURED: this system has no membarrier for several processes");
    }
    group.finish();
}

fn sleepers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sleeper");
    let semaphore = Semaphore::default();
    group.bench_function("semaphore post and wait, nobody sleeps", |bencher| {
        bencher.iter(|| {
            semaphore.give();
            assert!(semaphore.try_wait());
        });
    });
    group.bench_function("semaphore wait that finds nothing", |bencher| {
        bencher.iter(|| assert!(!semaphore.try_wait()));
    });
    let futex = Futex::default();
    group.bench_function("futex wake, nobody sleeps", |bencher| bencher.iter(|| futex.wake()));
    round_trip::<Semaphore>(&mut group, "semaphore round trip, two wake-ups");
    round_trip::<Futex>(&mut group, "futex round trip, two wake-ups");
    group.finish();
}

fn round_trip<T: Turn>(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    name: &str,
) {
    let partner = Partner::<T>::start();
    group.bench_function(name, |bencher| bencher.iter(|| partner.round()));
    assert!(partner.end() > 0, "the partner has slept through it");
}

fn clocks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("clock");
    group.bench_function("monotonic, as a frame's time of commit", |bencher| {
        bencher.iter(|| black_box(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic)));
    });
    group.bench_function("Instant::now and elapsed", |bencher| {
        bencher.iter(|| black_box(Instant::now().elapsed()));
    });
    group.finish();
}

criterion_group!(benches, barriers, sleepers, clocks);
criterion_main!(benches);
