//! The engines on real segments: how a buffer comes, is used, and goes; and the defects of section 14 that
//! involve more than arithmetic, each test named after its number.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::heap::pattern;
use super::support::{Process, Unique, WATCHDOG, role, until};
use crate::sys::semaphore::{self, Semaphore};
use crate::v1::engine::inspect;
use crate::v1::engine::reader::{Received, V1Reader};
use crate::v1::engine::writer::V1Writer;
use crate::v1::ground::segment::own_pid;
use crate::v1::protocol::layout::Sizes;
use crate::v1::rules::ring::{Fit, FrameHeader, Memory};
use crate::values::config::{StreamingStores, WaitStrategy};
use crate::values::error::{MetadataError, OpenError, ReadError, WriteError, WriterPresence};
use crate::values::stats::Undelivered;
use crate::wait::Patience;

const NOW: Patience = Patience::None;

fn reader(name: &Unique, payload: usize) -> V1Reader {
    V1Reader::create(&name.0, 256, payload, WaitStrategy::SpinThenPark).unwrap()
}

fn writer(name: &Unique) -> V1Writer {
    V1Writer::connect(&name.0, WaitStrategy::SpinThenPark, StreamingStores::Auto).unwrap()
}

fn write(writer: &mut V1Writer, sequence: u64, len: u64) {
    assert_eq!(writer.write(&pattern(sequence, len), WATCHDOG).unwrap(), sequence);
}

fn bytes(reader: &V1Reader, frame: &Received) -> Vec<u8> {
    let mut bytes = vec![0; frame.len];
    reader.copy_out(frame, &mut bytes);
    bytes
}

fn read(reader: &mut V1Reader, sequence: u64, len: u64) {
    let frame = reader.next(WATCHDOG).unwrap().expect("the writer is there");
    assert_eq!((frame.sequence, frame.len as u64), (sequence, len));
    assert_eq!(bytes(reader, &frame), pattern(sequence, len));
    reader.release(frame.ticket);
}

