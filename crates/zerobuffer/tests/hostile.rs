//! A peer that scribbles: whatever stands in shared memory, calls come back with a frame or an error, in time, and
//! nothing outside the mapping is touched. A fault would end this program, a hang its watchdog.
#![allow(missing_docs)]

mod common;

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Watchdog, reader_in, shm_dir, writer_in};
use zerobuffer::{BufferConfig, StartAt, WaitStrategy, inspect};

const NAME: &str = "cam0";
const RING: usize = 1 << 16;
const SOON: Duration = Duration::from_millis(1);
const LIVES: u64 = 60;
const CALLS: u64 = 300;

/// Random numbers that a failure can be repeated with.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// What a word may be made: anything, near a limit, or near what it was.
    fn word(&mut self, was: u64) -> u64 {
        match self.below(8) {
            0 => self.next(),
            1 => 0,
            2 => u64::MAX - self.below(64),
            3 => self.below(256),
            4 => was.wrapping_add(8 * self.below(64)),
            5 => was.wrapping_sub(8 * self.below(64)),
            6 => was ^ 1 << self.below(64),
            _ => was.wrapping_add(RING as u64),
        }
    }
}

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(RING).metadata_bytes(256).reader_slots(4).timestamps(true)
}

fn file(dir: &Path) -> PathBuf {
    dir.join(format!("{NAME}.zb2"))
}

/// Changes words of the file until told to stop: mostly those that both sides coordinate by, sometimes frames.
fn scribble(dir: &Path, seed: u64, first: u64, stop: &AtomicBool) {
    let mut chance = Chance(seed);
    while !stop.load(Ordering::Relaxed) {
        let Ok(file) = OpenOptions::new().read(true).write(true).open(file(dir)) else {
            std::thread::yield_now();
            continue;
        };
        for _ in 0..50 {
            // The first three pages or so are the OIEB and the registry; metadata and frames follow.
            let limit = if chance.below(4) == 0 { 20 << 10 } else { 9 << 10 };
            let offset = (first + chance.below(limit - first)) & !7;
            let mut bytes = [0; 8];
            if file.read_at(&mut bytes, offset).is_ok() {
                let word = chance.word(u64::from_le_bytes(bytes));
                let _ = file.write_at(&word.to_le_bytes(), offset);
            }
            std::thread::sleep(Duration::from_micros(chance.below(50)));
        }
    }
}

fn write(dir: &Path, seed: u64, wait: WaitStrategy) {
    let mut chance = Chance(seed);
    for _ in 0..LIVES {
        let options = writer_in(dir).wait_strategy(wait).elastic_window(Some(1 << 14));
        let Ok(mut writer) = options.create(NAME, &config()) else {
            let _ = inspect::remove(NAME, dir, true);
            continue;
        };
        for _ in 0..CALLS {
            let len = 1 + chance.below(2000) as usize;
            let failed = match chance.below(8) {
                0 => writer.replace_metadata(&[7; 100]).is_err(),
                1 => {
                    let mut batch = writer.batch();
                    let failed = (0..3).any(|_| batch.push(&vec![3; len]).is_err());
                    if !failed {
                        batch.commit();
                    }
                    failed
                }
                2 => match writer.loan_timeout(len, SOON) {
                    Ok(mut frame) => {
                        frame.fill(5);
                        frame.truncate(len / 2);
                        frame.commit();
                        false
                    }
                    Err(_) => true,
                },
                3 => !writer.readers().is_empty() && writer.wait_drained(Some(SOON)),
                4 => writer.undelivered().frames == u64::MAX,
                _ => writer.write_timeout(&vec![1; len], SOON).is_err(),
            };
            if failed && chance.below(4) == 0 {
                break;
            }
        }
    }
}

