//! What `zerobuffer bench` can be asked.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use zerobuffer::StreamingStores;

use super::compare::CompareArgs;
use zerobuffer_terminal::elastic::Elastic;

/// Sizes from a counter to a 1080p I420 frame with its 16-byte time stamp header.
const FRAME_SIZES: &str = "8,64,1024,65536,1M,3110416";

/// Measure this machine: two pinned processes, repetitions interleaved, every case between two probes of
/// what moving one cache line costs at that moment.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(super) command: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum BenchCommand {
    /// One-way latency by ping-pong: half a round trip through two buffers.
    Latency(LatencyArgs),
    /// One-way streaming, against rtrb in one process and against a bare copy and sum.
    Throughput(ThroughputArgs),
    /// What a loan, commit, read and release cost, by frame size.
    Loan(LoanArgs),
    /// What a relay's hop costs by frame size: by reference, against by copy.
    Hop(HopArgs),
    /// What readers cost the writer: the same frames with none and with up to sixteen of them.
    Readers(ReadersArgs),
    /// How fair a work group is: each member's share, and the longest that one waited.
    Group(GroupArgs),
    /// How long a sleeping reader takes to notice a frame, against a bare futex.
    Wake(WakeArgs),
    /// What waiting costs: CPU time of a reader and of a writer that have nothing to do.
    Idle(IdleArgs),
    /// What moving one cache line from core to core costs here, and how much it varies.
    Floor(FloorArgs),
    Compare(CompareArgs),
    /// Writes and reads frames in one thread, for tools that count what that takes.
    #[command(hide = true)]
    Hot(HotArgs),
    /// The other process of a measurement.
    #[command(hide = true)]
    Peer(PeerArgs),
}

/// Options of every measurement.
#[derive(Debug, Clone, Args)]
pub(super) struct Common {
    /// The two cores, as in `0,1`; default: the first two allowed ones
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub(super) cores: Option<Vec<usize>>,
    /// How often every case is measured; the repetitions of all cases are interleaved
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..), value_name = "COUNT")]
    pub(super) repeat: u32,
    /// How often a case is tried again within a repetition when the cores were moved while it ran
    #[arg(long, default_value_t = 2, value_name = "COUNT")]
    pub(super) retries: u32,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
    /// Also write the JSON to this file
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Directory of the buffers; default: `ZEROBUFFER_DIR`, else /dev/shm
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct LatencyArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Frame sizes, as in `8,64K,1M`; at least 8 bytes each
    #[arg(long, default_value = FRAME_SIZES, value_delimiter = ',', value_parser = frame_size)]
    pub(super) sizes: Vec<usize>,
    /// How both ends wait
    #[arg(long, value_enum, default_value_t = Wait::Spin)]
    pub(super) wait: Wait,
    /// Duration of one measurement
    #[arg(long, default_value_t = 300, value_name = "MS")]
    pub(super) millis: u64,
    /// Least size of each of the two rings; larger frames get room for four
    #[arg(long, default_value = "64K", value_parser = size, value_name = "BYTES")]
    pub(super) ring: usize,
    /// When the Writers keep to a part of the ring that fits the cache
    #[arg(long, value_enum, default_value_t = Elastic::Auto)]
    pub(super) elastic: Elastic,
    /// Which stores the Writers copy frames from 4 KiB on in with
    #[arg(long, value_enum, default_value_t = Stores::Auto)]
    pub(super) streaming_stores: Stores,
}

#[derive(Debug, Args)]
pub(super) struct ThroughputArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Frame sizes, as in `8,64K,1M`; at least 8 bytes each
    #[arg(long, default_value = FRAME_SIZES, value_delimiter = ',', value_parser = frame_size)]
    pub(super) sizes: Vec<usize>,
    /// How both ends wait
    #[arg(long, value_enum, default_value_t = Wait::Spin)]
    pub(super) wait: Wait,
    /// Duration of one measurement
    #[arg(long, default_value_t = 300, value_name = "MS")]
    pub(super) millis: u64,
    /// Size of the ring, the same for all who are compared; larger frames get room for two and a half
    /// [default: 256K for frames up to 4 KiB, else 8M]
    #[arg(long, value_parser = size, value_name = "BYTES")]
    pub(super) ring: Option<usize>,
    /// Frames a call in the batched case
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..), value_name = "COUNT")]
    pub(super) batch: u32,
    /// Only these ways of moving frames
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Way::ALL)]
    pub(super) ways: Vec<Way>,
    /// When the Writer keeps to a part of the ring that fits the cache
    #[arg(long, value_enum, default_value_t = Elastic::Auto)]
    pub(super) elastic: Elastic,
    /// Which stores the Writer copies frames from 4 KiB on in with
    #[arg(long, value_enum, default_value_t = Stores::Auto)]
    pub(super) streaming_stores: Stores,
    /// Slots of rtrb's ring; default: as many as fill the same number of bytes
    #[arg(long, value_parser = rtrb_slots, value_name = "COUNT")]
    pub(super) rtrb_slots: Option<usize>,
}

