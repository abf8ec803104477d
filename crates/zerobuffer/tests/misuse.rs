//! What bad use gets: an error of its own kind, that names the buffer and says what to do. Nothing is lost by it.
#![allow(missing_docs)]

mod common;

use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{
    Call, PATIENCE, Placement, Stage, everywhere, frame, is_frame, left_behind, reader_in, shm_dir,
    until, writer_in,
};
use zerobuffer::{
    BufferConfig, MetadataError, OpenError, ReadError, Reader, WaitStrategy, WriteError, Writer,
    inspect,
};

const NAME: &str = "cam0";

#[test]
fn child_role() {
    common::child(role);
}

fn role(call: &Call) {
    match call.role.as_str() {
        "write until retired" => {
            let mut writer = call.writer().wait_for_buffer(PATIENCE).connect(NAME).unwrap();
            call.signal("attached");
            let error = loop {
                if let Err(error) = writer.write_timeout(&[1; 200], PATIENCE) {
                    break error;
                }
            };
            says(&error, &["`cam0`", "retired", "connect again"]);
            assert!(matches!(error, WriteError::Retired { .. }));
            assert!(matches!(writer.try_write(&[1; 200]), Err(WriteError::Retired { .. })));
        }
        "second writer" => {
            let error = call.writer().connect(NAME).map(drop).unwrap_err();
            says(&error, &["`cam0`", &format!("pid {}", call.numbers[0])]);
            assert!(matches!(error, OpenError::WriterConnected { .. }));
        }
        "second reader" => {
            let error = call.reader().join(NAME).map(drop).unwrap_err();
            says(&error, &["`cam0`", "`main`", &format!("pid {}", call.numbers[0])]);
            assert!(matches!(error, OpenError::ReaderConnected { .. }));
        }
        "unprivileged" => {
            rustix::thread::set_thread_gid(rustix::process::Gid::from_raw(65534)).unwrap();
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65534)).unwrap();
            let error = call.reader().join(NAME).map(drop).unwrap_err();
            assert!(matches!(error, OpenError::Io { .. }));
            says(&error, &["`cam0`", "mode and group"]);
            let error = call.writer().create("other", &config()).map(drop).unwrap_err();
            assert!(matches!(error, OpenError::UnsuitableDirectory { .. }));
            says(&error, &["buffers cannot", "may not write there"][1..]);
        }
        "read-only" => {
            let error = writer_in(Path::new("/mnt")).create(NAME, &config()).map(drop).unwrap_err();
            assert!(matches!(error, OpenError::UnsuitableDirectory { .. }));
            says(&error, &["/mnt", "read-only", "choose another"]);
        }
        other => panic!("no role {other}"),
    }
}

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(4096)
}

