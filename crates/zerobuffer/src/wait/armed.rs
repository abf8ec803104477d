//! A low-level door for those who wait for many endpoints at once: sleep where they sleep.
//!
//! [`Reader::arm`](crate::Reader::arm) and [`Writer::arm`](crate::Writer::arm) do the first half of what a blocking call
//! does before it sleeps: announce the sleep to the other side, then look once more. The second half, the sleep on a
//! futex word, is left to the caller, who can do it for many words with one `futex_waitv`. Most programs want
//! `zerobuffer-async`, which does.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use crate::sync::AtomicU32;
use crate::sys::file::Standing;
use crate::sys::lock;
use crate::v2::ground::removal::{self, Whereabouts};
use crate::v2::ground::segment::Segment;
use crate::v2::protocol::layout::WRITER_LOCK;
use crate::v2::rules::wake::Announced;
use crate::wait::{SLICE, SLICE_WITHOUT_BARRIER};

/// Value of a wait word while nobody has called its sleeper.
const ANNOUNCED: u32 = 1;

/// What an endpoint that has nothing to do waits for.
///
/// There is nothing to take back: who does not sleep after all is called once, in vain, as is one whose time ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Armed {
    /// Try again now: something came, or there is something to tell.
    Ready,
    /// Nothing is there. Sleep, then try again.
    Asleep {
        /// The word that the other side changes and wakes. `None` where nobody wakes: protocol 1.0, observers, and
        /// members of a work group, whose turn depends on who else waits.
        word: Option<WaitWord>,
        /// Try again after this time, woken or not: deaths wake nobody.
        look_again_after: Duration,
        /// Whether a writer lived when it was looked at: who has a [`PeerWatch`] may ask that for news instead of trying again.
        /// `None` where only trying helps.
        peer_lived: Option<bool>,
    },
}

/// A futex word in the buffer's shared memory: sleep while it has the value expected (no `FUTEX_PRIVATE_FLAG`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitWord {
    /// Address of a 32-bit atomic in this process, readable as long as the endpoint that was armed exists. Later it is an
    /// address that means nothing: it must not be read, and the kernel, asked to wait there, may say `EFAULT`.
    pub address: usize,
    /// The value to sleep on. Any other means that the sleeper was called.
    pub expected: u32,
}

impl Armed {
    /// A reader's sleep on `word`, announced thus, after it was looked whether a writer lives.
    pub(crate) fn on(word: &AtomicU32, announced: Announced, peer_lived: Option<bool>) -> Self {
        Self::for_time(word, announced, SLICE, peer_lived)
    }

    /// A writer's sleep on `word`, announced thus, until it is time to look whether a reader is in the way that does not live.
    pub(crate) fn until(
        word: &AtomicU32,
        announced: Announced,
        look_again_after: Duration,
    ) -> Self {
        Self::for_time(word, announced, look_again_after, None)
    }

    fn for_time(
        word: &AtomicU32,
        announced: Announced,
        limit: Duration,
        peer_lived: Option<bool>,
    ) -> Self {
        let word = WaitWord { address: std::ptr::from_ref(word).addr(), expected: ANNOUNCED };
        let (look_again_after, peer_lived) = match announced {
            Announced::Safely => (limit, peer_lived),
            Announced::WithoutBarrier => (SLICE_WITHOUT_BARRIER, None),
        };
        Self::Asleep { word: Some(word), look_again_after, peer_lived }
    }

    /// Where nobody wakes.
    pub(crate) fn unattended() -> Self {
        Self::Asleep { word: None, look_again_after: SLICE_WITHOUT_BARRIER, peer_lived: None }
    }
}

/// Looks after a reader's writer from outside, from any thread: a death wakes nobody, and to ask a reader for it takes the
/// reader. It keeps a descriptor of the buffer's file open and is dropped before its reader is.
#[derive(Debug)]
pub struct PeerWatch {
    probe: OwnedFd,
    whereabouts: Whereabouts,
}

impl PeerWatch {
    pub(crate) fn of(segment: &Segment) -> io::Result<Self> {
        let whereabouts = segment.whereabouts().clone();
        Ok(Self { probe: segment.probe().try_clone_to_owned()?, whereabouts })
    }

    /// Whether an armed reader has something to tell that wakes nobody: the writer died, if it `lived` when the reader was
    /// armed, or the buffer was removed, by whomever. Asks the kernel. A writer that attaches, or closes, wakes its readers.
    pub fn has_news(&self, lived: bool) -> bool {
        let probe = self.probe.as_fd();
        !removal::is_ready(probe)
            || self.whereabouts.look(probe) != Standing::Named
            || (lived && !lock::is_held(probe, WRITER_LOCK).unwrap_or(false))
    }
}
