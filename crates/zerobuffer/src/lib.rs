//! ZeroBuffer: frames between processes on one host, through shared memory, without a copy.

mod config;
pub mod error;
mod frame;
pub mod inspect;
mod name;
mod reader;
mod stats;
mod sync;
mod sys;
mod v2;
mod wait;
mod writer;

pub use config::{
    BufferConfig, DEFAULT_METADATA_BYTES, DEFAULT_PAYLOAD_BYTES, DEFAULT_READER_SLOTS, FullPolicy,
    MAIN_READER, StartAt, WaitStrategy,
};
pub use error::{
    Error, MetadataError, OpenError, Peer, ReadError, Result, WriteError, WriterPresence,
};
pub use frame::{Frame, OwnedFrame};
pub use name::{DIR_VARIABLE, default_dir};
pub use reader::{Batch, BatchFrame, Event, Events, Metadata, Reader, ReaderOptions};
pub use stats::{ReaderInfo, ReaderStats, Undelivered, WriterStats};
pub use writer::{FrameMut, WriteBatch, Writer, WriterOptions, Written};
