//! What the integration tests share: directories, frames that tell what they are, and peers that are threads or
//! processes.
//!
//! A scenario is one function over [`Placement`] and [`WaitStrategy`]; [`everywhere`] makes its tests. Its other
//! side is a *role*: a function of a [`Call`], run in a thread, or in a process that executes this test program
//! again (see [`child`]). The two sides tell each other things by *signals*: files, which work in both placements.
#![allow(dead_code, unused_macros, unused_imports, unreachable_pub)] // Each test program uses some of it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use zerobuffer::{Reader, ReaderOptions, StreamingStores, WaitStrategy, Writer, WriterOptions};

/// Longer than anything here takes; only a test that hangs meets it.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long the system keeps looking before it notices a death, with room for a busy machine.
pub const NOTICE: Duration = Duration::from_secs(30);

const ROLE: &str = "ZEROBUFFER_TEST_ROLE";
const ROOT: &str = "ZEROBUFFER_TEST_ROOT";
const WAIT: &str = "ZEROBUFFER_TEST_WAIT";
const NUMBERS: &str = "ZEROBUFFER_TEST_NUMBERS";

/// Where the other side runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    Threads,
    Processes,
}

/// A directory of its own for every test, on the same tmpfs that users have.
pub fn shm_dir() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("zerobuffer-test-").tempdir_in("/dev/shm").unwrap()
}

/// Options with a directory.
pub fn writer_in(dir: &Path) -> WriterOptions {
    Writer::options().dir(dir)
}

/// Options with a directory.
pub fn reader_in(dir: &Path) -> ReaderOptions {
    Reader::options().dir(dir)
}

/// Byte `i` of frame `sequence`, different for every frame and place.
pub fn byte(sequence: u64, i: usize) -> u8 {
    (sequence.wrapping_mul(31) as usize + i * 7 + (i >> 8)) as u8
}

/// A frame whose contents say which it is.
pub fn frame(sequence: u64, len: usize) -> Vec<u8> {
    (0..len).map(|i| byte(sequence, i)).collect()
}

/// Whether all bytes are those of frame `sequence`.
pub fn is_frame(sequence: u64, bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(i, &b)| b == byte(sequence, i))
}

/// A length between 1 and `max`, different from frame to frame, sometimes tiny.
pub fn some_len(sequence: u64, max: usize) -> usize {
    let mixed = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17;
    if mixed.is_multiple_of(5) { 1 + (mixed % 9) as usize } else { 1 + mixed as usize % max }
}

/// From this size on frames may be copied in with streaming stores.
pub const LARGE: usize = 2048;
pub const STORES: [StreamingStores; 3] =
    [StreamingStores::Auto, StreamingStores::Never, StreamingStores::Always];

/// That of `large` frames as many were streamed as the choice says.
#[track_caller]
pub fn assert_streamed(stores: StreamingStores, streamed: u64, large: u64) {
    match stores {
        StreamingStores::Never => assert_eq!(streamed, 0),
        StreamingStores::Always => assert_eq!(streamed, large),
        // Both ways were tried, at least.
        StreamingStores::Auto => {
            let tried = cfg!(target_arch = "x86_64");
            assert!(streamed < large && (streamed > 0) == tried, "{streamed} of {large}");
        }
    }
}

