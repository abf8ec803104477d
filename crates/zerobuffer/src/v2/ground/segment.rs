//! A mapped 2.0 segment: made, joined, left and removed. The only giver of pointers into shared memory.
//!
//! `docs/protocol/2.0.md` sections 4 and 5 are the specification.
//!
//! # Safety
//! The layout was built or parsed and checked before mapping, so every region lies within the mapping, which
//! lives as long as the [`Segment`]. The control regions are only ever accessed as atomics (any bit pattern is
//! a value). Payload bytes are accessed through raw pointers; see `Frame` for the promise behind lent slices.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};

use super::removal::{
    Retired, Whereabouts, is_from_before_reboot, remove_if_unused, retire_damaged,
    retire_patiently, revive,
};
use crate::fault::{self, Fault};
use crate::field::field;
use crate::sys::copy::{self};
use crate::sys::file::{self, Linked, Making, NewMode, Standing, Unnamed};
use crate::sys::fork::{self, ForkMark};
use crate::sys::guard::Lost;
use crate::sys::mapping::{Mapping, Region};
use crate::sys::time;
use crate::sys::{barrier, futex, lock, processor};
use crate::v2::ground::file as ground;
use crate::v2::ground::file::segment_state_of;
mod payload;

pub(crate) use crate::v2::ground::file::{io_error, open, read_layout};
use crate::v2::protocol::layout::{
    self, FrameGeometry, GroupHeader, LIFE_LOCK, Layout, Oieb, RegistryHeader, Slot, WriterArea,
    segment_state, slot_flags, slot_state,
};
use crate::v2::protocol::position::Position;
use crate::v2::rules::group::Table;
use crate::v2::rules::memory::{Memory, ReadMemory};
use crate::v2::rules::wake;
use crate::values::error::{OpenError, WriteError};
use crate::values::name::Location;

/// How long to go on when somebody else is creating, joining or removing at the same moment.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at the file by one who does not wait.
const LOOK_INTERVAL_NS: u64 = 100_000_000;
/// What an endpoint may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Writer,
    Reader,
    /// As a reader; and the payload, to change frames where they lie.
    ChangingReader,
    /// Nothing.
    Observer,
}

/// Who may open a new segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permissions {
    pub(crate) mode: u32,
    pub(crate) group: Option<u32>,
}

/// What became of making a segment.
enum Created<T> {
    /// `None`: somebody was faster.
    Done(Option<T>),
    /// The system gives no name to a file without one.
    NotWithoutName,
}