#[track_caller]
fn says(error: &dyn std::fmt::Display, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

/// All ways to open a buffer: each gets the error.
#[track_caller]
fn every_opening_fails(dir: &Path, name: &str, check: impl Fn(&OpenError)) {
    check(&writer_in(dir).create(name, &config()).map(drop).unwrap_err());
    check(&reader_in(dir).create(name, &config()).map(drop).unwrap_err());
    every_join_fails(dir, name, check);
}

#[track_caller]
fn every_join_fails(dir: &Path, name: &str, check: impl Fn(&OpenError)) {
    check(&writer_in(dir).connect(name).map(drop).unwrap_err());
    check(&reader_in(dir).join(name).map(drop).unwrap_err());
}

#[test]
fn names_that_cannot_be_files_here_are_refused_everywhere() {
    let dir = shm_dir();
    let long = "x".repeat(201);
    for name in ["", "..", "../x", "a/b", "/etc/passwd", ".hidden", "a\nb", "a\0b", "x.zb2", &long]
    {
        let check = |error: &OpenError| {
            assert!(
                matches!(error, OpenError::InvalidName { name: n, .. } if n == name),
                "{error}"
            );
            says(error, &[&format!("{name:?}"), "use 1 to 200 bytes"]);
        };
        every_opening_fails(dir.path(), name, check);
        check(&inspect::snapshot(name, dir.path()).map(drop).unwrap_err());
        check(&inspect::remove(name, dir.path(), true).map(drop).unwrap_err());
    }
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn names_of_readers_and_groups_obey_the_same_rules() {
    let dir = shm_dir();
    let long = "x".repeat(33);
    for bad in ["", "a/b", ".hidden", "a\nb", "\u{1b}[2J", "a\0", "x.zb2", "sem.x", &long] {
        for (options, what) in [
            (Reader::options().name(bad), "reader name"),
            (Reader::options().group(bad), "work group name"),
        ] {
            let options = options.dir(dir.path());
            for opened in [options.create(NAME, &config()), options.join(NAME)] {
                let error = opened.map(drop).unwrap_err();
                assert!(matches!(error, OpenError::InvalidConfig { .. }), "{bad:?}: {error}");
                says(&error, &["`cam0`", what, "1 to 32 bytes"]);
                assert!(!error.to_string().contains(char::is_control));
            }
        }
    }
    assert_eq!(left_behind(dir.path()), Vec::<String>::new());
}

#[test]
fn the_longest_name_works() {
    let dir = shm_dir();
    let name = "ü".repeat(100);
    let mut writer = writer_in(dir.path()).create(&name, &config()).unwrap();
    writer.write(b"x").unwrap();
    assert_eq!(&reader_in(dir.path()).join(&name).unwrap().read().unwrap().unwrap()[..], b"x");
    drop(writer);
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn a_buffer_that_is_not_there_is_not_found() {
    let dir = shm_dir();
    let check = |error: &OpenError| {
        assert!(matches!(error, OpenError::NotFound { .. }) && error.is_not_found());
        says(error, &["`cam0`", dir.path().to_str().unwrap(), "wait for it"]);
    };
    every_join_fails(dir.path(), NAME, check);
    check(&inspect::snapshot(NAME, dir.path()).map(drop).unwrap_err());
    check(&inspect::remove(NAME, dir.path(), false).map(drop).unwrap_err());
}

#[test]
fn configurations_out_of_range_are_refused() {
    let dir = shm_dir();
    for (config, part) in [
        (config().payload_bytes(0), "payload of 0 bytes"),
        (config().payload_bytes((4 << 30) + 1), "4 GiB"),
        (config().metadata_bytes((1 << 30) + 1), "1 GiB"),
        (config().reader_slots(0), "0 reader slots"),
        (config().reader_slots(65), "1 to 64"),
    ] {
        let errors = [
            writer_in(dir.path()).create(NAME, &config).map(drop).unwrap_err(),
            reader_in(dir.path()).create(NAME, &config).map(drop).unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, OpenError::InvalidConfig { .. }), "{error}");
            says(&error, &["`cam0`", part]);
        }
    }
    for name in ["", "a\0b", &"n".repeat(33)] {
        let error = reader_in(dir.path()).name(name).create(NAME, &config()).map(drop).unwrap_err();
        assert!(matches!(error, OpenError::InvalidConfig { .. }), "{error}");
        says(&error, &["`cam0`", "1 to 32 bytes"]);
    }
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn another_configuration_is_a_mismatch_that_names_the_setting() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    writer.write(b"kept").unwrap();
    for (other, found, expected) in [
        (config().payload_bytes(8192), "payload_bytes 4096", "payload_bytes 8192"),
        (config().metadata_bytes(8), "metadata_bytes 4096", "metadata_bytes 8"),
        (config().reader_slots(3), "reader_slots 16", "reader_slots 3"),
        (config().timestamps(true), "timestamps 0", "timestamps 1"),
    ] {
        for error in [
            reader_in(dir.path()).create(NAME, &other).map(drop).unwrap_err(),
            writer_in(dir.path()).create(NAME, &other).map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, OpenError::ConfigMismatch { .. }), "{error}");
            says(&error, &["`cam0`", found, expected, "zerobuffer rm cam0"]);
        }
    }
    // What it holds is still there, and sizes that round to the same are the same.
    let same = config().payload_bytes(4000);
    let mut reader = reader_in(dir.path()).create(NAME, &same).unwrap();
    assert_eq!(&reader.read().unwrap().unwrap()[..], b"kept");
    drop((reader, writer));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

