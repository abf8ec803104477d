//! Ends a sample that does not end by itself: the other process is killed, and if this one still waits for it then,
//! the whole run ends, with what it has found by then, and says at what.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::leftovers;
use crate::result::Missing;

/// Far longer than any sample takes.
const PATIENCE: Duration = Duration::from_secs(90);
/// For this process to notice that the other one is gone.
const GRACE: Duration = Duration::from_secs(20);

/// What to do with what was found before the run was given up.
type LastWords = Box<dyn FnOnce(Missing) + Send>;

#[derive(Default)]
pub(crate) struct Watchdog(Arc<Mutex<Option<LastWords>>>);

impl std::fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watchdog").finish_non_exhaustive()
    }
}

/// While it lives, the watchdog waits.
#[derive(Debug)]
pub(crate) struct Expecting {
    _ended: Sender<()>,
}

impl Watchdog {
    /// Replaces what is done when the run is given up.
    pub(crate) fn when_giving_up(&self, last_words: impl FnOnce(Missing) + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(last_words));
    }

    /// Watches until the returned value is dropped.
    pub(crate) fn expect_end(&self, other: Option<Pid>, case: &str, peer: &str) -> Expecting {
        let (ended, end) = channel::<()>();
        let what = format!("{peer} at {case}");
        let (case, peer, last_words) = (case.to_owned(), peer.to_owned(), self.0.clone());
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
                if let Some(say) = last_words.lock().unwrap_or_else(PoisonError::into_inner).take()
                {
                    say(Missing {
                        peer,
                        why: format!("{case}: stood still, and the run ended there"),
                    });
                }
                leftovers::remove();
                std::process::exit(1);
            }
        });
        Expecting { _ended: ended }
    }
}
