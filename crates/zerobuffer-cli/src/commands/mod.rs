//! One file per command.

pub(crate) mod read;
pub(crate) mod relay;
pub(crate) mod write;