everywhere!(a_second_writer_and_a_second_reader_are_refused, a_retired_buffer_ends_both_sides);

fn a_second_writer_and_a_second_reader_are_refused(p: Placement, wait: WaitStrategy) {
    let stage = Stage::new(p, wait, role);
    let mut writer = stage.writer().create(NAME, &config()).unwrap();
    let mut reader = stage.reader().join(NAME).unwrap();
    let pid = u64::from(std::process::id());
    stage.start("second writer", &[pid]).finish();
    stage.start("second reader", &[pid]).finish();
    // Neither noticed.
    writer.write(&frame(1, 100)).unwrap();
    assert!(is_frame(1, &reader.read().unwrap().unwrap()));
    assert_eq!(writer.readers().len(), 1);
}

#[test]
fn when_all_slots_are_taken_the_next_reader_is_refused_until_one_leaves() {
    let dir = shm_dir();
    let writer = writer_in(dir.path()).create(NAME, &config().reader_slots(2)).unwrap();
    let durable = reader_in(dir.path()).join(NAME).unwrap();
    let ephemeral = reader_in(dir.path()).ephemeral().join(NAME).unwrap();
    for reader in [reader_in(dir.path()).ephemeral(), reader_in(dir.path()).name("third")] {
        let error = reader.join(NAME).map(drop).unwrap_err();
        assert!(matches!(error, OpenError::NoReaderSlot { slots: 2, .. }), "{error}");
        says(&error, &["`cam0`", "all 2 reader slots", "`reader_slots`"]);
    }
    drop(ephemeral);
    let third = reader_in(dir.path()).name("third").join(NAME).unwrap();
    // A durable one keeps its slot when it leaves; one that unsubscribes does not.
    drop(durable);
    assert!(reader_in(dir.path()).ephemeral().join(NAME).is_err());
    third.unsubscribe();
    drop(reader_in(dir.path()).ephemeral().join(NAME).unwrap());
    drop(writer);
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

/// A buffer with a frame in it that nobody is attached to, as a file.
fn at_rest(dir: &Path) -> PathBuf {
    let mut writer = writer_in(dir).create(NAME, &config()).unwrap();
    writer.write(&frame(1, 100)).unwrap();
    drop(writer);
    dir.join("cam0.zb2")
}

#[test]
fn files_that_are_not_what_they_say_are_refused_by_kind() {
    /// Offset, bytes, and what the error must be.
    type Patch = (u64, &'static [u8], fn(&OpenError));
    let damaged: fn(&OpenError) = |error| {
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        says(error, &["`cam0` is damaged", "zerobuffer rm cam0"]);
    };
    let patches: [Patch; 14] = [
        (0x004, &[3, 1, 4], |error| {
            assert!(matches!(error, OpenError::WrongVersion { .. }), "{error}");
            says(error, &["`cam0`", "3.1.4", "2.x", "same major version"]);
        }),
        (0x010, &[0, 0, 1], |error| {
            assert!(matches!(error, OpenError::UnknownFeatures { unknown: 0x1_0000, .. }));
            says(error, &["`cam0`", "0x10000", "update"]);
        }),
        (0x018, &[8], |error| {
            assert!(matches!(error, OpenError::UnknownFeatures { unknown: 8, .. }), "{error}");
        }),
        (0x000, &[0; 4], damaged),
        (0x008, b"ZEROBUFX", damaged),
        (0x030, &[1], damaged),
        (0x038, &[1, 1], damaged),
        (0x03c, &[9], damaged),
        (0x040, &[8], damaged),
        (0x048, &[65], damaged),
        (0x04c, &[1], damaged),
        (0x060, &[8], damaged),
        (0x068, &[0, 0x30], damaged),
        (0x078, &[1], damaged),
    ];
    for (offset, bytes, check) in patches {
        let dir = shm_dir();
        let path = at_rest(dir.path());
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(bytes, offset).unwrap();
        let before = std::fs::read(&path).unwrap();
        every_opening_fails(dir.path(), NAME, check);
        // Nothing was changed by the attempts; and it can be removed.
        assert!(std::fs::read(&path).unwrap() == before, "changed after a patch at {offset:#x}");
        inspect::remove(NAME, dir.path(), false).unwrap();
        assert_eq!(left_behind(dir.path()), [""; 0]);
    }
}

#[test]
fn unknown_optional_features_and_higher_minor_versions_are_joined() {
    let dir = shm_dir();
    let path = at_rest(dir.path());
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xff; 8], 0x020).unwrap();
    file.write_all_at(&[2, 7, 3], 0x004).unwrap();
    let mut reader = reader_in(dir.path()).join(NAME).unwrap();
    assert!(is_frame(1, &reader.read().unwrap().unwrap()));
    assert_eq!(inspect::snapshot(NAME, dir.path()).unwrap().version, "2.7.3");
    drop(reader);
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn files_cut_short_are_damaged() {
    for len in [0, 1, 100, 4095, 4096, 10_000] {
        let dir = shm_dir();
        let path = at_rest(dir.path());
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(len).unwrap();
        every_opening_fails(dir.path(), NAME, |error| {
            assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
            says(error, &["`cam0`", &len.to_string()]);
        });
        assert!(inspect::snapshot(NAME, dir.path()).is_err());
        assert_eq!(inspect::list(dir.path()).unwrap().len(), 1);
        inspect::remove(NAME, dir.path(), false).unwrap();
        assert_eq!(left_behind(dir.path()), [""; 0]);
    }
}

#[test]
fn a_head_that_cannot_be_is_damage_to_a_writer() {
    let dir = shm_dir();
    let path = at_rest(dir.path());
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&(1_u64 << 40).to_le_bytes(), 0x100).unwrap();
    let error = writer_in(dir.path()).connect(NAME).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    says(&error, &["`cam0`", "head"]);
    assert!(!inspect::snapshot(NAME, dir.path()).unwrap().problems.is_empty());
    inspect::remove(NAME, dir.path(), false).unwrap();
}

