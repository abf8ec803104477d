//! A buffer whose file is removed, renamed, replaced or cut short while it is in use, by a program that tells nobody: each side
//! finds out, reads what is there, and can begin anew. Otherwise those who come later would make another buffer of that name,
//! and the two sides would never meet.
#![allow(missing_docs)]

mod common;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{Watchdog, frame, is_frame, left_behind, reader_in, shm_dir, until, writer_in};
use zerobuffer::{
    BufferConfig, ReadError, Reader, ReaderOptions, WaitStrategy, WriteError, Writer, inspect,
};

const NAME: &str = "cam0";
const FRAME: usize = 100;
const WAITS: [WaitStrategy; 3] =
    [WaitStrategy::Park, WaitStrategy::Spin, WaitStrategy::SpinThenPark];
/// Between two tries of those who have room.
const PAUSE: Duration = Duration::from_millis(1);

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(1 << 16).reader_slots(4)
}

fn path(dir: &Path) -> PathBuf {
    dir.join(format!("{NAME}.zb2"))
}

type Way = fn(&Path);

/// What others do to a file, none of which tells those who use it.
const WAYS: [(&str, Way); 4] = [
    ("removed", |dir| std::fs::remove_file(path(dir)).unwrap()),
    ("renamed", |dir| std::fs::rename(path(dir), dir.join("other")).unwrap()),
    ("replaced by a rename", |dir| {
        std::fs::write(dir.join("new"), "x").unwrap();
        std::fs::rename(dir.join("new"), path(dir)).unwrap();
    }),
    ("removed, with another in its place", |dir| {
        std::fs::remove_file(path(dir)).unwrap();
        std::mem::forget(writer_in(dir).create(NAME, &config()).unwrap());
    }),
];

fn is_retired<T>(result: &Result<T, ReadError>) -> bool {
    matches!(result, Err(ReadError::Retired { .. }))
}

type Choice = fn(ReaderOptions) -> ReaderOptions;

/// Kinds of readers that are registered, and one that is not.
const KINDS: [(&str, Choice); 5] = [
    ("every frame", |options| options.name("every")),
    ("ephemeral", |options| options.ephemeral()),
    ("lossy", |options| options.lossy()),
    ("member of a group", |options| options.group("workers")),
    ("observer", |options| options.observe()),
];

#[test]
fn a_reader_that_waits_is_told_after_what_was_committed() {
    for (what, take_away) in WAYS {
        for (kind, choose) in KINDS {
            for wait in WAITS {
                let what = format!("{kind}, {what}, {wait:?}");
                let _watchdog = Watchdog::new(&what);
                let dir = shm_dir();
                let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
                let options = choose(reader_in(dir.path())).wait_strategy(wait);
                let mut reader = options.join(NAME).unwrap();
                assert!(!reader.is_removed(), "{what}");
                take_away(dir.path());
                writer.write(&frame(1, FRAME)).unwrap();
                assert!(is_frame(1, &reader.read().unwrap().unwrap()), "{what}");
                assert!(is_retired(&reader.read().map(drop)), "{what}");
                assert!(reader.is_removed(), "{what}");
                // By now everybody knows, but for those who were told by one who may not write.
                if kind != "observer" {
                    assert!(tells(&mut writer), "{what}");
                }
            }
        }
    }
}

/// Whether a writer that has room tells within two calls: the first may be what has it look around.
fn tells(writer: &mut Writer) -> bool {
    let mut calls = (0..2).map(|_| writer.write(&[1; FRAME]));
    calls.any(|written| matches!(written, Err(WriteError::Retired { .. })))
}

#[test]
fn one_that_follows_is_told_when_it_waits_for_a_successor() {
    for (what, take_away) in WAYS {
        let _watchdog = Watchdog::new(what);
        let dir = shm_dir();
        let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
        let mut reader = reader_in(dir.path()).join(NAME).unwrap();
        writer.write(&frame(1, FRAME)).unwrap();
        drop(writer);
        assert!(reader.read().unwrap().is_some() && reader.read().unwrap().is_none());
        take_away(dir.path());
        assert!(is_retired(&reader.read().map(drop)), "{what}");
    }
}

#[test]
fn who_only_asks_and_never_waits_is_told_too() {
    let _watchdog = Watchdog::new("polling");
    let dir = shm_dir();
    let writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    let mut reader = reader_in(dir.path()).join(NAME).unwrap();
    std::fs::remove_file(path(dir.path())).unwrap();
    until("a poll tells", || is_retired(&reader.try_read().map(drop)));
    drop(writer);
}

