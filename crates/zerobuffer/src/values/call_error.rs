//! What can go wrong with a call, and what a handler says that went wrong with it.

use std::sync::Arc;
use std::time::Duration;

use crate::values::error::{ErrorCode, OpenError, ReadError, WriteError, WriterPresence};

/// Why a call has no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No answer in time. The request may have been, or may yet be, executed.
    #[error(
        "channel `{name}`: no answer within {waited:?} (server: {server}); the request may have been executed"
    )]
    Timeout {
        /// Name of the channel.
        name: Arc<str>,
        /// How long the call waited.
        waited: Duration,
        /// Whether a server was there then.
        server: WriterPresence,
    },
    /// Other threads were filling or sending requests all the time; nothing was sent.
    #[error(
        "channel `{name}`: other threads kept its request buffer for {waited:?}, nothing was sent"
    )]
    NotSent {
        /// Name of the channel.
        name: Arc<str>,
        /// How long the call waited.
        waited: Duration,
    },
    /// The server died or closed before it answered. The request may have been, or, once it is started again, may yet
    /// be executed.
    #[error(
        "channel `{name}`: the server {how} before it answered; call again when it is back (`wait_for_server`), if the request can be repeated"
    )]
    ServerGone {
        /// Name of the channel.
        name: Arc<str>,
        /// How it went.
        how: Gone,
    },
    /// There is no server, so nothing was sent.
    #[error(
        "channel `{name}` has no server ({server}), nothing was sent: start it, or wait for it (`wait_for_server`)"
    )]
    NoServer {
        /// Name of the channel.
        name: Arc<str>,
        /// What became of the last one.
        server: WriterPresence,
    },
    /// The handler returned an error.
    #[error("channel `{name}`: the handler failed with code {code}: {message}", message = crate::values::printable::printable(message))]
    Failed {
        /// Name of the channel.
        name: Arc<str>,
        /// The code that it gave, see [`Failure`](crate::duplex::Failure).
        code: u32,
        /// What it said.
        message: String,
    },
    /// The handler panicked.
    #[error("channel `{name}`: the handler panicked: {message}", message = crate::values::printable::printable(message))]
    Panicked {
        /// Name of the channel.
        name: Arc<str>,
        /// What the panic said.
        message: String,
    },
    /// The server dropped the request without an answer.
    #[error("channel `{name}`: the server dropped the request without an answer")]
    Unanswered {
        /// Name of the channel.
        name: Arc<str>,
    },
    /// The call was cancelled on this side.
    #[error("channel `{name}`: the call was cancelled; the request may have been executed")]
    Cancelled {
        /// Name of the channel.
        name: Arc<str>,
    },
    /// Protocol 1.0 only: an earlier call was given up before its answer came, and nothing in an answer tells whose it
    /// is. Calls work again when all that is outstanding has arrived; if it never does, connect anew.
    #[error(
        "channel `{name}` speaks protocol 1.0, where answers are told apart by their order only, and an earlier call was given up: wait until the late answers have come, or connect again"
    )]
    OutOfStep {
        /// Name of the channel.
        name: Arc<str>,
    },
    /// An answer is not what a server sends.
    #[error("channel `{name}`: {problem}; is the other side a duplex server?")]
    Damaged {
        /// Name of the channel.
        name: Arc<str>,
        /// What was found.
        problem: &'static str,
    },
    /// The request was not sent.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// No answer can be read any more.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The channel could not be opened again after its server went.
    #[error(transparent)]
    Open(#[from] Arc<OpenError>),
}

impl CallError {
    /// Not now: there was no answer, or no room for the request, in time.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::NotSent { .. } => true,
            Self::Write(error) => error.is_timeout(),
            _ => false,
        }
    }

    /// The server is not there, or went.
    pub fn is_peer_gone(&self) -> bool {
        match self {
            Self::ServerGone { .. } | Self::NoServer { .. } => true,
            Self::Write(error) => error.is_peer_gone(),
            Self::Read(error) => error.is_peer_gone(),
            _ => false,
        }
    }

    /// Whether the request certainly was not executed, and never will be: repeating it is safe whatever it does.
    pub fn was_not_executed(&self) -> bool {
        match self {
            Self::NoServer { .. } | Self::NotSent { .. } | Self::Write(_) | Self::Open(_) => true,
            Self::ServerGone { how, .. } => *how == Gone::Refused,
            _ => false,
        }
    }
}

/// How a server went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gone {
    /// It died.
    Died {
        /// Process id that it announced.
        pid: u32,
    },
    /// It closed.
    Closed,
    /// It closed, and said that it had not come to this request.
    Refused,
    /// It died while it had this request, says its successor, which does not try again.
    Interrupted,
}

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Died { pid } => write!(f, "(pid {pid}) died"),
            Self::Closed => f.write_str("closed"),
            Self::Refused => f.write_str("closed without having begun the request,"),
            Self::Interrupted => f.write_str("died while it had the request, says its successor,"),
        }
    }
}

/// What a handler returns when it cannot answer; the caller gets it as [`CallError::Failed`].
///
/// Every error becomes one with `?`, with code 0.
///
/// ```
/// use zerobuffer::duplex::Failure;
/// fn parse(request: &[u8]) -> Result<u32, Failure> {
///     let text = std::str::from_utf8(request)?;
///     text.parse().map_err(|_| Failure::new(22, format!("{text:?} is not a number")))
/// }
/// assert_eq!(parse(b"7").unwrap(), 7);
/// assert_eq!(parse(b"x").unwrap_err().code, 22);
/// assert_eq!(parse(b"\xff").unwrap_err().code, 0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For programs: what it means is agreed between client and server. 0: nothing in particular.
    pub code: u32,
    /// For people.
    pub message: String,
}

impl Failure {
    /// A failure that programs can tell from others.
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(0, error.to_string())
    }
}

impl CallError {
    /// The number of this condition; the same in every language.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Timeout { .. } => ErrorCode::Timeout,
            Self::NotSent { .. } => ErrorCode::NotSent,
            Self::ServerGone { .. } => ErrorCode::ServerGone,
            Self::NoServer { .. } => ErrorCode::NoServer,
            Self::Failed { .. } => ErrorCode::Failed,
            Self::Panicked { .. } => ErrorCode::Panicked,
            Self::Unanswered { .. } => ErrorCode::Unanswered,
            Self::Cancelled { .. } => ErrorCode::Cancelled,
            Self::OutOfStep { .. } => ErrorCode::OutOfStep,
            Self::Damaged { .. } => ErrorCode::Damaged,
            Self::Write(error) => error.code(),
            Self::Read(error) => error.code(),
            Self::Open(error) => error.code(),
        }
    }

    /// Never again: this end is the parent process's. Other ends find their server again by themselves.
    pub fn is_final(&self) -> bool {
        self.code() == ErrorCode::Forked
    }
}
