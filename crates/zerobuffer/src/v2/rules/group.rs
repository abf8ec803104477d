//! Work groups: several readers share one cursor, and each frame has one holder at a time.
//!
//! A group is an *anchor*, a slot of the registry whose cursor holds the Writer back like any reader's, and a
//! table with one *entry* a frame, in turn. The entry names the frame, its holder, and whether it is held or done:
//!
//! ```text
//! claim     entry of frame s: anything older and done  -> held(s, me)     one CAS: frame and holder at once
//! release   held(s, me) -> done(s)                                       then advance
//! advance   while the frame at the anchor's cursor is done: CAS cursor -> its end
//! reclaim   held(s, a dead one) -> held(s, me)                           redelivered
//! ```
//!
//! Every member walks over the committed words by itself, from the anchor's cursor or from further on.
//!
//! # Invariants
//! * The anchor's cursor passes a frame only when its entry says done, and only grows. So a frame that is not done
//!   cannot be overwritten, and a claim that succeeded was made of a word that was still there.
//! * An entry is taken for frame s only when the frame that had it before was passed (the *window*).
//! * Waiting members are served in the order of their tickets, by courtesy: nobody waits for one who does not come.

use super::memory::Memory;
use super::ring::{self, Damage, Found};
use super::table::{Entry, Standing};
use super::wake::{self, Announced};
use crate::fault::{self, Fault};
use crate::sync::{Ordering, fence};
use crate::v2::protocol::layout::Slot;
use crate::v2::protocol::position::Position;

#[cfg(not(loom))]
pub(crate) use super::table::held_frames;
pub(crate) use super::table::{Owner, Table};

/// Attempts to look at a frame before the others have passed it.
const LOOKS: u32 = 1000;

/// A member's place: enough to release what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Membership {
    /// Slot whose cursor holds the Writer back for the group.
    pub(crate) anchor: u32,
    /// Number of the group's table.
    pub(crate) table: u32,
    /// The member's own slot, and the generation of its owner.
    pub(crate) slot: u32,
    pub(crate) generation: u64,
}

impl Membership {
    fn bit(&self) -> u64 {
        1 << self.slot
    }