#[test]
fn a_frame_that_no_writer_wrote_stops_the_reader_for_good() {
    for word in [u64::MAX, 1 << 32 | 12, 100 | 7 << 36, 1 << 36 | 0xffff] {
        let dir = shm_dir();
        let path = at_rest(dir.path());
        let layout = inspect::snapshot(NAME, dir.path()).unwrap();
        let mut reader = reader_in(dir.path()).join(NAME).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let payload = layout.file_bytes - layout.payload_bytes;
        file.write_all_at(&word.to_le_bytes(), payload).unwrap();
        for _ in 0..3 {
            let error = reader.read().map(drop).unwrap_err();
            assert!(matches!(error, ReadError::Damaged { position: 0, .. }), "{error}");
            says(&error, &["`cam0`", "position 0", "stops using it"]);
            assert!(!error.is_timeout() && !error.is_peer_gone());
        }
        assert!(matches!(reader.read_into(&mut [0; 200]), Err(ReadError::Damaged { .. })));
        assert!(matches!(reader.try_read_batch(2), Err(ReadError::Damaged { .. })));
        drop(reader);
        inspect::remove(NAME, dir.path(), true).unwrap();
        assert_eq!(left_behind(dir.path()), [""; 0]);
    }
}

#[test]
fn metadata_of_an_impossible_length_is_damaged() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create(NAME, &config().metadata_bytes(64)).unwrap();
    let reader = reader_in(dir.path()).join(NAME).unwrap();
    writer.set_metadata(b"fine").unwrap();
    let layout = inspect::snapshot(NAME, dir.path()).unwrap();
    let path = dir.path().join("cam0.zb2");
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut offset = [0; 8];
    file.read_exact_at(&mut offset, 0x50).unwrap();
    // Version 1 lies in the second copy.
    let length = u64::from_le_bytes(offset) + 16 + layout.metadata_bytes;
    file.write_all_at(&65_u64.to_le_bytes(), length).unwrap();
    let error = reader.metadata().map(drop).unwrap_err();
    assert!(matches!(error, MetadataError::Damaged { .. }), "{error}");
    says(&error, &["`cam0`", "length"]);
    assert!(!inspect::snapshot(NAME, dir.path()).unwrap().problems.is_empty());
    drop((reader, writer));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn links_directories_and_pipes_are_not_buffers() {
    let dir = shm_dir();
    let path = dir.path().join("cam0.zb2");
    let victim = dir.path().join("victim");
    std::fs::write(&victim, [7; 20_000]).unwrap();
    let make: [&dyn Fn(); 5] = [
        &|| symlink(&victim, &path).unwrap(),
        &|| symlink("nowhere", &path).unwrap(),
        &|| std::fs::create_dir(&path).unwrap(),
        &|| {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
        },
        &|| drop(std::os::unix::net::UnixListener::bind(&path).unwrap()),
    ];
    for make in make {
        make();
        let check = |error: &OpenError| {
            assert!(matches!(error, OpenError::NotABuffer { .. }), "{error}");
            says(error, &["cam0.zb2 is not a buffer", "a regular file is expected"]);
        };
        every_opening_fails(dir.path(), NAME, check);
        check(&inspect::snapshot(NAME, dir.path()).map(drop).unwrap_err());
        check(&inspect::remove(NAME, dir.path(), true).map(drop).unwrap_err());
        if path.is_dir() {
            std::fs::remove_dir(&path).unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
    }
    assert!(std::fs::read(&victim).unwrap() == [7; 20_000]);
    assert_eq!(left_behind(dir.path()), ["victim"]);
}

#[test]
fn a_directory_that_cannot_hold_buffers_is_named() {
    let dir = shm_dir();
    let missing = dir.path().join("missing");
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for (place, part) in [(&missing, "does not exist"), (&file, "not a directory")] {
        for error in [
            writer_in(place).create(NAME, &config()).map(drop).unwrap_err(),
            reader_in(place).create(NAME, &config()).map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, OpenError::UnsuitableDirectory { .. }), "{error}");
            says(&error, &[place.to_str().unwrap(), part]);
        }
    }
    every_join_fails(&missing, NAME, |error| assert!(error.is_not_found(), "{error}"));
    every_join_fails(&file, NAME, |error| {
        assert!(matches!(error, OpenError::UnsuitableDirectory { .. }), "{error}");
    });
}

