//! What there is not enough of: space, files, descriptors, address space, memory that may be locked. Each is an error that
//! says what to change, nothing is left behind, and with more of it the same call succeeds.
#![allow(missing_docs)]

mod common;

use common::{Call, PATIENCE, Placement, Stage, left_behind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use zerobuffer::{BufferConfig, OpenError, WaitStrategy};

const NAME: &str = "cam0";

#[test]
fn child_role() {
    common::child(role);
}

fn role(call: &Call) {
    match call.role.as_str() {
        "no space" => no_space(call),
        "no inodes" => no_inodes(call),
        "no descriptors" => no_descriptors(call),
        "no address space" => no_address_space(call),
        "small files only" => small_files_only(call),
        "nothing may be locked" => nothing_may_be_locked(call),
        "linger" => {
            let _reader = call.reader().join(NAME).unwrap();
            call.signal("attached");
            call.linger();
        }
        other => panic!("no role {other}"),
    }
}

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(1 << 16)
}

fn create(call: &Call, config: &BufferConfig) -> Result<(), OpenError> {
    call.writer().create(NAME, config).map(drop)
}

#[track_caller]
fn says(error: &OpenError, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

/// Runs `test` with a lowered limit of this process.
fn limited<T>(resource: Resource, to: u64, test: impl FnOnce() -> T) -> T {
    let before = getrlimit(resource);
    setrlimit(resource, Rlimit { current: Some(to), ..before }).unwrap();
    let result = test();
    setrlimit(resource, before).unwrap();
    result
}

/// In a tmpfs of one megabyte.
fn no_space(call: &Call) {
    let large = config().payload_bytes(2 << 20);
    let error = create(call, &large).unwrap_err();
    assert!(matches!(error, OpenError::NoSpace { .. }), "{error}");
    says(&error, &["`cam0`", "--shm-size=", "smaller payload"]);
    // Others may have taken it.
    let filler = call.dir().join("filler");
    std::fs::write(&filler, vec![1; 990 << 10]).unwrap();
    let error = create(call, &config()).unwrap_err();
    assert!(matches!(error, OpenError::NoSpace { .. }), "{error}");
    assert_eq!(left_behind(&call.dir()), ["filler"]);
    std::fs::remove_file(&filler).unwrap();
    create(call, &config()).unwrap();
}

/// In a tmpfs of its root directory and one file.
fn no_inodes(call: &Call) {
    let filler = call.dir().join("filler");
    std::fs::write(&filler, "").unwrap();
    let error = create(call, &config()).unwrap_err();
    assert!(matches!(error, OpenError::UnsuitableDirectory { .. }), "{error}");
    says(&error, &["no room for another file", "df -i", "nr_inodes"]);
    assert_eq!(left_behind(&call.dir()), ["filler"]);
    std::fs::remove_file(&filler).unwrap();
    create(call, &config()).unwrap();
}

/// Runs `test` with only so many descriptors to spare.
fn with_spare_descriptors<T>(spare: usize, test: impl FnOnce() -> T) -> T {
    limited(Resource::Nofile, 100, || {
        let open = || std::fs::File::open("/dev/null").ok();
        let mut taken: Vec<_> = std::iter::from_fn(open).collect();
        taken.truncate(taken.len() - spare);
        test()
    })
}

fn no_descriptors(call: &Call) {
    let mut refused = 0;
    let mut created = 0;
    for spare in 0..8 {
        match with_spare_descriptors(spare, || create(call, &config())) {
            Ok(()) => created += 1,
            Err(error) => {
                says(&error, &["`cam0`"]);
                refused += usize::from(error.to_string().contains("ulimit -n"));
            }
        }
        assert_eq!(left_behind(&call.dir()), [""; 0], "with {spare} to spare");
    }
    assert!(refused > 0 && created > 0, "{refused} refused, {created} created");
    let writer = call.writer().create(NAME, &config()).unwrap();
    for spare in 0..8 {
        let joined = with_spare_descriptors(spare, || call.reader().join(NAME).map(drop));
        assert!(joined.is_ok() || spare < 5, "{joined:?} with {spare} to spare");
        assert!(writer.readers().iter().all(|reader| !reader.alive), "with {spare} to spare");
    }
    // What failed has not taken the place of anybody.
    drop(call.reader().join(NAME).unwrap());
}

/// The room left is far less than the two mappings need, and the mappings need far more than another
/// thread of this process may give back meanwhile: an allocator's arena of 128 MiB, for one.
fn no_address_space(call: &Call) {
    let large = config().payload_bytes(128 << 20);
    let used: u64 = std::fs::read_to_string("/proc/self/statm")
        .unwrap()
        .split_ascii_whitespace()
        .next()
        .map(|pages| pages.parse::<u64>().unwrap() * rustix::param::page_size() as u64)
        .unwrap();
    let error = limited(Resource::As, used + (32 << 20), || create(call, &large)).unwrap_err();
    says(&error, &["`cam0`", "map", "ulimit -v"]);
    assert_eq!(left_behind(&call.dir()), [""; 0]);
    create(call, &large).unwrap();
}

fn small_files_only(call: &Call) {
    let error = limited(Resource::Fsize, 50_000, || create(call, &config())).unwrap_err();
    assert!(matches!(error, OpenError::NoSpace { .. }), "{error}");
    says(&error, &["`cam0`", "ulimit -f", "smaller payload"]);
    assert_eq!(left_behind(&call.dir()), [""; 0]);
    create(call, &config()).unwrap();
}

/// Touching the pages beforehand needs no permission to lock them.
fn nothing_may_be_locked(call: &Call) {
    limited(Resource::Memlock, 0, || {
        let mut writer = call.writer().prefault(true).create(NAME, &config()).unwrap();
        let mut reader = call.reader().prefault(true).join(NAME).unwrap();
        writer.write(b"x").unwrap();
        assert_eq!(&reader.read().unwrap().unwrap()[..], b"x");
    });
}

fn alone(role_name: &str) {
    let stage = Stage::new(Placement::Processes, WaitStrategy::SpinThenPark, role);
    stage.start(role_name, &[]).finish();
}

/// With a small file system of its own instead of the test's directory.
fn mounted(role_name: &str, options: &str) {
    let stage = Stage::new(Placement::Processes, WaitStrategy::SpinThenPark, role);
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT TESTED: mounting needs root");
        return;
    }
    let script =
        format!("mount -t tmpfs -o {options} none {} && exec \"$@\"", stage.dir().display());
    stage.start_through(&["unshare", "-m", "sh", "-c", &script, "sh"], role_name, &[]).finish();
}

