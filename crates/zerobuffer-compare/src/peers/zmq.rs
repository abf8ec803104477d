//! ZeroMQ over a Unix socket, PUSH to PULL.

use zmq::{Context, DONTWAIT, Error, Message, Socket};

use super::{Link, Peer, Receiver, Sender, Wait};

#[derive(Debug)]
pub(crate) struct Zmq;

/// One end, with the context that its background thread belongs to: that one goes last.
pub(crate) struct End {
    socket: Socket,
    flags: i32,
    frame: Message,
    _context: Context,
}

impl std::fmt::Debug for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("End").field("flags", &self.flags).finish_non_exhaustive()
    }
}

fn open(link: &Link, kind: zmq::SocketType, binds: bool) -> anyhow::Result<End> {
    let context = Context::new();
    let socket = context.socket(kind)?;
    let depth = i32::try_from(link.depth())?;
    socket.set_sndhwm(depth)?;
    socket.set_rcvhwm(depth)?;
    // Who connects before the other one is there tries again after so many milliseconds; by default a hundred.
    socket.set_reconnect_ivl(1)?;
    let address = format!("ipc://{}", link.path("zmq").display());
    if binds {
        socket.bind(&address)?;
    } else {
        socket.connect(&address)?;
    }
    let flags = if link.wait == Wait::Spin { DONTWAIT } else { 0 };
    Ok(End { socket, flags, frame: Message::new(), _context: context })
}

impl Peer for Zmq {
    type Sender = End;
    type Receiver = End;

    fn sender(link: &Link) -> anyhow::Result<End> {
        open(link, zmq::PUSH, false)
    }

    fn receiver(link: &Link, _index: usize) -> anyhow::Result<End> {
        open(link, zmq::PULL, true)
    }
}

impl Sender for End {
    #[inline]
    fn send(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        loop {
            match self.socket.send(frame, self.flags) {
                Ok(()) => return Ok(()),
                Err(Error::EAGAIN | Error::EINTR) => std::hint::spin_loop(),
                Err(why) => return Err(why.into()),
            }
        }
    }
}

impl Receiver for End {
    #[inline]
    fn receive<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> anyhow::Result<T> {
        loop {
            match self.socket.recv(&mut self.frame, self.flags) {
                Ok(()) => return Ok(look(&self.frame)),
                Err(Error::EAGAIN | Error::EINTR) => std::hint::spin_loop(),
                Err(why) => return Err(why.into()),
            }
        }
    }
}
