//! Several clients for one server: each has a channel of its own, and one name leads to it.
//!
//! The server reads `{name}_accept`. A client writes a *hello* there, with a random number; the server makes the channel
//! `{name}.{number}` for it and serves that as any other. A buffer has one writer, so clients say hello in turns.

use std::collections::HashSet;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::Scope;
use std::time::Duration;

use super::answers::{Counters, Request};
use super::hello::{number_of, own_channel, parse_hello, waiting_lock};
use super::names::accept_buffer;
use super::server::{Answer, Server, ServerOptions, ServerStats, Stopper, stats_of};
use super::turn::{Deadline, lock};
use crate::endpoint::reader::Reader;
use crate::inspect;
use crate::sys::fork::ForkMark;
use crate::sys::{file, lock as os_lock};
use crate::values::call_error::Failure;
use crate::values::config::{BufferConfig, Protocol};
use crate::values::error::{OpenError, ReadError, WriterPresence};
use crate::values::name::{Location, default_dir};

/// Room for hellos that nobody has read yet.
const ACCEPT_BYTES: usize = 4096;
/// How long a client that said hello may take to attach to its channel, while it is seen to wait for that.
const ADMISSION: Duration = Duration::from_secs(10);
/// The same, if it is not: it died, or does not show that it waits.
const ADMISSION_UNSEEN: Duration = Duration::from_secs(1);
/// How long one look takes at most: so soon a stopped server notices.
const LOOK_LIMIT: Duration = Duration::from_millis(50);

/// A server of many clients, each with a pair of buffers of its own: one that is slow, stopped, or dead costs the others
/// nothing. Protocol 2.0 only.
///
/// Clients connect to it as to any other.
///
/// ```
/// use std::time::Duration;
/// use zerobuffer::BufferConfig;
/// use zerobuffer::duplex::{Client, Server};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let name = format!("doc-many-{}", std::process::id());
/// let small = BufferConfig::new().payload_bytes(64 << 10); // every client has two such buffers
/// let server = Server::options().request_buffer(small.clone()).response_buffer(small).create_for_many(&name)?;
/// let stopper = server.stopper();
/// std::thread::scope(|scope| {
///     scope.spawn(|| server.serve(|request| Ok(request.to_vec())));
///     let clients: Vec<_> = (0..3).map(|_| Client::connect(&name).unwrap()).collect();
///     for (client, text) in clients.iter().zip(["one", "two", "three"]) {
///         assert_eq!(&client.call(text.as_bytes(), Duration::from_secs(5)).unwrap()[..], text.as_bytes());
///     }
///     stopper.stop();
/// });
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct ManyServer {
    name: Arc<str>,
    options: ServerOptions,
    hellos: Mutex<Reader>,
    /// The accept buffer's file, for looking who waits. Without it nobody is seen to.
    accept_file: Option<OwnedFd>,
    /// Numbers of the clients that are served.
    clients: Mutex<HashSet<u64>>,
    refused: AtomicU64,
    mark: ForkMark,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
}

impl ManyServer {
    pub(super) fn create(name: &str, options: ServerOptions) -> Result<Self, OpenError> {
        if options.requests.protocol == Protocol::V1 {
            return Err(OpenError::InvalidConfig {
                name: name.to_owned(),
                problem: "protocol 1.0 has one client for a server; use `create`, or protocol 2.0"
                    .into(),
            });
        }
        let config = BufferConfig {
            mode: options.requests.mode,
            group: options.requests.group,
            ..BufferConfig::new().payload_bytes(ACCEPT_BYTES).metadata_bytes(0)
        };
        let accept = Location::new(&accept_buffer(name), options.dir.as_deref())?;
        let reader = options.reader().create(&accept.name, &config)?;
        Ok(Self {
            name: name.into(),
            options,
            hellos: Mutex::new(reader),
            accept_file: file::open(&accept.path, true).ok(),
            clients: Mutex::default(),
            refused: AtomicU64::new(0),
            mark: ForkMark::current(),
            counters: Arc::default(),
            stop: Arc::default(),
        })
    }

    /// Name that clients connect to.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends [`serve`](Self::serve) from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// What this server has done, for all clients together.
    pub fn stats(&self) -> ServerStats {
        stats_of(&self.counters)
    }

    /// Clients that are served at the moment.
    pub fn clients(&self) -> usize {
        if !self.mark.is_current() {
            return 0;
        }
        lock(&self.clients).len()
    }

