//! Engines behind the public endpoints: the rules with waiting, policies and messages around them.

pub(crate) mod arrival;
pub(crate) mod forget;
pub(crate) mod member;
pub(crate) mod members;
pub(crate) mod metadata;
pub(crate) mod onlooker;
pub(crate) mod origin;
pub(crate) mod reader;
pub(crate) mod writer;
