//! Who answers requests: ZeroBuffer's duplex channels of both protocols, and iceoryx2's request-response.

#[cfg(feature = "peers")]
mod iceoryx2;
mod ours;

use serde::{Deserialize, Serialize};

use crate::peers::Link;
use crate::peers::kind::Kind;

/// One of those who are compared in calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Caller {
    Ours,
    /// Both ends to one thread each.
    OursAlone,
    /// The server changes requests where they lie.
    OursInPlace,
    OursV1,
    #[cfg(feature = "peers")]
    Iceoryx2,
}

impl Caller {
    /// Everybody who was built in and copies.
    pub(crate) const COPYING: &[Self] = &[
        Self::OursAlone,
        Self::Ours,
        Self::OursV1,
        #[cfg(feature = "peers")]
        Self::Iceoryx2,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "zerobuffer 2.0, shared ends",
            Self::OursAlone | Self::OursInPlace => Kind::Ours.name(),
            Self::OursV1 => Kind::OursV1.name(),
            #[cfg(feature = "peers")]
            Self::Iceoryx2 => Kind::Iceoryx2.name(),
        }
    }
}

/// The asking end.
pub(crate) trait Client: Sized {
    /// Sends `request`, waits for its answer, and shows that.
    fn call<T>(&mut self, request: &[u8], look: impl FnOnce(&[u8]) -> T) -> anyhow::Result<T>;

    /// As [`call`](Self::call), with a request of `bytes` bytes made in place, of which only the first eight are written.
    fn call_loaned<T>(
        &mut self,
        _bytes: usize,
        _first: u64,
        _look: impl FnOnce(&[u8]) -> T,
    ) -> anyhow::Result<T> {
        anyhow::bail!("this peer lends no memory for requests here")
    }
}

/// The answering end.
pub(crate) trait Server: Sized {
    /// Waits for the next request, shows it, and answers with the same bytes.
    fn answer<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> anyhow::Result<T>;
}

/// Somebody who is compared.
pub(crate) trait Service {
    type Client: Client;
    type Server: Server;

    /// Waits for the server.
    fn client(link: &Link) -> anyhow::Result<Self::Client>;
    fn server(link: &Link) -> anyhow::Result<Self::Server>;
}

/// Work that can be done with any of them.
pub(crate) trait Job {
    type Output;
    fn run<S: Service>(self) -> anyhow::Result<Self::Output>;
}

/// Does `job` with this one.
pub(crate) fn with<J: Job>(caller: Caller, job: J) -> anyhow::Result<J::Output> {
    match caller {
        Caller::Ours => job.run::<ours::Ours>(),
        Caller::OursAlone => job.run::<ours::Alone>(),
        Caller::OursInPlace => job.run::<ours::InPlace>(),
        Caller::OursV1 => job.run::<ours::OursV1>(),
        #[cfg(feature = "peers")]
        Caller::Iceoryx2 => job.run::<iceoryx2::Iceoryx2>(),
    }
}
