//! What is in memory: positions, the layout of a segment, commit words. No algorithm.

pub(crate) mod layout;
pub(crate) mod position;
pub(crate) mod word;