#[derive(Debug, Args)]
pub(super) struct LoanArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Frame sizes, as in `64,1M,100000000`; at least 8 bytes each
    #[arg(long, default_value = "64,4096,65536,1M,3110416,16M,100000000", value_delimiter = ',', value_parser = frame_size)]
    pub(super) sizes: Vec<usize>,
    /// Size of the ring, the same for all sizes; at least, and by default, room for two and a half of the largest frame
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub(super) ring: Option<usize>,
    /// Instead, for each size a ring of its own, with room for so many frames: what a lap costs is divided by as many then
    #[arg(long, value_name = "COUNT", conflicts_with = "ring", value_parser = clap::value_parser!(u32).range(3..=1_000_000))]
    pub(super) frames: Option<u32>,
    /// Duration of one measurement
    #[arg(long, default_value_t = 100, value_name = "MS")]
    pub(super) millis: u64,
}

#[derive(Debug, Args)]
pub(super) struct HopArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Frame sizes, as in `1K,1M,100000000`; at least 8 bytes each
    #[arg(long, default_value = "1024,65536,3110416,16M,100000000", value_delimiter = ',', value_parser = frame_size)]
    pub(super) sizes: Vec<usize>,
    /// Duration of one measurement
    #[arg(long, default_value_t = 200, value_name = "MS")]
    pub(super) millis: u64,
}

#[derive(Debug, Args)]
pub(super) struct ReadersArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// How many readers; the first count is what the others are compared with
    #[arg(long, default_value = "1,2,4,8,16", value_delimiter = ',', value_parser = reader_count)]
    pub(super) counts: Vec<usize>,
    /// Bytes a frame
    #[arg(long, default_value = "64", value_parser = frame_size)]
    pub(super) size: usize,
    /// Duration of one measurement
    #[arg(long, default_value_t = 200, value_name = "MS")]
    pub(super) millis: u64,
}

#[derive(Debug, Args)]
pub(super) struct GroupArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// How many members
    #[arg(long, default_value = "2,4,8", value_delimiter = ',', value_parser = member_count)]
    pub(super) members: Vec<usize>,
    /// How many frames, in all
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..), value_name = "COUNT")]
    pub(super) frames: u64,
    /// Bytes a frame
    #[arg(long, default_value = "64", value_parser = frame_size)]
    pub(super) size: usize,
    /// Time that a member spends on each frame, asleep
    #[arg(long, default_value_t = 20, value_name = "US")]
    pub(super) work_us: u64,
}

#[derive(Debug, Args)]
pub(super) struct WakeArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Frames sent in one measurement
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(10..), value_name = "COUNT")]
    pub(super) count: u32,
    /// Time between two frames
    #[arg(long, default_value_t = 1000, value_name = "US")]
    pub(super) interval_us: u64,
}

#[derive(Debug, Args)]
pub(super) struct IdleArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// How long each side waits
    #[arg(long, default_value = "10", value_parser = seconds, value_name = "SECONDS")]
    pub(super) seconds: Duration,
    /// The wait strategies to try
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Wait::Park, Wait::SpinThenPark])]
    pub(super) wait: Vec<Wait>,
}

#[derive(Debug, Args)]
pub(super) struct FloorArgs {
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Args)]
pub(super) struct HotArgs {
    /// How many frames
    #[arg(long, default_value_t = 100_000)]
    pub(super) frames: u64,
    /// Bytes a frame
    #[arg(long, default_value = "64", value_parser = frame_size)]
    pub(super) size: usize,
    /// How both ends wait
    #[arg(long, value_enum, default_value_t = Wait::Spin)]
    pub(super) wait: Wait,
    /// Size of the ring
    #[arg(long, default_value = "1M", value_parser = size, value_name = "BYTES")]
    pub(super) ring: usize,
    /// Directory of the buffer
    #[arg(long)]
    pub(super) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct PeerArgs {
    /// Core to stay on
    #[arg(long)]
    pub(super) core: usize,
    /// Inherited descriptor of the shared memory
    #[arg(long)]
    pub(super) fd: u32,
}

/// The library's wait strategies, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Wait {
    Spin,
    SpinThenPark,
    Park,
}

