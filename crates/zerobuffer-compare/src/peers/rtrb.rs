//! rtrb between two threads of one process: what a ring can do when nothing else is asked of it.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use anyhow::Context as _;
use rtrb::{Consumer, Producer, RingBuffer};

use super::{Link, Peer, Receiver, Sender};

#[derive(Debug)]
pub(crate) struct Rtrb<const N: usize>;

type Ends<const N: usize> = (Option<Producer<[u8; N]>>, Option<Consumer<[u8; N]>>);

/// Rings whose ends were not both taken yet, by name. The two ends are opened by two threads, like everybody's.
static RINGS: LazyLock<Mutex<HashMap<String, Box<dyn Any + Send>>>> = LazyLock::new(Mutex::default);

fn take<const N: usize, T>(
    link: &Link,
    end: impl FnOnce(&mut Ends<N>) -> Option<T>,
) -> anyhow::Result<T> {
    anyhow::ensure!(link.bytes == N, "a ring of {N}-byte records for frames of {}", link.bytes);
    let mut rings = RINGS.lock().map_err(|_| anyhow::anyhow!("the other thread panicked"))?;
    let ends = rings.entry(link.name.clone()).or_insert_with(|| {
        let (producer, consumer) = RingBuffer::<[u8; N]>::new(link.depth());
        Box::<Ends<N>>::new((Some(producer), Some(consumer)))
    });
    let ends = ends.downcast_mut::<Ends<N>>().context("a ring of other records")?;
    let taken = end(ends).context("this end was taken already")?;
    if ends.0.is_none() && ends.1.is_none() {
        rings.remove(&link.name);
    }
    Ok(taken)
}

impl<const N: usize> Peer for Rtrb<N> {
    type Sender = Producer<[u8; N]>;
    type Receiver = Consumer<[u8; N]>;

    fn sender(link: &Link) -> anyhow::Result<Self::Sender> {
        take(link, |ends: &mut Ends<N>| ends.0.take())
    }

    fn receiver(link: &Link, _index: usize) -> anyhow::Result<Self::Receiver> {
        take(link, |ends: &mut Ends<N>| ends.1.take())
    }
}

impl<const N: usize> Sender for Producer<[u8; N]> {
    #[inline(always)]
    fn send(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        let frame = *frame.first_chunk::<N>().context("a frame of another size")?;
        while self.push(frame).is_err() {
            anyhow::ensure!(!self.is_abandoned(), "the consumer ended");
            std::hint::spin_loop();
        }
        Ok(())
    }
}

impl<const N: usize> Receiver for Consumer<[u8; N]> {
    #[inline(always)]
    fn receive<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> anyhow::Result<T> {
        loop {
            match self.pop() {
                Ok(frame) => return Ok(look(&frame)),
                Err(_) if self.is_abandoned() && self.is_empty() => {
                    anyhow::bail!("the producer ended")
                }
                Err(_) => std::hint::spin_loop(),
            }
        }
    }
}
