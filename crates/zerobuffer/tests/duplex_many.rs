//! Several clients for one server, in threads and processes, also when some of them are stopped or killed.

mod common;

use std::time::Duration;

use common::Placement::{Processes, Threads};
use common::{Call, PATIENCE, Placement, Stage, everywhere, frame, left_behind, some_len, until};
use zerobuffer::duplex::{CallError, Client, Gone, ManyServer, Server, ServerOptions, Stopper};
use zerobuffer::{BufferConfig, WaitStrategy};

const NAME: &str = "channel";
/// A request that is not answered as long as the server lives.
const WAIT: &[u8] = b"wait";
const STOP: &[u8] = b"stop";

fn options(call: &Call) -> ServerOptions {
    let buffer = BufferConfig::new().payload_bytes(32 << 10);
    let options = Server::options().dir(call.dir()).wait_strategy(call.wait);
    options.request_buffer(buffer.clone()).response_buffer(buffer)
}

fn client(call: &Call) -> Client {
    let options = Client::options().dir(call.dir()).wait_strategy(call.wait);
    options.wait_for_server(PATIENCE).connect(NAME).unwrap()
}

fn serve(server: &ManyServer, call: &Call) {
    let stopper = server.stopper();
    let served = server.serve(|request| {
        if request[..] == *STOP {
            stopper.stop();
        } else if request[..] == *WAIT {
            call.note("waits", request.number());
            std::thread::sleep(2 * PATIENCE);
        }
        Ok(request.to_vec())
    });
    served.unwrap();
}

fn role(call: &Call) {
    match call.role.as_str() {
        "server" => serve(&options(call).create_for_many(NAME).unwrap(), call),
        // Calls as often as it is told, with requests of its own.
        "client" => {
            let client = client(call);
            for i in 0..call.numbers[1] {
                let sequence = call.numbers[0] * 1_000_000 + i;
                let request = frame(sequence, some_len(sequence, 2000) + 4);
                assert_eq!(client.call(&request, PATIENCE).unwrap()[..], request);
            }
        }
        "idler" => {
            let client = client(call);
            assert_eq!(client.call(b"hello", PATIENCE).unwrap()[..], *b"hello");
            call.signal("idle");
            call.linger();
        }
        other => panic!("no role {other}"),
    }
}

#[test]
fn child_role() {
    common::child(role);
}

/// Stops a server that runs in this test, also when the test fails.
struct Stops(Stopper);

