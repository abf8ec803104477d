//! ZeroBuffer, protocol 1.0, as the deployed C++, C# and Python programs speak it.

use std::time::Duration;

use zerobuffer::{BufferConfig, FullPolicy, Reader, Writer};

use super::ours::strategy;
use super::{Link, Peer};

#[derive(Debug)]
pub(crate) struct OursV1;

/// Where protocol 1.0 has its buffers, whatever is chosen for others.
pub(crate) const DIR: &str = "/dev/shm";

impl Peer for OursV1 {
    type Sender = Writer;
    type Receiver = Reader;

    /// The reader makes the buffer, so this waits for it.
    fn sender(link: &Link) -> anyhow::Result<Writer> {
        Ok(Writer::options()
            .dir(DIR)
            .wait_strategy(strategy(link.wait))
            .prefault(true)
            .full_policy(FullPolicy::Block { timeout: None })
            .wait_for_buffer(Duration::from_secs(10))
            .connect(&link.name)?)
    }

    fn receiver(link: &Link, _index: usize) -> anyhow::Result<Reader> {
        let config = BufferConfig::v1().payload_bytes(link.ring);
        let options = Reader::options().dir(DIR).wait_strategy(strategy(link.wait)).prefault(true);
        Ok(options.create(&link.name, &config)?)
    }
}
