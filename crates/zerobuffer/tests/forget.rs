//! Giving up the place of a reader that does not come back: by hand, and after a time.

mod common;

use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

use common::{
    PATIENCE, Watchdog, frame, is_frame, left_behind, reader_in, shm_dir, until, writer_in,
};
use zerobuffer::{
    BufferConfig, FullPolicy, OpenError, ReadError, Reader, ReaderKind, StartAt, WriteError,
    Writer, inspect,
};

const LEN: usize = 1000;

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(16 << 10).keep_for_first_reader(false)
}

fn writer(dir: &Path) -> Writer {
    writer_in(dir).full_policy(FullPolicy::Fail).create("b", &config()).unwrap()
}

fn forget(dir: &Path, reader: &str) -> Result<inspect::Forgotten, OpenError> {
    inspect::forget("b", reader, dir)
}

/// Writes until the ring is full; how many frames.
fn fill(writer: &mut Writer) -> u64 {
    let first = writer.next_sequence();
    while writer.try_write(&frame(writer.next_sequence(), LEN)).is_ok() {}
    writer.next_sequence() - first
}

/// A process of its own that has done something and then does nothing.
struct Elsewhere(libc::pid_t);

impl Elsewhere {
    /// Returns when `begin` has returned there; what it made stays there until the end.
    #[allow(unsafe_code)]
    fn new<T>(dir: &Path, begin: impl FnOnce() -> T) -> Self {
        let told = dir.join(".told");
        let _ = std::fs::remove_file(&told);
        // SAFETY: the child uses endpoints that it makes itself, and ends by a signal.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            let begun = std::panic::catch_unwind(std::panic::AssertUnwindSafe(begin));
            if begun.is_ok() {
                std::fs::write(&told, "").unwrap();
            }
            loop {
                // SAFETY: waits for a signal.
                unsafe { libc::pause() };
            }
        }
        let elsewhere = Self(pid);
        until("it has begun", || told.exists());
        std::fs::remove_file(&told).unwrap();
        elsewhere
    }

    #[allow(unsafe_code)]
    fn signal(&self, signal: i32) {
        // SAFETY: a child of ours that was not waited for yet.
        assert_eq!(unsafe { libc::kill(self.0, signal) }, 0);
    }
}

impl Drop for Elsewhere {
    /// Killed as by the system.
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        self.signal(libc::SIGKILL);
        // SAFETY: waits for a child of ours.
        unsafe { libc::waitpid(self.0, std::ptr::null_mut(), 0) };
    }
}

#[test]
fn a_writer_goes_on_when_the_place_of_a_killed_reader_is_given_up() {
    let _watchdog = Watchdog::new("forget");
    let dir = shm_dir();
    let mut writer = writer(dir.path());
    let mut other = reader_in(dir.path()).name("other").join("b").unwrap();
    let killed = Elsewhere::new(dir.path(), || reader_in(dir.path()).name("killed").join("b"));
    let written = fill(&mut writer);
    drop(killed);
    for sequence in 1..=written {
        assert_eq!(other.read().unwrap().unwrap().sequence(), sequence);
    }
    let next = writer.next_sequence();
    let told = writer.write_timeout(&frame(next, LEN), Duration::from_millis(1)).unwrap_err();
    assert!(matches!(told, WriteError::Full { .. } | WriteError::ReaderGone { .. }), "{told}");
    std::thread::scope(|scope| {
        // It waits: for its successor, as far as it knows.
        let waiting = scope.spawn(|| {
            loop {
                match writer.write_timeout(&frame(next, LEN), 2 * PATIENCE) {
                    Err(WriteError::ReaderGone { .. }) => {}
                    told => return told.unwrap(),
                }
            }
        });
        until("it waits", || inspect::snapshot("b", dir.path()).unwrap().full_waits > 1);
        let lost = forget(dir.path(), "killed").unwrap();
        assert_eq!((lost.kind, lost.frames), (ReaderKind::Every, written));
        assert!(lost.bytes >= written * LEN as u64 && lost.bytes <= 16 << 10, "{lost:?}");
        assert_eq!(waiting.join().unwrap().sequence(), Some(next));
    });
    assert!(is_frame(next, &other.read().unwrap().unwrap()));
    assert_eq!(writer.readers().iter().map(|r| &r.name[..]).collect::<Vec<_>>(), ["other"]);
    // Who comes by that name is new.
    let mut successor = reader_in(dir.path()).name("killed").join("b").unwrap();
    let (first, redelivered) = {
        let frame = successor.read().unwrap().unwrap();
        (frame.sequence(), frame.is_redelivered())
    };
    assert!(first > 1 && !redelivered, "{first}");
}

