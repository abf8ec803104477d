//! Buffers of their own for each test, and child processes.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::v1::ground::locks::LockDirs;
use crate::wait::Patience;

/// Long enough that only a hang meets it.
pub(super) const WATCHDOG: Patience = Patience::For(Some(Duration::from_secs(60)));

/// A buffer name that nobody else uses; removes whatever carries it, before and after.
#[derive(Debug)]
pub(super) struct Unique(pub(super) String);

impl Unique {
    pub(super) fn new(what: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let unique = Self(format!("zbv1-{what}-{}-{number}", std::process::id()));
        unique.remove();
        unique
    }

    pub(super) fn segment(&self) -> PathBuf {
        PathBuf::from("/dev/shm").join(&self.0)
    }

    pub(super) fn semaphores(&self) -> [PathBuf; 2] {
        ["w", "r"].map(|which| format!("/dev/shm/sem.sem-{which}-{}", self.0).into())
    }

    pub(super) fn lock_files(&self) -> Vec<PathBuf> {
        LockDirs::deployed().paths(&self.0).collect()
    }

    /// Everything in the file system that carries this name.
    pub(super) fn traces(&self) -> Vec<PathBuf> {
        let mut paths = vec![self.segment()];
        paths.extend(self.semaphores());
        paths.extend(self.lock_files());
        paths.retain(|path| path.symlink_metadata().is_ok());
        paths
    }

    fn remove(&self) {
        for path in self.traces() {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Unique {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A process that ends with its owner.
#[derive(Debug)]
pub(super) struct Process(pub(super) Child);

impl Process {
    /// This test program again, running only `test` with `role` in its environment (see [`role`]).
    pub(super) fn of_test(test: &str, role: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env("ZEROBUFFER_V1_ROLE", role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    pub(super) fn pid(&self) -> u64 {
        u64::from(self.0.id())
    }

    /// Kills it without a chance to clean up, and waits until it is gone.
    pub(super) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    pub(super) fn wait_success(&mut self) {
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a child process of [`Process::of_test`] is to do: `role:argument`.
pub(super) fn role() -> Option<(String, String)> {
    let role = std::env::var("ZEROBUFFER_V1_ROLE").ok()?;
    let (role, argument) = role.split_once(':')?;
    Some((role.to_owned(), argument.to_owned()))
}

/// Repeats until it is true; a hang is ended by the test runner.
pub(super) fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        std::thread::sleep(Duration::from_millis(1));
    }
}
