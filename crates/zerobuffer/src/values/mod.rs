//! Values: what every band names, and what names none of them.

pub mod attributes;
#[cfg(not(loom))]
pub(crate) mod call_error;
pub(crate) mod config;
pub mod error;
#[cfg(not(loom))]
pub(crate) mod events;
#[cfg(not(loom))]
pub(crate) mod name;
pub(crate) mod printable;
pub(crate) mod stats;
