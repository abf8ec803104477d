//! A peer that cuts the file short: with `survive_truncation` an error of the next call, without it the end of the
//! process that touches what is gone. Nobody hangs, and nothing stays behind.
#![allow(missing_docs)]
#![allow(unsafe_code)] // Faults made on purpose, and signal handlers to see who gets them.

mod common;

use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use common::{
    Call, NOTICE, PATIENCE, Placement, Stage, Watchdog, is_frame, left_behind, reader_in, shm_dir,
    until, writer_in,
};
use zerobuffer::{
    BufferConfig, MetadataError, ReadError, Reader, WaitStrategy, WriteError, Writer,
};

const NAME: &str = "cam0";
const RING: usize = 1 << 16;
const SOON: Duration = Duration::from_millis(20);

#[test]
fn child_role() {
    common::child(role);
}

fn role(call: &Call) {
    match call.role.as_str() {
        "read without the guard" => {
            let mut reader = call.reader().join(NAME).unwrap();
            call.signal("attached");
            call.await_signal("cut");
            let _ = reader.read_timeout(NOTICE);
        }
        "guarded writer" => {
            zerobuffer::survive_truncation().unwrap();
            let mut writer = call.writer().wait_for_buffer(PATIENCE).connect(NAME).unwrap();
            call.signal("attached");
            let error = loop {
                if let Err(error) = writer.write_timeout(&[7; 3000], NOTICE) {
                    break error;
                }
            };
            assert!(matches!(error, WriteError::CutShort { .. }), "{error}");
        }
        "a foreign fault" | "a foreign fault, handled" | "a signal that was sent" => faults(call),
        other => panic!("no role {other}"),
    }
}

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(RING).metadata_bytes(64)
}

fn cut(dir: &Path, len: u64) {
    let file = OpenOptions::new().write(true).open(dir.join(format!("{NAME}.zb2"))).unwrap();
    file.set_len(len).unwrap();
}

/// Nothing at all, the OIEB, the OIEB and the registry, half of the payload.
const LENGTHS: [u64; 4] = [0, 4096, 8192, 3 * 4096 + RING as u64 / 2];

fn is_cut_short<T>(result: Result<T, ReadError>) -> bool {
    matches!(result, Err(ReadError::CutShort { .. }))
}

#[test]
fn a_reader_gets_an_error_from_then_on() {
    zerobuffer::survive_truncation().unwrap();
    for len in LENGTHS {
        let dir = shm_dir();
        let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
        writer.set_metadata(b"grey").unwrap();
        let mut reader = reader_in(dir.path()).join(NAME).unwrap();
        // So far that what comes next lies beyond each of the cuts.
        for sequence in 1..=14 {
            writer.write(&common::frame(sequence, 3500)).unwrap();
            assert!(is_frame(sequence, &reader.read().unwrap().unwrap()));
        }
        writer.write(&common::frame(15, 3500)).unwrap();
        cut(dir.path(), len);
        let _watchdog = Watchdog::new("a reader of a buffer that was cut short");
        let error = loop {
            if let Err(error) = reader.read_timeout(SOON) {
                break error;
            }
        };
        let text = error.to_string();
        assert!(is_cut_short::<()>(Err(error)) && text.contains("`cam0` was cut short"), "{text}");
        assert!(is_cut_short(reader.try_read().map(drop)));
        assert!(is_cut_short(reader.read_into(&mut [0; 8000])));
        assert!(is_cut_short(reader.read_batch(3).map(drop)));
        assert!(matches!(reader.metadata().map(drop), Err(MetadataError::CutShort { .. })));
        assert!(reader.events().next().is_none() && !reader.is_durable());
        drop(reader);
        drop(writer);
        assert_eq!(left_behind(dir.path()), [""; 0], "cut to {len}");
        writer_in(dir.path()).create(NAME, &config()).unwrap().write(b"again").unwrap();
    }
}

