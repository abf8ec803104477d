//! Moving a frame never asks the allocator for anything, and neither does failing to move one.

// Counting what the allocator is asked for takes an allocator of one's own.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use zerobuffer::{BufferConfig, Reader, WaitStrategy, Writer};

const FRAMES: u64 = 100_000;

thread_local! {
    /// Allocations of this thread since it began to count; `None` while it does not.
    static COUNT: Cell<Option<u64>> = const { Cell::new(None) };
}

struct Counting;

impl Counting {
    fn note() {
        // A thread that is ending has no count any more, and is not measured.
        let _ = COUNT.try_with(|count| count.set(count.get().map(|n| n + 1)));
    }
}

// SAFETY: every call is passed on as it came to the system's allocator, which keeps the contract; counting
// touches a thread-local without a destructor and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::note();
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` through this allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::note();
        // SAFETY: the caller keeps `alloc_zeroed`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::note();
        // SAFETY: `pointer` came from `System` through this allocator, with this layout.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations that this thread makes in `work`.
fn allocations(work: impl FnOnce()) -> u64 {
    COUNT.set(Some(0));
    work();
    COUNT.take().expect("counting was on")
}

/// Both ends of a new buffer with room for few frames, so that every test goes round it many times.
fn both_ends(dir: &tempfile::TempDir, wait: WaitStrategy) -> (Writer, Reader) {
    let config = BufferConfig::new().payload_bytes(64 << 10);
    let reader = Reader::options()
        .dir(dir.path())
        .wait_strategy(wait)
        .create("frames", &config)
        .expect("create the buffer");
    let writer = Writer::options()
        .dir(dir.path())
        .wait_strategy(wait)
        .connect("frames")
        .expect("connect to the buffer");
    (writer, reader)
}

fn shared_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").expect("make a directory in shared memory")
}

#[test]
fn the_count_sees_an_allocation() {
    let seen = allocations(|| drop(std::hint::black_box(Box::new(1_u64))));
    assert_eq!(seen, 1);
}

#[test]
fn writing_and_reading_in_one_thread_allocates_nothing() {
    let dir = shared_memory();
    let (mut writer, mut reader) = both_ends(&dir, WaitStrategy::Spin);
    let mut cycle = |sequence: u64| {
        let bytes = sequence.to_le_bytes();
        writer.write(&bytes).expect("write");
        let frame = reader.read().expect("read").expect("a frame");
        assert_eq!(frame[..], bytes);
        drop(frame);

        let mut loan = writer.loan(2000).expect("loan");
        loan[..8].copy_from_slice(&bytes);
        loan.commit();
        drop(writer.loan(100).expect("loan and drop"));
        let frame = reader.read().expect("read").expect("a frame");
        assert_eq!(frame[..8], bytes);
        drop(frame);

        let mut batch = writer.batch();
        for _ in 0..4 {
            batch.push(&bytes).expect("push");
        }
        assert_eq!(batch.commit(), 4);
        let mut taken = 0;
        while taken < 4 {
            let mut frames = reader.read_batch(4).expect("read").expect("a batch");
            while let Some(frame) = frames.next() {
                assert_eq!(frame.payload, bytes);
                taken += 1;
            }
        }
    };
    (0..1000).for_each(&mut cycle);
    assert_eq!(allocations(|| (0..FRAMES).for_each(&mut cycle)), 0);
}

#[test]
fn an_empty_and_a_full_buffer_are_reported_without_allocating() {
    let dir = shared_memory();
    let (mut writer, mut reader) = both_ends(&dir, WaitStrategy::Park);
    let frame = [7; 1000];
    let mut cycle = |_: u64| {
        assert!(reader.try_read().expect_err("nothing to read").is_timeout());
        let mut written = 0;
        let full = loop {
            match writer.try_write(&frame) {
                Ok(_) => written += 1,
                Err(full) => break full,
            }
        };
        assert!(full.is_timeout());
        drop(full);
        for _ in 0..written {
            drop(reader.try_read().expect("read").expect("a frame"));
        }
    };
    (0..10).for_each(&mut cycle);
    assert_eq!(allocations(|| (0..1000).for_each(&mut cycle)), 0);
}

#[test]
fn neither_side_allocates_while_frames_cross_between_threads() {
    for wait in [WaitStrategy::Spin, WaitStrategy::SpinThenPark, WaitStrategy::Park] {
        let dir = shared_memory();
        let (mut writer, mut reader) = both_ends(&dir, wait);
        // With one core to share, spinning sides only take turns when the scheduler makes them.
        let frames = if wait == WaitStrategy::Spin { FRAMES / 10 } else { FRAMES };
        let (written, read) = std::thread::scope(|scope| {
            let reading = scope.spawn(move || {
                let mut next = 0;
                let mut take = |until: u64| {
                    while next < until {
                        let frame = reader
                            .read_timeout(Duration::from_secs(60))
                            .expect("read")
                            .expect("a frame");
                        assert_eq!(frame[..8], next.to_le_bytes());
                        next += 1;
                    }
                };
                take(1000);
                allocations(|| take(1000 + frames))
            });
            let mut payload = [0; 100];
            let mut put = |sequence: u64| {
                payload[..8].copy_from_slice(&sequence.to_le_bytes());
                writer.write_timeout(&payload, Duration::from_secs(60)).expect("write");
            };
            (0..1000).for_each(&mut put);
            let written = allocations(|| (1000..1000 + frames).for_each(&mut put));
            (written, reading.join().expect("the reading thread"))
        });
        assert_eq!((written, read), (0, 0), "{wait:?}");
    }
}
