//! Tests of the 1.0 endpoint: the accounting against models, the engines against real segments, and both
//! against the deployed Python package.

mod accounting;
mod engines;
mod heap;
mod peers;
mod python;
mod restarts;
mod semaphores;
mod support;
