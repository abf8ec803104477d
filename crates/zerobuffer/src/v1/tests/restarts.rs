//! Readers of theirs that are killed and start again, and pids that somebody else has by then: what says that a peer lives
//! has to be this incarnation's, not the name's or the number's.

use std::fs;
use std::ops::Not;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::peers::{PeerOwner, TakeOver};
use super::support::{Process, Unique, WATCHDOG, role, until};
use crate::field::field;
use crate::v1::engine::inspect;
use crate::v1::engine::reader::V1Reader;
use crate::v1::engine::writer::V1Writer;
use crate::v1::ground::locks::LockDirs;
use crate::v1::ground::segment::remove_stale;
use crate::v1::protocol::layout::{OIEB_BYTES, Oieb, OiebCopy, Sizes};
use crate::values::config::{StreamingStores, WaitStrategy};
use crate::values::error::{OpenError, WriteError};
use crate::wait::Patience;

const READER_PID: u64 = Sizes::OIEB.field(field!(Oieb.reader_pid));
const WRITER_PID: u64 = Sizes::OIEB.field(field!(Oieb.writer_pid));
const RING: u64 = 1024;

/// Child of the tests below; does nothing when run as a test.
#[test]
fn owner_child() {
    let Some((role, name)) = role() else { return };
    let how = if role == "Python" { TakeOver::PYTHON } else { TakeOver::CPP };
    let name = std::mem::ManuallyDrop::new(Unique(name));
    let owner = PeerOwner::create(&name, how, RING, || ());
    if role == "both ends" {
        owner.announce_writer();
    }
    loop {
        std::thread::park();
    }
}

fn header(name: &Unique) -> Option<OiebCopy> {
    let bytes = fs::read(name.segment()).ok()?;
    Some(OiebCopy::from_bytes(bytes.get(..OIEB_BYTES as usize)?.try_into().unwrap()))
}

/// Starts one of theirs, and waits until its buffer is whole.
fn start(name: &Unique, role: &str) -> Process {
    let child = Process::of_test("v1::tests::restarts::owner_child", &format!("{role}:{}", name.0));
    until(|| {
        let is_its = |header: OiebCopy| {
            header.reader_pid == child.pid()
                && (role != "both ends" || header.writer_pid == child.pid())
        };
        header(name).is_some_and(is_its) && name.semaphores().iter().all(|path| path.exists())
    });
    child
}

fn connect(name: &Unique) -> Result<V1Writer, OpenError> {
    V1Writer::connect(&name.0, WaitStrategy::Park, StreamingStores::Auto)
}

fn fill(writer: &mut V1Writer, patience: Patience) -> WriteError {
    loop {
        if let Err(error) = writer.write(&[7; 100], patience) {
            return error;
        }
    }
}

#[test]
fn l24_a_reader_that_is_killed_and_started_again_at_once_is_another_reader() {
    for role in ["Python", "C++"] {
        let name = Unique::new("restarted");
        let mut first = start(&name, role);
        let mut writer = connect(&name).unwrap();
        writer.write(&[7; 100], WATCHDOG).unwrap();
        assert!(writer.is_reader_alive(), "{role}");
        first.kill();
        let mut second = start(&name, role);
        // The ring has room for a few; who then waits for room is told, and not that it is full.
        let gone = fill(&mut writer, Patience::For(Some(Duration::from_secs(15))));
        assert!(matches!(gone, WriteError::ReaderGone { .. }), "{role}: {gone}");
        assert!(!writer.is_reader_alive() && !writer.reader().unwrap().alive, "{role}");
        assert!(!writer.wait_drained(None), "{role}: nobody drains it any more");
        drop(writer);
        let mut writer = connect(&name).unwrap();
        writer.write(&[7; 100], WATCHDOG).unwrap();
        assert!(writer.is_reader_alive() && inspect::is_live(&name.0), "{role}");
        second.kill();
        let gone = fill(&mut writer, WATCHDOG);
        assert!(matches!(gone, WriteError::ReaderGone { .. }), "{role}: {gone}");
    }
}

#[test]
fn a_reader_of_ours_that_takes_over_is_another_reader_too() {
    let name = Unique::new("ours-again");
    let mut first = start(&name, "C++");
    let mut writer = connect(&name).unwrap();
    writer.write(&[7; 100], WATCHDOG).unwrap();
    first.kill();
    let mut reader = V1Reader::create(&name.0, 0, 1024, WaitStrategy::Park).unwrap();
    let gone = fill(&mut writer, WATCHDOG);
    assert!(matches!(gone, WriteError::ReaderGone { .. }), "{gone}");
    drop(writer);
    connect(&name).unwrap().write(&[7; 100], WATCHDOG).unwrap();
    let frame = reader.next(WATCHDOG).unwrap().unwrap();
    reader.release(frame.ticket);
}