    fn anchor<'a>(&self, memory: &'a impl Memory) -> &'a Slot {
        &memory.slots()[self.anchor as usize]
    }

    fn table<'a>(&self, memory: &'a impl Memory) -> Table<'a> {
        memory.group(self.table)
    }

    fn cursor(&self, memory: &impl Memory) -> Position {
        // Acquire: with the cursor comes what those saw who moved it there.
        Position(self.anchor(memory).cursor.load(Ordering::Acquire))
    }

    /// Releases frame `number`, and passes what is done; the cursor, if it moved.
    pub(crate) fn release(&self, memory: &impl Memory, number: u64) -> Option<Position> {
        if !self.finish(memory, number) {
            return None;
        }
        // Each releaser stores its own entry, then loads the cursor and its neighbours' entries. Excluded: two frames
        // are done, and each of those who did them sees the other as held. Who sees an old cursor, where the frame
        // is done, fails to move it from there and looks again.
        fence(Ordering::SeqCst);
        self.advance(memory)
    }

    /// Marks a frame that this member holds as done; false if it does not hold it.
    pub(crate) fn finish(&self, memory: &impl Memory, number: u64) -> bool {
        let (held, done) =
            (Entry::held(number, self.slot, self.generation).0, Entry::done(number).0);
        let entry = self.table(memory).entry(number);
        fault::point(Fault::GroupReleaseBegun);
        // GROUP-DONE (Release): the frame's bytes were read before.
        let marked = entry.compare_exchange(held, done, Ordering::AcqRel, Ordering::Relaxed);
        fault::point(Fault::GroupReleased);
        marked.is_ok()
    }

    /// Passes frames that are done; the cursor, if it moved. Who did them may have died before it came to that.
    pub(crate) fn advance(&self, memory: &impl Memory) -> Option<Position> {
        let (anchor, table) = (self.anchor(memory), self.table(memory));
        let mut moved = None;
        for _ in 0..=table.window() {
            let cursor = self.cursor(memory);
            // If the cursor is passed meanwhile this may be anything; then it fails to be moved from there.
            let Some(number) = ring::number_in_sight(memory, cursor) else { break };
            let Ok(Some(found)) = ring::find_frame(memory, cursor, number) else { break };
            // GROUP-DONE (Acquire).
            let entry = Entry(table.entry(number).load(Ordering::Acquire));
            if entry.standing(number) != Standing::Done {
                break;
            }
            // Release: for the Writer, who may overwrite what all its readers have read.
            let passed = anchor.cursor.compare_exchange(
                cursor.0,
                found.end.0,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if passed.is_ok() {
                fault::point(Fault::GroupPassed);
                anchor.read_sequence.store(number, Ordering::Release);
                anchor.read_position.store(found.end.0, Ordering::Relaxed);
                moved = Some(found.end);
            }
        }
        moved
    }

    /// Whether the entry of frame `number` is not needed any more for an earlier one.
    fn is_in_window(&self, memory: &impl Memory, number: u64) -> bool {
        let (anchor, window) = (self.anchor(memory), self.table(memory).window());
        let fits = |passed: u64| number.wrapping_sub(passed) <= window;
        // What was noted may lag, never lead.
        if fits(anchor.read_sequence.load(Ordering::Acquire)) {
            return true;
        }
        let cursor = self.cursor(memory);
        // A frame is there: the one to be claimed, or one before it.
        let Some(next) = ring::number_in_sight(memory, cursor) else { return false };
        let passed = next.wrapping_sub(1);
        if self.cursor(memory) != cursor {
            return false;
        }
        anchor.read_sequence.store(passed, Ordering::Release);
        fits(passed)
    }
}

/// A member's way along the frames.
#[derive(Debug)]
pub(crate) struct Claimant {
    member: Membership,
    /// Next to look at. Before it everything was passed, is done, or was somebody's when it was looked at.
    position: Position,
    number: u64,
}

impl Claimant {
    pub(crate) fn new(member: Membership, memory: &impl Memory) -> Self {
        let mut claimant = Self { member, position: Position(0), number: 0 };
        claimant.catch_up(memory);
        claimant
    }

    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Goes on where the group has come to.
    fn catch_up(&mut self, memory: &impl Memory) {
        self.position = self.member.cursor(memory);
        self.number = ring::number_of(memory, self.position);
    }

    /// Claims the next frame that nobody has.
    pub(crate) fn claim(&mut self, memory: &impl Memory) -> Result<Option<Found>, Damage> {
        let table = self.member.table(memory);
        // Each turn passes a frame, or somebody else made progress.
        for _ in 0..2 * table.window() {
            let Some(found) = self.look(memory)? else { return Ok(None) };
            let entry = table.entry(found.sequence);
            let seen = Entry(entry.load(Ordering::Acquire));
            match seen.standing(found.sequence) {
                Standing::Held | Standing::Done => {
                    self.position = found.end;
                    self.number = found.sequence.wrapping_add(1);
                }
                Standing::Free if self.member.is_in_window(memory, found.sequence) => {
                    let held =
                        Entry::held(found.sequence, self.member.slot, self.member.generation).0;
                    fault::point(Fault::GroupClaiming);
                    let claimed =
                        entry.compare_exchange(seen.0, held, Ordering::AcqRel, Ordering::Relaxed);
                    if claimed.is_ok() {
                        fault::point(Fault::GroupClaimed);
                        self.position = found.end;
                        self.number = found.sequence.wrapping_add(1);
                        return Ok(Some(found));
                    }
                }
                // Too many frames behind one that is held.
                Standing::Free | Standing::Occupied => return Ok(None),
                // Then the cursor is ahead, which the next look will notice.
                Standing::Passed => {}
            }
        }
        Ok(None)
    }

