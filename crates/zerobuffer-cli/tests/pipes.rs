//! stdout and stdin as other programs set them up: sockets, non-blocking, of another user.

mod common;

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use common::{Place, Running, noise, until};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;

const FRAMES: usize = 12;
const BYTES: usize = 1 << 20;

fn set_non_blocking(fd: impl AsFd) {
    let flags = fcntl_getfl(&fd).expect("its flags");
    fcntl_setfl(&fd, flags | OFlags::NONBLOCK).expect("ours to set");
}

fn is_non_blocking(fd: impl AsFd) -> bool {
    fcntl_getfl(&fd).expect("its flags").contains(OFlags::NONBLOCK)
}

/// A buffer with frames in it, and what they contain.
fn fill(place: &Place) -> Vec<u8> {
    let bytes = noise(FRAMES * BYTES, 1);
    let words = ["write", "cam", "--stdin", "--frame-size", "1M", "--keep"];
    place
        .start(&[&words[..], &["--mode", "666", "--buffer-size", "32M"]].concat())
        .feed(&bytes)
        .end()
        .expect_code(0);
    bytes
}

fn read_into(place: &Place, stdout: OwnedFd) -> Running {
    let mut command = place.command(&["read", "cam", "--stdout", "--wait-ms", "60000"]);
    let command = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    Running::spawn_with(command)
}

/// Waits until a good deal is on its way, so that there is no room any more.
fn until_stuck(ours: impl AsFd) {
    until("it is stuck", || rustix::io::ioctl_fionread(&ours).expect("it tells") > 60_000);
}

#[test]
fn everything_arrives_through_sockets_and_non_blocking_pipes() {
    for non_blocking in [false, true] {
        for socket in [false, true] {
            let place = Place::new();
            let bytes = fill(&place);
            let (mut ours, theirs): (Box<dyn Source>, OwnedFd) = if socket {
                let (ours, theirs) = UnixStream::pair().expect("a pair");
                (Box::new(ours), theirs.into())
            } else {
                let (ours, theirs) = std::io::pipe().expect("a pipe");
                (Box::new(ours), theirs.into())
            };
            if non_blocking {
                set_non_blocking(&theirs);
            }
            // Another end of the same open file: whoever has it must not find it changed.
            let same = theirs.try_clone().expect("a descriptor");
            let mut reader = read_into(&place, theirs);
            until_stuck(ours.as_fd());
            assert_eq!(is_non_blocking(&same), non_blocking, "socket {socket}");
            drop(same);
            let mut got = Vec::new();
            ours.read_to_end(&mut got).expect("it can be read");
            assert!(got == bytes, "socket {socket}, non-blocking {non_blocking}: {}", got.len());
            reader.wait().expect_code(0);
        }
    }
}

trait Source: Read + AsFd {}
impl<T: Read + AsFd> Source for T {}

#[test]
fn one_signal_ends_a_reader_whose_socket_nobody_reads() {
    for non_blocking in [false, true] {
        let place = Place::new();
        fill(&place);
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        theirs.set_nonblocking(non_blocking).expect("ours to set");
        let mut reader = read_into(&place, theirs.into());
        until_stuck(&ours);
        reader.signal(Signal::TERM);
        reader.wait().expect_code(143);
    }
}

/// `sudo -u`: the pipe is another user's, and cannot be opened a second time. Needs root to play that.
#[test]
fn a_pipe_of_another_user_is_written_and_left() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for signal in [None, Some(Signal::TERM)] {
        let place = Place::new();
        let bytes = fill(&place);
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(place.path(), open).expect("it is ours");
        let (mut ours, theirs) = std::io::pipe().expect("a pipe");
        rustix::fs::fchmod(&theirs, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).expect("ours");
        let mut command = place.command(&["read", "cam", "--stdout"]);
        command.uid(65534).gid(65534);
        command.stdin(Stdio::null()).stdout(theirs).stderr(Stdio::piped());
        let mut reader = Running::spawn_with(&mut command);
        drop(command);
        until_stuck(&ours);
        match signal {
            Some(signal) => {
                reader.signal(signal);
                reader.wait().expect_code(143);
            }
            None => {
                let mut got = Vec::new();
                ours.read_to_end(&mut got).expect("it can be read");
                assert!(got == bytes, "{} bytes", got.len());
                reader.wait().expect_code(0);
            }
        }
    }
}

#[test]
fn stdin_may_be_a_non_blocking_socket() {
    let place = Place::new();
    let bytes = noise(FRAMES * BYTES, 2);
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    theirs.set_nonblocking(true).expect("ours to set");
    let words = ["write", "cam", "--stdin", "--frame-size", "1M", "--keep", "--buffer-size", "32M"];
    let mut command = place.command(&words);
    let command = command.stdin(OwnedFd::from(theirs)).stdout(Stdio::piped());
    let mut writer = Running::spawn_with(command.stderr(Stdio::piped()));
    ours.write_all(&bytes).expect("it is read");
    drop(ours);
    writer.wait().expect_code(0);
    assert!(place.run(&["read", "cam", "--stdout"]).expect_code(0).bytes == bytes);
}

#[test]
fn a_table_goes_through_a_non_blocking_pipe() {
    let place = Place::new();
    for number in 0..40 {
        let name = format!("camera-{number}-{}", "x".repeat(150));
        let words = ["write", &name, "--create", "--keep", "-n", "1", "--buffer-size", "4K"];
        place.run(&words).expect_code(0);
    }
    let (mut ours, theirs) = std::io::pipe().expect("a pipe");
    // As small as a pipe can be: the table does not fit.
    rustix::pipe::fcntl_setpipe_size(&theirs, 4096).expect("ours to set");
    set_non_blocking(&theirs);
    let mut command = place.command(&["ls", "--json"]);
    command.stdin(Stdio::null()).stdout(theirs).stderr(Stdio::piped());
    let mut ls = Running::spawn_with(&mut command);
    // It has the pipe's other end, too.
    drop(command);
    until("it is stuck", || rustix::io::ioctl_fionread(&ours).expect("it tells") > 3000);
    let mut text = String::new();
    ours.read_to_string(&mut text).expect("it can be read");
    ls.wait().expect_code(0);
    let list: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(list.as_array().map(Vec::len), Some(40));
}
