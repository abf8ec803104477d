//! What each process does.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use zerobuffer::{
    BufferConfig, Frame, FullPolicy, OpenError, OwnedFrame, ReadError, Reader, ReaderOptions,
    WriteError, Writer,
};

use crate::cast::Part;
use crate::told::Teller;

#[derive(Debug, Args)]
pub(crate) struct EndArgs {
    #[arg(long)]
    dir: PathBuf,
    #[arg(long)]
    part: Part,
}

/// A ring's name, its size, the size of its frames, and how many of them a second.
struct Stream {
    buffer: &'static str,
    ring: usize,
    frame: usize,
    a_second: u32,
}

const CAMERA: Stream = Stream { buffer: "camera", ring: 12 << 20, frame: 1 << 20, a_second: 30 };
const SCREEN: Stream = Stream { buffer: "screen", ring: 64 << 10, frame: 1 << 20, a_second: 30 };
const TELEMETRY: Stream =
    Stream { buffer: "telemetry", ring: 256 << 10, frame: 1000, a_second: 1000 };
const JOBS: Stream = Stream { buffer: "jobs", ring: 128 << 10, frame: 100, a_second: 2000 };
const OLD: Stream = Stream { buffer: "old", ring: 256 << 10, frame: 1000, a_second: 200 };

impl Stream {
    fn config(&self) -> BufferConfig {
        BufferConfig::new().payload_bytes(self.ring).timestamps(true).reader_slots(16)
    }
}

/// Set when the parent has closed our standard input: time to end in peace.
static ENDING: AtomicBool = AtomicBool::new(false);
/// How long one wait lasts before `ENDING` is looked at again.
const SLICE: Duration = Duration::from_millis(100);

fn is_ending() -> bool {
    ENDING.load(Ordering::Relaxed)
}

/// Plays a part until the parent says that it is over.
pub(crate) fn play(args: &EndArgs) -> anyhow::Result<()> {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        ENDING.store(true, Ordering::Relaxed);
        // Whoever does not come to its end by itself is not to outlive the soak.
        std::thread::sleep(Duration::from_secs(30));
        std::process::exit(9);
    });
    let dir = &args.dir;
    let mut teller = Teller::new()?;
    let reader = || Reader::options().dir(dir);
    let sharing = CAMERA.config().payload_sharing(true);
    let targets = SCREEN.config().payload_sharing(true);
    // A lap and a bit before the end of what a position can count.
    let late = TELEMETRY.config().start_position(0_u64.wrapping_sub(1 << 20));
    let group = || reader().group("workers");
    let told = &mut teller;
    match args.part {
        Part::Camera => write(&CAMERA, &writer(dir, &CAMERA, &sharing)?, told),
        Part::Telemetry => write(&TELEMETRY, &writer(dir, &TELEMETRY, &late)?, told),
        Part::Jobs => write(&JOBS, &writer(dir, &JOBS, &JOBS.config())?, told),
        Part::OldWriter => old_writer(dir, told),
        Part::Relay => relay(dir, &sharing, &targets, told),
        Part::Screen => {
            read(open(|| reader().create(SCREEN.buffer, &targets))?, Gets::Every, 0, told)
        }
        Part::Preview => {
            read(open(|| reader().lossy().create(CAMERA.buffer, &sharing))?, Gets::Some, 0, told)
        }
        Part::Observer => {
            let observer = reader().observe().wait_for_buffer(Duration::from_secs(10));
            read(open(|| observer.join(CAMERA.buffer))?, Gets::Some, 0, told)
        }
        Part::Recorder => {
            let recorder = reader().name("recorder");
            read(open(|| recorder.create(TELEMETRY.buffer, &late))?, Gets::Every, 0, told)
        }
        Part::Analyst => {
            let analyst = reader().name("analyst");
            read(open(|| analyst.create(TELEMETRY.buffer, &late))?, Gets::Every, 20, told)
        }
        Part::Worker1 | Part::Worker2 | Part::Worker3 => {
            read(open(|| group().create(JOBS.buffer, &JOBS.config()))?, Gets::Share, 0, told)
        }
        Part::OldReader => {
            let config = BufferConfig::v1().payload_bytes(OLD.ring);
            let name = old_name(dir);
            read(open(|| Reader::options().create(&name, &config))?, Gets::Every, 0, told)
        }
        Part::Churn => churn(dir, &late, told),
        Part::Glutton => glut(dir, told),
    }
}

/// Buffers of protocol 1.0 lie in one place, whatever the directory, so the name must be our own.
fn old_name(dir: &Path) -> String {
    let own = dir.file_name().map_or_else(Default::default, |name| name.to_string_lossy());
    format!("{}-{own}", OLD.buffer)
}

/// Tries again while the kernel may still be about to release whoever was there before.
fn open<T>(attempt: impl Fn() -> Result<T, OpenError>) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(error) if begun.elapsed() < Duration::from_secs(20) && is_passing(&error) => {
                std::thread::sleep(Duration::from_millis(20));
            }
            other => return Ok(other?),
        }
    }
}

