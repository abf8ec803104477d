//! Ctrl-C and SIGTERM: counted, never acted upon in the handler.
//!
//! The first one means "finish what is there and leave", the second "leave now". Commands ask between frames
//! and at least ten times a second while they wait.

use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};

/// How long a command waits for anything before it looks at the signals again.
pub(crate) const SLICE: Duration = Duration::from_millis(100);

static COUNT: AtomicUsize = AtomicUsize::new(0);
static LAST: AtomicI32 = AtomicI32::new(0);

/// Starts counting; before this the signals end the process as usual.
pub(crate) fn install() -> anyhow::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            LAST.store(signal, Ordering::Relaxed);
            COUNT.fetch_add(1, Ordering::Relaxed);
        }
    })?;
    Ok(())
}

/// Whether to finish.
pub(crate) fn stopping() -> bool {
    COUNT.load(Ordering::Relaxed) > 0
}

/// Whether to leave without finishing.
pub(crate) fn insisting() -> bool {
    COUNT.load(Ordering::Relaxed) > 1
}

/// What a shell expects of a program that ended early because of a signal.
pub(crate) fn exit_code() -> u8 {
    128 + u8::try_from(LAST.load(Ordering::Relaxed)).unwrap_or(0)
}

/// Sleeps, but not through a signal.
pub(crate) fn sleep(duration: Duration) {
    let end = Instant::now() + duration;
    while !stopping() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(SLICE));
    }
}
