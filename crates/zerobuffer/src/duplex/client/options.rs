//! How a client behaves, and how it opens its channel.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::{Client, ServerState, Table};
use crate::duplex::hello::say_hello;
use crate::duplex::names::{DEFAULT_RESPONSE_BYTES_V1, request_buffer, response_buffer};
use crate::duplex::pending::{Correlation, Pending};
use crate::duplex::turn::{Deadline, Turns, lock};
use crate::endpoint::looking::look_until;
use crate::endpoint::reader::Reader;
use crate::endpoint::writer::Writer;
use crate::endpoint::writer_options::WriterOptions;
use crate::values::config::{BufferConfig, Elastic, Protocol, StartAt, WaitStrategy};
use crate::values::error::{OpenError, WriterPresence};

/// Between two looks for a server that is waited for.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(2);
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
    pub(crate) in_place: bool,
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
    /// [can](crate::duplex::ServerOptions::in_place); default no. Otherwise answers are copied, whatever the server does.
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
            server: ServerState::Gone(WriterPresence::Never),
            lost: false,
            base: 0,
            newest: 0,
        };
        let client = Client {
            name: name.into(),
            channel,
            options: self.clone(),
            protocol: ends.protocol(),
            requests: Turns::new(ends.requests),
            responses: Turns::new(ends.responses),
            in_order: Turns::new(()),
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
        lock(&client.table).server = ServerState::Attached;
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

    pub(crate) fn open_requests(&self, channel: &str) -> Result<Writer, OpenError> {
        self.writer().connect(&request_buffer(channel))
    }

    pub(crate) fn open_responses(
        &self,
        channel: &str,
        protocol: Protocol,
    ) -> Result<Reader, OpenError> {
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
}
