//! What belongs to a frame and is not its bytes: time stamps, flags, strides, a trace context, records of the user.
//!
//! An attribute block lies in front of a frame's payload. The block is a list of records, each kind at most once.
//! Kinds below 128 have a meaning that is the same everywhere; kinds from 128 to 254 belong to users. Readers keep
//! and ignore kinds that they do not know.

mod block;
mod error;
mod prefix;
mod typed;

pub use block::{Attributes, AttributesRef, Records};
pub use error::AttributesError;
pub use prefix::PREFIX_BYTES;
pub use typed::{Clock, Codec, FrameFlags, Origin, Plane, Timestamp, TraceContext};

pub(crate) use block::split;
#[cfg(not(loom))]
pub(crate) use block::{block_bytes, fill, padded_block_bytes};

#[cfg(all(test, not(loom)))]
mod tests;