/// What the name stands for.
// Moved once for each end that joins.
#[allow(clippy::large_enum_variant)]
enum Found {
    Segment(Segment, OwnedFd),
    /// Something that is being removed or replaced at this moment: look again; why, if it stays so.
    Going(&'static str),
}

/// A mapped segment. Dropping it leaves: unmaps, and with that gives up the locks; whoever was the last removes
/// the file, unless frames wait in it for a durable reader.
#[derive(Debug)]
pub(crate) struct Segment {
    // Fields drop in this order: the locks end with the mapping, then `farewell` finds out who is left.
    mapping: Mapping,
    /// Where things lie in it.
    view: View,
    farewell: Farewell,
    layout: Layout,
    place: Location,
    /// The payload is mapped for writing.
    changes_payload: bool,
    /// Its file was found to have lost its name.
    is_nameless: AtomicBool,
    /// When to look at it next, in nanoseconds of the coarse clock.
    next_look_ns: AtomicU64,
}

/// Addresses in a mapping that every frame needs.
#[derive(Debug, Clone, Copy)]
struct View {
    writer: NonNull<WriterArea>,
    registry: NonNull<RegistryHeader>,
    slots: NonNull<[Slot]>,
    /// One of them: that of the reader whose mapping this is.
    own_slot: NonNull<Slot>,
    groups: NonNull<u8>,
    payload: NonNull<u8>,
    /// Takes a position to its offset in the payload, and to that of the word that it lies in.
    mask: u64,
    word_mask: u64,
}

// SAFETY: the addresses are those of the `Mapping` beside it, which is `Send`; it lives as long.
unsafe impl Send for View {}
// SAFETY: as above: what they lead to is only accessed as atomics or under the frame protocol.
unsafe impl Sync for View {}

impl View {
    fn new(mapping: &Mapping, layout: &Layout) -> Self {
        let slots = mapping.at(layout.slot(0).offset()).cast::<Slot>();
        Self {
            writer: mapping.at(Layout::OIEB.field(field!(Oieb.writer))).cast(),
            registry: mapping.at(layout.registry().offset()).cast(),
            slots: NonNull::slice_from_raw_parts(slots, layout.slot_count as usize),
            own_slot: slots,
            groups: mapping.at(layout.group(0).offset()),
            payload: mapping.at(layout.payload_offset),
            mask: layout.frames.capacity - 1,
            word_mask: (layout.frames.capacity - 1) & !7,
        }
    }
}

impl Segment {
    /// Makes the segment and gives it its name once `attach` has succeeded on it. `None`: somebody was faster.
    pub(crate) fn create<T>(
        place: &Location,
        layout: &Layout,
        permissions: Permissions,
        access: Access,
        attach: impl Fn(&Self, BorrowedFd<'_>) -> Result<T, OpenError>,
    ) -> Result<Option<(Self, T)>, OpenError> {
        ground::check_room(place, layout.segment_bytes)?;
        let _bar = fork::ForkBar::new();
        let provisional = ground::provisional_name(layout.segment_id);
        let making = Making {
            provisional: &provisional,
            life: Some(LIFE_LOCK),
            mode: NewMode::Exactly(permissions.mode),
            group: permissions.group,
        };
        let not_made = |problem| ground::not_made(place, problem);
        let unnamed = Unnamed::create(&place.dir, &making).map_err(not_made)?;
        match Self::create_in(place, layout, access, unnamed, &attach)? {
            Created::Done(created) => Ok(created),
            Created::NotWithoutName => {
                let named = Unnamed::provisional(&place.dir, &making).map_err(not_made)?;
                match Self::create_in(place, layout, access, named, &attach)? {
                    Created::Done(created) => Ok(created),
                    Created::NotWithoutName => unreachable!("it has a name"),
                }
            }
        }
    }

    fn create_in<T>(
        place: &Location,
        layout: &Layout,
        access: Access,
        mut unnamed: Unnamed,
        attach: impl Fn(&Self, BorrowedFd<'_>) -> Result<T, OpenError>,
    ) -> Result<Created<(Self, T)>, OpenError> {
        let io = |operation| io_error(place, operation);
        if unnamed.is_provisional() {
            ground::sweep(place);
        }
        file::allocate(unnamed.fd(), layout.segment_bytes)
            .map_err(|e| ground::allocation_error(place, layout, e))?;
        fault::point(Fault::CreateAllocated);
        file::write_at(unnamed.fd(), &layout.encode(), 0).map_err(io("write the OIEB"))?;
        fault::point(Fault::CreateWritten);
        // Whatever fails from here on, the segment is dropped before it has its name: nothing stays behind.
        let probe = unnamed.reopen(access != Access::Observer).map_err(io("reopen"))?;
        let segment = Self::map(place, layout, unnamed.fd(), probe, access)?;
        fault::point(Fault::CreateMapped);
        let attached = attach(&segment, unnamed.fd())?;
        fault::point(Fault::CreateAttached);
        let linked = unnamed.link(&place.path).map_err(io("give its name to"))?;
        fault::point(Fault::CreateLinked);
        Ok(match linked {
            Linked::Yes => Created::Done(Some((segment, attached))),
            Linked::Taken => Created::Done(None),
            Linked::NotWithoutName => Created::NotWithoutName,
        })
    }

    /// Joins the segment that has the name, and runs `attach` on it.
    pub(crate) fn join<T>(
        place: &Location,
        access: Access,
        attach: impl FnOnce(&Self, BorrowedFd<'_>) -> Result<T, OpenError>,
    ) -> Result<(Self, T), OpenError> {
        let deadline = Instant::now() + PATIENCE;
        let _bar = fork::ForkBar::new();
        loop {
            let why = match Self::try_join(place, access)? {
                Found::Segment(segment, fd) => {
                    return attach(&segment, fd.as_fd()).map(|attached| (segment, attached));
                }
                Found::Going(why) => why,
            };
            if Instant::now() > deadline {
                return Err(OpenError::Io {
                    name: place.name.to_string(),
                    operation: "join".into(),
                    source: io::Error::new(io::ErrorKind::TimedOut, why),
                });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Maps the segment that has the name for looking only: takes no lock, and may write nothing.
    pub(crate) fn observe(place: &Location) -> Result<Self, OpenError> {
        let fd = open(place, false)?;
        let layout = read_layout(place, fd.as_fd(), true)?;
        let probe = file::reopen(fd.as_fd(), &place.path, false);
        let probe = probe.map_err(io_error(place, "reopen"))?;
        Self::map(place, &layout, fd.as_fd(), probe, Access::Observer)
    }

    fn try_join(place: &Location, access: Access) -> Result<Found, OpenError> {
        const GOING: Found = Found::Going("somebody else keeps removing it");
        let io = |operation| io_error(place, operation);
        let fd = open(place, true)?;
        fault::point(Fault::JoinOpened);
        let is_named = || file::is_named(fd.as_fd(), &place.path).map_err(io("look up"));
        let layout = match read_layout(place, fd.as_fd(), false) {
            Ok(layout) => layout,
            // A file that lost its name meanwhile says nothing about the one that has it now.
            Err(_) if !is_named()? => return Ok(GOING),
            Err(error) => return Err(error),
        };
        if !lock::try_shared(fd.as_fd(), LIFE_LOCK).map_err(io("lock"))? {
            return Ok(GOING);
        }
        fault::point(Fault::JoinHeld);
        if !is_named()? {
            return Ok(GOING);
        }
        let is_retired = segment_state_of(fd.as_fd()).map_err(io("read"))? != segment_state::READY;
        if is_retired || is_from_before_reboot(fd.as_fd(), &layout) {
            // Its remover died before the last step, or the machine was started anew.
            drop(fd);
            return match remove_if_unused(place, true) {
                Ok(Retired::InUse) if is_retired => Ok(Found::Going(
                    "it was removed by force, and processes that used it have yet to leave it",
                )),
                Ok(_) => Ok(GOING),
                // Nothing but a mark says so, and the name stays: somebody could not finish what it began.
                Err(_) if is_retired => revive(place).map(|()| GOING),
                Err(error) => Err(error),
            };
        }
        let probe = match file::reopen(fd.as_fd(), &place.path, access != Access::Observer) {
            Ok(probe) => probe,
            Err(_) if !is_named()? => return Ok(GOING),
            Err(error) => return Err(io("reopen")(error)),
        };
        let segment = Self::map(place, &layout, fd.as_fd(), probe, access)?;
        fault::point(Fault::JoinMapped);
        Ok(Found::Segment(segment, fd))
    }

    fn map(
        place: &Location,
        layout: &Layout,
        fd: BorrowedFd<'_>,
        probe: OwnedFd,
        access: Access,
    ) -> Result<Self, OpenError> {
        let writer = access == Access::Writer;
        let changes_payload = matches!(access, Access::Writer | Access::ChangingReader);
        let region = |offset, end: u64, writable| Region { offset, len: end - offset, writable };
        let regions = [
            region(0, layout.registry_offset, writer),
            region(layout.registry_offset, layout.metadata_offset, access != Access::Observer),
            region(layout.metadata_offset, layout.payload_offset, writer),
            region(layout.payload_offset, layout.segment_bytes, changes_payload),
        ];
        let mapping = Mapping::new(fd, &regions).map_err(io_error(place, "map"))?;
        let attached = access != Access::Observer;
        let farewell = Farewell {
            attached,
            probe,
            layout: layout.clone(),
            place: place.clone(),
            whereabouts: Whereabouts::of(place, layout),
            mark: ForkMark::current(),
        };
        let view = View::new(&mapping, layout);
        Ok(Self {
            mapping,
            view,
            farewell,
            layout: layout.clone(),
            place: place.clone(),
            changes_payload,
            is_nameless: AtomicBool::new(false),
            next_look_ns: AtomicU64::new(time::coarse_ns() + LOOK_INTERVAL_NS),
        })
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.place.name
    }

    pub(crate) fn place(&self) -> &Location {
        &self.place
    }

    /// The directory that it is in.
    pub(crate) fn dir(&self) -> &Path {
        &self.place.dir
    }

    /// A description without a role, for probing locks and for short-lived ones.
    pub(crate) fn probe(&self) -> BorrowedFd<'_> {
        self.farewell.probe.as_fd()
    }

    /// Whether this process opened the segment, and its memory is whole as far as is known.
    #[inline(always)]
    pub(crate) fn is_sound(&self) -> bool {
        self.mapping.is_sound()
    }

    /// Fails if the memory is not to be used any more.
    pub(crate) fn check_for_writing(&self) -> Result<(), WriteError> {
        if self.is_sound() { Ok(()) } else { Err(self.lost().to_write_error(self.name())) }
    }

    /// See [`Guard::if_sound`](crate::sys::guard::Guard::if_sound).
    #[inline(always)]
    pub(crate) fn if_sound(&self, number: u64) -> u64 {
        self.mapping.if_sound(number)
    }

    /// Whether this is the process that mapped it.
    #[inline(always)]
    pub(crate) fn is_ours(&self) -> bool {
        self.mapping.is_ours()
    }

    /// Why it is not sound.
    pub(crate) fn lost(&self) -> Lost {
        self.mapping.lost()
    }

    /// Whether the segment was removed or replaced, as far as is known.
    pub(crate) fn is_retired(&self) -> bool {
        self.writer().segment_state.load(Ordering::Acquire) != segment_state::READY
            || self.is_nameless.load(Ordering::Relaxed)
    }

    /// Looks at the file, which others may have cut short, removed or replaced without telling anybody; what is found
    /// amiss, [`is_sound`](Self::is_sound) and [`is_retired`](Self::is_retired) say from then on, and all others who use the
    /// segment are told. Two system calls: for those who wait, once in a while.
    #[cold]
    pub(crate) fn look_at_file(&self) {
        if !self.is_sound() {
            return;
        }
        match self.farewell.whereabouts.look(self.probe()) {
            Standing::Named => {}
            Standing::CutShort => self.mapping.note_cut_short(),
            Standing::Nameless => {
                // Only once, or whoever waits here would wake all the others each time.
                if !self.is_nameless.swap(true, Ordering::Relaxed) && self.farewell.attached {
                    wake::wake_everybody(self);
                }
            }
        }
    }

    /// Looks at the file if that has not been done for a while.
    ///
    /// To be called where a look at the clock is little: for every large frame, when readers were woken, and when the Writer's
    /// `reserve` is raised, which is once in an eighth of the ring.
    pub(crate) fn look_around(&self) {
        let now = time::coarse_ns();
        if now >= self.next_look_ns.load(Ordering::Relaxed) {
            self.next_look_ns.store(now + LOOK_INTERVAL_NS, Ordering::Relaxed);
            self.look_at_file();
        }
    }

    /// Whether its name leads elsewhere, or nowhere, or it was cut short. Asks the system.
    pub(crate) fn is_removed(&self) -> bool {
        self.look_at_file();
        if self.is_sound() { self.is_retired() } else { self.lost() == Lost::CutShort }
    }

    /// Where its file is found.
    pub(crate) fn whereabouts(&self) -> &Whereabouts {
        &self.farewell.whereabouts
    }

    /// Whether somebody else holds a lock, alone or with others.
    pub(crate) fn is_lock_shared(&self, byte: u64) -> bool {
        lock::is_shared_or_held(self.probe(), byte).unwrap_or(true)
    }

    /// Whether somebody else holds a role's lock. An error of the probe counts as held: nobody is declared dead
    /// for want of an answer.
    pub(crate) fn is_lock_held(&self, byte: u64) -> bool {
        lock::is_held(self.probe(), byte).unwrap_or(true)
    }

    /// Touches every page now.
    pub(crate) fn prefault(&self, access: Access) {
        self.mapping.prefault(access == Access::Writer);
    }

    /// Address of the byte at a position, through the first mapping; the `capacity` bytes from there are mapped.
    #[inline(always)]
    pub(crate) fn payload(&self, position: Position) -> *mut u8 {
        // SAFETY: the mask leaves an offset below the capacity.
        unsafe { self.view.payload.as_ptr().add((position.0 & self.view.mask) as usize) }
    }

    /// Notes which slot is that of the reader whose mapping this is.
    ///
    /// # Panics
    /// If there is none of that number.
    pub(crate) fn note_own_slot(&mut self, index: u32) {
        self.view.own_slot = NonNull::from(&self.slots()[index as usize]);
    }

    /// The slot of the reader whose mapping this is; the first one if none was noted.
    #[inline(always)]
    pub(crate) fn own_slot(&self) -> &Slot {
        // SAFETY: one of `slots`.
        unsafe { self.view.own_slot.as_ref() }
    }

    /// Serialises registrations; see `docs/protocol/2.0.md` section 4. Waits a while, for a stopped process may hold it.
    pub(crate) fn registration(&self) -> Result<Registration<'_>, OpenError> {
        let io = io_error(&self.place, "lock the registry");
        let deadline = Instant::now() + PATIENCE;
        loop {
            match lock::try_exclusive(self.probe(), layout::REGISTRATION_LOCK) {
                Ok(true) => {
                    return Ok(Registration { probe: self.probe() });
                }
                Ok(false) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1))
                }
                Ok(false) => {
                    let text =
                        "another process keeps the registry locked; is one stopped half-way?";
                    return Err(io(io::Error::new(io::ErrorKind::TimedOut, text)));
                }
                Err(error) => return Err(io(error)),
            }
        }
    }

    /// Nobody waits any more for what is unread: removal needs no empty ring.
    pub(crate) fn discard_on_leaving(&self) {
        if !self.is_sound() {
            return;
        }
        for slot in self.slots() {
            if slot.state.load(Ordering::Acquire) == slot_state::ACTIVE {
                slot.flags.fetch_and(!slot_flags::DURABLE, Ordering::Relaxed);
            }
        }
    }
}

impl ReadMemory for Segment {
    #[inline(always)]
    fn frames(&self) -> &FrameGeometry {
        &self.layout.frames
    }

