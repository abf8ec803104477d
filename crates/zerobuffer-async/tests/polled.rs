//! Descriptors: readable when there is something to try for, and not when there is nothing.
#![allow(missing_docs)]

#[path = "../../zerobuffer/tests/common/mod.rs"]
mod common;

use std::os::fd::AsFd;
use std::time::Duration;

use common::{Call, Placement, Stage, Watchdog, frame, is_frame, shm_dir};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use zerobuffer::{BufferConfig, ReadError, Reader, WaitStrategy, WriteError, Writer};
use zerobuffer_async::{PolledReader, PolledWriter};

const NAME: &str = "polled";
const BYTES: usize = 700;

#[test]
fn child_role() {
    common::child(role);
}

/// Writes the frame of that number, or reads so many, and says so.
fn role(call: &Call) {
    let number = call.numbers[0];
    if call.role == "read and linger" {
        let mut reader = call.reader().join(NAME).unwrap();
        (0..number).for_each(|_| drop(reader.read().unwrap()));
        call.signal("read");
        call.linger();
    }
    let mut writer = call.writer().create(NAME, &config()).unwrap();
    writer.write(&frame(number, BYTES)).unwrap();
    call.signal(&format!("written {number}"));
    if call.role == "write and linger" {
        call.linger();
    }
}

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(4096)
}

fn is_readable_within(fd: &impl AsFd, limit: Duration) -> bool {
    let limit = Timespec::try_from(limit).unwrap();
    poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&limit)).unwrap() == 1
}

fn is_readable(fd: &impl AsFd) -> bool {
    is_readable_within(fd, Duration::ZERO)
}

/// The watchdog is the only clock.
fn wait_for(fd: &impl AsFd) {
    assert_eq!(poll(&mut [PollFd::new(fd, PollFlags::IN)], None).unwrap(), 1);
}

/// Longer than two looks of the waiting thread.
const QUIET: Duration = Duration::from_millis(250);

#[test]
fn it_is_readable_as_long_as_there_is_something_and_not_longer() {
    let _watchdog = Watchdog::new("level");
    let dir = shm_dir();
    let mut writer = Writer::options().dir(dir.path()).create(NAME, &config()).unwrap();
    let reader = Reader::options().dir(dir.path()).join(NAME).unwrap();
    let mut reader = PolledReader::new(reader).unwrap();
    assert!(is_readable(&reader), "the first try is worth while");
    assert!(reader.try_read().unwrap_err().is_timeout());
    assert!(!is_readable_within(&reader, QUIET), "a writer that lives is no news");
    for round in 0..3 {
        for sequence in 1..=4 {
            writer.write(&frame(sequence + 4 * round, BYTES)).unwrap();
        }
        for sequence in 1..=4 {
            wait_for(&reader);
            let frame = reader.try_read().unwrap().unwrap();
            assert!(is_frame(sequence + 4 * round, &frame));
        }
        assert!(reader.try_read().unwrap_err().is_timeout());
        assert!(!is_readable(&reader));
    }
    writer.write(&frame(1, BYTES)).unwrap();
    wait_for(&reader);
    assert!(reader.try_read_batch(5).unwrap().unwrap().next().is_some());
    assert!(reader.try_read_batch(5).unwrap_err().is_timeout());
    drop(writer);
    wait_for(&reader);
    assert!(reader.try_read().unwrap().is_none(), "closed");
    assert!(reader.try_read().unwrap_err().is_timeout());
    assert!(!is_readable_within(&reader, QUIET), "that nobody writes is no news");
    let mut writer = Writer::options().dir(dir.path()).connect(NAME).unwrap();
    wait_for(&reader);
    assert!(reader.try_read().unwrap_err().is_timeout());
    assert!(reader.get_ref().writer_presence() == zerobuffer::WriterPresence::Attached);
    writer.write(b"again").unwrap();
    wait_for(&reader);
    assert_eq!(reader.into_inner().try_read().unwrap().unwrap()[..], *b"again");
}

#[test]
fn it_tells_of_a_killed_writer_and_of_its_successor() {
    let stage = Stage::new(Placement::Processes, WaitStrategy::Park, role);
    let peer = stage.start("write and linger", &[1]);
    let mut reader = PolledReader::new(stage.reader().join(NAME).unwrap()).unwrap();
    stage.await_signal("written 1");
    assert!(is_frame(1, &reader.try_read().unwrap().unwrap()));
    assert!(reader.try_read().unwrap_err().is_timeout());
    assert!(!is_readable_within(&reader, QUIET));
    peer.kill();
    wait_for(&reader);
    let error = reader.try_read().unwrap_err();
    assert!(matches!(error, ReadError::WriterGone { .. }), "{error}");
    assert!(reader.try_read().unwrap_err().is_timeout());
    assert!(!is_readable_within(&reader, QUIET), "it is told once");

    let peer = stage.start("write and leave", &[2]);
    let mut told = Vec::new();
    while told.last() != Some(&0) {
        wait_for(&reader);
        match reader.try_read() {
            Ok(Some(frame)) => told.push(frame.sequence()),
            Ok(None) => told.push(0),
            Err(error) => assert!(error.is_timeout(), "{error}"),
        }
    }
    assert_eq!(told, [2, 0]);
    peer.finish();
}

