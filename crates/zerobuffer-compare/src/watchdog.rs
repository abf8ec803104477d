//! Ends a sample that does not end by itself: the other process is killed, and if this one still waits for it then,
//! the whole run ends and says at what.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Far longer than any sample takes.
const PATIENCE: Duration = Duration::from_secs(90);
/// For this process to notice that the other one is gone.
const GRACE: Duration = Duration::from_secs(20);

#[derive(Debug, Default)]
pub(crate) struct Watchdog;

/// While it lives, the watchdog waits.
#[derive(Debug)]
pub(crate) struct Expecting {
    _ended: Sender<()>,
}

impl Watchdog {
    /// Watches until the returned value is dropped.
    pub(crate) fn expect_end(&self, other: Option<Pid>, case: &str, peer: &str) -> Expecting {
        let (ended, end) = channel::<()>();
        let what = format!("{peer} at {case}");
        // It only ever sleeps, so it takes nothing from what is measured.
        std::thread::spawn(move || {
            if end.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            eprintln!("{what}: nothing happened for {} s", PATIENCE.as_secs());
            if let Some(other) = other {
                // It may have ended meanwhile.
                let _ = kill_process(other, Signal::KILL);
            }
            if end.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{what}: this end does not notice that the other one is gone; giving up");
                std::process::exit(1);
            }
        });
        Expecting { _ended: ended }
    }
}