#[test]
fn a_read_only_directory_is_named() {
    let stage = Stage::new(Placement::Processes, WaitStrategy::Park, role);
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT TESTED: mounting read-only needs root");
        return;
    }
    let script = "mount -t tmpfs -o ro none /mnt && exec \"$@\"";
    stage.start_through(&["unshare", "-m", "sh", "-c", script, "sh"], "read-only", &[]).finish();
}

#[test]
fn another_user_is_told_what_keeps_it_out() {
    let stage = Stage::new(Placement::Processes, WaitStrategy::Park, role);
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT TESTED: becoming another user needs root");
        return;
    }
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(stage.dir().parent().unwrap(), open).unwrap();
    let writer = stage.writer().create(NAME, &config()).unwrap();
    stage.start("unprivileged", &[]).finish();
    drop(writer);
    let shared = stage.writer().create(NAME, &config().mode(0o666)).unwrap();
    assert_eq!(inspect::snapshot(NAME, &stage.dir()).unwrap().mode, 0o666);
    drop(shared);
}

fn a_retired_buffer_ends_both_sides(p: Placement, wait: WaitStrategy) {
    let stage = Stage::new(p, wait, role);
    let mut reader = stage.reader().create(NAME, &config()).unwrap();
    let writer = stage.start("write until retired", &[]);
    stage.await_signal("attached");
    let error = inspect::remove(NAME, &stage.dir(), false).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    says(&error, &["`cam0`", "its writer (pid ", "reader `main`", "--force"]);
    assert!(reader.read().unwrap().is_some());
    let removed = inspect::remove(NAME, &stage.dir(), true).unwrap();
    assert!(removed.was_in_use && removed.file_bytes > 4096);
    assert_eq!(left_behind(&stage.dir()), [""; 0]);
    // The name is free at once; those of the old one do not see the new one.
    let mut new = stage.writer().create(NAME, &config()).unwrap();
    new.write(b"new").unwrap();
    // The writer, which waits for the reader, stops; and what it wrote is still read, if the reader likes.
    writer.finish();
    let error = loop {
        match reader.read() {
            Ok(frame) => assert_eq!(frame.unwrap().len(), 200),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ReadError::Retired { .. }), "{error}");
    says(&error, &["`cam0` was retired", "join again"]);
    assert!(matches!(reader.try_read().unwrap_err(), ReadError::Retired { .. }));
    drop(reader);
    let mut reader = stage.reader().join(NAME).unwrap();
    assert_eq!(&reader.read().unwrap().unwrap()[..], b"new");
}