fn read(dir: &Path, seed: u64, wait: WaitStrategy) {
    let mut chance = Chance(seed);
    let mut space = vec![0; RING];
    for life in 0..LIVES {
        let options = reader_in(dir).wait_strategy(wait);
        let options = match life % 3 {
            0 => options.name("a"),
            1 => options,
            _ => options.ephemeral().start_at(StartAt::Newest),
        };
        let Ok(mut reader) = options.create(NAME, &config()) else {
            let _ = inspect::remove(NAME, dir, true);
            continue;
        };
        let mut kept = Vec::new();
        for _ in 0..CALLS {
            let failed = match chance.below(8) {
                0 => {
                    reader.metadata().is_ok_and(|seen| seen.is_some_and(|bytes| bytes.len() > 256))
                }
                1 => match reader.read_batch_timeout(8, SOON) {
                    Ok(Some(mut batch)) => {
                        while let Some(frame) = batch.next() {
                            assert!(frame.payload.len() <= RING);
                        }
                        false
                    }
                    _ => true,
                },
                2 => {
                    let _ = reader.events().count();
                    reader.writer_presence();
                    reader.backlog_bytes() == u64::MAX
                }
                3 => match reader.read_timeout(SOON) {
                    Ok(Some(frame)) => {
                        kept.push(frame.into_owned());
                        false
                    }
                    _ => true,
                },
                _ => match reader.read_timeout(SOON) {
                    Ok(Some(frame)) => {
                        let _ = frame.age();
                        frame.copy_to(&mut space);
                        false
                    }
                    _ => true,
                },
            };
            if kept.len() > 4 {
                kept.clear();
            }
            if failed && chance.below(4) == 0 {
                break;
            }
        }
    }
}

fn look(dir: &Path, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let _ = inspect::list(dir);
        let _ = inspect::snapshot(NAME, dir);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// `first`: offset of the first word that is scribbled over.
fn both_sides_survive(what: &str, seed: u64, first: u64, wait: WaitStrategy) {
    let _watchdog = Watchdog::new(what);
    let dir = shm_dir();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ends = [
            scope.spawn(|| write(dir.path(), seed + 1, wait)),
            scope.spawn(|| read(dir.path(), seed + 2, wait)),
        ];
        let others = [
            scope.spawn(|| scribble(dir.path(), seed + 3, first, &stop)),
            scope.spawn(|| look(dir.path(), &stop)),
        ];
        let ended: Vec<_> = ends.into_iter().map(|end| end.join()).collect();
        stop.store(true, Ordering::Relaxed);
        let others: Vec<_> = others.into_iter().map(|other| other.join()).collect();
        for end in ended.into_iter().chain(others) {
            end.unwrap_or_else(|_| panic!("{what}: panicked, seed {seed}"));
        }
    });
}

#[test]
fn words_that_are_scribbled_over_while_frames_flow_do_no_harm() {
    for seed in 1..=3 {
        both_sides_survive("parking", seed * 100, 0x100, WaitStrategy::Park);
        both_sides_survive("spinning and parking", seed * 100, 0x100, WaitStrategy::SpinThenPark);
    }
}

#[test]
fn a_header_that_is_scribbled_over_refuses_the_next_and_does_no_harm() {
    both_sides_survive("scribbled header", 42, 0, WaitStrategy::SpinThenPark);
}

#[test]
fn a_file_of_noise_is_refused() {
    let dir = shm_dir();
    let mut chance = Chance(7);
    for round in 0..300 {
        let len = chance.below(1 << 16) as usize;
        let mut noise: Vec<u8> = (0..len).map(|_| chance.next() as u8).collect();
        if round % 2 == 0 {
            // Something that begins as a buffer does.
            let other = shm_dir();
            let _writer = writer_in(other.path()).create(NAME, &config()).unwrap();
            let whole = std::fs::read(file(other.path())).unwrap();
            let begin = chance.below(4096) as usize;
            noise.resize(noise.len().max(begin), 0);
            noise[..begin].copy_from_slice(&whole[..begin]);
        }
        std::fs::write(file(dir.path()), &noise).unwrap();
        let joined = reader_in(dir.path()).join(NAME);
        assert!(joined.is_err(), "round {round} was joined");
        let connected = writer_in(dir.path()).connect(NAME);
        assert!(connected.is_err(), "round {round} was connected to");
        let text = joined.unwrap_err().to_string();
        assert!(text.contains(NAME), "{text}");
        let _ = inspect::snapshot(NAME, dir.path());
        let _ = std::fs::remove_file(file(dir.path()));
    }
}
