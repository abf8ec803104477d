//! ZeroBuffer for async programs, under any runtime or none.
//!
//! ```
//! use zerobuffer::{BufferConfig, Reader, Writer};
//! use zerobuffer_async::{AsyncReader, AsyncWriter};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let name = &format!("doc-async-{}", std::process::id());
//! let mut writer = AsyncWriter::new(Writer::create(name, &BufferConfig::new())?)?;
//! let mut reader = AsyncReader::new(Reader::join(name)?)?;
//! # futures::executor::block_on(async {
//! writer.write(b"hello").await?;
//! let frame = reader.read().await?.expect("the writer has not closed");
//! assert_eq!(&frame[..], b"hello");
//! # Ok(()) })}
//! ```
//!
//! # What to know
//!
//! * **One waiting thread** for the first 127 endpoints of a process, one more for each further 127. It sleeps on the words
//!   that blocking endpoints sleep on (`futex_waitv`, Linux 5.16), calls wakers, and looks around a dozen times a second, so
//!   that deaths are noticed as the blocking form notices them. Where the kernel has no `futex_waitv`, it looks every
//!   millisecond instead.
//! * **Cancellation.** Every future here may be dropped at any time: a frame is received, or written, only in the very poll
//!   that completes. Nothing is lost, doubled, or left half done, and nobody stays behind who waits.
//! * **Deaths** of the other side are told as by the blocking calls, by futures, sets and descriptors alike.
//! * **Where nobody wakes** (protocol 1.0, observers, members of a work group) endpoints are looked at every millisecond.
//! * **Fork.** The waiting thread stays with the parent, as the endpoints do: futures and sets of a child that still use
//!   those are told so (`Forked`). A child's own endpoints get a waiting thread of its own.
//!
//! Which form for what: [`AsyncReader`] and [`AsyncWriter`] (also as `Stream` and `Sink`), [`PolledReader`] and
//! [`PolledWriter`] with a descriptor, [`WaitSet`] (blocking) and [`AsyncWaitSet`] for many buffers, [`AsyncClient`] and
//! [`AsyncServer`] for request and response. More, with patterns and figures: `docs/ASYNC.md`.

mod client;
mod fan_in;
mod hub;
mod polled;
mod reader;
mod server;
mod wait_set;
mod when;
mod words;
mod writer;

pub use client::AsyncClient;
pub use fan_in::{Token, Told};
pub use polled::{PolledReader, PolledWriter};
pub use reader::{AsyncReader, Frames};
pub use server::{AsyncServer, answer, fail};
pub use wait_set::{AsyncWaitSet, WaitSet};
pub use writer::{AsyncWriter, FrameSink};

/// How many endpoints of this process are waited for at the moment: for tests.
#[doc(hidden)]
pub fn waiting() -> usize {
    hub::waiting()
}

/// Its examples, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/ASYNC.md")]
mod docs {}
