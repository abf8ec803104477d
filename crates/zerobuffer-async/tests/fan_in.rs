//! Many readers, waited for at once: every frame arrives, everyone has a turn, and the end of each writer is told.
#![allow(missing_docs)]

#[path = "../../zerobuffer/tests/common/mod.rs"]
mod common;

use std::collections::HashMap;
use std::future::Future as _;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{Call, Placement, Stage, Watchdog, frame, is_frame, shm_dir};
use futures::executor::block_on;
use zerobuffer::{BufferConfig, ReadError, Reader, WaitStrategy, Writer};
use zerobuffer_async::{AsyncWaitSet, Token, WaitSet};

const BYTES: usize = 700;

#[test]
fn child_role() {
    common::child(role);
}

/// Writes one frame into the buffer of that number, and waits to be killed.
fn role(call: &Call) {
    let mut writer = call.writer().connect(&name(call.numbers[0])).unwrap();
    writer.write(&frame(1, BYTES)).unwrap();
    call.linger();
}

fn name(number: u64) -> String {
    format!("many-{number}")
}

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(4096)
}

fn ends(dir: &Path, number: u64) -> (Writer, Reader) {
    let writer = Writer::options().dir(dir).create(&name(number), &config()).unwrap();
    (writer, Reader::options().dir(dir).join(&name(number)).unwrap())
}

/// What came of each buffer, checked as it comes.
#[derive(Debug, Default)]
struct Seen {
    frames: HashMap<Token, u64>,
    closed: usize,
}

impl Seen {
    /// Whether the writer has closed.
    fn note(&mut self, token: Token, told: zerobuffer_async::Told<'_>) -> bool {
        let Some(frame) = told.unwrap() else {
            self.closed += 1;
            return true;
        };
        let seen = self.frames.entry(token).or_default();
        *seen += 1;
        assert_eq!(frame.sequence(), *seen);
        assert!(is_frame(*seen, &frame));
        false
    }

    fn check(&self, buffers: usize, frames: u64) {
        assert_eq!((self.closed, self.frames.len()), (buffers, buffers));
        assert!(self.frames.values().all(|seen| *seen == frames));
    }
}

