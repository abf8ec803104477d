//! Futures that wait while the other side dies, restarts, or leaves.
#![allow(missing_docs)]

#[path = "../../zerobuffer/tests/common/mod.rs"]
mod common;

use std::time::Duration;

use common::{Call, Placement, Stage, frame, is_frame};
use futures::executor::block_on;
use zerobuffer::{BufferConfig, ReadError, Reader, WaitStrategy, WriteError};
use zerobuffer_async::{AsyncReader, AsyncWriter};

const NAME: &str = "mortal";
const BYTES: usize = 700;

#[test]
fn child_role() {
    common::child(role);
}

/// Numbers: of the frame that a writer writes, or of how many frames a reader reads.
fn role(call: &Call) {
    let number = call.numbers[0];
    match call.role.as_str() {
        "write" => {
            let mut writer = call.writer().create(NAME, &config()).unwrap();
            writer.write(&frame(number, BYTES)).unwrap();
            call.signal(&format!("written {number}"));
            call.linger();
        }
        "write and leave" => {
            let mut writer = call.writer().create(NAME, &config()).unwrap();
            writer.write(&frame(number, BYTES)).unwrap();
        }
        "read" => {
            let mut reader = call.reader().join(NAME).unwrap();
            for _ in 0..number {
                assert!(reader.read().unwrap().is_some());
            }
            call.signal("read");
            call.linger();
        }
        other => panic!("{other}"),
    }
}

/// So small that the writer must wait for room.
fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(4096)
}

fn stage() -> Stage {
    Stage::new(Placement::Processes, WaitStrategy::Park, role)
}

/// Does it in another thread, when this one is likely asleep.
fn soon(act: impl FnOnce() + Send + 'static) -> std::thread::JoinHandle<()> {
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_millis(50));
        act();
    })
}

fn next(reader: &mut AsyncReader, sequence: u64) {
    let frame = block_on(reader.read()).unwrap().expect("the writer has not closed");
    assert_eq!(frame.sequence(), sequence);
    assert!(is_frame(sequence, &frame));
}

#[test]
fn a_reader_is_told_of_a_killed_writer_and_gets_the_frames_of_its_successors() {
    let stage = stage();
    let peer = stage.start("write", &[1]);
    let mut reader = AsyncReader::new(stage.reader().join(NAME).unwrap()).unwrap();
    next(&mut reader, 1);
    let killing = soon(move || peer.kill());
    let error = block_on(reader.read()).unwrap_err();
    assert!(matches!(error, ReadError::WriterGone { .. }), "{error}");
    killing.join().unwrap();

    // It waits before there is a successor.
    let waiting = std::thread::spawn(move || {
        next(&mut reader, 2);
        reader
    });
    stage.start("write and leave", &[2]).finish();
    let mut reader = waiting.join().unwrap();
    assert!(block_on(reader.read()).unwrap().is_none(), "it has closed");
    let waiting = std::thread::spawn(move || {
        next(&mut reader, 3);
        reader
    });
    let peer = stage.start("write", &[3]);
    let mut reader = waiting.join().unwrap();
    let killing = soon(move || peer.kill());
    assert!(block_on(reader.read()).unwrap_err().is_peer_gone());
    killing.join().unwrap();
}

#[test]
fn a_writer_that_waits_for_room_is_told_of_a_killed_reader_and_goes_on_with_its_successor() {
    let stage = stage();
    let mut writer = AsyncWriter::new(stage.writer().create(NAME, &config()).unwrap()).unwrap();
    let mut written = 0;
    while writer.get_mut().try_write(&frame(written + 1, BYTES)).is_ok() {
        written += 1;
    }
    let peer = stage.start("read", &[1]);
    stage.await_signal("read");
    let killing = soon(move || peer.kill());
    // The one that was read makes room for one more; the rest is held by the reader, dead or alive.
    let error = loop {
        match block_on(writer.write(&frame(written + 1, BYTES))) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, WriteError::ReaderGone { .. }), "{error}");
    killing.join().unwrap();

    let writing = std::thread::spawn(move || {
        block_on(writer.write(&frame(written + 1, BYTES))).unwrap();
        block_on(writer.loan(BYTES)).unwrap().copy_from_slice(&[0; BYTES]); // Not committed.
    });
    let mut reader = AsyncReader::new(stage.reader().join(NAME).unwrap()).unwrap();
    for sequence in 2..=written + 1 {
        next(&mut reader, sequence);
    }
    writing.join().unwrap();
    assert!(block_on(reader.read()).unwrap().is_none());
}

#[test]
fn futures_wait_also_where_the_kernel_cannot_wait_for_many_words() {
    let name = "ZEROBUFFER_NO_WAITV";
    if std::env::var_os(name).is_none() {
        // The choice is made once for a process.
        let mut tests = std::process::Command::new(std::env::current_exe().unwrap());
        assert!(tests.env(name, "1").status().unwrap().success());
    }
}

#[test]
fn a_removed_buffer_ends_the_waiting() {
    let stage = stage();
    let reader = Reader::options().dir(stage.dir()).create(NAME, &config()).unwrap();
    let mut reader = AsyncReader::new(reader).unwrap();
    let dir = stage.dir();
    let removing = soon(move || {
        zerobuffer::inspect::remove(NAME, &dir, true).unwrap();
    });
    let error = block_on(reader.read()).unwrap_err();
    assert!(matches!(error, ReadError::Retired { .. }), "{error}");
    removing.join().unwrap();
}

#[test]
fn a_buffer_whose_file_is_removed_by_others_ends_the_waiting() {
    for writes in [false, true] {
        let stage = stage();
        let mut reader = Reader::options().dir(stage.dir()).create(NAME, &config()).unwrap();
        let writer = stage.writer().connect(NAME).unwrap();
        let file = stage.dir().join(format!("{NAME}.zb2"));
        let removing = || soon(move || std::fs::remove_file(file).unwrap());
        if writes {
            let mut writer = AsyncWriter::new(writer).unwrap();
            while writer.get_mut().try_write(&[1; 1000]).is_ok() {}
            let removing = removing();
            let error = block_on(writer.write(&[1; 1000])).unwrap_err();
            assert!(matches!(error, WriteError::Retired { .. }), "{error}");
            removing.join().unwrap();
            while reader.try_read().is_ok_and(|frame| frame.is_some()) {}
        } else {
            let mut reader = AsyncReader::new(reader).unwrap();
            let removing = removing();
            let error = block_on(reader.read()).unwrap_err();
            assert!(matches!(error, ReadError::Retired { .. }), "{error}");
            removing.join().unwrap();
        }
    }
}
