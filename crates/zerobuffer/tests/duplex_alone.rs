//! Calls of one thread that has its end to itself: the same promises as of shared ends, whatever dies or comes late.
#![allow(missing_docs)]

mod common;

use std::time::Duration;

use common::Placement::Processes;
use common::{Call, PATIENCE, Placement, Stage, everywhere, frame, some_len, until};
use zerobuffer::duplex::{CallError, Client, ClientOptions, Failure, Gone, Server, ServerOptions};
use zerobuffer::{BufferConfig, WaitStrategy, WriterPresence};

const NAME: &str = "alone";
/// What a handler is asked to do, as first byte of a request.
mod ask {
    pub(crate) const ECHO: u8 = 1;
    pub(crate) const FAIL: u8 = 2;
    pub(crate) const PANIC: u8 = 3;
    pub(crate) const DROP: u8 = 4;
    pub(crate) const STOP: u8 = 5;
    pub(crate) const HUGE: u8 = 6;
}

fn server(call: &Call) -> ServerOptions {
    let buffer = BufferConfig::new().payload_bytes(64 << 10);
    Server::options()
        .dir(call.dir())
        .wait_strategy(call.wait)
        .request_buffer(buffer.clone())
        .response_buffer(buffer)
}

fn client(call: &Call) -> ClientOptions {
    Client::options().dir(call.dir()).wait_strategy(call.wait).wait_for_server(PATIENCE)
}

fn connect(call: &Call) -> Client {
    client(call).connect(NAME).unwrap()
}

fn role(call: &Call) {
    match call.role.as_str() {
        "server" => serve(&mut server(call).create(NAME).unwrap()),
        "redoing" => serve(&mut server(call).redo_interrupted(true).create(NAME).unwrap()),
        "changing" => serve(&mut server(call).in_place(true).create(NAME).unwrap()),
        // Shared, as most are.
        "shared" => {
            let server = server(call).create(NAME).unwrap();
            let stopper = server.stopper();
            let handler = |request: &zerobuffer::duplex::Request| {
                if request[0] == ask::STOP {
                    stopper.stop();
                }
                Ok::<_, Failure>(request.to_vec())
            };
            server.serve(handler).unwrap();
        }
        // Answers by itself, or not.
        "by hand" => {
            let mut server = server(call).create(NAME).unwrap();
            loop {
                let Some(request) = server.receive_alone(PATIENCE).unwrap() else { continue };
                match request[0] {
                    ask::DROP => drop(request),
                    ask::FAIL => request.fail(&Failure::new(7, "by hand")),
                    ask::STOP => return request.answer(&[]).unwrap(),
                    _ if request.number().is_multiple_of(2) => {
                        let len = request.len();
                        request.answer_with(len, |from, to| to.copy_from_slice(from)).unwrap();
                    }
                    _ => request.answer_from(|bytes| bytes).unwrap(),
                }
            }
        }
        // Has a request in hand until it is killed.
        "hoarder" => {
            let mut server = server(call).create(NAME).unwrap();
            let request = server.receive_alone(PATIENCE).unwrap().unwrap();
            assert_eq!(request.number(), 1);
            call.signal("hoarded");
            call.linger();
        }
        // Answers the first request when it is told to, and goes on.
        "late" => {
            let mut server = server(call).create(NAME).unwrap();
            let request = server.receive_alone(PATIENCE).unwrap().unwrap();
            call.await_signal("answer");
            let first = request.to_vec();
            request.answer(&first).unwrap();
            serve(&mut server);
        }
        other => panic!("no role {other}"),
    }
}

#[test]
fn child_role() {
    common::child(role);
}

/// Serves until it is asked to stop.
fn serve(server: &mut Server) {
    let stopper = server.stopper();
    server
        .serve_alone(|request| match request.first().copied().unwrap_or(ask::ECHO) {
            ask::FAIL => Err(Failure::new(request[1].into(), "no")),
            ask::PANIC => panic!("as it was asked to"),
            ask::HUGE => Ok(vec![1; 10 << 20]),
            ask::STOP => {
                stopper.stop();
                Ok(vec![])
            }
            _ => Ok(request.to_vec()),
        })
        .unwrap();
}

fn stop(client: &mut Client) {
    drop(client.call_alone(&[ask::STOP], PATIENCE).unwrap());
}

fn ask_for(sequence: u64, most: usize) -> Vec<u8> {
    let mut request = frame(sequence, some_len(sequence, most).max(1));
    request[0] = ask::ECHO;
    request
}

everywhere!(
    every_call_gets_its_own_answer,
    ends_that_are_shared_understand_those_that_are_not,
    answers_are_made_by_hand,
);

