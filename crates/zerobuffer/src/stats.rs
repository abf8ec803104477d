//! Numbers about an endpoint and its peers.

use crate::config::ReaderKind;
use crate::error::Peer;

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