#[test]
fn a_writer_that_waits_for_room_is_told() {
    for (what, take_away) in WAYS {
        for wait in WAITS {
            let _watchdog = Watchdog::new(what);
            let dir = shm_dir();
            let options = writer_in(dir.path()).wait_strategy(wait);
            let mut writer = options.create(NAME, &config()).unwrap();
            while writer.try_write(&[1; 5000]).is_ok() {}
            take_away(dir.path());
            let error = writer.write(&[1; 5000]).unwrap_err();
            assert!(matches!(error, WriteError::Retired { .. }), "{what}: {error}");
            assert!(writer.is_removed() && !writer.wait_drained(None), "{what}");
        }
    }
}

#[test]
fn a_wait_until_all_is_read_ends() {
    for (what, take_away) in WAYS {
        let _watchdog = Watchdog::new(what);
        let dir = shm_dir();
        let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
        writer.write(&[1; FRAME]).unwrap();
        take_away(dir.path());
        assert!(!writer.wait_drained(None), "{what}");
    }
}

/// Ways of writing a frame of so many bytes.
type Write = fn(&mut Writer, usize, &mut Reader) -> Result<(), WriteError>;
const WRITES: [(&str, Write); 7] = [
    ("write", |writer, len, _| writer.write(&vec![1; len]).map(drop)),
    ("try_write", |writer, len, _| writer.try_write(&vec![1; len]).map(drop)),
    ("write_timeout", |writer, len, _| writer.write_timeout(&vec![1; len], PAUSE).map(drop)),
    ("loan", |writer, len, _| writer.loan(len).map(|loan| _ = loan.commit())),
    ("try_loan", |writer, len, _| writer.try_loan(len).map(|loan| _ = loan.commit())),
    ("batch", |writer, len, _| {
        let mut batch = writer.batch();
        let pushed = batch.push(&vec![1; len]).map(drop);
        batch.commit();
        pushed
    }),
    ("forward", |writer, _, input| writer.forward(&input.read().unwrap().unwrap()).map(drop)),
];

#[test]
fn a_writer_with_room_is_told_of_a_removal_by_force_at_once() {
    for (what, write) in WRITES {
        for waits in [false, true] {
            let _watchdog = Watchdog::new(what);
            let dir = shm_dir();
            let config = || config().payload_sharing(true);
            let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
            let reader = reader_in(dir.path()).ephemeral().join(NAME).unwrap();
            let mut source = writer_in(dir.path()).create("source", &config()).unwrap();
            let mut input = reader_in(dir.path()).join("source").unwrap();
            (0..10).for_each(|_| _ = source.write(&[1; FRAME]).unwrap());
            (0..3).for_each(|_| write(&mut writer, FRAME, &mut input).unwrap());
            std::thread::scope(|scope| {
                let mut reader = reader;
                if waits {
                    scope.spawn(move || while reader.read().is_ok() {});
                }
                inspect::remove(NAME, dir.path(), true).unwrap();
                // The first one has the writer look around, if it does not by itself.
                let told = (0..2).map(|_| write(&mut writer, FRAME, &mut input));
                let errors: Vec<_> = told.filter_map(Result::err).collect();
                let is_told = matches!(errors.last(), Some(WriteError::Retired { .. }));
                assert!(is_told, "{what}, {waits}: {errors:?}");
            });
            drop((writer, source, input));
            assert!(!path(dir.path()).exists());
        }
    }
}

#[test]
fn a_writer_with_room_finds_out_by_itself_what_others_did() {
    for (what, write) in WRITES {
        // Large ones each, small ones when an eighth of the ring was written.
        for len in [FRAME, 100_000] {
            if what == "forward" && len != FRAME {
                continue;
            }
            let _watchdog = Watchdog::new(what);
            let dir = shm_dir();
            let wide = config().payload_bytes(1 << 20);
            let mut writer = writer_in(dir.path()).create(NAME, &wide).unwrap();
            // Nobody who waits, and nobody who holds the writer back.
            let _observer = reader_in(dir.path()).observe().join(NAME).unwrap();
            drop(reader_in(dir.path()).ephemeral().join(NAME).unwrap());
            let mut source = writer_in(dir.path()).create("source", &config()).unwrap();
            let mut input = reader_in(dir.path()).join("source").unwrap();
            std::fs::remove_file(path(dir.path())).unwrap();
            let begin = Instant::now();
            let mut frames = 0;
            let error = loop {
                if what == "forward" {
                    source.write(&[1; FRAME]).unwrap();
                }
                match write(&mut writer, len, &mut input) {
                    Ok(()) => frames += 1,
                    Err(error) => break error,
                }
                if len > FRAME {
                    std::thread::sleep(PAUSE);
                } else if begin.elapsed() < Duration::from_millis(200) {
                    // It is not looked for before a tenth of a second is over.
                    frames = 0;
                }
            };
            assert!(matches!(error, WriteError::Retired { .. }), "{what} {len}: {error}");
            let bytes = frames * (len as u64 + 16);
            assert!(len > FRAME || bytes <= (1 << 20) / 4, "{what}: {frames} more frames of {len}");
        }
    }
}

