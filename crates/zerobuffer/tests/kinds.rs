//! Readers of every kind on one buffer, coming and going in any order, against a model of what each must get.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::*;
use proptest::prelude::*;
use zerobuffer::{
    BufferConfig, FullPolicy, OwnedFrame, ReadError, Reader, ReaderKind, Writer, inspect,
};

const SEATS: usize = 6;
const RING: usize = 4096;

#[derive(Debug, Clone)]
enum Action {
    /// A frame of that length.
    Write(usize),
    /// Frames in one batch.
    Batch(Vec<usize>),
    Join(usize, Kind),
    /// Gets a frame if there is one, and holds it.
    Read(usize),
    /// Gets the newest frame, and holds that alone.
    Latest(usize),
    /// Releases one of those it holds.
    Release(usize, prop::sample::Index),
    /// Leaves; for good, or to come back.
    Leave(usize, bool),
    /// The writer goes, and a successor comes.
    Succeed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Durable,
    Ephemeral,
    Lossy,
    Observer,
    Member,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let seat = || 0..SEATS;
    let kind = prop_oneof![
        Just(Kind::Durable),
        Just(Kind::Ephemeral),
        Just(Kind::Lossy),
        Just(Kind::Observer),
        Just(Kind::Member),
    ];
    let action = prop_oneof![
        6 => (1..900usize).prop_map(Action::Write),
        1 => prop::collection::vec(1..300usize, 1..4).prop_map(Action::Batch),
        2 => (seat(), kind).prop_map(|(seat, kind)| Action::Join(seat, kind)),
        8 => seat().prop_map(Action::Read),
        1 => seat().prop_map(Action::Latest),
        6 => (seat(), any::<prop::sample::Index>()).prop_map(|(seat, index)| Action::Release(seat, index)),
        1 => (seat(), any::<bool>()).prop_map(|(seat, good)| Action::Leave(seat, good)),
        1 => Just(Action::Succeed),
    ];
    prop::collection::vec(action, 1..250)
}

/// A reader, and what the model knows of it.
struct Seat {
    kind: Kind,
    reader: Reader,
    /// The next frame, for who gets every one; the newest, for who gets some.
    at: u64,
    missed: u64,
    held: Vec<(u64, OwnedFrame)>,
}

struct Bench {
    dir: tempfile::TempDir,
    /// There is none only while one succeeds another.
    writer: Option<Writer>,
    lens: Vec<usize>,
    seats: [Option<Seat>; SEATS],
    /// Next frame of each durable name, also while it is away.
    durable: BTreeMap<usize, u64>,
    /// Whether there is a group, what nobody of it has had yet begins here, and what was given back unread.
    group: Option<u64>,
    taken: BTreeSet<u64>,
}

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(RING).reader_slots(16).keep_for_first_reader(false)
}

fn attach(dir: &tempfile::TempDir) -> Writer {
    writer_in(dir.path()).full_policy(FullPolicy::Fail).create("b", &config()).unwrap()
}

impl Bench {
    fn new() -> Self {
        let dir = shm_dir();
        let writer = Some(attach(&dir));
        Self {
            dir,
            writer,
            lens: Vec::new(),
            seats: [const { None }; SEATS],
            durable: BTreeMap::new(),
            group: None,
            taken: BTreeSet::new(),
        }
    }

    fn newest(&self) -> u64 {
        self.lens.len() as u64
    }

    /// Whether nobody whom the writer waits for has anything left.
    fn is_drained(&self) -> bool {
        let next = self.newest() + 1;
        let waits = |seat: &Seat| match seat.kind {
            Kind::Durable | Kind::Ephemeral => seat.at != next || !seat.held.is_empty(),
            Kind::Member => !seat.held.is_empty(),
            Kind::Lossy | Kind::Observer => false,
        };
        let group_is_done =
            self.group.is_none_or(|first| (first..next).all(|n| self.taken.contains(&n)));
        self.durable.values().all(|at| *at == next)
            && !self.seats.iter().flatten().any(waits)
            && group_is_done
    }

    fn segment_id(&self) -> u64 {
        inspect::snapshot("b", self.dir.path()).unwrap().segment_id
    }

