//! How soon a death is told to those who sleep. The promise is 100 ms; `zerobuffer-torture notice` measures it.
#![allow(missing_docs)]

mod common;

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{Call, Placement, Stage, frame};
use zerobuffer::{BufferConfig, FullPolicy, ReadError, WaitStrategy, WriteError};

/// Deaths at once, of as many pairs, and how often.
const PAIRS: u64 = 8;
const ROUNDS: u32 = 4;
/// The promise, and what a busy machine may add to it.
const LATE: Duration = Duration::from_millis(120);
/// Of all deaths so many may be told late.
const MOST_LATE: usize = 4;
/// On a machine that is too busy for that, it is tried again.
const TRIES: u32 = 3;

const BYTES: usize = 700;

#[test]
fn child_role() {
    common::child(role);
}

fn name(number: u64) -> String {
    format!("mortal-{number}")
}

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(4096)
}

fn role(call: &Call) {
    let number = call.numbers[0];
    match call.role.as_str() {
        "writer" => {
            let mut writer = call.writer().create(&name(number), &config()).unwrap();
            writer.write(&frame(1, BYTES)).unwrap();
            call.signal(&format!("ready {number}"));
            call.linger();
        }
        // Keeps the frame that it has read.
        "reader" | "member" => {
            let is_member = call.role == "member";
            let options = if is_member { call.reader().group("group") } else { call.reader() };
            let mut reader = options.join(&name(number)).unwrap();
            let _kept = reader.read().unwrap().unwrap().into_owned();
            call.signal(&format!("ready {number}"));
            call.linger();
        }
        other => panic!("no role {other}"),
    }
}

/// Who sleeps when the other side dies, and returns when that was told.
type Survivor = fn(&Call, u64) -> Instant;

fn reader(call: &Call, number: u64) -> Instant {
    let mut reader = call.reader().join(&name(number)).unwrap();
    drop(reader.read().unwrap().unwrap());
    let error = reader.read().map(drop).unwrap_err();
    let told = Instant::now();
    assert!(matches!(error, ReadError::WriterGone { .. }), "{error}");
    reader.unsubscribe();
    told
}

fn writer(call: &Call, number: u64) -> Instant {
    let options = call.writer().full_policy(FullPolicy::Block { timeout: None });
    let mut writer = options.create(&name(number), &config()).unwrap();
    let error = loop {
        if let Err(error) = writer.write(&frame(1, BYTES)) {
            break error;
        }
    };
    let told = Instant::now();
    assert!(matches!(error, WriteError::ReaderGone { .. }), "{error}");
    writer.discard_undelivered();
    told
}

/// The one that dies has claimed the only frame.
fn member(call: &Call, number: u64) -> Instant {
    let mut writer = call.writer().create(&name(number), &config()).unwrap();
    writer.write(&frame(1, BYTES)).unwrap();
    call.await_signal(&format!("ready {number}"));
    let mut member = call.reader().group("group").join(&name(number)).unwrap();
    let is_again = member.read().unwrap().unwrap().is_redelivered();
    let told = Instant::now();
    assert!(is_again);
    member.unsubscribe();
    writer.discard_undelivered();
    told
}

/// From the moment when each victim was gone to the one when that was told.
fn times_to_notice(role_of_victim: &str, survivor: Survivor) -> Vec<Duration> {
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let stage = Stage::new(Placement::Processes, WaitStrategy::SpinThenPark, role);
        let survivors: Vec<JoinHandle<Instant>> = (0..PAIRS)
            .map(|number| {
                let call = Call::clone(&stage);
                std::thread::spawn(move || survivor(&call, number))
            })
            .collect();
        let victims: Vec<_> =
            (0..PAIRS).map(|number| stage.start(role_of_victim, &[number])).collect();
        (0..PAIRS).for_each(|number| stage.await_signal(&format!("ready {number}")));
        // At some moment of their sleeps, another one each time.
        std::thread::sleep(Duration::from_millis(250) + Duration::from_millis(37) * round);
        let mut gone = Vec::new();
        for victim in victims {
            std::thread::sleep(Duration::from_millis(13));
            victim.kill();
            gone.push(Instant::now());
        }
        for (survivor, gone) in survivors.into_iter().zip(gone) {
            times.push(survivor.join().unwrap().saturating_duration_since(gone));
        }
    }
    times
}

fn is_told_in_time(role_of_victim: &str, survivor: Survivor) {
    for _ in 0..TRIES {
        let mut times = times_to_notice(role_of_victim, survivor);
        times.sort_unstable();
        println!("{role_of_victim} gone: {times:?}");
        if times.iter().filter(|time| **time > LATE).count() <= MOST_LATE {
            return;
        }
    }
    panic!("in none of {TRIES} tries were all but {MOST_LATE} deaths told within {LATE:?}");
}

#[test]
fn a_sleeping_reader_is_told_of_its_writers_death_in_time() {
    is_told_in_time("writer", reader);
}

#[test]
fn a_sleeping_writer_is_told_of_its_readers_death_in_time() {
    is_told_in_time("reader", writer);
}

#[test]
fn a_sleeping_member_gets_the_frame_of_one_that_died_in_time() {
    is_told_in_time("member", member);
}
