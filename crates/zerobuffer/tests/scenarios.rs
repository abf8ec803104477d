//! How buffers are used: who comes first, bursts, slow readers, metadata, connecting over and over, too little memory.
#![allow(missing_docs)]

mod common;

use std::time::Duration;

use common::{
    Call, PATIENCE, Placement, Stage, everywhere, frame, is_frame, left_behind, some_len, until,
};
use zerobuffer::{BufferConfig, Event, OpenError, Reader, WaitStrategy, WriteError, Writer};

const NAME: &str = "scenario";

#[test]
fn child_role() {
    common::child(role);
}

fn role(call: &Call) {
    match call.role.as_str() {
        "read everything" => read_everything(call),
        "read slowly" => read_slowly(call),
        "write" => write(call),
        "create and write" => create_and_write(call),
        "read metadata" => read_metadata(call),
        "find no metadata" => find_no_metadata(call),
        "connect over and over" => connect_over_and_over(call),
        "create in 64 MiB" => create_in_64_mib(),
        "create without memory" => create_without_memory(),
        other => panic!("no role {other}"),
    }
}

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(64 << 10)
}

/// Reads to the end; `count` frames must come, numbered from 1, each of the length that `len` says.
fn read_to_end(reader: &mut Reader, count: u64, len: impl Fn(u64) -> usize) {
    let mut expected = 1;
    while let Some(frame) = reader.read().unwrap() {
        assert_eq!(frame.sequence(), expected);
        assert_eq!(frame.len(), len(expected), "length of frame {expected}");
        assert!(is_frame(expected, &frame), "contents of frame {expected}");
        assert!(!frame.is_redelivered());
        expected += 1;
    }
    assert_eq!(expected, count + 1, "frames lost");
    assert_eq!(reader.stats().frames, count);
}

fn write_frames(writer: &mut Writer, count: u64, len: impl Fn(u64) -> usize) {
    for sequence in 1..=count {
        let written = writer.write(&frame(sequence, len(sequence))).unwrap();
        assert_eq!(written.sequence(), Some(sequence));
    }
}

/// Lengths of the stream `kind`.
fn lengths(kind: u64) -> impl Fn(u64) -> usize {
    move |sequence| match kind {
        0 => some_len(sequence, 3000),
        // Large ones of nearly half the ring between single bytes.
        _ if sequence.is_multiple_of(2) => 30_000 + sequence as usize % 2000,
        _ => 1,
    }
}

fn read_everything(call: &Call) {
    let mut reader = call.reader().join(NAME).unwrap();
    call.signal("joined");
    read_to_end(&mut reader, call.numbers[0], lengths(call.numbers[1]));
}

fn write(call: &Call) {
    let mut writer = call.writer().wait_for_buffer(PATIENCE).connect(NAME).unwrap();
    write_frames(&mut writer, call.numbers[0], lengths(call.numbers[1]));
}

fn create_and_write(call: &Call) {
    let mut writer = call.writer().create(NAME, &config()).unwrap();
    write_frames(&mut writer, call.numbers[0], lengths(call.numbers[1]));
    // What nobody fetched would stay; the reader has all of it before we go.
    assert!(writer.wait_drained(Some(PATIENCE)));
}

everywhere!(
    a_burst_written_before_the_reader_starts_arrives_whole,
    a_slow_reader_loses_nothing_and_blocks_the_writer,
    large_and_tiny_frames_alternate,
    the_reader_may_start_first_and_create,
    the_writer_may_start_first_and_create,
    either_side_waits_for_the_other_to_create,
    both_sides_may_create_at_the_same_moment,
    metadata_alone_is_delivered_without_any_frame,
    a_stream_without_metadata_is_delivered,
    a_buffer_without_room_for_metadata_works,
);

/// Seed scenario 6.2.
fn a_burst_written_before_the_reader_starts_arrives_whole(p: Placement, wait: WaitStrategy) {
    let stage = Stage::new(p, wait, role);
    let config = BufferConfig::new().payload_bytes(2 << 20);
    let mut writer = stage.writer().create(NAME, &config).unwrap();
    write_frames(&mut writer, 1000, lengths(0));
    assert_eq!(writer.undelivered().frames, 1000);
    assert!(!writer.has_had_reader());
    let reader = stage.start("read everything", &[1000, 0]);
    stage.await_signal("joined");
    drop(writer);
    reader.finish();
}

