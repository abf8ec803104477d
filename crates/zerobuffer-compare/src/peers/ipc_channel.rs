//! `ipc-channel`, as Servo uses it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use ipc_channel::TryRecvError;
use ipc_channel::ipc::{self, IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcSender};

use super::{Link, Peer, Receiver, Sender, Wait};

#[derive(Debug)]
pub(crate) struct IpcChannel;

/// How long the writing end looks for the reading one.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct In {
    receiver: IpcBytesReceiver,
    wait: Wait,
}

impl Peer for IpcChannel {
    type Sender = IpcBytesSender;
    type Receiver = In;

    /// Makes the channel and hands its reading end over.
    fn sender(link: &Link) -> anyhow::Result<IpcBytesSender> {
        let begun = Instant::now();
        let name = loop {
            match std::fs::read_to_string(link.path("name")) {
                Ok(name) => break name,
                Err(why) if begun.elapsed() > PATIENCE => {
                    return Err(why).context("find the reader");
                }
                Err(_) => std::thread::sleep(Duration::from_micros(100)),
            }
        };
        let hand_over: IpcSender<IpcBytesReceiver> = IpcSender::connect(name)?;
        let (sender, receiver) = ipc::bytes_channel()?;
        hand_over.send(receiver).map_err(|why| anyhow!("hand the channel over: {why}"))?;
        Ok(sender)
    }

    fn receiver(link: &Link, _index: usize) -> anyhow::Result<In> {
        let (server, name) = IpcOneShotServer::<IpcBytesReceiver>::new()?;
        // In one step, so that nobody reads half a name.
        let draft = link.path("draft");
        std::fs::write(&draft, name)?;
        std::fs::rename(&draft, link.path("name"))?;
        let (_, receiver) = server.accept().map_err(|why| anyhow!("get the channel: {why}"))?;
        Ok(In { receiver, wait: link.wait })
    }
}

impl Sender for IpcBytesSender {
    #[inline]
    fn send(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        Ok(Self::send(self, frame)?)
    }
}

impl Receiver for In {
    #[inline]
    fn receive<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> anyhow::Result<T> {
        let frame = match self.wait {
            Wait::Park => self.receiver.recv().map_err(|why| anyhow!("{why}"))?,
            Wait::Spin => loop {
                match self.receiver.try_recv() {
                    Ok(frame) => break frame,
                    Err(TryRecvError::Empty) => std::hint::spin_loop(),
                    Err(TryRecvError::IpcError(why)) => return Err(anyhow!("{why}")),
                }
            },
        };
        Ok(look(&frame))
    }
}
