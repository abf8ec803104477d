//! Numbers about an endpoint and its peers.

use crate::values::config::ReaderKind;
use crate::values::error::Peer;

/// What a [`Writer`](crate::Writer) has done since it attached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriterStats {
    /// Frames committed.
    pub frames: u64,
    /// Payload bytes committed.
    pub bytes: u64,
    /// Frames dropped by the full-policy.
    pub dropped_frames: u64,
    /// Payload bytes of those.
    pub dropped_bytes: u64,
    /// Calls that met a full ring.
    pub full_waits: u64,
    /// Times it slept.
    pub parks: u64,
    /// Sleeping readers it woke.
    pub wakes: u64,
    /// Sleeps that ended by their limit although there was room: 0 unless wake-ups get lost.
    pub late_wakes: u64,
    /// Ring bytes passed over by skip frames, since the buffer was created.
    pub skipped_bytes: u64,
    /// Frames copied in with [streaming stores](crate::StreamingStores).
    pub streamed_frames: u64,
    /// Places of durable readers and work groups that were
    /// [given up](crate::WriterOptions::forget_readers_after).
    pub forgotten_readers: u64,
    /// Frames that were kept there, and are lost.
    pub forgotten_frames: u64,
}

/// How a frame was [forwarded](crate::Writer::forward).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forwarded {
    /// Its number in the buffer that it was forwarded to; `None` if the full-policy dropped it.
    pub sequence: Option<u64>,
    /// `None`: by reference, without touching its bytes.
    pub copied: Option<WhyCopied>,
}

/// Why a frame was copied when it was forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhyCopied {
    /// The buffer that it is forwarded to does not take part in payload sharing.
    NotAllowedHere,
    /// The buffer that it lies in does not take part in payload sharing.
    NotAllowedThere,
    /// One of the two buffers speaks protocol 1.0.
    Protocol,
    /// The reader had copied it already, as lossy readers and observers do.
    NotInARing,
    /// The two buffers are in different directories.
    OtherDirectory,
    /// It lies in the buffer that it is forwarded to, or that one's frames are passed on there.
    Circle,
    /// It is older than one that was forwarded before; also after a relay was restarted.
    OutOfOrder,
    /// The buffer that it lies in has no free reader slot, of which sharing takes one.
    NoReaderSlot,
    /// The buffer that it lies in cannot be opened a second time.
    NoAccess,
}

impl std::fmt::Display for WhyCopied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotAllowedHere => "the output buffer was created without `payload_sharing`",
            Self::NotAllowedThere => "the input buffer was created without `payload_sharing`",
            Self::Protocol => "a buffer of protocol 1.0 holds its own frames",
            Self::NotInARing => "a lossy reader's frames are its own",
            Self::OtherDirectory => "the two buffers are in different directories",
            Self::Circle => "the frame would come back to where it lies",
            Self::OutOfOrder => "it is older than one that was forwarded before",
            Self::NoReaderSlot => "the input buffer has no free reader slot",
            Self::NoAccess => "the input buffer could not be opened again",
        })
    }
}

/// What a [`Reader`](crate::Reader) has done since it attached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReaderStats {
    /// Frames handed out.
    pub frames: u64,
    /// Payload bytes handed out.
    pub bytes: u64,
    /// Frames among them that a dead predecessor had received and not released.
    pub redelivered: u64,
    /// Frames that were overwritten before a lossy reader or an observer came to them.
    pub missed: u64,
    /// Calls that found nothing at first.
    pub waits: u64,
    /// Times it slept.
    pub parks: u64,
    /// Sleeps that ended by their limit although a frame was there: 0 unless wake-ups get lost.
    pub late_wakes: u64,
    /// Ring bytes passed over by skip frames.
    pub skipped_bytes: u64,
}

/// A registered reader, as shared memory and the kernel's locks tell.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReaderInfo {
    /// Name of its slot; empty for an ephemeral reader.
    pub name: String,
    /// What it gets. Observers are not registered.
    pub kind: ReaderKind,
    /// Process id it announced, in its own PID namespace; 0 before the first owner.
    pub pid: u32,
    /// Its frames wait for a successor when it dies or leaves.
    pub durable: bool,
    /// It has joined and not left; it may have died.
    pub attached: bool,
    /// It is attached, and the kernel says it lives.
    pub alive: bool,
    /// Oldest ring position it still needs.
    pub position: u64,
    /// Next ring position it will be handed.
    pub read_position: u64,
    /// Number of the last frame it was handed; the frame before its first one at the start.
    pub read_sequence: u64,
    /// Committed frames it was not handed yet.
    pub lag_frames: u64,
    /// Ring bytes it has not released yet.
    pub lag_bytes: u64,
    /// Frames it was handed, from the oldest on that it has not released; of a member of a work group those that it has not
    /// released, and of the group those of all its members.
    pub held_frames: u64,
    /// Frames that were overwritten before it came to them: 0 unless it is lossy.
    pub missed: u64,
    /// How often its slot was taken.
    pub generation: u64,
}

/// What the slowest registered reader has yet to release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undelivered {
    /// Committed frames it was not handed yet.
    pub frames: u64,
    /// Ring bytes it has not released yet.
    pub bytes: u64,
    /// Who it is; `None` when nothing is undelivered.
    pub reader: Option<Peer>,
}
