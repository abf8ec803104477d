//! Sleepers: none is forgotten, and none works for nothing.
#![allow(missing_docs)]

mod common;

use std::time::{Duration, Instant};

use common::{Call, PATIENCE, Placement, Stage, frame, is_frame, some_len};
use zerobuffer::{BufferConfig, WaitStrategy};

const NAME: &str = "parked";
const COUNT: u64 = 100_000;

#[test]
fn child_role() {
    common::child(role);
}

fn role(call: &Call) {
    match call.role.as_str() {
        "write" => {
            let mut writer = call.writer().wait_for_buffer(PATIENCE).connect(NAME).unwrap();
            for sequence in 1..=COUNT {
                let len = some_len(sequence, call.numbers[0] as usize);
                writer.write_timeout(&frame(sequence, len), PATIENCE).unwrap();
            }
            assert_eq!(writer.stats().late_wakes, 0, "the writer slept through a release");
            if call.wait == WaitStrategy::Park {
                assert!(writer.stats().full_waits > 0 && writer.stats().parks > 0);
            }
        }
        "echo" => {
            let mut reader = call.reader().join("there").unwrap();
            let mut writer = call.writer().wait_for_buffer(PATIENCE).connect("back").unwrap();
            while let Some(frame) = reader.read().unwrap() {
                writer.write(&frame).unwrap();
            }
            assert_eq!((writer.stats().late_wakes, reader.stats().late_wakes), (0, 0));
        }
        other => panic!("no role {other}"),
    }
}

/// A ring of a page, full and empty all the time.
fn no_sleeper_is_forgotten(p: Placement, wait: WaitStrategy, max: u64) {
    let stage = Stage::new(p, wait, role);
    let config = BufferConfig::new().payload_bytes(4096);
    let mut reader = stage.reader().create(NAME, &config).unwrap();
    let writer = stage.start("write", &[max]);
    for sequence in 1..=COUNT {
        let frame = reader.read().unwrap().unwrap();
        assert!(frame.sequence() == sequence && frame.len() == some_len(sequence, max as usize));
        assert!(is_frame(sequence, &frame));
    }
    assert!(reader.read().unwrap().is_none());
    assert_eq!(reader.stats().late_wakes, 0, "the reader slept through a commit");
    writer.finish();
}

/// One frame at a time, there and back: each side sleeps until the other has done its part.
fn no_echo_is_late(p: Placement, wait: WaitStrategy) {
    let stage = Stage::new(p, wait, role);
    let config = BufferConfig::new().payload_bytes(4096);
    let mut writer = stage.writer().create("there", &config).unwrap();
    let mut reader = stage.reader().create("back", &config).unwrap();
    let echo = stage.start("echo", &[]);
    for sequence in 1..=10_000 {
        writer.write(&frame(sequence, 16)).unwrap();
        let frame = reader.read().unwrap().unwrap();
        assert!(frame.sequence() == sequence && is_frame(sequence, &frame));
    }
    assert_eq!((writer.stats().late_wakes, reader.stats().late_wakes), (0, 0));
    drop(writer);
    echo.finish();
    assert!(reader.read().unwrap().is_none());
}

#[test]
fn no_parked_thread_is_forgotten() {
    no_sleeper_is_forgotten(Placement::Threads, WaitStrategy::Park, 900);
}

#[test]
fn no_parked_process_is_forgotten() {
    no_sleeper_is_forgotten(Placement::Processes, WaitStrategy::Park, 900);
}

#[test]
fn no_thread_is_forgotten_that_spins_before_it_parks() {
    no_sleeper_is_forgotten(Placement::Threads, WaitStrategy::SpinThenPark, 900);
}

#[test]
fn no_process_is_forgotten_that_spins_before_it_parks() {
    no_sleeper_is_forgotten(Placement::Processes, WaitStrategy::SpinThenPark, 900);
}

#[test]
fn no_parked_process_is_forgotten_where_each_frame_needs_the_whole_ring() {
    no_sleeper_is_forgotten(Placement::Processes, WaitStrategy::Park, 4000);
}

#[test]
fn no_echo_is_late_between_parked_threads() {
    no_echo_is_late(Placement::Threads, WaitStrategy::Park);
}

#[test]
fn no_echo_is_late_between_parked_processes() {
    no_echo_is_late(Placement::Processes, WaitStrategy::Park);
}

#[test]
fn no_echo_is_late_between_processes_that_spin_before_they_park() {
    no_echo_is_late(Placement::Processes, WaitStrategy::SpinThenPark);
}

#[test]
fn an_idle_reader_looks_around_a_dozen_times_a_second_and_no_more() {
    for wait in [WaitStrategy::Park, WaitStrategy::SpinThenPark] {
        let dir = common::shm_dir();
        let config = BufferConfig::new().payload_bytes(4096);
        let writer = common::writer_in(dir.path()).create(NAME, &config).unwrap();
        let mut reader = common::reader_in(dir.path()).wait_strategy(wait).join(NAME).unwrap();
        let begin = Instant::now();
        assert!(reader.read_timeout(Duration::from_secs(1)).unwrap_err().is_timeout());
        let slices = begin.elapsed().as_millis() as u64 / 80;
        let parks = reader.stats().parks;
        assert!((1..=slices + 1).contains(&parks), "slept {parks} times in {slices} slices");
        drop((writer, reader));
        assert_eq!(common::left_behind(dir.path()), [""; 0]);
    }
}

#[test]
fn an_idle_writer_looks_around_a_dozen_times_a_second_and_no_more() {
    let dir = common::shm_dir();
    let config = BufferConfig::new().payload_bytes(4096);
    let options = common::writer_in(dir.path()).wait_strategy(WaitStrategy::Park);
    let mut writer = options.create(NAME, &config).unwrap();
    let max = writer.max_frame_bytes();
    writer.write(&frame(1, max)).unwrap();
    let begin = Instant::now();
    let patience = Duration::from_secs(1);
    assert!(writer.write_timeout(&frame(2, max), patience).unwrap_err().is_timeout());
    let slices = begin.elapsed().as_millis() as u64 / 80;
    let parks = writer.stats().parks;
    assert!((1..=slices + 1).contains(&parks), "slept {parks} times in {slices} slices");
    writer.discard_undelivered();
    assert_eq!(common::left_behind(dir.path()), [""; 0]);
}
