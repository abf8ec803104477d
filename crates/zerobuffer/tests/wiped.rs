//! Commit words that become 0 below the head, by a stray store or a punched hole: whoever comes to one is told that the buffer
//! is damaged. Nobody waits for what was committed long ago, and nobody is told that everything was read.
#![allow(missing_docs)]

mod common;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use common::{
    Call, PATIENCE, Placement, Stage, Watchdog, frame, is_frame, reader_in, shm_dir, writer_in,
};
use rustix::fs::FallocateFlags;
use zerobuffer::{BufferConfig, ReadError, Reader, ReaderOptions, WaitStrategy, Writer, inspect};

const NAME: &str = "cam0";
const FRAME: usize = 100;
/// What such a frame takes in the ring.
const TAKES: u64 = 112;
const FRAMES: u64 = 60;
/// Number of the one whose word is wiped out.
const WIPED: u64 = 4;

#[test]
fn child_role() {
    common::child(role);
}

fn role(call: &Call) {
    let mut writer = call.writer().create(NAME, &config()).unwrap();
    write(&mut writer, FRAMES);
    call.signal("written");
    call.linger();
}

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(1 << 16).reader_slots(4)
}

fn write(writer: &mut Writer, frames: u64) {
    for sequence in 1..=frames {
        writer.write(&frame(sequence, FRAME)).unwrap();
    }
}

fn file(dir: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(dir.join(format!("{NAME}.zb2"))).unwrap()
}

fn word(file: &File, at: u64) -> u64 {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, at).unwrap();
    u64::from_le_bytes(bytes)
}

fn payload_offset(file: &File) -> u64 {
    word(file, 0x60)
}

/// Wipes out the word of one frame.
fn wipe(dir: &Path) {
    let file = file(dir);
    let at = payload_offset(&file) + (WIPED - 1) * TAKES;
    assert_ne!(word(&file, at), 0);
    file.write_all_at(&[0; 8], at).unwrap();
}

fn is_damaged<T>(result: &Result<T, ReadError>) -> bool {
    matches!(result, Err(ReadError::Damaged { .. }))
}

/// Reads up to the wiped word, then asks in every way that there is.
#[track_caller]
fn is_told(what: &str, mut reader: Reader, first: u64) {
    let _watchdog = Watchdog::new(what);
    for sequence in first..WIPED {
        let frame = reader.read_timeout(PATIENCE).unwrap().unwrap();
        assert!(frame.sequence() == sequence && is_frame(sequence, &frame), "{what}");
    }
    let text = reader.try_read().map(drop).unwrap_err().to_string();
    assert!(
        text.contains(NAME) && text.contains("damaged") && text.contains("0"),
        "{what}: {text}"
    );
    assert!(is_damaged(&reader.read().map(drop)), "{what}");
    assert!(is_damaged(&reader.read_timeout(Duration::from_millis(1)).map(drop)), "{what}");
    assert!(is_damaged(&reader.read_batch(8).map(drop)), "{what}");
    assert!(is_damaged(&reader.read_into(&mut [0; FRAME])), "{what}");
}

type Choice = fn(ReaderOptions) -> ReaderOptions;

/// Each kind of reader, and how it is made.
fn kinds() -> [(&'static str, Choice); 4] {
    [
        ("every frame", |options| options.name("every")),
        ("ephemeral", |options| options.ephemeral()),
        ("lossy", |options| options.lossy()),
        ("member of a group", |options| options.group("workers")),
    ]
}

#[test]
fn every_kind_of_reader_is_told_when_the_writer_lives_leaves_or_is_gone() {
    for wait in [WaitStrategy::Park, WaitStrategy::Spin, WaitStrategy::SpinThenPark] {
        for (what, kind) in kinds() {
            for leaves in [false, true] {
                let dir = shm_dir();
                let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
                let options = kind(reader_in(dir.path())).wait_strategy(wait);
                let reader = options.join(NAME).unwrap();
                write(&mut writer, FRAMES);
                wipe(dir.path());
                let kept = (!leaves).then_some(writer);
                is_told(&format!("{what}, {wait:?}, {leaves}"), reader, 1);
                drop(kept);
            }
        }
    }
}

#[test]
fn an_observer_is_told() {
    for leaves in [false, true] {
        let dir = shm_dir();
        let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
        let mut reader = reader_in(dir.path()).observe().join(NAME).unwrap();
        write(&mut writer, FRAMES);
        wipe(dir.path());
        let kept = (!leaves).then_some(writer);
        // It may be in time for nothing but the newest.
        let _watchdog = Watchdog::new("an observer of a wiped word");
        for _ in 1..WIPED {
            assert!(reader.read_timeout(PATIENCE).unwrap().is_some());
        }
        assert!(is_damaged(&reader.read().map(drop)));
        drop(kept);
    }
}

#[test]
fn one_that_sleeps_at_the_word_is_told() {
    // The frames come, and the word is gone, while the reader is stopped: it sleeps, and nobody wakes it.
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    let mut reader = reader_in(dir.path()).wait_strategy(WaitStrategy::Park).join(NAME).unwrap();
    write(&mut writer, WIPED - 1);
    for _ in 1..WIPED {
        assert!(reader.read().unwrap().is_some());
    }
    let _watchdog = Watchdog::new("a sleeper at a wiped word");
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| reader.read().map(drop));
        let file = file(dir.path());
        // Its slot is the first one; the count of its sleeps is there.
        let parks = word(&file, 0x40) + 512 + 0x40;
        common::until("it sleeps", || word(&file, parks) > 0);
        // A head beyond it, as if a frame had been committed and wiped out at once.
        let head = word(&file, 0x100) + TAKES;
        file.write_all_at(&head.to_le_bytes(), 0x100).unwrap();
        assert!(is_damaged(&sleeper.join().unwrap()));
    });
}

