//! The files behind the two semaphores: 32 bytes each, which whoever may use the buffer can write anything to.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::heap::pattern;
use super::support::{Process, Unique, WATCHDOG, role};
use crate::v1::engine::reader::V1Reader;
use crate::v1::engine::writer::V1Writer;
use crate::values::config::{StreamingStores, WaitStrategy};
use crate::values::error::{OpenError, ReadError, WriteError};
use crate::wait::Patience;

const SOON: Patience = Patience::For(Some(Duration::from_millis(1)));
/// Where glibc has the value, the number of sleepers, and whether they are of one process only.
const VALUE: u64 = 0;
const SLEEPERS: u64 = 4;
const PRIVATE: u64 = 8;
/// glibc's `SEM_VALUE_MAX`.
const MOST_UNITS: u32 = 0x7fff_ffff;

fn pair(name: &Unique, payload: usize, wait: WaitStrategy) -> (V1Reader, V1Writer) {
    let reader = V1Reader::create(&name.0, 0, payload, wait).unwrap();
    let writer = V1Writer::connect(&name.0, wait, StreamingStores::Auto).unwrap();
    (reader, writer)
}

/// The files of the data and the space semaphore.
fn files(name: &Unique) -> [File; 2] {
    name.semaphores().map(|path| OpenOptions::new().read(true).write(true).open(path).unwrap())
}

fn set(file: &File, at: u64, word: u32) {
    file.write_all_at(&word.to_le_bytes(), at).unwrap();
}

fn get(file: &File, at: u64) -> u32 {
    let mut word = [0; 4];
    file.read_exact_at(&mut word, at).unwrap();
    u32::from_le_bytes(word)
}

/// Child of the test below; does nothing when run as a test.
#[test]
fn scribbled_child() {
    let Some((what, name)) = role() else { return };
    let name = Unique(name);
    let (mut reader, mut writer) = pair(&name, 1024, WaitStrategy::Park);
    for (at, word) in what.split(',').map(|change| change.split_once('=').unwrap()) {
        for file in files(&name) {
            set(&file, at.parse().unwrap(), word.parse().unwrap());
        }
    }
    // Each side sleeps at least once.
    assert!(reader.next(SOON).is_err());
    while writer.write(&[7; 100], SOON).is_ok() {}
    for sequence in 1..=8 {
        let frame = reader.next(WATCHDOG).unwrap().unwrap();
        assert_eq!(frame.sequence, sequence);
        reader.release(frame.ticket);
    }
    writer.write(&[7; 100], WATCHDOG).unwrap();
}

#[test]
fn a_word_of_a_semaphore_that_is_scribbled_over_ends_no_process() {
    for word in [1, 2, 127, 129, 0x7fff_ffff, u32::MAX] {
        let name = Unique::new("scribbled");
        let what = format!("{PRIVATE}={word},{SLEEPERS}={word}:{}", name.0);
        let mut child = Process::of_test("v1::tests::semaphores::scribbled_child", &what);
        child.wait_success();
    }
}

#[test]
fn l09_units_that_were_left_are_taken_at_once() {
    let name = Unique::new("units");
    let (mut reader, mut writer) = pair(&name, 1024, WaitStrategy::SpinThenPark);
    let [_, space] = files(&name);
    set(&space, VALUE, MOST_UNITS);
    let begun = Instant::now();
    for sequence in 1..=600 {
        writer.write(&pattern(sequence, 10), WATCHDOG).unwrap();
        let frame = reader.next(WATCHDOG).unwrap().unwrap();
        reader.release(frame.ticket);
    }
    // One by one it takes more than ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(get(&space, VALUE) <= 2, "{} units are left", get(&space, VALUE));
}

#[test]
fn l09_a_writer_that_waits_for_room_takes_them_too() {
    let name = Unique::new("waits");
    let (_reader, mut writer) = pair(&name, 1024, WaitStrategy::Park);
    let [_, space] = files(&name);
    while writer.write(&[7; 100], Patience::None).is_ok() {}
    set(&space, VALUE, MOST_UNITS);
    let full = writer.write(&[7; 100], SOON).unwrap_err();
    assert!(matches!(full, WriteError::Full { .. }), "{full}");
    assert_eq!(get(&space, VALUE), 0);
    set(&space, VALUE, MOST_UNITS);
    assert!(!writer.wait_drained(Some(Duration::from_millis(1))));
    assert_eq!(get(&space, VALUE), 0);
}

/// Numbers that a failure can be repeated with.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % limit
    }

    fn word(&mut self) -> u32 {
        match self.below(5) {
            0 => self.below(1 << 31) as u32 * 2 + self.below(2) as u32,
            1 => 0,
            2 => self.below(4) as u32,
            3 => MOST_UNITS.wrapping_add(self.below(5) as u32).wrapping_sub(2),
            _ => u32::MAX - self.below(3) as u32,
        }
    }
}

