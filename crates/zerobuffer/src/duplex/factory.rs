//! Duplex channels under the names of the deployed libraries: a factory, and servers that run on a thread of their own.
//!
//! Thin: each is a [`Client`] or a [`Server`] underneath, and speaks to them.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::{
    Answer, CallError, Client, Failure, PendingCall, Request, Response, Server, ServerOptions,
    ServerStats, Stopper,
};
use crate::sys::fork::ForkMark;
use crate::values::config::BufferConfig;
use crate::values::error::{OpenError, ReadError};

/// Makes the ends of duplex channels in one directory.
///
/// ```
/// use std::time::Duration;
/// use zerobuffer::BufferConfig;
/// use zerobuffer::duplex::{DuplexChannelFactory, DuplexClient};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let name = format!("doc-factory-{}", std::process::id());
/// let factory = DuplexChannelFactory::new();
/// let mut server = factory.create_immutable_server(&name, &BufferConfig::new())?;
/// server.start(|request| Ok(request.to_ascii_uppercase()));
///
/// let client = factory.create_client(&name)?;
/// let answer = client.send_request(b"hello", Duration::from_secs(5))?;
/// assert_eq!(&answer[..], b"HELLO");
/// server.stop()?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
pub struct DuplexChannelFactory {
    dir: Option<PathBuf>,
}

impl DuplexChannelFactory {
    /// For channels in the default directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// For channels in another directory.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Attaches to the channel `name` as its client; waits five seconds for its server.
    ///
    /// # Errors
    /// See [`ClientOptions::connect`](super::ClientOptions::connect).
    pub fn create_client(&self, name: &str) -> Result<Client, OpenError> {
        let options = Client::options();
        match &self.dir {
            Some(dir) => options.dir(dir).connect(name),
            None => options.connect(name),
        }
    }

    /// Makes the channel `name`, whose requests are answered with bytes of their own. `config` is for both buffers;
    /// its protocol is the channel's.
    ///
    /// # Errors
    /// See [`ServerOptions::create`].
    pub fn create_immutable_server(
        &self,
        name: &str,
        config: &BufferConfig,
    ) -> Result<ImmutableDuplexServer, OpenError> {
        let server = self.server(config).create(name)?;
        Ok(ImmutableDuplexServer { worker: Worker::new(server) })
    }

    /// Makes the channel `name`, whose requests are changed to their answers where they lie. `config` is for both
    /// buffers; its protocol is the channel's.
    ///
    /// # Errors
    /// See [`ServerOptions::create`].
    pub fn create_mutable_server(
        &self,
        name: &str,
        config: &BufferConfig,
    ) -> Result<MutableDuplexServer, OpenError> {
        let server = self.server(config).in_place(true).create(name)?;
        Ok(MutableDuplexServer { worker: Worker::new(server) })
    }

    fn server(&self, config: &BufferConfig) -> ServerOptions {
        let options = Server::options().request_buffer(config.clone());
        let options = options.response_buffer(config.clone());
        match &self.dir {
            Some(dir) => options.dir(dir),
            None => options,
        }
    }
}

/// What a client of a channel does, whoever is behind it: for code that takes any, such as a stand-in in a test.
pub trait DuplexClient {
    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// As [`Client::call`].
    fn send_request(&self, request: &[u8], timeout: Duration) -> Result<Response, CallError>;

    /// Sends a request whose answer is waited for later.
    ///
    /// # Errors
    /// As [`Client::send`].
    fn begin_request(
        &self,
        request: &[u8],
        timeout: Duration,
    ) -> Result<PendingCall<'_>, CallError>;

    /// Whether a server is attached, as of now.
    fn is_server_connected(&self) -> bool;
}

impl DuplexClient for Client {
    fn send_request(&self, request: &[u8], timeout: Duration) -> Result<Response, CallError> {
        self.call(request, timeout)
    }

    fn begin_request(
        &self,
        request: &[u8],
        timeout: Duration,
    ) -> Result<PendingCall<'_>, CallError> {
        self.send(request, timeout)
    }

    fn is_server_connected(&self) -> bool {
        self.is_server_attached()
    }
}

/// A server whose handler sees each request and answers with bytes of its own. Dropped, it stops.
#[derive(Debug)]
pub struct ImmutableDuplexServer {
    worker: Worker,
}