#[test]
fn a_buffer_is_made_as_deployed_and_leaves_nothing_behind() {
    let name = Unique::new("life");
    let mut reader = V1Reader::create(&name.0, 100, 1000, WaitStrategy::Park).unwrap();
    let sizes = Sizes::rounded(100, 1000).unwrap();
    let file = fs::metadata(name.segment()).unwrap();
    assert_eq!(file.len(), sizes.total_bytes());
    // 0666 less the umask, which a fresh file shows.
    let probe = tempfile::tempdir().unwrap().keep();
    fs::write(probe.join("file"), "").unwrap();
    let plain = fs::metadata(probe.join("file")).unwrap().permissions().mode();
    fs::remove_dir_all(probe).unwrap();
    assert_eq!(file.permissions().mode(), plain);
    for path in name.semaphores() {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode(), plain);
    }
    assert!(name.lock_files().iter().all(|path| path.exists()));
    let header = reader.segment().oieb().load();
    assert_eq!((header.oieb_size, header.version), (128, [1, 0, 0, 0]));
    assert_eq!((header.payload_free_bytes, header.metadata_free_bytes), (1024, 128));
    assert_eq!((header.reader_pid, header.writer_pid), (own_pid(), 0));

    let mut writer = writer(&name);
    assert_eq!(reader.metadata().unwrap(), None);
    writer.set_metadata(b"format").unwrap();
    assert_eq!(reader.metadata().unwrap().unwrap(), b"format");
    let again = writer.set_metadata(b"other").unwrap_err();
    assert!(matches!(again, MetadataError::AlreadySet { .. }));
    for (sequence, len) in [(1, 300), (2, 1), (3, 400), (4, 299)] {
        write(&mut writer, sequence, len);
        read(&mut reader, sequence, len);
    }
    assert!(matches!(reader.next(NOW), Err(ReadError::Timeout { waited: Duration::ZERO, .. })));
    assert_eq!(reader.segment().oieb().writer_pid.load(SeqCst), own_pid());
    writer.close();
    assert_eq!(reader.segment().oieb().writer_pid.load(SeqCst), 0);
    reader.close();
    assert_eq!(name.traces(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_batch_is_seen_as_a_whole_or_not_at_all() {
    let name = Unique::new("batch");
    let (mut reader, mut writer) = (reader(&name, 1024), writer(&name));
    for _ in 0..2 {
        writer.claim(10, Fit::Exact, NOW).unwrap();
        writer.stage(10).unwrap();
    }
    assert!(matches!(reader.next(NOW), Err(ReadError::Timeout { .. })));
    writer.discard_staged();
    assert_eq!(writer.publish(), 0);
    for sequence in 1..=3 {
        writer.claim(10, Fit::Exact, NOW).unwrap();
        assert_eq!(writer.stage(10), Some(sequence));
    }
    assert_eq!(writer.publish(), 3);
    for sequence in 1..=3 {
        let frame = reader.next(NOW).unwrap().unwrap();
        assert_eq!(frame.sequence, sequence);
        reader.release(frame.ticket);
    }
    assert_eq!(writer.undelivered(), Undelivered::default());
}

#[test]
fn a_full_ring_waits_and_a_closed_writer_is_told_once() {
    let name = Unique::new("full");
    let (mut reader, mut writer) = (reader(&name, 1024), writer(&name));
    for sequence in 1..=4 {
        write(&mut writer, sequence, 240);
    }
    let error = writer.write(&[0; 240], Patience::For(Some(Duration::from_millis(1)))).unwrap_err();
    assert!(matches!(error, WriteError::Full { .. }), "{error}");
    let undelivered = writer.undelivered();
    assert_eq!((undelivered.bytes, undelivered.frames), (1024, 4));
    std::thread::scope(|scope| {
        // Sleeps until the reader has released, and is woken by it.
        scope.spawn(|| {
            for sequence in 5..=200 {
                write(&mut writer, sequence, 240);
            }
            writer.close();
        });
        for sequence in 1..=200 {
            read(&mut reader, sequence, 240);
        }
        assert!(reader.next(WATCHDOG).unwrap().is_none());
    });
    let error = reader.next(NOW).unwrap_err();
    assert!(matches!(error, ReadError::Timeout { writer: WriterPresence::Closed, .. }));
    // A successor is another writer, also with the same pid.
    let mut successor =
        V1Writer::connect(&name.0, WaitStrategy::Park, StreamingStores::Auto).unwrap();
    write(&mut successor, 1, 5);
    read(&mut reader, 1, 5);
    drop(successor);
    assert!(reader.next(WATCHDOG).unwrap().is_none());
}

#[test]
fn every_wait_strategy_carries_every_frame_released_in_any_order() {
    use WaitStrategy::{Park, Spin, SpinThenPark};
    for strategy in [Spin, SpinThenPark, Park] {
        let name = Unique::new("strategy");
        let mut reader = V1Reader::create(&name.0, 0, 2048, strategy).unwrap();
        let mut writer = V1Writer::connect(&name.0, strategy, StreamingStores::Auto).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for index in 1..=10_000 {
                    write(&mut writer, index, index % 300 + 1);
                }
            });
            let mut held = Vec::new();
            for index in 1..=10_000 {
                let frame = reader.next(WATCHDOG).unwrap().unwrap();
                assert_eq!(frame.sequence, index);
                held.push(frame);
                if held.len() == 3 {
                    for which in [1, 1, 0] {
                        let frame = held.remove(which);
                        let expected = pattern(frame.sequence, frame.sequence % 300 + 1);
                        assert_eq!(bytes(&reader, &frame), expected);
                        reader.release(frame.ticket);
                    }
                }
            }
        });
        assert!(reader.next(WATCHDOG).unwrap().is_none());
        assert_eq!((reader.held(), reader.stats().frames), (1, 10_000));
    }
}