#[test]
fn a_full_file_system_is_refused_with_the_numbers() {
    mounted("no space", "size=1m");
}

#[test]
fn a_file_system_without_inodes_is_named() {
    mounted("no inodes", "size=1m,nr_inodes=2");
}

#[test]
fn without_descriptors_nothing_is_left_half_made() {
    alone("no descriptors");
}

#[test]
fn without_address_space_nothing_is_left_half_made() {
    alone("no address space");
}

#[test]
fn a_limit_of_file_sizes_is_an_error_and_not_a_signal() {
    alone("small files only");
}

#[test]
fn pages_are_touched_without_being_locked() {
    alone("nothing may be locked");
}

#[test]
fn the_writer_needs_nothing_more_once_it_is_attached() {
    let stage = Stage::new(Placement::Processes, WaitStrategy::SpinThenPark, role);
    let mut writer = stage.writer().create(NAME, &config()).unwrap();
    let reader = stage.start("linger", &[]);
    stage.await_signal("attached");
    assert!(writer.has_live_reader());
    for _ in 0..10 {
        writer.write_timeout(&[1; 1000], PATIENCE).unwrap();
    }
    reader.kill();
    assert!(!writer.has_live_reader());
    drop(writer);
    // The frames wait for the reader: its name is durable.
    assert_eq!(left_behind(&stage.dir()), ["cam0.zb2"]);
    stage.reader().join(NAME).unwrap().unsubscribe();
    assert_eq!(left_behind(&stage.dir()), [""; 0]);
}
