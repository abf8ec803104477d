//! A Unix stream socket.

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};

use super::files::{In, KERNEL_BUFFER, Out, set_waiting};
use super::{Link, Peer};

#[derive(Debug)]
pub(crate) struct UnixSocket;

/// How long the writing end looks for the reading one.
const PATIENCE: Duration = Duration::from_secs(10);

fn set_up(stream: UnixStream, link: &Link) -> anyhow::Result<OwnedFd> {
    let fd = OwnedFd::from(stream);
    set_socket_send_buffer_size(&fd, KERNEL_BUFFER)?;
    set_socket_recv_buffer_size(&fd, KERNEL_BUFFER)?;
    set_waiting(&fd, link)?;
    Ok(fd)
}

impl Peer for UnixSocket {
    type Sender = Out;
    type Receiver = In;

    fn sender(link: &Link) -> anyhow::Result<Out> {
        let begun = Instant::now();
        let stream = loop {
            match UnixStream::connect(link.path("sock")) {
                Ok(stream) => break stream,
                Err(why) if begun.elapsed() > PATIENCE => {
                    return Err(why).context("connect to the reader's socket");
                }
                Err(_) => std::thread::sleep(Duration::from_micros(100)),
            }
        };
        Ok(Out(set_up(stream, link)?))
    }

    fn receiver(link: &Link, _index: usize) -> anyhow::Result<In> {
        let listener = UnixListener::bind(link.path("sock")).context("make a socket")?;
        let (stream, _) = listener.accept().context("wait for the writer")?;
        Ok(In::new(set_up(stream, link)?, link.bytes))
    }
}