#[test]
fn what_was_released_is_not_lost_and_what_was_held_is() {
    let dir = shm_dir();
    let mut writer = writer(dir.path());
    let killed = Elsewhere::new(dir.path(), || {
        let reader = reader_in(dir.path()).name("r").join("b").unwrap();
        let reader: &'static mut Reader = Box::leak(Box::new(reader));
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for _ in 0..5 {
                kept.push(reader.read().unwrap().unwrap().into_owned());
            }
            kept.drain(..2);
            std::thread::sleep(2 * PATIENCE);
        });
    });
    for sequence in 1..=9 {
        writer.write(&frame(sequence, LEN)).unwrap();
    }
    until("five are read, two released", || {
        let reader = &writer.readers()[0];
        reader.read_sequence == 5 && reader.held_frames == 3
    });
    drop(killed);
    assert_eq!(forget(dir.path(), "r").unwrap().frames, 7);
    assert!(writer.readers().is_empty());
}

#[test]
fn one_that_lives_keeps_its_place_also_when_it_is_stopped() {
    let dir = shm_dir();
    let mut writer = writer(dir.path());
    let alive = Elsewhere::new(dir.path(), || reader_in(dir.path()).name("r").join("b"));
    let refused = forget(dir.path(), "r").unwrap_err();
    assert!(matches!(refused, OpenError::ReaderAlive { .. }));
    assert!(
        refused.to_string().contains(&format!("reader `r` (pid {}) is alive", alive.0)),
        "{refused}"
    );
    alive.signal(libc::SIGSTOP);
    assert!(matches!(forget(dir.path(), "r"), Err(OpenError::ReaderAlive { .. })));
    let unknown = forget(dir.path(), "x").unwrap_err();
    assert!(unknown.to_string().contains("named `x`; it does for `r`"), "{unknown}");
    writer.write(&frame(1, LEN)).unwrap();
    assert_eq!(writer.undelivered().frames, 1);
    drop(alive);
    // Ephemeral and lossy ones leave nothing behind, and have no names.
    drop(Elsewhere::new(dir.path(), || reader_in(dir.path()).ephemeral().join("b")));
    assert!(matches!(forget(dir.path(), ""), Err(OpenError::NoSuchReader { .. })));
    assert_eq!(forget(dir.path(), "r").unwrap().frames, 1);
    assert!(matches!(forget(dir.path(), "r"), Err(OpenError::NoSuchReader { .. })));
    let nowhere = inspect::forget("nowhere", "r", dir.path()).unwrap_err();
    assert!(nowhere.is_not_found(), "{nowhere}");
}