fn every_call_gets_its_own_answer(placement: Placement, wait: WaitStrategy) {
    let stage = Stage::new(placement, wait, role);
    let server = stage.start("server", &[]);
    let mut client = connect(&stage);
    for i in 1..=500 {
        let request = ask_for(i, 3000);
        assert_eq!(client.call_alone(&request, PATIENCE).unwrap()[..], request);
        if i % 50 == 0 {
            // In between, as everybody does it; and one whose answer nobody wants.
            assert_eq!(client.call(&request, PATIENCE).unwrap()[..], request);
            drop(client.send(&request, PATIENCE).unwrap());
            std::mem::forget(client.send(&request, PATIENCE).unwrap());
        }
        if i % 77 == 0 {
            // Never released, but the next one lets it go.
            std::mem::forget(client.call_alone(&request, PATIENCE).unwrap());
        }
    }
    stop(&mut client);
    server.finish();
}

fn ends_that_are_shared_understand_those_that_are_not(placement: Placement, wait: WaitStrategy) {
    for (role_name, alone) in [("shared", true), ("server", false)] {
        let stage = Stage::new(placement, wait, role);
        let server = stage.start(role_name, &[]);
        let mut client = connect(&stage);
        for i in 1..=200 {
            let request = ask_for(i, 1000);
            match alone {
                true => assert_eq!(client.call_alone(&request, PATIENCE).unwrap()[..], request),
                false => assert_eq!(client.call(&request, PATIENCE).unwrap()[..], request),
            }
        }
        stop(&mut client);
        server.finish();
    }
}

fn answers_are_made_by_hand(placement: Placement, wait: WaitStrategy) {
    let stage = Stage::new(placement, wait, role);
    let server = stage.start("by hand", &[]);
    let mut client = connect(&stage);
    for i in 1..=100 {
        let request = ask_for(i, 1000);
        assert_eq!(client.call_alone(&request, PATIENCE).unwrap()[..], request);
        let dropped = client.call_alone(&[ask::DROP], PATIENCE).map(drop);
        assert!(matches!(dropped, Err(CallError::Unanswered { .. })), "{dropped:?}");
        let failed = client.call_alone(&[ask::FAIL], PATIENCE).map(drop);
        assert!(matches!(failed, Err(CallError::Failed { code: 7, .. })), "{failed:?}");
    }
    stop(&mut client);
    server.finish();
}

#[test]
fn what_goes_wrong_in_a_handler_reaches_its_caller_typed() {
    for role_name in ["server", "changing"] {
        let stage = Stage::new(Processes, WaitStrategy::Park, role);
        let server = stage.start(role_name, &[]);
        let mut client = client(&stage).in_place(true).connect(NAME).unwrap();
        for _ in 0..3 {
            let failed = client.call_alone(&[ask::FAIL, 42], PATIENCE).map(drop);
            assert!(matches!(failed, Err(CallError::Failed { code: 42, .. })), "{failed:?}");
            match client.call_alone(&[ask::PANIC], PATIENCE).map(drop) {
                Err(CallError::Panicked { message, .. }) => {
                    assert_eq!(message, "as it was asked to");
                }
                other => panic!("{other:?}"),
            }
            match client.call_alone(&[ask::HUGE], PATIENCE).map(drop) {
                Err(CallError::Failed { code: 0, message, .. }) => {
                    assert!(message.contains("larger than the largest possible"), "{message}");
                }
                other => panic!("{other:?}"),
            }
            let request = ask_for(5, 300);
            assert_eq!(client.call_alone(&request, PATIENCE).unwrap()[..], request);
        }
        client.call_alone(&[], PATIENCE).map(drop).unwrap();
        let large = client.call_alone(&vec![1; 1 << 20], PATIENCE).map(drop).unwrap_err();
        assert!(large.was_not_executed(), "{large:?}");
        stop(&mut client);
        server.finish();
    }
}

#[test]
fn a_server_that_is_killed_fails_the_waiting_call() {
    for wait in [WaitStrategy::Park, WaitStrategy::SpinThenPark, WaitStrategy::Spin] {
        let stage = Stage::new(Processes, wait, role);
        let mut server = stage.start("hoarder", &[]);
        let pid = server.pid();
        let mut client = connect(&stage);
        std::thread::scope(|scope| {
            let calling = scope.spawn(|| client.call_alone(&[ask::ECHO], Duration::MAX).map(drop));
            stage.await_signal("hoarded");
            server.kill();
            match calling.join().unwrap() {
                Err(CallError::ServerGone { how: Gone::Died { pid: died }, .. }) => {
                    assert_eq!(died, pid);
                }
                other => panic!("{other:?}"),
            }
        });
        let next = client.call_alone(&[ask::ECHO], Duration::MAX).map(drop).unwrap_err();
        assert!(
            matches!(next, CallError::NoServer { server: WriterPresence::Dead, .. }),
            "{next:?}"
        );
    }
}