/// Seed scenario 6.3.
fn a_slow_reader_loses_nothing_and_blocks_the_writer(p: Placement, wait: WaitStrategy) {
    const COUNT: u64 = 500;
    let stage = Stage::new(p, wait, role);
    let mut writer = stage.writer().create(NAME, &config()).unwrap();
    let reader = stage.start("read slowly", &[COUNT]);
    stage.await_signal("joined");
    let len = lengths(0);
    let mut sequence = 1;
    // The reader does not read yet: the ring fills, and only then writing fails.
    let full = loop {
        match writer.try_write(&frame(sequence, len(sequence))) {
            Ok(written) => assert_eq!(written.sequence(), Some(sequence)),
            Err(error) => break error,
        }
        sequence += 1;
    };
    assert!(full.is_timeout() && full.to_string().contains("`main`"), "{full}");
    assert!(writer.undelivered().bytes > 64 << 9, "full, with half of it free");
    let short = Duration::from_millis(20);
    let blocked = writer.write_timeout(&frame(sequence, len(sequence)), short).unwrap_err();
    assert!(matches!(blocked, WriteError::Full { waited, .. } if waited >= short));
    stage.signal("go");
    for sequence in sequence..=COUNT {
        writer.write_timeout(&frame(sequence, len(sequence)), PATIENCE).unwrap();
    }
    let stats = writer.stats();
    assert_eq!((stats.frames, stats.dropped_frames), (COUNT, 0));
    assert!(stats.full_waits >= 2);
    drop(writer);
    reader.finish();
}

fn read_slowly(call: &Call) {
    let mut reader = call.reader().join(NAME).unwrap();
    call.signal("joined");
    call.await_signal("go");
    let len = lengths(0);
    for sequence in 1..=call.numbers[0] {
        if sequence % 16 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let frame = reader.read().unwrap().unwrap();
        assert_eq!((frame.sequence(), frame.len()), (sequence, len(sequence)));
        assert!(is_frame(sequence, &frame));
    }
    assert!(reader.read().unwrap().is_none());
}

fn large_and_tiny_frames_alternate(p: Placement, wait: WaitStrategy) {
    let stage = Stage::new(p, wait, role);
    let mut writer = stage.writer().create(NAME, &config()).unwrap();
    let reader = stage.start("read everything", &[400, 1]);
    write_frames(&mut writer, 400, lengths(1));
    stage.await_signal("joined");
    drop(writer);
    reader.finish();
}

fn the_reader_may_start_first_and_create(p: Placement, wait: WaitStrategy) {
    let stage = Stage::new(p, wait, role);
    let mut reader = stage.reader().create(NAME, &config()).unwrap();
    let writer = stage.start("write", &[300, 0]);
    read_to_end(&mut reader, 300, lengths(0));
    writer.finish();
}

fn the_writer_may_start_first_and_create(p: Placement, wait: WaitStrategy) {
    let stage = Stage::new(p, wait, role);
    let writer = stage.start("create and write", &[300, 0]);
    let mut reader = stage.reader().join(NAME).unwrap();
    read_to_end(&mut reader, 300, lengths(0));
    writer.finish();
}

fn either_side_waits_for_the_other_to_create(p: Placement, wait: WaitStrategy) {
    let stage = Stage::new(p, wait, role);
    let reader = stage.start("read everything", &[50, 0]);
    let mut writer = stage.writer().create(NAME, &config()).unwrap();
    write_frames(&mut writer, 50, lengths(0));
    stage.await_signal("joined");
    drop(writer);
    reader.finish();

    let writer = stage.start("write", &[50, 0]);
    let mut reader = stage.reader().create(NAME, &config()).unwrap();
    read_to_end(&mut reader, 50, lengths(0));
    writer.finish();
}

fn both_sides_may_create_at_the_same_moment(p: Placement, wait: WaitStrategy) {
    let stage = Stage::new(p, wait, role);
    for _ in 0..10 {
        let writer = stage.start("create and write", &[20, 0]);
        let mut reader = stage.reader().create(NAME, &config()).unwrap();
        read_to_end(&mut reader, 20, lengths(0));
        writer.finish();
    }
}