#[test]
fn a_buffer_can_be_looked_at_and_removed_when_nobody_uses_it() {
    let name = Unique::new("inspect");
    let (reader, mut writer) = (reader(&name, 1024), writer(&name));
    writer.set_metadata(b"64x64").unwrap();
    write(&mut writer, 1, 100);
    assert!(inspect::list().unwrap().contains(&name.0));
    let found = inspect::snapshot(&name.0).unwrap();
    assert_eq!((found.header.payload_free_bytes, found.data_units), (1024 - 116, Some(1)));
    assert_eq!(found.metadata.as_deref(), Some(&b"64x64"[..]));
    assert!(found.writer_alive && found.reader_alive && found.problems.is_empty());
    let error = inspect::remove(&name.0, false).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    reader.segment().oieb().payload_write_pos.store(5000, SeqCst);
    reader.segment().mapping.oieb().metadata_written_bytes.store(9999, SeqCst);
    let found = inspect::snapshot(&name.0).unwrap();
    assert_eq!(found.problems.len(), 2, "{:?}", found.problems);
    inspect::remove(&name.0, true).unwrap();
    assert!(!name.segment().exists() && !name.semaphores()[0].exists());
}

#[test]
fn l01_a_failed_connect_leaves_no_trace_and_can_be_repeated() {
    let name = Unique::new("l01");
    let reader = reader(&name, 1024);
    // The window in which deployed readers have a segment but no semaphores.
    for which in ["sem-w-", "sem-r-"] {
        semaphore::unlink(&format!("{which}{}", name.0)).unwrap();
        let error =
            V1Writer::connect(&name.0, WaitStrategy::Park, StreamingStores::Auto).unwrap_err();
        assert!(matches!(error, OpenError::MissingSemaphores { .. }) && error.is_not_found());
        assert_eq!(reader.segment().oieb().writer_pid.load(SeqCst), 0);
    }
    let _data = Semaphore::create(&format!("sem-w-{}", name.0)).unwrap();
    let _space = Semaphore::create(&format!("sem-r-{}", name.0)).unwrap();
    drop(writer(&name));
}

#[test]
fn l02_a_segment_that_is_not_complete_yet_is_worth_waiting_for() {
    let name = Unique::new("l02");
    let connect =
        || V1Writer::connect(&name.0, WaitStrategy::Park, StreamingStores::Auto).unwrap_err();
    assert!(matches!(connect(), OpenError::NotFound { .. }));
    for content in [vec![], vec![0; 127], vec![0; 1280], {
        let mut begun = vec![0; 1280];
        begun[0] = 128;
        begun
    }] {
        fs::write(name.segment(), &content).unwrap();
        let error = connect();
        assert!(matches!(error, OpenError::NotReady { .. }) && error.is_not_found(), "{error}");
    }
    // Left by a reader that died half way: the next one replaces it.
    drop(reader(&name, 1024));
    // But not a file of somebody else's.
    fs::write(name.segment(), vec![7; 4096]).unwrap();
    let error = V1Reader::create(&name.0, 0, 64, WaitStrategy::Park).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    let mut zeros_first = vec![0; 4096];
    zeros_first[50] = 1;
    fs::write(name.segment(), zeros_first).unwrap();
    let error = V1Reader::create(&name.0, 0, 64, WaitStrategy::Park).unwrap_err();
    assert!(matches!(error, OpenError::NotABuffer { .. }), "{error}");
}

#[test]
fn l03_l04_semaphores_found_are_replaced_with_their_counts() {
    let name = Unique::new("l04");
    for which in ["sem-w-", "sem-r-"] {
        let left = Semaphore::create(&format!("{which}{}", name.0)).unwrap();
        assert!(left.post() && left.post());
    }
    let mut reader = reader(&name, 1024);
    assert_eq!((reader.segment().data.value(), reader.segment().space.value()), (0, 0));
    assert!(matches!(reader.next(NOW), Err(ReadError::Timeout { .. })));
}