#[test]
fn the_place_for_the_first_reader_and_with_it_a_buffer_that_nobody_uses() {
    let dir = shm_dir();
    let kept = config().keep_for_first_reader(true);
    let mut writer = writer_in(dir.path()).create("b", &kept).unwrap();
    for sequence in 1..=3 {
        writer.write(&frame(sequence, LEN)).unwrap();
    }
    drop(writer);
    assert_eq!(left_behind(dir.path()).len(), 1);
    assert_eq!(forget(dir.path(), "main").unwrap().frames, 3);
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn a_work_group_without_a_member_is_given_up_and_one_with_is_not() {
    let dir = shm_dir();
    let mut writer = writer(dir.path());
    let member = || reader_in(dir.path()).group("crew").join("b");
    let killed = Elsewhere::new(dir.path(), member);
    let refused = forget(dir.path(), "crew").unwrap_err();
    assert!(refused.to_string().contains("work group `crew`"), "{refused}");
    let written = fill(&mut writer);
    drop(killed);
    let lost = forget(dir.path(), "crew").unwrap();
    assert_eq!((lost.kind, lost.frames), (ReaderKind::Group, written));
    let next = writer.next_sequence();
    writer.write(&frame(next, LEN)).unwrap();
    // The next member founds the group anew.
    let mut successor = member().unwrap();
    let first = successor.read().unwrap().unwrap().sequence();
    assert!(first > 1, "{first}");
    drop(successor);
    assert!(forget(dir.path(), "crew").is_ok());
}

#[test]
fn what_was_passed_on_by_reference_to_readers_that_do_not_come_back() {
    let dir = shm_dir();
    let sharing = config().payload_sharing(true);
    let mut writer =
        writer_in(dir.path()).full_policy(FullPolicy::Fail).create("b", &sharing).unwrap();
    writer.write(&frame(1, LEN)).unwrap();
    let behind = Elsewhere::new(dir.path(), || {
        let mut input = reader_in(dir.path()).ephemeral().join("b").unwrap();
        let mut output = writer_in(dir.path()).create("output", &sharing).unwrap();
        let sink = reader_in(dir.path()).name("sink").join("output").unwrap();
        let frame = input.read().unwrap().unwrap();
        assert_eq!(output.forward(&frame).unwrap().copied, None);
        drop(frame);
        (input, output, sink)
    });
    let refused = forget(dir.path(), "output").unwrap_err();
    assert!(matches!(refused, OpenError::ReaderAlive { .. }), "{refused}");
    drop(behind);
    while writer.try_write(&frame(9, LEN)).is_ok() {}
    assert_eq!(forget(dir.path(), "output").unwrap().kind, ReaderKind::Export);
    until("the ring is free", || writer.try_write(&frame(9, LEN)).is_ok());
    for _ in 0..100 {
        writer.write_timeout(&frame(9, LEN), PATIENCE).unwrap();
    }
    let mut sink = reader_in(dir.path()).name("sink").join("output").unwrap();
    let lost = sink.read().map(drop).unwrap_err();
    // One that had received something before would be told which frame is lost.
    assert!(matches!(lost, ReadError::PayloadLost { .. } | ReadError::WriterGone { .. }), "{lost}");
}

#[test]
fn a_reader_that_comes_back_at_the_same_time_is_served_or_new() {
    let _watchdog = Watchdog::new("forget against join");
    let dir = shm_dir();
    let mut writer = writer(dir.path());
    let (mut kept, mut forgotten) = (0, 0);
    for round in 0..400 {
        drop(reader_in(dir.path()).name("r").start_at(StartAt::Newest).join("b").unwrap());
        let before = writer.next_sequence();
        writer.write(&frame(before, LEN)).unwrap();
        let together = Barrier::new(2);
        let (mut reader, lost) = std::thread::scope(|scope| {
            let joining = scope.spawn(|| {
                together.wait();
                reader_in(dir.path()).name("r").join("b").unwrap()
            });
            together.wait();
            if round % 2 == 0 {
                std::thread::yield_now();
            }
            let lost = forget(dir.path(), "r");
            (joining.join().unwrap(), lost)
        });
        let mut expected = std::collections::BTreeSet::new();
        match lost {
            // It came later, and is new: what it gets depends on what the ring still has.
            Ok(lost) => {
                assert_eq!(lost.frames, 1);
                forgotten += 1;
            }
            // It was there.
            Err(OpenError::ReaderAlive { .. }) => {
                kept += 1;
                expected.insert(before);
            }
            Err(other) => panic!("{other}"),
        }
        // Whatever came first, its place is its own.
        let after = writer.next_sequence();
        writer.write(&frame(after, LEN)).unwrap();
        loop {
            let frame = reader.read_timeout(PATIENCE).unwrap().unwrap();
            assert!(is_frame(frame.sequence(), &frame));
            expected.remove(&frame.sequence());
            if frame.sequence() == after {
                break;
            }
        }
        assert!(expected.is_empty(), "what was kept for it is delivered");
        assert_eq!(writer.readers().len(), 1);
        reader.unsubscribe();
    }
    assert_eq!(kept + forgotten, 400);
}

#[test]
fn a_writer_may_give_up_places_by_itself_after_a_time() {
    let _watchdog = Watchdog::new("forget after");
    let dir = shm_dir();
    let options = writer_in(dir.path()).full_policy(FullPolicy::Block { timeout: None });
    let options = options.forget_readers_after(Duration::from_millis(1));
    let mut writer = options.create("b", &config()).unwrap();
    drop(Elsewhere::new(dir.path(), || reader_in(dir.path()).name("r").join("b")));
    // Told first, as always, then given up: also one who never waits comes to that.
    let (mut next, mut told) = (1, None);
    until("it is given up", || {
        match writer.try_write(&frame(next, LEN)) {
            Ok(written) => next = written.sequence().unwrap() + 1,
            Err(error @ WriteError::ReaderGone { .. }) => {
                assert_eq!(writer.stats().forgotten_readers, 0);
                told = Some(error);
            }
            Err(full) => assert!(full.is_timeout(), "{full}"),
        }
        writer.stats().forgotten_readers > 0
    });
    let told = told.unwrap().to_string();
    assert!(told.contains("`inspect::forget`"), "{told}");
    // The last one came after that.
    let written = next - 2;
    let stats = writer.stats();
    assert_eq!((stats.forgotten_readers, stats.forgotten_frames), (1, written));
    // One that lives is waited for.
    let mut reader = reader_in(dir.path()).name("slow").join("b").unwrap();
    while writer.try_write(&frame(writer.next_sequence(), LEN)).is_ok() {}
    let waited = writer.write_timeout(&[0; LEN], Duration::from_millis(300)).unwrap_err();
    assert!(waited.is_timeout() && !waited.to_string().contains("forget"), "{waited}");
    assert_eq!(writer.stats().forgotten_readers, 1);
    drop(reader.read().unwrap().unwrap());
}
