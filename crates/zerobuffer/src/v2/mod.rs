//! Protocol 2.0.
//!
//! Rules, which touch no operating system: [`position`], [`layout`], [`word`], [`memory`] (what they need),
//! [`ring`], [`registry`], [`wake`], [`observe`], [`group`], [`sharing`]. Ground: [`segment`], [`ground`] (files and room for them), [`removal`], [`unread`]. Engines behind the public endpoints: [`members`],
//! [`metadata`], [`forget`], [`writer`], [`reader`], [`onlooker`], [`member`], and [`arrival`], which all kinds of readers wait with.

#[cfg(not(loom))]
pub(crate) mod arrival;
#[cfg(not(loom))]
pub(crate) mod forget;
#[cfg(not(loom))]
pub(crate) mod ground;
pub(crate) mod group;
pub(crate) mod layout;
#[cfg(not(loom))]
pub(crate) mod member;
#[cfg(not(loom))]
pub(crate) mod members;
pub(crate) mod memory;
#[cfg(not(loom))]
pub(crate) mod metadata;
pub(crate) mod observe;
#[cfg(not(loom))]
pub(crate) mod onlooker;
#[cfg(not(loom))]
pub(crate) mod origin;
pub(crate) mod placing;
pub(crate) mod position;
#[cfg(not(loom))]
pub(crate) mod reader;
pub(crate) mod registry;
#[cfg(not(loom))]
pub(crate) mod removal;
pub(crate) mod ring;
#[cfg(not(loom))]
pub(crate) mod segment;
pub(crate) mod sharing;
#[cfg(not(loom))]
mod unread;
pub(crate) mod wake;
pub(crate) mod word;
#[cfg(not(loom))]
pub(crate) mod writer;

#[cfg(all(test, not(loom)))]
mod group_properties;
#[cfg(test)]
mod heap;
#[cfg(all(test, loom))]
mod loom_models;
#[cfg(test)]
mod policies;
#[cfg(all(test, not(loom)))]
mod ring_properties;
