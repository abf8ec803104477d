//! Where a reference leads: another buffer's segment, in which the one that refers has its export.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use super::liveness;
use super::roles;
use crate::sync::Ordering;
use crate::v2::ground::segment::{Access, Segment};
use crate::v2::protocol::layout::Slot;
use crate::v2::protocol::position::Position;
use crate::v2::rules::memory::ReadMemory;
use crate::v2::rules::ring::{self, Found};
use crate::v2::rules::sharing;
use crate::v2::rules::wake::{self, Barrier};
use crate::values::error::OpenError;
use crate::values::name::Location;

/// Bytes of a reference before the origin's name.
const FIXED_BYTES: usize = 64;
/// Longest reference: names have at most 200 bytes.
pub(crate) const MAX_REFERENCE: usize = FIXED_BYTES + 200;

/// What stands in a target's ring for a frame of the origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) segment_id: u64,
    /// Generation of the export, and its slot in the origin's registry.
    pub(crate) generation: u64,
    pub(crate) slot: u32,
    /// Where the frame lies in the origin: its header, its payload, the next frame.
    pub(crate) header: Position,
    pub(crate) start: Position,
    pub(crate) end: Position,
    pub(crate) len: u64,
    /// Name of the origin, which is in the same directory.
    pub(crate) name: String,
}

impl Reference {
    /// How many bytes of the target's ring it takes.
    pub(crate) fn bytes(&self) -> usize {
        FIXED_BYTES + self.name.len()
    }

    /// Writes it into space of that size.
    pub(crate) fn write_to(&self, space: &mut [u8]) {
        let words = [
            self.segment_id,
            self.generation,
            self.header.0,
            self.start.0,
            self.end.0,
            self.len,
            u64::from(self.slot),
            self.name.len() as u64,
        ];
        let (fixed, name) = space.split_at_mut(FIXED_BYTES);
        for (place, word) in fixed.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        name.copy_from_slice(self.name.as_bytes());
    }

    /// Takes it apart, as far as that can be done without the origin.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (fixed, name) = bytes.split_at_checked(FIXED_BYTES)?;
        let mut words = [0; FIXED_BYTES / 8];
        for (word, bytes) in words.iter_mut().zip(fixed.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let [segment_id, generation, header, start, end, len, slot, name_bytes] = words;
        let name = name.get(..usize::try_from(name_bytes).ok()?)?;
        Some(Self {
            segment_id,
            generation,
            slot: u32::try_from(slot).ok()?,
            header: Position(header),
            start: Position(start),
            end: Position(end),
            len,
            name: std::str::from_utf8(name).ok()?.to_owned(),
        })
    }
}

/// An origin, with the target's export held: as long as anyone holds it, the origin's Writer respects it.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) segment: Segment,
    pub(crate) slot: u32,
    pub(crate) generation: u64,
}

/// Why a reference leads nowhere.
pub(crate) type WhyGone = &'static str;

impl Origin {
    /// Follows a reference found in `target`.
    pub(crate) fn follow(target: &Segment, reference: &Reference) -> Result<Self, WhyGone> {
        let place = Location::new(&reference.name, Some(target.dir()))
            .map_err(|_| "it names a buffer that cannot be")?;
        let target_id = target.layout().segment_id;
        let joined = Segment::join(&place, Access::Reader, |segment, fd| {
            roles::attach_origin(segment, fd, &place, reference.slot, target_id)
        });
        let (segment, generation) = joined.map_err(|error| match error {
            OpenError::NotFound { .. } => "the buffer that it lies in is gone",
            OpenError::Io { .. } => "the buffer that it lies in may not be opened by this user",
            _ => "the buffer that it lies in was replaced, or has taken it back",
        })?;
        Ok(Self { segment, slot: reference.slot, generation })
    }

    /// Whether a reference leads here.
    pub(crate) fn is_meant_by(&self, reference: &Reference) -> bool {
        self.segment.layout().segment_id == reference.segment_id
            && (self.slot, self.generation) == (reference.slot, reference.generation)
    }

    pub(crate) fn export(&self) -> &Slot {
        &self.segment.slots()[self.slot as usize]
    }

