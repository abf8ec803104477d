//! One server, several clients in processes of their own: each has its own pair of buffers.
//!
//! ```sh
//! cargo run --release --example duplex_many
//! ```

use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use zerobuffer::BufferConfig;
use zerobuffer::duplex::{Client, Server};

const LIMIT: Duration = Duration::from_secs(10);
const CLIENTS: usize = 4;
const CALLS: u64 = 500;

/// Counts with the server's help.
fn run_client(name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::connect(name)?;
    let mut number = 0_u64;
    while number < CALLS {
        let answer = client.call(&number.to_le_bytes(), LIMIT)?;
        number = u64::from_le_bytes(answer[..].try_into()?);
    }
    println!("client {}: counted to {number}", std::process::id());
    Ok(())
}

fn start(name: &str) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?).arg(name).spawn()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(name) = std::env::args().nth(1) {
        return run_client(&name);
    }
    let name = format!("duplex-many-example-{}", std::process::id());
    let buffer = BufferConfig::new().payload_bytes(64 << 10);
    let options = Server::options().request_buffer(buffer.clone()).response_buffer(buffer);
    let server = options.create_for_many(&name)?;
    let stopper = server.stopper();
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            server.serve(|request| {
                let number = u64::from_le_bytes(request[..].try_into()?);
                Ok((number + 1).to_le_bytes())
            })
        });
        let outcome = run_clients(&name);
        stopper.stop();
        serving.join().expect("handlers' panics are caught")?;
        outcome
    })?;
    assert_eq!(server.stats().answers, CLIENTS as u64 * CALLS);
    println!("server: {} answers", server.stats().answers);
    Ok(())
}

fn run_clients(name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let clients: Vec<_> = (0..CLIENTS).map(|_| start(name)).collect::<Result<_, _>>()?;
    for mut client in clients {
        if !client.wait()?.success() {
            return Err("a client failed".into());
        }
    }
    Ok(())
}
