//! How a buffer comes, is found and goes.

pub(crate) mod locks;
pub(crate) mod mapping;
pub(crate) mod process;
pub(crate) mod segment;
