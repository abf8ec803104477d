//! Request and response through both ends, in threads and processes, also when one of them is killed.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::Placement::Processes;
use common::{
    Call, NOTICE, PATIENCE, Placement, Stage, everywhere, frame, is_frame, some_len, until,
};
use zerobuffer::duplex::{CallError, Client, Failure, Gone, Request, Server};
use zerobuffer::{BufferConfig, OpenError, WaitStrategy, WriterPresence};

const NAME: &str = "channel";
/// What a handler is asked to do, as first byte of a request.
mod ask {
    pub(crate) const ECHO: u8 = 1;
    pub(crate) const FAIL: u8 = 2;
    pub(crate) const PANIC: u8 = 3;
    pub(crate) const DROP: u8 = 4;
    pub(crate) const STOP: u8 = 5;
    /// Takes longer, the lower the second byte is.
    pub(crate) const DAWDLE: u8 = 6;
    pub(crate) const HUGE: u8 = 7;
}

fn server(call: &Call) -> Server {
    options(call).create(NAME).unwrap()
}

fn options(call: &Call) -> zerobuffer::duplex::ServerOptions {
    let buffer = BufferConfig::new().payload_bytes(64 << 10);
    Server::options()
        .dir(call.dir())
        .wait_strategy(call.wait)
        .request_buffer(buffer.clone())
        .response_buffer(buffer)
}

fn client(call: &Call) -> Client {
    let options = Client::options().dir(call.dir()).wait_strategy(call.wait);
    options.wait_for_server(PATIENCE).connect(NAME).unwrap()
}

