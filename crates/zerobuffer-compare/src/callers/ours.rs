//! Duplex channels, of protocol 2.0 and of 1.0: the same calls for both.

use std::time::Duration;

use zerobuffer::BufferConfig;
use zerobuffer::duplex;

use super::{Client, Server, Service};
use crate::peers::Link;
use crate::peers::ours::strategy;
use crate::peers::ours_v1::DIR;

#[derive(Debug)]
pub(super) struct Ours;

/// Both ends to one thread each.
#[derive(Debug)]
pub(super) struct Alone;

#[derive(Debug)]
pub(super) struct ClientAlone(duplex::Client);

#[derive(Debug)]
pub(super) struct ServerAlone(duplex::Server);

/// A server that changes requests where they lie.
#[derive(Debug)]
pub(super) struct InPlace;

#[derive(Debug)]
pub(super) struct OursV1;

/// Answers in place.
#[derive(Debug)]
pub(super) struct Changing(duplex::Server);

const PATIENCE: Duration = Duration::from_secs(10);

impl Service for Ours {
    type Client = duplex::Client;
    type Server = duplex::Server;

    fn client(link: &Link) -> anyhow::Result<duplex::Client> {
        let options = duplex::Client::options().wait_strategy(strategy(link.wait));
        Ok(options.connect(&link.name)?)
    }

    fn server(link: &Link) -> anyhow::Result<duplex::Server> {
        let buffer = BufferConfig::new().payload_bytes(link.ring);
        Ok(duplex::Server::options()
            .wait_strategy(strategy(link.wait))
            .request_buffer(buffer.clone())
            .response_buffer(buffer)
            .create(&link.name)?)
    }
}

impl Service for Alone {
    type Client = ClientAlone;
    type Server = ServerAlone;

    fn client(link: &Link) -> anyhow::Result<ClientAlone> {
        Ours::client(link).map(ClientAlone)
    }

    fn server(link: &Link) -> anyhow::Result<ServerAlone> {
        Ours::server(link).map(ServerAlone)
    }
}

impl Client for ClientAlone {
    #[inline]
    fn call<T>(&mut self, request: &[u8], look: impl FnOnce(&[u8]) -> T) -> anyhow::Result<T> {
        Ok(look(&self.0.call_alone(request, PATIENCE)?))
    }
}

impl Server for ServerAlone {
    #[inline]
    fn answer<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> anyhow::Result<T> {
        loop {
            if let Some(request) = self.0.receive_alone(PATIENCE)? {
                let seen = look(&request);
                request.answer_from(|bytes| bytes)?;
                return Ok(seen);
            }
        }
    }
}

impl Service for InPlace {
    type Client = duplex::Client;
    type Server = Changing;

    fn client(link: &Link) -> anyhow::Result<duplex::Client> {
        let options = duplex::Client::options().wait_strategy(strategy(link.wait)).in_place(true);
        Ok(options.connect(&link.name)?)
    }

    fn server(link: &Link) -> anyhow::Result<Changing> {
        let buffer = BufferConfig::new();
        let server = duplex::Server::options()
            .wait_strategy(strategy(link.wait))
            .request_buffer(buffer.clone().payload_bytes(link.ring))
            // Only references go there.
            .response_buffer(buffer.payload_bytes(64 << 10))
            .in_place(true)
            .create(&link.name)?;
        Ok(Changing(server))
    }
}

impl Service for OursV1 {
    type Client = duplex::Client;
    type Server = duplex::Server;

    fn client(link: &Link) -> anyhow::Result<duplex::Client> {
        Ok(duplex::Client::options()
            .dir(DIR)
            .wait_strategy(strategy(link.wait))
            .response_buffer_v1(BufferConfig::v1().payload_bytes(link.ring))
            .connect(&link.name)?)
    }

    fn server(link: &Link) -> anyhow::Result<duplex::Server> {
        Ok(duplex::Server::options()
            .dir(DIR)
            .wait_strategy(strategy(link.wait))
            .request_buffer(BufferConfig::v1().payload_bytes(link.ring))
            .create(&link.name)?)
    }
}

impl Client for duplex::Client {
    #[inline]
    fn call<T>(&mut self, request: &[u8], look: impl FnOnce(&[u8]) -> T) -> anyhow::Result<T> {
        Ok(look(&Self::call(self, request, PATIENCE)?))
    }

    #[inline]
    fn call_loaned<T>(
        &mut self,
        bytes: usize,
        first: u64,
        look: impl FnOnce(&[u8]) -> T,
    ) -> anyhow::Result<T> {
        let fill = |request: &mut [u8]| request[..8].copy_from_slice(&first.to_le_bytes());
        Ok(look(&self.call_with(bytes, fill, PATIENCE)?))
    }
}

impl Server for duplex::Server {
    #[inline]
    fn answer<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> anyhow::Result<T> {
        loop {
            if let Some(request) = self.receive(PATIENCE)? {
                let seen = look(&request);
                request.answer(&request)?;
                return Ok(seen);
            }
        }
    }
}

impl Server for Changing {
    /// The answer is the request, with its first byte written again.
    #[inline]
    fn answer<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> anyhow::Result<T> {
        loop {
            if let Some(mut request) = self.0.receive(PATIENCE)? {
                let mut place = request.in_place()?;
                anyhow::ensure!(place.is_shared(), "answers are copied after all");
                let seen = look(&place);
                let first = place[0];
                place[0] = std::hint::black_box(first);
                place.commit()?;
                return Ok(seen);
            }
        }
    }
}
