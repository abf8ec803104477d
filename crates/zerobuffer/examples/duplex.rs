//! Request and response: simple calls, errors that reach the caller, many requests under way, a pool of threads, and
//! pictures that are made and answered in place.
//!
//! ```sh
//! cargo run --release --example duplex
//! ```

use std::thread;
use std::time::{Duration, Instant};

use zerobuffer::BufferConfig;
use zerobuffer::duplex::{Answered, CallError, Client, Failure, Request, Server};

const LIMIT: Duration = Duration::from_secs(10);
const PICTURE_BYTES: usize = 1920 * 1080 * 3;

/// Text is a question, everything else a picture.
fn handle(request: &Request) -> Result<Answered, Failure> {
    if request.len() == PICTURE_BYTES {
        // The inverse of a picture, in memory of the response buffer.
        let mut answer = request.loan(PICTURE_BYTES)?;
        answer.iter_mut().zip(request.iter()).for_each(|(to, from)| *to = 255 - from);
        return Ok(answer.commit());
    }
    let number: u64 = std::str::from_utf8(request)?.parse()?;
    if number > 1000 {
        return Err(Failure::new(413, format!("{number} is too large")));
    }
    thread::sleep(Duration::from_micros(number % 7 * 300)); // some take longer
    Ok(request.answer((number * number).to_string().as_bytes())?)
}

fn square(client: &Client, number: u64) -> Result<String, CallError> {
    let answer = client.call(number.to_string().as_bytes(), LIMIT)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = format!("duplex-example-{}", std::process::id());
    let buffer = BufferConfig::new().room_for(3, PICTURE_BYTES);
    let server =
        Server::options().request_buffer(buffer.clone()).response_buffer(buffer).create(&name)?;
    let stopper = server.stopper();
    thread::scope(|scope| {
        let serving = scope.spawn(|| server.serve_pool(3, handle));
        let outcome = ask(&name);
        stopper.stop();
        serving.join().expect("handlers' panics are caught")?;
        outcome
    })?;
    println!("server: {:?}", server.stats());
    Ok(())
}

fn ask(name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::connect(name)?;

    println!("one call: 12 * 12 = {}", square(&client, 12)?);

    match square(&client, 1001) {
        Err(CallError::Failed { code: 413, message, .. }) => println!("an error, typed: {message}"),
        other => return Err(format!("{other:?}").into()),
    }

    let calls: Vec<_> = (1..=100_u64)
        .map(|number| Ok((number, client.send(number.to_string().as_bytes(), LIMIT)?)))
        .collect::<Result<_, CallError>>()?;
    let (mut newest, mut overtaken) = (0, 0);
    for (number, call) in calls {
        let answer = call.wait(LIMIT)?;
        assert_eq!(answer[..], *(number * number).to_string().as_bytes());
        overtaken += u32::from(answer.sequence() < newest);
        newest = newest.max(answer.sequence());
    }
    println!("100 under way at once, each with its own answer; {overtaken} had been overtaken");

    thread::scope(|scope| {
        for thread in 0..4 {
            let client = &client;
            scope.spawn(move || {
                for number in thread * 100..thread * 100 + 50 {
                    let answer = square(client, number).expect("the server is there");
                    assert_eq!(answer, (number * number).to_string());
                }
            });
        }
    });
    println!("four threads on one client, 50 calls each");

    let begin = Instant::now();
    for shade in 0..20_u8 {
        let answer = client.call_with(PICTURE_BYTES, |picture| picture.fill(shade), LIMIT)?;
        assert!(answer.iter().all(|&byte| byte == 255 - shade));
    }
    println!("20 pictures of {PICTURE_BYTES} bytes there and back: {:?}", begin.elapsed());
    Ok(())
}
