//! The two processes of a measurement. The other one is this program again; what is compared inside one process gets a
//! thread instead.

use std::io::{BufRead, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::peers::kind::Kind;
use crate::peers::{Link, Wait};
use crate::request::{Outcome, Reply, Request, Serve};
use crate::shared::Shared;
use crate::{leftovers, pin};

/// The measuring process's end.
#[derive(Debug)]
pub(crate) struct Pair {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    /// Answers of a thread, while one stands in for the process.
    thread: Option<Receiver<Reply>>,
    /// What the thread does.
    serve: Serve,
    pub(crate) shared: Arc<Shared>,
    pub(crate) cores: [usize; 2],
    dir: TempDir,
}

impl Pair {
    /// Pins this process and starts the other one, pinned too.
    pub(crate) fn start_up(cores: [usize; 2], serve: Serve) -> anyhow::Result<Self> {
        let (shared, fd) = Shared::create()?;
        let program = std::env::current_exe().context("find this program to start it again")?;
        let mut child = Command::new(program)
            .args(["other", &cores[1].to_string(), &fd.as_raw_fd().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the other process")?;
        pin::pin(cores[0])?;
        let to = child.stdin.take().context("the other process's input")?;
        let from = BufReader::new(child.stdout.take().context("the other process's output")?);
        let dir = leftovers::directory()?;
        Ok(Self { child, to, from, thread: None, serve, shared: Arc::new(shared), cores, dir })
    }

    /// The other process's number.
    pub(crate) fn other_process(&self) -> Option<rustix::process::Pid> {
        rustix::process::Pid::from_raw(i32::try_from(self.child.id()).ok()?)
    }

    /// The directory of what links are made of, in memory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A link that nobody else uses.
    pub(crate) fn link(&self, bytes: usize, ring: usize, wait: Wait) -> Link {
        let name = leftovers::fresh_name();
        let dir = self.dir.path().to_owned();
        Link { name, dir, bytes, ring, wait, readers: 1, sharing: false }
    }

    /// Sends a request. Both sides then open their ends, in the same order, before [`ready`](Self::ready).
    pub(crate) fn ask(&mut self, request: &Request) -> anyhow::Result<()> {
        if request.kind().is_some_and(Kind::in_process) {
            let (replies, answers) = channel();
            let (request, shared, core) = (request.clone(), self.shared.clone(), self.cores[1]);
            let serve = self.serve;
            std::thread::Builder::new().name("other".into()).spawn(move || {
                let mut say = |reply| replies.send(reply).context("the measurement ended");
                let result = pin::pin(core).and_then(|()| serve(&shared, request, &mut say));
                let last = match result {
                    Ok(outcome) => Reply::Done(outcome),
                    Err(why) => Reply::Failed(format!("{why:#}")),
                };
                // Nobody listens any more if this side failed first.
                let _ = replies.send(last);
            })?;
            self.thread = Some(answers);
            return Ok(());
        }
        serde_json::to_writer(&mut self.to, request)?;
        self.to.write_all(b"\n").context("tell the other process what to do")
    }

    /// Returns once the other side has opened its ends.
    pub(crate) fn ready(&mut self) -> anyhow::Result<()> {
        match self.reply()? {
            Reply::Ready => Ok(()),
            other => anyhow::bail!("the other process answered {other:?} instead of being ready"),
        }
    }

    /// Waits for the end of what was asked for.
    pub(crate) fn finish(&mut self) -> anyhow::Result<Outcome> {
        let reply = self.reply()?;
        self.thread = None;
        match reply {
            Reply::Done(outcome) => Ok(outcome),
            other => anyhow::bail!("the other process answered {other:?} instead of a result"),
        }
    }

    fn reply(&mut self) -> anyhow::Result<Reply> {
        let reply = match &self.thread {
            Some(answers) => answers.recv().context("the other thread ended early")?,
            None => {
                let mut line = String::new();
                self.from.read_line(&mut line).context("hear from the other process")?;
                anyhow::ensure!(!line.is_empty(), "the other process ended early");
                serde_json::from_str(&line)?
            }
        };
        match reply {
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
        leftovers::remove_buffers();
    }
}
