//! The demo's writer process.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use zerobuffer::{BufferConfig, FullPolicy, Writer};

use super::lifeline::Lifeline;
use super::lines::{FromWriter, send};
use super::picture::Picture;
use crate::args::DemoWriterArgs;
use crate::exit::finish;
use crate::signals::SLICE;

/// Frames that fit the ring: enough to ride out a restart of the reader at 60 frames a second.
const ROOM: usize = 8;

pub(crate) fn run(args: &DemoWriterArgs) -> ExitCode {
    finish(stream(args))
}

fn stream(args: &DemoWriterArgs) -> anyhow::Result<ExitCode> {
    let lifeline = Lifeline::of_stdin()?;
    let bytes = args.size.frame_bytes();
    let config = BufferConfig::new().room_for(ROOM, bytes).timestamps(true);
    let mut writer = Writer::options()
        .dir(args.place.dir())
        .full_policy(FullPolicy::Block { timeout: Some(SLICE) })
        .create(&args.name, &config)?;
    let mut newest = writer.next_sequence().wrapping_sub(1);
    let payload_bytes = writer.payload_bytes() as u64;
    send(&FromWriter::Began { newest, payload_bytes })?;

    let mut picture = Picture::new(args.size);
    let mut due = Instant::now();
    let interval = (args.fps > 0.0).then(|| Duration::from_secs_f64(1.0 / args.fps));
    while !lifeline.is_cut() {
        if let Some(interval) = interval {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            // A camera that was held up does not catch up.
            due = (due + interval).max(Instant::now());
        }
        match writer.loan_timeout(bytes, SLICE) {
            Ok(mut frame) => {
                picture.fill(newest, &mut frame);
                newest = frame.commit();
            }
            // The reader is slow or being restarted: its frames are kept, so there is nothing to do but wait.
            Err(error) if error.is_timeout() => {}
            Err(error) if error.is_peer_gone() => std::thread::sleep(SLICE / 100),
            Err(error) => return Err(error.into()),
        }
    }
    send(&FromWriter::Ended { newest })?;
    Ok(ExitCode::SUCCESS)
}
