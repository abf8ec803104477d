//! A real peer: the deployed Python package, in processes of its own. `tests/python/setup.sh` installs it.
//!
//! Where the package fails on its own, the tests recognise exactly that defect, by its number, reopen the buffer
//! and go on; towards the package our writer has to deliver every frame.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::heap::pattern;
use super::support::{Process, Unique, WATCHDOG, role, until};
use crate::field::field;
use crate::v1::engine::reader::V1Reader;
use crate::v1::engine::writer::V1Writer;
use crate::v1::protocol::layout::{OIEB_BYTES, Oieb, OiebCopy};
use crate::values::config::{StreamingStores, WaitStrategy};
use crate::values::error::{ReadError, WriteError};
use crate::wait::Patience;

const FRAMES: u64 = 10_000;
const MOST: u64 = 1000;
const PAYLOAD: usize = 4096;
const SOON: Patience = Patience::For(Some(Duration::from_millis(20)));

fn length(index: u64, most: u64) -> u64 {
    let n = ((index * 2_654_435_761) >> 7) % most + 1;
    if most.is_multiple_of(16) { n.next_multiple_of(16) } else { n }
}

struct Peer {
    process: Process,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Peer {
    fn start(arguments: &[&str]) -> Self {
        let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let python = package.join("../../target/python-peer/bin/python");
        assert!(
            python.exists(),
            "the Python peer is not installed at {}: run {}",
            python.display(),
            package.join("tests/python/setup.sh").display(),
        );
        let mut child = Command::new(python)
            .arg(package.join("tests/python/peer.py"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        Self { process: Process(child), stdin, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(90)).expect("the Python peer says something")
    }

    fn expect(&self, line: &str) {
        assert_eq!(self.line(), line);
    }

    fn go(&mut self) {
        writeln!(self.stdin, "go").unwrap();
    }

    /// All that it says until it ends.
    fn finish(mut self) -> Vec<String> {
        self.process.wait_success();
        self.lines.iter().collect()
    }
}

fn create(name: &Unique) -> V1Reader {
    V1Reader::create(&name.0, 256, PAYLOAD, WaitStrategy::SpinThenPark).unwrap()
}

fn connect(name: &Unique) -> V1Writer {
    V1Writer::connect(&name.0, WaitStrategy::SpinThenPark, StreamingStores::Auto).unwrap()
}

fn write_frames(writer: &mut V1Writer, frames: std::ops::RangeInclusive<u64>, slow_every: u64) {
    for index in frames {
        let frame = pattern(index, length(index, MOST));
        assert_eq!(writer.write(&frame, WATCHDOG).unwrap(), index);
        if slow_every > 0 && index % slow_every == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Reads and checks all frames that `peer` writes. When it is stuck in its defect L5, opens a new buffer for it.
/// Returns the reader and how often that was.
fn read_frames(
    name: &Unique,
    mut reader: V1Reader,
    peer: &mut Peer,
    (frames, most): (u64, u64),
    slow_every: u64,
) -> (V1Reader, u64) {
    let (mut next, mut offset, mut reopened) = (1, 0, 0);
    let mut space = vec![0; most as usize];
    while next <= frames {
        match reader.next(SOON) {
            Ok(Some(frame)) => {
                assert_eq!(frame.sequence + offset, next);
                assert_eq!(frame.len as u64, length(next, most));
                reader.copy_out(&frame, &mut space);
                assert_eq!(&space[..frame.len], pattern(next, length(next, most)));
                reader.release(frame.ticket);
                if slow_every > 0 && next % slow_every == 0 {
                    std::thread::sleep(Duration::from_millis(2));
                }
                next += 1;
            }
            Ok(None) | Err(ReadError::Timeout { .. }) => match peer.lines.try_recv() {
                Ok(line) if line == format!("stuck {next}") => {
                    let oieb = reader.segment().oieb().load();
                    let at_end = oieb.payload_write_pos == PAYLOAD as u64;
                    assert!(at_end && oieb.payload_read_pos == 0, "this is not L5: {oieb:?}");
                    drop(reader);
                    reader = create(name);
                    peer.go();
                    (offset, reopened) = (next - 1, reopened + 1);
                }
                Ok(line) if line.starts_with("stuck") => panic!("{line}, but {next} did not come"),
                Ok(line) => {
                    assert!(next > frames || line == "written" || line == "relayed", "{line}")
                }
                Err(_) => {}
            },
            Err(error) => panic!("frame {next}: {error}"),
        }
    }
    (reader, reopened)
}

fn python_to_ours((frames, most): (u64, u64), habit: &str, slow_every: u64) -> u64 {
    let name = Unique::new("py-ours");
    let reader = create(&name);
    let mut peer = Peer::start(&["write", &name.0, &frames.to_string(), &most.to_string(), habit]);
    let (mut reader, reopened) = read_frames(&name, reader, &mut peer, (frames, most), slow_every);
    if reopened == 0 {
        assert_eq!(reader.metadata().unwrap().unwrap(), b"from python");
    }
    peer.go();
    assert!(reader.next(WATCHDOG).unwrap().is_none());
    peer.finish();
    drop(reader);
    assert!(name.traces().is_empty());
    reopened
}

#[test]
fn python_writes_ours_reads() {
    python_to_ours((FRAMES, MOST), "0", 0);
}

#[test]
fn python_writes_a_slow_reader_of_ours() {
    python_to_ours((FRAMES, MOST), "0", 50);
}

#[test]
fn l05_a_python_writer_stuck_at_the_end_is_recognised_and_helped_on() {
    // In step with the reader, so that it happens at every exact fit: the same number of times each run.
    let reopened = python_to_ours((500, 960), "-1", 0);
    assert!(reopened > 0);
}

fn ours_to_python(reader_slow_every: u64, slow_every: u64) {
    let name = Unique::new("ours-py");
    let (payload, frames, most) = (PAYLOAD.to_string(), FRAMES.to_string(), MOST.to_string());
    let slow = reader_slow_every.to_string();
    let peer = Peer::start(&["read", &name.0, &payload, &frames, &most, &slow]);
    peer.expect("ready");
    let mut writer = connect(&name);
    writer.set_metadata(b"from ours").unwrap();
    write_frames(&mut writer, 1..=FRAMES, slow_every);
    writer.close();
    assert_eq!(peer.finish(), ["metadata from ours", "writer-dead"]);
    // L4: the package leaves its semaphores behind; nothing else.
    assert_eq!(name.traces(), name.semaphores());
}

#[test]
fn ours_writes_python_reads() {
    ours_to_python(0, 0);
}

#[test]
fn ours_writes_a_slow_python_reader() {
    ours_to_python(50, 0);
}

#[test]
fn a_slow_writer_of_ours_is_waited_for() {
    ours_to_python(0, 50);
}

#[test]
fn python_to_ours_to_python() {
    let (first, second) = (Unique::new("chain-a"), Unique::new("chain-b"));
    let (payload, frames, most) = (PAYLOAD.to_string(), FRAMES.to_string(), MOST.to_string());
    let last = Peer::start(&["read", &second.0, &payload, &frames, &most, "0"]);
    last.expect("ready");
    let mut writer = connect(&second);
    let mut reader = create(&first);
    let mut origin = Peer::start(&["write", &first.0, &frames, &most, "0"]);
    let mut next = 1;
    let mut space = vec![0; MOST as usize];
    while next <= FRAMES {
        match reader.next(SOON) {
            Ok(Some(frame)) => {
                reader.copy_out(&frame, &mut space);
                reader.release(frame.ticket);
                assert_eq!(writer.write(&space[..frame.len], WATCHDOG).unwrap(), next);
                next += 1;
            }
            Ok(None) | Err(ReadError::Timeout { .. }) => {
                if origin.lines.try_recv().is_ok_and(|line| line == format!("stuck {next}")) {
                    drop(reader);
                    reader = create(&first);
                    origin.go();
                }
            }
            Err(error) => panic!("frame {next}: {error}"),
        }
    }
    origin.go();
    writer.close();
    assert_eq!(last.finish(), ["metadata none", "writer-dead"]);
    origin.finish();
}

#[test]
fn ours_to_python_to_ours() {
    let (first, second) = (Unique::new("chain-c"), Unique::new("chain-d"));
    let (payload, frames, most) = (PAYLOAD.to_string(), FRAMES.to_string(), MOST.to_string());
    let reader = create(&second);
    let mut relay = Peer::start(&["relay", &first.0, &second.0, &payload, &frames, &most]);
    relay.expect("ready");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = connect(&first);
            write_frames(&mut writer, 1..=FRAMES, 0);
            writer.wait_drained(Some(Duration::from_secs(60)));
        });
        let (mut reader, _) = read_frames(&second, reader, &mut relay, (FRAMES, MOST), 0);
        relay.go();
        assert!(reader.next(WATCHDOG).unwrap().is_none());
    });
    relay.finish();
}

#[test]
fn a_full_buffer_says_so_both_ways() {
    let name = Unique::new("full-py");
    let mut reader = V1Reader::create(&name.0, 0, 1024, WaitStrategy::Park).unwrap();
    let mut filler = Peer::start(&["fill", &name.0]);
    filler.expect("BufferFullException 8");
    for index in 1..=8 {
        let frame = reader.next(WATCHDOG).unwrap().unwrap();
        assert_eq!(frame.sequence, index);
        reader.release(frame.ticket);
    }
    filler.go();
    assert!(reader.next(WATCHDOG).unwrap().is_none());
    filler.finish();
    drop(reader);

    let mut holder = Peer::start(&["hold", &name.0, "1024"]);
    holder.expect("ready");
    let mut writer = connect(&name);
    for _ in 0..8 {
        writer.write(&[1; 100], WATCHDOG).unwrap();
    }
    let error = writer.write(&[1; 100], SOON).unwrap_err();
    assert!(matches!(error, WriteError::Full { .. }), "{error}");
    // Its graceful close reaches a writer that waits.
    holder.go();
    let error = writer.write(&[1; 100], WATCHDOG).unwrap_err();
    assert!(matches!(error, WriteError::ReaderGone { .. }), "{error}");
    holder.finish();
}

#[test]
fn a_killed_python_peer_is_noticed() {
    let name = Unique::new("kill-py");
    let mut reader = V1Reader::create(&name.0, 256, 1024, WaitStrategy::SpinThenPark).unwrap();
    let mut filler = Peer::start(&["fill", &name.0]);
    until(|| reader.backlog_bytes() > 500);
    filler.process.kill();
    let mut frames = 0;
    let error = loop {
        match reader.next(WATCHDOG) {
            Ok(frame) => {
                let frame = frame.unwrap();
                frames += 1;
                assert_eq!(frame.sequence, frames);
                let mut space = vec![0; 100];
                reader.copy_out(&frame, &mut space);
                assert_eq!(space, pattern(frames, 100));
                reader.release(frame.ticket);
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ReadError::WriterGone { .. }) && frames >= 5, "{error}");
    drop(reader);

    let mut holder = Peer::start(&["hold", &name.0, "1024"]);
    holder.expect("ready");
    let mut writer = connect(&name);
    holder.process.kill();
    let error = loop {
        if let Err(error) = writer.write(&[0; 100], WATCHDOG) {
            break error;
        }
    };
    assert!(matches!(error, WriteError::ReaderGone { .. }), "{error}");
    // What the dead peer left, its lock file included, does not keep a new reader out.
    drop(writer);
    drop(create(&name));
    assert!(name.traces().is_empty());
}

/// Child of the test below; does nothing when run as a test.
#[test]
fn python_crash_child() {
    let Some((role, name)) = role() else { return };
    let name = std::mem::ManuallyDrop::new(Unique(name));
    if role == "writer" {
        let mut writer = connect(&name);
        write_frames(&mut writer, 1..=3, 0);
        // No destructor runs: it dies with its pid in the control block.
        std::process::abort();
    }
    let _reader = V1Reader::create(&name.0, 256, 1024, WaitStrategy::Park).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn python_notices_that_ours_was_killed() {
    const CHILD: &str = "v1::tests::python::python_crash_child";
    let name = Unique::new("kill-ours");
    let (payload, most) = (PAYLOAD.to_string(), MOST.to_string());
    let peer = Peer::start(&["read", &name.0, &payload, "3", &most, "0"]);
    peer.expect("ready");
    let mut child = Process::of_test(CHILD, &format!("writer:{}", name.0));
    let _ = child.0.wait();
    assert_eq!(peer.line(), "metadata none");
    child.kill();
    // The package looks only when its wait times out.
    peer.expect("writer-dead");
    peer.finish();

    let mut child = Process::of_test(CHILD, &format!("reader:{}", name.0));
    let mut filler = Peer::start(&["fill", &name.0]);
    until(|| {
        let file = std::fs::read(name.segment()).unwrap_or_default();
        file.len() > OIEB_BYTES as usize
            && OiebCopy::from_bytes(file[..OIEB_BYTES as usize].try_into().unwrap()).writer_pid != 0
    });
    child.kill();
    let line = filler.line();
    assert!(line.starts_with("ReaderDeadException"), "{line}");
    filler.go();
    filler.finish();
    drop(create(&name));
    assert!(name.traces().is_empty());
}

/// The package alone, failing as its numbered defects say. When one of these fails, the package has changed, and
/// what is done about the defect can be looked at again.
#[test]
fn the_package_has_its_known_defects() {
    let shows = |defect: &str, expected: &[&str]| {
        let name = Unique::new("defect");
        let said = Peer::start(&[&format!("defect_{defect}"), &name.0]).finish();
        assert_eq!(said, expected, "{defect}");
    };
    shows("l1", &["failed True", "already-connected"]);
    shows("l5_reader", &["read 112", "read 104", "range-error True"]);
    shows("l5_writer", &["passed 112", "passed 112", "range-error True", "range-error True"]);
    shows("l20", &["free 908 of 1024"]);
    let name = Unique::new("defect");
    let said = Peer::start(&["defect_l4", &name.0]).finish();
    assert_eq!(said, [format!("left sem.sem-r-{0} sem.sem-w-{0}", name.0)]);
    // Ours does not mind (L4).
    drop(create(&name));
    assert!(name.traces().is_empty());
}

fn golden(which: &str) -> Vec<u8> {
    let path = format!("{}/tests/golden/python-{which}.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()
}

#[test]
fn segments_of_the_package_are_parsed() {
    for (which, writer_pid, written, write_pos, read_pos, free) in [
        ("fresh", 0, 0, 0, 0, 1024),
        ("frames", 2222, 3, 349, 0, 1024 - 349),
        ("wrapped", 2222, 6, 316, 765, 1024 - 259 - 316),
    ] {
        let file = golden(which);
        let header = OiebCopy::from_bytes(file[..OIEB_BYTES as usize].try_into().unwrap());
        let sizes = header.check_layout(file.len() as u64).unwrap();
        header.check_positions(sizes).unwrap();
        assert_eq!((sizes.metadata_bytes, sizes.payload_bytes), (128, 1024));
        assert_eq!(sizes.total_bytes(), file.len() as u64);
        assert_eq!((header.reader_pid, header.writer_pid), (1111, writer_pid));
        assert_eq!(header.payload_written_count, written);
        assert_eq!((header.payload_write_pos, header.payload_read_pos), (write_pos, read_pos));
        assert_eq!(header.payload_free_bytes, free);
        for missing in [1, 100, file.len() - 127] {
            header.check_layout((file.len() - missing) as u64).unwrap_err();
        }
    }
}

#[test]
fn ours_lays_segments_out_byte_for_byte_like_the_package() {
    let name = Unique::new("golden");
    let mut reader = V1Reader::create(&name.0, 100, 1000, WaitStrategy::Park).unwrap();
    let same = |which: &str| {
        let mut ours = std::fs::read(name.segment()).unwrap();
        let theirs = golden(which);
        // The pids differ.
        for pid in [field!(Oieb.writer_pid), field!(Oieb.reader_pid)] {
            pid.put(&mut ours, pid.get(&theirs));
        }
        assert!(
            ours == theirs,
            "differs from {which} at {:?}",
            ours.iter().zip(&theirs).position(|(a, b)| a != b)
        );
    };
    same("fresh");
    let mut writer = connect(&name);
    writer.set_metadata(br#"{"width":64}"#).unwrap();
    let mut write = |index, len| writer.write(&pattern(index, len), WATCHDOG).unwrap();
    let mut read = |count| {
        for _ in 0..count {
            let frame = reader.next(WATCHDOG).unwrap().unwrap();
            reader.release(frame.ticket);
        }
    };
    for (index, len) in [(1, 100), (2, 1), (3, 200)] {
        write(index, len);
    }
    same("frames");
    read(3);
    write(4, 400);
    read(1);
    write(5, 300);
    same("wrapped");
}
