//! Ctrl-C, SIGTERM and SIGHUP: counted, never acted upon in the handler.
//!
//! The first one means "finish what is there and leave", and there is a time for that: whoever sends just one
//! (`docker stop`, systemd, `timeout`) need not send another. The second one means "leave now". Commands ask between
//! frames and at least ten times a second while they wait.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::messages::say;
pub use crate::way::SLICE;

/// How long finishing may take, unless told otherwise.
pub const GRACE: Duration = Duration::from_secs(5);
/// The same, while nothing moves at all: nobody reads our output, no reader came.
const STANDSTILL: Duration = Duration::from_millis(1500);
/// Who is done sooner need not be told of the time there is.
const UNSAID: Duration = Duration::from_millis(300);

static COUNT: AtomicUsize = AtomicUsize::new(0);
static LAST: AtomicI32 = AtomicI32::new(0);
static BEGUN: OnceLock<Instant> = OnceLock::new();
static LIMITS: OnceLock<Limits> = OnceLock::new();
/// When the first signal came, and when something moved last after it: in milliseconds since the beginning.
static FIRST_MS: AtomicU64 = AtomicU64::new(0);
static MOVED_MS: AtomicU64 = AtomicU64::new(0);
static SAID: AtomicBool = AtomicBool::new(false);

/// How long finishing may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    grace: Duration,
    standstill: Duration,
}

/// Starts counting; before this the signals end the process as usual. `grace`: how long finishing may take, if that
/// was asked for.
pub fn install(grace: Option<Duration>) -> anyhow::Result<()> {
    BEGUN.get_or_init(Instant::now);
    LIMITS.get_or_init(|| match grace {
        Some(grace) => Limits { grace, standstill: grace },
        None => Limits { grace: GRACE, standstill: STANDSTILL },
    });
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    // `nohup` has it ignored, and so it stays.
    if !is_ignored(SIGHUP) {
        signals.add_signal(SIGHUP)?;
    }
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            LAST.store(signal, Ordering::Relaxed);
            if COUNT.load(Ordering::Relaxed) == 0 {
                FIRST_MS.store(now_ms(), Ordering::Relaxed);
            }
            // COUNTED: pairs with the load in `stopping`.
            COUNT.fetch_add(1, Ordering::Release);
        }
    })?;
    Ok(())
}

/// Whether this process was started with a signal ignored. Where nobody can tell, it was not.
pub fn is_ignored(signal: i32) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

fn now_ms() -> u64 {
    let begun = BEGUN.get_or_init(Instant::now);
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Whether to finish.
pub fn stopping() -> bool {
    // COUNTED: pairs with the increment.
    COUNT.load(Ordering::Acquire) > 0
}

/// Whether to leave without finishing: a second signal came, or the time is over. Until then, says once how long it
/// is.
pub fn insisting() -> bool {
    match COUNT.load(Ordering::Acquire) {
        0 => return false,
        1 => {}
        _ => return true,
    }
    let Some(&Limits { grace, standstill }) = LIMITS.get() else { return false };
    let (now, first) = (now_ms(), FIRST_MS.load(Ordering::Relaxed));
    let still = now.saturating_sub(MOVED_MS.load(Ordering::Relaxed).max(first));
    let stopping = Duration::from_millis(now.saturating_sub(first));
    if stopping >= grace || Duration::from_millis(still) >= standstill {
        // Whatever moves now comes too late: as if the second signal had come.
        COUNT.fetch_add(1, Ordering::Release);
        return true;
    }
    if stopping >= UNSAID && !SAID.swap(true, Ordering::Relaxed) {
        let still = match standstill < grace {
            true => format!(", {standstill:?} while nothing moves"),
            false => String::new(),
        };
        say(format_args!(
            "{}: finishing what is there, for at most {grace:?}{still} (--grace-ms); another signal ends it at once",
            name()
        ));
    }
    false
}

/// Notes that something moved: bytes went out, a frame was taken or given.
#[inline]
pub fn moved() {
    if stopping() {
        MOVED_MS.store(now_ms(), Ordering::Relaxed);
    }
}

/// The last signal, by name.
pub fn name() -> &'static str {
    let signal = LAST.load(Ordering::Relaxed);
    signal_hook::low_level::signal_name(signal).unwrap_or("a signal")
}

/// What a shell expects of a program that ended early because of a signal.
pub fn exit_code() -> u8 {
    128 + u8::try_from(LAST.load(Ordering::Relaxed)).unwrap_or(0)
}

/// Sleeps, but not through a signal.
pub fn sleep(duration: Duration) {
    let begun = Instant::now();
    while !stopping() {
        let left = duration.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(SLICE));
    }
}
