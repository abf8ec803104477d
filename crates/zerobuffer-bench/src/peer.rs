//! The two processes of a measurement, and the pipe over which one tells the other what comes next.

use std::io::{BufRead, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use zerobuffer::{BufferConfig, Reader, Writer};

use super::args::{Common, Stores, Wait};
use super::pin;
use super::raw::Shared;
use zerobuffer_terminal::elastic::Elastic;

/// What the parent asks of its peer. The peer opens what it needs, answers [`Reply::Ready`], does its half,
/// and answers [`Reply::Done`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    /// Bounce a line.
    Probe,
    /// Send back every frame of `there` through `back`.
    Echo { there: Place, back: Place, bytes: usize, loaned: bool },
    /// Send back every frame of the bare ring, of so many words each.
    EchoBare { words: usize },
    /// Read a stream to its end. `v1_ring`: out of a 1.0 buffer with so large a ring, which the reader makes.
    Drain { from: Place, bytes: usize, touch: Touch, batch: usize, v1_ring: Option<usize> },
    /// Take frames out of the bare ring.
    DrainBare { slots: usize, stride: usize, bytes: usize },
    /// Read time stamps and note how old they are.
    WakeReader { from: Place, count: u32 },
    /// The same over a bare futex.
    WakeFutex { count: u32 },
    /// Wait for a frame that does not come for a while, then say what waiting cost.
    IdleReader { from: Place },
    /// Wait for room that does not come for a while, then say what waiting cost.
    IdleWriter { to: Place },
}

/// How much of each frame is written and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Touch {
    /// Copied in, every byte summed where it lies.
    All,
    /// Loaned; the first eight bytes written and read.
    Header,
}

/// A buffer, and how to wait on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) dir: PathBuf,
    pub(super) wait: Wait,
    /// When the writer keeps to a part of the ring that fits the cache.
    pub(super) elastic: Elastic,
    pub(super) stores: Stores,
}

impl Place {
    /// How long to wait for the other side to have created a buffer.
    const PATIENCE: Duration = Duration::from_secs(10);

    pub(super) fn create_writer(&self, payload_bytes: usize) -> anyhow::Result<Writer> {
        let config = BufferConfig::new().payload_bytes(payload_bytes);
        Ok(Writer::options()
            .dir(&self.dir)
            .wait_strategy(self.wait.strategy())
            .elastic(self.elastic.choice())
            .streaming_stores(self.stores.choice())
            .prefault(true)
            .full_policy(zerobuffer::FullPolicy::Block { timeout: None })
            .create(&self.name, &config)?)
    }

    pub(super) fn create_reader(&self, payload_bytes: usize) -> anyhow::Result<Reader> {
        let config = BufferConfig::new().payload_bytes(payload_bytes);
        Ok(Reader::options()
            .dir(&self.dir)
            .wait_strategy(self.wait.strategy())
            .prefault(true)
            .create(&self.name, &config)?)
    }

    pub(super) fn create_v1_reader(&self, payload_bytes: usize) -> anyhow::Result<Reader> {
        let config = BufferConfig::v1().payload_bytes(payload_bytes);
        let options = Reader::options().dir(&self.dir).wait_strategy(self.wait.strategy());
        Ok(options.create(&self.name, &config)?)
    }

    pub(super) fn connect(&self) -> anyhow::Result<Writer> {
        Ok(Writer::options()
            .dir(&self.dir)
            .wait_strategy(self.wait.strategy())
            .streaming_stores(self.stores.choice())
            .prefault(true)
            .full_policy(zerobuffer::FullPolicy::Block { timeout: None })
            .wait_for_buffer(Self::PATIENCE)
            .connect(&self.name)?)
    }

    pub(super) fn join(&self) -> anyhow::Result<Reader> {
        Ok(Reader::options()
            .dir(&self.dir)
            .wait_strategy(self.wait.strategy())
            .prefault(true)
            .wait_for_buffer(Self::PATIENCE)
            .join(&self.name)?)
    }
}

/// What the peer answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    /// Everything is open; go.
    Ready,
    /// The half is done.
    Done(Outcome),
    /// It could not be done.
    Failed(String),
}

/// What the peer found out; each request fills in its part.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) frames: u64,
    pub(super) sum: u64,
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) percentiles_ns: Vec<f64>,
}

