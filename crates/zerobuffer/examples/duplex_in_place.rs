//! A server that changes pictures where they lie, beside one that answers with copies: what a call costs, by size.
//!
//! ```sh
//! cargo run --release --example duplex_in_place
//! ```

use std::thread;
use std::time::{Duration, Instant};

use zerobuffer::BufferConfig;
use zerobuffer::duplex::{CallError, Client, Failure, InPlace, Server};

const LIMIT: Duration = Duration::from_secs(10);
const SIZES: [usize; 4] = [1 << 10, 64 << 10, 1 << 20, 1920 * 1080 * 3 / 2];
const CALLS: u32 = 50;

/// Marks a picture as seen: a few bytes of it, wherever it lies.
fn mark(picture: &mut InPlace<'_>) -> Result<(), Failure> {
    picture[..8].copy_from_slice(b"seen by ");
    Ok(())
}

/// The median time of a call: making the request in place, and looking at a few bytes of the answer.
fn typical_call(client: &Client, bytes: usize) -> Result<Duration, CallError> {
    let mut times = Vec::new();
    for number in 0..CALLS {
        let begin = Instant::now();
        let last_byte = |picture: &mut [u8]| picture[bytes - 1] = number as u8;
        let answer = client.call_with(bytes, last_byte, LIMIT)?;
        assert!(answer.starts_with(b"seen") && answer[bytes - 1] == number as u8);
        times.push(begin.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2])
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = format!("duplex-in-place-example-{}", std::process::id());
    let buffer = BufferConfig::new().room_for(3, SIZES[3]);
    let options = Server::options().request_buffer(buffer.clone()).response_buffer(buffer);
    let server = options.in_place(true).create(&name)?;
    let stopper = server.stopper();
    thread::scope(|scope| {
        let serving = scope.spawn(|| server.serve_in_place(mark));
        let outcome = ask(&name);
        stopper.stop();
        serving.join().expect("handlers' panics are caught")?;
        outcome
    })
}

fn ask(name: &str) -> Result<(), Box<dyn std::error::Error>> {
    println!("{:>10}  {:>12}  {:>12}", "bytes", "in place", "copied");
    for bytes in SIZES {
        let typical = |in_place| -> Result<Duration, Box<dyn std::error::Error>> {
            // One client at a time; the server is the same.
            let client = Client::options().in_place(in_place).connect(name)?;
            Ok(typical_call(&client, bytes)?)
        };
        let (in_place, copied) = (typical(true)?, typical(false)?);
        println!("{bytes:>10}  {in_place:>12.1?}  {copied:>12.1?}");
    }
    Ok(())
}
