//! ZeroBuffer moves frames from one process to another on one host, through shared memory, without a copy.
//!
//! A **Writer** (producer) fills **Frames** in a ring; one or many **Readers** (consumers) look at them in
//! place. A **metadata** block describes the stream, and the **OIEB** (operation info exchange block) is where
//! both sides coordinate. Nobody enters the kernel unless somebody sleeps.
//!
//! ```
//! use zerobuffer::{BufferConfig, Reader, Writer};
//! # fn main() -> zerobuffer::Result<()> {
//! # let name = &format!("doc-crate-{}", std::process::id());
//! # /*
//! let name = "camera";
//! # */
//! let mut writer = Writer::create(name, &BufferConfig::new())?; // either side may create, and start first
//! let mut reader = Reader::create(name, &BufferConfig::new())?;
//!
//! writer.set_metadata(b"video/x-raw,format=GRAY8,width=4,height=2")?;
//! let mut frame = writer.loan(8)?; // bytes of the ring itself
//! frame.fill(128);
//! frame.commit();
//!
//! let frame = reader.read()?.expect("the writer has not closed");
//! assert_eq!(frame[..], [128; 8]); // read in place; released when dropped
//! # Ok(()) }
//! ```
//!
//! # What to know
//!
//! * **Crashes.** All state lives in the shared file. A writer that dies leaves every committed frame; a reader
//!   that dies gets what it had not released again, [flagged](Frame::is_redelivered). The side that lives goes on
//!   with the successor; [`ReadError::WriterGone`] and [`WriteError::ReaderGone`] tell once. Nothing needs to be
//!   removed by hand. Liveness is a lock held by the kernel, not a pid.
//! * **Delivery.** Each [durable](ReaderOptions::name) reader gets every committed frame in order; processing is at
//!   least once. [Ephemeral](ReaderOptions::ephemeral) readers, [`FullPolicy::DropNewest`] and forced removal
//!   are the exceptions.
//! * **Waiting.** [`WaitStrategy`] is the caller's; `try_` forms never wait, `_timeout` forms take a [`Duration`].
//! * **Trust.** No value in shared memory makes this library read or write outside the mapping, panic, or wait
//!   beyond its timeout. But a [`Frame`] is a `&[u8]` of memory that a hostile peer with write access could
//!   change under your hands: see [`Frame`], and use [`Frame::copy_to`] or [`Reader::read_into`]. It could also cut the
//!   file short, which ends a process that touches what is gone; [`survive_truncation`] makes that an error.
//! * **Protocol 1.0**, which deployed C++, C# and Python programs speak: [`Writer::connect`] finds such a buffer by itself, and
//!   [`BufferConfig::v1`] makes a [`Reader`] create one. It has one reader, who owns it, and nothing survives a crash.
//! * **Request and response**: the [`duplex`] module, two buffers under one name.
//! * **Fork.** Endpoints stay with the parent. In the child every call on one says so (`Forked`), or does nothing where it
//!   cannot fail: [`FrameMut::commit`] and [`WriteBatch::commit`] return 0. The bytes of frames, loans and metadata that
//!   were lent before the fork are zeros there, and what the child stores in them nobody sees. Children that come about
//!   without libc's `fork` (a bare `clone`, `vfork`) have no memory at all in their place: these must not touch them.
//! * **Platform.** Linux, 64-bit, little-endian.
//!
//! The bytes are specified in `docs/protocol/2.0.md`, the code's layers in `ARCHITECTURE.md`.
//!
//! [`Duration`]: std::time::Duration
#![cfg_attr(loom, allow(dead_code, unused_imports))] // Models take the rules and leave the rest.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64", target_endian = "little")))]
compile_error!("zerobuffer needs Linux on a 64-bit little-endian processor");

#[cfg(not(loom))]
pub mod duplex;
#[cfg(not(loom))]
mod endpoint;
#[cfg(not(loom))]
mod engine;
#[cfg(feature = "fault-points")]
#[doc(hidden)]
pub mod fault;
#[cfg(not(feature = "fault-points"))]
mod fault;
mod field;
#[cfg(not(loom))]
pub mod inspect;
#[cfg(loom)]
mod mortal;
#[cfg(not(loom))]
pub mod surroundings;
mod sync;
#[cfg(not(loom))]
mod sys;
#[cfg(not(loom))]
mod v1;
mod v2;
mod values;
#[cfg(not(loom))]
mod wait;

#[cfg(not(loom))]
pub use endpoint::attributed::FrameMutWith;
#[cfg(not(loom))]
pub use endpoint::batch::{Batch, BatchFrame};
#[cfg(not(loom))]
pub use endpoint::frame::{Frame, OwnedFrame};
#[cfg(not(loom))]
pub use endpoint::loan::FrameMut;
#[cfg(not(loom))]
pub use endpoint::metadata::Metadata;
#[cfg(not(loom))]
pub use endpoint::reader::Reader;
#[cfg(not(loom))]
pub use endpoint::reader_options::ReaderOptions;
#[cfg(not(loom))]
pub use endpoint::shared_writer::SharedWriter;
#[cfg(not(loom))]
pub use endpoint::write_batch::WriteBatch;
#[cfg(not(loom))]
pub use endpoint::writer::{Writer, Written};
#[cfg(not(loom))]
pub use endpoint::writer_options::WriterOptions;
#[cfg(not(loom))]
#[doc(hidden)]
pub use sys::fork::ForkMark;
#[cfg(not(loom))]
pub use sys::guard::survive_truncation;
pub use values::attributes;
pub use values::config::{
    BufferConfig, DEFAULT_GROUP_WINDOW, DEFAULT_METADATA_BYTES, DEFAULT_PAYLOAD_BYTES,
    DEFAULT_READER_SLOTS, DEFAULT_WORK_GROUPS, Elastic, FullPolicy, MAIN_READER, Protocol,
    ReaderKind, StartAt, StreamingStores, WaitStrategy,
};
pub use values::error;
pub use values::error::{
    Error, ErrorCode, MetadataError, OpenError, Peer, ReadError, Result, WriteError, WriterPresence,
};
#[cfg(not(loom))]
pub use values::events::{Event, Events};
#[cfg(not(loom))]
pub use values::name::{DIR_VARIABLE, default_dir};
pub use values::printable::{Printable, printable};
pub use values::stats::{Forwarded, ReaderInfo, ReaderStats, Undelivered, WhyCopied, WriterStats};
#[cfg(not(loom))]
pub use wait::armed::{Armed, PeerWatch, WaitWord};

/// The programs in the documentation, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/RECOVERY.md")]
mod recovery {}
#[cfg(doctest)]
#[doc = include_str!("../../../docs/DUPLEX.md")]
mod duplex_patterns {}
