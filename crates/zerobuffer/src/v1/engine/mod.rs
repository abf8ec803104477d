//! The two engines, thin, and looking from outside.

pub(crate) mod inspect;
pub(crate) mod reader;
pub(crate) mod writer;