#[test]
fn it_tells_of_a_buffer_that_was_removed() {
    let _watchdog = Watchdog::new("removed");
    let dir = shm_dir();
    let _writer = Writer::options().dir(dir.path()).create(NAME, &config()).unwrap();
    let reader = Reader::options().dir(dir.path()).join(NAME).unwrap();
    let mut reader = PolledReader::new(reader).unwrap();
    assert!(reader.try_read().unwrap_err().is_timeout());
    zerobuffer::inspect::remove(NAME, dir.path(), true).unwrap();
    wait_for(&reader);
    let error = reader.try_read().unwrap_err();
    assert!(matches!(error, ReadError::Retired { .. }), "{error}");
}

#[test]
fn a_writer_s_tells_of_room() {
    let _watchdog = Watchdog::new("room");
    let dir = shm_dir();
    let writer = Writer::options().dir(dir.path()).create(NAME, &config()).unwrap();
    let mut reader = Reader::options().dir(dir.path()).join(NAME).unwrap();
    let mut writer = PolledWriter::new(writer).unwrap();
    let mut written = 0;
    for _ in 0..100 {
        assert!(is_readable(&writer), "the last try was not in vain");
        while writer.try_write(&frame(written + 1, BYTES)).is_ok() {
            written += 1;
        }
        assert_eq!(writer.get_ref().next_sequence(), written + 1);
        drop(reader.read().unwrap().unwrap());
        wait_for(&writer);
        if let Ok(mut loan) = writer.try_loan(BYTES) {
            written += 1;
            loan.copy_from_slice(&frame(written, BYTES));
            loan.commit();
        }
    }
    assert!(written > 100);
    drop(writer.into_inner());
    let mut seen = 100;
    while let Some(frame) = reader.read().unwrap() {
        seen += 1;
        assert!(frame.sequence() == seen && is_frame(seen, &frame));
    }
    assert_eq!(seen, written);
}

#[test]
fn a_writer_s_tells_of_a_killed_reader() {
    let stage = Stage::new(Placement::Processes, WaitStrategy::Park, role);
    let writer = stage.writer().create(NAME, &config()).unwrap();
    let mut writer = PolledWriter::new(writer).unwrap();
    let mut written = 0;
    while writer.try_write(&frame(written + 1, BYTES)).is_ok() {
        written += 1;
    }
    let peer = stage.start("read and linger", &[1]);
    stage.await_signal("read");
    peer.kill();
    let error = loop {
        wait_for(&writer);
        match writer.try_write(&frame(written + 1, BYTES)) {
            Ok(_) => written += 1,
            Err(error) if error.is_timeout() => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, WriteError::ReaderGone { .. }), "{error}");
    writer.into_inner().discard_undelivered();
}

#[test]
fn one_epoll_waits_for_dozens() {
    const BUFFERS: u64 = 40;
    const FRAMES: u64 = 50;
    let _watchdog = Watchdog::new("dozens");
    let dir = shm_dir();
    let mut writers = Vec::new();
    let mut readers = Vec::new();
    let all = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    for index in 0..BUFFERS {
        let name = format!("{NAME}-{index}");
        writers.push(Writer::options().dir(dir.path()).create(&name, &config()).unwrap());
        let reader = Reader::options().dir(dir.path()).join(&name).unwrap();
        let reader = PolledReader::new(reader).unwrap();
        // Edge-triggered, which is the harder one: one event, then nothing until a try was in vain.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&all, &reader, epoll::EventData::new_u64(index), flags).unwrap();
        readers.push((reader, 0));
    }
    let writing = std::thread::spawn(move || {
        for sequence in 1..=FRAMES {
            for writer in &mut writers {
                writer.write(&frame(sequence, BYTES)).unwrap();
            }
        }
    });
    let mut open = BUFFERS;
    let mut events = Vec::with_capacity(8);
    while open > 0 {
        events.clear();
        epoll::wait(&all, spare_capacity(&mut events), None).unwrap();
        for event in &events {
            let (reader, seen) = &mut readers[event.data.u64() as usize];
            loop {
                match reader.try_read() {
                    Ok(Some(frame)) => {
                        *seen += 1;
                        assert!(frame.sequence() == *seen && is_frame(*seen, &frame));
                    }
                    Ok(None) => open -= 1,
                    Err(error) if error.is_timeout() => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
    assert!(readers.iter().all(|(_, seen)| *seen == FRAMES));
    writing.join().unwrap();
}

#[test]
fn a_runtime_that_knows_descriptors_only_can_wait_for_it() {
    let _watchdog = Watchdog::new("AsyncFd");
    let dir = shm_dir();
    let mut writer = Writer::options().dir(dir.path()).create(NAME, &config()).unwrap();
    let reader = Reader::options().dir(dir.path()).join(NAME).unwrap();
    let mut reader = PolledReader::new(reader).unwrap();
    let writing = std::thread::spawn(move || {
        for sequence in 1..=500 {
            writer.write(&frame(sequence, BYTES)).unwrap();
        }
    });
    let seen = smol::block_on(async {
        let readable = reader.as_fd().try_clone_to_owned().unwrap();
        let readable = smol::Async::new_nonblocking(readable).unwrap();
        let mut seen = 0;
        loop {
            readable.readable().await.unwrap();
            match reader.try_read() {
                Ok(Some(frame)) => {
                    seen += 1;
                    assert!(frame.sequence() == seen && is_frame(seen, &frame));
                }
                Ok(None) => break seen,
                Err(error) => assert!(error.is_timeout(), "{error}"),
            }
        }
    });
    assert_eq!(seen, 500);
    writing.join().unwrap();
}
