//! The two ends that are killed: they do what programs do, and tell of each frame before they go on.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use zerobuffer::{BufferConfig, FullPolicy, OpenError, ReadError, Reader, WriteError, Writer};

#[derive(Debug, Args)]
pub(crate) struct EndArgs {
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Tells this process from its predecessors; also the seed of what it does.
    #[arg(long)]
    pub(crate) incarnation: u64,
    /// Name of a durable reader; none: an ephemeral one.
    #[arg(long)]
    pub(crate) reader: Option<String>,
    /// Frames to write or read before leaving; none: until killed.
    #[arg(long)]
    pub(crate) frames: Option<u64>,
    /// A reader: read until the writer has closed, then leave for good.
    #[arg(long)]
    pub(crate) to_the_end: bool,
}

/// Name of the buffer in its directory.
pub(crate) const BUFFER: &str = "tortured";
const RING: usize = 16 << 10;
/// Part of it that an elastic writer keeps to.
const WINDOW: u64 = 8 << 10;
/// Size of what is told of a frame.
pub(crate) const NOTE_BYTES: usize = 24;

/// What an end tells: sequence, incarnation of the writer, and what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) sequence: u64,
    pub(crate) incarnation: u64,
    pub(crate) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum What {
    Committed = 1,
    Received = 2,
    Redelivered = 3,
    /// Received, and not what was written.
    Torn = 4,
    /// Everything up to this frame was released.
    Released = 5,
}

impl Note {
    pub(crate) fn from_bytes(bytes: &[u8; NOTE_BYTES]) -> Option<Self> {
        let (words, _) = bytes.as_chunks::<8>();
        let word = |index: usize| u64::from_le_bytes(words[index]);
        let what = match word(2) {
            1 => What::Committed,
            2 => What::Received,
            3 => What::Redelivered,
            4 => What::Torn,
            5 => What::Released,
            _ => return None,
        };
        Some(Self { sequence: word(0), incarnation: word(1), what })
    }

    /// One write, so that it is told as a whole or not at all.
    fn tell(self) -> anyhow::Result<()> {
        let words = [self.sequence, self.incarnation, self.what as u64];
        let bytes = words.map(u64::to_le_bytes);
        let mut out = std::io::stdout();
        out.write_all(bytes.as_flattened()).context("nobody listens")?;
        out.flush().context("nobody listens")
    }
}

/// Length of a frame: mostly small, sometimes large enough to be aligned to a cache line.
fn len(sequence: u64) -> usize {
    let mixed = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    16 + if mixed.is_multiple_of(16) { mixed % 3000 } else { mixed % 200 } as usize
}

fn fill(frame: &mut [u8], sequence: u64, incarnation: u64) {
    frame.fill((sequence ^ incarnation) as u8);
    frame[..8].copy_from_slice(&sequence.to_le_bytes());
    frame[8..16].copy_from_slice(&incarnation.to_le_bytes());
}

/// The incarnation that wrote a frame; `None` if it is not as it was written.
fn check(frame: &[u8], sequence: u64) -> Option<u64> {
    let (head, _) = frame.as_chunks::<8>();
    let incarnation = u64::from_le_bytes(*head.get(1)?);
    let mut expected = vec![0; len(sequence)];
    fill(&mut expected, sequence, incarnation);
    (frame == expected).then_some(incarnation)
}

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(RING).metadata_bytes(64).reader_slots(4)
}

/// Tries again while others come and go.
fn open<T>(attempt: impl Fn() -> Result<T, OpenError>) -> anyhow::Result<T> {
    let mut attempts = 0;
    loop {
        match attempt() {
            Ok(open) => return Ok(open),
            // The kernel may still be about to release our dead predecessor.
            Err(OpenError::WriterConnected { .. } | OpenError::ReaderConnected { .. })
                if attempts < 2000 =>
            {
                attempts += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes frames: copied, in place, in batches.
pub(crate) fn write(args: &EndArgs) -> anyhow::Result<()> {
    lifeline();
    let mut chance = fastrand::Rng::with_seed(args.incarnation);
    let options = Writer::options()
        .dir(&args.dir)
        .elastic_window(if chance.bool() { Some(WINDOW) } else { None })
        .full_policy(FullPolicy::Block { timeout: None });
    let mut writer = open(|| options.create(BUFFER, &config()))?;
    if chance.u8(..) < 64 {
        // The version before the current one may be held by a reader: then this one is not replaced.
        let _ = writer.replace_metadata(&args.incarnation.to_le_bytes());
    }
    let me = args.incarnation;
    let committed = |sequence| Note { sequence, incarnation: me, what: What::Committed }.tell();
    let mut written = 0;
    let mut bytes = Vec::new();
    while args.frames.is_none_or(|frames| written < frames) {
        let sequence = writer.next_sequence();
        bytes.resize(len(sequence), 0);
        fill(&mut bytes, sequence, me);
        match chance.u8(..8) {
            0 => {
                let mut batch = writer.batch();
                let mut next = sequence;
                for _ in 0..chance.u64(1..4) {
                    bytes.resize(len(next), 0);
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

/// Reads frames, holds some, and tells of each.
pub(crate) fn read(args: &EndArgs) -> anyhow::Result<()> {
    lifeline();
    let mut chance = fastrand::Rng::with_seed(args.incarnation);
    let options = Reader::options().dir(&args.dir);
    let options = match &args.reader {
        Some(name) => options.name(name),
        None => options.ephemeral(),
    };
    let mut reader = open(|| options.create(BUFFER, &config()))?;
    let mut held = Vec::new();
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
        let note = match check(&frame, sequence) {
            Some(incarnation) => Note { sequence, incarnation, what },
            None => Note { sequence, incarnation: 0, what: What::Torn },
        };
        note.tell()?;
        frames += 1;
        if chance.u8(..4) == 0 {
            held.push(frame.into_owned());
        } else {
            drop(frame);
        }
        if held.len() > 3 || (!held.is_empty() && chance.u8(..4) == 0) {
            chance.shuffle(&mut held);
            held.clear();
        }
        if held.is_empty() {
            Note { sequence, incarnation: 0, what: What::Released }.tell()?;
        }
    }
    drop(held);
    if args.to_the_end {
        reader.unsubscribe();
    }
    Ok(())
}

/// Reads what an end tells until it ends.
pub(crate) fn notes(mut pipe: impl std::io::Read) -> impl Iterator<Item = Note> {
    let mut bytes = [0; NOTE_BYTES];
    std::iter::from_fn(move || {
        pipe.read_exact(&mut bytes).ok()?;
        Note::from_bytes(&bytes)
    })
}

/// Ends this process when its parent does, so that nothing outlives a torture that was interrupted.
fn lifeline() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
}
