//! iceoryx2: publish-subscribe, lossless, set up as its own benchmarks do; who parks waits for an event beside it.
//!
//! # Safety
//!
//! The one unsafe block takes a loan whose bytes were not all written for a frame, so that a loaned frame costs here
//! what it costs elsewhere. The bytes are shared memory that the kernel handed out zeroed: they have values.

#![allow(unsafe_code)]

use std::time::{Duration, Instant};

use anyhow::Context as _;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::port::update_connections::UpdateConnections as _;
use iceoryx2::prelude::{
    BackpressureStrategy, LogLevel, Node, NodeBuilder, PortFactory as _, ipc, set_log_level,
};

use super::{Link, Peer, Receiver, Sender, Wait};

type Service = ipc::Service;

#[derive(Debug)]
pub(crate) struct Iceoryx2;

/// How long the reading end looks for the writing one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Longest sleep, as ours: without a limit a stream once stood still, the reader asleep with its buffer full.
pub(crate) const LOOK_AROUND: Duration = Duration::from_millis(100);
/// Deeper buffers made no difference.
const MAX_DEPTH: usize = 256;

#[derive(Debug)]
pub(crate) struct Out {
    publisher: Publisher<Service, [u8], ()>,
    notifier: Option<Notifier<Service>>,
    _node: Node<Service>,
}

#[derive(Debug)]
pub(crate) struct In {
    subscriber: Subscriber<Service, [u8], ()>,
    listener: Option<Listener<Service>>,
    _node: Node<Service>,
}

pub(crate) fn node() -> anyhow::Result<Node<Service>> {
    set_log_level(LogLevel::Fatal);
    Ok(NodeBuilder::new().create::<Service>()?)
}

/// The settings that both ends must agree on.
macro_rules! service {
    ($node:expr, $link:expr) => {
        $node
            .service_builder(&$link.name.as_str().try_into()?)
            .publish_subscribe::<[u8]>()
            .enable_safe_overflow(false)
            .history_size(0)
            .max_publishers(1)
            .max_subscribers($link.readers)
            .subscriber_max_buffer_size($link.depth().min(MAX_DEPTH))
            .subscriber_max_borrowed_samples(2)
            .open_or_create()?
    };
}

macro_rules! event {
    ($node:expr, $link:expr) => {
        $node.service_builder(&$link.name.as_str().try_into()?).event().open_or_create()?
    };
}

impl Peer for Iceoryx2 {
    type Sender = Out;
    type Receiver = In;

    fn sender(link: &Link) -> anyhow::Result<Out> {
        let node = node()?;
        let publisher = service!(node, link)
            .publisher_builder()
            .initial_max_slice_len(link.bytes)
            .max_loaned_samples(1)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()?;
        let notifier = match link.wait {
            Wait::Spin => None,
            Wait::Park => Some(event!(node, link).notifier_builder().create()?),
        };
        Ok(Out { publisher, notifier, _node: node })
    }

    fn receiver(link: &Link, _index: usize) -> anyhow::Result<In> {
        let node = node()?;
        let service = service!(node, link);
        let subscriber = service.subscriber_builder().create()?;
        // A subscriber connects to a publisher when it first receives, and what was sent before is lost, in spite of
        // all settings. So it connects here.
        let begun = Instant::now();
        while service.dynamic_config().number_of_publishers() == 0 {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "there is no publisher");
            std::thread::sleep(Duration::from_micros(100));
        }
        subscriber.update_connections()?;
        let listener = match link.wait {
            Wait::Spin => None,
            Wait::Park => Some(event!(node, link).listener_builder().create()?),
        };
        Ok(In { subscriber, listener, _node: node })
    }
}

impl Out {
    #[inline(always)]
    fn notify(&self) -> anyhow::Result<()> {
        if let Some(notifier) = &self.notifier {
            notifier.notify()?;
        }
        Ok(())
    }
}

impl Sender for Out {
    #[inline(always)]
    fn send(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        self.publisher.loan_slice_uninit(frame.len())?.write_from_slice(frame).send()?;
        self.notify()
    }

    #[inline(always)]
    fn send_loaned(&mut self, bytes: usize, first: u64) -> anyhow::Result<()> {
        let mut loan = self.publisher.loan_slice_uninit(bytes)?;
        let start = loan.payload_mut().first_chunk_mut::<8>().context("a loan too short")?;
        for (place, byte) in start.iter_mut().zip(first.to_le_bytes()) {
            place.write(byte);
        }
        // SAFETY: the other bytes are what the shared memory held, which the kernel zeroed (see the module's text).
        unsafe { loan.assume_init() }.send()?;
        self.notify()
    }
}

impl Receiver for In {
    #[inline(always)]
    fn receive<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> anyhow::Result<T> {
        loop {
            if let Some(sample) = self.subscriber.receive()? {
                return Ok(look(sample.payload()));
            }
            match &self.listener {
                None => std::hint::spin_loop(),
                Some(listener) => {
                    listener.timed_wait(|_| {}, LOOK_AROUND)?;
                }
            }
        }
    }
}