#[test]
fn waiting_for_a_retired_buffer_to_drain_ends() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    let _watchdog = common::Watchdog::new("wait_drained");
    writer.write(b"x").unwrap();
    let path = dir.path().to_path_buf();
    std::thread::scope(|scope| {
        scope.spawn(|| inspect::remove(NAME, &path, true).unwrap());
        assert!(!writer.wait_drained(None));
    });
}

#[test]
fn removing_what_nobody_uses_reports_what_is_lost() {
    let dir = shm_dir();
    at_rest(dir.path());
    let removed = inspect::remove(NAME, dir.path(), false).unwrap();
    assert_eq!((removed.undelivered_frames, removed.was_in_use), (1, false));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

/// Containers have boot ids of their own; what is in memory is of this boot.
#[test]
fn a_boot_id_alone_makes_no_file_old() {
    let dir = shm_dir();
    let path = at_rest(dir.path());
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[9; 16], 0x080).unwrap();
    assert_eq!(inspect::snapshot(NAME, dir.path()).unwrap().problems, [""; 0]);
    let mut reader = reader_in(dir.path()).join(NAME).unwrap();
    assert_eq!(reader.read().unwrap().unwrap().sequence(), 1);
    drop(reader);
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

/// As after a death of the last user, or one who could not remove it.
#[test]
fn what_nobody_uses_and_nobody_waits_for_gives_way_to_another_configuration() {
    let dir = shm_dir();
    let path = dir.path().join("cam0.zb2");
    let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    let mut reader = reader_in(dir.path()).join(NAME).unwrap();
    writer.write(b"x").unwrap();
    drop(reader.read().unwrap().unwrap());
    let copy = std::fs::read(&path).unwrap();
    drop((reader, writer));
    std::fs::write(&path, copy).unwrap();
    let other = config().metadata_bytes(64);
    let mut writer = writer_in(dir.path()).create(NAME, &other).unwrap();
    // Not while a frame is unread.
    writer.write(b"x").unwrap();
    drop(writer);
    let error = writer_in(dir.path()).create(NAME, &config()).unwrap_err();
    assert!(matches!(error, OpenError::ConfigMismatch { .. }), "{error}");
    inspect::remove(NAME, dir.path(), false).unwrap();
}

#[test]
#[should_panic(expected = "copied from one length to another")]
fn a_loan_is_not_filled_with_fewer_bytes_than_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::options().dir(dir.path()).create("short", &config()).unwrap();
    writer.loan(100).unwrap().copy_from_slice(&[1; 99]);
}