/// L11, L13: in another pid namespace the lock file alone says that the reader lives, also once the name is gone.
#[test]
fn a_held_lock_file_is_proof_while_no_other_buffer_has_the_name() {
    let name = Unique::new("unseen");
    let owner = PeerOwner::create(&name, TakeOver::CPP, RING, || ());
    // A pid that nobody has here.
    let file = fs::OpenOptions::new().write(true).open(name.segment()).unwrap();
    file.write_all_at(&(1_u64 << 31).to_le_bytes(), READER_PID).unwrap();
    let mut writer = connect(&name).unwrap();
    let full = fill(&mut writer, Patience::For(Some(Duration::from_millis(300))));
    assert!(matches!(full, WriteError::Full { .. }), "{full}");
    let aside = Unique::new("unseen-aside");
    fs::rename(name.segment(), aside.segment()).unwrap();
    let full = fill(&mut writer, Patience::For(Some(Duration::from_millis(300))));
    assert!(matches!(full, WriteError::Full { .. }), "{full}");
    fs::write(name.segment(), [0; 2048]).unwrap();
    let gone = fill(&mut writer, WATCHDOG);
    assert!(matches!(gone, WriteError::ReaderGone { .. }), "{gone}");
    drop(owner);
}

/// A process of another program.
fn stranger() -> Process {
    let sleep = Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().unwrap();
    let process = Process(sleep);
    // Until it has become another program it still has our mappings.
    until(|| {
        fs::read_link(format!("/proc/{}/exe", process.pid()))
            .is_ok_and(|exe| exe != std::env::current_exe().unwrap())
    });
    process
}

fn set_pid(name: &Unique, at: u64, pid: u64) {
    let Ok(file) = fs::OpenOptions::new().write(true).open(name.segment()) else { return };
    file.write_all_at(&pid.to_le_bytes(), at).unwrap();
}

#[test]
fn l13_a_pid_that_another_process_has_by_now_is_no_reader() {
    let name = Unique::new("reused");
    let stranger = stranger();
    let dead = || {
        start(&name, "C++").kill();
        set_pid(&name, READER_PID, stranger.pid());
    };
    // Other tests' readers look for leavings too, and may be faster each time.
    dead();
    let error = connect(&name).unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert!(!inspect::is_live(&name.0));
    assert!(inspect::snapshot(&name.0).is_ok_and(|found| found.reader_alive).not());
    let removed = inspect::remove(&name.0, false);
    assert!(!matches!(removed, Err(OpenError::InUse { .. })), "{removed:?}");
    dead();
    // The next reader has the name.
    drop(V1Reader::create(&name.0, 0, 1024, WaitStrategy::Park).unwrap());
    dead();
    remove_stale(&LockDirs::deployed());
    assert!(name.traces().is_empty(), "{:?}", name.traces());
    // Without any lock file it may be a reader in another pid namespace, whose lock files are elsewhere too.
    let connects = (0..20).any(|_| {
        dead();
        name.lock_files().iter().for_each(|path| drop(fs::remove_file(path)));
        connect(&name).is_ok()
    });
    assert!(connects);
}

#[test]
fn l13_a_pid_that_another_process_has_by_now_is_no_writer() {
    let name = Unique::new("reused-writer");
    let stranger = stranger();
    let reader = V1Reader::create(&name.0, 0, 1024, WaitStrategy::Park).unwrap();
    reader.segment().oieb().writer_pid.store(stranger.pid(), SeqCst);
    assert!(!inspect::snapshot(&name.0).unwrap().writer_alive);
    drop(connect(&name).unwrap());
    drop(reader);
    // One of theirs that is there is not replaced.
    let both = start(&name, "both ends");
    let error = connect(&name).unwrap_err();
    assert!(matches!(error, OpenError::WriterConnected { .. }), "{error}");
    let found = inspect::snapshot(&name.0).unwrap();
    assert!(found.writer_alive && found.reader_alive);
    let error = inspect::remove(&name.0, false).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    set_pid(&name, WRITER_PID, stranger.pid());
    drop(connect(&name).unwrap());
    drop(both);
}

/// L4: what a Python reader left is still there when the next one has its segment, for a moment.
#[test]
fn l04_semaphores_that_are_about_to_be_replaced_are_not_attached_to() {
    let name = Unique::new("left-over");
    let noticed = (0..50).any(|_| {
        // In this process: of its own pid only a lock tells, so the name's lock file does.
        let mut connecting = None;
        let owner = PeerOwner::create(&name, TakeOver::PYTHON, RING, || {
            let name = name.0.clone();
            let connect =
                move || V1Writer::connect(&name, WaitStrategy::Park, StreamingStores::Auto);
            connecting = Some(std::thread::spawn(connect));
            std::thread::sleep(Duration::from_millis(15));
        });
        let connected = connecting.unwrap().join().unwrap();
        drop(owner);
        matches!(connected, Err(OpenError::NotReady { .. }))
    });
    assert!(noticed);
}
