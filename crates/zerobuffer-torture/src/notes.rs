//! What an end tells of its frames, through its standard output.

use std::io::Write as _;

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};

const WORDS: usize = 5;
/// Size of what is told of a frame.
const NOTE_BYTES: usize = 8 * WORDS;

/// One thing that happened to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) what: What,
    /// Number of the frame in the buffer.
    pub(crate) sequence: u64,
    /// Number that it was written under; differs where a relay passed it on.
    pub(crate) origin: u64,
    /// Who wrote it.
    pub(crate) incarnation: u64,
    /// When it was told, by the one clock of this machine.
    pub(crate) at_ns: u64,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum What {
    Committed = 1,
    Received = 2,
    Redelivered = 3,
    /// Received, and not what was written; or it has changed while it was held.
    Torn = 4,
    /// Everything up to this frame was released.
    Released = 5,
    /// A member of a work group has released this frame.
    Finished = 6,
    /// Passed on by reference.
    Shared = 7,
    /// Passed on, but copied.
    Copied = 8,
    /// Received a reference to a payload that is gone.
    PayloadLost = 9,
}

impl What {
    const ALL: [Self; 9] = [
        Self::Committed,
        Self::Received,
        Self::Redelivered,
        Self::Torn,
        Self::Released,
        Self::Finished,
        Self::Shared,
        Self::Copied,
        Self::PayloadLost,
    ];
}

impl Note {
    /// Of a frame of that number, written by nobody in particular.
    pub(crate) fn of(what: What, sequence: u64) -> Self {
        Self { what, sequence, origin: sequence, incarnation: 0, at_ns: 0 }
    }

    pub(crate) fn by(mut self, incarnation: u64) -> Self {
        self.incarnation = incarnation;
        self
    }

    pub(crate) fn written_as(mut self, origin: u64) -> Self {
        self.origin = origin;
        self
    }

    fn from_bytes(bytes: &[u8; NOTE_BYTES]) -> Option<Self> {
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let [what, sequence, origin, incarnation, at_ns] = words;
        let what = What::ALL.into_iter().find(|known| *known as u64 == what)?;
        Some(Self { what, sequence, origin, incarnation, at_ns })
    }

    /// One write, so that it is told as a whole or not at all.
    pub(crate) fn tell(self) -> anyhow::Result<()> {
        let now = clock_gettime(ClockId::Monotonic);
        let at_ns = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
        let words = [self.what as u64, self.sequence, self.origin, self.incarnation, at_ns];
        let bytes = words.map(u64::to_le_bytes);
        let mut out = std::io::stdout();
        out.write_all(bytes.as_flattened()).context("nobody listens")?;
        out.flush().context("nobody listens")
    }
}

/// Reads what an end tells until it ends.
pub(crate) fn notes(mut pipe: impl std::io::Read) -> impl Iterator<Item = Note> {
    let mut bytes = [0; NOTE_BYTES];
    std::iter::from_fn(move || {
        pipe.read_exact(&mut bytes).ok()?;
        Note::from_bytes(&bytes)
    })
}
