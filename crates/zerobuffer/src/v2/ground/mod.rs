//! Files and mappings: how a segment comes, is found, and goes.

pub(crate) mod file;
pub(crate) mod image;
pub(crate) mod removal;
pub(crate) mod segment;
pub(crate) mod unread;
