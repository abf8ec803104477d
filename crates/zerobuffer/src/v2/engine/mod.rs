//! Engines behind the public endpoints: the rules with waiting, policies and messages around them.

pub(crate) mod arrival;
pub(crate) mod forget;
pub(crate) mod liveness;
pub(crate) mod member;
pub(crate) mod metadata;
pub(crate) mod onlooker;
pub(crate) mod open;
pub(crate) mod origin;
pub(crate) mod reader;
pub(crate) mod roles;
mod room_wait;
pub(crate) mod writer;