    fn written(&mut self, len: usize) -> Result<zerobuffer::Written, zerobuffer::WriteError> {
        let bytes = frame(self.newest() + 1, len);
        self.writer.as_mut().unwrap().try_write(&bytes)
    }

    fn run(&mut self, action: Action) {
        match action {
            Action::Write(len) => match self.written(len) {
                Ok(_) => self.lens.push(len),
                Err(error) => assert!(!self.is_drained(), "an empty ring refused: {error}"),
            },
            Action::Batch(lens) => {
                let mut next = self.newest();
                let mut batch = self.writer.as_mut().unwrap().batch();
                for len in lens {
                    next += 1;
                    if batch.push(&frame(next, len)).is_err() {
                        break;
                    }
                    self.lens.push(len);
                }
                batch.commit();
            }
            Action::Join(index, kind) if self.seats[index].is_none() => self.join(index, kind),
            Action::Read(index) => self.read(index, false),
            Action::Latest(index) => self.read(index, true),
            Action::Release(index, which) => {
                if let Some(seat) = &mut self.seats[index]
                    && !seat.held.is_empty()
                {
                    let (number, frame) = seat.held.swap_remove(which.index(seat.held.len()));
                    assert!(is_frame(number, &frame), "frame {number} changed while it was held");
                }
            }
            Action::Leave(index, for_good) => self.leave(index, for_good),
            Action::Succeed => {
                let before = self.segment_id();
                self.writer = None;
                self.writer = Some(attach(&self.dir));
                if self.segment_id() != before {
                    self.begin_anew();
                }
            }
            Action::Join(..) => {}
        }
    }

    /// What is held is told to those who ask, from inside and from outside.
    fn check_held(&self) {
        let (mut every, mut members) = (0, 0);
        for seat in self.seats.iter().flatten() {
            let oldest = seat.held.iter().map(|(number, _)| *number).min();
            match (seat.kind, oldest) {
                (Kind::Durable | Kind::Ephemeral, Some(oldest)) => every += seat.at - oldest,
                (Kind::Member, _) => members += seat.held.len() as u64,
                _ => {}
            }
        }
        let from_outside = inspect::snapshot("b", self.dir.path()).unwrap().readers;
        for readers in [self.writer.as_ref().unwrap().readers(), from_outside] {
            let sum = |kind| {
                let of_kind = readers.iter().filter(|reader| reader.kind == kind);
                of_kind.map(|reader| reader.held_frames).sum::<u64>()
            };
            assert_eq!(sum(ReaderKind::Every), every);
            assert_eq!(sum(ReaderKind::Member), members);
            assert_eq!(sum(ReaderKind::Group), members);
        }
    }

    /// Nobody was attached and nothing waited, so the buffer went with its writer.
    fn begin_anew(&mut self) {
        assert!(self.seats.iter().flatten().all(|seat| seat.kind == Kind::Observer));
        assert!(self.is_drained(), "a buffer went with frames that somebody waits for");
        self.seats = [const { None }; SEATS];
        self.lens.clear();
        self.durable.clear();
        (self.group, self.taken) = (None, BTreeSet::new());
    }

    fn join(&mut self, index: usize, kind: Kind) {
        let options = reader_in(self.dir.path());
        let options = match kind {
            Kind::Durable => options.name(format!("reader {index}")),
            Kind::Ephemeral => options.ephemeral(),
            Kind::Lossy => options.lossy(),
            Kind::Observer => options.observe(),
            Kind::Member => options.group("group"),
        };
        let reader = options.join("b").unwrap();
        let expected = match kind {
            Kind::Durable | Kind::Ephemeral => ReaderKind::Every,
            Kind::Lossy => ReaderKind::Lossy,
            Kind::Observer => ReaderKind::Observer,
            Kind::Member => ReaderKind::Member,
        };
        assert_eq!(reader.kind(), expected);
        // Where one begins who is new: at the oldest frame still there, which the first read tells.
        let at = self.durable.get(&index).copied().filter(|_| kind == Kind::Durable).unwrap_or(0);
        if kind == Kind::Durable {
            self.durable.entry(index).or_insert(0);
        }
        if kind == Kind::Member && self.group.is_none() {
            self.group = Some(0);
        }
        self.seats[index] = Some(Seat { kind, reader, at, missed: 0, held: Vec::new() });
        self.find_beginnings();
    }

