//! Calls and handlers as futures: every call gets its own answer, or is told why not.
#![allow(missing_docs)]

#[path = "../../zerobuffer/tests/common/mod.rs"]
mod common;

use std::future::Future as _;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use common::{Call, PATIENCE, Placement, Stage, Watchdog, frame, is_frame, shm_dir, some_len};
use futures::executor::block_on;
use futures::{StreamExt as _, stream};
use zerobuffer::duplex::{CallError, Client, Failure, Gone, Request, Server, ServerOptions};
use zerobuffer::{BufferConfig, WaitStrategy};
use zerobuffer_async::{AsyncClient, AsyncServer, answer};

const NAME: &str = "channel";

#[test]
fn child_role() {
    common::child(role);
}

/// A server that answers everything but `b"hang"`, with its number.
fn role(call: &Call) {
    let server = Server::options().dir(call.dir()).create(NAME).unwrap();
    call.signal(&format!("server {}", call.numbers[0]));
    let served = server.serve(|request| {
        if request[..] == *b"hang" {
            call.signal(&format!("hangs {}", call.numbers[0]));
            call.linger();
        }
        Ok(call.numbers[0].to_le_bytes())
    });
    served.unwrap();
}

/// So small that both sides must wait for room.
fn small(dir: &Path) -> ServerOptions {
    let buffer = BufferConfig::new().payload_bytes(16 << 10);
    Server::options().dir(dir).request_buffer(buffer.clone()).response_buffer(buffer)
}

fn connect(dir: &Path) -> AsyncClient {
    AsyncClient::new(Client::options().dir(dir).connect(NAME).unwrap()).unwrap()
}

/// Turns a frame's number and length into another frame, after a while that differs.
async fn echo(request: &Request) -> Result<Vec<u8>, Failure> {
    let number = u64::from_le_bytes(request[..8].try_into()?);
    if number % 3 == 0 {
        tokio::time::sleep(Duration::from_micros(number % 7 * 100)).await;
    }
    Ok(frame(number, some_len(number, 900)))
}

fn request(number: u64) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(8 + some_len(number + 5, 900), 1);
    bytes
}

async fn check(client: &AsyncClient, number: u64) {
    let answer = client.call(&request(number)).await.unwrap();
    assert_eq!(answer.len(), some_len(number, 900));
    assert!(is_frame(number, &answer));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

#[test]
fn many_calls_at_once_get_their_own_answers_through_buffers_that_are_full() {
    const CALLS: u64 = 2_000;
    let _watchdog = Watchdog::new("many calls");
    let dir = shm_dir();
    let mut server = AsyncServer::new(small(dir.path()).create(NAME).unwrap()).unwrap();
    let client = connect(dir.path());
    runtime().block_on(async {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            tokio::select! {
                served = server.serve(20, async |request| echo(request).await) => panic!("{served:?}"),
                _ = stopped => server.into_inner().stats(),
            }
        });
        stream::iter(1..=CALLS).for_each_concurrent(50, |number| check(&client, number)).await;
        stop.send(()).unwrap();
        let stats = serving.await.unwrap();
        assert_eq!((stats.requests, stats.answers), (CALLS, CALLS));
    });
    assert_eq!(client.get_ref().in_flight(), 0);
}

/// With room for a request but not for what stands before it, too.
#[test]
fn a_request_that_finds_no_room_sleeps_whatever_room_there_is() {
    let _watchdog = Watchdog::new("no room");
    let dir = shm_dir();
    let _server = small(dir.path()).create(NAME).unwrap();
    let client = connect(dir.path());
    let mut context = Context::from_waker(Waker::noop());
    let mut loan = |len| pin!(client.loan(len)).poll(&mut context).is_ready();
    let mut sent = Vec::new();
    while loan(100) {
        sent.push(client.get_ref().send(&[1; 100], Duration::ZERO).unwrap());
    }
    assert!(sent.len() > 100 && (1..100).any(|len| !loan(len)));
}