    /// Whether a reader of the target may use what a reference leads to.
    pub(crate) fn is_there(&self, reference: &Reference) -> bool {
        let frames = &self.segment.layout().frames;
        // The numbers come from another program; what they say must be a frame of this ring.
        reference.len <= frames.max_frame()
            && reference.len > 0
            && reference.start.since(reference.header) <= frames.header + 64
            && reference.start.plus(reference.len).round_up(8) == reference.end
            && self.segment.is_sound()
            && sharing::is_there(self.export(), reference.header)
    }

    /// Gives back everything before `end`, unless a reader of `target` needs something before `target_end`.
    /// Whether nobody does.
    fn give_back(&self, end: Position, target: &Segment, target_end: Position) -> bool {
        if !self.segment.is_sound() || !target.is_sound() {
            return true;
        }
        let is_needed = || sharing::is_needed_before(target, target_end);
        let given = sharing::give_back(self.export(), end, is_needed);
        if given == Some(true) {
            wake::wake_writer(&self.segment, Barrier::Fence, end);
        }
        given.is_some()
    }
}

/// What a reader has received by reference and not given back.
#[derive(Debug, Default)]
pub(crate) struct Borrowed(Mutex<Loans>);

#[derive(Debug, Default)]
struct Loans {
    /// Received, in order.
    open: VecDeque<Loan>,
    /// Released by this reader while another one still needed something before it; the newest of each origin.
    waiting: Vec<Loan>,
}

#[derive(Debug, Clone)]
struct Loan {
    /// Where the target's ring goes on behind the reference.
    target_end: Position,
    /// Where the origin's ring goes on behind the frame.
    end: Position,
    origin: Arc<Origin>,
}

impl Borrowed {
    fn lock(&self) -> MutexGuard<'_, Loans> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a reference that was followed, once.
    pub(crate) fn note(&self, target_end: Position, end: Position, origin: &Arc<Origin>) {
        let mut loans = self.lock();
        if loans.open.back().is_none_or(|last| last.target_end != target_end) {
            loans.open.push_back(Loan { target_end, end, origin: Arc::clone(origin) });
        }
    }

    /// Gives back what the reader of `slot` has released, if nobody else needs it.
    pub(crate) fn settle(&self, target: &Segment, slot: u32) {
        if !target.is_sound() {
            return;
        }
        let cursor = Position(target.slots()[slot as usize].cursor.load(Ordering::Acquire));
        let loans = &mut *self.lock();
        while loans.open.front().is_some_and(|loan| loan.target_end.is_at_or_before(cursor)) {
            let Some(loan) = loans.open.pop_front() else { break };
            loans.waiting.retain(|older| !Arc::ptr_eq(&older.origin, &loan.origin));
            loans.waiting.push(loan);
        }
        loans.waiting.retain(|loan| !loan.origin.give_back(loan.end, target, loan.target_end));
    }

    /// Whether something was released that cannot be given back yet.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// Whether an origin is not in use any more.
    pub(crate) fn is_free(&self, origin: &Arc<Origin>) -> bool {
        let loans = self.lock();
        let mut all = loans.open.iter().chain(&loans.waiting);
        !all.any(|loan| Arc::ptr_eq(&loan.origin, origin))
    }
}

/// The Writer's side: its buffer's export in an origin.
#[derive(Debug)]
pub(crate) struct Export {
    origin: Origin,
    /// The target, for looking at its readers.
    target: Segment,
    /// Held while a frame is protected and its reference not yet committed.
    passing: Mutex<()>,
}

impl Export {
    /// Makes the export of `target` in the buffer `origin`, or takes over the one that its last Writer had there.
    pub(crate) fn open(origin: &Segment, target: &Segment) -> Result<Self, OpenError> {
        let (place, target_place) = (origin.place(), target.place());
        let id = target.layout().segment_id;
        let expected = origin.layout().segment_id;
        let (segment, (slot, generation)) = Segment::join(place, Access::Reader, |segment, fd| {
            if segment.layout().segment_id != expected {
                return Err(OpenError::NotFound {
                    name: place.name.to_string(),
                    dir: place.dir.clone(),
                });
            }
            roles::attach_export(segment, fd, place, id, target.name())
        })?;
        let (own, ()) = Segment::join(target_place, Access::Reader, |_, _| Ok(()))?;
        let origin = Origin { segment, slot, generation };
        let export = Self { origin, target: own, passing: Mutex::default() };
        export.repair(target);
        Ok(export)
    }

