//! Protocol 1.0, as deployed C++, Python and C# peers speak it: one reader, which owns the buffer, and one
//! writer. `PROTOCOL.md`, part 2, describes it and says what is done about each known defect
//! of the deployed peers (the L-numbers in comments and test names; D-numbers are disagreements among them).
//!
//! * rules: [`layout`] what is in memory, [`ring`] the accounting; no system calls
//! * ground: [`mapping`], [`locks`], [`process`], [`segment`] how a buffer comes, is found and goes
//! * [`inspect`]: looking from outside
//! * [`writer`], [`reader`]: the two engines, thin

pub(crate) mod inspect;
pub(crate) mod layout;
pub(crate) mod locks;
pub(crate) mod mapping;
pub(crate) mod process;
pub(crate) mod reader;
pub(crate) mod ring;
pub(crate) mod segment;
pub(crate) mod writer;

#[cfg(test)]
mod tests;