/// Requests that are handed to other tasks, and a client that threads and tasks share.
#[test]
fn threads_and_tasks_share_a_client() {
    const EACH: u64 = 300;
    let _watchdog = Watchdog::new("shared");
    let dir = shm_dir();
    let mut server = AsyncServer::new(small(dir.path()).create(NAME).unwrap()).unwrap();
    let client = Arc::new(connect(dir.path()));
    let runtime = runtime();
    let serving = runtime.spawn(async move {
        for _ in 0..4 * EACH {
            let request = server.receive().await.unwrap();
            tokio::spawn(async move {
                let made = echo(&request).await.unwrap();
                answer(&request, &made).await.unwrap();
            });
        }
    });
    let tasks: Vec<_> = (0..2)
        .map(|task| {
            let client = Arc::clone(&client);
            runtime.spawn(async move {
                for number in 0..EACH {
                    check(&client, number + task * EACH).await;
                }
            })
        })
        .collect();
    let threads: Vec<_> = (0..2)
        .map(|thread| {
            let client = Arc::clone(&client);
            std::thread::spawn(move || {
                for number in 0..EACH {
                    let number = number + 17 * thread;
                    let answer = client.get_ref().call(&request(number), PATIENCE).unwrap();
                    assert!(answer.len() == some_len(number, 900) && is_frame(number, &answer));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
        serving.await.unwrap();
    });
}

#[test]
fn what_goes_wrong_in_a_handler_reaches_its_caller() {
    let _watchdog = Watchdog::new("failures");
    let dir = shm_dir();
    let mut server = AsyncServer::new(small(dir.path()).create(NAME).unwrap()).unwrap();
    let client = connect(dir.path());
    let handler = async |request: &Request| match &request[..] {
        b"fail" => Err(Failure::new(7, "as asked")),
        b"panic" => panic!("in a handler"),
        b"large" => Ok(vec![0; 1 << 20]),
        other => Ok(other.to_vec()),
    };
    smol::block_on(async {
        let calling = async {
            let failed = client.call(b"fail").await.unwrap_err();
            assert!(matches!(failed, CallError::Failed { code: 7, .. }), "{failed}");
            let panicked = client.call(b"panic").await.unwrap_err();
            assert!(panicked.to_string().contains("in a handler"), "{panicked}");
            let large = client.call(b"large").await.unwrap_err();
            assert!(matches!(large, CallError::Failed { code: 0, .. }), "{large}");
            let len = 5;
            let made = client.call_with(len, |space| space.copy_from_slice(b"fills")).await;
            assert_eq!(made.unwrap()[..], *b"fills");
        };
        let (calling, serving) = (pin!(calling), pin!(server.serve(4, handler)));
        futures::future::select(calling, serving).await;
    });
    // A handler under way when the server is dropped.
    let waits = async |_: &Request| -> Result<Vec<u8>, Failure> { std::future::pending().await };
    let mut call = pin!(client.call(b"dropped"));
    let mut context = Context::from_waker(Waker::noop());
    assert!(call.as_mut().poll(&mut context).is_pending());
    {
        let mut serving = pin!(server.serve(4, waits));
        assert!(serving.as_mut().poll(&mut context).is_pending());
    }
    let error = block_on(call).unwrap_err();
    assert!(matches!(error, CallError::Unanswered { .. }), "{error}");
}

#[test]
fn a_call_that_is_dropped_is_nobodys_and_leaves_nobody_waiting() {
    let _watchdog = Watchdog::new("dropped");
    let dir = shm_dir();
    let server = small(dir.path()).create(NAME).unwrap();
    let client = connect(dir.path());
    let mut context = Context::from_waker(Waker::noop());
    let mut sent = 0;
    for _ in 0..4 {
        // Until the requests fill their buffer: some calls are dropped before they are sent, some after.
        for number in 0..60 {
            let bytes = request(number);
            assert!(pin!(client.call(&bytes)).poll(&mut context).is_pending());
            sent += 1;
        }
        let mut received = 0;
        while let Some(request) = server.receive(Duration::from_millis(20)).unwrap() {
            request.answer(&request).unwrap();
            received += 1;
        }
        assert!(received > 0);
        assert_eq!(client.get_ref().in_flight(), 0);
        // Its answer comes behind those that nobody wants.
        let serving = std::thread::scope(|scope| {
            let serving = scope.spawn(|| {
                let request = server.receive(PATIENCE).unwrap().unwrap();
                request.answer(b"yours").unwrap();
            });
            assert_eq!(block_on(client.call(b"mine")).unwrap()[..], *b"yours");
            serving.join()
        });
        serving.unwrap();
    }
    assert!(sent > server.stats().requests, "not all of them were sent");
    assert_eq!(server.stats().undeliverable, 0, "answers that nobody wants take no room");
}

/// A future that is forgotten never takes its place at the waiting thread back, so what that looks at must stay.
#[test]
fn an_answer_that_is_forgotten_leaves_nothing_dangling() {
    let _watchdog = Watchdog::new("forgotten");
    let dir = shm_dir();
    let server = small(dir.path()).answer_patience(Duration::from_millis(1)).create(NAME).unwrap();
    let client = Client::options().dir(dir.path()).connect(NAME).unwrap();
    let calls: Vec<_> = (0..3).map(|_| client.send(b"large", PATIENCE).unwrap()).collect();
    let large = vec![1; 7000];
    let mut context = Context::from_waker(Waker::noop());
    let mut is_full = false;
    for _ in 0..3 {
        let request = server.receive(PATIENCE).unwrap().unwrap();
        let mut answering = Box::pin(answer(&request, &large));
        is_full = answering.as_mut().poll(&mut context).is_pending();
        std::mem::forget(answering);
        if is_full {
            break;
        }
    }
    assert!(is_full);
    drop(calls);
    drop((client, server));
    // The waiting thread looks twice.
    std::thread::sleep(Duration::from_millis(250));
}

/// The waiting thread may be looking for its answers at that very moment.
#[test]
fn a_client_that_is_dropped_has_left() {
    let _watchdog = Watchdog::new("left");
    let dir = shm_dir();
    for _ in 0..100 {
        let server = small(dir.path()).create(NAME).unwrap();
        let client = connect(dir.path());
        std::thread::scope(|scope| {
            scope.spawn(|| server.receive(PATIENCE).unwrap().unwrap().answer(b"yes").unwrap());
            assert_eq!(block_on(client.call(b"there?")).unwrap()[..], *b"yes");
        });
        drop(server); // Which makes the waiting thread look.
        drop(client);
        assert_eq!(common::left_behind(dir.path()), [""; 0]);
    }
}

#[test]
fn a_call_is_told_of_a_killed_server_and_its_successor_answers() {
    let stage = Stage::new(Placement::Processes, WaitStrategy::Park, role);
    let mut client = None;
    for number in 0..3 {
        let peer = stage.start("server", &[number]);
        let client = client.get_or_insert_with(|| connect(&stage.dir()));
        assert!(client.get_ref().wait_for_server(PATIENCE).unwrap());
        let answer = block_on(client.call(b"which")).unwrap();
        assert_eq!(answer[..], number.to_le_bytes());
        drop(answer);
        let hangs = format!("hangs {number}");
        std::thread::scope(|scope| {
            let killing = scope.spawn(|| {
                stage.await_signal(&hangs);
                peer.kill();
            });
            let error = block_on(client.call(b"hang")).unwrap_err();
            assert!(
                matches!(error, CallError::ServerGone { how: Gone::Died { .. }, .. }),
                "{error}"
            );
            killing.join().unwrap();
        });
        let error = block_on(client.call(b"nobody")).unwrap_err();
        assert!(matches!(error, CallError::NoServer { .. }), "{error}");
        if number == 1 {
            // Its buffers go, too: the next server makes others, which this client has to open.
            for buffer in ["channel_request", "channel_response"] {
                zerobuffer::inspect::remove(buffer, &stage.dir(), true).unwrap();
            }
        }
    }
}

#[test]
fn a_channel_of_protocol_1_is_served_and_called() {
    let _watchdog = Watchdog::new("protocol 1.0");
    let name = format!("zerobuffer-async-v1-{}", std::process::id());
    let mut server = AsyncServer::new(Server::options().v1().create(&name).unwrap()).unwrap();
    let connecting = std::thread::spawn(move || Client::connect(&name).unwrap());
    smol::block_on(async {
        let calling = async {
            let client = smol::unblock(|| connecting.join().unwrap()).await;
            let client = AsyncClient::new(client).unwrap();
            for number in 0..50_u64 {
                let answer = client.call(&number.to_le_bytes()).await.unwrap();
                assert_eq!(answer[..], number.to_be_bytes());
            }
        };
        let handler =
            async |request: &Request| Ok(request.iter().rev().copied().collect::<Vec<_>>());
        let (calling, serving) = (pin!(calling), pin!(server.serve(4, handler)));
        match futures::future::select(calling, serving).await {
            futures::future::Either::Left(_) => {}
            futures::future::Either::Right((served, _)) => panic!("{served:?}"),
        }
    });
}
