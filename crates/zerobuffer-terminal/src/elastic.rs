//! How much of a ring a writer uses, by name.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The library's [`Elastic`](zerobuffer::Elastic).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Elastic {
    /// In large rings, for frames that are filled, where cores share a cache
    Auto,
    /// The whole ring
    Never,
    /// For all frames
    Always,
}

impl Elastic {
    /// What the library calls it.
    pub fn choice(self) -> zerobuffer::Elastic {
        match self {
            Self::Auto => zerobuffer::Elastic::Auto,
            Self::Never => zerobuffer::Elastic::Never,
            Self::Always => zerobuffer::Elastic::Always,
        }
    }
}
