//! How long a reader that sleeps takes to have a frame, from just before its commit: blocking and async, in turns, so that
//! whatever else the machine does meets all of them alike.
//!
//! ```sh
//! cargo run --release -p zerobuffer-async --example wake_latency -- 3000
//! ```
//!
//! Each form waits in a thread of its own for a buffer of its own. In each round each of them gets one frame, when it has
//! been asleep for a millisecond.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{ClockId, clock_gettime};
use zerobuffer::{BufferConfig, ReadError, Reader, WaitStrategy, Writer};
use zerobuffer_async::{AsyncReader, AsyncWaitSet, PolledReader, WaitSet};

type Told = Result<(), Box<dyn std::error::Error + Send + Sync>>;
/// Reads until the writer closes, and says of each frame how long it took.
type Wait = fn(Reader, &Sender<Duration>) -> Told;

const FORMS: [(&str, Wait); 7] = [
    ("blocking", blocking),
    ("futures' block_on", bare),
    ("tokio, one thread", tokio_one),
    ("smol", smol),
    ("WaitSet, blocking", set),
    ("AsyncWaitSet, block_on", async_set),
    ("descriptor, poll", descriptor),
];
/// Asleep by then.
const PAUSE: Duration = Duration::from_millis(1);
const DEFAULT_ROUNDS: usize = 300;

fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

/// Time since a frame that says when it was written.
fn since(frame: &[u8]) -> Duration {
    let nanoseconds = frame.try_into().map(u64::from_le_bytes).unwrap_or_default();
    now().saturating_sub(Duration::from_nanos(nanoseconds))
}

fn blocking(mut reader: Reader, times: &Sender<Duration>) -> Told {
    while let Some(frame) = reader.read()? {
        times.send(since(&frame))?;
    }
    Ok(())
}

async fn read_all(mut reader: AsyncReader, times: &Sender<Duration>) -> Told {
    while let Some(frame) = reader.read().await? {
        times.send(since(&frame))?;
    }
    Ok(())
}

fn bare(reader: Reader, times: &Sender<Duration>) -> Told {
    futures::executor::block_on(read_all(AsyncReader::new(reader)?, times))
}

fn tokio_one(reader: Reader, times: &Sender<Duration>) -> Told {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(read_all(AsyncReader::new(reader)?, times))
}

fn smol(reader: Reader, times: &Sender<Duration>) -> Told {
    smol::block_on(read_all(AsyncReader::new(reader)?, times))
}

fn set(reader: Reader, times: &Sender<Duration>) -> Told {
    let mut set = WaitSet::new();
    set.add(reader);
    while let Some((_, told)) = set.next() {
        let Some(frame) = told? else { break };
        times.send(since(&frame))?;
    }
    Ok(())
}

fn async_set(reader: Reader, times: &Sender<Duration>) -> Told {
    let mut set = AsyncWaitSet::new();
    set.add(reader)?;
    futures::executor::block_on(async {
        while let Some((_, told)) = set.next().await {
            let Some(frame) = told? else { break };
            times.send(since(&frame))?;
        }
        Ok(())
    })
}

fn descriptor(reader: Reader, times: &Sender<Duration>) -> Told {
    let mut reader = PolledReader::new(reader)?;
    loop {
        poll(&mut [PollFd::new(&reader, PollFlags::IN)], None)?;
        match reader.try_read() {
            Ok(Some(frame)) => times.send(since(&frame))?,
            Ok(None) => return Ok(()),
            Err(ReadError::Timeout { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The writing end of one form.
struct Form {
    name: &'static str,
    writer: Writer,
    times: Receiver<Duration>,
    taken: Vec<Duration>,
}

fn main() -> Told {
    let rounds = std::env::args().nth(1).map_or(Ok(DEFAULT_ROUNDS), |text| text.parse())?;
    let config = BufferConfig::new().payload_bytes(4096);
    let mut threads = Vec::new();
    let mut forms = Vec::new();
    for (index, (name, wait)) in FORMS.into_iter().enumerate() {
        let buffer = format!("wake-latency-{}-{index}", std::process::id());
        let writer = Writer::create(&buffer, &config)?;
        let reader = Reader::options().wait_strategy(WaitStrategy::Park).join(&buffer)?;
        let (sender, times) = channel();
        threads.push(std::thread::spawn(move || wait(reader, &sender)));
        forms.push(Form { name, writer, times, taken: Vec::with_capacity(rounds) });
    }
    let begin = Instant::now();
    for round in 0..rounds {
        // Whose turn it is after whom changes, too.
        forms.rotate_left(round % FORMS.len());
        for form in &mut forms {
            std::thread::sleep(PAUSE);
            form.writer.write(&(now().as_nanos() as u64).to_le_bytes())?;
            form.taken.push(form.times.recv()?);
        }
    }
    println!("{rounds} rounds in {:.1?}, each form once a round", begin.elapsed());
    println!("{:24} {:>9} {:>9} {:>9}   p50 to blocking", "", "p50 µs", "p90 µs", "p99 µs");
    for form in &mut forms {
        form.taken.sort_unstable();
    }
    let at = |taken: &[Duration], percent: usize| {
        let index = taken.len().saturating_sub(1) * percent / 100;
        taken.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    forms.sort_by_key(|form| FORMS.iter().position(|(name, _)| *name == form.name));
    let base = at(&forms[0].taken, 50);
    for form in forms {
        let [p50, p90, p99] = [50, 90, 99].map(|percent| at(&form.taken, percent));
        println!("{:24} {p50:9.1} {p90:9.1} {p99:9.1}   {:.2} x", form.name, p50 / base);
        drop(form.writer); // Its reader ends.
    }
    for thread in threads {
        thread.join().map_err(|_| "a reader panicked")??;
    }
    Ok(())
}