/// Runs `child` in a forked child; its answer becomes the exit status.
#[allow(unsafe_code)]
fn in_forked_child(child: impl FnOnce() -> bool) {
    // SAFETY: the child only uses the endpoints it inherited, which neither take locks of this process's other
    // threads nor allocate much, and ends by `_exit`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let ok = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(false);
        // SAFETY: ends the child without running anything of its parent's.
        unsafe { libc::_exit(i32::from(!ok)) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above; `status` outlives the call.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(status, 0, "the forked child found something else, or crashed");
}

fn forked(dir: &Path, test: impl FnOnce(Writer, Reader) -> bool) {
    let mut writer = writer_in(dir).create(NAME, &config()).unwrap();
    let mut reader = reader_in(dir).join(NAME).unwrap();
    writer.set_metadata(b"parent's").unwrap();
    for sequence in 1..=2 {
        writer.write(&frame(sequence, 100)).unwrap();
    }
    drop(reader.read().unwrap().unwrap());
    // The child has copies of both; what it does with them must not touch the parent's.
    let mut test = Some(test);
    let (mut writer, mut reader) = (Some(writer), Some(reader));
    in_forked_child(|| test.take().unwrap()(writer.take().unwrap(), reader.take().unwrap()));
    let (mut writer, mut reader) = (writer.unwrap(), reader.unwrap());
    assert!(writer.has_live_reader());
    writer.write(&frame(3, 100)).unwrap();
    for sequence in 2..=3 {
        let read = reader.read().unwrap().unwrap();
        assert!(read.sequence() == sequence && is_frame(sequence, &read));
    }
    assert!(writer_in(dir).connect(NAME).is_err());
    drop((writer, reader));
    assert_eq!(left_behind(dir), [""; 0]);
}

#[test]
fn a_forked_childs_endpoints_refuse_to_work() {
    let dir = shm_dir();
    forked(dir.path(), |mut writer, mut reader| {
        let ok = matches!(writer.write(b"x"), Err(WriteError::Forked { .. }))
            && matches!(writer.try_loan(1), Err(WriteError::Forked { .. }))
            && matches!(writer.batch().push(b"x"), Err(WriteError::Forked { .. }))
            && matches!(writer.set_metadata(b"x"), Err(MetadataError::Forked { .. }))
            && matches!(writer.replace_metadata(b"x"), Err(MetadataError::Forked { .. }))
            && matches!(reader.read(), Err(ReadError::Forked { .. }))
            && matches!(reader.try_read_batch(1), Err(ReadError::Forked { .. }))
            && matches!(reader.read_into(&mut [0; 100]), Err(ReadError::Forked { .. }))
            && matches!(reader.metadata(), Err(MetadataError::Forked { .. }));
        let text = reader.try_read().map(drop).unwrap_err().to_string();
        std::mem::forget((writer, reader));
        ok && text.contains("`cam0` belongs to the parent") && text.contains("join again")
    });
}

#[test]
fn a_forked_child_that_drops_its_endpoints_changes_nothing() {
    let dir = shm_dir();
    forked(dir.path(), |writer, reader| {
        drop(writer);
        drop(reader);
        true
    });
}

#[test]
fn a_forked_child_learns_nothing_from_its_endpoints_and_survives_asking() {
    let dir = shm_dir();
    forked(dir.path(), |mut writer, mut reader| {
        let ok = writer.readers().is_empty()
            && !writer.has_live_reader()
            && !writer.has_had_reader()
            && writer.undelivered().frames == 0
            && !writer.wait_drained(None)
            && writer.stats().frames == 2
            && reader.events().count() == 0
            && reader.backlog_bytes() == 0
            && !reader.is_durable()
            && reader.stats().frames == 1
            && reader.writer_presence() == zerobuffer::WriterPresence::Never;
        reader.unsubscribe();
        writer.discard_undelivered();
        ok
    });
}

#[test]
fn a_forked_child_may_drop_what_it_inherited_from_a_reader() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    let mut reader = reader_in(dir.path()).join(NAME).unwrap();
    writer.set_metadata(b"parent's").unwrap();
    for sequence in 1..=3 {
        writer.write(&frame(sequence, 100)).unwrap();
    }
    let owned = reader.read().unwrap().unwrap().into_owned();
    let mut owned = Some(owned);
    in_forked_child(|| {
        drop(owned.take());
        true
    });
    assert!(is_frame(1, owned.as_ref().unwrap()));
    drop(owned);
    {
        let mut batch = reader.read_batch(2).unwrap();
        batch.as_mut().unwrap().next().unwrap();
        in_forked_child(|| {
            drop(batch.take());
            true
        });
    }
    let mut metadata = reader.metadata().unwrap();
    in_forked_child(|| {
        drop(metadata.take());
        true
    });
    assert_eq!(&metadata.as_ref().unwrap()[..], b"parent's");
    drop(metadata);
    assert_eq!(reader.read().unwrap().unwrap().sequence(), 3);
    drop((writer, reader));
    until("it is removed", || left_behind(dir.path()).is_empty());
}