#[test]
fn l07_counts_are_not_believed() {
    let name = Unique::new("l07");
    let (mut reader, mut writer) = (reader(&name, 1024), writer(&name));
    write(&mut writer, 1, 10);
    write(&mut writer, 2, 10);
    // As if wraps had been counted on one side only.
    reader.segment().oieb().payload_written_count.store(0, SeqCst);
    drop(writer);
    read(&mut reader, 1, 10);
    read(&mut reader, 2, 10);
    // The other way: nothing more is there, whatever the counts say.
    reader.segment().oieb().payload_written_count.store(1 << 40, SeqCst);
    assert!(reader.next(WATCHDOG).unwrap().is_none());
}

#[test]
fn l09_the_space_semaphore_does_not_grow_without_bound() {
    let name = Unique::new("l09");
    let (mut reader, mut writer) = (reader(&name, 4096), writer(&name));
    for sequence in 1..=2000 {
        // A deployed reader posts every release.
        reader.segment().space.post();
        write(&mut writer, sequence, 10);
        read(&mut reader, sequence, 10);
    }
    assert!(reader.segment().space.value() < 600, "our writer takes what peers post");
    while reader.segment().space.try_wait() {}
    for sequence in 2001..=2200 {
        write(&mut writer, sequence, 10);
        read(&mut reader, sequence, 10);
    }
    assert!(reader.segment().space.value() <= 2, "our reader posts no more than is needed");
}

#[test]
fn l10_a_writer_puts_its_pid_back_and_frames_outrank_a_missing_pid() {
    let name = Unique::new("l10");
    let (mut reader, mut writer) = (reader(&name, 1024), writer(&name));
    write(&mut writer, 1, 10);
    // What a C# writer that failed to connect leaves.
    reader.segment().oieb().writer_pid.store(0, SeqCst);
    read(&mut reader, 1, 10);
    write(&mut writer, 2, 10);
    assert_eq!(reader.segment().oieb().writer_pid.load(SeqCst), own_pid());
    read(&mut reader, 2, 10);
    // Another writer took us for dead: two must not write.
    reader.segment().oieb().writer_pid.store(1, SeqCst);
    let error = writer.write(b"x", NOW).unwrap_err();
    assert!(matches!(error, WriteError::Damaged { .. }), "{error}");
    drop(writer);
    assert_eq!(reader.segment().oieb().writer_pid.load(SeqCst), 1, "not ours to clear");
}

#[test]
fn l11_a_live_reader_is_not_replaced_and_works_on_when_its_name_vanishes() {
    let name = Unique::new("l11");
    let (mut old, mut writer) = (reader(&name, 1024), writer(&name));
    let second = || V1Reader::create(&name.0, 256, 1024, WaitStrategy::Park).unwrap_err();
    assert!(matches!(second(), OpenError::ReaderConnected { .. }));
    // Even without its lock files, which a peer's stale scan may remove.
    for path in name.lock_files() {
        fs::remove_file(path).unwrap();
    }
    assert!(matches!(second(), OpenError::ReaderConnected { .. }));
    // A C++ reader does not ask: it unlinks everything.
    for path in name.traces() {
        fs::remove_file(path).unwrap();
    }
    write(&mut writer, 1, 10);
    read(&mut old, 1, 10);
    // And leaves the successor's objects alone.
    let new = reader(&name, 1024);
    drop(old);
    drop(writer);
    assert_eq!(name.traces().len(), 3 + name.lock_files().len());
    drop(new);
    assert!(name.traces().is_empty());
}

#[test]
fn l17_a_second_writer_is_refused_while_the_first_lives() {
    let name = Unique::new("second");
    let (reader, writer) = (reader(&name, 1024), writer(&name));
    let error = V1Writer::connect(&name.0, WaitStrategy::Park, StreamingStores::Auto).unwrap_err();
    assert!(matches!(error, OpenError::WriterConnected { .. }));
    // Our own pid without our lock is a dead predecessor's, as in a restarted container.
    drop(writer);
    reader.segment().oieb().writer_pid.store(own_pid(), SeqCst);
    drop(V1Writer::connect(&name.0, WaitStrategy::Park, StreamingStores::Auto).unwrap());
    // Process 1 lives, whether or not we may signal it (L13).
    reader.segment().oieb().writer_pid.store(1, SeqCst);
    let error = V1Writer::connect(&name.0, WaitStrategy::Park, StreamingStores::Auto).unwrap_err();
    assert!(matches!(error, OpenError::WriterConnected { pid: 1, .. }));
}

