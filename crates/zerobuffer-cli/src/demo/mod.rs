//! The parts of `zerobuffer demo`: a picture that can be checked byte by byte, and the two processes that it starts.
//!
//! Both children are told to end by the end of their stdin, so that they also end when the demo itself is killed.

pub(crate) mod lifeline;
pub(crate) mod lines;
pub(crate) mod picture;
pub(crate) mod reader;
pub(crate) mod writer;
