//! The side that asks.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::accept::say_hello;
use super::call::bytes_before_a_request;
use super::call::{PendingCall, RequestLoan, Response};
use super::pending::{Correlation, Delivery, Pending};
use super::tasks::{Doorbell, Waiter};
use super::turn::{Deadline, Slot, lock};
use super::wire::{Consent, HEADER_BYTES, Header, Status};
use super::{DEFAULT_RESPONSE_BYTES_V1, request_buffer, response_buffer};
use crate::endpoint::frame::{Frame, OwnedFrame};
use crate::endpoint::reader::Reader;
use crate::endpoint::writer::{Writer, WriterOptions, look_until};
use crate::values::call_error::{CallError, Gone};
use crate::values::config::{BufferConfig, Elastic, Protocol, StartAt, WaitStrategy};
use crate::values::error::{OpenError, ReadError, WriteError, WriterPresence};

/// How long one look for an answer takes at most: so soon a cancelled call is noticed by who looks for all.
const SLICE: Duration = Duration::from_millis(80);
/// Between two looks for a server that is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// As long as a deployed server looks for its client.
const SERVER_WAIT: Duration = Duration::from_secs(5);

/// How a [`Client`] behaves.
#[derive(Debug, Clone)]
#[must_use]
pub struct ClientOptions {
    dir: Option<PathBuf>,
    wait: WaitStrategy,
    wait_for_server: Duration,
    response_v1: BufferConfig,
    in_place: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            dir: None,
            wait: WaitStrategy::default(),
            wait_for_server: SERVER_WAIT,
            response_v1: BufferConfig::v1().payload_bytes(DEFAULT_RESPONSE_BYTES_V1),
            in_place: false,
        }
    }
}

impl ClientOptions {
    /// Directory of the buffers; default `$ZEROBUFFER_DIR`, or else `/dev/shm`.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// How to wait for answers and for room; default [`WaitStrategy::SpinThenPark`].
    pub fn wait_strategy(mut self, strategy: WaitStrategy) -> Self {
        self.wait = strategy;
        self
    }

    /// How long `connect` waits for the server; default five seconds.
    pub fn wait_for_server(mut self, limit: Duration) -> Self {
        self.wait_for_server = limit;
        self
    }

    /// The buffer for answers, which in protocol 1.0 the client makes; default 4 MiB. In protocol 2.0 the server has made it.
    pub fn response_buffer_v1(mut self, config: BufferConfig) -> Self {
        self.response_v1 = config;
        self
    }

    /// Whether the server may change requests where they lie and give them back as answers, if it
    /// [can](super::ServerOptions::in_place); default no. Otherwise answers are copied, whatever the server does.
    pub fn in_place(mut self, allow: bool) -> Self {
        self.in_place = allow;
        self
    }