/// Writers that write in turns, with pauses in which everybody falls asleep.
fn write_all(mut writers: Vec<Writer>, frames: u64) {
    for sequence in 1..=frames {
        for writer in &mut writers {
            writer.write(&frame(sequence, BYTES)).unwrap();
        }
        if sequence % 8 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Every frame of so many buffers, through one blocking set and through one task.
fn all_arrive(buffers: u64, frames: u64) {
    let _watchdog = Watchdog::new("all arrive");
    let dir = shm_dir();
    let (writers, readers): (Vec<_>, Vec<_>) = (0..buffers).map(|n| ends(dir.path(), n)).unzip();
    let writing = std::thread::spawn(move || write_all(writers, frames));
    let mut set = WaitSet::new();
    let tokens: Vec<_> = readers.into_iter().map(|reader| set.add(reader)).collect();
    assert!(tokens.iter().all(|token| set.get(*token).is_some()));
    let mut seen = Seen::default();
    loop {
        let Some((token, told)) = set.next() else { break };
        if seen.note(token, told) {
            drop(set.remove(token));
        }
    }
    writing.join().unwrap();
    seen.check(buffers as usize, frames);

    let dir = shm_dir();
    let (writers, readers): (Vec<_>, Vec<_>) = (0..buffers).map(|n| ends(dir.path(), n)).unzip();
    let writing = std::thread::spawn(move || write_all(writers, frames));
    let mut set = AsyncWaitSet::new();
    for reader in readers {
        set.add(reader).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let task = runtime.spawn(async move {
        let mut seen = Seen::default();
        loop {
            let Some((token, told)) = set.next().await else { break };
            if seen.note(token, told) {
                drop(set.remove(token));
            }
        }
        seen
    });
    let seen = runtime.block_on(task).unwrap();
    writing.join().unwrap();
    seen.check(buffers as usize, frames);
}

#[test]
fn dozens() {
    all_arrive(48, 100);
}

/// More than one call of the kernel waits for.
#[test]
fn more_than_a_hundred_and_twenty_eight() {
    all_arrive(150, 20);
}

/// One buffer is always full; nine have a frame now and then.
#[test]
fn a_busy_buffer_starves_nobody() {
    let _watchdog = Watchdog::new("fair");
    let dir = shm_dir();
    let (mut writers, readers): (Vec<_>, Vec<_>) = (0..10).map(|n| ends(dir.path(), n)).unzip();
    let mut set = WaitSet::new();
    let tokens: Vec<_> = readers.into_iter().map(|reader| set.add(reader)).collect();
    let mut counts = HashMap::<Token, u64>::new();
    for round in 1..=200_u64 {
        // One that is quiet at other times has a frame, behind whatever its turn is.
        let quiet = 1 + (round % 9) as usize;
        writers[quiet].write(&frame(1, BYTES)).unwrap();
        let mut before = 0;
        loop {
            while writers[0].try_write(&frame(1, BYTES)).is_ok() {}
            let (token, told) = set.try_next().unwrap();
            drop(told.unwrap().unwrap());
            *counts.entry(token).or_default() += 1;
            if token == tokens[quiet] {
                break;
            }
            before += 1;
            assert!(before <= 1, "a frame of the busy one each, and it is its turn");
        }
    }
    // With all of them busy the shares are equal.
    counts.clear();
    for _ in 0..1000 {
        for writer in &mut writers {
            while writer.try_write(&frame(1, BYTES)).is_ok() {}
        }
        let (token, told) = set.next().unwrap();
        drop(told.unwrap().unwrap());
        *counts.entry(token).or_default() += 1;
    }
    assert!(counts.len() == 10 && counts.values().all(|count| *count == 100), "{counts:?}");
}

#[test]
fn a_busy_buffer_s_task_starves_nobody() {
    let _watchdog = Watchdog::new("fair task");
    let dir = shm_dir();
    let (busy, busy_reader) = ends(dir.path(), 0);
    let (mut quiet, quiet_reader) = ends(dir.path(), 1);
    let mut set = AsyncWaitSet::new();
    let busy_token = set.add(busy_reader).unwrap();
    let quiet_token = set.add(quiet_reader).unwrap();
    let mut busy = busy;
    for _ in 0..100 {
        while busy.try_write(&frame(1, BYTES)).is_ok() {}
        quiet.write(&frame(1, BYTES)).unwrap();
        let mut order = Vec::new();
        for _ in 0..3 {
            let (token, told) = block_on(set.next()).unwrap();
            drop(told.unwrap().unwrap());
            order.push(token);
        }
        assert!(order[..2].contains(&quiet_token) && order.contains(&busy_token), "{order:?}");
    }
}

#[test]
fn a_death_is_told_while_others_are_busy() {
    for busy in [false, true] {
        let stage = Stage::new(Placement::Processes, WaitStrategy::Park, role);
        let mut set = WaitSet::new();
        let mut of = |number| {
            let reader = Reader::options().dir(stage.dir()).create(&name(number), &config());
            set.add(reader.unwrap())
        };
        let (mortal, other) = (of(0), of(1));
        let mut writer = stage.writer().connect(&name(1)).unwrap();
        let peer = stage.start("write", &[0]);
        assert!(set.next().is_some_and(|(token, told)| token == mortal && told.is_ok()));
        assert!(set.next_timeout(Duration::from_millis(20)).is_none());
        let killing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            peer.kill();
        });
        loop {
            if busy {
                while writer.try_write(&frame(1, BYTES)).is_ok() {}
            }
            match set.next().unwrap() {
                (token, Ok(Some(_))) => assert_eq!(token, other),
                (token, Err(error)) => {
                    assert!(matches!(error, ReadError::WriterGone { .. }), "{error}");
                    assert_eq!(token, mortal);
                    break;
                }
                (token, Ok(None)) => panic!("{token:?} has not closed"),
            }
        }
        killing.join().unwrap();

        // The same set, in a task, goes on with a successor.
        let mut tasks = AsyncWaitSet::new();
        let token = tasks.add(set.remove(mortal).unwrap()).unwrap();
        let peer = stage.start("write", &[0]);
        assert!(block_on(tasks.next()).is_some_and(|(from, told)| from == token && told.is_ok()));
        let killing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            peer.kill();
        });
        let (_, told) = block_on(tasks.next()).unwrap();
        assert!(told.unwrap_err().is_peer_gone());
        killing.join().unwrap();
        drop(set);
        writer.discard_undelivered();
    }
}

#[test]
fn a_dropped_future_of_a_set_loses_nothing() {
    let _watchdog = Watchdog::new("cancelled");
    let dir = shm_dir();
    let (mut writers, readers): (Vec<_>, Vec<_>) = (0..5).map(|n| ends(dir.path(), n)).unzip();
    let mut set = AsyncWaitSet::new();
    assert!(block_on(set.next()).is_none(), "nobody is in it");
    let tokens: Vec<_> = readers.into_iter().map(|reader| set.add(reader).unwrap()).collect();
    let mut context = Context::from_waker(Waker::noop());
    for round in 1..=20 {
        {
            let mut next = pin!(set.next());
            assert!(next.as_mut().poll(&mut context).is_pending());
            assert!(next.as_mut().poll(&mut context).is_pending());
            writers[round as usize % 5].write(&frame(round, BYTES)).unwrap();
        }
        let (token, told) = block_on(set.next()).unwrap();
        assert_eq!(token, tokens[round as usize % 5]);
        assert!(is_frame(round, &told.unwrap().unwrap()));
        assert!(matches!(pin!(set.next()).poll(&mut context), Poll::Pending));
    }
    // Taken out, a reader goes on by itself; the others stay.
    let mut alone = set.remove(tokens[2]).unwrap();
    assert!(set.get(tokens[2]).is_none() && set.len() == 4 && set.tokens().count() == 4);
    writers[2].write(b"alone").unwrap();
    assert!(set.try_next().is_none());
    assert_eq!(alone.read().unwrap().unwrap()[..], *b"alone");
    writers[3].write(b"within").unwrap();
    assert_eq!(set.get_mut(tokens[3]).unwrap().read().unwrap().unwrap()[..], *b"within");
}

#[test]
fn sets_wait_also_where_the_kernel_cannot_wait_for_many_words() {
    let name = "ZEROBUFFER_NO_WAITV";
    if std::env::var_os(name).is_none() {
        let mut tests = std::process::Command::new(std::env::current_exe().unwrap());
        assert!(tests.env(name, "1").status().unwrap().success());
    }
}
