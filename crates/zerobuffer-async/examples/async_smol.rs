//! Under smol: a service that answers calls from one channel and reads sensors from a dozen buffers, in one thread.
//!
//! ```sh
//! cargo run -p zerobuffer-async --example async_smol
//! ```

use std::cell::Cell;
use std::time::Duration;

use futures::future::{FutureExt as _, select};
use smol::Timer;
use zerobuffer::duplex::{Client, Request, Server};
use zerobuffer::{BufferConfig, Reader, Writer};
use zerobuffer_async::{AsyncClient, AsyncServer, AsyncWaitSet};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const SENSORS: usize = 12;
const READINGS: u64 = 20;

/// Adds up what the sensors say, each in its turn, until all of them have closed.
async fn collect(set: &mut AsyncWaitSet, total: &Cell<u64>) -> Outcome<()> {
    loop {
        let Some((sensor, told)) = set.next().await else { return Ok(()) };
        let Some(reading) = told? else {
            set.remove(sensor);
            continue;
        };
        total.set(total.get() + u64::from_le_bytes(reading[..].try_into()?));
    }
}

/// What the service does: both at once.
async fn service(mut server: AsyncServer, mut set: AsyncWaitSet) -> Outcome<u64> {
    let total = Cell::new(0_u64);
    let answer = async |_: &Request| {
        Timer::after(Duration::from_micros(200)).await; // Others are answered meanwhile.
        Ok(total.get().to_le_bytes())
    };
    let serving = server.serve(8, answer).map(|served| served.map_err(Into::into));
    let collecting = collect(&mut set, &total);
    select(Box::pin(serving), Box::pin(collecting)).await.factor_first().0?;
    Ok(total.get())
}

fn main() -> Outcome<()> {
    let id = std::process::id();
    let config = BufferConfig::new().payload_bytes(4096);
    let mut set = AsyncWaitSet::new();
    let mut sensors = Vec::new();
    for index in 0..SENSORS {
        let name = format!("async-sensor-{id}-{index}");
        sensors.push(Writer::create(&name, &config)?);
        set.add(Reader::join(&name)?)?;
    }
    let channel = format!("async-service-{id}");
    let server = AsyncServer::new(Server::create(&channel)?)?;
    let client = AsyncClient::new(Client::connect(&channel)?)?;

    let measuring = std::thread::spawn(move || -> Outcome<()> {
        for reading in 1..=READINGS {
            for sensor in &mut sensors {
                sensor.write(&reading.to_le_bytes())?;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    });
    let asking = smol::spawn(async move {
        let mut answers = 0;
        while client.call(b"total?").await.is_ok() {
            answers += 1;
        }
        answers // The service has stopped.
    });
    let total = smol::block_on(service(server, set))?;
    measuring.join().map_err(|_| "a sensor panicked")??;
    let answers: u64 = smol::block_on(asking);
    assert_eq!(total, SENSORS as u64 * READINGS * (READINGS + 1) / 2);
    println!("{SENSORS} sensors said {total} in all; {answers} questions were answered meanwhile");
    Ok(())
}