    /// Makes `exported` what the references in the target say: a predecessor may have died before it had committed
    /// the last one.
    fn repair(&self, target: &Segment) {
        let export = self.origin.export();
        let mut position = Position(target.writer().floor.load(Ordering::Acquire));
        let mut number = ring::number_of(target, position);
        let mut newest = None;
        let head = Position(target.writer().head.load(Ordering::Acquire));
        while position != head
            && let Ok(Some(found)) = ring::find_frame(target, position, number)
        {
            if let Some(reference) = read(target, &found)
                && self.origin.is_meant_by(&reference)
            {
                newest = Some(reference.end);
            }
            (position, number) = (found.end, number.wrapping_add(1));
        }
        if position != head {
            // Damaged: behind it may lie references, so nothing that was passed on is given back.
            return;
        }
        match newest {
            Some(end) => export.exported.store(end.0, Ordering::Release),
            None => {
                let exported = export.exported.load(Ordering::Acquire);
                export.read_position.store(exported, Ordering::Release);
                export.cursor.store(exported, Ordering::Release);
            }
        }
    }

    pub(crate) fn is_in(&self, origin: &Segment) -> bool {
        self.origin.segment.layout().segment_id == origin.layout().segment_id
    }

    /// Protects a frame of the origin for the target's readers, and has `commit` make the reference to it visible.
    /// `None`: it is not behind those that were passed on before.
    pub(crate) fn pass_on<T>(
        &self,
        header: Position,
        end: Position,
        commit: impl FnOnce() -> T,
    ) -> Option<T> {
        let _passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        sharing::protect(self.origin.export(), header, end).then(commit)
    }

    pub(crate) fn reference(
        &self,
        header: Position,
        start: Position,
        end: Position,
        len: u64,
    ) -> Reference {
        Reference {
            segment_id: self.origin.segment.layout().segment_id,
            generation: self.origin.generation,
            slot: self.origin.slot,
            header,
            start,
            end,
            len,
            name: self.origin.segment.name().to_string(),
        }
    }

    /// Gives everything back if the target has no reader that needs something: one may have left or died.
    pub(crate) fn tidy(&self) {
        let _passing = match self.passing.try_lock() {
            Ok(passing) => passing,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if !self.origin.segment.is_sound() || !self.target.is_sound() {
            return;
        }
        liveness::reap_dead_readers(&self.target);
        let exported = Position(self.origin.export().exported.load(Ordering::Acquire));
        let head = Position(self.target.writer().head.load(Ordering::Acquire));
        self.origin.give_back(exported, &self.target, head);
    }
}

/// Exports that a reader's frames were passed on through, to be tidied while it waits.
#[derive(Debug, Default)]
pub(crate) struct Exports(Mutex<Vec<Weak<Export>>>);

impl Exports {
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Export>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, export: &Arc<Export>) {
        let mut exports = self.lock();
        exports.retain(|one| one.strong_count() > 0);
        if !exports.iter().any(|one| std::ptr::eq(one.as_ptr(), Arc::as_ptr(export))) {
            exports.push(Arc::downgrade(export));
        }
    }

    pub(crate) fn tidy(&self) {
        let exports: Vec<_> = self.lock().iter().filter_map(Weak::upgrade).collect();
        for export in exports {
            export.tidy();
        }
    }
}

/// The reference that stands in a frame, if it is one.
pub(crate) fn read(target: &Segment, found: &Found) -> Option<Reference> {
    if !found.is_reference() || found.len as usize > MAX_REFERENCE {
        return None;
    }
    let mut bytes = [0; MAX_REFERENCE];
    let bytes = &mut bytes[..found.len as usize];
    target.copy_out(found.start, bytes);
    Reference::parse(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_survives_the_round_trip_and_nothing_else_is_one() {
        let reference = Reference {
            segment_id: 1,
            generation: 2,
            slot: 3,
            header: Position(4096),
            start: Position(4160),
            end: Position(5160),
            len: 1000,
            name: "camera".into(),
        };
        let mut bytes = vec![0; reference.bytes()];
        reference.write_to(&mut bytes);
        assert_eq!(Reference::parse(&bytes), Some(reference));
        for len in 0..bytes.len() {
            assert_eq!(Reference::parse(&bytes[..len]), None);
        }
        bytes[63] = 0xff;
        assert_eq!(Reference::parse(&bytes), None);
    }
}
