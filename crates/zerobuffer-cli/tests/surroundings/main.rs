//! Rough surroundings: what containers, file systems, sandboxes and supervisors do to buffers. Each file is one kind of them;
//! `cargo xtask surroundings` runs all and prints a table.
//!
//! What a case needs (root, namespaces, `strace`, loop devices) it asks [`ground::Needs`] for. Where that is missing, the
//! case says `NOT TESTED`, and fails in CI.
#![allow(missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod ground;

mod clocks;
mod groups;
mod identity;
mod readonly;
mod room;
mod sandbox;
mod sticky;
