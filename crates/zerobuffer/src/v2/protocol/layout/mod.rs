//! What lies where in a 2.0 segment, and the checks on opening. No algorithm.

mod areas;
mod geometry;
#[cfg(not(loom))]
mod oieb;
mod sizes;

pub(crate) use areas::*;
#[cfg(test)]
pub(crate) use geometry::ALIGN_THRESHOLD;
pub(crate) use geometry::{CACHE_LINE, Extent, FrameGeometry};
#[cfg(not(loom))]
pub(crate) use oieb::LayoutProblem;
pub(crate) use sizes::{Birth, Layout, METADATA_HEAD, Wish};