    /// Attaches to the channel `name`, of either protocol, and waits for its server.
    ///
    /// # Errors
    /// [`OpenError`]; [`is_not_found`](OpenError::is_not_found) when there is no server;
    /// [`OpenError::WriterConnected`] when the channel has a client already.
    pub fn connect(&self, name: &str) -> Result<Client, OpenError> {
        let deadline = Deadline::after(self.wait_for_server);
        let (channel, ends) =
            look_until(Some(self.wait_for_server), || self.find_channel(name, deadline))?;
        let table = Table {
            pending: Pending::new(ends.correlation()),
            server: Server::Gone(WriterPresence::Never),
            lost: false,
            base: 0,
            newest: 0,
        };
        let client = Client {
            name: name.into(),
            channel,
            options: self.clone(),
            protocol: ends.protocol(),
            requests: Slot::new(ends.requests),
            responses: Slot::new(ends.responses),
            in_order: Slot::new(()),
            table: Mutex::new(table),
            bell: OnceLock::new(),
            is_reader_wanted: AtomicBool::new(false),
        };
        while !client.is_server_attached() {
            if deadline.has_passed() {
                let buffer = response_buffer(&client.channel);
                let problem = "no server has attached to it".to_owned();
                return Err(OpenError::NotReady { name: buffer, problem });
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        lock(&client.table).server = Server::Attached;
        Ok(client)
    }

    /// Opens the channel of that name, or, if there is none, the one that its server makes for this client.
    fn find_channel(&self, name: &str, deadline: Deadline) -> Result<(Arc<str>, Ends), OpenError> {
        let not_found = match Ends::open(self, name) {
            Ok(ends) => return Ok((name.into(), ends)),
            Err(error) if error.is_not_found() => error,
            Err(error) => return Err(error),
        };
        let waiting = match say_hello(&self.writer(), self.dir.as_deref(), name, deadline) {
            Ok(waiting) => waiting,
            Err(OpenError::NotFound { .. }) => return Err(not_found),
            Err(error) => return Err(error),
        };
        let channel = waiting.channel.clone();
        let ends = look_until(Some(deadline.left()), || Ends::open(self, &channel)).map_err(|error| {
            let problem = format!("the server made no channel for this client, as if it had too many, or no room ({error})");
            if error.is_not_found() { OpenError::NotReady { name: channel.clone(), problem } } else { error }
        })?;
        // The server sees by now that it came.
        drop(waiting);
        Ok((channel.into(), ends))
    }

    fn writer(&self) -> WriterOptions {
        let options = Writer::options().wait_strategy(self.wait).elastic(Elastic::Always);
        match &self.dir {
            Some(dir) => options.dir(dir),
            None => options,
        }
    }

    fn open_requests(&self, channel: &str) -> Result<Writer, OpenError> {
        self.writer().connect(&request_buffer(channel))
    }

    fn open_responses(&self, channel: &str, protocol: Protocol) -> Result<Reader, OpenError> {
        let mut options = Reader::options().wait_strategy(self.wait);
        if let Some(dir) = &self.dir {
            options = options.dir(dir);
        }
        let name = response_buffer(channel);
        match protocol {
            Protocol::V1 => options.create(&name, &self.response_v1),
            // Nothing is kept for a client that is gone, nor handed to its successor.
            Protocol::V2 => options.ephemeral().start_at(StartAt::Newest).join(&name),
        }
    }
}

/// Both ends of a channel, as a client has them.
struct Ends {
    requests: Writer,
    responses: Reader,
}

impl Ends {
    fn open(options: &ClientOptions, channel: &str) -> Result<Self, OpenError> {
        let requests = options.open_requests(channel)?;
        let responses = options.open_responses(channel, requests.protocol())?;
        Ok(Self { requests, responses })
    }

    fn protocol(&self) -> Protocol {
        self.requests.protocol()
    }

    fn correlation(&self) -> Correlation {
        match self.protocol() {
            Protocol::V1 => Correlation::ByOrder,
            Protocol::V2 => Correlation::BySequence,
        }
    }
}

/// What is known of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Attached,
    Gone(WriterPresence),
}

pub(super) type Outcome = Result<Response, CallError>;

#[derive(Debug)]
pub(super) struct Table {
    pub(super) pending: Pending<Waiter, Outcome>,
    pub(super) server: Server,
    /// The buffers were removed or damaged: they have to be opened again.
    pub(super) lost: bool,
    /// What a call's number is above its request's in the buffer: new buffers begin at 1 again, calls do not.
    pub(super) base: u64,
    /// Number of the newest call.
    pub(super) newest: u64,
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
    pub(super) name: Arc<str>,
    /// What its buffers are named after: the same, unless the server has many clients.
    channel: Arc<str>,
    options: ClientOptions,
    pub(super) protocol: Protocol,
    pub(super) requests: Slot<Writer>,
    pub(super) responses: Slot<Reader>,
    /// Protocol 1.0: one call at a time.
    in_order: Slot<()>,
    pub(super) table: Mutex<Table>,
    pub(super) bell: OnceLock<Arc<dyn Doorbell>>,
    /// The doorbell rang while somebody else had the reader.
    pub(super) is_reader_wanted: AtomicBool,
}

impl Client {
    /// Options, for more than [`connect`](Self::connect) offers.
    pub fn options() -> ClientOptions {
        ClientOptions::default()
    }

    /// Attaches to the channel `name` in the default directory; waits five seconds for its server.
    ///
    /// # Errors
    /// See [`ClientOptions::connect`].
    pub fn connect(name: &str) -> Result<Self, OpenError> {
        Self::options().connect(name)
    }

    /// Name of the channel.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The protocol that the channel speaks.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// [`CallError`]. A request that timed out, or whose server went, may have been executed.
    pub fn call(&self, request: &[u8], timeout: Duration) -> Result<Response, CallError> {
        self.call_filled(request.len(), |loan| loan.copy_from_slice(request), timeout)
    }

    /// As [`call`](Self::call), with a request of `len` bytes that `fill` makes in place: no copy.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_with(
        &self,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
        timeout: Duration,
    ) -> Result<Response, CallError> {
        self.call_filled(len, |loan| fill(loan), timeout)
    }

