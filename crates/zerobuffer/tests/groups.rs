//! Work groups: each frame has one holder at a time, whoever comes, goes, stops or dies.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::*;
use zerobuffer::{
    BufferConfig, FullPolicy, OpenError, OwnedFrame, ReadError, Reader, ReaderInfo, ReaderKind,
    StartAt, WaitStrategy, Writer, inspect,
};

fn small() -> BufferConfig {
    BufferConfig::new().payload_bytes(64 << 10)
}

fn member(dir: &std::path::Path) -> Reader {
    reader_in(dir).group("workers").join("b").unwrap()
}

#[test]
fn members_divide_the_frames_among_them() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &small()).unwrap();
    let mut members = [member(dir.path()), member(dir.path()), member(dir.path())];
    assert_eq!(members[0].kind(), ReaderKind::Member);
    for sequence in 1..=900 {
        writer.write(&frame(sequence, some_len(sequence, 500))).unwrap();
        let got = members[sequence as usize % 3].try_read().unwrap().unwrap();
        assert_eq!(got.sequence(), sequence);
        assert!(is_frame(sequence, &got) && !got.is_redelivered());
    }
    for member in &mut members {
        assert_eq!(member.stats().frames, 300);
        assert!(member.try_read().unwrap_err().is_timeout());
    }
    assert_eq!(writer.undelivered().frames, 0);
}

#[test]
fn frames_written_before_the_first_member_wait_for_the_group() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &small()).unwrap();
    for sequence in 1..=3 {
        writer.write(&frame(sequence, 100)).unwrap();
    }
    let mut one = member(dir.path());
    assert_eq!(one.read().unwrap().unwrap().sequence(), 1);
    let mut other = member(dir.path());
    assert_eq!(other.read().unwrap().unwrap().sequence(), 2);
    let newest = reader_in(dir.path()).group("late").start_at(StartAt::Newest).join("b");
    assert!(newest.unwrap().try_read().unwrap_err().is_timeout());
    let mut early = reader_in(dir.path()).group("early").join("b").unwrap();
    assert_eq!(early.read().unwrap().unwrap().sequence(), 1, "nothing is overwritten yet");
}

#[test]
fn frames_are_released_in_any_order_and_passed_in_theirs() {
    let dir = shm_dir();
    let mut writer =
        writer_in(dir.path()).full_policy(FullPolicy::Fail).create("b", &small()).unwrap();
    let (mut one, mut other) = (member(dir.path()), member(dir.path()));
    for sequence in 1..=6 {
        writer.write(&frame(sequence, 10_000)).unwrap();
    }
    let mut held: Vec<Option<OwnedFrame>> = Vec::new();
    for turn in 0..6 {
        let member = if turn % 2 == 0 { &mut one } else { &mut other };
        held.push(Some(member.read().unwrap().unwrap().into_owned()));
    }
    for index in [5, 3, 1, 4, 2] {
        held[index] = None;
        assert!(writer.write(&frame(7, 10_000)).is_err(), "the first frame is still held");
    }
    assert!(is_frame(1, held[0].as_ref().unwrap()));
    held[0] = None;
    assert_eq!(writer.undelivered().bytes, 0);
    for sequence in 7..=12 {
        writer.write(&frame(sequence, 10_000)).unwrap();
    }
}

#[test]
fn a_batch_is_claimed_and_released_together() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &small()).unwrap();
    let (mut one, mut other) = (member(dir.path()), member(dir.path()));
    for sequence in 1..=5 {
        writer.write(&frame(sequence, 100)).unwrap();
    }
    let mut batch = one.read_batch(3).unwrap().unwrap();
    for sequence in 1..=3 {
        let frame = batch.next().unwrap();
        assert_eq!(frame.sequence, sequence);
        assert!(is_frame(sequence, frame.payload));
    }
    assert!(batch.next().is_none());
    assert_eq!(other.read().unwrap().unwrap().sequence(), 4);
    assert_eq!(writer.undelivered().frames, 5, "the batch is not released, and it comes first");
    drop(batch);
    assert_eq!(writer.undelivered().frames, 1);
    // One that was looked at and not taken stays this member's.
    let mut space = [0; 10];
    assert!(matches!(one.read_into(&mut space), Err(ReadError::SpaceTooSmall { .. })));
    assert!(other.try_read().unwrap_err().is_timeout());
    let mut space = [0; 100];
    assert_eq!(one.read_into(&mut space).unwrap(), Some(100));
    assert!(is_frame(5, &space));
}