    /// Replaces "not known yet" by what the buffer tells.
    fn find_beginnings(&mut self) {
        let newest = self.newest();
        for reader in self.writer.as_ref().unwrap().readers() {
            let first = newest - reader.lag_frames + 1;
            match reader.kind {
                ReaderKind::Group if self.group == Some(0) => self.group = Some(first),
                ReaderKind::Every if reader.durable => {
                    let index = reader.name.rsplit(' ').next().unwrap().parse().unwrap();
                    if let Some(at @ 0) = self.durable.get_mut(&index) {
                        *at = first;
                        if let Some(seat) = &mut self.seats[index] {
                            seat.at = first;
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn read(&mut self, index: usize, latest: bool) {
        let newest = self.newest();
        let Some(seat) = &mut self.seats[index] else { return };
        if latest {
            // It releases what comes before, so nothing of it may be held.
            seat.held.clear();
        }
        let got = if latest { seat.reader.latest() } else { seat.reader.try_read() };
        let got = got.map(|frame| frame.map(zerobuffer::Frame::into_owned));
        let frame = match got {
            Ok(Some(frame)) => frame,
            // The end of a writer that has left, told once.
            Ok(None) => return,
            Err(ReadError::Retired { .. }) if seat.kind == Kind::Observer => {
                self.seats[index] = None;
                return;
            }
            Err(error) => {
                assert!(error.is_timeout(), "{error}");
                match seat.kind {
                    Kind::Durable | Kind::Ephemeral => {
                        assert!(
                            seat.at == newest + 1 || seat.at == 0,
                            "frame {} was there",
                            seat.at
                        );
                    }
                    Kind::Lossy | Kind::Observer => assert!(seat.at == newest || seat.at == 0),
                    Kind::Member => {
                        let first = self.group.unwrap();
                        let left = (first..=newest).find(|number| !self.taken.contains(number));
                        assert_eq!(left, None, "a frame was left that nobody has");
                    }
                }
                return;
            }
        };
        let number = frame.sequence();
        assert!(number <= newest, "frame {number} was never written");
        assert_eq!(frame.len(), self.lens[number as usize - 1]);
        assert!(is_frame(number, &frame), "frame {number} is torn");
        match seat.kind {
            Kind::Durable | Kind::Ephemeral => {
                if latest {
                    assert_eq!(number, newest);
                } else if seat.at != 0 {
                    assert_eq!(number, seat.at);
                }
                seat.at = number + 1;
            }
            Kind::Lossy | Kind::Observer => {
                assert!(number > seat.at);
                if seat.at != 0 {
                    seat.missed += number - seat.at - 1;
                    seat.at = number;
                } else {
                    seat.at = number;
                    seat.missed = seat.reader.stats().missed;
                }
            }
            Kind::Member => {
                assert!(
                    self.group.is_some_and(|first| number >= first),
                    "frame {number} came before the group"
                );
                assert!(self.taken.insert(number), "frame {number} has two holders");
            }
        }
        seat.held.push((number, frame));
        if matches!(seat.kind, Kind::Lossy | Kind::Observer) {
            assert_eq!(seat.reader.stats().missed, seat.missed);
        }
        if seat.kind == Kind::Durable {
            self.durable.insert(index, seat.at);
        }
    }

    fn leave(&mut self, index: usize, for_good: bool) {
        let Some(seat) = self.seats[index].take() else { return };
        let Seat { kind, reader, held, .. } = seat;
        // It has done with what it gives back.
        drop(held);
        if !for_good {
            return;
        }
        reader.unsubscribe();
        if kind == Kind::Durable {
            self.durable.remove(&index);
        }
        let others = self.seats.iter().flatten().any(|seat| seat.kind == Kind::Member);
        if kind == Kind::Member && !others {
            (self.group, self.taken) = (None, BTreeSet::new());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, ..ProptestConfig::default() })]
    #[test]
    fn readers_of_all_kinds_get_what_is_theirs(actions in actions()) {
        let mut bench = Bench::new();
        for action in actions {
            bench.run(action);
            bench.check_held();
        }
        bench.seats = [const { None }; SEATS];
        bench.writer.take().unwrap().discard_undelivered();
    }
}
