//! The side that answers.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::answers::{Answered, Answers, Counters, Request};
use super::in_place::InPlace;
use super::names::{DEFAULT_RESPONSE_BYTES_V1, request_buffer, response_buffer};
use super::turn::{Deadline, Taken, Turns};
use super::wire::Status;
use crate::endpoint::frame::Frame;
use crate::endpoint::reader::Reader;
use crate::endpoint::reader_options::ReaderOptions;
use crate::endpoint::writer::Writer;
use crate::endpoint::writer_options::WriterOptions;
use crate::values::call_error::Failure;
use crate::values::config::{BufferConfig, Elastic, FullPolicy, Protocol, WaitStrategy};
use crate::values::error::{OpenError, ReadError, WriteError, WriterPresence};
use crate::wait::armed::Armed;

/// How long one look for a request takes at most: so soon a stopped server notices.
pub(super) const LOOK_LIMIT: Duration = Duration::from_millis(50);

/// How a [`Server`] behaves, and what its buffers are made of.
#[derive(Debug, Clone)]
#[must_use]
pub struct ServerOptions {
    pub(super) dir: Option<PathBuf>,
    wait: WaitStrategy,
    pub(super) requests: BufferConfig,
    responses: BufferConfig,
    answer_patience: Duration,
    pub(super) redo_interrupted: bool,
    pub(super) max_clients: usize,
    in_place: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            dir: None,
            wait: WaitStrategy::default(),
            requests: BufferConfig::new(),
            responses: BufferConfig::new(),
            answer_patience: Duration::from_secs(5),
            redo_interrupted: false,
            in_place: false,
            max_clients: 64,
        }
    }
}

impl ServerOptions {
    /// Directory of the buffers; default `$ZEROBUFFER_DIR`, or else `/dev/shm`.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// How to wait for requests and for room; default [`WaitStrategy::SpinThenPark`].
    pub fn wait_strategy(mut self, strategy: WaitStrategy) -> Self {
        self.wait = strategy;
        self
    }

    /// The buffer for requests; default [`BufferConfig::new`]. Every request that a client has under way has to fit.
    pub fn request_buffer(mut self, config: BufferConfig) -> Self {
        self.requests = config;
        self
    }

    /// The buffer for answers; default [`BufferConfig::new`]. In protocol 1.0 the client makes it.
    pub fn response_buffer(mut self, config: BufferConfig) -> Self {
        self.responses = config;
        self
    }

    /// Serves deployed clients, which speak protocol 1.0. Shorthand for a [`request_buffer`](Self::request_buffer) of
    /// that protocol.
    pub fn v1(self) -> Self {
        self.request_buffer(BufferConfig::v1().payload_bytes(DEFAULT_RESPONSE_BYTES_V1))
    }

    /// How long an answer waits for room in the response buffer, before it is given up; default five seconds. A client
    /// that is stopped, or keeps its answers, would otherwise stop the server.
    pub fn answer_patience(mut self, limit: Duration) -> Self {
        self.answer_patience = limit;
        self
    }

    /// Whether a request that a server had in hand when it died is handled again, [marked](Request::is_redelivered), by
    /// the next one; default no: it is refused, so that what kills a server does not kill it again and again.
    ///
    /// Requests that were waiting when a server died are handled in either case.
    pub fn redo_interrupted(mut self, redo: bool) -> Self {
        self.redo_interrupted = redo;
        self
    }

    /// Whether this server may change requests where they lie, and give them back as answers
    /// ([`Server::serve_in_place`], [`Request::in_place`]); default no.
    ///
    /// It makes both buffers [share their payload](BufferConfig::payload_sharing), and maps requests for writing, where
    /// others map them read-only: a fault in a handler can damage requests that it has not come to. The client must
    /// [allow it](super::ClientOptions::in_place) too. Protocol 2.0 only; in 1.0 answers are copied.
    pub fn in_place(mut self, on: bool) -> Self {
        self.in_place = on;
        self
    }

    /// How many clients a [`ManyServer`](crate::duplex::ManyServer) takes at once; default 64. Each has two buffers and a thread.
    pub fn max_clients(mut self, count: usize) -> Self {
        self.max_clients = count;
        self
    }

    /// Makes the channel `name`, or takes the place of a server that died or left.
    ///
    /// # Errors
    /// [`OpenError`], with what to do about it in its message; [`OpenError::WriterConnected`] or
    /// [`OpenError::ReaderConnected`] when the channel has a live server.
    pub fn create(&self, name: &str) -> Result<Server, OpenError> {
        Server::open(name, self, Arc::default(), Arc::default())
    }

    pub(super) fn reader(&self) -> ReaderOptions {
        let options = Reader::options().wait_strategy(self.wait);
        match &self.dir {
            Some(dir) => options.dir(dir),
            None => options,
        }
    }

