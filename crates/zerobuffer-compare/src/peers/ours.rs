//! ZeroBuffer, protocol 2.0.

use anyhow::Context as _;
use zerobuffer::{
    BufferConfig, DEFAULT_PAYLOAD_BYTES, Elastic, FullPolicy, Reader, WaitStrategy, WriteBatch,
    Writer,
};

use super::{Link, Peer, Receiver, Sender, Wait};
use crate::work::header;

#[derive(Debug)]
pub(crate) struct Ours;

/// The same, with a writer that keeps to a part of the ring that fits the cache.
#[derive(Debug)]
pub(crate) struct OursElastic;

/// The same, with a ring of the default size.
#[derive(Debug)]
pub(crate) struct OursRoomy;

pub(super) const CLOSED: &str = "the writer closed in the middle";

pub(crate) fn strategy(wait: Wait) -> WaitStrategy {
    match wait {
        Wait::Spin => WaitStrategy::Spin,
        Wait::Park => WaitStrategy::Park,
    }
}

fn config(link: &Link) -> BufferConfig {
    BufferConfig::new().payload_bytes(link.ring).payload_sharing(link.sharing)
}

fn writer(link: &Link, elastic: Elastic) -> anyhow::Result<Writer> {
    Ok(Writer::options()
        .wait_strategy(strategy(link.wait))
        .prefault(true)
        .elastic(elastic)
        .full_policy(FullPolicy::Block { timeout: None })
        .create(&link.name, &config(link))?)
}

impl Peer for OursElastic {
    type Sender = Writer;
    type Receiver = Reader;

    fn sender(link: &Link) -> anyhow::Result<Writer> {
        writer(link, Elastic::Always)
    }

    fn receiver(link: &Link, index: usize) -> anyhow::Result<Reader> {
        Ours::receiver(link, index)
    }
}

impl Peer for OursRoomy {
    type Sender = Writer;
    type Receiver = Reader;

    fn sender(link: &Link) -> anyhow::Result<Writer> {
        writer(&roomy(link), Elastic::Auto)
    }

    fn receiver(link: &Link, index: usize) -> anyhow::Result<Reader> {
        Ours::receiver(&roomy(link), index)
    }

    fn lap(_: &Link) -> usize {
        DEFAULT_PAYLOAD_BYTES
    }
}

fn roomy(link: &Link) -> Link {
    Link { ring: DEFAULT_PAYLOAD_BYTES, ..link.clone() }
}

impl Peer for Ours {
    type Sender = Writer;
    type Receiver = Reader;

    fn sender(link: &Link) -> anyhow::Result<Writer> {
        writer(link, Elastic::Auto)
    }

    fn receiver(link: &Link, index: usize) -> anyhow::Result<Reader> {
        let mut options = Reader::options().wait_strategy(strategy(link.wait)).prefault(true);
        if index > 0 {
            options = options.name(format!("reader-{index}"));
        }
        Ok(options.create(&link.name, &config(link))?)
    }

    #[inline]
    fn forward(from: &mut Reader, to: &mut Writer) -> anyhow::Result<u64> {
        let frame = from.read()?.context(CLOSED)?;
        let first = header(&frame);
        let passed = to.forward(&frame)?;
        anyhow::ensure!(passed.copied.is_none(), "copied after all: {:?}", passed.copied);
        Ok(first)
    }
}

// Also those of protocol 1.0: the library's ends are the same for both.
impl Sender for Writer {
    #[inline(always)]
    fn send(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        self.write(frame)?;
        Ok(())
    }

    #[inline(always)]
    fn send_loaned(&mut self, bytes: usize, first: u64) -> anyhow::Result<()> {
        let mut frame = self.loan(bytes)?;
        frame[..8].copy_from_slice(&first.to_le_bytes());
        frame.commit();
        Ok(())
    }

    #[inline(always)]
    fn send_batch(&mut self, frame: &mut [u8], firsts: &[u64]) -> anyhow::Result<()> {
        let mut batch = self.batch();
        match <&mut [u8; 64]>::try_from(&mut *frame) {
            // A record whose size the program knows, as when they are sent one by one.
            Ok(record) => push_all(&mut batch, record, firsts)?,
            Err(_) => push_all(&mut batch, frame, firsts)?,
        }
        batch.commit();
        Ok(())
    }
}

#[inline(always)]
fn push_all(batch: &mut WriteBatch<'_>, frame: &mut [u8], firsts: &[u64]) -> anyhow::Result<()> {
    for first in firsts {
        frame[..8].copy_from_slice(&first.to_le_bytes());
        batch.push(frame)?;
    }
    Ok(())
}

impl Receiver for Reader {
    #[inline(always)]
    fn receive<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> anyhow::Result<T> {
        let Some(frame) = self.read()? else { anyhow::bail!(CLOSED) };
        Ok(look(&frame))
    }

    #[inline(always)]
    fn receive_batch(&mut self, max: usize, mut look: impl FnMut(&[u8])) -> anyhow::Result<()> {
        let Some(mut frames) = self.read_batch(max)? else { anyhow::bail!(CLOSED) };
        while let Some(frame) = frames.next() {
            look(frame.payload);
        }
        Ok(())
    }
}
