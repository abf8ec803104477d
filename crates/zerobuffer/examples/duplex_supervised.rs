//! A server that is killed again and again, and a client that has every answer all the same.
//!
//! Run without arguments it is client and orchestrator: it starts itself as the server, kills it in the middle of its
//! work, and starts it again with the same command line.
//!
//! ```sh
//! cargo run --example duplex_supervised
//! ```

use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use zerobuffer::duplex::{CallError, Client, Response, Server};

const CALLS: u64 = 3000;
const KILLS: u32 = 5;

fn serve(name: &str) -> Result<(), Box<dyn std::error::Error>> {
    // Squaring a number twice does no harm, so what a predecessor had in hand is done again.
    let server = Server::options().redo_interrupted(true).create(name)?;
    server.serve(|request| {
        let number = u64::from_le_bytes(request[..].try_into()?);
        thread::sleep(Duration::from_micros(200));
        Ok((number * number).to_le_bytes())
    })?;
    Ok(())
}

/// For requests that may be executed twice.
fn call_until_answered(client: &Client, request: &[u8]) -> Result<Response, CallError> {
    loop {
        match client.call(request, Duration::from_secs(10)) {
            Err(error) if error.is_peer_gone() => {
                println!("client: {error}");
                client.wait_for_server(Duration::from_secs(10))?;
            }
            outcome => return outcome,
        }
    }
}

fn start(name: &str) -> Child {
    let program = std::env::current_exe().expect("this program has a path");
    Command::new(program).arg(name).spawn().expect("this program can be started")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(name) = std::env::args().nth(1) {
        return serve(&name);
    }
    let name = format!("duplex-supervised-{}", std::process::id());
    let server = Mutex::new(start(&name));
    let done = AtomicBool::new(false);
    let outcome = thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..KILLS {
                thread::sleep(Duration::from_millis(150));
                if done.load(Ordering::Relaxed) {
                    return;
                }
                let mut server = server.lock().expect("nobody panics with it");
                server.kill().expect("a child can be killed");
                server.wait().expect("a child can be waited for");
                println!("orchestrator: killed the server, started the next one");
                *server = start(&name);
            }
        });
        let outcome = ask(&name);
        done.store(true, Ordering::Relaxed);
        outcome
    });
    let mut server = server.into_inner()?;
    server.kill()?;
    server.wait()?;
    // It was killed, so what belongs to its channel waits for its successor. There is none.
    drop(Server::create(&name)?);
    outcome
}

fn ask(name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::connect(name)?;
    for number in 0..CALLS {
        let answer = call_until_answered(&client, &number.to_le_bytes())?;
        assert_eq!(answer[..], (number * number).to_le_bytes());
    }
    println!("client: all {CALLS} answers");
    Ok(())
}