impl Drop for Stops {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn stop(client: &Client) {
    assert_eq!(client.call(STOP, PATIENCE).unwrap()[..], *STOP);
}

everywhere!(clients_that_come_at_once_each_get_their_own_answers);

fn clients_that_come_at_once_each_get_their_own_answers(placement: Placement, wait: WaitStrategy) {
    let stage = Stage::new(placement, wait, role);
    let server = stage.start("server", &[]);
    // Who spins keeps a core, and there may be few.
    let (count, calls) = if wait == WaitStrategy::Spin { (2, 50) } else { (6, 200) };
    let clients: Vec<_> = (1..=count).map(|i| stage.start("client", &[i, calls])).collect();
    clients.into_iter().for_each(common::Peer::finish);
    stop(&client(&stage));
    server.finish();
}

#[test]
fn a_client_that_is_stopped_or_killed_costs_the_others_nothing_and_leaves_nothing() {
    let stage = Stage::new(Processes, WaitStrategy::Park, role);
    let server = options(&stage).create_for_many(NAME).unwrap();
    std::thread::scope(|scope| {
        let stops = Stops(server.stopper());
        scope.spawn(|| serve(&server, &stage));
        let mut idler = stage.start("idler", &[]);
        stage.await_signal("idle");
        idler.stop();
        assert_eq!(server.clients(), 1);
        for i in 1..4 {
            stage.start("client", &[i, 50]).finish();
        }
        idler.kill();
        until("the server has noticed", || server.clients() == 0);
        assert_eq!(left_behind(&stage.dir()), ["channel_accept.zb2"]);
        drop(stops);
    });
    assert_eq!((server.stats().answers, server.refused_clients()), (151, 0));
}

#[test]
fn a_server_that_is_killed_fails_the_calls_of_all_clients_and_its_successor_serves_them() {
    let stage = Stage::new(Processes, WaitStrategy::Park, role);
    let server = stage.start("server", &[]);
    let clients: Vec<_> = (0..4).map(|_| client(&stage)).collect();
    std::thread::scope(|scope| {
        let calls: Vec<_> =
            clients.iter().map(|client| scope.spawn(|| client.call(WAIT, Duration::MAX))).collect();
        until("all wait", || stage.notes("waits").len() == clients.len());
        server.kill();
        for call in calls {
            let error = call.join().unwrap().unwrap_err();
            let died = matches!(error, CallError::ServerGone { how: Gone::Died { .. }, .. });
            assert!(died, "{error:?}");
        }
    });
    for client in &clients {
        let none = client.call(b"x", PATIENCE).unwrap_err();
        assert!(matches!(none, CallError::NoServer { .. }), "{none:?}");
    }
    // One leaves while there is no server.
    let mut clients = clients;
    drop(clients.pop());
    let server = stage.start("server", &[]);
    for (i, client) in clients.iter().enumerate() {
        assert!(client.wait_for_server(PATIENCE).unwrap());
        let request = [i as u8; 100];
        assert_eq!(client.call(&request, PATIENCE).unwrap()[..], request);
    }
    stop(&clients[0]);
    server.finish();
}

#[test]
fn what_everybody_left_who_was_killed_is_cleared_away_by_the_next_server() {
    let stage = Stage::new(Processes, WaitStrategy::Park, role);
    let server = stage.start("server", &[]);
    let idler = stage.start("idler", &[]);
    stage.await_signal("idle");
    server.kill();
    idler.kill();
    assert_eq!(left_behind(&stage.dir()).len(), 3);
    let server = options(&stage).create_for_many(NAME).unwrap();
    std::thread::scope(|scope| {
        let stops = Stops(server.stopper());
        scope.spawn(|| serve(&server, &stage));
        until("cleared away", || left_behind(&stage.dir()) == ["channel_accept.zb2"]);
        drop(stops);
    });
}

#[test]
fn a_client_too_many_is_told_and_comes_in_when_there_is_room() {
    let stage = Stage::new(Threads, WaitStrategy::Park, role);
    let server = options(&stage).max_clients(2).create_for_many(NAME).unwrap();
    std::thread::scope(|scope| {
        let stops = Stops(server.stopper());
        scope.spawn(|| serve(&server, &stage));
        let (first, second) = (client(&stage), client(&stage));
        let soon = Client::options().dir(stage.dir()).wait_for_server(Duration::from_millis(200));
        let refused = soon.connect(NAME).unwrap_err();
        assert!(refused.is_not_found() && refused.to_string().contains("too many"), "{refused}");
        assert!(server.refused_clients() >= 1);
        drop(first);
        until("there is room", || server.clients() == 1);
        let third = client(&stage);
        for client in [&second, &third] {
            assert_eq!(client.call(b"x", PATIENCE).unwrap()[..], *b"x");
        }
        drop(stops);
    });
}

/// Says hello as a client does that dies before it attaches; `shows` whether it shows that it waits.
#[allow(unsafe_code)]
fn say_hello_and_die(stage: &Stage, number: u64, shows: bool) {
    use std::os::fd::AsRawFd as _;
    let accept = format!("{NAME}_accept");
    let path = stage.dir().join(format!("{accept}.zb2"));
    let waits = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    if shows {
        // SAFETY: a plain C structure for which zeros are valid; it lives across the call.
        let locked = unsafe {
            let mut lock: libc::flock = std::mem::zeroed();
            lock.l_type = libc::F_WRLCK as libc::c_short;
            (lock.l_start, lock.l_len) = ((1 << 62 | number >> 2) as libc::off_t, 1);
            libc::fcntl(waits.as_raw_fd(), libc::F_OFD_SETLK, std::ptr::from_mut(&mut lock))
        };
        assert_eq!(locked, 0);
    }
    let mut hello = *b"ZBHELLO1........";
    hello[8..].copy_from_slice(&number.to_le_bytes());
    stage.writer().connect(&accept).unwrap().write(&hello).unwrap();
    let channel = format!("{NAME}.{number:016x}_request.zb2");
    until("its channel is made", || left_behind(&stage.dir()).contains(&channel));
    drop(waits);
    let begin = std::time::Instant::now();
    until("its channel is given up", || !left_behind(&stage.dir()).contains(&channel));
    // Ten seconds are what one has that lives and comes late.
    assert!(begin.elapsed() < Duration::from_secs(8), "after {:?}", begin.elapsed());
}

#[test]
fn the_channel_of_a_client_that_dies_before_it_attaches_is_given_up_soon() {
    let stage = Stage::new(Threads, WaitStrategy::Park, role);
    let server = stage.start("server", &[]);
    until("the server is there", || !left_behind(&stage.dir()).is_empty());
    say_hello_and_die(&stage, 0x8765_4321_0fed_cba9, true);
    say_hello_and_die(&stage, 0x1234_5678_9abc_def0, false);
    // And one that lives is served.
    let last = client(&stage);
    assert_eq!(last.call(b"hello", PATIENCE).unwrap()[..], *b"hello");
    let _ = last.call(STOP, PATIENCE);
    drop(last);
    server.finish();
}
