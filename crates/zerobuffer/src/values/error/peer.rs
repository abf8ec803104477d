//! Who is meant in messages: readers, and whether a writer is there.

use crate::values::printable::printable;

/// Who a peer is, as far as shared memory tells: for messages, not for decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    pub(crate) name: [u8; 32],
    pub(crate) pid: u32,
    pub(crate) presence: Presence,
}

/// Whether a peer is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Nobody has taken its place yet.
    Never,
    Attached,
    Left,
    Died,
    /// A work group, some member of which is attached.
    Group,
    /// A work group without a live member.
    EmptyGroup,
    /// Readers of another buffer, to which frames were passed on.
    Export,
}

impl Peer {
    /// Nobody in particular.
    pub(crate) fn nobody() -> Self {
        Self { name: [0; 32], pid: 0, presence: Presence::Never }
    }

    /// Name of the reader slot; empty for an ephemeral reader.
    pub fn name(&self) -> std::borrow::Cow<'_, str> {
        let end = self.name.iter().position(|&b| b == 0).unwrap_or(self.name.len());
        String::from_utf8_lossy(&self.name[..end])
    }

    /// Process id that it announced, in its own PID namespace.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it was attached and alive when this was noted.
    pub fn is_alive(&self) -> bool {
        matches!(self.presence, Presence::Attached | Presence::Group | Presence::Export)
    }

    /// Whether it had died or left when this was noted, and has a name, by which a successor gets what is kept for it.
    pub fn is_gone(&self) -> bool {
        matches!(self.presence, Presence::Died | Presence::Left | Presence::EmptyGroup)
            && self.name[0] != 0
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.name() {
            name if name.is_empty() => "(ephemeral)".into(),
            name => name,
        };
        let name = printable(&*name);
        match self.presence {
            Presence::Never => write!(f, "reader `{name}`, which nobody has taken yet"),
            Presence::Attached => write!(f, "reader `{name}` (pid {})", self.pid),
            // A 1.0 reader takes its pid along.
            Presence::Left if self.pid == 0 => write!(f, "reader `{name}` (left)"),
            Presence::Left => write!(f, "reader `{name}` (pid {}, left)", self.pid),
            Presence::Group => write!(f, "work group `{name}` (a member: pid {})", self.pid),
            Presence::Export => {
                write!(f, "the readers of buffer `{name}`, to which frames were forwarded")
            }
            Presence::EmptyGroup => write!(f, "work group `{name}`, which has no member"),
            Presence::Died => write!(f, "reader `{name}` (pid {}, died)", self.pid),
        }
    }
}

/// Whether a writer was there when a read timed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriterPresence {
    /// None has come yet.
    Never,
    /// One is attached and alive.
    Attached,
    /// The last one closed.
    Closed,
    /// The last one died.
    Dead,
}

impl std::fmt::Display for WriterPresence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Never => "no writer has come yet",
            Self::Attached => "the writer is attached and alive",
            Self::Closed => "the writer has closed",
            Self::Dead => "the writer died",
        })
    }
}
