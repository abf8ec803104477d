//! A low-level door for those who wait for many endpoints at once: sleep where they sleep.
//!
//! [`Reader::arm`](crate::Reader::arm) and [`Writer::arm`](crate::Writer::arm) do the first half of what a blocking call
//! does before it sleeps: announce the sleep to the other side, then look once more. The second half, the sleep on a
//! futex word, is left to the caller, who can do it for many words with one `futex_waitv`. Most programs want
//! `zerobuffer-async`, which does.

use std::time::Duration;

use crate::sync::AtomicU32;
use crate::v2::wake::Announced;
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
    /// Sleeping on `word`, announced thus.
    pub(crate) fn on(word: &AtomicU32, announced: Announced) -> Self {
        let word = WaitWord { address: std::ptr::from_ref(word).addr(), expected: ANNOUNCED };
        let look_again_after = match announced {
            Announced::Safely => SLICE,
            Announced::WithoutBarrier => SLICE_WITHOUT_BARRIER,
        };
        Self::Asleep { word: Some(word), look_again_after }
    }

    /// Where nobody wakes.
    pub(crate) fn unattended() -> Self {
        Self::Asleep { word: None, look_again_after: SLICE_WITHOUT_BARRIER }
    }
}
