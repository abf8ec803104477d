//! What the measuring process asks of the other one, and what that answers: lines of JSON over its standard streams.

use serde::{Deserialize, Serialize};

use crate::callers::Caller;
use crate::peers::Link;
use crate::peers::kind::{Kind, Mode};
use crate::shared::Shared;

/// The other end opens what it needs, answers [`Reply::Ready`], does its half, and answers [`Reply::Done`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Bounce a line.
    Probe,
    /// Send back every frame of `there` through `back`.
    Echo { kind: Kind, there: Link, back: Link, mode: Mode },
    /// Pass on every frame of `there` to `back`: copied, or by reference.
    Relay { kind: Kind, there: Link, back: Link, by_reference: bool },
    /// Read a stream to its end.
    Drain { kind: Kind, from: Link, mode: Mode, batch: usize },
    /// Answer every request with its own bytes.
    Answer { caller: Caller, link: Link, mode: Mode },
    /// Wake whoever woke this side, over bare futexes.
    AnswerFutex,
    /// Read time stamps and note how old they are.
    Wake { kind: Kind, from: Link, count: u32 },
    /// The same over a bare futex.
    WakeFutex { count: u32 },
    /// The same over a bare semaphore.
    WakeSemaphore { count: u32 },
}

impl Request {
    /// Whose ends are opened, if anybody's.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Echo { kind, .. }
            | Self::Relay { kind, .. }
            | Self::Drain { kind, .. }
            | Self::Wake { kind, .. } => Some(*kind),
            Self::Probe
            | Self::Answer { .. }
            | Self::AnswerFutex
            | Self::WakeFutex { .. }
            | Self::WakeSemaphore { .. } => None,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// Everything is open; go.
    Ready,
    /// The half is done.
    Done(Outcome),
    /// It could not be done.
    Failed(String),
}

/// What the other end found out; each request fills in its part.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) frames: u64,
    pub(crate) sum: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    /// Memory that came into use between before opening and the end, in bytes.
    pub(crate) memory_bytes: f64,
    /// Ages of frames: value in ns, how often.
    pub(crate) ages: Vec<(u64, u64)>,
}

/// Tells the measuring side something.
pub(crate) type Say<'a> = &'a mut dyn FnMut(Reply) -> anyhow::Result<()>;

/// Does what was asked for; tells once that everything is open.
pub(crate) type Serve = fn(&Shared, Request, Say<'_>) -> anyhow::Result<Outcome>;