    #[inline(always)]
    fn writer(&self) -> &WriterArea {
        // SAFETY: the OIEB is mapped and larger than this area (asserted in `layout`), which consists of atomics.
        // Readers map it read-only and only load.
        unsafe { self.view.writer.as_ref() }
    }

    #[inline(always)]
    fn slots(&self) -> &[Slot] {
        // SAFETY: the registry region was laid out for `slot_count` slots behind its header; atomics only.
        unsafe { self.view.slots.as_ref() }
    }

    fn find_group(&self, table: u64) -> Option<Table<'_>> {
        (table < u64::from(self.layout.group_count)).then(|| self.group(table as u32))
    }

    #[inline(always)]
    fn load_word(&self, position: Position) -> u64 {
        self.word(position).load(Ordering::Acquire)
    }
}

impl Memory for Segment {
    #[inline(always)]
    fn registry(&self) -> &RegistryHeader {
        // SAFETY: mapped, page-aligned, atomics only.
        unsafe { self.view.registry.as_ref() }
    }

    fn group(&self, table: u32) -> Table<'_> {
        assert!(table < self.layout.group_count, "checked when the group was joined");
        let offset = self.layout.group(table).offset() - self.layout.group(0).offset();
        let entries = self.layout.group_entries as usize;
        // SAFETY: the registry region was laid out for `group_count` such tables behind its slots, each a multiple
        // of 8 long; atomics only.
        unsafe {
            let header = self.view.groups.add(offset as usize).cast::<GroupHeader>();
            let entries = NonNull::slice_from_raw_parts(header.add(1).cast::<AtomicU64>(), entries);
            Table { header: header.as_ref(), entries: entries.as_ref() }
        }
    }

