//! One operation, so many times, in one thread of one process, for `callgrind`: `cargo xtask instructions` runs each
//! operation with two counts and divides the difference of the instructions by the difference of the counts, so that
//! start, preparation and end fall out. They do because all but the operation itself is the same whatever the count.
//!
//!   zerobuffer-instructions                      the names of the operations, one a line
//!   zerobuffer-instructions OPERATION COUNT      does it

#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
#[path = "../../../xtask/src/messages.rs"]
mod messages;

mod operations;

use anyhow::{Context as _, ensure};

use operations::{MOST, OPERATIONS, Rig};

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty() {
        for (name, _) in OPERATIONS {
            println!("{name}");
        }
        return Ok(());
    }
    let [name, count] = &words[..] else {
        anyhow::bail!("give an operation and how often, or nothing to list the operations");
    };
    let (_, operation) = OPERATIONS.iter().find(|(known, _)| known == name).with_context(|| {
        format!("there is no operation `{name}`; run without words to list them")
    })?;
    let count: usize = count.parse().with_context(|| format!("`{count}` is no count"))?;
    ensure!(count <= MOST, "{count} times is too often: what is prepared suffices for {MOST}");
    operation(Rig::new()?, count)
}