fn metadata_alone_is_delivered_without_any_frame(p: Placement, wait: WaitStrategy) {
    let stage = Stage::new(p, wait, role);
    let mut writer = stage.writer().create(NAME, &config()).unwrap();
    let reader = stage.start("read metadata", &[]);
    stage.await_signal("joined");
    writer.set_metadata(&frame(7, 4096)).unwrap();
    stage.await_signal("seen");
    drop(writer);
    reader.finish();
}

fn read_metadata(call: &Call) {
    let mut reader = call.reader().join(NAME).unwrap();
    assert!(reader.metadata().unwrap().is_none());
    call.signal("joined");
    let mut events = Vec::new();
    until("metadata comes", || {
        events.extend(reader.events());
        !events.is_empty()
    });
    assert_eq!(events, [Event::MetadataChanged { generation: 1 }]);
    let metadata = reader.metadata().unwrap().unwrap();
    assert_eq!((metadata.generation(), metadata.len()), (1, 4096));
    assert!(is_frame(7, &metadata));
    drop(metadata);
    call.signal("seen");
    assert!(reader.read().unwrap().is_none());
    assert_eq!(reader.stats().frames, 0);
}

fn a_stream_without_metadata_is_delivered(p: Placement, wait: WaitStrategy) {
    without_metadata(p, wait, &config());
}

fn a_buffer_without_room_for_metadata_works(p: Placement, wait: WaitStrategy) {
    without_metadata(p, wait, &config().metadata_bytes(0));
}

fn without_metadata(p: Placement, wait: WaitStrategy, config: &BufferConfig) {
    let stage = Stage::new(p, wait, role);
    let mut writer = stage.writer().create(NAME, config).unwrap();
    let reader = stage.start("find no metadata", &[]);
    stage.await_signal("joined");
    write_frames(&mut writer, 50, lengths(0));
    drop(writer);
    reader.finish();
}

fn find_no_metadata(call: &Call) {
    let mut reader = call.reader().join(NAME).unwrap();
    call.signal("joined");
    assert!(reader.metadata().unwrap().is_none());
    read_to_end(&mut reader, 50, lengths(0));
    assert!(reader.metadata().unwrap().is_none());
    assert!(reader.events().all(|event| !matches!(event, Event::MetadataChanged { .. })));
}

#[test]
fn waiting_for_a_buffer_that_never_comes_ends_with_not_found() {
    let dir = common::shm_dir();
    let limit = Duration::from_millis(30);
    let begin = std::time::Instant::now();
    let error =
        common::reader_in(dir.path()).wait_for_buffer(limit).join("never").map(drop).unwrap_err();
    assert!(error.is_not_found() && begin.elapsed() >= limit, "{error}");
    let error = common::writer_in(dir.path())
        .wait_for_buffer(limit)
        .connect("never")
        .map(drop)
        .unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert_eq!(left_behind(dir.path()), [""; 0]);
}

#[test]
fn a_thousand_connections_leave_no_descriptors_and_no_mappings() {
    let stage = Stage::new(Placement::Processes, WaitStrategy::Park, role);
    stage.start("connect over and over", &[]).finish();
}

/// In a process of its own: the numbers are those of the whole process.
fn connect_over_and_over(call: &Call) {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mapped = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|line| line.contains(".zb2") || line.contains("/dev/shm")).count()
    };
    let dir = call.dir();
    let cycle = |sequence: u64| {
        let mut reader = call.reader().create(NAME, &config()).unwrap();
        let mut writer = call.writer().connect(NAME).unwrap();
        writer.write(&frame(sequence, 100)).unwrap();
        assert!(is_frame(sequence, &reader.read().unwrap().unwrap()));
        // Each leaves first in turn.
        if sequence.is_multiple_of(2) {
            drop(writer);
            assert!(reader.read().unwrap().is_none());
        } else {
            drop(reader);
        }
    };
    cycle(0);
    let before = (open(), mapped());
    assert_eq!(before.1, 0);
    (1..=1000).for_each(cycle);
    assert_eq!((open(), mapped()), before);
    assert_eq!(left_behind(&dir), [""; 0]);

    // One side stays, the other comes and goes.
    let mut writer = call.writer().create(NAME, &config()).unwrap();
    for sequence in 1..=1000 {
        let mut reader = call.reader().join(NAME).unwrap();
        writer.write(&frame(sequence, 100)).unwrap();
        let frame = reader.read().unwrap().unwrap();
        assert!(frame.sequence() == sequence && is_frame(sequence, &frame));
    }
    drop(writer);
    let mut reader = call.reader().create(NAME, &config()).unwrap();
    for sequence in 1..=1000 {
        let mut writer = call.writer().connect(NAME).unwrap();
        assert_eq!(writer.write(&frame(sequence, 100)).unwrap().sequence(), Some(sequence));
        let frame = reader.read().unwrap().unwrap();
        assert!(frame.sequence() == sequence && is_frame(sequence, &frame));
    }
    drop(reader);
    assert_eq!((open(), mapped()), before);
}