    fn writer(&self) -> WriterOptions {
        let options = Writer::options().wait_strategy(self.wait).elastic(Elastic::Always);
        match &self.dir {
            Some(dir) => options.dir(dir),
            None => options,
        }
    }
}

/// The answering end of a duplex channel, for one client at a time.
///
/// Give [`serve`](Self::serve) a handler, or take requests one by one with [`receive`](Self::receive). It can be shared:
/// threads that receive take turns, and each request comes to one of them.
///
/// When it is dropped, requests that it has not come to are refused.
///
/// ```
/// use std::time::Duration;
/// use zerobuffer::duplex::{Client, Failure, Server};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let name = format!("doc-server-{}", std::process::id());
/// let server = Server::create(&name)?;
/// let stopper = server.stopper();
/// std::thread::scope(|scope| {
///     // Answers in place, or with an error that reaches the caller.
///     scope.spawn(|| server.serve(|request| {
///         if request.len() > 100 {
///             return Err(Failure::new(7, "too long"));
///         }
///         let mut answer = request.loan(request.len())?;
///         answer.iter_mut().zip(request.iter().rev()).for_each(|(to, from)| *to = *from);
///         Ok(answer.commit())
///     }));
///     let client = Client::connect(&name).unwrap();
///     let second = Duration::from_secs(1);
///     assert_eq!(&client.call(b"abc", second).unwrap()[..], b"cba");
///     assert!(client.call(&[0; 101], second).unwrap_err().to_string().contains("too long"));
///     stopper.stop();
/// });
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Server {
    name: Arc<str>,
    pub(super) options: ServerOptions,
    pub(super) receiving: Turns<Receiving>,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
}

/// What the one who receives has.
#[derive(Debug)]
pub(super) struct Receiving {
    pub(super) reader: Reader,
    /// To the client of the moment; in protocol 1.0 `None` until it has made its buffer.
    pub(super) way_back: Option<Arc<Answers>>,
    /// How many requests came on that way.
    pub(super) ordinal: u64,
}

/// What a server has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Requests received.
    pub requests: u64,
    /// Answers sent.
    pub answers: u64,
    /// Requests that got no answer but an error, or nothing.
    pub failures: u64,
    /// Answers and errors that found no room in time, or nobody to go to.
    pub undeliverable: u64,
}

pub(super) fn stats_of(counters: &Counters) -> ServerStats {
    ServerStats {
        requests: counters.requests.load(Ordering::Relaxed),
        answers: counters.answers.load(Ordering::Relaxed),
        failures: counters.failures.load(Ordering::Relaxed),
        undeliverable: counters.undeliverable.load(Ordering::Relaxed),
    }
}

/// Makes a server return from [`serve`](Server::serve), from any thread.
#[derive(Debug, Clone)]
pub struct Stopper(pub(super) Arc<AtomicBool>);