/// Whether it goes by: others come and go, or have taken all the memory for a moment.
fn is_passing(error: &OpenError) -> bool {
    error.is_not_found()
        || matches!(
            error,
            OpenError::WriterConnected { .. }
                | OpenError::ReaderConnected { .. }
                | OpenError::NoSpace { .. }
        )
}

fn writer(
    dir: &Path,
    stream: &Stream,
    config: &BufferConfig,
) -> anyhow::Result<impl Fn() -> anyhow::Result<Writer>> {
    let options =
        Writer::options().dir(dir).full_policy(FullPolicy::Block { timeout: Some(SLICE) });
    let (buffer, config) = (stream.buffer, config.clone());
    Ok(move || open(|| options.create(buffer, &config)))
}

/// A frame: its number, then one byte of it again and again.
fn fill(bytes: &mut [u8], sequence: u64) {
    let (head, body) = bytes.split_at_mut(8);
    head.copy_from_slice(&sequence.to_le_bytes());
    body.fill(sequence as u8);
}

/// The number a frame was written with; `None` if it is not as it was written.
fn check(bytes: &[u8]) -> Option<u64> {
    let (head, body) = bytes.split_first_chunk::<8>()?;
    let sequence = u64::from_le_bytes(*head);
    // A look at each cache line costs the machine less than one at each byte.
    let is_whole = body.iter().step_by(61).chain(body.last()).all(|byte| *byte == sequence as u8);
    is_whole.then_some(sequence)
}

/// Writes at the stream's pace.
fn write(
    stream: &Stream,
    open: &impl Fn() -> anyhow::Result<Writer>,
    told: &mut Teller,
) -> anyhow::Result<()> {
    let mut writer = open()?;
    let pause = Duration::from_secs(1) / stream.a_second;
    let mut due = Instant::now();
    let mut number = 0;
    while !is_ending() {
        told.tell_if_due()?;
        match writer.loan(stream.frame) {
            Ok(mut frame) => {
                number += 1;
                fill(&mut frame, number);
                frame.commit();
                told.done(None);
            }
            Err(WriteError::ReaderGone { .. }) => continue,
            Err(error) if error.is_timeout() => continue,
            Err(error) => return Err(error.into()),
        }
        due += pause;
        match due.checked_duration_since(Instant::now()) {
            Some(wait) => std::thread::sleep(wait),
            // The machine was busy with others; what was missed is not made up for.
            None => due = Instant::now(),
        }
    }
    told.tell()?;
    writer.wait_drained(Some(Duration::from_secs(5)));
    Ok(())
}

fn old_writer(dir: &Path, told: &mut Teller) -> anyhow::Result<()> {
    let name = old_name(dir);
    let options = Writer::options().full_policy(FullPolicy::Block { timeout: Some(SLICE) });
    write(&OLD, &|| open(|| options.connect(&name)), told)
}

/// Which frames a reader gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gets {
    Every,
    /// Those that it is in time for.
    Some,
    /// Its share of them.
    Share,
}

/// Reads until the writer has closed. Holds up to `held` frames, and releases them in any order.
fn read(mut reader: Reader, gets: Gets, held: usize, told: &mut Teller) -> anyhow::Result<()> {
    let mut newest = 0;
    let mut kept: Vec<(u64, OwnedFrame)> = Vec::new();
    let mut chance = fastrand::Rng::new();
    let mut closed = false;
    // One who looks on may come to a buffer that is about to go.
    while !(is_ending() && (closed || gets == Gets::Some)) {
        told.tell_if_due()?;
        let frame = match reader.read_timeout(SLICE) {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                closed = true;
                continue;
            }
            Err(error) if error.is_timeout() => {
                kept.clear();
                continue;
            }
            Err(ReadError::Retired { .. }) if is_ending() => break,
            Err(error) => return Err(error.into()),
        };
        let number = examine(&frame, gets, newest, told);
        newest = number.unwrap_or(newest);
        if held > 0 && chance.bool() {
            kept.push((newest, frame.into_owned()));
        }
        if kept.len() > held {
            chance.shuffle(&mut kept);
            for (number, frame) in kept.drain(held / 2..) {
                if check(&frame) != Some(number) {
                    told.wrong(|| format!("frame {number} has changed while it was held"));
                }
            }
        }
    }
    drop(kept);
    told.tell()?;
    reader.unsubscribe();
    Ok(())
}

/// Looks at a frame, and tells; its number, unless it is torn.
fn examine(frame: &Frame<'_>, gets: Gets, newest: u64, told: &mut Teller) -> Option<u64> {
    told.done(frame.age());
    let Some(number) = check(frame) else {
        told.wrong(|| format!("frame {} is torn", frame.sequence()));
        return None;
    };
    let follows = match gets {
        Gets::Every => newest == 0 || number == newest + 1,
        Gets::Some | Gets::Share => number > newest,
    };
    if !follows {
        told.wrong(|| format!("frame {number} came after frame {newest}"));
    }
    Some(number)
}

