//! The deployed Python package, `zerobuffer-ipc`: two Python processes, pinned like ours, that time themselves.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;

use crate::leftovers;
use crate::work::Found;

const SCRIPT: &str = include_str!("deployed.py");
const CALLS: &str = include_str!("deployed_calls.py");

#[derive(Debug)]
pub(crate) struct Deployed {
    python: PathBuf,
    pub(crate) version: String,
    runs: AtomicU32,
}

impl Deployed {
    pub(crate) const NAME: &'static str = "python zerobuffer-ipc";

    /// `python`: the interpreter that has the package.
    pub(crate) fn find(python: &Path) -> anyhow::Result<Self> {
        let ask = "import zerobuffer, importlib.metadata as m; print(m.version('zerobuffer-ipc'))";
        let told = Command::new(python)
            .args(["-c", ask])
            .output()
            .with_context(|| format!("start {}", python.display()))?;
        let why = String::from_utf8_lossy(&told.stderr);
        anyhow::ensure!(told.status.success(), "the package is not there: {}", why.trim());
        let version = String::from_utf8_lossy(&told.stdout).trim().to_owned();
        Ok(Self { python: python.to_owned(), version, runs: AtomicU32::new(0) })
    }

    fn end(&self, script: &str, role: &str, core: usize, name: &str, rest: &[u64]) -> Command {
        let mut command = Command::new(&self.python);
        command.args(["-c", script, role, &core.to_string(), name]);
        command.args(rest.iter().map(u64::to_string)).stderr(Stdio::null());
        command
    }

    /// Starts the end that makes the buffer, and waits until it is ready.
    fn start(
        &self,
        script: &str,
        role: &str,
        core: usize,
        name: &str,
        ring: u64,
    ) -> anyhow::Result<(Child, Lines<BufReader<ChildStdout>>)> {
        let mut end = self
            .end(script, role, core, name, &[ring])
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start the {role}"))?;
        let output = end.stdout.take().with_context(|| format!("the {role}'s output"))?;
        let mut lines = BufReader::new(output).lines();
        let ready = lines.next().with_context(|| format!("the {role} ended early"))??;
        anyhow::ensure!(ready == "ready", "the {role} said {ready}");
        Ok((end, lines))
    }

    /// Frames a second of one stream, as the reader sees it.
    pub(crate) fn stream(
        &self,
        cores: [usize; 2],
        bytes: usize,
        ring: usize,
        millis: u64,
    ) -> anyhow::Result<Found> {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}python-{run}", leftovers::prefix());
        let (bytes, ring) = (bytes as u64, ring as u64);
        let (mut reader, mut lines) = self.start(SCRIPT, "reader", cores[1], &name, ring)?;
        let wrote = self.end(SCRIPT, "writer", cores[0], &name, &[bytes, millis]).status();
        if !wrote.as_ref().is_ok_and(std::process::ExitStatus::success) {
            // Nothing will come that it could end by.
            let _ = reader.kill();
        }
        let rate = lines.next();
        reader.wait()?;
        for side in ["r", "w"] {
            // The package's reader leaves its semaphores behind.
            let _ = std::fs::remove_file(format!("/dev/shm/sem.sem-{side}-{name}"));
        }
        anyhow::ensure!(wrote?.success(), "the writer failed");
        let value = rate.context("the reader ended early")??.parse()?;
        Ok(Found { value, ages: Vec::new() })
    }

    /// Nanoseconds from a request to its answer, as the client sees it.
    pub(crate) fn call(
        &self,
        cores: [usize; 2],
        bytes: usize,
        ring: usize,
        millis: u64,
    ) -> anyhow::Result<Found> {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}calls-{run}", leftovers::prefix());
        let (bytes, ring) = (bytes as u64, ring as u64);
        let (mut server, _lines) = self.start(CALLS, "server", cores[1], &name, ring)?;
        let asked = self.end(CALLS, "client", cores[0], &name, &[bytes, millis]).output();
        // It serves until it is ended.
        let _ = server.kill();
        server.wait()?;
        for buffer in ["request", "response"] {
            for side in ["r", "w"] {
                let _ = std::fs::remove_file(format!("/dev/shm/sem.sem-{side}-{name}_{buffer}"));
            }
            let _ = std::fs::remove_file(format!("/dev/shm/{name}_{buffer}"));
        }
        let asked = asked?;
        anyhow::ensure!(asked.status.success(), "the client failed");
        let value = String::from_utf8_lossy(&asked.stdout).trim().parse()?;
        Ok(Found { value, ages: Vec::new() })
    }
}