#[test]
fn groups_and_readers_of_every_frame_share_a_buffer() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &small()).unwrap();
    let mut every = reader_in(dir.path()).join("b").unwrap();
    let mut red = [1, 2].map(|_| reader_in(dir.path()).group("red").join("b").unwrap());
    let mut blue = reader_in(dir.path()).group("blue").join("b").unwrap();
    let mut lossy = reader_in(dir.path()).lossy().join("b").unwrap();
    for sequence in 1..=2000 {
        writer.write(&frame(sequence, 200)).unwrap();
        assert_eq!(every.read().unwrap().unwrap().sequence(), sequence);
        assert_eq!(blue.read().unwrap().unwrap().sequence(), sequence);
        assert_eq!(lossy.read().unwrap().unwrap().sequence(), sequence);
        assert_eq!(red[sequence as usize % 2].read().unwrap().unwrap().sequence(), sequence);
    }
}

#[test]
fn what_a_group_is_can_be_seen() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &small()).unwrap();
    let (mut one, _other) = (member(dir.path()), member(dir.path()));
    writer.write(&frame(1, 100)).unwrap();
    let _held = one.read().unwrap().unwrap();
    let seen = inspect::snapshot("b", dir.path()).unwrap();
    assert_eq!(seen.readers, writer.readers());
    let kinds: Vec<_> = seen.readers.iter().map(|reader| (reader.kind, &reader.name[..])).collect();
    let member = (ReaderKind::Member, "workers");
    assert_eq!(kinds, [(ReaderKind::Group, "workers"), member, member]);
    assert_eq!(seen.readers[0].lag_frames, 1);
    assert_eq!(seen.problems, Vec::<String>::new());
}

#[test]
fn a_group_outlives_its_members_unless_the_last_unsubscribes() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &small()).unwrap();
    let (one, other) = (member(dir.path()), member(dir.path()));
    drop(one);
    drop(other);
    writer.write(&frame(1, 100)).unwrap();
    assert_eq!(writer.readers().len(), 1, "the group itself");
    let (mut one, other) = (member(dir.path()), member(dir.path()));
    assert_eq!(one.read().unwrap().unwrap().sequence(), 1);
    one.unsubscribe();
    assert_eq!(writer.readers().len(), 2, "another member is there");
    other.unsubscribe();
    assert!(writer.readers().is_empty());
}

#[test]
fn names_stand_for_one_thing() {
    let dir = shm_dir();
    let _writer = writer_in(dir.path()).create("b", &small().work_groups(1)).unwrap();
    let _member = member(dir.path());
    let error = reader_in(dir.path()).name("workers").join("b").unwrap_err();
    assert!(matches!(error, OpenError::NameTaken { .. }), "{error}");
    assert!(error.to_string().contains("`workers` is the name of a work group"), "{error}");
    let _reader = reader_in(dir.path()).name("camera").join("b").unwrap();
    let error = reader_in(dir.path()).group("camera").join("b").unwrap_err();
    assert!(error.to_string().contains("a reader that gets every frame"), "{error}");
    let error = reader_in(dir.path()).group("second").join("b").unwrap_err();
    assert!(matches!(error, OpenError::NoWorkGroup { groups: 1, .. }), "{error}");
    assert!(reader_in(dir.path()).group("").join("b").is_err());
    let none = writer_in(dir.path()).create("none", &small().work_groups(0)).unwrap();
    assert!(reader_in(dir.path()).group("g").join("none").is_err());
    drop(none);
}