    /// Clients that got no channel: there were as many as allowed, or no memory for more.
    pub fn refused_clients(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Serves every client in a thread of its own until it is stopped, as [`Server::serve`] does one.
    ///
    /// Clients whose server died are served on: requests that it had not come to are handled.
    ///
    /// # Errors
    /// [`ReadError`]: no client can be admitted any more.
    pub fn serve<A: Answer>(
        &self,
        handler: impl Fn(&Request) -> Result<A, Failure> + Sync,
    ) -> Result<(), ReadError> {
        if !self.mark.is_current() {
            return Err(ReadError::Forked { name: self.name.clone() });
        }
        let serve = |server: &Server, number| self.serve_one(server, number, &handler);
        std::thread::scope(|scope| {
            for number in self.left_by_a_predecessor() {
                self.admit(number, scope, &serve);
            }
            let admitted = self.admit_all(scope, &serve);
            self.stopper().stop();
            admitted
        })
    }

    fn admit_all<'s, 'e: 's>(
        &'e self,
        scope: &'s Scope<'s, 'e>,
        serve: &'e (impl Fn(&Server, u64) + Sync),
    ) -> Result<(), ReadError> {
        let mut hellos = lock(&self.hellos);
        while !self.stop.load(Ordering::Acquire) {
            match hellos.read_timeout(LOOK_LIMIT) {
                Ok(Some(frame)) => {
                    let mut bytes = [0; 17];
                    let copied = frame.copy_to(&mut bytes);
                    drop(frame);
                    if let Some(number) = parse_hello(&bytes[..copied]) {
                        self.admit(number, scope, serve);
                    }
                }
                // Every client leaves when it has said hello; some die over it.
                Ok(None) | Err(ReadError::WriterGone { .. } | ReadError::Timeout { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes a client's channel, or takes it over, and has it served.
    fn admit<'s, 'e: 's>(
        &'e self,
        number: u64,
        scope: &'s Scope<'s, 'e>,
        serve: &'e (impl Fn(&Server, u64) + Sync),
    ) {
        {
            let mut clients = lock(&self.clients);
            if clients.contains(&number) {
                return; // A hello that a predecessor had read too.
            }
            if clients.len() >= self.options.max_clients {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return;
            }
            clients.insert(number);
        }
        let place = Admitted { clients: &self.clients, number };
        let channel = own_channel(&self.name, number);
        let (counters, stop) = (self.counters.clone(), self.stop.clone());
        let served = Server::open(&channel, &self.options, counters, stop).is_ok_and(|server| {
            let work = move || {
                serve(&server, number);
                drop(server);
                drop(place);
            };
            std::thread::Builder::new().spawn_scoped(scope, work).is_ok()
        });
        if !served {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Serves one client until it leaves or dies.
    fn serve_one<A: Answer>(
        &self,
        server: &Server,
        number: u64,
        handler: impl Fn(&Request) -> Result<A, Failure>,
    ) {
        let was_seen = self.is_waiting(number);
        let admission = Deadline::after(if was_seen { ADMISSION } else { ADMISSION_UNSEEN });
        // It waits no more: it has attached by then, or died.
        let has_not_come = || {
            was_seen
                && !self.is_waiting(number)
                && server.client_presence() == WriterPresence::Never
        };
        let is_over = || match server.client_presence() {
            WriterPresence::Attached => false,
            WriterPresence::Never => admission.has_passed() || has_not_come(),
            WriterPresence::Closed | WriterPresence::Dead => true,
        };
        // A channel that is damaged is that client's own trouble.
        while let Ok(()) = server.serve_while_busy(&handler) {
            if self.stop.load(Ordering::Acquire) || is_over() {
                return;
            }
        }
    }

    /// Whether the client of that number is seen to wait for its channel.
    fn is_waiting(&self, number: u64) -> bool {
        let file = self.accept_file.as_ref();
        file.is_some_and(|fd| os_lock::is_held(fd.as_fd(), waiting_lock(number)).unwrap_or(false))
    }

    /// Numbers of clients that are attached to channels of a server that died or left, and of those that left since.
    fn left_by_a_predecessor(&self) -> Vec<u64> {
        let dir: PathBuf = self.options.dir.clone().unwrap_or_else(default_dir);
        let buffers = inspect::list(&dir).unwrap_or_default();
        buffers.iter().filter_map(|buffer| number_of(&buffer.name, &self.name)).collect()
    }
}

/// A client's place among those that are served.
struct Admitted<'a> {
    clients: &'a Mutex<HashSet<u64>>,
    number: u64,
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        lock(self.clients).remove(&self.number);
    }
}

impl ServerOptions {
    /// As [`create`](Self::create), for any number of clients.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_for_many(&self, name: &str) -> Result<ManyServer, OpenError> {
        ManyServer::create(name, self.clone())
    }
}
