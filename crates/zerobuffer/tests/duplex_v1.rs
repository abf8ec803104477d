//! Duplex channels of protocol 1.0: ours on both sides, and with the deployed Python package on either.
//!
//! `tests/python/setup.sh` installs the package.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::{PATIENCE, Watchdog, until};
use zerobuffer::Protocol;
use zerobuffer::duplex::{CallError, Client, Failure, Gone, Request, Server, Stopper};

/// A channel of its own, nothing of which may be left behind.
struct Channel(String, #[allow(dead_code)] Watchdog);

impl Channel {
    fn new(test: &str) -> Self {
        Self(format!("zb-duplex-{test}-{}", std::process::id()), Watchdog::new(test))
    }

    /// Removes what the deployed package, or one that was killed, leaves (L4).
    fn clean(&self) {
        for (directory, marker) in
            [("/dev/shm", ""), ("/tmp/zerobuffer", ".lock"), ("/tmp/zerobuffer/locks", ".lock")]
        {
            for half in ["request", "response"] {
                let name = format!("{}_{half}", self.0);
                for file in [
                    format!("{name}{marker}"),
                    format!("sem.sem-w-{name}"),
                    format!("sem.sem-r-{name}"),
                ] {
                    let _ = std::fs::remove_file(Path::new(directory).join(file));
                }
            }
        }
    }

    fn is_clean(&self) -> bool {
        let entries = std::fs::read_dir("/dev/shm").unwrap();
        !entries.flatten().any(|entry| entry.file_name().to_str().unwrap().contains(&self.0))
    }

    fn server(&self) -> Server {
        Server::options().v1().create(&self.0).unwrap()
    }

    fn client(&self) -> Client {
        let client = Client::options().wait_for_server(PATIENCE).connect(&self.0).unwrap();
        assert_eq!(client.protocol(), Protocol::V1);
        client
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.clean();
    }
}

/// Stops a server, also when the test fails.
struct Stops(Stopper);

impl Drop for Stops {
    fn drop(&mut self) {
        self.0.stop();
    }
}

struct Python {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Python {
    fn start(arguments: &[&str]) -> Self {
        let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let python = package.join("../../target/python-peer/bin/python");
        assert!(
            python.exists(),
            "the Python peer is not installed: run {}",
            package.join("tests/python/setup.sh").display()
        );
        let mut child = Command::new(python)
            .arg(package.join("tests/python/duplex.py"))
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
        Self { child, stdin, lines }
    }

    fn expect(&self, line: &str) {
        assert_eq!(
            self.lines.recv_timeout(PATIENCE).expect("the Python peer says something"),
            line
        );
    }

    fn go(&mut self) {
        writeln!(self.stdin, "go").unwrap();
    }

    fn finish(mut self) {
        assert!(self.child.wait().unwrap().success());
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn reversed(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().rev().copied().collect()
}

fn request(thread: u8, i: u16) -> Vec<u8> {
    let mut bytes = vec![thread; 3 + usize::from(i) % 400];
    bytes[1..3].copy_from_slice(&i.to_le_bytes());
    bytes
}

#[test]
fn our_client_calls_a_deployed_server() {
    let channel = Channel::new("client");
    let mut python = Python::start(&["serve", &channel.0]);
    let client = channel.client();
    for i in 0..300 {
        let request = request(0, i);
        let answer = client.call(&request, PATIENCE).unwrap();
        assert_eq!(answer[..], reversed(&request));
        assert_eq!(answer.request(), u64::from(i) + 1);
    }
    // Many under way.
    let calls: Vec<_> =
        (0..50).map(|i| (i, client.send(&request(1, i), PATIENCE).unwrap())).collect();
    for (i, call) in calls {
        assert_eq!(call.wait(PATIENCE).unwrap()[..], reversed(&request(1, i)));
    }
    // Many threads.
    std::thread::scope(|scope| {
        for thread in 2..6 {
            let client = &client;
            scope.spawn(move || {
                for i in 0..50 {
                    let request = request(thread, i);
                    assert_eq!(client.call(&request, PATIENCE).unwrap()[..], reversed(&request));
                }
            });
        }
    });
    python.expect("started");
    python.go();
    python.expect("stopped");
    python.finish();
}

#[test]
fn a_deployed_server_that_says_nothing_puts_nobody_elses_answer_in_a_callers_hand() {
    let channel = Channel::new("silent");
    let _python = Python::start(&["serve", &channel.0]);
    let client = channel.client();
    assert_eq!(client.call(b"abc", PATIENCE).unwrap()[..], *b"cba");
    let silence = client.call(b"fail", Duration::from_millis(200)).unwrap_err();
    assert!(matches!(silence, CallError::Timeout { .. }), "{silence:?}");
    // Nothing tells whether its answer is late or will never come.
    let next = client.call(b"next", PATIENCE).unwrap_err();
    assert!(matches!(next, CallError::OutOfStep { .. }), "{next:?}");
}

#[test]
fn a_late_answer_puts_the_channel_in_step_again() {
    let channel = Channel::new("late");
    let server = channel.server();
    std::thread::scope(|scope| {
        let client = scope.spawn(|| channel.client());
        until("it connects", || {
            server.receive(Duration::ZERO).unwrap().is_none() && client.is_finished()
        });
        let client = client.join().unwrap();
        let first = client.send(b"first", PATIENCE).unwrap();
        let second = client.send(b"second", PATIENCE).unwrap();
        let received = [(); 2].map(|()| server.receive(PATIENCE).unwrap().unwrap());
        assert!(first.wait(Duration::from_millis(5)).unwrap_err().is_timeout());
        // Sent after it, so nobody knows whether the next answer is its.
        let behind = second.wait(PATIENCE).unwrap_err();
        assert!(matches!(behind, CallError::OutOfStep { .. }), "{behind:?}");
        let [first, second] = received;
        first.answer(b"late").unwrap();
        let early = client.send(b"third", PATIENCE).unwrap_err();
        assert!(matches!(early, CallError::OutOfStep { .. }), "{early:?}");
        second.answer(b"later").unwrap();
        drop((first, second));
        let fourth = client.send(b"fourth", PATIENCE).unwrap();
        server.receive(PATIENCE).unwrap().unwrap().answer(b"in time").unwrap();
        assert_eq!(fourth.wait(PATIENCE).unwrap()[..], *b"in time");
    });
}

#[test]
fn a_deployed_server_that_is_killed_fails_every_waiting_call() {
    let channel = Channel::new("killed");
    let python = Python::start(&["serve", &channel.0]);
    let client = channel.client();
    assert_eq!(client.call(b"abc", PATIENCE).unwrap()[..], *b"cba");
    std::thread::scope(|scope| {
        let calls: Vec<_> = [b"wait", b"more"]
            .into_iter()
            .map(|request| {
                let call = client.send(request, PATIENCE).unwrap();
                scope.spawn(move || call.wait(Duration::MAX))
            })
            .collect();
        python.expect("started");
        python.expect("waits");
        python.kill();
        for call in calls {
            let error = call.join().unwrap().unwrap_err();
            assert!(
                matches!(error, CallError::ServerGone { how: Gone::Died { .. }, .. }),
                "{error:?}"
            );
        }
    });
    let none = client.call(b"abc", PATIENCE).unwrap_err();
    assert!(matches!(none, CallError::NoServer { .. }), "{none:?}");
    // Started again, be it another program: the same client goes on.
    let server = channel.server();
    std::thread::scope(|scope| {
        let stops = Stops(server.stopper());
        scope.spawn(|| server.serve(|request| Ok(reversed(request))).unwrap());
        assert!(client.wait_for_server(PATIENCE).unwrap());
        assert_eq!(client.call(b"back", PATIENCE).unwrap()[..], *b"kcab");
        drop(stops);
    });
}

/// A handler that takes longer for some than for others.
fn dawdling(request: &Request) -> Result<Vec<u8>, Failure> {
    if request[0].is_multiple_of(3) {
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(reversed(request))
}

#[test]
fn deployed_clients_call_our_server_one_after_another() {
    let channel = Channel::new("server");
    let server = channel.server();
    std::thread::scope(|scope| {
        let stops = Stops(server.stopper());
        scope.spawn(|| server.serve(dawdling).unwrap());
        for in_flight in ["1", "10"] {
            let mut python = Python::start(&["call", &channel.0, "300", in_flight]);
            python.expect("called 300");
            python.go();
            python.finish();
        }
        drop(stops);
    });
    assert_eq!(server.stats().answers, 600);
}

#[test]
fn deployed_clients_get_the_answers_of_a_pool_in_order() {
    let channel = Channel::new("pool");
    let server = channel.server();
    std::thread::scope(|scope| {
        let stops = Stops(server.stopper());
        scope.spawn(|| server.serve_pool(4, dawdling).unwrap());
        let mut python = Python::start(&["call", &channel.0, "300", "20"]);
        python.expect("called 300");
        python.go();
        python.finish();
        drop(stops);
    });
}

#[test]
fn a_deployed_client_that_is_killed_makes_room_for_the_next() {
    let channel = Channel::new("client-killed");
    let server = channel.server();
    let python = Python::start(&["send", &channel.0]);
    let request = server.receive(PATIENCE).unwrap().unwrap();
    assert_eq!(request[..], *b"wait");
    python.expect("sent");
    python.kill();
    let _ = request.answer(b"nobody's");
    drop(request);
    std::thread::scope(|scope| {
        let stops = Stops(server.stopper());
        scope.spawn(|| server.serve(dawdling).unwrap());
        let mut python = Python::start(&["call", &channel.0, "50", "5"]);
        python.expect("called 50");
        python.go();
        python.finish();
        drop(stops);
    });
}

#[test]
fn what_a_client_left_unanswered_is_not_answered_to_the_next() {
    let channel = Channel::new("leftover");
    let server = channel.server();
    std::thread::scope(|scope| {
        let connect = || {
            let client = scope.spawn(|| channel.client());
            until("it connects", || {
                assert!(server.receive(Duration::ZERO).unwrap().is_none());
                client.is_finished()
            });
            client.join().unwrap()
        };
        let client = connect();
        for request in [b"one", b"two"] {
            drop(client.send(request, PATIENCE).unwrap());
        }
        let one = server.receive(PATIENCE).unwrap().unwrap();
        drop(client);
        // The next one comes before the server has read everything, or noticed.
        let next = scope.spawn(|| channel.client());
        until("it has connected", || {
            server.receive(Duration::ZERO).unwrap().is_none() && next.is_finished()
        });
        let next = next.join().unwrap();
        let call = next.send(b"three", PATIENCE).unwrap();
        let _ = one.answer(b"one's");
        drop(one);
        let three = server.receive(PATIENCE).unwrap().unwrap();
        assert_eq!(three[..], *b"three");
        three.answer(b"three's").unwrap();
        drop(three);
        assert_eq!(call.wait(PATIENCE).unwrap()[..], *b"three's");
    });
}

#[test]
fn ours_on_both_sides_and_nothing_left_behind() {
    let channel = Channel::new("ours");
    let server = channel.server();
    std::thread::scope(|scope| {
        let stops = Stops(server.stopper());
        scope.spawn(|| server.serve_pool(3, dawdling).unwrap());
        for _ in 0..3 {
            let client = channel.client();
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let client = &client;
                    scope.spawn(move || {
                        for i in 0..40 {
                            let request = request(thread, i);
                            let answer = client.call(&request, PATIENCE).unwrap();
                            assert_eq!(answer[..], reversed(&request));
                        }
                    });
                }
            });
            let calls: Vec<_> =
                (0..20).map(|i| (i, client.send(&request(i, 1), PATIENCE).unwrap())).collect();
            for (i, call) in calls.into_iter().rev() {
                assert_eq!(call.wait(PATIENCE).unwrap()[..], reversed(&request(i, 1)));
            }
        }
        drop(stops);
    });
    drop(server);
    assert!(channel.is_clean());
}
