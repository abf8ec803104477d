//! Protocol 2.0.
//!
//! Rules, which touch no operating system: [`position`], [`layout`], [`word`], [`memory`] (what they need),
//! [`ring`], [`registry`], [`wake`]. Ground: [`segment`]. Engines behind the public endpoints: [`members`],
//! [`metadata`], [`writer`], [`reader`].

pub(crate) mod layout;
pub(crate) mod members;
pub(crate) mod memory;
pub(crate) mod metadata;
pub(crate) mod position;
pub(crate) mod reader;
pub(crate) mod registry;
pub(crate) mod ring;
pub(crate) mod segment;
pub(crate) mod wake;
pub(crate) mod word;
pub(crate) mod writer;