/// Passes every frame on by reference.
fn relay(
    dir: &Path,
    from: &BufferConfig,
    to: &BufferConfig,
    told: &mut Teller,
) -> anyhow::Result<()> {
    let mut reader = open(|| Reader::options().dir(dir).name("relay").create(CAMERA.buffer, from))?;
    let mut writer = open(|| {
        let policy = FullPolicy::Block { timeout: Some(SLICE) };
        Writer::options().dir(dir).full_policy(policy).create(SCREEN.buffer, to)
    })?;
    let mut closed = false;
    while !(is_ending() && closed) {
        told.tell_if_due()?;
        let frame = match reader.read_timeout(SLICE) {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                closed = true;
                continue;
            }
            Err(error) if error.is_timeout() => continue,
            Err(error) => return Err(error.into()),
        };
        let forwarded = loop {
            match writer.forward(&frame) {
                Err(error) if error.is_timeout() || error.is_peer_gone() => {}
                other => break other?,
            }
        };
        if let Some(why) = forwarded.copied {
            told.wrong(|| format!("frame {} was copied: {why}", frame.sequence()));
        }
        told.done(frame.age());
    }
    told.tell()?;
    writer.wait_drained(Some(Duration::from_secs(5)));
    reader.unsubscribe();
    Ok(())
}

/// Comes and goes: as a reader of each kind, as both ends of a buffer of its own.
fn churn(dir: &Path, config: &BufferConfig, told: &mut Teller) -> anyhow::Result<()> {
    let mut turn = 0_u64;
    let visitor =
        |options: ReaderOptions| open(|| options.clone().dir(dir).create(TELEMETRY.buffer, config));
    while !is_ending() {
        told.tell_if_due()?;
        turn += 1;
        let mut reader = match turn % 4 {
            0 => visitor(Reader::options().ephemeral())?,
            1 => visitor(Reader::options().lossy())?,
            2 => open(|| Reader::options().dir(dir).observe().join(TELEMETRY.buffer))?,
            _ => visitor(Reader::options().name("visitor"))?,
        };
        match reader.read_timeout(SLICE) {
            Ok(Some(frame)) => {
                if check(&frame).is_none() {
                    told.wrong(|| format!("a visitor found frame {} torn", frame.sequence()));
                }
            }
            Ok(None) => {}
            Err(error) if error.is_timeout() => {}
            Err(error) => return Err(error.into()),
        }
        reader.unsubscribe();
        own_buffer(dir, turn, told)?;
        told.done(None);
        std::thread::sleep(Duration::from_millis(5));
    }
    told.tell()
}

/// Makes a buffer, sends a frame through, and leaves: nothing must stay behind.
fn own_buffer(dir: &Path, turn: u64, told: &mut Teller) -> anyhow::Result<()> {
    let config = BufferConfig::new().payload_bytes(4096 << (turn % 4));
    let mut writer = open(|| Writer::options().dir(dir).create("churned", &config))?;
    let mut reader = open(|| Reader::options().dir(dir).join("churned"))?;
    let mut bytes = [0; 256];
    fill(&mut bytes, turn);
    writer.write(&bytes)?;
    drop(writer);
    if reader.read()?.and_then(|frame| check(&frame)) != Some(turn) {
        told.wrong(|| format!("turn {turn} of a short-lived buffer brought another frame"));
    }
    while reader.read()?.is_some() {}
    reader.unsubscribe();
    Ok(())
}

/// Takes all the memory there is, until it is refused, and gives it back.
fn glut(dir: &Path, told: &mut Teller) -> anyhow::Result<()> {
    while !is_ending() {
        let mut taken = Vec::new();
        let refusal = loop {
            let name = format!("glut-{}", taken.len());
            let config = BufferConfig::new().payload_bytes(64 << 20);
            match Writer::options().dir(dir).create(&name, &config) {
                Ok(writer) if taken.len() < 64 => taken.push(writer),
                Ok(_) => break None,
                Err(error) => break Some(error),
            }
        };
        match refusal {
            Some(OpenError::NoSpace { .. }) => told.refused(),
            Some(error) => return Err(error.into()),
            // More memory than it is worth to fill: then ask for what there cannot be.
            None => {
                let config = BufferConfig::new().payload_bytes(1 << 44);
                match Writer::options().dir(dir).create("glut-all", &config) {
                    Err(OpenError::NoSpace { .. } | OpenError::InvalidConfig { .. }) => {
                        told.refused()
                    }
                    Err(error) => return Err(error.into()),
                    Ok(_) => told.wrong(|| "16 TiB were granted".to_owned()),
                }
            }
        }
        told.done(None);
        for writer in taken {
            writer.discard_undelivered();
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3) && !is_ending() {
            told.tell_if_due()?;
            std::thread::sleep(SLICE);
        }
    }
    told.tell()
}