#[test]
fn the_window_bounds_how_far_a_group_runs_ahead_of_a_frame_that_is_held() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &small().group_window(8)).unwrap();
    let (mut slow, mut fast) = (member(dir.path()), member(dir.path()));
    for sequence in 1..=20 {
        writer.write(&frame(sequence, 10)).unwrap();
    }
    let held = slow.read().unwrap().unwrap();
    for sequence in 2..=8 {
        assert_eq!(fast.read().unwrap().unwrap().sequence(), sequence);
    }
    assert!(fast.try_read().unwrap_err().is_timeout());
    drop(held);
    for sequence in 9..=20 {
        assert_eq!(fast.read().unwrap().unwrap().sequence(), sequence);
    }
}

#[test]
fn positions_and_numbers_pass_their_limits() {
    let dir = shm_dir();
    let start = 0u64.wrapping_sub(100_000);
    let config = small().start_position(start);
    let mut writer = writer_in(dir.path()).create("b", &config).unwrap();
    let mut members = [member(dir.path()), member(dir.path())];
    for sequence in 1..=1000 {
        writer.write(&frame(sequence, 300)).unwrap();
        let got = members[sequence as usize % 2].read().unwrap().unwrap();
        assert_eq!(got.sequence(), sequence);
        assert!(is_frame(sequence, &got));
    }
}

/// Members in threads, each waiting in its own way, take a stream; every frame is taken once.
fn divided(wait: WaitStrategy, members: usize, frames: u64) -> Vec<u64> {
    let _watchdog = Watchdog::new("a divided stream");
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &small()).unwrap();
    let options = reader_in(dir.path()).group("workers").wait_strategy(wait);
    let working: Vec<_> = (0..members)
        .map(|_| {
            let mut member = options.join("b").unwrap();
            std::thread::spawn(move || {
                let mut numbers = Vec::new();
                while let Some(got) = member.read().unwrap() {
                    assert!(is_frame(got.sequence(), &got));
                    assert!(!got.is_redelivered());
                    numbers.push(got.sequence());
                }
                (numbers, member.stats())
            })
        })
        .collect();
    for sequence in 1..=frames {
        writer.write(&frame(sequence, some_len(sequence, 300))).unwrap();
    }
    drop(writer);
    let mut all = BTreeSet::new();
    let mut shares = Vec::new();
    for worker in working {
        let (numbers, stats) = worker.join().unwrap();
        assert_eq!(stats.late_wakes, 0);
        assert!(numbers.is_sorted());
        shares.push(numbers.len() as u64);
        for number in numbers {
            assert!(all.insert(number), "frame {number} was taken twice");
        }
    }
    assert_eq!(all.len() as u64, frames);
    shares
}

#[test]
fn every_frame_of_a_stream_is_taken_once_spinning() {
    divided(WaitStrategy::SpinThenPark, 3, 50_000);
}

#[test]
fn every_frame_of_a_stream_is_taken_once_sleeping() {
    divided(WaitStrategy::Park, 4, 20_000);
}

#[test]
fn members_that_wait_are_served_in_turn() {
    let _watchdog = Watchdog::new("members in turn");
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &small()).unwrap();
    let options = reader_in(dir.path()).group("workers").wait_strategy(WaitStrategy::Park);
    let working: Vec<_> = (0..4)
        .map(|_| {
            let mut member = options.join("b").unwrap();
            std::thread::spawn(move || {
                let mut frames = 0u32;
                while member.read().unwrap().is_some() {
                    frames += 1;
                }
                frames
            })
        })
        .collect();
    // Frames come one by one, so that there is always a queue.
    for sequence in 1..=400 {
        writer.write(&frame(sequence, 100)).unwrap();
        until("it is taken", || writer.undelivered().frames == 0);
        std::thread::sleep(Duration::from_micros(500));
    }
    drop(writer);
    let shares: Vec<_> = working.into_iter().map(|worker| worker.join().unwrap()).collect();
    assert_eq!(shares.iter().sum::<u32>(), 400);
    for share in &shares {
        // Even but for those who did not wake up within the courtesy of the others.
        assert!((60..=140).contains(share), "{shares:?}");
    }
}