#[test]
fn l16_a_gap_is_an_error_and_reading_goes_on() {
    let name = Unique::new("l16");
    let (mut reader, mut writer) = (reader(&name, 1024), writer(&name));
    write(&mut writer, 1, 10);
    write(&mut writer, 2, 10);
    write(&mut writer, 3, 10);
    let second = 26;
    reader.segment().mapping.write_header(second, FrameHeader { length: 10, sequence: 9 });
    read(&mut reader, 1, 10);
    let error = reader.next(NOW).unwrap_err();
    assert!(matches!(error, ReadError::SequenceGap { expected: 2, found: 9, .. }));
    let frame = reader.next(NOW).unwrap().unwrap();
    assert_eq!((frame.sequence, frame.index), (9, second + 16));
    // Damage stays damage.
    reader.segment().mapping.write_header(52, FrameHeader { length: 1 << 50, sequence: 10 });
    for _ in 0..2 {
        assert!(matches!(reader.next(NOW), Err(ReadError::Damaged { position: 52, .. })));
    }
}

#[test]
fn l21_a_post_too_many_is_not_a_frame() {
    let name = Unique::new("l21");
    let (mut reader, mut writer) = (reader(&name, 1024), writer(&name));
    reader.segment().data.post();
    assert!(matches!(reader.next(NOW), Err(ReadError::Timeout { .. })));
    for sequence in 1..=5 {
        reader.segment().data.post();
        write(&mut writer, sequence, 100);
        read(&mut reader, sequence, 100);
    }
    // Our writer's leaving posts nothing; our reader's leaving wakes the writer.
    let units = reader.segment().data.value();
    drop(writer);
    assert_eq!(reader.segment().data.value(), units);
    let mut writer = V1Writer::connect(&name.0, WaitStrategy::Park, StreamingStores::Auto).unwrap();
    std::thread::scope(|scope| {
        let blocked = scope.spawn(move || {
            loop {
                if let Err(error) = writer.write(&[0; 100], WATCHDOG) {
                    return error;
                }
            }
        });
        until(|| reader.backlog_bytes() > 800);
        drop(reader);
        assert!(matches!(blocked.join().unwrap(), WriteError::ReaderGone { .. }));
    });
}

#[test]
fn l22_frames_outlive_their_writer() {
    let name = Unique::new("l22");
    let (mut reader, mut writer) = (reader(&name, 1024), writer(&name));
    for sequence in 1..=3 {
        write(&mut writer, sequence, 10);
    }
    drop(writer);
    for sequence in 1..=3 {
        read(&mut reader, sequence, 10);
    }
    assert!(reader.next(NOW).unwrap().is_none());
}

/// Child of the crash tests; does nothing when run as a test.
#[test]
fn crash_child() {
    let Some((role, name)) = role() else { return };
    let name = std::mem::ManuallyDrop::new(Unique(name));
    if role == "writer" {
        let mut writer = writer(&name);
        writer.set_metadata(b"from a process").unwrap();
        for sequence in 1..=5 {
            write(&mut writer, sequence, 50);
        }
        // Stored and not announced: what a crash between the two leaves.
        let index = writer.claim(50, Fit::Exact, NOW).unwrap().data_index;
        writer.segment().mapping.write_payload(index, &pattern(6, 50));
        writer.publish_without_post();
        fs::write(format!("/dev/shm/{}-ready", name.0), "").unwrap();
        loop {
            std::thread::park();
        }
    }
    let mut reader = reader(&name, 1024);
    let _held = reader.next(WATCHDOG).unwrap().unwrap();
    loop {
        std::thread::park();
    }
}

const CHILD: &str = "v1::tests::engines::crash_child";

