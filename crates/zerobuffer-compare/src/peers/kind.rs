//! Who there is, what each can do, and how it is set up.

use super::limits::AERON_WHOLE;
use serde::{Deserialize, Serialize};

use super::Wait;

/// One of those who are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Ours,
    OursElastic,
    /// In a ring of the default size, which is larger than what the others have for small frames.
    OursRoomy,
    OursV1,
    Iceoryx2,
    Aeron,
    Rtrb,
    UnixSocket,
    Pipe,
    IpcChannel,
    Zmq,
    /// Not an alternative: what the memory takes.
    Bare,
}

/// How much of each frame is written and read, and how it gets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Copied in from memory of the writer's, one call a frame; every byte read.
    Copied,
    /// The same, several frames a call.
    Batched,
    /// Written in place, first eight bytes only, and only those read.
    Loaned,
}

/// Frames up to this length are small, and have rings that are.
pub(crate) const SMALL: usize = 4096;

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Copied => "copied",
            Self::Batched => "batched",
            Self::Loaned => "loaned",
        }
    }

    pub(crate) fn touched(self) -> &'static str {
        match self {
            Self::Copied | Self::Batched => "every byte",
            Self::Loaned => "header",
        }
    }
}

impl Kind {
    pub(crate) const ALL: [Self; 12] = [
        Self::Ours,
        Self::OursElastic,
        Self::OursRoomy,
        Self::OursV1,
        Self::Iceoryx2,
        Self::Aeron,
        Self::Rtrb,
        Self::UnixSocket,
        Self::Pipe,
        Self::IpcChannel,
        Self::Zmq,
        Self::Bare,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "zerobuffer 2.0",
            Self::OursElastic => "zerobuffer 2.0 elastic",
            Self::OursRoomy => "zerobuffer 2.0, default ring",
            Self::OursV1 => "zerobuffer 1.0",
            Self::Iceoryx2 => "iceoryx2",
            Self::Aeron => "aeron",
            Self::Rtrb => "rtrb",
            Self::UnixSocket => "unix socket",
            Self::Pipe => "pipe",
            Self::IpcChannel => "ipc-channel",
            Self::Zmq => "zeromq",
            Self::Bare => "floor: bare copy and sum",
        }
    }

    /// Of what is measured here: the library's, the crate's, or the kernel's.
    pub(crate) fn version(self) -> String {
        match self {
            Self::Ours | Self::OursElastic | Self::OursRoomy | Self::OursV1 => {
                env!("CARGO_PKG_VERSION").into()
            }
            Self::Iceoryx2 => locked("iceoryx2"),
            Self::Aeron => aeron_version(),
            Self::Rtrb => locked("rtrb"),
            Self::IpcChannel => locked("ipc-channel"),
            Self::Zmq => zmq_version(),
            Self::UnixSocket | Self::Pipe | Self::Bare => {
                rustix::system::uname().release().to_string_lossy().into_owned()
            }
        }
    }

    pub(crate) fn how(self) -> &'static str {
        match self {
            Self::Ours => {
                "Writer::write / Reader::read (loan and commit where loaned, batch and read_batch where batched), \
                 ring pre-faulted, waits without limit"
            }
            Self::OursElastic => {
                "the same with Elastic::Always: the writer keeps to a part of the ring that fits the cache, whatever it writes"
            }
            Self::OursRoomy => "the same with a ring of 32 MiB, as large as one is by default",
            Self::OursV1 => {
                "the same calls over a buffer of protocol 1.0: two named semaphores, a cursor each"
            }
            Self::Iceoryx2 => {
                "ipc::Service, publish-subscribe of [u8] slices, safe overflow off, back-pressure Block, history 0, \
                 buffer as deep as the ring of the others, at most 256; parked: an event service beside it"
            }
            Self::Aeron => {
                "aeron:ipc through its C client: an exclusive publication's offer (try_claim where loaned), a subscription polled \
                 for one fragment a call (16 where batched), terms of 1 MiB or more, room for nine frames at least; frames over 64 KiB less a \
                 header come in fragments that its assembler copies together. Its media driver is a thread of the measuring \
                 process, in the settings of several that were best for Aeron, and shares the two cores"
            }
            Self::Rtrb => {
                "two threads of ONE process, push and pop of arrays: the ceiling, not an alternative"
            }
            Self::UnixSocket => {
                "stream socket, buffers of 1 MiB asked for, one write a frame, read into memory of the reader's"
            }
            Self::Pipe => {
                "named pipe, 1 MiB asked for, one write a frame, read into memory of the reader's"
            }
            Self::IpcChannel => "bytes_channel: IpcBytesSender::send, IpcBytesReceiver::recv",
            Self::Zmq => {
                "PUSH and PULL over ipc://, high-water marks as deep as the ring of the others; the background thread that \
                 each process has shares its core"
            }
            Self::Bare => {
                "a flag a slot, a memcpy and a sum in memory that both map, and nothing else: what no hand-over of copied frames can be \
                 much faster than, not an alternative"
            }
        }
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::OursElastic | Self::OursRoomy | Self::OursV1)
    }

    /// Whether its ends can sleep until woken, and are measured so.
    fn parks(self) -> bool {
        !matches!(self, Self::Rtrb | Self::Bare | Self::Aeron | Self::OursRoomy)
    }

    /// Whether both ends are threads of one process.
    pub(crate) fn in_process(self) -> bool {
        self == Self::Rtrb
    }

    /// Why this program was built without it.
    pub(crate) fn missing(self) -> Option<&'static str> {
        match self {
            Self::Iceoryx2 | Self::IpcChannel if cfg!(not(feature = "peers")) => {
                Some("built without the feature `peers`")
            }
            Self::Aeron if cfg!(not(feature = "aeron")) => Some(
                "built without the feature `aeron`, which needs CMake 3.30 or newer (PyPI: cmake) and, from Debian, \
                 libclang-dev, libbsd-dev and uuid-dev",
            ),
            Self::Zmq if cfg!(not(feature = "zmq")) => {
                Some("built without the feature `zmq`, which needs libzmq (Debian: libzmq3-dev)")
            }
            _ => None,
        }
    }

    /// Whether it can carry frames of this size this way.
    pub(crate) fn can(self, bytes: usize, mode: Mode, wait: Wait) -> bool {
        let sized = match self {
            Self::Aeron => mode != Mode::Loaned || bytes <= AERON_WHOLE,
            Self::Rtrb => matches!(bytes, 8 | 64 | 1024),
            // What it keeps to is larger than rings for small frames are.
            Self::OursElastic => bytes >= 1 << 20,
            // Large frames that are copied have the elastic writer.
            Self::OursRoomy => bytes <= SMALL || mode == Mode::Loaned,
            // Where a frame is its bytes, and the rest hardly counts.
            Self::Bare => bytes >= 64 << 10,
            _ => true,
        };
        let waits = wait == Wait::Spin || self.parks();
        let does = match mode {
            Mode::Copied => true,
            Mode::Batched => matches!(self, Self::Ours | Self::Aeron),
            Mode::Loaned => {
                matches!(
                    self,
                    Self::Ours | Self::OursRoomy | Self::OursV1 | Self::Iceoryx2 | Self::Aeron
                )
            }
        };
        self.missing().is_none() && sized && waits && does
    }

    /// Who copies each byte of a frame between the writer's memory and where the reader reads it.
    pub(crate) fn copies(self, bytes: usize, mode: Mode) -> &'static str {
        match (self, mode) {
            (_, Mode::Loaned) => "nobody",
            (Self::Aeron, _) if bytes > AERON_WHOLE => "writer in, reader out",
            (
                Self::Ours
                | Self::OursElastic
                | Self::OursRoomy
                | Self::OursV1
                | Self::Iceoryx2
                | Self::Aeron
                | Self::Bare,
                _,
            ) => "writer in, reader reads in place",
            (Self::Rtrb, _) => "writer in, reader out",
            (Self::UnixSocket | Self::Pipe | Self::IpcChannel, _) => {
                "kernel in, kernel out (two system calls)"
            }
            (Self::Zmq, _) => "writer in, kernel in, kernel out",
        }
    }
}

/// The version of a dependency, as the lock file has it.
fn locked(name: &str) -> String {
    let lock = include_str!("../../../../Cargo.lock");
    let entry = format!("name = \"{name}\"\nversion = \"");
    let version = lock.split_once(&entry).and_then(|(_, rest)| rest.split_once('"'));
    version.map_or_else(|| "unknown".into(), |(version, _)| version.into())
}

#[cfg(feature = "aeron")]
fn aeron_version() -> String {
    super::aeron::version()
}

#[cfg(not(feature = "aeron"))]
fn aeron_version() -> String {
    String::new()
}

#[cfg(feature = "zmq")]
fn zmq_version() -> String {
    let (major, minor, patch) = ::zmq::version();
    format!("libzmq {major}.{minor}.{patch}")
}

#[cfg(not(feature = "zmq"))]
fn zmq_version() -> String {
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_knows_the_versions() {
        for name in ["rtrb", "iceoryx2", "ipc-channel"] {
            let version = locked(name);
            assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{name}: {version}");
        }
        assert_eq!(locked("no-such-crate"), "unknown");
    }
}