#[test]
fn child_role() {
    common::child(role);
}

fn role(call: &Call) {
    let mut member = call.reader().group("workers").join("b").unwrap();
    match call.role.as_str() {
        // Takes so many frames and holds them.
        "hold" => {
            let take = |_| member.read().unwrap().unwrap().into_owned();
            let _held: Vec<_> = (0..call.numbers[0]).map(take).collect();
            call.signal("holds");
            call.linger();
        }
        // Waits for a frame, takes it, and waits for the next.
        "wait" => {
            call.signal("waits");
            loop {
                drop(member.read().unwrap());
            }
        }
        // Notes what it has released.
        "work" => {
            let name = format!("released-{}", std::process::id());
            while let Some(got) = member.read().unwrap() {
                assert!(is_frame(got.sequence(), &got));
                let number = got.sequence();
                drop(got);
                call.note(&name, number);
            }
        }
        other => panic!("no role {other}"),
    }
}

fn stage() -> (Stage, Writer) {
    let stage = Stage::new(Placement::Processes, WaitStrategy::SpinThenPark, role);
    let writer = stage.writer().create("b", &small()).unwrap();
    (stage, writer)
}

#[test]
fn the_last_frames_of_a_writer_that_closed_are_got_behind_a_dead_member_too() {
    let (stage, mut writer) = stage();
    let first_in_turn = stage.start("wait", &[]);
    stage.await_signal("waits");
    // It has its ticket when it sleeps.
    until("it waits", || writer.readers().iter().any(|reader| reader.kind == ReaderKind::Member));
    std::thread::sleep(Duration::from_millis(50));
    let mut other = stage.reader().group("workers").join("b").unwrap();
    first_in_turn.kill();
    for sequence in 1..=5 {
        writer.write(&frame(sequence, 100)).unwrap();
    }
    drop(writer);
    for sequence in 1..=5 {
        let got = other.read().unwrap().expect("a frame, before the end");
        assert!(is_frame(sequence, &got));
    }
    assert!(other.read().unwrap().is_none());
    other.unsubscribe();
}

#[test]
fn what_a_killed_member_held_goes_to_another_one_marked() {
    let (stage, mut writer) = stage();
    let mut other = stage.reader().group("workers").join("b").unwrap();
    for sequence in 1..=6 {
        writer.write(&frame(sequence, 1000)).unwrap();
    }
    let holder = stage.start("hold", &[3]);
    stage.await_signal("holds");
    for sequence in 4..=6 {
        assert_eq!(other.read().unwrap().unwrap().sequence(), sequence);
    }
    holder.kill();
    for sequence in 1..=3 {
        let got = other.read_timeout(NOTICE).unwrap().unwrap();
        assert_eq!(got.sequence(), sequence);
        assert!(got.is_redelivered() && is_frame(sequence, &got));
    }
    assert_eq!(other.stats().redelivered, 3);
    assert_eq!(writer.undelivered().bytes, 0);
    writer.write(&frame(7, 1000)).unwrap();
    let got = other.read().unwrap().unwrap();
    assert!(got.sequence() == 7 && !got.is_redelivered());
}

#[test]
fn what_the_last_member_held_waits_for_the_next_one() {
    let (stage, mut writer) = stage();
    for sequence in 1..=3 {
        writer.write(&frame(sequence, 1000)).unwrap();
    }
    let holder = stage.start("hold", &[2]);
    stage.await_signal("holds");
    holder.kill();
    let mut next = stage.reader().group("workers").join("b").unwrap();
    let mut got = Vec::new();
    for _ in 0..3 {
        let frame = next.read().unwrap().unwrap();
        got.push((frame.sequence(), frame.is_redelivered()));
    }
    assert_eq!(got, [(1, true), (2, true), (3, false)]);
}