#[test]
fn a_dead_server_is_noticed_by_calls_that_do_not_wait() {
    let stage = Stage::new(Processes, WaitStrategy::Park, role);
    let server = stage.start("hoarder", &[]);
    let mut client = connect(&stage);
    drop(client.call_alone(&[ask::ECHO], Duration::ZERO).unwrap_err());
    stage.await_signal("hoarded");
    server.kill();
    until("it is noticed", || {
        let error = client.call_alone(&[ask::ECHO], Duration::ZERO).map(drop).unwrap_err();
        assert!(error.is_timeout() || error.is_peer_gone(), "{error:?}");
        error.is_peer_gone()
    });
}

#[test]
fn a_successor_refuses_what_was_in_hand_or_does_it_again() {
    for (successor, again) in [("server", false), ("redoing", true)] {
        let stage = Stage::new(Processes, WaitStrategy::Park, role);
        let server = stage.start("hoarder", &[]);
        let client = connect(&stage);
        let call = client.send(&[ask::ECHO, 9], PATIENCE).unwrap();
        stage.await_signal("hoarded");
        server.kill();
        // Nobody looked meanwhile, so nobody was told.
        let server = stage.start(successor, &[]);
        until("there is a successor", || client.is_server_attached());
        match call.wait(PATIENCE) {
            Ok(answer) => assert!(again && answer[..] == [ask::ECHO, 9]),
            Err(CallError::ServerGone { how: Gone::Interrupted, .. }) => assert!(!again),
            Err(other) => panic!("{other:?}"),
        }
        let mut client = client;
        stop(&mut client);
        server.finish();
    }
}

#[test]
fn calls_work_again_when_the_server_is_back() {
    let stage = Stage::new(Processes, WaitStrategy::SpinThenPark, role);
    let mut server = stage.start("server", &[]);
    let mut client = connect(&stage);
    for round in 0..=5_u8 {
        assert!(client.wait_for_server(PATIENCE).unwrap());
        let mut lost = 0;
        loop {
            match client.call_alone(&[ask::ECHO, round, lost], PATIENCE) {
                Ok(answer) => {
                    assert_eq!(answer[..], [ask::ECHO, round, lost]);
                    break;
                }
                Err(error) if error.is_peer_gone() => lost += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        if round < 5 {
            server.kill();
            server = stage.start("server", &[]);
        }
    }
    // It has answered. One that is asked to stop before its client knows that its predecessor died stops without telling.
    stop(&mut client);
    server.finish();
}

#[test]
fn an_answer_that_comes_too_late_is_not_taken_for_the_next_ones() {
    let stage = Stage::new(Processes, WaitStrategy::Park, role);
    let server = stage.start("late", &[]);
    let mut client = connect(&stage);
    let error =
        client.call_alone(&[ask::ECHO, 1], Duration::from_millis(20)).map(drop).unwrap_err();
    assert!(
        matches!(error, CallError::Timeout { server: WriterPresence::Attached, .. }),
        "{error:?}"
    );
    assert!(error.is_timeout() && !error.was_not_executed());
    stage.signal("answer");
    for i in 2..50 {
        assert_eq!(client.call_alone(&[ask::ECHO, i], PATIENCE).unwrap()[..], [ask::ECHO, i]);
    }
    stop(&mut client);
    server.finish();
}

#[test]
fn requests_that_others_have_in_hand_are_answered_all_the_same() {
    let stage = Stage::new(Processes, WaitStrategy::Park, role);
    let mut server = server(&stage).create(NAME).unwrap();
    let client = connect(&stage);
    let first = client.send(&[1], PATIENCE).unwrap();
    let kept = server.receive(PATIENCE).unwrap().unwrap();
    let second = client.send(&[2, 22, 222], PATIENCE).unwrap();
    let request = server.receive_alone(PATIENCE).unwrap().unwrap();
    request.answer_from(|bytes| &bytes[1..2]).unwrap();
    kept.answer(&[11]).unwrap();
    drop(kept);
    let third = client.send(&[3], PATIENCE).unwrap();
    server.receive_alone(PATIENCE).unwrap().unwrap().answer(&[33]).unwrap();
    for (call, answer) in [(third, 33), (first, 11), (second, 22)] {
        assert_eq!(call.wait(PATIENCE).unwrap()[..], [answer]);
    }
    assert!(server.receive_alone(Duration::ZERO).unwrap().is_none());
    assert_eq!((server.stats().requests, server.stats().answers), (3, 3));
}

#[test]
fn protocol_1_goes_the_long_way() {
    let name = format!("alone-v1-{}", std::process::id());
    let mut server = Server::options().v1().create(&name).unwrap();
    let stopper = server.stopper();
    std::thread::scope(|scope| {
        let serving = scope.spawn(move || server.serve_alone(|request| Ok(request.to_vec())));
        let mut client = Client::connect(&name).unwrap();
        for i in 1..100 {
            assert_eq!(client.call_alone(&[1, i], PATIENCE).unwrap()[..], [1, i]);
        }
        stopper.stop();
        serving.join().unwrap().unwrap();
    });
}
