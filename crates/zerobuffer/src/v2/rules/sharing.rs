//! Payload sharing: a frame of one ring, the *origin*, is passed on by reference in another one, the *target*.
//!
//! The target has a slot in the origin's registry, its *export*. Its cursor holds the origin's Writer back as long as
//! it differs from `exported`, the end of the newest frame that was passed on:
//!
//! ```text
//! relay    exported = end of p      (cursor = p before that, if nothing is out)
//!          commit the reference in the target;  release p as its reader
//! release  the slowest reader of the target: read_position = end of p (it is about to pass), look again whether
//!          nobody is slower, cursor = end of p
//! ```
//!
//! # Invariants
//! * Frames are passed on in the origin's order. So when the slowest reader of the target has released one, all
//!   before it are released too.
//! * `cursor`, `read_position` and `exported` only grow, but for a relay's successor that takes `exported` back over
//!   frames that its predecessor died on before it had committed their references.
//! * A reader that joined the target looks at `read_position` before it follows a reference.

use super::memory::Memory;
use crate::fault::{self, Fault};
use crate::sync::{AtomicU64, Ordering, fence};
use crate::v2::protocol::layout::{Slot, slot_kind, slot_state};
use crate::v2::protocol::position::Position;

/// Protects a frame of the origin from `header` to `end` for the target's readers. For the relay, which holds it as
/// the origin's reader; `false`: it is not behind what was passed on before.
pub(crate) fn protect(export: &Slot, header: Position, end: Position) -> bool {
    let exported = Position(export.exported.load(Ordering::Relaxed));
    if !exported.is_at_or_before(header) {
        return false;
    }
    let cursor = export.cursor.load(Ordering::Acquire);
    if cursor == exported.0 {
        // Nothing is out, so nobody else moves it; and the origin may have gone on far beyond.
        export.read_position.store(header.0, Ordering::Relaxed);
        export.cursor.store(header.0, Ordering::Release);
    }
    // Release, and before the relay's own release of the frame: a Writer that sees that one sees this.
    export.exported.store(end.0, Ordering::Release);
    fault::point(Fault::ShareProtected);
    true
}

/// Gives back what ends at `end`, and all before it, unless some reader of the target still needs it, as `is_needed`
/// tells. The caller has released it. `None`: it is needed; otherwise whether the origin's Writer has more room now.
pub(crate) fn give_back(
    export: &Slot,
    end: Position,
    is_needed: impl Fn() -> bool,
) -> Option<bool> {
    // Each reader stores its own cursor, then loads the others'. Excluded: two release at once, and each leaves it to
    // the other.
    fence(Ordering::SeqCst);
    if is_needed() {
        return None;
    }
    raise(&export.read_position, end);
    fault::point(Fault::ShareIntended);
    // The intention is stored, then the target's readers are loaded; a reader that joins stores its cursor there, then
    // loads the intention. Excluded: it follows a reference to what is given back.
    fence(Ordering::SeqCst);
    if is_needed() {
        return None;
    }
    let raised = raise(&export.cursor, end);
    fault::point(Fault::ShareGivenBack);
    Some(raised)
}

/// Whether a reader of the target, registered there, may follow a reference to the frame at `header`.
pub(crate) fn is_there(export: &Slot, header: Position) -> bool {
    // It fenced between registering and this, in `registry::activate`.
    let intended = Position(export.read_position.load(Ordering::Acquire));
    let exported = Position(export.exported.load(Ordering::Acquire));
    intended.is_at_or_before(header) && header.is_at_or_before(exported)
}

/// Whether a slot is the export of the target `segment_id`.
pub(crate) fn is_export(slot: &Slot, segment_id: u64) -> bool {
    slot.state.load(Ordering::Acquire) == slot_state::ACTIVE
        && slot.kind.load(Ordering::Acquire) == slot_kind::EXPORT
        && slot.group.load(Ordering::Relaxed) == segment_id
}

/// Whether some reader of the target has not released everything before `end`.
pub(crate) fn is_needed_before(target: &impl Memory, end: Position) -> bool {
    let mut marked = target.registry().active.load(Ordering::Acquire);
    while marked != 0 {
        let index = marked.trailing_zeros();
        marked &= marked - 1;
        let Some(slot) = target.slots().get(index as usize) else { break };
        if slot.state.load(Ordering::Acquire) != slot_state::ACTIVE
            || slot.kind.load(Ordering::Relaxed) == slot_kind::EXPORT
        {
            continue;
        }
        if !end.is_at_or_before(Position(slot.cursor.load(Ordering::Acquire))) {
            return true;
        }
    }
    false
}

/// Tries to raise a position.
const ATTEMPTS: u32 = 1000;

/// Raises a position that others may be raising too; whether it did.
fn raise(word: &AtomicU64, to: Position) -> bool {
    let mut seen = word.load(Ordering::Acquire);
    // It fails when another holder has just raised it, so a few times at most, unless it is changed for that purpose.
    for _ in 0..ATTEMPTS {
        if to.is_at_or_before(Position(seen)) {
            return false;
        }
        match word.compare_exchange(seen, to.0, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return true,
            Err(other) => seen = other,
        }
    }
    false
}
