//! What peers can carry.

/// Aeron's largest fragment; what is larger is copied together, and cannot be loaned.
pub(crate) const AERON_WHOLE: usize = 65_504 - 32;
