//! Tests of the rules: against models, and over every interleaving.

#[cfg(not(loom))]
mod attribute_properties;
#[cfg(not(loom))]
mod group_properties;
pub(crate) mod heap;
#[cfg(loom)]
mod loom_models;
pub(crate) mod policies;
#[cfg(not(loom))]
mod ring_properties;