/// Files left in a directory.
pub fn left_behind(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Waits for a condition; the watchdog is the only clock.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Ends the program when a test hangs in a call.
#[derive(Debug)]
pub struct Watchdog(std::sync::mpsc::Sender<()>);

impl Watchdog {
    pub fn new(what: &str) -> Self {
        let (alive, watched) = std::sync::mpsc::channel();
        let (started, watching) = std::sync::mpsc::channel();
        let what = what.to_owned();
        std::thread::spawn(move || {
            started.send(()).unwrap();
            if watched.recv_timeout(2 * PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                eprintln!("hangs: {what}");
                std::process::abort();
            }
        });
        // A thread that starts later would need memory and descriptors just when a test has taken them away.
        watching.recv().unwrap();
        Self(alive)
    }
}

/// What a role is called with.
#[derive(Debug, Clone)]
pub struct Call {
    pub role: String,
    root: PathBuf,
    pub wait: WaitStrategy,
    pub numbers: Vec<u64>,
}

impl Call {
    pub fn dir(&self) -> PathBuf {
        self.root.join("buffers")
    }

    /// Options of this side's writer: its directory and way of waiting.
    pub fn writer(&self) -> WriterOptions {
        writer_in(&self.dir()).wait_strategy(self.wait)
    }

    /// Options of this side's reader, which waits for the buffer.
    pub fn reader(&self) -> ReaderOptions {
        reader_in(&self.dir()).wait_strategy(self.wait).wait_for_buffer(PATIENCE)
    }

    pub fn signal(&self, name: &str) {
        std::fs::write(self.root.join(name), "").unwrap();
    }

    #[track_caller]
    pub fn await_signal(&self, name: &str) {
        let path = self.root.join(name);
        until(name, || path.exists());
    }

    /// Adds a number to a list that outlives this process.
    pub fn note(&self, list: &str, number: u64) {
        use std::io::Write as _;
        let path = self.root.join(list);
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(&number.to_le_bytes()).unwrap();
    }

    /// The numbers of all lists whose names begin so.
    pub fn notes(&self, prefix: &str) -> Vec<u64> {
        let entries = std::fs::read_dir(&self.root).unwrap().map(|entry| entry.unwrap());
        let lists = entries.filter(|entry| entry.file_name().to_str().unwrap().starts_with(prefix));
        let bytes = lists.flat_map(|entry| std::fs::read(entry.path()).unwrap());
        let bytes: Vec<u8> = bytes.collect();
        bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
    }

    /// Waits to be killed.
    pub fn linger(&self) -> ! {
        loop {
            std::thread::park_timeout(PATIENCE);
        }
    }
}

/// A test's place: directories, watchdog, peers. Nothing may be left in it at the end.
#[derive(Debug)]
pub struct Stage {
    call: Call,
    role: fn(&Call),
    placement: Placement,
    _watchdog: Watchdog,
    root: tempfile::TempDir,
}

impl Stage {
    #[track_caller]
    pub fn new(placement: Placement, wait: WaitStrategy, role: fn(&Call)) -> Self {
        let root = shm_dir();
        std::fs::create_dir(root.path().join("buffers")).unwrap();
        let at = std::panic::Location::caller();
        let call = Call {
            role: String::new(),
            root: root.path().to_path_buf(),
            wait,
            numbers: Vec::new(),
        };
        Self { call, role, placement, _watchdog: Watchdog::new(&at.to_string()), root }
    }

    /// Starts the other side.
    pub fn start(&self, role: &str, numbers: &[u64]) -> Peer {
        let call = Call { role: role.into(), numbers: numbers.into(), ..self.call.clone() };
        match self.placement {
            Placement::Threads => {
                let run = self.role;
                Peer(Running::Thread(Some(std::thread::spawn(move || run(&call)))))
            }
            Placement::Processes => {
                let program = Command::new(std::env::current_exe().unwrap());
                Peer(Running::Process(spawn(program, &call)))
            }
        }
    }

    /// Starts the other side in a process that `wrapper`, a shell script, prepares and then executes as `"$@"`.
    pub fn start_through(&self, wrapper: &[&str], role: &str, numbers: &[u64]) -> Peer {
        let call = Call { role: role.into(), numbers: numbers.into(), ..self.call.clone() };
        let mut program = Command::new(wrapper[0]);
        program.args(&wrapper[1..]).arg(std::env::current_exe().unwrap());
        Peer(Running::Process(spawn(program, &call)))
    }
}

impl std::ops::Deref for Stage {
    type Target = Call;

    fn deref(&self) -> &Call {
        &self.call
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(left_behind(&self.dir()), [""; 0], "left behind");
        }
    }
}