impl Wait {
    pub(super) fn strategy(self) -> zerobuffer::WaitStrategy {
        match self {
            Self::Spin => zerobuffer::WaitStrategy::Spin,
            Self::SpinThenPark => zerobuffer::WaitStrategy::SpinThenPark,
            Self::Park => zerobuffer::WaitStrategy::Park,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::SpinThenPark => "spin-then-park",
            Self::Park => "park",
        }
    }
}

/// The library's choices of stores, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stores {
    /// Whatever is faster, as tried now and then
    Auto,
    /// Ordinary ones, through the caches
    Never,
    /// Streaming ones, past the caches
    Always,
}

impl Stores {
    pub(super) fn choice(self) -> StreamingStores {
        match self {
            Self::Auto => StreamingStores::Auto,
            Self::Never => StreamingStores::Never,
            Self::Always => StreamingStores::Always,
        }
    }
}

/// Ways of streaming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Way {
    /// `write` and `read`, every byte summed in place
    Copied,
    /// The same in batches
    Batched,
    /// `loan` and `read`, header only
    Loaned,
    /// rtrb between two threads, for 8 and 64 bytes
    Rtrb,
    /// `write` and `read` over protocol 1.0, every byte summed in place; in /dev/shm only
    V1,
    /// A flag, a memcpy and a sum in bare shared memory, from 4 KiB
    Bare,
}

impl Way {
    const ALL: [Self; 5] = [Self::Copied, Self::Batched, Self::Loaned, Self::Rtrb, Self::Bare];
}

/// The largest ring, and more than any frame.
pub(super) const MAX_BYTES: usize = 4 << 30;

/// A number of bytes up to 4 GiB: digits, then perhaps `K`, `M` or `G` (binary), perhaps with `B` or `iB`.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => {
            return Err(format!("`{text}` is not a size; write it like 4096, 64K or 8M"));
        }
    };
    let bytes = number
        .parse::<usize>()
        .ok()
        .and_then(|n| n.checked_mul(1 << shift))
        .ok_or_else(|| format!("`{text}` is not a size; write it like 4096, 64K or 8M"))?;
    if bytes <= MAX_BYTES { Ok(bytes) } else { Err("at most 4G, the largest ring".into()) }
}

/// A duration that somebody may want to wait for.
fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("more than 0 seconds, at most a day".into()),
    }
}

/// Slots of up to 64 bytes, in no more memory than the largest ring has.
fn rtrb_slots(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(slots) if (1..=MAX_BYTES / 64).contains(&slots) => Ok(slots),
        _ => Err(format!("1 to {}", MAX_BYTES / 64)),
    }
}

/// As many readers as a buffer can have, or none.
fn reader_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count <= 64 => Ok(count),
        _ => Err("0 to 64".into()),
    }
}

/// Members beside the slots that a group itself takes.
fn member_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=62).contains(&count) => Ok(count),
        _ => Err("1 to 62".into()),
    }
}

/// A frame size that holds the eight bytes every measurement keeps in a frame.
fn frame_size(text: &str) -> Result<usize, String> {
    match size(text)? {
        bytes if bytes >= 8 => Ok(bytes),
        _ => Err("a measured frame holds a sequence number: at least 8 bytes".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        assert_eq!(size("3110416"), Ok(3_110_416));
        assert_eq!(size("64K"), Ok(65_536));
        assert_eq!(size("1 MiB"), Ok(1 << 20));
        assert!(size("12 parsecs").is_err());
        assert!(size("").is_err());
        assert!(frame_size("7").is_err());
    }

    #[test]
    fn what_no_machine_has_is_refused() {
        assert_eq!(size("4G"), Ok(4 << 30));
        for text in ["4294967297", "9223372036854775808", "18446744073709551615"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "NaN", "inf", "1e300", "86401"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert!(rtrb_slots("0").is_err() && rtrb_slots("18446744073709551615").is_err());
        assert_eq!(rtrb_slots("4096"), Ok(4096));
    }
}
