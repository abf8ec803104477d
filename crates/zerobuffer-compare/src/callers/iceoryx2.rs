//! iceoryx2's request-response; who parks waits for an event beside it, one in each direction.

use std::time::{Duration, Instant};

use iceoryx2::port::client::Client as Asking;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::server::Server as Answering;
use iceoryx2::prelude::{Node, PortFactory as _, ipc};

use super::{Client, Server, Service};
use crate::peers::iceoryx2::{LOOK_AROUND, PATIENCE, node};
use crate::peers::{Link, Wait};

type Ipc = ipc::Service;

#[derive(Debug)]
pub(super) struct Iceoryx2;

#[derive(Debug)]
pub(super) struct Asks {
    client: Asking<Ipc, [u8], (), [u8], ()>,
    bell: Option<Bell>,
    _node: Node<Ipc>,
}

#[derive(Debug)]
pub(super) struct Answers {
    server: Answering<Ipc, [u8], (), [u8], ()>,
    bell: Option<Bell>,
    _node: Node<Ipc>,
}

/// Wakes the other side, and sleeps until it wakes this one.
#[derive(Debug)]
struct Bell {
    rings: Notifier<Ipc>,
    hears: Listener<Ipc>,
}

impl Bell {
    /// Rings one event and listens to the other; none where nobody sleeps.
    fn of(node: &Node<Ipc>, link: &Link, events: [&str; 2]) -> anyhow::Result<Option<Self>> {
        if link.wait == Wait::Spin {
            return Ok(None);
        }
        let event = |which: &str| -> anyhow::Result<_> {
            let name = format!("{}-{which}", link.name);
            Ok(node.service_builder(&name.as_str().try_into()?).event().open_or_create()?)
        };
        let [rings, hears] = events;
        let rings = event(rings)?.notifier_builder().create()?;
        let hears = event(hears)?.listener_builder().create()?;
        Ok(Some(Self { rings, hears }))
    }
}

fn ring(bell: &Option<Bell>) -> anyhow::Result<()> {
    if let Some(bell) = bell {
        bell.rings.notify()?;
    }
    Ok(())
}

fn wait(bell: &Option<Bell>) -> anyhow::Result<()> {
    match bell {
        None => std::hint::spin_loop(),
        Some(bell) => {
            bell.hears.timed_wait(|_| {}, LOOK_AROUND)?;
        }
    }
    Ok(())
}

/// The settings that both ends must agree on.
macro_rules! service {
    ($node:expr, $link:expr) => {
        $node
            .service_builder(&$link.name.as_str().try_into()?)
            .request_response::<[u8], [u8]>()
            .max_servers(1)
            .max_clients(1)
            .open_or_create()?
    };
}

impl Service for Iceoryx2 {
    type Client = Asks;
    type Server = Answers;

    fn client(link: &Link) -> anyhow::Result<Asks> {
        let node = node()?;
        let service = service!(node, link);
        let client = service.client_builder().initial_max_slice_len(link.bytes).create()?;
        let begun = Instant::now();
        while service.dynamic_config().number_of_servers() == 0 {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "there is no server");
            std::thread::sleep(Duration::from_micros(100));
        }
        let bell = Bell::of(&node, link, ["there", "back"])?;
        Ok(Asks { client, bell, _node: node })
    }

    fn server(link: &Link) -> anyhow::Result<Answers> {
        let node = node()?;
        let service = service!(node, link);
        let server = service.server_builder().initial_max_slice_len(link.bytes).create()?;
        let bell = Bell::of(&node, link, ["back", "there"])?;
        Ok(Answers { server, bell, _node: node })
    }
}

impl Client for Asks {
    #[inline]
    fn call<T>(&mut self, request: &[u8], look: impl FnOnce(&[u8]) -> T) -> anyhow::Result<T> {
        let loan = self.client.loan_slice_uninit(request.len())?;
        let pending = loan.write_from_slice(request).send()?;
        ring(&self.bell)?;
        loop {
            if let Some(response) = pending.receive()? {
                return Ok(look(response.payload()));
            }
            wait(&self.bell)?;
        }
    }
}

impl Server for Answers {
    #[inline]
    fn answer<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> anyhow::Result<T> {
        loop {
            if let Some(request) = self.server.receive()? {
                let seen = look(request.payload());
                let loan = request.loan_slice_uninit(request.payload().len())?;
                loan.write_from_slice(request.payload()).send()?;
                ring(&self.bell)?;
                return Ok(seen);
            }
            wait(&self.bell)?;
        }
    }
}
