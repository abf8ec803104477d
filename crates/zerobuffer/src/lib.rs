//! ZeroBuffer: frames between processes on one host, through shared memory, without a copy.
#![cfg_attr(loom, allow(dead_code, unused_imports))] // Models take the rules and leave the rest.

mod config;
pub mod error;
#[cfg(not(loom))]
mod frame;
#[cfg(not(loom))]
pub mod inspect;
#[cfg(not(loom))]
mod name;
#[cfg(not(loom))]
mod reader;
mod stats;
mod sync;
#[cfg(not(loom))]
mod sys;
mod v2;
#[cfg(not(loom))]
mod wait;
#[cfg(not(loom))]
mod writer;

pub use config::{
    BufferConfig, DEFAULT_METADATA_BYTES, DEFAULT_PAYLOAD_BYTES, DEFAULT_READER_SLOTS, FullPolicy,
    MAIN_READER, StartAt, WaitStrategy,
};
pub use error::{
    Error, MetadataError, OpenError, Peer, ReadError, Result, WriteError, WriterPresence,
};
#[cfg(not(loom))]
pub use frame::{Frame, OwnedFrame};
#[cfg(not(loom))]
pub use name::{DIR_VARIABLE, default_dir};
#[cfg(not(loom))]
pub use reader::{Batch, BatchFrame, Event, Events, Metadata, Reader, ReaderOptions};
pub use stats::{ReaderInfo, ReaderStats, Undelivered, WriterStats};
#[cfg(not(loom))]
pub use writer::{FrameMut, WriteBatch, Writer, WriterOptions, Written};
