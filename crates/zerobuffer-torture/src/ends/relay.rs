//! A relay that passes every frame on by reference.

use zerobuffer::{Forwarded, Frame, FullPolicy, ReadError, Reader, WriteError, Writer};

use super::{BUFFER, EndArgs, PASSED_ON, config, open};
use crate::frames::check;
use crate::notes::{Note, What};

pub(super) fn play(args: &EndArgs) -> anyhow::Result<()> {
    let config = config(args.cast);
    let from = Reader::options().dir(&args.dir).name(args.part.name());
    let to = Writer::options().dir(&args.dir).full_policy(FullPolicy::Block { timeout: None });
    let mut reader = open(|| from.create(BUFFER, &config))?;
    let mut writer = open(|| to.create(PASSED_ON, &config))?;
    let mut frames = 0;
    while args.frames.is_none_or(|all| frames < all) {
        let frame = match reader.read() {
            Ok(Some(frame)) => frame,
            Ok(None) if args.to_the_end => break,
            Ok(None) | Err(ReadError::WriterGone { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let sequence = frame.sequence();
        let what = if frame.is_redelivered() { What::Redelivered } else { What::Received };
        match check(&frame) {
            Some((origin, incarnation)) if origin == sequence => {
                Note::of(what, sequence).by(incarnation).tell()?;
            }
            _ => Note::of(What::Torn, sequence).tell()?,
        }
        let forwarded = forward(&mut writer, &frame)?;
        drop(frame);
        let how = if forwarded.copied.is_none() { What::Shared } else { What::Copied };
        Note::of(how, sequence).tell()?;
        Note::of(What::Released, sequence).tell()?;
        frames += 1;
    }
    if args.to_the_end {
        reader.unsubscribe();
    }
    Ok(())
}

fn forward(writer: &mut Writer, frame: &Frame<'_>) -> anyhow::Result<Forwarded> {
    loop {
        match writer.forward(frame) {
            // Told once; its successor is waited for.
            Err(WriteError::ReaderGone { .. }) => {}
            other => return Ok(other?),
        }
    }
}