#[test]
fn a_frame_that_is_being_read_ends_in_zeros_and_the_next_call_fails() {
    zerobuffer::survive_truncation().unwrap();
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    let mut reader = reader_in(dir.path()).join(NAME).unwrap();
    writer.write(&[9; 5000]).unwrap();
    writer.write(&[9; 5000]).unwrap();
    let kept = reader.read().unwrap().unwrap().into_owned();
    let frame = reader.read().unwrap().unwrap();
    assert_eq!(frame[0], 9);
    cut(dir.path(), 0);
    assert!(frame.iter().all(|&byte| byte == 0) && kept.iter().all(|&byte| byte == 0));
    drop(frame);
    assert!(is_cut_short(reader.read().map(drop)));
    drop((reader, kept, writer));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn a_copy_that_may_be_zeros_is_an_error() {
    zerobuffer::survive_truncation().unwrap();
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    let mut reader = reader_in(dir.path()).join(NAME).unwrap();
    writer.write(&[9; 40_000]).unwrap();
    // The frame's beginning is still there, its end is not.
    cut(dir.path(), 4 * 4096);
    assert!(is_cut_short(reader.read_into(&mut [1; 40_000])));
}

#[test]
fn a_writer_gets_an_error_from_then_on() {
    zerobuffer::survive_truncation().unwrap();
    for len in LENGTHS {
        let dir = shm_dir();
        let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
        writer.write(&[1; 3500]).unwrap();
        cut(dir.path(), len);
        let _watchdog = Watchdog::new("the writer of a buffer that was cut short");
        let error = loop {
            if let Err(error) = writer.write_timeout(&[1; 3500], SOON) {
                break error;
            }
        };
        assert!(matches!(error, WriteError::CutShort { .. }), "{len}: {error}");
        assert!(matches!(writer.try_write(b"x"), Err(WriteError::CutShort { .. })));
        assert!(matches!(writer.loan(10).map(drop), Err(WriteError::CutShort { .. })));
        assert!(matches!(writer.set_metadata(b"x"), Err(MetadataError::CutShort { .. })));
        assert!(!writer.wait_drained(None) && writer.readers().is_empty());
        drop(writer);
        assert_eq!(left_behind(dir.path()), [""; 0], "cut to {len}");
    }
}

#[test]
fn who_sleeps_is_woken_by_the_next_look_around() {
    zerobuffer::survive_truncation().unwrap();
    for wait in [WaitStrategy::Park, WaitStrategy::Spin, WaitStrategy::SpinThenPark] {
        let dir = shm_dir();
        let writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
        let mut reader = reader_in(dir.path()).wait_strategy(wait).join(NAME).unwrap();
        let _watchdog = Watchdog::new("a sleeping reader of a buffer that is cut short");
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(is_cut_short(reader.read().map(drop))));
            std::thread::sleep(SOON);
            cut(dir.path(), 4096);
        });
        drop(writer);
    }
}

#[test]
fn the_other_process_sees_its_peer_go_and_goes_on_with_the_next() {
    let stage = Stage::new(Placement::Processes, WaitStrategy::SpinThenPark, role);
    zerobuffer::survive_truncation().unwrap();
    let mut reader =
        stage.reader().wait_for_buffer(Duration::ZERO).create(NAME, &config()).unwrap();
    let writer = stage.start("guarded writer", &[]);
    stage.await_signal("attached");
    for _ in 0..100 {
        let _ = reader.read().unwrap().unwrap();
    }
    // All but the OIEB: whichever side comes first, the other one sees it go, or is cut off itself.
    cut(&stage.dir(), 4096);
    let end = loop {
        match reader.read_timeout(NOTICE) {
            Ok(Some(_)) => {}
            other => break other.map(drop),
        }
    };
    let is_told = matches!(end, Err(ReadError::WriterGone { .. } | ReadError::CutShort { .. }));
    assert!(is_told, "{end:?}");
    writer.finish();
    drop(reader);
    assert_eq!(left_behind(&stage.dir()), [""; 0]);
}

#[test]
fn a_reader_under_a_hole_gets_an_answer_in_time() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    let mut reader = reader_in(dir.path()).join(NAME).unwrap();
    writer.write(&[1; 3500]).unwrap();
    let file = OpenOptions::new().write(true).open(dir.path().join(format!("{NAME}.zb2"))).unwrap();
    let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&file, flags, 0, file.metadata().unwrap().len()).unwrap();
    let _watchdog = Watchdog::new("both ends of a buffer full of holes");
    for _ in 0..50 {
        let _ = reader.read_timeout(Duration::from_millis(1));
        let _ = writer.write_timeout(&[1; 3500], Duration::from_millis(1));
    }
}