    fn call_filled(
        &self,
        len: usize,
        fill: impl FnOnce(&mut RequestLoan<'_>),
        timeout: Duration,
    ) -> Result<Response, CallError> {
        let deadline = Deadline::after(timeout);
        self.check_process()?;
        // A deployed server whose handler fails says nothing, and the next answer would be taken for its. With one
        // call at a time there is no next answer.
        let turn = match self.protocol {
            Protocol::V1 => {
                Some(self.in_order.take(deadline).ok_or_else(|| self.not_sent(deadline))?)
            }
            Protocol::V2 => None,
        };
        let mut loan = self.loan_until(len, deadline)?;
        fill(&mut loan);
        let number = loan.send()?;
        let outcome = self.wait(number, deadline);
        if let Err(CallError::Timeout { .. }) = &outcome {
            self.abandon(number);
        }
        drop(turn);
        outcome
    }

    /// Sends a request; its answer is waited for later, or, if the call is dropped, ignored. Any number can be under
    /// way, as far as the buffers have room.
    ///
    /// In protocol 1.0 answers are told apart by their order alone. A deployed server whose handler fails says nothing,
    /// so that the next answer is taken for its: use [`call`](Self::call) there, unless handlers do not fail.
    ///
    /// # Errors
    /// As [`call`](Self::call), but nothing was sent.
    pub fn send(&self, request: &[u8], timeout: Duration) -> Result<PendingCall<'_>, CallError> {
        let mut loan = self.loan(request.len(), timeout)?;
        loan.copy_from_slice(request);
        loan.commit()
    }

