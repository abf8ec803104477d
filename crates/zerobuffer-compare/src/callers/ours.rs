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

#[derive(Debug)]
pub(super) struct OursV1;

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
