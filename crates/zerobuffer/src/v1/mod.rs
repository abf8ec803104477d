//! Protocol 1.0, as deployed C++, Python and C# peers speak it: one reader, which owns the buffer, and one
//! writer. `docs/protocol/1.0.md` describes it and says what is done about each known defect
//! of the deployed peers (the L-numbers in comments and test names; D-numbers are disagreements among them).
//!
//! The bands are those of protocol 2.0.

pub(crate) mod engine;
pub(crate) mod ground;
pub(crate) mod protocol;
pub(crate) mod rules;

#[cfg(test)]
mod tests;
