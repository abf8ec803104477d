//! What the programs around ZeroBuffer have in common at the terminal: how they say something, print what they were asked
//! for, end by signals, and read sizes.

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod elastic;
pub mod exit;
pub mod messages;
pub mod output;
pub mod signals;
pub mod sizes;
pub mod way;