#[test]
fn a_batch_ends_before_the_word_and_the_next_call_tells() {
    for (what, kind) in kinds() {
        let dir = shm_dir();
        let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
        let mut reader = kind(reader_in(dir.path())).join(NAME).unwrap();
        write(&mut writer, FRAMES);
        wipe(dir.path());
        let mut received = 0;
        let _watchdog = Watchdog::new(what);
        let end = loop {
            match reader.read_batch(16).map(|batch| {
                let mut batch = batch.unwrap();
                std::iter::from_fn(|| batch.next().map(drop)).count() as u64
            }) {
                Ok(frames) => received += frames,
                Err(error) => break error,
            }
        };
        assert_eq!(received, WIPED - 1, "{what}");
        assert!(is_damaged::<()>(&Err(end)), "{what}");
    }
}

#[test]
fn a_punched_hole_is_damage_and_not_the_end() {
    for (what, kind) in kinds() {
        let dir = shm_dir();
        let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
        let mut reader = kind(reader_in(dir.path())).join(NAME).unwrap();
        write(&mut writer, FRAMES);
        let file = file(dir.path());
        let hole = payload_offset(&file);
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&file, flags, hole, 1 << 16).unwrap();
        drop(writer);
        let _watchdog = Watchdog::new(what);
        assert!(is_damaged(&reader.read().map(drop)), "{what}");
    }
}

#[test]
fn a_successor_and_the_reader_of_a_dead_writer_are_told() {
    let stage = Stage::new(Placement::Processes, WaitStrategy::SpinThenPark, role);
    let reader = stage.reader().wait_for_buffer(Duration::ZERO).create(NAME, &config()).unwrap();
    let writer = stage.start("writer", &[]);
    stage.await_signal("written");
    wipe(&stage.dir());
    writer.kill();
    is_told("a reader of a dead writer", reader, 1);
    // The place is still kept for a reader of that name, and its successor comes to the same word.
    let mut reader = stage.reader().join(NAME).unwrap();
    let end = loop {
        match reader.read_timeout(PATIENCE) {
            Ok(Some(_)) => {}
            other => break other.map(drop),
        }
    };
    assert!(is_damaged(&end), "{end:?}");
    drop(reader);
    inspect::remove(NAME, &stage.dir(), true).unwrap();
}

#[test]
fn a_writer_that_died_before_it_had_moved_its_head_on_leaves_damage_and_no_gap() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    let reader = reader_in(dir.path()).join(NAME).unwrap();
    write(&mut writer, WIPED);
    drop(writer);
    // As it left it between telling of its last frame and moving `head`; and that frame is gone.
    let file = file(dir.path());
    let before = (WIPED - 1) * TAKES;
    file.write_all_at(&before.to_le_bytes(), 0x100).unwrap();
    file.write_all_at(&(WIPED - 1).to_le_bytes(), 0x108).unwrap();
    file.write_all_at(&[0; 8], payload_offset(&file) + before).unwrap();
    let error = writer_in(dir.path()).connect(NAME).unwrap_err();
    assert!(matches!(error, zerobuffer::OpenError::Damaged { .. }), "{error}");
    drop(reader);
}