fn spawn(mut program: Command, call: &Call) -> Child {
    let wait = match call.wait {
        WaitStrategy::Spin => "spin",
        WaitStrategy::SpinThenPark => "spin-then-park",
        WaitStrategy::Park => "park",
    };
    let numbers: Vec<_> = call.numbers.iter().map(u64::to_string).collect();
    program
        .args(["--exact", "child_role", "--nocapture", "--test-threads", "1"])
        .env(ROLE, &call.role)
        .env(ROOT, &call.root)
        .env(WAIT, wait)
        .env(NUMBERS, numbers.join(","))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The entry of a child process: plays the role that the environment names, if it does.
pub fn child(role: fn(&Call)) {
    let Ok(name) = std::env::var(ROLE) else { return };
    let _watchdog = Watchdog::new(&name);
    let numbers = std::env::var(NUMBERS).unwrap();
    role(&Call {
        role: name,
        root: std::env::var_os(ROOT).unwrap().into(),
        wait: match std::env::var(WAIT).unwrap().as_str() {
            "spin" => WaitStrategy::Spin,
            "park" => WaitStrategy::Park,
            _ => WaitStrategy::SpinThenPark,
        },
        numbers: numbers.split(',').filter(|n| !n.is_empty()).map(|n| n.parse().unwrap()).collect(),
    });
}

/// The other side, running.
#[derive(Debug)]
#[must_use]
pub struct Peer(Running);

#[derive(Debug)]
enum Running {
    Thread(Option<JoinHandle<()>>),
    Process(Child),
}

impl Peer {
    /// Waits for its end, which must be a good one.
    #[track_caller]
    pub fn finish(mut self) {
        match &mut self.0 {
            Running::Thread(thread) => {
                let thread = thread.take().unwrap();
                if let Err(panic) = thread.join() {
                    std::panic::resume_unwind(panic);
                }
            }
            Running::Process(child) => {
                let status = child.wait().unwrap();
                assert!(status.success(), "the other process failed: {status}");
            }
        }
    }

    /// Waits for its end, whatever that is.
    pub fn end(mut self) -> std::process::ExitStatus {
        self.child().wait().unwrap()
    }

    fn child(&mut self) -> &mut Child {
        match &mut self.0 {
            Running::Process(child) => child,
            Running::Thread(_) => panic!("a thread cannot be killed"),
        }
    }

    pub fn pid(&mut self) -> u32 {
        self.child().id()
    }

    /// Ends it as a crash does, and waits until it is gone. It must not have failed by itself.
    #[track_caller]
    pub fn kill(mut self) {
        self.child().kill().unwrap();
        let status = self.child().wait().unwrap();
        let failed = status.code().is_some_and(|code| code != 0);
        assert!(!failed, "the other process had failed before: {status}");
    }

    pub fn send(&mut self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(self.child());
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Stops it, and waits until it is stopped.
    pub fn stop(&mut self) {
        self.send(rustix::process::Signal::STOP);
        let stat = format!("/proc/{}/stat", self.pid());
        until("the process is stopped", || {
            let text = std::fs::read_to_string(&stat).unwrap();
            text.rsplit_once(')').unwrap().1.trim_start().starts_with('T')
        });
    }

    /// Lets it go on.
    pub fn resume(&mut self) {
        self.send(rustix::process::Signal::CONT);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Running::Process(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Makes a test of each scenario for both placements and all ways of waiting.
macro_rules! everywhere {
    ($($scenario:ident),+ $(,)?) => {$(
        mod $scenario {
            use super::common::Placement::{Processes, Threads};
            use zerobuffer::WaitStrategy::{Park, Spin, SpinThenPark};

            #[test]
            fn in_threads_spinning() {
                super::$scenario(Threads, Spin);
            }
            #[test]
            fn in_threads_spinning_then_parked() {
                super::$scenario(Threads, SpinThenPark);
            }
            #[test]
            fn in_threads_parked() {
                super::$scenario(Threads, Park);
            }
            #[test]
            fn in_processes_spinning() {
                super::$scenario(Processes, Spin);
            }
            #[test]
            fn in_processes_spinning_then_parked() {
                super::$scenario(Processes, SpinThenPark);
            }
            #[test]
            fn in_processes_parked() {
                super::$scenario(Processes, Park);
            }
        }
    )+};
}
pub(crate) use everywhere;