/// Runs a role with something mounted; says so where that is not permitted.
fn with_mounts(script: &str, role_name: &str) {
    let stage = Stage::new(Placement::Processes, WaitStrategy::Park, role);
    let script = format!("{script} && exec \"$@\"");
    for unshare in [&["unshare", "-m"][..], &["unshare", "-Urm"]] {
        let able = std::process::Command::new(unshare[0])
            .args(&unshare[1..])
            .args(["mount", "-t", "tmpfs", "none", "/dev/shm"])
            .output()
            .is_ok_and(|output| output.status.success());
        if able {
            let wrapper: Vec<_> =
                unshare.iter().copied().chain(["sh", "-c", &script, "sh"]).collect();
            return stage.start_through(&wrapper, role_name, &[]).finish();
        }
    }
    eprintln!(
        "NOT TESTED ({role_name}): nothing can be mounted here, neither as root nor by `unshare -Urm`"
    );
}

#[test]
fn what_does_not_fit_the_file_system_is_refused_at_creation() {
    with_mounts("mount -t tmpfs -o size=64m none /mnt", "create in 64 MiB");
}

/// Resource exhaustion, with the file system that containers have by default.
fn create_in_64_mib() {
    let dir = std::path::Path::new("/mnt");
    let writer = common::writer_in(dir);
    let error = writer.create("large", &BufferConfig::new().payload_bytes(256 << 20)).map(drop);
    let text = error.as_ref().unwrap_err().to_string();
    let Err(OpenError::NoSpace { needed, available, .. }) = error else { panic!("{text}") };
    assert!(needed > 256 << 20 && available <= 64 << 20);
    for part in ["large", "--shm-size", &needed.to_string(), &available.to_string(), "/mnt"] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
    assert_eq!(left_behind(dir), [""; 0]);

    // The default fits; a second one does not, and the first one does not notice.
    let mut first = writer.create("first", &BufferConfig::new()).unwrap();
    first.write(b"still here").unwrap();
    let error = writer.create("second", &BufferConfig::new()).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::NoSpace { .. }), "{error}");
    let error = common::reader_in(dir).create("second", &BufferConfig::new()).map(drop);
    assert!(matches!(error, Err(OpenError::NoSpace { .. })));
    assert_eq!(left_behind(dir), ["first.zb2"]);
    let mut reader = common::reader_in(dir).join("first").unwrap();
    assert_eq!(&reader.read().unwrap().unwrap()[..], b"still here");
    drop((first, reader));
    // All memory is back.
    drop(writer.create("again", &BufferConfig::new()).unwrap());
    assert_eq!(left_behind(dir), [""; 0]);
}

#[test]
fn what_does_not_fit_the_memory_is_refused_at_creation() {
    let script = "printf 'MemTotal: 90000 kB\\nMemAvailable: 20000 kB\\n' > /dev/shm/$$.meminfo \
                  && mount --bind /dev/shm/$$.meminfo /proc/meminfo && rm /dev/shm/$$.meminfo \
                  && mount -t tmpfs none /mnt";
    with_mounts(script, "create without memory");
}

fn create_without_memory() {
    let dir = std::path::Path::new("/mnt");
    let error = common::writer_in(dir).create("large", &BufferConfig::new()).map(drop);
    let text = error.as_ref().unwrap_err().to_string();
    let Err(OpenError::NoSpace { available, .. }) = error else { panic!("{text}") };
    assert_eq!(available, 20_000 << 10);
    assert!(text.contains("available memory") && text.contains("large"), "{text}");
    assert_eq!(left_behind(dir), [""; 0]);
    drop(common::writer_in(dir).create("small", &config()).unwrap());
    assert_eq!(left_behind(dir), [""; 0]);
}