#[test]
fn a_writer_that_is_killed_loses_nothing_that_it_stored() {
    let name = Unique::new("killed-writer");
    let mut reader = reader(&name, 1024);
    let mut child = Process::of_test(CHILD, &format!("writer:{}", name.0));
    let ready = std::path::PathBuf::from(format!("/dev/shm/{}-ready", name.0));
    until(|| ready.exists());
    fs::remove_file(ready).unwrap();
    assert_eq!(u64::from(reader.writer_pid()), child.pid());
    read(&mut reader, 1, 50);
    let error = V1Writer::connect(&name.0, WaitStrategy::Park, StreamingStores::Auto).unwrap_err();
    assert!(matches!(error, OpenError::WriterConnected { .. }));
    child.kill();
    for sequence in 2..=6 {
        read(&mut reader, sequence, 50);
    }
    let error = reader.next(WATCHDOG).unwrap_err();
    assert!(matches!(error, ReadError::WriterGone { pid, .. } if u64::from(pid) == child.pid()));
    assert!(matches!(
        reader.next(NOW),
        Err(ReadError::Timeout { writer: WriterPresence::Dead, .. })
    ));
    assert_eq!(reader.metadata().unwrap().unwrap(), b"from a process");
    let mut successor = writer(&name);
    write(&mut successor, 1, 50);
    read(&mut reader, 1, 50);
}

#[test]
fn a_reader_that_is_killed_is_noticed_and_replaced() {
    let name = Unique::new("killed-reader");
    let mut child = Process::of_test(CHILD, &format!("reader:{}", name.0));
    let mut connected = None;
    until(|| {
        connected = V1Writer::connect(&name.0, WaitStrategy::Park, StreamingStores::Auto).ok();
        connected.is_some()
    });
    let mut old_writer = connected.unwrap();
    write(&mut old_writer, 1, 240);
    until(|| old_writer.segment().oieb().payload_read_pos.load(SeqCst) > 0);
    child.kill();
    let error = loop {
        if let Err(error) = old_writer.write(&[0; 240], WATCHDOG) {
            break error;
        }
    };
    assert!(matches!(error, WriteError::ReaderGone { .. }), "{error}");
    let error = V1Writer::connect(&name.0, WaitStrategy::Park, StreamingStores::Auto).unwrap_err();
    assert!(matches!(error, OpenError::NoReader { .. }) && error.is_not_found(), "{error}");
    // The next reader takes the name; the old writer is told that its reader is gone.
    let mut next = reader(&name, 1024);
    assert!(!old_writer.is_reader_alive());
    let mut writer = writer(&name);
    write(&mut writer, 1, 240);
    read(&mut next, 1, 240);
    drop((next, writer, old_writer));
    assert!(name.traces().is_empty());
}

#[test]
fn stale_buffers_of_dead_peers_are_removed_when_a_reader_starts() {
    let name = Unique::new("stale");
    let mut child = Process::of_test(CHILD, &format!("reader:{}", name.0));
    until(|| name.segment().exists());
    drop(reader(&Unique::new("scan-one"), 64));
    assert!(name.segment().exists(), "its reader lives");
    child.kill();
    drop(reader(&Unique::new("scan-two"), 64));
    assert!(name.traces().is_empty(), "{:?}", name.traces());
}

/// As of a deployed peer in another pid namespace, with a temporary directory of its own: it holds no lock of ours, and
/// its pid says nothing here.
#[test]
fn a_buffer_that_somebody_has_open_is_not_stale() {
    let name = Unique::new("open");
    let mut child = Process::of_test(CHILD, &format!("reader:{}", name.0));
    until(|| name.segment().exists());
    child.kill();
    let open = std::fs::File::open(name.segment()).unwrap();
    drop(reader(&Unique::new("scan-three"), 64));
    assert!(name.segment().exists(), "somebody has it open");
    let error = crate::v1::engine::inspect::remove(&name.0, false).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    drop(open);
    drop(reader(&Unique::new("scan-four"), 64));
    assert!(name.traces().is_empty(), "{:?}", name.traces());
}