    /// Whether a frame is there that [`claim`](Self::claim) would get.
    pub(crate) fn could_claim(&mut self, memory: &impl Memory) -> Result<bool, Damage> {
        let table = self.member.table(memory);
        for _ in 0..2 * table.window() {
            let Some(found) = self.look(memory)? else { return Ok(false) };
            let entry = Entry(table.entry(found.sequence).load(Ordering::Acquire));
            match entry.standing(found.sequence) {
                Standing::Held | Standing::Done => {
                    self.position = found.end;
                    self.number = found.sequence.wrapping_add(1);
                }
                Standing::Free => return Ok(self.member.is_in_window(memory, found.sequence)),
                Standing::Occupied => return Ok(false),
                Standing::Passed => {}
            }
        }
        Ok(false)
    }

    /// The frame at this member's position, which is not behind the group's.
    fn look(&mut self, memory: &impl Memory) -> Result<Option<Found>, Damage> {
        for _ in 0..LOOKS {
            let seen = ring::find_frame(memory, self.position, self.number);
            // The Writer changes words only after it saw the cursor behind them, and a fence. The words were loaded
            // with Acquire. Excluded: a changed one was, and the cursor of before is loaded now.
            let cursor = self.member.cursor(memory);
            if cursor.is_at_or_before(self.position) {
                return seen;
            }
            self.catch_up(memory);
        }
        // The others pass frames faster than we can look: not now.
        Ok(None)
    }

    /// Whether the word of a committed frame is gone: where this member looks for the next one, or where the group's cursor
    /// stands, which could not be moved on then.
    pub(crate) fn is_wiped_out(&self, memory: &impl Memory) -> bool {
        let is_gone = |position| {
            // As in `look`: the words that are loaded while the cursor is not beyond are those that were committed.
            ring::is_wiped_out(memory, position)
                && self.member.cursor(memory).is_at_or_before(position)
        };
        is_gone(self.position) || is_gone(self.member.cursor(memory))
    }

    /// Takes over a frame whose holder does not live any more, if there is one.
    pub(crate) fn reclaim(
        &mut self,
        memory: &impl Memory,
        is_alive: impl Fn(Owner) -> bool,
    ) -> Result<Option<Found>, Damage> {
        let table = self.member.table(memory);
        let mut walker = Self { member: self.member, position: Position(0), number: 0 };
        walker.catch_up(memory);
        for _ in 0..2 * table.window() {
            let Some(found) = walker.look(memory)? else { break };
            let entry = table.entry(found.sequence);
            let seen = Entry(entry.load(Ordering::Acquire));
            if seen.standing(found.sequence) == Standing::Held && !is_alive(seen.owner()) {
                let held = Entry::held(found.sequence, self.member.slot, self.member.generation).0;
                let taken =
                    entry.compare_exchange(seen.0, held, Ordering::AcqRel, Ordering::Relaxed);
                if taken.is_ok() {
                    fault::point(Fault::GroupReclaimed);
                    table.header.redelivered.fetch_add(1, Ordering::Relaxed);
                    return Ok(Some(found.redelivered()));
                }
            }
            walker.position = found.end;
            walker.number = found.sequence.wrapping_add(1);
        }
        Ok(None)
    }
}

/// Waiting in turn.
///
/// A member that waits has a ticket and a bit in `waiting`. Only the one with the oldest ticket announces itself to
/// the Writer; whoever leaves the queue wakes the next, who then announces itself.
impl Membership {
    /// Whether this member may claim: nobody has waited longer.
    pub(crate) fn is_in_turn(&self, memory: &impl Memory) -> bool {
        let waiting = self.table(memory).header.waiting.load(Ordering::Acquire);
        waiting & !self.bit() == 0 || first_of(memory, waiting) == Some(self.slot)
    }

    /// Whether any other member waits.
    pub(crate) fn others_wait(&self, memory: &impl Memory) -> bool {
        self.table(memory).header.waiting.load(Ordering::Relaxed) & !self.bit() != 0
    }