fn role(call: &Call) {
    match call.role.as_str() {
        "server" => serve(&server(call), 1),
        "pool" => serve(&server(call), 4),
        "redoing" => serve(&options(call).redo_interrupted(true).create(NAME).unwrap(), 1),
        // Takes as many requests as it is told, and keeps them.
        "hoarder" => {
            let server = server(call);
            let mut kept = Vec::new();
            while (kept.len() as u64) < call.numbers[0] {
                kept.extend(server.receive(PATIENCE).unwrap());
            }
            call.signal("hoarded");
            call.linger();
        }
        // Answers all that it is asked for, once it is told to.
        "late" => {
            let server = server(call);
            let request = server.receive(PATIENCE).unwrap().unwrap();
            call.await_signal("answer");
            request.answer(&request).unwrap();
            drop(request);
            serve(&server, 1);
        }
        // A client that dies with calls under way.
        "asker" => {
            let client = client(call);
            let _calls: Vec<_> =
                (0..5).map(|i| client.send(&[ask::DAWDLE, 0, i], PATIENCE).unwrap()).collect();
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

/// Serves until it is asked to stop.
fn serve(server: &Server, threads: usize) {
    let stopper = server.stopper();
    let handler = |request: &Request| match request[0] {
        ask::FAIL => Err(Failure::new(u32::from(request[1]), format!("no {}", request[1]))),
        ask::PANIC => panic!("as it was asked to"),
        ask::HUGE => Ok(vec![1; 10 << 20]),
        ask::STOP => {
            stopper.stop();
            Ok(vec![])
        }
        ask::DAWDLE => {
            std::thread::sleep(Duration::from_millis(u64::from(255 - request[1]) / 8));
            Ok(request.to_vec())
        }
        _ => Ok(request.to_vec()),
    };
    if threads > 1 {
        server.serve_pool(threads, handler).unwrap();
        return;
    }
    // Dropping is for those who receive by themselves.
    while let Ok(request) = server.receive(Duration::from_millis(20)) {
        let Some(request) = request else { continue };
        match request[0] {
            ask::DROP => {}
            ask::FAIL => drop(request.fail(&handler(&request).unwrap_err())),
            ask::PANIC | ask::HUGE => {
                drop(request);
                unreachable!("only asked of a pool");
            }
            ask::STOP => {
                request.answer(&[]).unwrap();
                return;
            }
            _ => drop(request.answer(&handler(&request).unwrap()).unwrap()),
        }
    }
}

/// Stops a server that runs in this test, also when the test fails.
struct Stops(zerobuffer::duplex::Stopper);

impl Drop for Stops {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn stop(client: &Client) {
    assert!(client.call(&[ask::STOP], PATIENCE).unwrap().is_empty());
}

fn ask_for(sequence: u64, most: usize) -> Vec<u8> {
    let mut request = frame(sequence, some_len(sequence, most).max(1));
    request[0] = ask::ECHO;
    request
}

#[test]
fn ends_can_be_shared_and_requests_sent_to_other_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Client>();
    shared::<Server>();
    shared::<Request>();
    shared::<zerobuffer::duplex::Response>();
}

everywhere!(
    every_call_gets_its_own_answer,
    many_threads_on_one_client_each_get_their_own_answers,
    many_requests_under_way_and_answers_taken_in_any_order,
);

fn every_call_gets_its_own_answer(placement: Placement, wait: WaitStrategy) {
    let stage = Stage::new(placement, wait, role);
    let server = stage.start("server", &[]);
    let client = client(&stage);
    for i in 1..=500 {
        let request = ask_for(i, 3000);
        let response = client.call(&request, PATIENCE).unwrap();
        assert_eq!(response[..], request);
        assert_eq!(response.request(), i);
    }
    assert_eq!(client.in_flight(), 0);
    stop(&client);
    server.finish();
}

fn many_threads_on_one_client_each_get_their_own_answers(placement: Placement, wait: WaitStrategy) {
    let stage = Stage::new(placement, wait, role);
    let server = stage.start("pool", &[]);
    let client = client(&stage);
    std::thread::scope(|scope| {
        for thread in 1..=4_u64 {
            let client = &client;
            scope.spawn(move || {
                for i in 0..if wait == WaitStrategy::Spin { 40 } else { 200 } {
                    let request = ask_for(thread * 1_000_000 + i, 2000);
                    assert_eq!(client.call(&request, PATIENCE).unwrap()[..], request);
                }
            });
        }
    });
    stop(&client);
    server.finish();
}

fn many_requests_under_way_and_answers_taken_in_any_order(
    placement: Placement,
    wait: WaitStrategy,
) {
    let stage = Stage::new(placement, wait, role);
    let server = stage.start("server", &[]);
    let client = client(&stage);
    for round in 0..10 {
        let ask = |i: u64| ask_for(round * 100 + i, 700);
        let mut calls: Vec<_> =
            (0..20).map(|i| (i, client.send(&ask(i), PATIENCE).unwrap())).collect();
        // Last first, every third not at all.
        while let Some((i, call)) = calls.pop() {
            if i % 3 == 0 {
                drop(call);
            } else {
                assert_eq!(call.wait(PATIENCE).unwrap()[..], ask(i));
            }
        }
        assert_eq!(client.in_flight(), 0);
    }
    stop(&client);
    server.finish();
}

/// The writers prepare lines for frames to come; what stands before a request's or an answer's bytes is theirs already.
#[test]
fn requests_and_answers_that_wait_in_numbers_are_whole() {
    const UNDER_WAY: u64 = 40;
    let dir = tempfile::tempdir().unwrap();
    let buffer = BufferConfig::new().payload_bytes(256 << 10);
    let options = Server::options().dir(dir.path()).request_buffer(buffer.clone());
    let server = options.response_buffer(buffer).create(NAME).unwrap();
    let client = Client::options().dir(dir.path()).connect(NAME).unwrap();
    for round in 0..10 {
        let requests = (0..UNDER_WAY).map(|i| frame(i, (2100 + 150 * round + 10 * i) as usize));
        let requests: Vec<_> = requests.collect();
        let send = |request: &Vec<u8>| client.send(request, PATIENCE).unwrap();
        let calls: Vec<_> = requests.iter().map(send).collect();
        for _ in &calls {
            let request = server.receive(PATIENCE).unwrap().unwrap();
            request.answer(&request).unwrap();
        }
        for (call, request) in calls.into_iter().zip(&requests) {
            assert_eq!(call.wait(PATIENCE).unwrap()[..], request[..]);
        }
    }
}

#[test]
fn answers_of_a_pool_overtake_each_other() {
    let stage = Stage::new(Processes, WaitStrategy::Park, role);
    let server = stage.start("pool", &[]);
    let client = client(&stage);
    // The first takes much longer than the others.
    let calls: Vec<_> = [0, 240, 241, 242]
        .map(|speed| (speed, client.send(&[ask::DAWDLE, speed], PATIENCE).unwrap()))
        .into_iter()
        .collect();
    let answers: Vec<_> =
        calls.into_iter().map(|(speed, call)| (speed, call.wait(PATIENCE).unwrap())).collect();
    for (speed, answer) in &answers {
        assert_eq!(answer[..], [ask::DAWDLE, *speed]);
    }
    let first = answers[0].1.sequence();
    assert!(answers[1..].iter().any(|(_, other)| other.sequence() < first), "in order by chance?");
    drop(answers);
    stop(&client);
    server.finish();
}

#[test]
fn what_goes_wrong_in_a_handler_reaches_its_caller_typed() {
    for (role_name, can_drop) in [("server", true), ("pool", false)] {
        let stage = Stage::new(Processes, WaitStrategy::Park, role);
        let server = stage.start(role_name, &[]);
        let client = client(&stage);
        match client.call(&[ask::FAIL, 42], PATIENCE) {
            Err(CallError::Failed { code: 42, message, .. }) => assert_eq!(message, "no 42"),
            other => panic!("{other:?}"),
        }
        if can_drop {
            let dropped = client.call(&[ask::DROP], PATIENCE);
            assert!(matches!(dropped, Err(CallError::Unanswered { .. })), "{dropped:?}");
        } else {
            match client.call(&[ask::PANIC], PATIENCE) {
                Err(CallError::Panicked { message, .. }) => {
                    assert_eq!(message, "as it was asked to")
                }
                other => panic!("{other:?}"),
            }
            match client.call(&[ask::HUGE], PATIENCE) {
                Err(CallError::Failed { code: 0, message, .. }) => {
                    assert!(message.contains("larger than the largest possible"), "{message}");
                }
                other => panic!("{other:?}"),
            }
        }
        // It goes on.
        assert_eq!(client.call(&[ask::ECHO, 1], PATIENCE).unwrap()[..], [ask::ECHO, 1]);
        stop(&client);
        server.finish();
    }
}

#[test]
fn a_server_that_is_killed_fails_every_waiting_call() {
    for wait in [WaitStrategy::Park, WaitStrategy::SpinThenPark, WaitStrategy::Spin] {
        let stage = Stage::new(Processes, wait, role);
        let mut server = stage.start("hoarder", &[4]);
        let pid = server.pid();
        let client = client(&stage);
        std::thread::scope(|scope| {
            // Some in hand, some waiting in the buffer.
            let calls: Vec<_> = (0..8)
                .map(|i| {
                    scope.spawn({
                        let client = &client;
                        move || client.call(&[ask::ECHO, i], Duration::MAX)
                    })
                })
                .collect();
            stage.await_signal("hoarded");
            until("all wait", || client.in_flight() == 8);
            server.kill();
            let killed = Instant::now();
            for call in calls {
                match call.join().unwrap() {
                    Err(error @ CallError::ServerGone { how: Gone::Died { pid: died }, .. }) => {
                        assert_eq!(died, pid);
                        assert!(error.is_peer_gone() && !error.was_not_executed());
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert!(killed.elapsed() < NOTICE);
        });
        // Known to be gone: nothing is sent.
        let next = client.call(&[ask::ECHO], Duration::MAX).unwrap_err();
        assert!(
            matches!(next, CallError::NoServer { server: WriterPresence::Dead, .. }),
            "{next:?}"
        );
        assert!(next.was_not_executed());
        assert!(!client.wait_for_server(Duration::from_millis(10)).unwrap());
    }
}

/// A stopped server is slow, not dead: calls time out or wait, and each has its own answer when the server goes on.
#[test]
fn a_server_that_is_stopped_is_waited_for() {
    for wait in [WaitStrategy::Park, WaitStrategy::SpinThenPark] {
        let stage = Stage::new(Processes, wait, role);
        let mut server = stage.start("server", &[]);
        let client = client(&stage);
        assert_eq!(client.call(&[ask::ECHO, 0], PATIENCE).unwrap()[..], [ask::ECHO, 0]);
        server.stop();
        // Longer than a death would take to be noticed.
        let impatient = client.call(&[ask::ECHO, 1], Duration::from_millis(300)).unwrap_err();
        assert!(
            matches!(impatient, CallError::Timeout { server: WriterPresence::Attached, .. }),
            "{impatient:?}"
        );
        assert!(!impatient.was_not_executed());
        std::thread::scope(|scope| {
            let calls: Vec<_> = (2..8)
                .map(|i| {
                    let client = &client;
                    scope.spawn(move || client.call(&[ask::ECHO, i], Duration::MAX))
                })
                .collect();
            until("all wait", || client.in_flight() == 6);
            // Another look at the server, at least.
            std::thread::sleep(Duration::from_millis(250));
            assert_eq!(client.in_flight(), 6);
            server.resume();
            for (i, call) in (2..8).zip(calls) {
                assert_eq!(call.join().unwrap().unwrap()[..], [ask::ECHO, i]);
            }
        });
        stop(&client);
        server.finish();
    }
}

#[test]
fn a_successor_serves_what_waited_and_refuses_what_was_in_hand() {
    let stage = Stage::new(Processes, WaitStrategy::Park, role);
    let server = stage.start("hoarder", &[2]);
    let client = client(&stage);
    let calls: Vec<_> = (0..5).map(|i| client.send(&[ask::ECHO, i], PATIENCE).unwrap()).collect();
    stage.await_signal("hoarded");
    server.kill();
    // Nobody looked meanwhile, so nobody was told: the successor has the requests.
    let server = stage.start("server", &[]);
    until("there is a successor", || client.is_server_attached());
    for (i, call) in calls.into_iter().enumerate() {
        match call.wait(PATIENCE) {
            Ok(answer) => assert!(i >= 2 && answer[..] == [ask::ECHO, i as u8]),
            Err(CallError::ServerGone { how: Gone::Interrupted, .. }) => assert!(i < 2),
            Err(other) => panic!("{other:?}"),
        }
    }
    stop(&client);
    server.finish();
}

#[test]
fn a_successor_that_is_told_to_serves_what_was_in_hand_again() {
    let stage = Stage::new(Processes, WaitStrategy::Park, role);
    let server = stage.start("hoarder", &[2]);
    let client = client(&stage);
    let calls: Vec<_> = (0..4).map(|i| client.send(&[ask::ECHO, i], PATIENCE).unwrap()).collect();
    stage.await_signal("hoarded");
    server.kill();
    let server = stage.start("redoing", &[]);
    until("there is a successor", || client.is_server_attached());
    for (i, call) in calls.into_iter().enumerate() {
        assert_eq!(call.wait(PATIENCE).unwrap()[..], [ask::ECHO, i as u8]);
    }
    stop(&client);
    server.finish();
}

#[test]
fn calls_work_again_when_the_server_is_back() {
    let stage = Stage::new(Processes, WaitStrategy::SpinThenPark, role);
    let mut server = stage.start("server", &[]);
    let client = client(&stage);
    for round in 0..=5_u8 {
        // Whatever answer comes is the right one, also right after a death that nobody had noticed.
        assert!(client.wait_for_server(PATIENCE).unwrap());
        let mut lost = 0;
        loop {
            match client.call(&[ask::ECHO, round, lost], PATIENCE) {
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
    stop(&client);
    server.finish();
}

#[test]
fn a_client_that_is_killed_costs_the_server_nothing() {
    let stage = Stage::new(Processes, WaitStrategy::Park, role);
    let server = stage.start("pool", &[]);
    for _ in 0..3 {
        let asker = stage.start("asker", &[]);
        stage.await_signal("asked");
        asker.kill();
        std::fs::remove_file(stage.dir().join("../asked")).unwrap();
    }
    // What the dead ones asked for is answered to nobody; the next one gets its own.
    let client = client(&stage);
    for i in 0..20 {
        assert_eq!(client.call(&[ask::ECHO, i], PATIENCE).unwrap()[..], [ask::ECHO, i]);
    }
    stop(&client);
    server.finish();
}

#[test]
fn an_answer_that_comes_too_late_is_nobody_elses() {
    let stage = Stage::new(Processes, WaitStrategy::Park, role);
    let server = stage.start("late", &[]);
    let client = client(&stage);
    let error = client.call(&[ask::ECHO, 1], Duration::from_millis(20)).unwrap_err();
    assert!(
        matches!(error, CallError::Timeout { server: WriterPresence::Attached, .. }),
        "{error:?}"
    );
    assert!(error.is_timeout() && !error.was_not_executed());
    let mut second = client.send(&[ask::ECHO, 2], PATIENCE).unwrap();
    assert!(second.wait_timeout(Duration::from_millis(20)).is_none());
    stage.signal("answer");
    assert_eq!(second.wait(PATIENCE).unwrap()[..], [ask::ECHO, 2]);
    stop(&client);
    server.finish();
}

#[test]
fn a_call_can_be_cancelled_from_another_thread() {
    let stage = Stage::new(Processes, WaitStrategy::Park, role);
    let server = stage.start("late", &[]);
    let client = client(&stage);
    let (first, second) = (
        client.send(&[ask::ECHO, 1], PATIENCE).unwrap(),
        client.send(&[ask::ECHO, 2], PATIENCE).unwrap(),
    );
    let cancellers = [first.canceller(), second.canceller()];
    std::thread::scope(|scope| {
        let waiting = [first, second].map(|call| scope.spawn(|| call.wait(Duration::MAX)));
        for (canceller, thread) in cancellers.into_iter().zip(waiting) {
            canceller.cancel();
            let outcome = thread.join().unwrap();
            assert!(matches!(outcome, Err(CallError::Cancelled { .. })), "{outcome:?}");
        }
    });
    stage.signal("answer");
    assert_eq!(client.call(&[ask::ECHO, 3], PATIENCE).unwrap()[..], [ask::ECHO, 3]);
    stop(&client);
    server.finish();
}

#[test]
fn a_full_request_buffer_is_waited_for_and_a_dead_server_ends_the_wait() {
    let stage = Stage::new(Processes, WaitStrategy::Park, role);
    let server = stage.start("hoarder", &[1]);
    let client = client(&stage);
    let mut calls = Vec::new();
    let full = loop {
        match client.send(&[ask::ECHO; 4000], Duration::from_millis(20)) {
            Ok(call) => calls.push(call),
            Err(error) => break error,
        }
    };
    assert!(full.is_timeout() && full.was_not_executed(), "{full:?}");
    std::thread::scope(|scope| {
        let sender = scope
            .spawn(|| client.send(&[ask::ECHO; 4000], Duration::MAX).map(|call| call.number()));
        // Also while another one fills the only loan there is.
        std::thread::sleep(Duration::from_millis(20));
        server.kill();
        let error = sender.join().unwrap().unwrap_err();
        assert!(error.is_peer_gone() && error.was_not_executed(), "{error:?}");
    });
    drop(calls);
}

#[test]
fn a_client_that_keeps_its_answers_does_not_stop_the_server_for_good() {
    let stage = Stage::new(Placement::Threads, WaitStrategy::Park, role);
    let server = options(&stage).answer_patience(Duration::from_millis(20)).create(NAME).unwrap();
    std::thread::scope(|scope| {
        let stops = Stops(server.stopper());
        let serving = scope.spawn(|| server.serve(|request| Ok(request.to_vec())));
        let client = client(&stage);
        let mut kept = Vec::new();
        let error = loop {
            match client.call(&[ask::ECHO; 4000], Duration::from_millis(300)) {
                Ok(answer) => kept.push(answer),
                Err(error) => break error,
            }
        };
        match error {
            CallError::Failed { code: 0, message, .. } => {
                assert!(message.contains("stayed full"), "{message}");
            }
            other => panic!("{other:?}"),
        }
        // Until there is no room for an error either, and the caller's own timeout ends the call.
        let mut small = Vec::new();
        let error = loop {
            match client.call(&[ask::ECHO; 50], Duration::from_millis(300)) {
                Ok(answer) => small.push(answer),
                Err(error) if error.is_timeout() => break error,
                Err(other) => drop(other),
            }
        };
        until("given up", || server.stats().undeliverable >= 1);
        assert!(matches!(error, CallError::Timeout { .. }), "{error:?}");
        drop(small);
        assert!(kept.len() >= 10);
        assert!(kept.iter().all(|answer| answer[..] == [ask::ECHO; 4000]));
        kept.clear();
        assert_eq!(client.call(&[7; 4000], PATIENCE).unwrap()[..], [7; 4000]);
        drop(stops);
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn requests_and_answers_are_made_in_place() {
    let stage = Stage::new(Placement::Threads, WaitStrategy::SpinThenPark, role);
    let server = server(&stage);
    std::thread::scope(|scope| {
        let stops = Stops(server.stopper());
        let serving = scope.spawn(|| {
            server.serve(|request| {
                let number = u64::from(request[0]);
                drop(request.loan(5)?); // given back unused
                let mut answer = request.loan(2000)?;
                answer.copy_from_slice(&frame(number, 2000));
                answer.truncate(1000 + number as usize);
                Ok(answer.commit())
            })
        });
        let client = client(&stage);
        for i in 0..50_u8 {
            drop(client.loan(100, PATIENCE).unwrap()); // given back unused
            let mut request = client.loan(100, PATIENCE).unwrap();
            request.fill(i);
            request.truncate(50);
            let answer = request.commit().unwrap().wait(PATIENCE).unwrap();
            assert_eq!(answer.len(), 1000 + usize::from(i));
            assert!(is_frame(u64::from(i), &answer));
            let answer = client.call_with(3, |space| space.fill(i), PATIENCE).unwrap();
            assert!(is_frame(u64::from(i), &answer));
        }
        drop(stops);
        serving.join().unwrap().unwrap();
    });
    assert_eq!(server.stats().answers, 100);
}

#[test]
fn a_server_that_closes_refuses_what_it_has_not_come_to() {
    let stage = Stage::new(Placement::Threads, WaitStrategy::Park, role);
    let server = server(&stage);
    let client = client(&stage);
    let first = client.send(&[1], PATIENCE).unwrap();
    let second = client.send(&[2], PATIENCE).unwrap();
    let request = server.receive(PATIENCE).unwrap().unwrap();
    drop(server);
    // A request in hand can still be answered.
    request.answer(b"late").unwrap();
    drop(request);
    assert_eq!(first.wait(PATIENCE).unwrap()[..], *b"late");
    let refused = second.wait(PATIENCE).unwrap_err();
    assert!(matches!(refused, CallError::ServerGone { how: Gone::Refused, .. }), "{refused:?}");
    assert!(refused.was_not_executed());
    until("the client knows", || {
        let next = client.call(&[3], PATIENCE).unwrap_err();
        match next {
            CallError::NoServer { server: WriterPresence::Closed, .. } => true,
            CallError::ServerGone { how: Gone::Closed, .. } => false,
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn one_client_and_one_server_at_a_time_and_no_server_is_no_hang() {
    let stage = Stage::new(Placement::Threads, WaitStrategy::Park, role);
    let soon = Client::options().dir(stage.dir()).wait_for_server(Duration::from_millis(20));
    assert!(soon.connect(NAME).unwrap_err().is_not_found());
    let server = server(&stage);
    let second = options(&stage).create(NAME);
    assert!(matches!(second, Err(OpenError::WriterConnected { .. })), "{second:?}");
    let client = client(&stage);
    let second = soon.connect(NAME);
    assert!(matches!(second, Err(OpenError::WriterConnected { .. })), "{second:?}");
    drop(server);
    drop(client);
    assert!(soon.connect(NAME).unwrap_err().is_not_found());
}

#[test]
fn a_buffer_that_is_removed_by_force_is_opened_again() {
    opened_again_after(|name, dir| _ = zerobuffer::inspect::remove(name, dir, true).unwrap());
}

#[test]
fn a_buffer_whose_file_others_remove_is_opened_again() {
    opened_again_after(|name, dir| std::fs::remove_file(dir.join(format!("{name}.zb2"))).unwrap());
}

fn opened_again_after(remove: fn(&str, &std::path::Path)) {
    let stage = Stage::new(Placement::Threads, WaitStrategy::Park, role);
    let first = server(&stage);
    let client = client(&stage);
    for half in ["request", "response"] {
        remove(&format!("{NAME}_{half}"), &stage.dir());
    }
    let error = client.call(&[1], PATIENCE).unwrap_err();
    assert!(!error.is_timeout(), "{error:?}");
    // The request may have got there before it noticed.
    until("the server notices", || first.receive(Duration::from_millis(1)).is_err());
    drop(first);
    let server = server(&stage);
    std::thread::scope(|scope| {
        let stops = Stops(server.stopper());
        scope.spawn(|| server.serve(|request| Ok(request.to_vec())).unwrap());
        assert!(client.wait_for_server(PATIENCE).unwrap());
        let first = client.call(&[2], PATIENCE).unwrap();
        let second = client.call(&[3], PATIENCE).unwrap();
        assert_eq!((&first[..], &second[..]), (&[2][..], &[3][..]));
        assert!(first.request() < second.request());
        drop(stops);
    });
}

#[test]
fn concurrent_callers_that_time_out_leave_the_others_their_answers() {
    let stage = Stage::new(Processes, WaitStrategy::Park, role);
    let server = stage.start("pool", &[]);
    let client = client(&stage);
    let late = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let (client, late) = (&client, &late);
            scope.spawn(move || {
                for i in 0..60_u8 {
                    let request = [ask::DAWDLE, 200 + i % 50, thread, i];
                    let timeout = if i % 3 == 0 { Duration::from_millis(1) } else { PATIENCE };
                    match client.call(&request, timeout) {
                        Ok(answer) => assert_eq!(answer[..], request),
                        Err(error) if error.is_timeout() && i % 3 == 0 => {
                            late.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(other) => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    assert!(late.into_inner() > 0, "none was late: it shows nothing");
    stop(&client);
    server.finish();
}
