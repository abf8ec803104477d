//! The accounting; no system calls.

pub(crate) mod ring;
