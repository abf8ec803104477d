//! Steps at which a test lets this process die. Nothing at all without the feature `fault-points`.
//!
//! With it, the environment variable `ZEROBUFFER_FAULT=STEP#N` makes the process kill itself, as `SIGKILL` does, when
//! it comes to that step for the Nth time. And with `ZEROBUFFER_POISON` set, a Writer fills what readers gave back, so
//! that a frame which is looked at after it was released does not look sound by luck.

macro_rules! steps {
    ($($step:ident = $name:literal,)*) => {
        /// A step between two of which a crash may fall.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Fault { $($step),* }

        /// Their names, in the order of their declaration.
        #[cfg(feature = "fault-points")]
        pub const STEPS: &[&str] = &[$($name),*];
    };
}

steps! {
    CreateAllocated = "create/allocated",
    CreateWritten = "create/written",
    CreateMapped = "create/mapped",
    CreateAttached = "create/attached",
    CreateLinked = "create/linked",
    JoinOpened = "join/opened",
    JoinHeld = "join/held",
    JoinMapped = "join/mapped",
    WriterLocked = "writer/locked",
    WriterFoundTail = "writer/found-tail",
    WriterSigned = "writer/signed",
    WriterAttached = "writer/attached",
    WriterClosed = "writer/closed",
    ReaderTookOver = "reader/took-over",
    ReaderTookReserved = "reader/took-reserved",
    ReaderTookFree = "reader/took-free",
    ReaderJoining = "reader/joining",
    ReaderSigning = "reader/signing",
    ReaderSigned = "reader/signed",
    ReaderCursorStored = "reader/cursor-stored",
    ReaderActivated = "reader/activated",
    ReaderLeft = "reader/left",
    ReaderFreed = "reader/freed",
    FloorStored = "claim/floor-stored",
    ReserveRaised = "claim/reserve-raised",
    FrameFilled = "commit/filled",
    FrameTerminated = "commit/terminated",
    FrameCommitted = "commit/committed",
    FrameNewest = "commit/newest",
    FrameNumbered = "commit/numbered",
    FramePublished = "commit/published",
    SkipTargetStored = "commit/skip-target-stored",
    BatchStaged = "commit/staged",
    ReceivedNumbered = "read/numbered",
    ReceivedTold = "read/told",
    ReleaseBegun = "release/begun",
    ReleaseStored = "release/stored",
    GroupFounded = "group/founded",
    GroupQueued = "group/queued",
    GroupSteppedOut = "group/stepped-out",
    GroupClaiming = "group/claiming",
    GroupClaimed = "group/claimed",
    GroupReclaimed = "group/reclaimed",
    GroupReleaseBegun = "group/release-begun",
    GroupReleased = "group/released",
    GroupPassed = "group/passed",
    ShareProtected = "share/protected",
    ShareIntended = "share/intended",
    ShareGivenBack = "share/given-back",
    SleepersTaken = "wake/sleepers-taken",
    RetireLocked = "retire/locked",
    RetireMarked = "retire/marked",
    RetireUnlinked = "retire/unlinked",
}

/// Comes to a step.
#[cfg(not(all(feature = "fault-points", not(loom))))]
#[inline(always)]
pub(crate) fn point(_fault: Fault) {}

/// Comes to a step, perhaps the last one.
#[cfg(all(feature = "fault-points", not(loom)))]
pub(crate) fn point(fault: Fault) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static PLAN: OnceLock<Option<(usize, AtomicU64)>> = OnceLock::new();
    let plan = PLAN.get_or_init(|| {
        let plan = std::env::var("ZEROBUFFER_FAULT").ok()?;
        let (name, count) = plan.split_once('#')?;
        let step = STEPS.iter().position(|step| *step == name)?;
        Some((step, AtomicU64::new(count.parse().ok()?)))
    });
    if let Some((last, left)) = plan
        && *last == fault as usize
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// What a word of the ring is filled with once readers gave it back; `None`: it is left as it is.
#[cfg(all(feature = "fault-points", not(loom)))]
pub(crate) fn poison() -> Option<u64> {
    static POISON: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    let wanted = POISON.get_or_init(|| std::env::var_os("ZEROBUFFER_POISON").is_some());
    wanted.then_some(0x5a5a_5a5a_5a5a_5a5a)
}