/// Frames come whole and in order, or there is an error; nobody is ended, and nobody waits much longer than he was told.
fn flow_while_semaphores_are_scribbled_over(seed: u64, wait: WaitStrategy) {
    const CALLS: u32 = 4000;
    let name = Unique::new("hostile");
    let (mut reader, mut writer) = pair(&name, 2048, wait);
    let stop = AtomicBool::new(false);
    let in_time = |begun: Instant| {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}, seed {seed}", begun.elapsed());
    };
    std::thread::scope(|scope| {
        let (stop, name) = (&stop, &name);
        scope.spawn(move || {
            let (files, mut chance) = (files(name), Chance(seed));
            while !stop.load(Ordering::Relaxed) {
                // Value and sleepers most of the time.
                let at = 4 * if chance.below(3) == 0 { chance.below(8) } else { chance.below(2) };
                set(&files[chance.below(2) as usize], at, chance.word());
                std::thread::sleep(Duration::from_micros(chance.below(60)));
            }
        });
        let writing = scope.spawn(move || {
            let (mut chance, mut sequence) = (Chance(seed + 1), 1);
            for _ in 0..CALLS {
                let begun = Instant::now();
                match chance.below(16) {
                    0 => drop(writer.wait_drained(Some(Duration::from_micros(200)))),
                    1 => drop(writer.undelivered()),
                    _ => {
                        let frame = pattern(sequence, 1 + sequence % 400);
                        match writer.write(&frame, SOON) {
                            Ok(written) => assert_eq!(written, sequence),
                            Err(WriteError::Full { .. }) => sequence -= 1,
                            Err(error) => panic!("{error}"),
                        }
                        sequence += 1;
                    }
                }
                in_time(begun);
            }
            (writer, sequence - 1)
        });
        let (mut space, mut next) = (vec![0; 400], 1);
        while !writing.is_finished() {
            let begun = Instant::now();
            match reader.next(SOON) {
                Ok(Some(frame)) => {
                    assert_eq!(frame.sequence, next, "seed {seed}");
                    reader.copy_out(&frame, &mut space);
                    assert_eq!(space[..frame.len], pattern(next, 1 + next % 400), "seed {seed}");
                    reader.release(frame.ticket);
                    next += 1;
                }
                Err(ReadError::Timeout { .. }) => {}
                other => panic!("{other:?}, seed {seed}"),
            }
            in_time(begun);
        }
        stop.store(true, Ordering::Relaxed);
        let (writer, written) = writing.join().unwrap();
        assert!(next > 10 && written > 10, "nothing flows, seed {seed}");
        drop(writer);
    });
}

#[test]
fn semaphores_that_are_scribbled_over_while_frames_flow_do_no_harm() {
    for seed in 1..=3 {
        for wait in [WaitStrategy::Park, WaitStrategy::SpinThenPark] {
            flow_while_semaphores_are_scribbled_over(100 * seed, wait);
        }
    }
}

#[test]
fn a_semaphore_that_is_cut_short_is_an_error_of_the_next_call() {
    crate::survive_truncation().unwrap();
    for which in 0..2 {
        let name = Unique::new("cut");
        let (mut reader, mut writer) = pair(&name, 1024, WaitStrategy::SpinThenPark);
        writer.write(&[7; 100], WATCHDOG).unwrap();
        files(&name)[which].set_len(0).unwrap();
        let error = loop {
            if let Err(error) = writer.write(&[7; 100], WATCHDOG) {
                break error;
            }
        };
        assert!(matches!(error, WriteError::CutShort { .. }), "{error}");
        assert!(!writer.wait_drained(Some(Duration::from_secs(60))));
        let error = loop {
            match reader.next(WATCHDOG) {
                Ok(frame) => reader.release(frame.unwrap().ticket),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ReadError::CutShort { .. }), "{error}");
        drop((writer, reader));
        // The next ones have semaphores of their own.
        let (mut reader, mut writer) = pair(&name, 1024, WaitStrategy::Park);
        writer.write(&[7; 100], WATCHDOG).unwrap();
        reader.next(WATCHDOG).unwrap().unwrap();
    }
}

#[test]
fn a_semaphore_of_another_size_is_refused_with_what_is_wrong() {
    let name = Unique::new("short");
    let reader = V1Reader::create(&name.0, 0, 1024, WaitStrategy::Park).unwrap();
    files(&name)[0].set_len(16).unwrap();
    let error = V1Writer::connect(&name.0, WaitStrategy::Park, StreamingStores::Auto).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, OpenError::Damaged { .. }), "{text}");
    assert!(text.contains("sem.sem-w-") && text.contains("16 bytes"), "{text}");
    drop(reader);
}
