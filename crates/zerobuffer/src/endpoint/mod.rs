//! The public endpoints: thin over the engines.

pub(crate) mod attributed;
pub(crate) mod frame;
pub(crate) mod reader;
pub(crate) mod writer;
