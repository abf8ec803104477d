//! Readers of every kind: they hold some frames, look at them again before they release them, and tell of each.

use std::time::Duration;

use zerobuffer::{OpenError, OwnedFrame, ReadError, Reader};

use super::{BUFFER, EndArgs, PASSED_ON, config, open};
use crate::cast::{GROUP, Part};
use crate::frames::check;
use crate::notes::{Note, What};

/// Frames held at once, at most.
const HELD: usize = 3;
/// Frames that one reader always keeps while it waits for the next: with that and the largest one twice the ring is as good as
/// full, and the writer must find room all the same.
const KEPT: usize = 3;

pub(super) fn play(args: &EndArgs) -> anyhow::Result<()> {
    let mut chance = fastrand::Rng::with_seed(args.incarnation);
    let mut reader = attend(args)?;
    let mut held: Vec<OwnedFrame> = Vec::new();
    let mut frames = 0;
    while args.frames.is_none_or(|all| frames < all) {
        // Held frames may be all that the ring has room for, so nobody waits with any but the newest.
        let keeps = args.part == Part::B;
        let next = if held.is_empty() || keeps { reader.read() } else { reader.try_read() };
        let frame = match next {
            Ok(Some(frame)) => frame,
            Err(error) if error.is_timeout() => {
                let_go(args.part, &mut held)?;
                continue;
            }
            Ok(None) if args.to_the_end => break,
            Ok(None) | Err(ReadError::WriterGone { .. }) => continue,
            Err(ReadError::PayloadLost { sequence, .. }) => {
                Note::of(What::PayloadLost, sequence).tell()?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let sequence = frame.sequence();
        received(args.part, sequence, frame.is_redelivered(), &frame).tell()?;
        frames += 1;
        if keeps {
            held.push(frame.into_owned());
            if held.len() > KEPT {
                let oldest = held.remove(0);
                let sequence = oldest.sequence();
                let is_whole = is_expected(args.part, sequence, &oldest);
                drop(oldest);
                released(args.part, sequence, is_whole)?;
                Note::of(What::Released, sequence).tell()?;
            }
            continue;
        }
        if chance.u8(..4) == 0 {
            held.push(frame.into_owned());
        } else {
            let is_whole = is_expected(args.part, sequence, &frame);
            drop(frame);
            released(args.part, sequence, is_whole)?;
        }
        if held.len() > HELD || (!held.is_empty() && chance.u8(..4) == 0) {
            chance.shuffle(&mut held);
            let_go(args.part, &mut held)?;
        }
        if held.is_empty() && !args.part.is_member() {
            Note::of(What::Released, sequence).tell()?;
        }
    }
    drop(held);
    if args.to_the_end {
        reader.unsubscribe();
    }
    Ok(())
}

/// Releases what is held, after a last look at it.
fn let_go(part: Part, held: &mut Vec<OwnedFrame>) -> anyhow::Result<()> {
    for frame in held.drain(..) {
        let sequence = frame.sequence();
        let is_whole = is_expected(part, sequence, &frame);
        drop(frame);
        released(part, sequence, is_whole)?;
    }
    Ok(())
}

fn attend(args: &EndArgs) -> anyhow::Result<Reader> {
    let options = Reader::options().dir(&args.dir);
    let config = config(args.cast);
    let (buffer, options) = match args.part {
        Part::Observer => {
            // It needs a buffer, which whoever is killed at its creation may take a while to leave.
            let options = options.observe().wait_for_buffer(Duration::from_secs(5));
            return open(|| options.join(BUFFER));
        }
        Part::Ephemeral => (BUFFER, options.ephemeral()),
        Part::Lossy => (BUFFER, options.lossy()),
        Part::DownstreamEphemeral => (PASSED_ON, options.ephemeral()),
        Part::Downstream => (PASSED_ON, options.name(args.part.name())),
        part if part.is_member() => (BUFFER, options.group(GROUP)),
        part => (BUFFER, options.name(part.name())),
    };
    open(|| -> Result<Reader, OpenError> { options.create(buffer, &config) })
}

/// What is told of a frame that has come.
fn received(part: Part, sequence: u64, again: bool, frame: &[u8]) -> Note {
    let what = if again { What::Redelivered } else { What::Received };
    match check(frame) {
        Some((origin, incarnation)) if is_passed_on(part) || origin == sequence => {
            Note::of(what, sequence).written_as(origin).by(incarnation)
        }
        _ => Note::of(What::Torn, sequence),
    }
}

fn is_expected(part: Part, sequence: u64, frame: &[u8]) -> bool {
    check(frame).is_some_and(|(origin, _)| is_passed_on(part) || origin == sequence)
}

/// Whether a part reads what a relay has numbered anew.
fn is_passed_on(part: Part) -> bool {
    matches!(part, Part::Downstream | Part::DownstreamEphemeral)
}

/// Tells of a frame that was released, and whether it was whole until then.
fn released(part: Part, sequence: u64, is_whole: bool) -> anyhow::Result<()> {
    if !is_whole {
        Note::of(What::Torn, sequence).tell()?;
    }
    if part.is_member() {
        Note::of(What::Finished, sequence).tell()?;
    }
    Ok(())
}
