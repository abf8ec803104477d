//! Leaves nothing behind: buffers, sockets and pipes of a run go when it ends, also when it is interrupted.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::io::Errno;
use rustix::process::WaitOptions;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::peers::bare;
use crate::peers::ours_v1::DIR;

/// For processes that were killed to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// What all names of this run start with.
pub(crate) fn prefix() -> String {
    format!("zerobuffer-compare-{}-", std::process::id())
}

/// A name that nobody else uses.
pub(crate) fn fresh_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}{}", prefix(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A directory for sockets, pipes, names and drivers.
pub(crate) fn directory() -> std::io::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix(&prefix()).tempdir_in(bare::DIR)
}

/// Removes the buffers of measurements that ended early.
pub(crate) fn remove_buffers() {
    for entry in std::fs::read_dir(bare::DIR).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&prefix()) && name.ends_with(bare::SUFFIX) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    for dir in [zerobuffer::default_dir(), DIR.into()] {
        for found in zerobuffer::inspect::list(&dir).into_iter().flatten() {
            if found.name.starts_with(&prefix()) {
                // Nobody else knew the name; what cannot be removed, `zerobuffer ls` shows.
                let _ = zerobuffer::inspect::remove(&found.name, &dir, true);
            }
        }
    }
}

fn directories() -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(bare::DIR).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix()))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
}

/// Removes everything, before this program ends in the middle.
pub(crate) fn remove() {
    remove_buffers();
    for directory in directories() {
        // Somebody may still write into it; then it stays.
        let _ = std::fs::remove_dir_all(directory);
    }
}

/// On Ctrl-C: ends the program at once, but leaves nothing behind.
///
/// It becomes another program that cleans up, with the same process id: so no thread of this one makes anything any more,
/// and the other process, which dies with the thread that started it, does not either.
pub(crate) fn clean_up_on_signal() -> anyhow::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    let program = std::env::current_exe().context("find this program to start it again")?;
    // It only ever sleeps, so it takes nothing from what is measured.
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let why = Command::new(program).args(["clean-up", &signal.to_string()]).exec();
            eprintln!("cannot clean up as another program ({why}); some of it may stay");
            remove();
            std::process::exit(128 + signal);
        }
    })?;
    Ok(())
}

/// Waits for the other processes of the run, which are dying, and removes what they leave.
pub(crate) fn clean_up(signal: i32) -> ! {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            // Nobody is left.
            Err(_) => break,
        }
    }
    remove();
    std::process::exit(128 + signal);
}