impl Stopper {
    /// Stops: requests in hand are answered, `serve` returns within 50 ms after.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Takes a stop back.
    pub(super) fn reset(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// What a handler may return: bytes to be copied, or [`Answered`] if it has answered by itself.
pub trait Answer {
    /// Sends it.
    ///
    /// # Errors
    /// As [`Request::answer`].
    fn send(self, request: &Request) -> Result<Answered, WriteError>;

    /// What is yet to be sent; `None` if it was answered.
    fn bytes(&self) -> Option<&[u8]>;
}

impl<T: AsRef<[u8]>> Answer for T {
    fn send(self, request: &Request) -> Result<Answered, WriteError> {
        request.answer(self.as_ref())
    }

    fn bytes(&self) -> Option<&[u8]> {
        Some(self.as_ref())
    }
}

impl Answer for Answered {
    fn send(self, _: &Request) -> Result<Answered, WriteError> {
        Ok(self)
    }

    fn bytes(&self) -> Option<&[u8]> {
        None
    }
}

impl Server {
    /// Options, for more than [`create`](Self::create) offers.
    pub fn options() -> ServerOptions {
        ServerOptions::default()
    }

    /// Makes the channel `name` in the default directory, or takes the place of a server that died or left.
    ///
    /// # Errors
    /// See [`ServerOptions::create`].
    pub fn create(name: &str) -> Result<Self, OpenError> {
        Self::options().create(name)
    }

    pub(super) fn open(
        name: &str,
        options: &ServerOptions,
        counters: Arc<Counters>,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, OpenError> {
        // First, so that who finds the buffer for requests finds this one too.
        let shares = options.in_place && options.requests.protocol == Protocol::V2;
        let sharing = |config: &BufferConfig| match shares {
            true => config.clone().payload_sharing(true),
            false => config.clone(),
        };
        let way_back = match options.requests.protocol {
            Protocol::V1 => None,
            Protocol::V2 => {
                // Answers to a client that is gone are nobody's.
                let config = sharing(&options.responses).keep_for_first_reader(false);
                let policy = FullPolicy::Block { timeout: Some(options.answer_patience) };
                let writer = options.writer().full_policy(policy);
                let writer = writer.create(&response_buffer(name), &config)?;
                Some(Answers::new(writer, options.answer_patience, counters.clone()))
            }
        };
        let reader = options
            .reader()
            .changes_frames(shares)
            .create(&request_buffer(name), &sharing(&options.requests))?;
        let receiving = Turns::new(Receiving { reader, way_back, ordinal: 0 });
        Ok(Self { name: name.into(), options: options.clone(), receiving, counters, stop })
    }

    /// Name of the channel.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends [`serve`](Self::serve) from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// What this server has done.
    pub fn stats(&self) -> ServerStats {
        stats_of(&self.counters)
    }

    /// Handles requests one after the other until it is stopped. Clients come and go meanwhile.
    ///
    /// What the handler returns is the answer; its errors, and its panics, reach the caller as such.
    ///
    /// # Errors
    /// [`ReadError`]: no request can be read any more.
    pub fn serve<A: Answer>(
        &self,
        mut handler: impl FnMut(&Request) -> Result<A, Failure>,
    ) -> Result<(), ReadError> {
        while !self.is_stopped() {
            self.serve_while_busy(&mut handler)?;
        }
        Ok(())
    }

    /// Handles requests until none comes for a while, or it is stopped.
    pub(super) fn serve_while_busy<A: Answer>(
        &self,
        mut handler: impl FnMut(&Request) -> Result<A, Failure>,
    ) -> Result<(), ReadError> {
        while !self.is_stopped()
            && let Some(request) = self.receive(LOOK_LIMIT)?
        {
            handle(&request, &mut handler);
        }
        Ok(())
    }

    /// As [`serve`](Self::serve), with a handler that changes the request's bytes to those of its answer. Where
    /// [both sides agree](ServerOptions::in_place) nothing is copied, whatever the size.
    ///
    /// ```
    /// use std::time::Duration;
    /// use zerobuffer::duplex::{Client, Server};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let name = format!("doc-in-place-{}", std::process::id());
    /// let server = Server::options().in_place(true).create(&name)?;
    /// let stopper = server.stopper();
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| server.serve_in_place(|picture| {
    ///         picture.iter_mut().for_each(|pixel| *pixel = 255 - *pixel);
    ///         Ok(())
    ///     }));
    ///     let client = Client::options().in_place(true).connect(&name).unwrap();
    ///     let negative = client.call(&[0, 100, 255], Duration::from_secs(5)).unwrap();
    ///     assert_eq!(negative[..], [255, 155, 0]);
    ///     stopper.stop();
    /// });
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub fn serve_in_place(
        &self,
        mut handler: impl FnMut(&mut InPlace<'_>) -> Result<(), Failure>,
    ) -> Result<(), ReadError> {
        while !self.is_stopped() {
            if let Some(mut request) = self.receive(LOOK_LIMIT)? {
                let handled = guarded(|| {
                    let mut place = request.in_place()?;
                    handler(&mut place)?;
                    Ok(place.commit()?)
                });
                settle(&request, handled);
            }
        }
        Ok(())
    }

    /// Whether a client is there, as of now, when nobody receives.
    pub(super) fn client_presence(&self) -> WriterPresence {
        let receiving = self.receiving.try_take();
        receiving.map_or(WriterPresence::Attached, |receiving| receiving.reader.writer_presence())
    }

    /// As [`serve`](Self::serve), with so many threads: answers may overtake each other, and each reaches its own caller.
    ///
    /// In protocol 1.0, where only their order tells answers apart, they are sent in the order of the requests.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    ///
    /// # Panics
    /// If no thread can be started.
    pub fn serve_pool<A: Answer>(
        &self,
        threads: usize,
        handler: impl Fn(&Request) -> Result<A, Failure> + Sync,
    ) -> Result<(), ReadError> {
        std::thread::scope(|scope| {
            let work = || {
                let served = self.serve(&handler);
                // One who fails takes the others along.
                self.stopper().stop();
                served
            };
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let own = work();
            others.into_iter().fold(own, |so_far, other| {
                so_far.and(other.join().unwrap_or(Ok(()))) // Panics of handlers were caught.
            })
        })
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// The next request; `None` if none came in time.
    ///
    /// # Errors
    /// [`ReadError`]: no request can be read any more. Clients that die or leave are no error.
    pub fn receive(&self, timeout: Duration) -> Result<Option<Request>, ReadError> {
        let deadline = Deadline::after(timeout);
        if !self.receiving.is_ours() {
            return Err(ReadError::Forked { name: self.name.clone() });
        }
        loop {
            let Some(receiving) = self.receiving.take(deadline) else { return Ok(None) };
            if let Some(request) = self.receive_once(receiving, deadline)? {
                let again = self.options.redo_interrupted && !request.is_half_changed();
                if !request.is_redelivered() || again {
                    return Ok(Some(request));
                }
                request.refuse(Status::Interrupted, 0, "");
            } else if deadline.has_passed() {
                return Ok(None);
            }
        }
    }

    pub(super) fn armed(&self) -> Armed {
        // Protocol 1.0: its clients make the buffers of answers, which wakes nobody. Taken: somebody else receives.
        self.receiving.try_take().map_or(Armed::unattended(), |mut it| it.reader.arm())
    }

    /// One look for a request.
    fn receive_once(
        &self,
        mut receiving: Taken<'_, Receiving>,
        deadline: Deadline,
    ) -> Result<Option<Request>, ReadError> {
        let mut timeout = deadline.left();
        let Receiving { reader, way_back, ordinal } = &mut *receiving;
        if reader.protocol() == Protocol::V1 {
            self.keep_up_with_clients(way_back, ordinal);
            timeout = timeout.min(LOOK_LIMIT);
        }
        let read = reader.read_timeout(timeout).map(|frame| frame.map(Frame::into_owned));
        match read {
            Ok(Some(frame)) => {
                if reader.protocol() == Protocol::V1 {
                    self.keep_up_with_clients(way_back, ordinal);
                    // The first of a client that has yet to make its buffer. Others without a way back are from one that
                    // is gone: nobody else may get their answers.
                    let patience = Deadline::after(self.options.answer_patience);
                    let may_come = || frame.sequence() == 1 && !self.is_stopped();
                    while way_back.is_none() && may_come() && !patience.has_passed() {
                        std::thread::sleep(Duration::from_millis(1));
                        self.keep_up_with_clients(way_back, ordinal);
                    }
                }
                let Some(answers) = way_back.clone() else {
                    self.counters.undeliverable.fetch_add(1, Ordering::Relaxed);
                    return Ok(None);
                };
                let request = Request::new(answers, *ordinal, frame, reader.protocol());
                *ordinal += 1;
                Ok(Some(request))
            }
            // The client closed or died; the next one may come.
            Ok(None) | Err(ReadError::WriterGone { .. }) => {
                if reader.protocol() == Protocol::V1 {
                    *way_back = None;
                }
                Ok(None)
            }
            Err(ReadError::Timeout { .. } | ReadError::SequenceGap { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Protocol 1.0: lets go of a client that left, and connects to the buffer that the next one has made for its answers,
    /// about when it connected; deployed ones wait for that.
    fn keep_up_with_clients(&self, way_back: &mut Option<Arc<Answers>>, ordinal: &mut u64) {
        if way_back.as_ref().is_some_and(|answers| !answers.has_client()) {
            *way_back = None;
        }
        if way_back.is_some() {
            return;
        }
        if let Ok(writer) = self.options.writer().connect(&response_buffer(&self.name)) {
            let patience = self.options.answer_patience;
            *way_back = Some(Answers::new(writer, patience, self.counters.clone()));
            *ordinal = 0;
        }
    }
}

/// Has a request handled; whatever happens in the handler, its caller is told.
fn handle<A: Answer>(request: &Request, handler: &mut impl FnMut(&Request) -> Result<A, Failure>) {
    let handled = guarded(|| handler(request).and_then(|answer| Ok(answer.send(request)?)));
    settle(request, handled);
}

/// What a handler came to: an answer, an error of its own, or a panic with its text.
type Handled = Result<Result<Answered, Failure>, String>;

fn guarded(handle: impl FnOnce() -> Result<Answered, Failure>) -> Handled {
    // A panic leaves nothing of ours half done: loans are given back, and locks hold nothing.
    catch_unwind(AssertUnwindSafe(handle)).map_err(|panic| text_of(&*panic).to_owned())
}

/// Tells the caller, if it was not answered.
fn settle(request: &Request, handled: Handled) {
    match handled {
        Ok(Ok(Answered { .. })) => {}
        Ok(Err(failure)) => request.refuse(Status::Failed, failure.code, &failure.message),
        Err(panic) => request.refuse(Status::Panicked, 0, &panic),
    }
}

/// What a panic says.
pub(super) fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("with something that is not text")
}

impl Drop for Server {
    fn drop(&mut self) {
        // What was sent and not received: its callers need not wait. A successor gets what comes after this.
        while let Some(receiving) = self.receiving.try_take() {
            match self.receive_once(receiving, Deadline::after(Duration::ZERO)) {
                Ok(Some(request)) => request.refuse(Status::Closing, 0, ""),
                Ok(None) | Err(_) => break,
            }
        }
    }
}
