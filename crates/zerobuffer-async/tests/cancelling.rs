//! Futures that are dropped, in every state: nothing is lost, and nobody waits any more.
#![allow(missing_docs)]

#[path = "../../zerobuffer/tests/common/mod.rs"]
mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use common::{Watchdog, frame, is_frame, shm_dir, some_len, until};
use futures::executor::block_on;
use zerobuffer::{BufferConfig, Reader, Writer};
use zerobuffer_async::{AsyncReader, AsyncWriter, waiting};

const NAME: &str = "given up";
const BYTES: usize = 700;

/// Those who wait are counted for the whole process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ends(dir: &std::path::Path) -> (AsyncWriter, AsyncReader) {
    // So small that the writer must wait for room.
    let config = BufferConfig::new().payload_bytes(4096);
    let writer = Writer::options().dir(dir).create(NAME, &config).unwrap();
    let reader = Reader::options().dir(dir).join(NAME).unwrap();
    (AsyncWriter::new(writer).unwrap(), AsyncReader::new(reader).unwrap())
}

/// A waker that counts.
#[derive(Debug, Default)]
struct Calls(AtomicUsize);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls once and drops the future; whether it was pending.
fn give_up<F: Future>(future: F) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(pin!(future).poll(&mut context), Poll::Pending)
}

#[test]
fn before_it_was_polled_and_while_it_waits() {
    let (_alone, _watchdog) = (alone(), Watchdog::new("given up"));
    let dir = shm_dir();
    let (mut writer, mut reader) = ends(dir.path());
    drop(reader.read());
    assert!(give_up(reader.read()));
    assert!(give_up(reader.next_batch(3)));
    assert_eq!(waiting(), 0);
    let mut written = 0;
    while !give_up(writer.write(&frame(written + 1, BYTES))) {
        written += 1;
    }
    assert!(written > 1);
    drop(writer.loan(BYTES));
    assert!(give_up(writer.loan(BYTES)));
    assert_eq!(waiting(), 0);
    for sequence in 1..=written {
        let frame = block_on(reader.read()).unwrap().unwrap();
        assert!(frame.sequence() == sequence && is_frame(sequence, &frame));
    }
    assert!(give_up(reader.read()));
    block_on(writer.write(&frame(written + 1, BYTES))).unwrap();
    let mut batch = block_on(reader.next_batch(9)).unwrap().unwrap();
    assert_eq!(batch.next().unwrap().sequence, written + 1);
    assert!(batch.next().is_none());
}

#[test]
fn after_it_was_called_and_before_it_was_polled_again() {
    let (_alone, _watchdog) = (alone(), Watchdog::new("called"));
    let dir = shm_dir();
    let (mut writer, mut reader) = ends(dir.path());
    let calls = Arc::new(Calls::default());
    let waker = Waker::from(calls.clone());
    let mut context = Context::from_waker(&waker);
    {
        let mut read = pin!(reader.read());
        assert!(read.as_mut().poll(&mut context).is_pending());
        assert_eq!(waiting(), 1);
        writer.get_mut().write(&frame(1, BYTES)).unwrap();
        until("the reader is called", || calls.0.load(Ordering::SeqCst) == 1);
    }
    assert_eq!(waiting(), 0);
    assert!(is_frame(1, &block_on(reader.read()).unwrap().unwrap()));

    // The same for one who waits for room.
    let mut written = 1;
    while writer.get_mut().try_write(&frame(written + 1, BYTES)).is_ok() {
        written += 1;
    }
    {
        let unwritten = vec![0; BYTES];
        let mut write = pin!(writer.write(&unwritten));
        assert!(write.as_mut().poll(&mut context).is_pending());
        drop(reader.get_mut().read().unwrap());
        until("the writer is called", || calls.0.load(Ordering::SeqCst) == 2);
    }
    assert_eq!(waiting(), 0);
    block_on(writer.write(&frame(written + 1, BYTES))).unwrap();
    for sequence in 3..=written + 1 {
        let frame = block_on(reader.read()).unwrap().unwrap();
        assert!(frame.sequence() == sequence && is_frame(sequence, &frame));
    }
}

#[test]
fn a_future_that_moves_to_another_task_calls_that_one() {
    let (_alone, _watchdog) = (alone(), Watchdog::new("moved"));
    let dir = shm_dir();
    let (mut writer, mut reader) = ends(dir.path());
    let both = [Arc::new(Calls::default()), Arc::new(Calls::default())];
    let mut read = pin!(reader.read());
    for calls in &both {
        let waker = Waker::from(calls.clone());
        assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    writer.get_mut().write(b"moved").unwrap();
    until("the second is called", || both[1].0.load(Ordering::SeqCst) == 1);
    assert_eq!(both[0].0.load(Ordering::SeqCst), 0);
    assert_eq!(block_on(read).unwrap().unwrap()[..], *b"moved");
}

/// Both sides give up again and again, at moments that differ each time.
#[test]
fn again_and_again_on_both_sides() {
    const FRAMES: u64 = 3000;
    let (_alone, _watchdog) = (alone(), Watchdog::new("again and again"));
    let dir = shm_dir();
    let (mut writer, mut reader) = ends(dir.path());
    let writing = std::thread::spawn(move || {
        for sequence in 1..=FRAMES {
            let bytes = frame(sequence, some_len(sequence, BYTES));
            for patience in 0.. {
                if block_on(impatient(writer.write(&bytes), patience)).is_some() {
                    break;
                }
            }
        }
    });
    let mut patience = 0;
    for sequence in 1..=FRAMES {
        let frame = loop {
            patience = (patience + 1) % 5;
            // A frame that came is taken, one that did not is left for the next future.
            if let Some(told) = block_on(impatient(reader.read(), patience)) {
                let frame = told.unwrap().expect("the writer has not closed");
                break (frame.sequence(), frame.to_vec());
            }
        };
        assert_eq!(frame.0, sequence);
        assert!(is_frame(sequence, &frame.1) && frame.1.len() == some_len(sequence, BYTES));
    }
    writing.join().unwrap();
    assert_eq!(waiting(), 0);
}

/// Gives the future up after so many polls in which it was pending.
async fn impatient<F: Future>(future: F, patience: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..=patience {
        if let Poll::Ready(output) = futures::poll!(future.as_mut()) {
            return Some(output);
        }
        std::thread::yield_now();
    }
    None
}
