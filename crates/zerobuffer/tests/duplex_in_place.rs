//! Answers that are their requests, changed where they lie; and the same handler where that cannot be.
#![allow(missing_docs)]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::Placement::Processes;
use common::{Call, PATIENCE, Stage, until};
use zerobuffer::duplex::{
    CallError, Client, Failure, Gone, InPlace, Server, ServerOptions, Stopper, response_buffer,
};
use zerobuffer::{BufferConfig, WaitStrategy, inspect};

const NAME: &str = "changed";
/// First bytes of requests that ask for something else than their inverse.
const FAIL: u8 = 1;
const PANIC: u8 = 2;
const HANG: u8 = 3;
/// The answer is so many bytes as the second one says.
const SHORT: u8 = 4;
const PLAIN: u8 = 5;

fn options(call: &Call) -> ServerOptions {
    let buffer = BufferConfig::new().payload_bytes(1 << 20);
    Server::options()
        .dir(call.dir())
        .wait_strategy(call.wait)
        .request_buffer(buffer.clone())
        .response_buffer(buffer)
}

fn client(call: &Call, in_place: bool) -> Client {
    let options = Client::options().dir(call.dir()).wait_strategy(call.wait);
    options.in_place(in_place).wait_for_server(PATIENCE).connect(NAME).unwrap()
}

/// Stops a server that runs in this test, also when the test fails.
struct Stops(Stopper);

impl Drop for Stops {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn change(call: &Call, place: &mut InPlace<'_>) -> Result<(), Failure> {
    match place[0] {
        FAIL => {
            place.fill(0);
            return Err(Failure::new(9, "not this one"));
        }
        PANIC => panic!("as it was asked to"),
        HANG => {
            // As it was, for whoever takes it for a new one.
            place.fill(HANG);
            call.signal("changes");
            call.linger();
        }
        SHORT => {
            let len = usize::from(place[1]);
            place.truncate(len);
        }
        _ => {}
    }
    place.iter_mut().for_each(|byte| *byte = !*byte);
    Ok(())
}

fn role(call: &Call) {
    match call.role.as_str() {
        "server" => {
            let server = options(call).in_place(true).redo_interrupted(true).create(NAME).unwrap();
            server.serve_in_place(|place| change(call, place)).unwrap();
        }
        // Dies with an answer in hand, and calls under way.
        "client" => {
            let client = client(call, true);
            let _kept = client.call(&request(PLAIN, 1000), PATIENCE).unwrap();
            let _calls: Vec<_> =
                (0..5).map(|_| client.send(&request(PLAIN, 5000), PATIENCE).unwrap()).collect();
            call.signal("asked");
            call.linger();
        }
        other => panic!("no role {other}"),
    }
}

#[test]
fn child_role() {
    common::child(role);
}

fn request(what: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| if i == 0 { what } else { i as u8 }).collect()
}

fn inverse(of: &[u8]) -> Vec<u8> {
    of.iter().map(|byte| !byte).collect()
}

/// Payload bytes that were written to the buffer of answers.
fn answered_bytes(call: &Call) -> u64 {
    inspect::snapshot(&response_buffer(NAME), &call.dir()).unwrap().bytes_committed
}

#[test]
fn the_same_handler_serves_whoever_agreed_and_whoever_did_not() {
    for (server_can, client_allows) in [(true, true), (true, false), (false, true), (false, false)]
    {
        let stage = Stage::new(Processes, WaitStrategy::SpinThenPark, role);
        let server = options(&stage).in_place(server_can).create(NAME).unwrap();
        let shared = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let _stops = Stops(server.stopper());
            scope.spawn(|| {
                let count = |place: &mut InPlace<'_>| {
                    shared.fetch_add(usize::from(place.is_shared()), Ordering::Relaxed);
                    change(&stage, place)
                };
                server.serve_in_place(count).unwrap();
            });
            let client = client(&stage, client_allows);
            let mut asked = 0;
            // More than one lap of the ring.
            for round in 0..20 {
                for len in [1, 7, 100, 4096, 200_000] {
                    let request = request(PLAIN, len + round);
                    let answer = client.call(&request, PATIENCE).unwrap();
                    assert_eq!(answer[..], inverse(&request));
                    asked += 1;
                }
            }
            let mut short = request(SHORT, 5000);
            short[1] = 33;
            assert_eq!(client.call(&short, PATIENCE).unwrap()[..], inverse(&short[..33]));
            let in_place = server_can && client_allows;
            assert_eq!(shared.load(Ordering::Relaxed), if in_place { asked + 1 } else { 0 });
            let bytes = answered_bytes(&stage);
            assert_eq!(bytes < 200_000, in_place, "{bytes} bytes of answers were written");
        });
    }
}

