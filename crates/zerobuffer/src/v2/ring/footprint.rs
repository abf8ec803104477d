//! How much of a large ring a writer uses.

/// Part of a window that is enough while readers wait for each frame, and how often it is looked behind that whether they do.
const NARROW_PART: u64 = 4;
const STEP_PART: u64 = 16;

/// How a writer uses a large ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Footprint {
    /// All of it, lap after lap.
    Whole,
    /// Its first bytes, at least this many, while readers keep up.
    Window(u64),
}

impl Footprint {
    /// Offset beyond which no frame goes while readers are near.
    pub(super) fn window(self) -> u64 {
        match self {
            Self::Whole => u64::MAX,
            Self::Window(bytes) => bytes,
        }
    }

    /// Offset beyond which no frame goes while readers wait for each.
    pub(super) fn narrow(self) -> u64 {
        match self {
            Self::Whole => u64::MAX,
            Self::Window(bytes) => bytes / NARROW_PART,
        }
    }

    /// From `offset` on, up to where frames go without a look at how near readers are.
    pub(super) fn step(self, offset: u64) -> u64 {
        match self {
            Self::Whole => u64::MAX,
            Self::Window(_) if offset < self.narrow() => self.narrow(),
            Self::Window(bytes) => offset + bytes / STEP_PART,
        }
    }
}
