//! Protocol 2.0, in bands: a lower one never names a higher one.

#[cfg(not(loom))]
pub(crate) mod engine;
#[cfg(not(loom))]
pub(crate) mod ground;
pub(crate) mod placing;
pub(crate) mod protocol;
pub(crate) mod rules;
#[cfg(test)]
pub(crate) mod tests;
