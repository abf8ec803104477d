//! One file per command.

pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod forget;
pub(crate) mod inspect;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod read;
pub(crate) mod relay;
mod repeat;
pub(crate) mod rm;
pub(crate) mod tap;
pub(crate) mod write;