#[test]
fn a_writer_held_back_by_a_group_is_told_when_all_its_members_are_dead() {
    let (stage, mut writer) = stage();
    writer.write(&frame(1, 1000)).unwrap();
    let holder = stage.start("hold", &[1]);
    stage.await_signal("holds");
    while writer.write_timeout(&frame(2, 1000), Duration::ZERO).is_ok() {}
    let full = writer.write_timeout(&frame(2, 1000), Duration::from_millis(300)).unwrap_err();
    assert!(full.is_timeout(), "its member lives: {full}");
    assert!(full.to_string().contains("`workers`"), "{full}");
    holder.kill();
    let gone = writer.write_timeout(&frame(2, 1000), NOTICE).unwrap_err();
    assert!(gone.is_peer_gone(), "{gone}");
    let mut next = stage.reader().group("workers").join("b").unwrap();
    assert!(next.read().unwrap().unwrap().is_redelivered());
    writer.write(&frame(2, 1000)).unwrap();
    writer.discard_undelivered();
}

#[test]
fn a_stopped_member_stops_nobody_else() {
    let (stage, mut writer) = stage();
    let mut stopped = stage.start("wait", &[]);
    stage.await_signal("waits");
    until("it sleeps", || writer.readers().iter().any(|r| r.kind == ReaderKind::Member));
    let mut other = stage.reader().group("workers").join("b").unwrap();
    stopped.stop();
    for sequence in 1..=50 {
        writer.write(&frame(sequence, 100)).unwrap();
        assert_eq!(other.read_timeout(PATIENCE).unwrap().unwrap().sequence(), sequence);
    }
    stopped.resume();
    for sequence in 51..=60 {
        writer.write(&frame(sequence, 100)).unwrap();
    }
    while writer.undelivered().frames > 0 {
        match other.try_read() {
            Ok(_) => {}
            Err(error) => assert!(error.is_timeout(), "{error}"),
        }
    }
    stopped.kill();
}

/// Members are killed at random moments; every frame is released by somebody, and none that was released comes again.
#[test]
fn members_killed_at_random_lose_nothing() {
    const FRAMES: u64 = 30_000;
    let (stage, mut writer) = stage();
    let mut workers: Vec<_> = (0..3).map(|_| stage.start("work", &[])).collect();
    let mut random = 12345u64;
    for sequence in 1..=FRAMES {
        writer.write_timeout(&frame(sequence, some_len(sequence, 400)), PATIENCE).unwrap_or_else(
            |error| {
                // All three may be dead at this moment.
                assert!(error.is_peer_gone(), "{error}");
                writer.write_timeout(&frame(sequence, some_len(sequence, 400)), PATIENCE).unwrap()
            },
        );
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if (random >> 33).is_multiple_of(600) {
            workers.remove((random >> 50) as usize % 3).kill();
            workers.push(stage.start("work", &[]));
        }
    }
    assert!(writer.wait_drained(Some(PATIENCE)), "{:?}", writer.undelivered());
    // Whoever was started last may come only now; without its writer the buffer would be gone.
    let is_working = |r: &ReaderInfo| r.kind == ReaderKind::Member && r.alive;
    until("all work", || writer.readers().iter().filter(|r| is_working(r)).count() == 3);
    drop(writer);
    for worker in workers {
        worker.finish();
    }
    let mut seen = vec![0u8; FRAMES as usize + 1];
    let mut noted = 0;
    for number in stage.notes("released-") {
        seen[number as usize] += 1;
        noted += 1;
    }
    // Killed between releasing and noting: at most one frame a kill is not noted.
    assert!(seen.iter().all(|count| *count <= 1), "a frame came again after it was released");
    let kills = FRAMES / 600 * 2;
    assert!(noted + kills > FRAMES, "{noted} of {FRAMES} frames");
}
