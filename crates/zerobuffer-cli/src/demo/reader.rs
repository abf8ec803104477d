//! The demo's reader process.

use std::process::ExitCode;
use std::time::Duration;

use zerobuffer::Reader;

use super::lifeline::Lifeline;
use super::lines::{FromReader, send};
use super::picture::Picture;
use crate::args::DemoReaderArgs;
use crate::exit::finish;
use crate::signals::SLICE;

pub(crate) fn run(args: &DemoReaderArgs) -> ExitCode {
    finish(receive(args))
}

fn receive(args: &DemoReaderArgs) -> anyhow::Result<ExitCode> {
    let lifeline = Lifeline::of_stdin()?;
    let mut picture = Picture::new(args.size);
    let options = Reader::options().dir(args.place.dir()).wait_for_buffer(Duration::from_secs(10));
    let mut reader = options.join(&args.name)?;
    while !lifeline.is_cut() {
        let backlog_bytes = reader.backlog_bytes();
        match reader.read_timeout(SLICE) {
            Ok(Some(frame)) => {
                let age_ns =
                    frame.age().map(|age| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX));
                let sequence = frame.sequence();
                let right = picture.matches(sequence.wrapping_sub(1), &frame);
                let redelivered = frame.is_redelivered();
                // Told before the frame is released: killed in between, it is delivered again, never lost.
                send(&FromReader::Frame { sequence, right, redelivered, age_ns, backlog_bytes })?;
            }
            Ok(None) => {
                send(&FromReader::Ended)?;
                return Ok(ExitCode::SUCCESS);
            }
            Err(error) if error.is_timeout() => {}
            Err(error) if error.is_peer_gone() => send(&FromReader::WriterGone)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ExitCode::SUCCESS)
}
