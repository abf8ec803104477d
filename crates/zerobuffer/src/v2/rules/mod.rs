//! The rules of protocol 2.0. They touch no operating system, and memory only through [`memory`].

#[cfg(not(loom))]
pub(crate) mod accounts;
pub(crate) mod group;
pub(crate) mod memory;
pub(crate) mod observe;
pub(crate) mod registry;
pub(crate) mod ring;
pub(crate) mod sharing;
pub(crate) mod table;
pub(crate) mod wake;
