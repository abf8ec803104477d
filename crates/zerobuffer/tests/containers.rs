//! Two containers that share nothing but a directory: each side in PID, IPC and mount namespaces of its own, pid 1 in
//! its own, as a user of its own, with one group in common. Both kinds of death, and both kinds of succession.
#![allow(missing_docs)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use common::{Call, NOTICE, Peer, Placement, Stage, frame, is_frame};
use zerobuffer::{BufferConfig, ReadError, WaitStrategy, WriteError};

const NAME: &str = "cam0";
const GROUP: u32 = 4000;
/// So few fit that a writer without a reader soon stands in front of a full ring.
const BYTES: usize = 1000;

#[test]
fn child_role() {
    common::child(role);
}

fn role(call: &Call) {
    assert_eq!(std::process::id(), 1, "in a PID namespace of its own");
    let [uid, ref numbers @ ..] = call.numbers[..] else { panic!("no user") };
    assert_eq!(u64::from(rustix::process::geteuid().as_raw()), uid);
    match (call.role.as_str(), numbers) {
        ("write", &[first, last, killed]) => write(call, first..=last, killed == 1),
        ("read", &[first, last, held, redelivered]) => read(call, first..=last, held, redelivered),
        other => panic!("no role {other:?}"),
    }
}

/// Writes the frames; then leaves, or waits to be killed.
fn write(call: &Call, numbers: std::ops::RangeInclusive<u64>, killed: bool) {
    let mut writer = call.writer().wait_for_buffer(NOTICE).connect(NAME).unwrap();
    let mut gone = 0;
    for number in numbers {
        assert_eq!(writer.next_sequence(), number);
        while let Err(error) = writer.write_timeout(&frame(number, BYTES), NOTICE) {
            assert!(matches!(error, WriteError::ReaderGone { .. }), "{error}");
            gone += 1;
            call.signal("reader gone");
        }
    }
    if killed {
        call.signal("written");
        call.linger();
    }
    assert_eq!(gone, 1, "told once");
    assert!(writer.wait_drained(Some(NOTICE)));
}

/// Reads the frames up to the one that is `held` when death comes; `redelivered` come again.
fn read(call: &Call, numbers: std::ops::RangeInclusive<u64>, held: u64, redelivered: u64) {
    let config = BufferConfig::new().payload_bytes(1 << 14).mode(0o660).group(GROUP);
    let mut reader = call.reader().create(NAME, &config).unwrap();
    call.signal("reader attached");
    let mut gone = 0;
    let mut expected = *numbers.start();
    loop {
        match reader.read_timeout(NOTICE) {
            Ok(Some(frame)) => {
                assert_eq!(frame.sequence(), expected);
                assert_eq!(frame.is_redelivered(), expected <= redelivered);
                assert!(frame.len() == BYTES && is_frame(expected, &frame));
                if expected == held {
                    assert_eq!(gone, 1, "told once");
                    call.signal("held");
                    call.linger();
                }
                expected += 1;
            }
            Ok(None) => break,
            Err(ReadError::WriterGone { .. }) => {
                gone += 1;
                call.signal("writer gone");
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((expected, gone), (*numbers.end() + 1, 0));
}

/// A directory that both users reach, and a copy of this program that they can execute.
fn shared(stage: &Stage) -> tempfile::TempDir {
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(stage.dir().parent().unwrap(), 0o777);
    std::os::unix::fs::chown(stage.dir(), None, Some(GROUP)).unwrap();
    open(&stage.dir(), 0o2770);
    let place = tempfile::tempdir().unwrap();
    open(place.path(), 0o755);
    std::fs::copy(std::env::current_exe().unwrap(), place.path().join("program")).unwrap();
    open(&place.path().join("program"), 0o755);
    place
}

fn start(stage: &Stage, place: &tempfile::TempDir, uid: u64, role: &str, numbers: &[u64]) -> Peer {
    let uid_text = uid.to_string();
    let group = GROUP.to_string();
    let program = format!("shift; exec {} \"$@\"", place.path().join("program").display());
    let namespaces = ["--pid", "--ipc", "--mount", "--fork", "--kill-child", "--mount-proc"];
    let user = ["--reuid", &uid_text, "--regid", &group, "--clear-groups", "--pdeathsig", "KILL"];
    let wrapper = [
        &["unshare"],
        &namespaces[..],
        &["setpriv"],
        &user[..],
        // The wrapped program is this one, which may lie where only its owner can reach it.
        &["sh", "-c", &program, "sh"],
    ]
    .concat();
    stage.start_through(&wrapper, role, &[&[uid], numbers].concat())
}

#[test]
fn deaths_and_successions_across_containers() {
    let stage = Stage::new(Placement::Processes, WaitStrategy::SpinThenPark, role);
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT TESTED: namespaces with two users need root");
        return;
    }
    let place = shared(&stage);
    let (readers, writers) = (2001, 2002);
    let reader = start(&stage, &place, readers, "read", &[1, 0, 60, 0]);
    stage.await_signal("reader attached");
    let writer = start(&stage, &place, writers, "write", &[1, 40, 1]);
    stage.await_signal("written");
    // A writer that is silent is not dead, however long.
    std::thread::sleep(Duration::from_millis(300));
    writer.kill();
    stage.await_signal("writer gone");
    let writer = start(&stage, &place, writers, "write", &[41, 140, 0]);
    stage.await_signal("held");
    reader.kill();
    stage.await_signal("reader gone");
    let reader = start(&stage, &place, readers, "read", &[60, 140, 0, 60]);
    writer.finish();
    reader.finish();
}