#[test]
fn a_slow_writer_whose_reader_sleeps_is_told() {
    for (what, take_away) in WAYS {
        let _watchdog = Watchdog::new(what);
        let dir = shm_dir();
        let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
        let mut reader = reader_in(dir.path()).join(NAME).unwrap();
        std::thread::scope(|scope| {
            let end = scope.spawn(move || {
                loop {
                    if let Err(error) = reader.read() {
                        break error;
                    }
                }
            });
            writer.write(&[1; FRAME]).unwrap();
            take_away(dir.path());
            until("the writer is told", || {
                matches!(writer.write(&[1; FRAME]), Err(WriteError::Retired { .. }))
            });
            assert!(is_retired::<()>(&Err(end.join().unwrap())), "{what}");
        });
    }
}

#[test]
fn both_sides_meet_again_in_a_buffer_of_that_name() {
    let _watchdog = Watchdog::new("meeting again");
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    let mut reader = reader_in(dir.path()).join(NAME).unwrap();
    std::fs::remove_file(path(dir.path())).unwrap();
    // The writer comes back first.
    drop(writer);
    writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    writer.write(&frame(1, FRAME)).unwrap();
    // The end of the old one is not the end: nobody will come there any more.
    let told = std::iter::from_fn(|| Some(reader.read().map(drop)));
    assert!(told.take(2).any(|read| is_retired(&read)));
    reader = reader_in(dir.path()).create(NAME, &config()).unwrap();
    assert!(is_frame(1, &reader.read().unwrap().unwrap()));
    drop((reader, writer));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn a_directory_that_is_not_there_any_more_says_nothing_about_the_buffer() {
    // As seen by a process that has changed its root, or is not allowed to look: both ends go on.
    let root = shm_dir();
    let dir = root.path().join("a");
    std::fs::create_dir(&dir).unwrap();
    let mut writer = writer_in(&dir).create(NAME, &config()).unwrap();
    let mut reader = reader_in(&dir).join(NAME).unwrap();
    let moved = root.path().join("b");
    std::fs::rename(&dir, &moved).unwrap();
    for sequence in 1..=3 {
        let waited = reader.read_timeout(Duration::from_millis(150)).map(drop);
        assert!(waited.unwrap_err().is_timeout());
        writer.write(&frame(sequence, FRAME)).unwrap();
        assert!(is_frame(sequence, &reader.read().unwrap().unwrap()));
    }
    assert!(!writer.is_removed() && !reader.is_removed());
    std::fs::rename(&moved, &dir).unwrap();
}

/// Cuts the file behind so many bytes of the payload.
fn cut(dir: &Path, payload: u64) {
    let file = OpenOptions::new().write(true).open(path(dir)).unwrap();
    let whole = file.metadata().unwrap().len();
    file.set_len(whole - (1 << 16) + payload).unwrap();
}

// None of these has `survive_truncation`: what they wait for is in the part that is left.
#[test]
fn a_writer_that_waits_for_room_in_a_file_that_was_cut_is_told() {
    for wait in WAITS {
        let _watchdog = Watchdog::new("a writer of a file that was cut");
        let dir = shm_dir();
        let mut writer = writer_in(dir.path()).wait_strategy(wait).create(NAME, &config()).unwrap();
        while writer.try_write(&[1; 5000]).is_ok() {}
        // All of the payload: three pages are left.
        cut(dir.path(), 0);
        let error = writer.write(&[1; 5000]).unwrap_err();
        assert!(matches!(error, WriteError::CutShort { .. }), "{error}");
        let again = writer.try_write(b"x");
        assert!(matches!(again, Err(WriteError::CutShort { .. })));
        assert!(writer.is_removed());
        drop(writer);
        assert_eq!(left_behind(dir.path()), [""; 0]);
    }
}

#[test]
fn a_wait_until_all_is_read_ends_in_a_file_that_was_cut() {
    let _watchdog = Watchdog::new("draining a file that was cut");
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    writer.write(&[1; FRAME]).unwrap();
    cut(dir.path(), 0);
    assert!(!writer.wait_drained(None));
}

#[test]
fn a_reader_that_waits_in_a_file_that_was_cut_is_told() {
    for (kind, choose) in KINDS {
        for wait in WAITS {
            let _watchdog = Watchdog::new(kind);
            let dir = shm_dir();
            let writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
            let mut reader = choose(reader_in(dir.path())).wait_strategy(wait).join(NAME).unwrap();
            // What it looks at is still there.
            cut(dir.path(), 1 << 15);
            let read = reader.read().map(drop);
            assert!(matches!(read, Err(ReadError::CutShort { .. })), "{kind}: {read:?}");
            drop((reader, writer));
            assert_eq!(left_behind(dir.path()), [""; 0], "{kind}");
        }
    }
}
