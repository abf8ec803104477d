//! Who may write what: a reader maps the payload, the metadata and the writer's state for reading only.
#![allow(missing_docs)]
#![allow(unsafe_code)] // Writes on purpose where it must not be possible.

mod common;

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;

use common::{Call, Placement, Stage, reader_in, shm_dir, writer_in};
use zerobuffer::{BufferConfig, WaitStrategy};

const NAME: &str = "cam0";

#[test]
fn child_role() {
    common::child(role);
}

fn role(call: &Call) {
    let mut reader = call.reader().join(NAME).unwrap();
    let address = match call.role.as_str() {
        // Not released.
        "write into a frame" => {
            std::mem::ManuallyDrop::new(reader.read().unwrap().unwrap()).as_ptr()
        }
        "write into the metadata" => reader.metadata().unwrap().unwrap().as_ptr(),
        other => panic!("no role {other}"),
    };
    // SAFETY: none: the fault is what is looked for.
    unsafe { address.cast_mut().write_volatile(0) };
    unreachable!("a reader wrote where only the writer may");
}

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(1 << 16).metadata_bytes(64)
}

/// Offset, length and access of every mapping of the buffer in this process.
fn mappings(path: &std::path::Path) -> Vec<(u64, u64, String)> {
    let inode = std::fs::metadata(path).unwrap().ino().to_string();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
    maps.lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
        .filter(|words| words[4] == inode)
        .map(|words| {
            let (from, to) = words[0].split_once('-').unwrap();
            (number(words[2]), number(to) - number(from), words[1].to_owned())
        })
        .collect()
}

#[test]
fn a_reader_maps_nothing_but_the_registry_for_writing() {
    let dir = shm_dir();
    let path = dir.path().join("cam0.zb2");
    let writer = writer_in(dir.path()).create(NAME, &config()).unwrap();
    let of_writer = mappings(&path);
    assert!(of_writer.iter().all(|(.., access)| access == "rw-s"), "{of_writer:?}");
    let reader = reader_in(dir.path()).join(NAME).unwrap();
    drop(writer);
    let of_reader = mappings(&path);
    let writable: Vec<_> = of_reader.iter().filter(|(.., access)| access == "rw-s").collect();
    let page = rustix::param::page_size() as u64;
    // From behind the OIEB to before the metadata: header, slots, and the tables of work groups.
    let slots = u64::from(zerobuffer::DEFAULT_READER_SLOTS);
    let groups = u64::from(zerobuffer::DEFAULT_WORK_GROUPS);
    let window = u64::from(zerobuffer::DEFAULT_GROUP_WINDOW);
    let registry = (512 + slots * 256 + groups * (128 + 8 * window)).next_multiple_of(page);
    assert_eq!(writable, [&(page, registry, "rw-s".to_owned())], "{of_reader:?}");
    let read_only: u64 =
        of_reader.iter().filter(|(.., access)| access == "r--s").map(|(_, len, _)| len).sum();
    assert!(read_only >= 2 * (1 << 16), "{of_reader:?}");
    drop(reader);
}

#[test]
fn a_reader_that_writes_faults() {
    for what in ["write into a frame", "write into the metadata"] {
        let stage = Stage::new(Placement::Processes, WaitStrategy::SpinThenPark, role);
        let mut writer = stage.writer().create(NAME, &config()).unwrap();
        writer.set_metadata(b"grey").unwrap();
        writer.write(b"x").unwrap();
        let end = stage.start(what, &[]).end();
        assert_eq!(end.signal(), Some(libc::SIGSEGV), "{what}: {end}");
        // The frame is there for the next, as it was.
        let mut next = stage.reader().join(NAME).unwrap();
        assert_eq!(&next.read().unwrap().unwrap()[..], b"x");
        assert_eq!(&next.metadata().unwrap().unwrap()[..], b"grey");
    }
}

#[test]
fn a_buffer_is_its_users_alone_unless_chosen_otherwise() {
    let dir = shm_dir();
    let path = dir.path().join("cam0.zb2");
    for (config, mode) in
        [(config(), 0o600), (config().mode(0o660), 0o660), (config().mode(0o644), 0o644)]
    {
        let _writer = writer_in(dir.path()).create(NAME, &config).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, mode);
    }
}