#[test]
fn a_child_being_spawned_does_not_keep_the_last_to_leave_from_removing() {
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Children of no importance: each has copies of all descriptors for a moment.
        let spawner = scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                std::process::Command::new("true").status().unwrap();
            }
        });
        // Also when something here fails.
        let stopper = Stopper(&stop);
        let dir = shm_dir();
        let left = (0..1500).find_map(|_| {
            let writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
            assert!(writer_in(dir.path()).connect(NAME).is_err());
            drop(reader_in(dir.path()).join(NAME).unwrap());
            drop(reader_in(dir.path()).join(NAME).unwrap());
            drop(writer);
            // Whose owner has left can be taken at once.
            drop(writer_in(dir.path()).create(NAME, &config()).unwrap());
            left_behind(dir.path()).pop()
        });
        drop(stopper);
        spawner.join().unwrap();
        assert_eq!(left, None);
    });
}

struct Stopper<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn a_forked_child_can_connect_on_its_own() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    let mut reader = reader_in(dir.path()).join(NAME).unwrap();
    writer.write(&frame(1, 100)).unwrap();
    in_forked_child(|| {
        let mut own = reader_in(dir.path()).ephemeral().join(NAME).unwrap();
        let timeout = Duration::from_secs(10);
        own.read_timeout(timeout).unwrap().is_some_and(|frame| is_frame(1, &frame))
    });
    assert!(is_frame(1, &reader.read().unwrap().unwrap()));
    drop((writer, reader));
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn a_mode_that_makes_more_or_less_of_the_file_than_a_buffer_is_refused() {
    let dir = shm_dir();
    for (mode, part) in [
        (0o7777, "set-uid"),
        (0o4600, "set-uid"),
        (0o1666, "sticky"),
        (0o10_0600, "permission"),
        (0o060, "owner"),
        (0o400, "owner"),
        (0, "owner"),
    ] {
        let config = config().mode(mode);
        for error in [
            writer_in(dir.path()).create(NAME, &config).unwrap_err(),
            reader_in(dir.path()).create(NAME, &config).unwrap_err(),
        ] {
            assert!(matches!(error, OpenError::InvalidConfig { .. }), "{error}");
            says(&error, &["`cam0`", &format!("{mode:#o}"), part]);
        }
        let server = zerobuffer::duplex::Server::options().dir(dir.path()).request_buffer(config);
        assert!(matches!(server.create("ch"), Err(OpenError::InvalidConfig { .. })), "{mode:#o}");
        assert_eq!(left_behind(dir.path()), [""; 0]);
    }
}
