//! Frames written and read in one thread, nothing else: for `strace`, `callgrind` and the like, which
//! count what N frames take and what ten times N take (see `benches/hot-path.sh`).

use std::process::ExitCode;

use anyhow::Context as _;
use zerobuffer::{BufferConfig, Reader, Writer};

use super::args::HotArgs;
use super::{header, sum_bytes};

/// `zerobuffer bench hot`.
pub(super) fn run(args: &HotArgs) -> anyhow::Result<ExitCode> {
    let dir = args.dir.clone().unwrap_or_else(zerobuffer::default_dir);
    let name = format!("zerobuffer-hot-{}", std::process::id());
    let config = BufferConfig::new().payload_bytes(args.ring.max(args.size / 2 * 5 + 4096));
    let mut reader =
        Reader::options().dir(&dir).wait_strategy(args.wait.strategy()).create(&name, &config)?;
    let mut writer =
        Writer::options().dir(&dir).wait_strategy(args.wait.strategy()).create(&name, &config)?;
    let mut payload = vec![1; args.size];
    let mut sum = 0_u64;
    for sequence in 0..args.frames {
        payload[..8].copy_from_slice(&sequence.to_le_bytes());
        writer.write(&payload)?;
        let frame = reader.read()?.context("the buffer closed in the middle")?;
        anyhow::ensure!(header(&frame) == sequence, "frame {sequence} is another one");
        sum = sum.wrapping_add(sum_bytes(&frame));
    }
    let (frames, size) = (args.frames, args.size);
    zerobuffer_terminal::output::print(&format!(
        "{frames} frames of {size} bytes, sum {sum:#018x}\n"
    ))?;
    Ok(ExitCode::SUCCESS)
}