/// The parent's end: the peer process and what they share.
#[derive(Debug)]
pub(super) struct Pair {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    pub(super) shared: Shared,
    pub(super) cores: [usize; 2],
    /// The cores this process was allowed before it was pinned.
    pub(super) allowed: Vec<usize>,
    dir: PathBuf,
    buffers: u32,
}

impl Pair {
    /// Pins this process, starts the peer and pins it too. `bare_bytes`: room for the bare ring.
    pub(super) fn start_up(common: &Common, bare_bytes: usize) -> anyhow::Result<Self> {
        let allowed = pin::allowed()?;
        let cores = pin::choose(common.cores.as_deref())?;
        let (shared, fd) = Shared::create(bare_bytes)?;
        let program = std::env::current_exe().context("find this program to start it again")?;
        let mut child = Command::new(&program)
            .arg("peer")
            .args(["--core", &cores[1].to_string(), "--fd", &fd.as_raw_fd().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {} as the other process", program.display()))?;
        pin::pin(cores[0])?;
        let to = child.stdin.take().context("the peer's input")?;
        let from = BufReader::new(child.stdout.take().context("the peer's output")?);
        let dir = common.dir.clone().unwrap_or_else(zerobuffer::default_dir);
        clean_up_on_signal(dir.clone())?;
        Ok(Self { child, to, from, shared, cores, allowed, dir, buffers: 0 })
    }

    /// A buffer name that nobody else uses.
    pub(super) fn place(&mut self, wait: Wait) -> Place {
        self.buffers += 1;
        let name = format!("{}{}", name_prefix(), self.buffers);
        let (elastic, stores) = (Elastic::Auto, Stores::Auto);
        Place { name, dir: self.dir.clone(), wait, elastic, stores }
    }

    /// Sends a request and returns once the peer is ready for it.
    pub(super) fn start(&mut self, request: &Request) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.to, request)?;
        self.to.write_all(b"\n").context("tell the other process what to do")?;
        match self.reply()? {
            Reply::Ready => Ok(()),
            other => anyhow::bail!("the other process answered {other:?} instead of being ready"),
        }
    }

    /// Waits for the end of what was started.
    pub(super) fn finish(&mut self) -> anyhow::Result<Outcome> {
        match self.reply()? {
            Reply::Done(outcome) => Ok(outcome),
            other => anyhow::bail!("the other process answered {other:?} instead of a result"),
        }
    }

    fn reply(&mut self) -> anyhow::Result<Reply> {
        let mut line = String::new();
        self.from.read_line(&mut line).context("hear from the other process")?;
        anyhow::ensure!(!line.is_empty(), "the other process of the measurement ended early");
        match serde_json::from_str(&line)? {
            Reply::Failed(why) => anyhow::bail!("in the other process: {why}"),
            reply => Ok(reply),
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // It may be spinning on something that will not come.
        let _ = self.child.kill();
        let _ = self.child.wait();
        remove_buffers(&self.dir);
    }
}

/// What the names of this process's buffers start with.
fn name_prefix() -> String {
    format!("zerobuffer-bench-{}-", std::process::id())
}

/// Removes what a measurement that ended early left behind.
fn remove_buffers(dir: &Path) {
    let prefix = name_prefix();
    for found in zerobuffer::inspect::list(dir).into_iter().flatten() {
        if found.name.starts_with(&prefix) {
            // Nobody but this process and its peer knew the name; what cannot be removed, `ls` shows.
            let _ = zerobuffer::inspect::remove(&found.name, dir, true);
        }
    }
}

/// On Ctrl-C: ends the program at once, but leaves no buffer behind. The peer dies with its parent.
fn clean_up_on_signal(dir: PathBuf) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    if !zerobuffer_terminal::signals::is_ignored(SIGHUP) {
        signals.add_signal(SIGHUP)?;
    }
    // It only ever sleeps, so it takes nothing from what is measured.
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            remove_buffers(&dir);
            std::process::exit(128 + signal);
        }
    })?;
    Ok(())
}

/// Tells the parent that everything is open.
pub(super) fn ready() -> anyhow::Result<()> {
    say(&Reply::Ready)
}

pub(super) fn say(reply: &Reply) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, reply)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Parses a request or a reply.
#[cfg(fuzzing)]
pub(crate) fn fuzz_line(text: &str) {
    crate::fuzzing::survives_a_round::<Request>(text);
    crate::fuzzing::survives_a_round::<Reply>(text);
}
