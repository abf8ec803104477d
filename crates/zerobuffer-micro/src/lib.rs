//! What the benchmarks need of the system below the ring: barriers, semaphores, futexes, and memory mapped as they like.
//!
//! The benchmarks stand in `benches/`: `system` (what the system charges), `ring` (what each step of the ring
//! costs), `memory` (the end of the ring, and the first touch of its pages). `cargo bench -p zerobuffer-micro` runs them.

mod mapped;
mod partner;
mod sleeping;

pub use mapped::{Mapped, Pages};
pub use partner::{Partner, Turn};
pub use sleeping::{Futex, Semaphore, membarrier, register_for_membarrier};