#[test]
fn a_one_point_zero_buffer_is_guarded_too() {
    zerobuffer::survive_truncation().unwrap();
    let name = format!("zerobuffer-test-cut-{}", std::process::id());
    let path = Path::new("/dev/shm").join(&name);
    let config = BufferConfig::v1().payload_bytes(RING);
    for len in [0, 128, 4096 + 128] {
        let mut reader = Reader::options().create(&name, &config).unwrap();
        let mut writer = Writer::connect(&name).unwrap();
        for sequence in 1..=5 {
            writer.write(&common::frame(sequence, 3500)).unwrap();
            assert!(is_frame(sequence, &reader.read().unwrap().unwrap()));
        }
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(len).unwrap();
        let _watchdog = Watchdog::new("both ends of a 1.0 buffer that was cut short");
        let written = loop {
            if let Err(error) = writer.write_timeout(&[1; 3500], SOON) {
                break error;
            }
        };
        assert!(matches!(written, WriteError::CutShort { .. }), "{len}: {written}");
        let read = loop {
            if let Err(error) = reader.read_timeout(SOON) {
                break error;
            }
            // What was cut off the end may never be touched: nothing comes there any more.
        };
        let is_told = matches!(read, ReadError::CutShort { .. } | ReadError::Timeout { .. });
        assert!(is_told, "{len}: {read}");
        drop((reader, writer));
        assert!(!path.exists(), "cut to {len}");
    }
}

/// Runs a role and tells how it ended.
fn end_of(stage: &Stage, role: &str) -> std::process::ExitStatus {
    let peer = stage.start(role, &[]);
    peer.end()
}

#[test]
fn without_the_guard_the_process_ends_and_the_other_side_is_told() {
    let stage = Stage::new(Placement::Processes, WaitStrategy::SpinThenPark, role);
    let mut writer = stage.writer().create(NAME, &config()).unwrap();
    let reader = stage.start("read without the guard", &[]);
    stage.await_signal("attached");
    writer.write(b"x").unwrap();
    // The payload goes; this end is not touching it.
    cut(&stage.dir(), 3 * 4096);
    stage.signal("cut");
    assert_eq!(reader.end().signal(), Some(libc::SIGBUS));
    until("the reader's death is noticed", || !writer.has_live_reader());
    drop(writer);
}

#[test]
fn faults_of_others_are_handed_on() {
    let stage = Stage::new(Placement::Processes, WaitStrategy::SpinThenPark, role);
    assert_eq!(end_of(&stage, "a foreign fault").signal(), Some(libc::SIGBUS));
    assert_eq!(end_of(&stage, "a foreign fault, handled").code(), Some(42));
    assert_eq!(end_of(&stage, "a signal that was sent").signal(), Some(libc::SIGBUS));
}

/// Makes a bus error, or the like, that has nothing to do with any buffer.
fn faults(call: &Call) {
    extern "C" fn ends_well(_: libc::c_int) {
        // SAFETY: may be called in a handler.
        unsafe { libc::_exit(42) }
    }
    // SAFETY: a handler of the right form, or the default action.
    unsafe {
        let handler: extern "C" fn(libc::c_int) = ends_well;
        let handled = call.role.ends_with("handled");
        libc::signal(libc::SIGBUS, if handled { handler as usize } else { libc::SIG_DFL });
    }
    let dir = shm_dir();
    let _writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    zerobuffer::survive_truncation().unwrap();
    zerobuffer::survive_truncation().unwrap();
    // Nobody is there any more to remove it.
    std::fs::remove_dir_all(dir.path()).unwrap();
    if call.role == "a signal that was sent" {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::BUS)
            .unwrap();
        // Any thread may get it, a moment later.
        call.linger();
    } else {
        let file: File = tempfile::tempfile_in("/dev/shm").unwrap();
        file.set_len(4096).unwrap();
        // SAFETY: a mapping of this test's own, whose file is cut before it is touched: that is the point.
        unsafe {
            use rustix::mm::{MapFlags, ProtFlags, mmap};
            let at = mmap(std::ptr::null_mut(), 4096, ProtFlags::READ, MapFlags::SHARED, &file, 0)
                .unwrap();
            file.set_len(0).unwrap();
            std::hint::black_box(at.cast::<u8>().read_volatile());
        }
    }
    unreachable!("the fault was swallowed");
}