    /// Lends `len` bytes of the request buffer to be filled and sent: no copy. Others cannot send meanwhile.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn loan(&self, len: usize, timeout: Duration) -> Result<RequestLoan<'_>, CallError> {
        self.loan_until(len, Deadline::after(timeout))
    }

    fn loan_until(&self, len: usize, deadline: Deadline) -> Result<RequestLoan<'_>, CallError> {
        self.require_server(deadline)?;
        let mut writer = self.requests.take(deadline).ok_or_else(|| self.not_sent(deadline))?;
        let all = len.saturating_add(bytes_before_a_request(writer.protocol()));
        let claimed = writer.claim_timeout(all, deadline.left()).map_err(|error| match error {
            WriteError::ReaderGone { .. } | WriteError::NoReader { .. } => self.no_server(),
            WriteError::Retired { .. } => self.no_server(),
            other => other.into(),
        })?;
        Ok(RequestLoan::new(self, writer, claimed, self.consent()))
    }

    /// Whether this is the process that connected.
    pub(super) fn is_ours(&self) -> bool {
        self.requests.is_ours()
    }

    /// Fails in a forked child, before any lock is taken: a thread that the child has not may have it.
    pub(super) fn check_process(&self) -> Result<(), CallError> {
        match self.is_ours() {
            true => Ok(()),
            false => Err(WriteError::Forked { name: self.name.clone() }.into()),
        }
    }

    /// Whether requests may be changed in place.
    pub(super) fn consent(&self) -> Consent {
        if self.options.in_place { Consent::Change } else { Consent::Keep }
    }

    #[cold]
    pub(super) fn late(&self, waited: Duration) -> CallError {
        let server = match lock(&self.table).server {
            Server::Attached => WriterPresence::Attached,
            Server::Gone(how) => how,
        };
        CallError::Timeout { name: self.name.clone(), waited, server }
    }

    fn not_sent(&self, deadline: Deadline) -> CallError {
        CallError::NotSent { name: self.name.clone(), waited: deadline.waited() }
    }

    fn no_server(&self) -> CallError {
        let server = match lock(&self.table).server {
            Server::Attached => WriterPresence::Dead,
            Server::Gone(how) => how,
        };
        CallError::NoServer { name: self.name.clone(), server }
    }

    /// Whether a server is there, as of now. Asks the kernel.
    pub fn is_server_attached(&self) -> bool {
        match self.responses.try_take() {
            Some(reader) => {
                let is_attached = reader.writer_presence() == WriterPresence::Attached;
                drop(reader);
                self.pass_reader_on();
                is_attached
            }
            // Somebody waits for an answer, and notices when it goes.
            None => self.is_ours() && lock(&self.table).server == Server::Attached,
        }
    }

    /// Waits for a server, until one is there or `timeout` has passed; whether one is.
    ///
    /// # Errors
    /// The channel could not be opened again.
    pub fn wait_for_server(&self, timeout: Duration) -> Result<bool, CallError> {
        let deadline = Deadline::after(timeout);
        loop {
            match self.require_server(deadline) {
                Ok(()) if self.is_server_attached() => return Ok(true),
                Ok(()) | Err(CallError::NoServer { .. } | CallError::Timeout { .. }) => {}
                Err(other) => return Err(other),
            }
            if deadline.has_passed() {
                return Ok(false);
            }
            std::thread::sleep(LOOK_INTERVAL.min(deadline.left()));
        }
    }

    /// Fails if there is no server; when it was gone, looks whether one is back.
    fn require_server(&self, deadline: Deadline) -> Result<(), CallError> {
        self.check_process()?;
        let (gone, in_step) = {
            let table = lock(&self.table);
            (table.server != Server::Attached, table.pending.is_in_step())
        };
        if gone {
            return self.look_for_server(deadline);
        }
        if in_step {
            return Ok(());
        }
        // Late answers that are here by now settle whose they were.
        if let Some(mut reader) = self.responses.try_take() {
            self.receive_all(&mut reader, deadline);
            drop(reader);
            self.pass_reader_on();
        }
        if lock(&self.table).pending.is_in_step() { Ok(()) } else { Err(self.out_of_step()) }
    }

    /// Gives the answers that are here to their callers; a server that sends more and more of them does not hold up the
    /// caller beyond its deadline.
    fn receive_all(&self, reader: &mut Reader, deadline: Deadline) {
        while self.receive(reader, Duration::ZERO).is_some() && !deadline.has_passed() {}
    }

    pub(super) fn out_of_step(&self) -> CallError {
        CallError::OutOfStep { name: self.name.clone() }
    }

    fn look_for_server(&self, deadline: Deadline) -> Result<(), CallError> {
        let found = self.find_server(deadline);
        self.pass_reader_on();
        found
    }

    fn find_server(&self, deadline: Deadline) -> Result<(), CallError> {
        let mut reader = self.responses.take(deadline).ok_or_else(|| self.not_sent(deadline))?;
        if lock(&self.table).server == Server::Attached {
            return Ok(()); // Somebody else has found it.
        }
        // What there is to be told of the old one, before there is a new one.
        self.receive_all(&mut reader, deadline);
        if self.protocol == Protocol::V1 || lock(&self.table).lost {
            let mut writer = self.requests.take(deadline).ok_or_else(|| self.not_sent(deadline))?;
            self.reopen(&mut writer, &mut reader)?;
        }
        if reader.writer_presence() != WriterPresence::Attached {
            return Err(self.no_server());
        }
        lock(&self.table).server = Server::Attached;
        Ok(())
    }

    /// Opens the ends again that went with the server, if a new one has made its own.
    fn reopen(&self, writer: &mut Writer, reader: &mut Reader) -> Result<(), CallError> {
        if self.protocol == Protocol::V1 && writer.has_live_reader() {
            return Ok(()); // Opened again before; the new server has yet to attach its other end.
        }
        let open = || {
            let requests = self.options.open_requests(&self.channel)?;
            let responses = match self.protocol {
                Protocol::V1 => None, // Its own, and still there.
                Protocol::V2 => Some(self.options.open_responses(&self.channel, self.protocol)?),
            };
            Ok::<_, OpenError>((requests, responses))
        };
        match open() {
            Ok((requests, _)) if requests.protocol() != self.protocol => Err(self.no_server()),
            Ok((requests, responses)) => {
                if let Some(bell) = self.bell.get() {
                    bell.ends_go();
                }
                *writer = requests;
                if let Some(responses) = responses {
                    *reader = responses;
                }
                let mut table = lock(&self.table);
                (table.lost, table.base) = (false, table.newest);
                Ok(())
            }
            Err(error) if error.is_not_found() => Err(self.no_server()),
            Err(error) => Err(Arc::new(error).into()),
        }
    }

    /// Waits for the answer to a request; whoever of the waiting threads has the reader looks for the answers of all.
    pub(super) fn wait(&self, number: u64, deadline: Deadline) -> Outcome {
        if !self.is_ours() {
            return Err(ReadError::Forked { name: self.name.clone() }.into());
        }
        let outcome = loop {
            if let Some(outcome) = lock(&self.table).pending.take(number, Waiter::current_thread) {
                break outcome;
            }
            let left = deadline.left();
            if left.is_zero() {
                break Err(self.late(deadline.waited()));
            }
            match self.responses.try_take() {
                Some(mut reader) => {
                    if self.receive(&mut reader, left.min(SLICE)) == Some(number) {
                        continue;
                    }
                }
                None => std::thread::park_timeout(left.min(SLICE)),
            }
        };
        self.hand_over(number);
        outcome.map(|response| Response { request: number, ..response })
    }

    /// Lets another thread look for answers, now that this one does not.
    fn hand_over(&self, number: u64) {
        let mut table = lock(&self.table);
        table.pending.leave(number);
        let waiter = table.pending.any_waiter().cloned();
        drop(table);
        self.pass_reader_to(waiter);
    }

    /// After the reader was returned: lets somebody look who waits and may have found it taken.
    fn pass_reader_on(&self) {
        let waiter = lock(&self.table).pending.any_waiter().cloned();
        self.pass_reader_to(waiter);
    }

    fn pass_reader_to(&self, waiter: Option<Waiter>) {
        // Whoever has the reader does the same when he returns it.
        if let Some(waiter) = waiter
            && !self.responses.is_taken()
        {
            waiter.wake();
        }
        if self.is_reader_wanted.load(Ordering::SeqCst)
            && self.is_reader_wanted.swap(false, Ordering::SeqCst)
        {
            self.look_for_answers();
        }
    }

    /// Looks for one answer and gives it to its caller; whose it was, if one came.
    pub(super) fn receive(&self, reader: &mut Reader, timeout: Duration) -> Option<u64> {
        let read = reader.read_timeout(timeout).map(|frame| frame.map(Frame::into_owned));
        let frame = match read {
            Ok(Some(frame)) => frame,
            Err(ReadError::Timeout { .. } | ReadError::SequenceGap { .. }) => return None,
            ended => {
                self.break_off(ended.err(), reader.writer_presence());
                return None;
            }
        };
        let (number, outcome) = match self.protocol {
            Protocol::V1 => (0, Ok(Response { request: 0, frame, skip: 0, cut: 0 })),
            Protocol::V2 => self.outcome(frame),
        };
        let mut table = lock(&self.table);
        let number = number.wrapping_add(table.base);
        let delivery = table.pending.answer(number, outcome);
        drop(table);
        match delivery {
            Delivery::To(number, waiter) => {
                if let Some(waiter) = waiter {
                    waiter.wake();
                }
                Some(number)
            }
            Delivery::Late => Some(0),
        }
    }

    /// What an answer says, and of which request.
    pub(super) fn outcome(&self, frame: OwnedFrame) -> (u64, Outcome) {
        let mut start = [0; HEADER_BYTES];
        let copied = frame.copy_to(&mut start);
        let header = match Header::parse(&start[..copied]) {
            Ok(header) => header,
            Err(problem) => {
                // Nobody can be told whose it was.
                let error = CallError::Damaged { name: self.name.clone(), problem };
                self.fail_all(&error, WriterPresence::Attached);
                return (0, Err(error));
            }
        };
        let name = self.name.clone();
        let message = || String::from_utf8_lossy(&frame[HEADER_BYTES..]).into_owned();
        let outcome = match header.status {
            Status::Answer => match header.code as usize {
                cut if cut <= frame.len() - HEADER_BYTES => {
                    Ok(Response { request: header.request, frame, skip: HEADER_BYTES, cut })
                }
                _ => Err(CallError::Damaged { name, problem: "an answer ends before it begins" }),
            },
            Status::Failed => {
                Err(CallError::Failed { name, code: header.code, message: message() })
            }
            Status::Panicked => Err(CallError::Panicked { name, message: message() }),
            Status::Unanswered => Err(CallError::Unanswered { name }),
            Status::Closing => Err(CallError::ServerGone { name, how: Gone::Refused }),
            Status::Interrupted => Err(CallError::ServerGone { name, how: Gone::Interrupted }),
        };
        (header.request, outcome)
    }

    /// Tells everybody that no more answers come: the server has closed, or `why`. Nobody, and nothing is returned, if the
    /// server only went and its successor is there already, who has their requests.
    #[cold]
    pub(super) fn break_off(
        &self,
        why: Option<ReadError>,
        presence: WriterPresence,
    ) -> Option<CallError> {
        let how = match why {
            None => Gone::Closed,
            Some(ReadError::WriterGone { pid, .. }) => Gone::Died { pid },
            Some(damage) => {
                lock(&self.table).lost = true;
                let error = damage.into();
                self.fail_all(&error, WriterPresence::Dead);
                return Some(error);
            }
        };
        if self.protocol == Protocol::V2 && presence == WriterPresence::Attached {
            return None;
        }
        let error = CallError::ServerGone { name: self.name.clone(), how };
        self.fail_all(&error, presence);
        Some(error)
    }

    fn fail_all(&self, error: &CallError, presence: WriterPresence) {
        let mut table = lock(&self.table);
        if presence != WriterPresence::Attached {
            table.server = Server::Gone(presence);
        }
        let woken = table.pending.fail_all(|| Err(error.clone()));
        drop(table);
        woken.iter().for_each(Waiter::wake);
    }

    pub(super) fn abandon(&self, number: u64) {
        let woken = lock(&self.table).pending.abandon(number, || Err(self.out_of_step()));
        woken.iter().for_each(Waiter::wake);
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
