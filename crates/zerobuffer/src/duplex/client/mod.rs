//! The side that asks: what a client is. How it calls, waits and finds its server is in the files beside this one.

mod call;
mod calling;
mod options;
mod presence;
mod waiting;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::pending::Pending;
use super::response::Outcome;
use super::turn::{Deadline, Turns, lock};
use super::waiter::{Doorbell, Waiter};
use super::wire::Consent;
use crate::endpoint::reader::Reader;
use crate::endpoint::writer::Writer;
use crate::values::call_error::CallError;
use crate::values::config::Protocol;
use crate::values::error::{WriteError, WriterPresence};

pub use call::{Canceller, PendingCall, RequestLoan};
pub use options::ClientOptions;

/// What is known of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerState {
    Attached,
    Gone(WriterPresence),
}

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) pending: Pending<Waiter, Outcome>,
    pub(crate) server: ServerState,
    /// The buffers were removed or damaged: they have to be opened again.
    pub(crate) lost: bool,
    /// What a call's number is above its request's in the buffer: new buffers begin at 1 again, calls do not.
    pub(crate) base: u64,
    /// Number of the newest call.
    pub(crate) newest: u64,
}

/// The asking end of a duplex channel.
///
/// It can be shared: many threads may call at once, and each gets its own answers, in whatever order the server gives
/// them. Whoever of them waits looks for the answers of all, so there is no thread behind it.
///
/// A server that dies fails all waiting calls as soon as the kernel has released it, within 100 ms; a call made while
/// there is no server fails at once. When the server is back, calls work again.
///
/// ```
/// use std::time::Duration;
/// use zerobuffer::duplex::{Client, Server};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let name = format!("doc-duplex-{}", std::process::id());
/// let server = Server::create(&name)?;
/// let stopper = server.stopper();
/// std::thread::scope(|scope| {
///     scope.spawn(|| server.serve(|request| Ok(request.to_ascii_uppercase())));
///     let client = Client::connect(&name).unwrap();
///     let answer = client.call(b"hello", Duration::from_secs(5)).unwrap();
///     assert_eq!(&answer[..], b"HELLO");
///     stopper.stop();
/// });
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Client {
    pub(crate) name: Arc<str>,
    /// What its buffers are named after: the same, unless the server has many clients.
    pub(crate) channel: Arc<str>,
    pub(crate) options: ClientOptions,
    pub(crate) protocol: Protocol,
    pub(crate) requests: Turns<Writer>,
    pub(crate) responses: Turns<Reader>,
    /// Protocol 1.0: one call at a time.
    pub(crate) in_order: Turns<()>,
    pub(crate) table: Mutex<Table>,
    pub(crate) bell: OnceLock<Arc<dyn Doorbell>>,
    /// The doorbell rang while somebody else had the reader.
    pub(crate) is_reader_wanted: AtomicBool,
}

impl Client {
    /// Name of the channel.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The protocol that the channel speaks.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether this is the process that connected.
    pub(crate) fn is_ours(&self) -> bool {
        self.requests.is_ours()
    }

    /// Fails in a forked child, before any lock is taken: a thread that the child has not may have it.
    pub(crate) fn check_process(&self) -> Result<(), CallError> {
        match self.is_ours() {
            true => Ok(()),
            false => Err(WriteError::Forked { name: self.name.clone() }.into()),
        }
    }

    /// Whether requests may be changed in place.
    pub(crate) fn consent(&self) -> Consent {
        if self.options.in_place { Consent::Change } else { Consent::Keep }
    }

    #[cold]
    pub(crate) fn late(&self, waited: Duration) -> CallError {
        let server = match lock(&self.table).server {
            ServerState::Attached => WriterPresence::Attached,
            ServerState::Gone(how) => how,
        };
        CallError::Timeout { name: self.name.clone(), waited, server }
    }

    pub(crate) fn not_sent(&self, deadline: Deadline) -> CallError {
        CallError::NotSent { name: self.name.clone(), waited: deadline.waited() }
    }

    pub(crate) fn no_server(&self) -> CallError {
        let server = match lock(&self.table).server {
            ServerState::Attached => WriterPresence::Dead,
            ServerState::Gone(how) => how,
        };
        CallError::NoServer { name: self.name.clone(), server }
    }

    pub(crate) fn out_of_step(&self) -> CallError {
        CallError::OutOfStep { name: self.name.clone() }
    }

    /// Requests under way whose answers have not come.
    pub fn in_flight(&self) -> usize {
        if !self.is_ours() {
            return 0;
        }
        lock(&self.table).pending.in_flight()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(bell) = self.bell.get() {
            bell.ends_go();
        }
        // Nobody waits for what these requests would be answered.
        if let Some(writer) = self.requests.take_for_good() {
            writer.discard_undelivered();
        }
    }
}
