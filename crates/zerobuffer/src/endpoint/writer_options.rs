//! How a writer behaves, and how it attaches.

use std::path::PathBuf;
use std::time::Duration;

use super::claimed::Claimed;
use super::looking::look_until;
use super::writer::Writer;
use crate::engine::Writing;
use crate::sys::{processor, time};
use crate::v2::engine::writer::Behaviour;
use crate::v2::placing::Footprint;
use crate::values::config::{BufferConfig, Elastic, FullPolicy, StreamingStores, WaitStrategy};
use crate::values::error::OpenError;

/// Window of an elastic writer: fits the cache that two cores share on most machines.
const ELASTIC_WINDOW: u64 = 4 << 20;
/// Part of the largest cache that a ring may have for itself: others use it too.
const CACHE_PART: u64 = 4;
fn footprint(elastic: Elastic) -> Footprint {
    match elastic {
        Elastic::Auto => Footprint::Learned {
            window: ELASTIC_WINDOW,
            cached: || processor::largest_cache_bytes() / CACHE_PART,
            now_ns: time::monotonic_ns,
        },
        Elastic::Never => Footprint::Whole,
        Elastic::Always => Footprint::Window(ELASTIC_WINDOW),
    }
}

/// How a [`Writer`] behaves; the buffer itself is described by [`BufferConfig`].
#[derive(Debug, Clone)]
#[must_use]
pub struct WriterOptions {
    dir: Option<PathBuf>,
    behaviour: Behaviour,
    full: FullPolicy,
    wait_for_buffer: Option<Duration>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        let behaviour = Behaviour {
            wait: WaitStrategy::default(),
            require_reader: false,
            footprint: footprint(Elastic::default()),
            prefault: false,
            streaming: StreamingStores::default(),
            forget_after: None,
        };
        Self { dir: None, behaviour, full: FullPolicy::default(), wait_for_buffer: None }
    }
}

impl WriterOptions {
    /// Directory of the buffer; default `$ZEROBUFFER_DIR`, or else `/dev/shm`.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// How to wait for room; default [`WaitStrategy::SpinThenPark`].
    pub fn wait_strategy(mut self, strategy: WaitStrategy) -> Self {
        self.behaviour.wait = strategy;
        self
    }

    /// What to do when the ring is full; default: wait at most five seconds.
    ///
    /// A reader that is stopped (a debugger, `SIGSTOP`) is not dead and can hold the ring back without end:
    /// only a timeout or another policy helps.
    pub fn full_policy(mut self, policy: FullPolicy) -> Self {
        self.full = policy;
        self
    }

    /// Whether writing without a live reader is an error; default no: frames wait for one.
    pub fn require_reader(mut self, require: bool) -> Self {
        self.behaviour.require_reader = require;
        self
    }

    /// How long `connect` waits for the buffer to appear; default not at all.
    pub fn wait_for_buffer(mut self, limit: Duration) -> Self {
        self.wait_for_buffer = Some(limit);
        self
    }

    /// Whether to keep to a part of a large ring while readers keep up; default [`Elastic::Auto`].
    pub fn elastic(mut self, elastic: Elastic) -> Self {
        self.behaviour.footprint = footprint(elastic);
        self
    }

    /// As [`Elastic::Always`], with a window of so many bytes, or [`Elastic::Never`]: for tests with small rings.
    #[doc(hidden)]
    pub fn elastic_window(mut self, bytes: Option<u64>) -> Self {
        self.behaviour.footprint = bytes.map_or(Footprint::Whole, Footprint::Window);
        self
    }

    /// Whether to touch every page of the ring now rather than in the first lap; default no.
    ///
    /// Through both of its mappings: twice as many pages for the kernel to take back when this process ends or is killed, before
    /// which its death cannot be noticed. For a ring of 4 GiB that takes some tenths of a second.
    pub fn prefault(mut self, on: bool) -> Self {
        self.behaviour.prefault = on;
        self
    }

    /// Which stores large frames are copied in with; default [`StreamingStores::Auto`].
    pub fn streaming_stores(mut self, stores: StreamingStores) -> Self {
        self.behaviour.streaming = stores;
        self
    }

    /// Gives up the place of a durable reader, or of a work group, that holds this writer back and is gone for longer
    /// than `limit`, with the frames that are kept there; default: never, they wait for its successor.
    ///
    /// Counted from when this writer notices, which it does while it waits for room, or meets a full ring again. It is
    /// told first, as always ([`WriteError::ReaderGone`](crate::WriteError::ReaderGone)); [`WriterStats`](crate::WriterStats) tells what was given up. The place for the first
    /// reader, before any has come, is kept. By hand: [`inspect::forget`](crate::inspect::forget). No effect in protocol
    /// 1.0.
    pub fn forget_readers_after(mut self, limit: Duration) -> Self {
        self.behaviour.forget_after = Some(limit);
        self
    }

    /// Attaches to the buffer, creating it if there is none.
    ///
    /// A buffer that is there already, say from a predecessor that crashed, is taken over with all frames that
    /// wait in it, if it has the same configuration.
    ///
    /// # Errors
    /// [`OpenError`], with what to do about it in its message; for example when another writer is attached,
    /// the configuration differs, or the memory asked for is not to be had.
    pub fn create(&self, name: &str, config: &BufferConfig) -> Result<Writer, OpenError> {
        let engine = Writing::create(name, self.dir.as_deref(), config, self.behaviour)?;
        Ok(Writer { engine, full: self.full, loaned: Claimed::nothing() })
    }

    /// Attaches to a buffer that exists.
    ///
    /// # Errors
    /// [`OpenError`]; [`is_not_found`](OpenError::is_not_found) when there is no such buffer (yet).
    pub fn connect(&self, name: &str) -> Result<Writer, OpenError> {
        let dir = self.dir.as_deref();
        let engine =
            look_until(self.wait_for_buffer, || Writing::connect(name, dir, self.behaviour))?;
        Ok(Writer { engine, full: self.full, loaned: Claimed::nothing() })
    }
}

impl Writer {
    /// Options, for more than [`create`](Self::create) and [`connect`](Self::connect) offer.
    pub fn options() -> WriterOptions {
        WriterOptions::default()
    }

    /// Attaches to the buffer in the default directory, creating it if there is none.
    ///
    /// # Errors
    /// See [`WriterOptions::create`].
    pub fn create(name: &str, config: &BufferConfig) -> Result<Self, OpenError> {
        Self::options().create(name, config)
    }

    /// Attaches to a buffer that exists in the default directory.
    ///
    /// # Errors
    /// See [`WriterOptions::connect`].
    pub fn connect(name: &str) -> Result<Self, OpenError> {
        Self::options().connect(name)
    }
}
