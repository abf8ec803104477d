//! The writer: frames copied, in place, in batches.

use zerobuffer::{FullPolicy, WriteError, Writer};

use super::{BUFFER, EndArgs, config, open};
use crate::frames::fill;
use crate::notes::{Note, What};

/// Part of the ring that an elastic writer keeps to.
const WINDOW: u64 = 8 << 10;

pub(super) fn play(args: &EndArgs) -> anyhow::Result<()> {
    let mut chance = fastrand::Rng::with_seed(args.incarnation);
    let options = Writer::options()
        .dir(&args.dir)
        .elastic_window(if chance.bool() { Some(WINDOW) } else { None })
        .full_policy(FullPolicy::Block { timeout: None });
    let mut writer = open(|| options.create(BUFFER, &config(args.cast)))?;
    if chance.u8(..) < 64 {
        // The version before the current one may be held by a reader: then this one is not replaced.
        let _ = writer.replace_metadata(&args.incarnation.to_le_bytes());
    }
    let me = args.incarnation;
    let committed = |sequence| Note::of(What::Committed, sequence).by(me).tell();
    let mut written = 0;
    let mut bytes = Vec::new();
    while args.frames.is_none_or(|frames| written < frames) {
        let sequence = writer.next_sequence();
        fill(&mut bytes, sequence, me);
        match chance.u8(..8) {
            0 => {
                let mut batch = writer.batch();
                let mut next = sequence;
                for _ in 0..chance.u64(1..4) {
                    fill(&mut bytes, next, me);
                    match batch.push(&bytes) {
                        Ok(_) => next += 1,
                        Err(WriteError::ReaderGone { .. }) => break,
                        Err(error) => return Err(error.into()),
                    }
                }
                batch.commit();
                for sequence in sequence..next {
                    committed(sequence)?;
                }
                written += next - sequence;
                continue;
            }
            1 | 2 => match writer.loan(bytes.len()) {
                Ok(mut frame) => {
                    frame.copy_from_slice(&bytes);
                    frame.commit();
                }
                Err(WriteError::ReaderGone { .. }) => continue,
                Err(error) => return Err(error.into()),
            },
            _ => match writer.write(&bytes) {
                Ok(_) => {}
                // Told once; its successor is waited for.
                Err(WriteError::ReaderGone { .. }) => continue,
                Err(error) => return Err(error.into()),
            },
        }
        committed(sequence)?;
        written += 1;
    }
    Ok(())
}
