//! What is in memory.

pub(crate) mod layout;
