//! Metadata: two copies in turn, each version announced by its generation. `docs/protocol/2.0.md`, section 8.

use crate::sync::{Ordering, fence};
use crate::v2::ground::segment::Segment;
use crate::v2::protocol::layout::{METADATA_HEAD, slot_state};
use crate::v2::rules::memory::ReadMemory;

/// Metadata that a reader looks at: where it lies, and which version it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) generation: u64,
    /// Offset of its bytes in the segment.
    pub(crate) offset: u64,
    pub(crate) len: usize,
}

pub(crate) fn generation(segment: &Segment) -> u64 {
    segment.writer().metadata_generation.load(Ordering::Acquire)
}

pub(crate) fn is_set(segment: &Segment) -> bool {
    generation(segment) != 0
}

/// Whether the current version is `bytes`. For the Writer, who alone changes it.
pub(crate) fn equals(segment: &Segment, bytes: &[u8]) -> bool {
    let Ok(version) = locate(segment, generation(segment)) else {
        return false;
    };
    let mut current = vec![0; version.len];
    segment.copy_metadata_out(version.offset, &mut current);
    current == bytes
}

/// The reader that still looks at the copy which the next version would overwrite.
pub(crate) fn holder_of_next(segment: &Segment) -> Option<u32> {
    let next = generation(segment).wrapping_add(1);
    // Ours: the current generation was published, then the holds are loaded. A reader's: it stores its hold,
    // then loads the generation again (`hold`). Excluded: it keeps an old version and we do not see it.
    fence(Ordering::SeqCst);
    (0..).zip(segment.slots()).find_map(|(index, slot)| {
        let held = slot.metadata_held[(next & 1) as usize].load(Ordering::Acquire);
        let active = slot.state.load(Ordering::Acquire) == slot_state::ACTIVE;
        (active && held != 0 && held != next).then_some(index)
    })
}

/// Publishes the next version; its size was checked, and nobody looks at the copy it overwrites.
pub(crate) fn publish(segment: &Segment, bytes: &[u8]) {
    let next = generation(segment).wrapping_add(1);
    let copy = segment.layout().metadata_copy(next);
    segment.copy_metadata_in(copy.offset() + METADATA_HEAD, bytes);
    let header = segment.metadata_header(copy);
    header.length.store(bytes.len() as u64, Ordering::Relaxed);
    header.generation.store(next, Ordering::Relaxed);
    segment.writer().metadata_generation.store(next, Ordering::Release);
}

/// Holds the current version for the reader of `slot`; it stays until [`let_go`]. `Ok(None)`: none is set.
///
/// `is_held` says whether a generation is held already by this reader, and so must not be let go here.
pub(crate) fn hold(
    segment: &Segment,
    slot: u32,
    is_held: impl Fn(u64) -> bool,
) -> Result<Option<Version>, &'static str> {
    let held = &segment.slots()[slot as usize].metadata_held;
    // Each turn means that the Writer replaced the version meanwhile.
    for _ in 0..1000 {
        let current = generation(segment);
        if current == 0 {
            return Ok(None);
        }
        held[(current & 1) as usize].store(current, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if generation(segment) == current {
            return locate(segment, current).map(Some);
        }
        if !is_held(current) {
            held[(current & 1) as usize].store(0, Ordering::Release);
        }
    }
    Err("its generation does not stand still")
}

/// Copies the current version, for one who cannot ask the Writer to leave it as it is; with its generation.
pub(crate) fn copy(segment: &Segment) -> Result<Option<(u64, Vec<u8>)>, &'static str> {
    // Each turn means that the Writer replaced the version meanwhile.
    for _ in 0..1000 {
        let current = generation(segment);
        if current == 0 {
            return Ok(None);
        }
        let located = locate(segment, current);
        let bytes = located.map(|version| {
            let mut bytes = vec![0; version.len];
            segment.copy_metadata_out(version.offset, &mut bytes);
            bytes
        });
        // The Writer fences between publishing a version and overwriting the one before it (`holder_of_next`).
        // Excluded: bytes of the version after the next were copied, and this generation is still the newest.
        fence(Ordering::Acquire);
        if generation(segment) == current {
            return bytes.map(|bytes| Some((current, bytes)));
        }
    }
    Err("its generation does not stand still")
}

/// Ends a hold.
pub(crate) fn let_go(segment: &Segment, slot: u32, generation: u64) {
    let held = &segment.slots()[slot as usize].metadata_held[(generation & 1) as usize];
    held.store(0, Ordering::Release);
}

fn locate(segment: &Segment, generation: u64) -> Result<Version, &'static str> {
    let layout = segment.layout();
    if layout.metadata_bytes == 0 {
        return Err("a version is announced where there is no room for one");
    }
    let copy = layout.metadata_copy(generation);
    let len = segment.metadata_header(copy).length.load(Ordering::Relaxed);
    if len > layout.metadata_bytes {
        return Err("its length is larger than its block");
    }
    Ok(Version { generation, offset: copy.offset() + METADATA_HEAD, len: len as usize })
}