impl ImmutableDuplexServer {
    /// Handles requests on a thread of its own until it is stopped. The handler's errors, and its panics, reach the
    /// caller as such.
    ///
    /// # Panics
    /// If it runs already, or no thread can be started.
    pub fn start<A: Answer>(
        &mut self,
        handler: impl FnMut(&Request) -> Result<A, Failure> + Send + 'static,
    ) {
        self.worker.start(|server| server.serve(handler));
    }

    /// Stops: the request in hand is answered first. Does nothing if it does not run.
    ///
    /// # Errors
    /// [`ReadError`]: it had ended before, because no request could be read any more.
    pub fn stop(&mut self) -> Result<(), ReadError> {
        self.worker.stop()
    }

    /// Whether it handles requests.
    pub fn is_running(&self) -> bool {
        self.worker.is_running()
    }

    /// What it has done so far.
    pub fn stats(&self) -> ServerStats {
        self.worker.server.stats()
    }
}

/// A server whose handler changes each request's bytes to those of its answer. Dropped, it stops.
///
/// ```
/// use std::time::Duration;
/// use zerobuffer::BufferConfig;
/// use zerobuffer::duplex::{Client, DuplexChannelFactory};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let name = format!("doc-mutable-{}", std::process::id());
/// let mut server =
///     DuplexChannelFactory::new().create_mutable_server(&name, &BufferConfig::new())?;
/// server.start(|picture| {
///     picture.iter_mut().for_each(|pixel| *pixel = 255 - *pixel);
///     Ok(())
/// });
/// // With `in_place`, neither side copies a byte; without, the answer is the same.
/// let client = Client::options().in_place(true).connect(&name)?;
/// assert_eq!(client.call(&[0, 100, 255], Duration::from_secs(5))?[..], [255, 155, 0]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct MutableDuplexServer {
    worker: Worker,
}

impl MutableDuplexServer {
    /// Handles requests on a thread of its own until it is stopped. The handler's errors, and its panics, reach the
    /// caller as such.
    ///
    /// # Panics
    /// If it runs already, or no thread can be started.
    pub fn start(
        &mut self,
        mut handler: impl FnMut(&mut [u8]) -> Result<(), Failure> + Send + 'static,
    ) {
        self.worker.start(|server| server.serve_in_place(move |request| handler(request)));
    }

    /// Stops: the request in hand is answered first. Does nothing if it does not run.
    ///
    /// # Errors
    /// [`ReadError`]: it had ended before, because no request could be read any more.
    pub fn stop(&mut self) -> Result<(), ReadError> {
        self.worker.stop()
    }

    /// Whether it handles requests.
    pub fn is_running(&self) -> bool {
        self.worker.is_running()
    }

    /// What it has done so far.
    pub fn stats(&self) -> ServerStats {
        self.worker.server.stats()
    }
}

/// A server and the thread that it runs on.
#[derive(Debug)]
struct Worker {
    server: Arc<Server>,
    stopper: Stopper,
    thread: Option<JoinHandle<Result<(), ReadError>>>,
    /// In a forked child there is no thread to wait for.
    mark: ForkMark,
}

impl Worker {
    fn new(server: Server) -> Self {
        let stopper = server.stopper();
        Self { server: Arc::new(server), stopper, thread: None, mark: ForkMark::current() }
    }

    fn start(&mut self, serve: impl FnOnce(&Server) -> Result<(), ReadError> + Send + 'static) {
        assert!(self.thread.is_none(), "a server is started once, until it is stopped");
        self.stopper.reset();
        let server = self.server.clone();
        self.thread = Some(std::thread::spawn(move || serve(&server)));
    }

    fn stop(&mut self) -> Result<(), ReadError> {
        self.stopper.stop();
        match self.thread.take().filter(|_| self.mark.is_current()) {
            // Panics of handlers were caught.
            Some(thread) => thread.join().unwrap_or(Ok(())),
            None => Ok(()),
        }
    }

    fn is_running(&self) -> bool {
        let is_alive = |thread: &JoinHandle<_>| self.mark.is_current() && !thread.is_finished();
        self.thread.as_ref().is_some_and(is_alive)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Who wants to know how it ended stops it first.
        _ = self.stop();
    }
}