#[test]
fn a_channel_of_protocol_1_copies() {
    let name = format!("zerobuffer-test-in-place-{}", std::process::id());
    let server = Server::options().v1().in_place(true).create(&name).unwrap();
    std::thread::scope(|scope| {
        let _stops = Stops(server.stopper());
        scope.spawn(|| {
            server.serve_in_place(|place| {
                assert!(!place.is_shared());
                place.reverse();
                Ok(())
            })
        });
        let client = Client::options().in_place(true).connect(&name).unwrap();
        assert_eq!(client.call(b"abc", PATIENCE).unwrap()[..], *b"cba");
    });
}

#[test]
fn answers_are_kept_and_dropped_in_any_order_and_their_place_is_not_used_meanwhile() {
    let stage = Stage::new(Processes, WaitStrategy::Park, role);
    let server = stage.start("server", &[]);
    let client = client(&stage, true);
    let mut kept = Vec::new();
    for i in 0..300_usize {
        let request = request(PLAIN, 10_000 + i * 37 % 5000);
        let answer = client.call(&request, PATIENCE).unwrap();
        kept.push((request, answer));
        if kept.len() > 20 {
            drop(kept.swap_remove(i * 7 % 20));
        }
        for (request, answer) in &kept {
            assert_eq!(answer[..], inverse(request), "call {i}");
        }
    }
    // All of the request buffer is kept: no call goes out until something is dropped.
    let refused = loop {
        match client.call(&request(PLAIN, 50_000), Duration::from_millis(50)) {
            Ok(answer) => kept.push((request(PLAIN, 50_000), answer)),
            Err(error) => break error,
        }
    };
    assert!(refused.was_not_executed(), "{refused}");
    kept.clear();
    let again = request(PLAIN, 50_000);
    assert_eq!(client.call(&again, PATIENCE).unwrap()[..], inverse(&again));
    server.kill();
}

#[test]
fn many_calls_under_way_from_many_threads() {
    let stage = Stage::new(Processes, WaitStrategy::SpinThenPark, role);
    let server = stage.start("server", &[]);
    let client = client(&stage, true);
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let client = &client;
            scope.spawn(move || {
                for i in 0..200_usize {
                    let mut request = request(PLAIN, 20 + i * 13 % 3000);
                    request[1] = thread;
                    let answer = client.call(&request, PATIENCE).unwrap();
                    assert_eq!(answer[..], inverse(&request));
                }
            });
        }
    });
    server.kill();
}

#[test]
fn errors_and_panics_reach_the_caller_and_the_next_call_works() {
    let stage = Stage::new(Processes, WaitStrategy::Park, role);
    let server = stage.start("server", &[]);
    let client = client(&stage, true);
    let failed = client.call(&request(FAIL, 1000), PATIENCE).unwrap_err();
    assert!(matches!(failed, CallError::Failed { code: 9, .. }), "{failed:?}");
    let panicked = client.call(&request(PANIC, 1000), PATIENCE).unwrap_err();
    assert!(matches!(panicked, CallError::Panicked { .. }), "{panicked:?}");
    let plain = request(PLAIN, 1000);
    assert_eq!(client.call(&plain, PATIENCE).unwrap()[..], inverse(&plain));
    server.kill();
}

/// What a server was changing when it died is refused, even by one that does interrupted requests again; what it had not
/// come to is answered.
#[test]
fn a_half_changed_request_is_no_answer_and_is_not_tried_again() {
    let stage = Stage::new(Processes, WaitStrategy::Park, role);
    let mut server = stage.start("server", &[]);
    let pid = server.pid();
    let client = client(&stage, true);
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| client.call(&request(HANG, 1000), Duration::MAX));
        stage.await_signal("changes");
        let waiting = scope.spawn(|| client.call(&request(PLAIN, 1000), Duration::MAX));
        until("both wait", || client.in_flight() == 2);
        server.kill();
        for call in [hanging, waiting] {
            let error = call.join().unwrap().unwrap_err();
            let CallError::ServerGone { how: Gone::Died { pid: died }, .. } = error else {
                panic!("{error:?}");
            };
            assert_eq!(died, pid);
        }
    });
    let successor = stage.start("server", &[]);
    assert!(client.wait_for_server(PATIENCE).unwrap());
    let plain = request(PLAIN, 100_000);
    // If the half changed one were taken for a new one, its successor would hang as well.
    assert_eq!(client.call(&plain, PATIENCE).unwrap()[..], inverse(&plain));
    successor.kill();
}

#[test]
fn a_client_that_dies_with_answers_in_hand_leaves_room_for_the_next() {
    let stage = Stage::new(Processes, WaitStrategy::Park, role);
    let server = stage.start("server", &[]);
    for _ in 0..5 {
        let dying = stage.start("client", &[]);
        stage.await_signal("asked");
        dying.kill();
        std::fs::remove_file(stage.dir().parent().unwrap().join("asked")).unwrap();
    }
    let client = client(&stage, true);
    for i in 0..50 {
        let plain = request(PLAIN, 200_000 + i);
        assert_eq!(client.call(&plain, PATIENCE).unwrap()[..], inverse(&plain));
    }
    server.kill();
}
