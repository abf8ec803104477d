//! Both ends of a buffer as threads of one process, over the public interface: what ThreadSanitizer watches.
//!
//! ```text
//! threads                     every scenario
//! threads WORD                those whose name has the word in it
//! threads --planted NAME      a race on purpose; ThreadSanitizer has to report it
//! ```
//!
//! `cargo xtask tsan` builds it, and the library with it, for ThreadSanitizer. Without, it is one more test of threads.
//! No test harness: the standard library is not built for ThreadSanitizer, and the harness's channels look like races.
//! For the same reason threads here share nothing by `Arc` or `Mutex`.
#![allow(missing_docs)]

mod planted;
mod scenarios;
mod v1;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use zerobuffer::{BufferConfig, OwnedFrame, Reader, ReaderOptions, Writer, WriterOptions};

/// Longer than any scenario takes; only one that hangs meets it.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let dir = tempfile::Builder::new().prefix("zerobuffer-test-").tempdir_in("/dev/shm").unwrap();
    if let [flag, name] = &words[..]
        && flag == "--planted"
    {
        return planted::run(name, Place::new(dir.path(), name));
    }
    // Flags are the test harness's; there is none.
    let filter = words.iter().find(|word| !word.starts_with('-')).map_or("", String::as_str);
    watch();
    let mut ran = 0;
    for (name, scenario) in scenarios::ALL.iter().chain(&v1::ALL) {
        if name.contains(filter) {
            *CURRENT.lock().unwrap() = name;
            STARTED.fetch_add(1, Ordering::Relaxed);
            println!("threads: {name}");
            scenario(Place::new(dir.path(), name));
            ran += 1;
        }
    }
    println!("threads: {ran} scenarios passed");
}

static CURRENT: Mutex<&str> = Mutex::new("");
static STARTED: AtomicU64 = AtomicU64::new(0);

/// Ends the process when a scenario hangs.
fn watch() {
    std::thread::spawn(|| {
        loop {
            let before = STARTED.load(Ordering::Relaxed);
            std::thread::sleep(PATIENCE);
            if STARTED.load(Ordering::Relaxed) == before {
                eprintln!("threads: `{}` hangs", CURRENT.lock().unwrap());
                std::process::exit(1);
            }
        }
    });
}

/// Its name, and what it does in a place of its own.
type Scenario = (&'static str, fn(Place));

/// A directory of its own for each buffer.
#[derive(Debug, Clone)]
struct Place(PathBuf);

const NAME: &str = "threads";

impl Place {
    fn new(all: &Path, scenario: &str) -> Self {
        let dir = all.join(scenario.replace(' ', "-"));
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    fn writer(&self) -> WriterOptions {
        Writer::options().dir(&self.0)
    }

    fn reader(&self) -> ReaderOptions {
        Reader::options().dir(&self.0)
    }
}

/// Something that one thread tells the others. Never freed: ThreadSanitizer does not see what `Arc` orders.
#[derive(Debug, Clone, Copy)]
struct Signal(&'static AtomicBool);

impl Signal {
    fn new() -> Self {
        Self(Box::leak(Box::default()))
    }

    /// Orders nothing: that is for what is tested.
    fn give(self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_given(self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn wait(self) {
        while !self.is_given() {
            std::thread::yield_now();
        }
    }
}

/// Threads that look at kept frames and release them, out of order, each some of them.
#[derive(Debug, Default)]
struct Keepers {
    kept: Vec<OwnedFrame>,
    threads: Vec<JoinHandle<()>>,
}

impl Keepers {
    fn keep(&mut self, frame: OwnedFrame) {
        self.kept.push(frame);
        if self.kept.len() == 4 {
            let mut frames = std::mem::take(&mut self.kept);
            self.threads.push(start(move || {
                while !frames.is_empty() {
                    let frame = frames.swap_remove(frames.len() / 2);
                    check(frame.sequence(), &frame);
                }
            }));
        }
        if self.threads.len() > 2 {
            finish([self.threads.remove(0)]);
        }
    }

    fn finish(self) {
        finish(self.threads);
    }
}

/// A small ring, so that it laps often and is full often.
fn small() -> BufferConfig {
    BufferConfig::new().payload_bytes(1 << 14).metadata_bytes(64).reader_slots(8)
}

/// Lengths that are copied word by word, copied at once, aligned to lines, and long in the ring.
fn len(sequence: u64) -> usize {
    [1, 8, 100, 128, 129, 700, 1024, 3000][(sequence % 8) as usize]
}

/// A frame that tells its number in every byte.
fn frame(sequence: u64, len: usize) -> Vec<u8> {
    vec![sequence as u8; len]
}

/// Looks at every byte.
fn check(sequence: u64, bytes: &[u8]) {
    assert!(bytes.iter().all(|&byte| byte == sequence as u8), "frame {sequence} is torn");
}

fn start(work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::spawn(work)
}

fn finish(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        if thread.join().is_err() {
            // What it had to say it has said.
            std::process::exit(1);
        }
    }
}