    #[inline(always)]
    fn word(&self, position: Position) -> &AtomicU64 {
        let offset = (position.0 & self.view.word_mask) as usize;
        // SAFETY: an offset below the capacity, a multiple of 8, in the first mapping of the payload.
        unsafe { &*self.view.payload.as_ptr().add(offset).cast::<AtomicU64>() }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn order_streaming_stores(&self) {
        fence(Ordering::Release);
        // SAFETY: every 64-bit processor has the instruction.
        unsafe { std::arch::x86_64::_mm_sfence() };
        self.look_around();
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn order_streaming_stores(&self) {
        fence(Ordering::SeqCst);
        self.look_around();
    }

    #[inline(always)]
    fn hint_to_write(&self, position: Position) {
        copy::hint_to_write(self.payload(position));
    }

    fn hints_take_lines(&self) -> bool {
        processor::hints_take_lines()
    }

    fn sleep(&self, word: &AtomicU32, expected: u32, limit: Duration) -> bool {
        futex::wait(word, expected, limit)
    }

    fn wake(&self, word: &AtomicU32) {
        futex::wake(word);
    }

    fn sleeper_barrier(&self) -> bool {
        barrier::execute()
    }
}

/// The registry is ours to change until this is dropped.
#[derive(Debug)]
pub(crate) struct Registration<'a> {
    probe: BorrowedFd<'a>,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        // If this fails the lock goes with the description, when the endpoint does.
        let _ = lock::release(self.probe, layout::REGISTRATION_LOCK);
    }
}

/// What is left to do after unmapping.
#[derive(Debug)]
struct Farewell {
    /// Whether this end counts among those who use the segment, the last of whom removes it.
    attached: bool,
    probe: OwnedFd,
    layout: Layout,
    place: Location,
    whereabouts: Whereabouts,
    mark: ForkMark,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if self.attached && self.mark.is_current() {
            // Nobody to tell: the process is leaving. What could not be removed, the next user of the name finds.
            let probe = self.probe.as_fd();
            let _ = match file::size(probe) {
                // Cut short: of no use to anybody.
                Ok(bytes) if bytes < self.layout.segment_bytes => {
                    retire_damaged(&self.place, probe)
                }
                _ => retire_patiently(&self.place, probe, &self.layout, false),
            };
        }
    }
}