    /// Whether this member has a ticket.
    pub(crate) fn is_queued(&self, memory: &impl Memory) -> bool {
        self.table(memory).header.waiting.load(Ordering::Relaxed) & self.bit() != 0
    }

    /// Takes a ticket, behind all others.
    pub(crate) fn queue_up(&self, memory: &impl Memory) {
        let header = self.table(memory).header;
        let ticket = header.tickets.fetch_add(1, Ordering::Relaxed);
        memory.slots()[self.slot as usize].ticket.store(ticket, Ordering::Relaxed);
        // Release: who sees the bit sees the ticket.
        header.waiting.fetch_or(self.bit(), Ordering::SeqCst);
        fault::point(Fault::GroupQueued);
    }

    /// Gives the ticket back, and lets the next one know.
    pub(crate) fn step_out(&self, memory: &impl Memory) {
        self.remove(memory, self.slot);
    }

    /// Takes the ticket away from the one who has waited longest, and does not come.
    pub(crate) fn pass_over_first(&self, memory: &impl Memory) {
        let waiting = self.table(memory).header.waiting.load(Ordering::Acquire);
        if let Some(first) = first_of(memory, waiting)
            && first != self.slot
        {
            self.remove(memory, first);
        }
    }

    /// Takes their tickets away from those who are dead.
    pub(crate) fn pass_over(&self, memory: &impl Memory, is_dead: impl Fn(u32) -> bool) {
        let mut waiting = self.table(memory).header.waiting.load(Ordering::Acquire) & !self.bit();
        while waiting != 0 {
            let slot = waiting.trailing_zeros();
            waiting &= waiting - 1;
            if is_dead(slot) {
                self.remove(memory, slot);
            }
        }
    }

    fn remove(&self, memory: &impl Memory, slot: u32) {
        let before = self.table(memory).header.waiting.fetch_and(!(1 << slot), Ordering::SeqCst);
        fault::point(Fault::GroupSteppedOut);
        // The bit was removed, then the next one's flag is loaded; the next one stores its flag, then loads the
        // bits (`announce`). Excluded: it sleeps behind one who is gone, and is not woken.
        fence(Ordering::SeqCst);
        let left = before & !(1 << slot) & !self.bit();
        if let Some(next) = first_of(memory, left) {
            wake::wake_reader(memory, next);
        }
    }

    /// Announces that this member is about to sleep. It must look again before it does.
    pub(crate) fn announce(&self, memory: &impl Memory) -> Announced {
        memory.slots()[self.slot as usize].wait_flag.store(1, Ordering::Relaxed);
        if !self.is_queued(memory) {
            self.queue_up(memory);
        }
        fence(Ordering::SeqCst);
        if self.is_in_turn(memory) {
            wake::announce_reader(memory, self.slot)
        } else {
            // Woken by whoever is before it.
            Announced::Safely
        }
    }

    /// Whether the announcement still stands.
    pub(crate) fn is_announced(&self, memory: &impl Memory) -> bool {
        let flag = &memory.slots()[self.slot as usize].wait_flag;
        flag.load(Ordering::Relaxed) == 1
            && self.is_queued(memory)
            && (!self.is_in_turn(memory) || wake::is_reader_announced(memory, self.slot))
    }
}

/// The slot with the oldest ticket among `waiting`.
fn first_of(memory: &impl Memory, mut waiting: u64) -> Option<u32> {
    let mut first: Option<(u32, u64)> = None;
    while waiting != 0 {
        let index = waiting.trailing_zeros();
        waiting &= waiting - 1;
        // Bits beyond the last slot can only be damage.
        let Some(slot) = memory.slots().get(index as usize) else { break };
        let ticket = slot.ticket.load(Ordering::Relaxed);
        if first.is_none_or(|(_, oldest)| ticket.wrapping_sub(oldest) > i64::MAX as u64) {
            first = Some((index, ticket));
        }
    }
    first.map(|(index, _)| index)
}
