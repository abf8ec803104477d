//! Those who are compared, behind one small interface. Everything is resolved at compile time, so what a call costs is
//! what the peer costs.

pub(crate) mod kind;
mod limits;

#[cfg(feature = "aeron")]
pub(crate) mod aeron;
pub(crate) mod bare;
mod files;
#[cfg(feature = "peers")]
pub(crate) mod iceoryx2;
#[cfg(feature = "peers")]
mod ipc_channel;
pub(crate) mod ours;
pub(crate) mod ours_v1;
mod pipe;
mod rtrb;
mod unix_socket;
#[cfg(feature = "zmq")]
mod zmq;

#[cfg(feature = "aeron")]
pub(crate) use aeron::Driver;

use std::path::PathBuf;

use anyhow::bail;
use serde::{Deserialize, Serialize};

use kind::Kind;

/// How both ends wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Wait {
    /// Ask again and again.
    Spin,
    /// Sleep until woken.
    Park,
}

/// One direction from one writer to its readers; each end opens it by itself from this description.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Link {
    /// Unique while both processes live.
    pub(crate) name: String,
    /// Directory for sockets, pipes, names and drivers; in memory.
    pub(crate) dir: PathBuf,
    /// Bytes of every frame.
    pub(crate) bytes: usize,
    /// Bytes of buffering, for those who can choose.
    pub(crate) ring: usize,
    pub(crate) wait: Wait,
    pub(crate) readers: usize,
    /// Whether frames are going to be passed on by reference.
    pub(crate) sharing: bool,
}

impl Link {
    /// How many frames the buffering has room for, for those who count in frames.
    pub(crate) fn depth(&self) -> usize {
        (self.ring / self.bytes).max(2)
    }

    /// A path of this link's own.
    pub(crate) fn path(&self, what: &str) -> PathBuf {
        self.dir.join(format!("{}.{what}", self.name))
    }
}

/// The writing end.
pub(crate) trait Sender: Sized {
    /// Copies `frame` in and makes it visible; waits for room.
    fn send(&mut self, frame: &[u8]) -> anyhow::Result<()>;

    /// Gets a frame of `bytes` bytes, writes its first eight only, and makes it visible.
    fn send_loaned(&mut self, _bytes: usize, _first: u64) -> anyhow::Result<()> {
        bail!("this peer lends no memory to write in")
    }

    /// Sends `frame` once for each of `firsts`, with that in its first eight bytes, all in one call.
    fn send_batch(&mut self, _frame: &mut [u8], _firsts: &[u64]) -> anyhow::Result<()> {
        bail!("this peer has no batches")
    }
}

/// The reading end.
pub(crate) trait Receiver: Sized {
    /// Waits for the next frame, shows it, and gives it back.
    fn receive<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> anyhow::Result<T>;

    /// Waits for frames and shows at most `max` of them.
    fn receive_batch(&mut self, _max: usize, _look: impl FnMut(&[u8])) -> anyhow::Result<()> {
        bail!("this peer has no batches")
    }
}

/// Somebody who is compared.
pub(crate) trait Peer {
    type Sender: Sender;
    type Receiver: Receiver;

    fn sender(link: &Link) -> anyhow::Result<Self::Sender>;
    /// `index`: which of the link's readers.
    fn receiver(link: &Link, index: usize) -> anyhow::Result<Self::Receiver>;

    /// Bytes that go by before the same memory is used again: what a warm-up has to touch.
    fn lap(link: &Link) -> usize {
        link.ring
    }

    /// Passes one frame on by reference; its first eight bytes.
    fn forward(_from: &mut Self::Receiver, _to: &mut Self::Sender) -> anyhow::Result<u64> {
        bail!("this peer passes nothing on by reference")
    }
}

/// Where no peer is built that needs one.
#[cfg(not(feature = "aeron"))]
#[derive(Debug)]
pub(crate) enum Driver {}

#[cfg(not(feature = "aeron"))]
impl Driver {
    pub(crate) fn start(
        _: &std::path::Path,
        _: [usize; 2],
        _: usize,
        _: bool,
    ) -> anyhow::Result<Self> {
        bail!("no driver was built in")
    }
}

/// Work that can be done with any of them.
pub(crate) trait Job {
    type Output;
    fn run<P: Peer>(self) -> anyhow::Result<Self::Output>;
}

/// Does `job` with the peer of this kind. `bytes`: the frames', which rtrb needs to know when it is built.
pub(crate) fn with<J: Job>(kind: Kind, bytes: usize, job: J) -> anyhow::Result<J::Output> {
    match kind {
        Kind::Ours => job.run::<ours::Ours>(),
        Kind::OursElastic => job.run::<ours::OursElastic>(),
        Kind::OursRoomy => job.run::<ours::OursRoomy>(),
        Kind::OursV1 => job.run::<ours_v1::OursV1>(),
        #[cfg(feature = "peers")]
        Kind::Iceoryx2 => job.run::<iceoryx2::Iceoryx2>(),
        #[cfg(feature = "peers")]
        Kind::IpcChannel => job.run::<ipc_channel::IpcChannel>(),
        #[cfg(feature = "zmq")]
        Kind::Zmq => job.run::<zmq::Zmq>(),
        #[cfg(feature = "aeron")]
        Kind::Aeron => job.run::<aeron::Aeron>(),
        Kind::Bare => job.run::<bare::Bare>(),
        Kind::UnixSocket => job.run::<unix_socket::UnixSocket>(),
        Kind::Pipe => job.run::<pipe::Pipe>(),
        Kind::Rtrb => match bytes {
            8 => job.run::<rtrb::Rtrb<8>>(),
            64 => job.run::<rtrb::Rtrb<64>>(),
            1024 => job.run::<rtrb::Rtrb<1024>>(),
            _ => bail!("rtrb is measured with records of 8, 64 and 1024 bytes"),
        },
        #[allow(unreachable_patterns)] // with every peer built there is no other
        other => bail!("{} was not built in", other.name()),
    }
}
