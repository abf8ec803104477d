//! `zerobuffer-bench`, started as `zerobuffer bench`: how fast this is on the machine it runs on, against what the machine itself costs.
//!
//! Two processes, each on a core of its own; every case between two probes of the cost of a cache line
//! (see `floor`), repetitions interleaved, medians and spread reported for each placement class apart.
//!
//! - `args`: what can be asked; `report`: what is answered, as a table and as JSON
//! - `peer`: the process pair and its control pipe; `serve`: the peer's half; `pin`: cores; `raw`: shared memory without a ring
//! - `compare`: results beside each other, measured here or by others
//! - `floor`, `latency`, `throughput`, `loan`, `hop`, `readers`, `group`, `wake`, `idle`: one measurement each

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod bare_ring;
mod bounce;
mod compare;
mod floor;
mod group;
mod hop;
mod hot;
mod idle;
mod latency;
mod loan;
mod peer;
mod pin;
mod raw;
mod readers;
mod report;
mod serve;
mod throughput;
mod wake;

use std::process::ExitCode;

use args::{BenchArgs, BenchCommand};
use clap::Parser as _;
use zerobuffer_terminal::exit::finish;
use zerobuffer_terminal::messages::say;
#[cfg(fuzzing)]
#[doc(hidden)]
pub use {args::size, peer::fuzz_line};

/// Exit code of `compare --fail-on-worse`: a case is worse than in the base.
const SOMETHING_WORSE: u8 = 3;

/// First eight bytes of the frame after which a stream is timed; sequence numbers stay below.
const BEGIN: u64 = u64::MAX - 1;
/// First eight bytes of the last frame.
const END: u64 = u64::MAX;

#[derive(Debug, clap::Parser)]
#[command(name = "zerobuffer-bench", bin_name = "zerobuffer bench", version, max_term_width = 100)]
struct Bench {
    #[command(flatten)]
    args: BenchArgs,
}

/// Reads the arguments, and measures.
pub fn bench() -> ExitCode {
    if let Err(error) = zerobuffer::survive_truncation() {
        say(format_args!("no guard against truncated buffers: {error}"));
    }
    finish(run(Bench::parse().args))
}

/// Runs one of the measurements.
fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let (report, common) = match &args.command {
        BenchCommand::Latency(args) => (latency::run(args)?, &args.common),
        BenchCommand::Throughput(args) => (throughput::run(args)?, &args.common),
        BenchCommand::Loan(args) => (loan::run(args)?, &args.common),
        BenchCommand::Hop(args) => (hop::run(args)?, &args.common),
        BenchCommand::Readers(args) => (readers::run(args)?, &args.common),
        BenchCommand::Group(args) => (group::run(args)?, &args.common),
        BenchCommand::Wake(args) => (wake::run(args)?, &args.common),
        BenchCommand::Idle(args) => (idle::run(args)?, &args.common),
        BenchCommand::Floor(args) => (bounce::run(args)?, &args.common),
        BenchCommand::Compare(args) => return compare::run(args),
        BenchCommand::Hot(args) => return hot::run(args),
        BenchCommand::Peer(args) => {
            serve::serve(args)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    report.publish(common)?;
    Ok(ExitCode::SUCCESS)
}

/// The first eight bytes of a frame: its sequence number, time stamp or mark.
#[inline]
fn header(frame: &[u8]) -> u64 {
    frame.first_chunk().map_or(END, |bytes| u64::from_le_bytes(*bytes))
}

/// Sum of a frame as little-endian words (the last one padded with zeros), so that every byte is read at
/// the speed of the memory it lies in.
#[inline]
fn sum_bytes(frame: &[u8]) -> u64 {
    // Who reads records knows their size, as rtrb's side does: no loop for the small ones.
    if let Ok(record) = <&[u8; 8]>::try_from(frame) {
        return sum_record(record);
    }
    if let Ok(record) = <&[u8; 64]>::try_from(frame) {
        return sum_record(record);
    }
    sum_words(frame)
}

#[inline(always)]
fn sum_record<const N: usize>(record: &[u8; N]) -> u64 {
    sum_words(record)
}

#[inline]
fn sum_words(frame: &[u8]) -> u64 {
    let (words, tail) = frame.as_chunks::<8>();
    let sum = words.iter().fold(0_u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
    if tail.is_empty() {
        return sum;
    }
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    sum.wrapping_add(u64::from_le_bytes(last))
}

#[cfg(test)]
mod tests {
    use super::{header, sum_bytes};

    #[test]
    fn the_sum_sees_every_byte() {
        let frame: Vec<u8> = (0..=20).collect();
        let whole = sum_bytes(&frame);
        for index in 0..frame.len() {
            let mut other = frame.clone();
            other[index] ^= 1;
            assert_ne!(sum_bytes(&other), whole, "byte {index}");
        }
        assert_eq!(header(&sum_bytes(&[2, 0, 0, 0, 0, 0, 0, 0]).to_le_bytes()), 2);
    }
}
