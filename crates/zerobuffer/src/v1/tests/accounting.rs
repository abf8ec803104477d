//! The ring's arithmetic against a queue: our ends with each other and with models of deployed peers, on
//! arbitrary frame lengths, so that every remainder at the end of the ring occurs.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::SeqCst;

use proptest::prelude::*;

use super::heap::{Heap, pattern};
use super::peers::{
    CPP, CSHARP, PYTHON, PYTHON_ZERO_COPY, PeerReader, PeerWriter, Tail, WriterHabits, Wrote,
};
use crate::v1::rules::ring::{
    ClaimError, Corrupt, Fit, Found, FrameHeader, Memory, NextError, ReaderRing, WriterRing,
};

#[derive(Debug, Clone)]
enum Op {
    /// Claimed length and how much of it is committed; published at once or with the next.
    Write {
        len: u64,
        shrink: u64,
        publish: bool,
    },
    Abort {
        len: u64,
    },
    Read,
    /// Which of the held frames.
    Release(usize),
}

fn ops() -> impl Strategy<Value = (u64, Vec<Op>)> {
    (1u64..12).prop_flat_map(|blocks| {
        let capacity = blocks * 64;
        let len = prop_oneof![4 => 0..capacity / 3, 1 => 0..capacity + 20];
        let write = (len, prop_oneof![2 => Just(0u64), 1 => 0..20u64], prop::bool::weighted(0.8))
            .prop_map(|(len, shrink, publish)| Op::Write { len, shrink, publish });
        let op = prop_oneof![
            5 => write,
            1 => (1..capacity).prop_map(|len| Op::Abort { len }),
            5 => Just(Op::Read),
            5 => (0usize..4).prop_map(Op::Release),
        ];
        (Just(capacity), prop::collection::vec(op, 1..250))
    })
}

fn check_frame(heap: &Heap, found: &Found) {
    assert_eq!(heap.get(found.data_index, found.length), pattern(found.sequence, found.length));
}

/// Nothing is lost, changed, overwritten while held, or counted twice; and what always fits, fits.
fn ours_to_ours(capacity: u64, ops: &[Op]) {
    let heap = Heap::new(capacity);
    let mut writer = WriterRing::new(&heap, heap.sizes).unwrap();
    let mut reader = ReaderRing::new(heap.sizes);
    let (mut staged, mut sent) = (VecDeque::new(), VecDeque::new());
    let mut held: Vec<Found> = Vec::new();
    for op in ops {
        match *op {
            Op::Write { len, shrink, publish } => {
                let fit = if shrink == 0 { Fit::Exact } else { Fit::MayShrink };
                let free = writer.free_bytes(&heap).unwrap();
                match writer.claim(&heap, len, fit) {
                    Ok(claim) => {
                        let len = len.saturating_sub(shrink).max(1);
                        let sequence = writer.next_sequence();
                        heap.put(claim.data_index, &pattern(sequence, len));
                        assert_eq!(writer.stage(&heap, len), Some(sequence));
                        staged.push_back((sequence, len));
                        if publish {
                            assert_eq!(writer.publish(&heap), staged.len() as u64);
                            sent.append(&mut staged);
                        }
                    }
                    Err(ClaimError::Empty) => assert_eq!(len, 0),
                    Err(ClaimError::TooLarge | ClaimError::NeverFitsHere) => {
                        assert!(len > heap.sizes.max_frame_bytes());
                    }
                    Err(ClaimError::Full) => assert!(free < capacity),
                    Err(error) => panic!("{error:?}"),
                }
            }
            Op::Abort { len } => {
                if writer.claim(&heap, len, Fit::MayShrink).is_ok() {
                    writer.abort();
                    assert_eq!(writer.stage(&heap, len), None);
                }
            }
            Op::Read if !sent.is_empty() => {
                let (sequence, len) = sent.pop_front().unwrap();
                let found = reader.next(&heap, 1).unwrap();
                assert_eq!((found.sequence, found.length), (sequence, len));
                held.push(found);
            }
            Op::Read => assert_eq!(reader.next(&heap, 1), Err(NextError::Nothing)),
            Op::Release(which) if !held.is_empty() => {
                let found = held.remove(which % held.len());
                check_frame(&heap, &found);
                reader.release(&heap, found.ticket);
                assert!(!reader.release(&heap, found.ticket), "released twice");
            }
            Op::Release(_) => {}
        }
        for found in &held {
            check_frame(&heap, found);
        }
        let write_pos = heap.oieb().payload_write_pos.load(SeqCst);
        assert!(write_pos + 16 <= capacity, "left {} bytes (L5)", capacity - write_pos);
        if held.is_empty() {
            let free = heap.oieb().payload_free_bytes.load(SeqCst);
            assert_eq!(free + reader.unread_bytes(&heap).unwrap(), capacity);
        }
    }
    // When everything is read and released, every frame that always fits does (L6).
    writer.publish(&heap);
    sent.append(&mut staged);
    while sent.pop_front().is_some() {
        held.push(reader.next(&heap, 1).unwrap());
    }
    for found in held {
        reader.release(&heap, found.ticket);
    }
    assert_eq!(heap.oieb().payload_free_bytes.load(SeqCst), capacity);
    let written = heap.oieb().payload_written_count.load(SeqCst);
    assert_eq!(written, heap.oieb().payload_read_count.load(SeqCst), "markers count on both sides");
    writer.claim(&heap, heap.sizes.max_frame_bytes(), Fit::MayShrink).unwrap();
}

/// A strict deployed reader meets nothing that it fails on.
fn ours_to_peer(capacity: u64, ops: &[Op]) {
    let heap = Heap::new(capacity);
    let mut writer = WriterRing::new(&heap, heap.sizes).unwrap();
    let mut reader = PeerReader::new();
    let mut sent = VecDeque::new();
    for op in ops {
        match *op {
            Op::Write { len, shrink, .. } => {
                if let Ok(claim) = writer.claim(&heap, len, Fit::MayShrink) {
                    let len = len.saturating_sub(shrink).max(1);
                    let sequence = writer.next_sequence();
                    heap.put(claim.data_index, &pattern(sequence, len));
                    writer.stage(&heap, len);
                    writer.publish(&heap);
                    sent.push_back((sequence, len));
                }
            }
            Op::Read | Op::Release(_) => {
                if let Some((sequence, len)) = sent.pop_front() {
                    let (index, length, found) = reader.read(&heap);
                    assert_eq!((found, length), (sequence, len));
                    assert_eq!(heap.get(index, length), pattern(sequence, len));
                    reader.release(&heap, length);
                }
            }
            Op::Abort { .. } => {}
        }
    }
}

/// Whatever a deployed writer does at the end of the ring, our reader gets every frame.
fn peer_to_ours(habits: WriterHabits, capacity: u64, ops: &[Op]) {
    let heap = Heap::new(capacity);
    let mut writer = PeerWriter::new(habits);
    let mut reader = ReaderRing::new(heap.sizes);
    let mut sent = VecDeque::new();
    let mut held: Vec<Found> = Vec::new();
    for op in ops {
        match *op {
            Op::Write { len, .. } => {
                let sequence = writer.sequence;
                match writer.write(&heap, &pattern(sequence, len)) {
                    Wrote::Frame => sent.push_back((sequence, len)),
                    Wrote::Full | Wrote::Refused => {}
                    // Its own known defects; nothing a reader could do.
                    Wrote::Stuck => assert!(habits.stuck_at_end || habits.tail == Tail::Fails),
                }
            }
            Op::Read if !sent.is_empty() => {
                let (sequence, len) = sent.pop_front().unwrap();
                let found = reader.next(&heap, 1).unwrap();
                assert_eq!((found.sequence, found.length), (sequence, len));
                held.push(found);
            }
            Op::Release(which) if !held.is_empty() => {
                let found = held.remove(which % held.len());
                check_frame(&heap, &found);
                reader.release(&heap, found.ticket);
            }
            _ => {}
        }
        for found in &held {
            check_frame(&heap, found);
        }
    }
    while let Some((sequence, len)) = sent.pop_front() {
        let found = reader.next(&heap, 1).unwrap();
        assert_eq!((found.sequence, found.length), (sequence, len));
        held.push(found);
    }
    for found in held {
        reader.release(&heap, found.ticket);
    }
    // Perhaps short of an end that was skipped, whose frame did not come.
    let unread = reader.unread_bytes(&heap).unwrap();
    assert_eq!(heap.oieb().payload_free_bytes.load(SeqCst) + unread, capacity);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ours_to_ours_keeps_every_byte((capacity, ops) in ops()) {
        ours_to_ours(capacity, &ops);
    }

    #[test]
    fn l05_our_writer_never_steers_a_strict_reader_into_its_defect((capacity, ops) in ops()) {
        ours_to_peer(capacity, &ops);
    }

    #[test]
    fn our_reader_survives_what_deployed_writers_do((capacity, ops) in ops()) {
        for habits in [CPP, PYTHON, PYTHON_ZERO_COPY, CSHARP] {
            peer_to_ours(habits, capacity, &ops);
        }
    }

    /// Any words at all: an error or a frame inside the payload, never a panic (the heap checks every access).
    #[test]
    fn hostile_words_never_lead_outside(
        words in prop::collection::vec(prop_oneof![0..2048u64, any::<u64>()], 6),
        bytes in prop::collection::vec(prop_oneof![3 => Just(0u8), 1 => any::<u8>()], 1024),
        len in 0..2048u64,
    ) {
        let heap = Heap::new(1024);
        heap.put(0, &bytes);
        let mut reader = ReaderRing::new(heap.sizes);
        let oieb = heap.oieb();
        oieb.payload_write_pos.store(words[0], SeqCst);
        if let Ok(mut writer) = WriterRing::new(&heap, heap.sizes) {
            oieb.payload_read_pos.store(words[1], SeqCst);
            oieb.payload_free_bytes.store(words[2], SeqCst);
            if let Ok(claim) = writer.claim(&heap, len, Fit::MayShrink) {
                heap.put(claim.data_index, &pattern(1, len));
                writer.stage(&heap, len);
                writer.publish(&heap);
            }
        }
        for word in &words[3..] {
            oieb.payload_write_pos.store(*word, SeqCst);
            if let Ok(found) = reader.next(&heap, *word) {
                heap.get(found.data_index, found.length);
                reader.release(&heap, found.ticket);
            }
        }
    }
}

/// A writer whose ring begins at `write_pos` and a reader that has read everything up to there.
fn standing_at(capacity: u64, write_pos: u64) -> (Heap, WriterRing, ReaderRing) {
    let heap = Heap::new(capacity);
    let mut writer = WriterRing::new(&heap, heap.sizes).unwrap();
    let mut reader = ReaderRing::new(heap.sizes);
    let mut at = 0;
    while at < write_pos {
        // At least one data byte, and the last step lands exactly.
        let step = if write_pos - at < 64 { write_pos - at } else { 32 };
        writer.claim(&heap, step - 16, Fit::Exact).unwrap();
        writer.stage(&heap, step - 16).unwrap();
        writer.publish(&heap);
        let found = reader.next(&heap, 1).unwrap();
        reader.release(&heap, found.ticket);
        at += step;
    }
    (heap, writer, reader)
}

#[test]
fn l05_never_leaves_less_than_a_header_at_the_end() {
    for left in 0..=20 {
        let (heap, mut writer, mut reader) = standing_at(1024, 960);
        let total = 64 - left;
        writer.claim(&heap, total - 16, Fit::Exact).unwrap();
        writer.stage(&heap, total - 16).unwrap();
        writer.publish(&heap);
        let wrapped = (1..16).contains(&left);
        let expected = if wrapped { total } else { (960 + total) % 1024 };
        assert_eq!(heap.oieb().payload_write_pos.load(SeqCst), expected, "{left} bytes left");
        if wrapped {
            assert_eq!(heap.read_header(960), FrameHeader::WRAP);
        }
        assert_eq!(reader.next(&heap, 1).unwrap().length, total - 16);
    }
}

#[test]
fn l05_a_rest_too_short_for_a_header_is_an_implicit_wrap() {
    for left in 1..16u64 {
        let heap = Heap::new(256);
        let mut writer = PeerWriter::new(CPP);
        let mut reader = ReaderRing::new(heap.sizes);
        for len in [128 - 16, 128 - 16 - left, 32] {
            assert_eq!(writer.write(&heap, &pattern(writer.sequence, len)), Wrote::Frame);
            let found = reader.next(&heap, 1).unwrap();
            assert_eq!(found.length, len);
            reader.release(&heap, found.ticket);
        }
        assert_eq!(heap.oieb().payload_read_pos.load(SeqCst), 48);
        assert_eq!(heap.oieb().payload_free_bytes.load(SeqCst), 256);
    }
}

#[test]
fn l05_goes_on_after_a_predecessor_that_left_such_a_rest_or_stored_the_end() {
    for left in 0..16u64 {
        let heap = Heap::new(256);
        let mut peer = PeerWriter::new(CPP);
        let mut reader = ReaderRing::new(heap.sizes);
        for len in [128 - 16, 128 - 16 - left] {
            assert_eq!(peer.write(&heap, &pattern(peer.sequence, len)), Wrote::Frame);
            let found = reader.next(&heap, 1).unwrap();
            reader.release(&heap, found.ticket);
        }
        let mut writer = WriterRing::new(&heap, heap.sizes).unwrap();
        writer.claim(&heap, 32, Fit::Exact).unwrap();
        writer.stage(&heap, 32).unwrap();
        writer.publish(&heap);
        let found = reader.next(&heap, 2).unwrap();
        assert_eq!((found.data_index, found.length, found.restarted), (16, 32, true));
    }
}

#[test]
fn l06_a_frame_that_cannot_be_placed_says_so_at_once() {
    // As reported: P = 1024, W = R = 64, everything free, 992 bytes.
    let (heap, mut writer, _) = standing_at(1024, 64);
    assert_eq!(writer.claim(&heap, 992, Fit::Exact), Err(ClaimError::NeverFitsHere));
    assert_eq!(writer.claim(&heap, 1009, Fit::Exact), Err(ClaimError::TooLarge));
    // The whole ring, at its start only; one byte less would leave a rest.
    let (heap, mut writer, _) = standing_at(1024, 0);
    assert!(writer.claim(&heap, 1008, Fit::Exact).is_ok());
    assert_eq!(writer.claim(&heap, 1007, Fit::Exact), Err(ClaimError::TooLarge));
    assert!(writer.claim(&heap, 992, Fit::Exact).is_ok());
    // What is promised to fit does at every position, and the bound is the best possible.
    let most = heap.sizes.max_frame_bytes();
    let refused = |at: u64, len: u64| {
        let (heap, mut writer, _) = standing_at(1024, at);
        writer.claim(&heap, len, Fit::Exact).is_err()
    };
    let positions = (32..=1008).filter(|at| *at == 32 || *at >= 64).collect::<Vec<_>>();
    assert!(!positions.iter().any(|&at| refused(at, most)));
    assert!(positions.iter().any(|&at| refused(at, most + 1)));
}

#[test]
fn l08_an_empty_frame_with_a_sequence_is_not_a_wrap() {
    let heap = Heap::new(256);
    let mut writer = PeerWriter::new(CSHARP);
    let mut reader = ReaderRing::new(heap.sizes);
    for len in [8, 0, 8] {
        assert_eq!(writer.write(&heap, &pattern(writer.sequence, len)), Wrote::Frame);
    }
    for len in [8, 0, 8] {
        assert_eq!(reader.next(&heap, 1).unwrap().length, len);
    }
    // Ours writes none.
    let mut ours = WriterRing::new(&heap, heap.sizes).unwrap();
    assert_eq!(ours.claim(&heap, 0, Fit::Exact), Err(ClaimError::Empty));
}

#[test]
fn l14_a_counter_that_drifted_up_does_not_let_the_writer_overwrite() {
    let (heap, mut writer, mut reader) = standing_at(256, 128);
    for len in [48, 16, 64] {
        writer.claim(&heap, len, Fit::Exact).unwrap();
        writer.stage(&heap, len).unwrap();
        writer.publish(&heap);
    }
    // 128 bytes up to the end and 80 at the start are used: 48 remain, whatever a lost update says.
    heap.oieb().payload_free_bytes.store(256, SeqCst);
    assert_eq!(writer.free_bytes(&heap), Ok(48));
    assert_eq!(writer.claim(&heap, 100, Fit::Exact), Err(ClaimError::Full));
    assert_eq!(reader.next(&heap, 1).unwrap().length, 48);
    heap.oieb().payload_free_bytes.store(257, SeqCst);
    assert_eq!(writer.free_bytes(&heap), Err(Corrupt::FreeBytes));
    heap.oieb().payload_free_bytes.store(0u64.wrapping_sub(16), SeqCst);
    assert_eq!(
        writer.claim(&heap, 1, Fit::Exact),
        Err(ClaimError::Corrupt(Corrupt::FreeBytes)),
        "an underflow"
    );
}

/// Frame headers that no writer makes, each with its own name; none is followed.
#[test]
fn l15_a_frame_header_is_checked_before_it_is_believed() {
    let read = |at: u64, length: u64, sequence: u64, write_pos: u64| {
        let (heap, _, mut reader) = standing_at(1024, at);
        heap.write_header(at, FrameHeader { length, sequence });
        heap.oieb().payload_write_pos.store(write_pos, SeqCst);
        let first = reader.next(&heap, 1).unwrap_err();
        if matches!(first, NextError::Corrupt(_)) {
            assert_eq!(reader.next(&heap, 1), Err(first), "L16: the error stays");
        }
        first
    };
    use Corrupt as C;
    let corrupt = NextError::Corrupt;
    assert_eq!(read(0, u64::MAX, 1, 64), corrupt(C::FrameTooLong), "16 + length overflows");
    assert_eq!(read(0, 1009, 1, 64), corrupt(C::FrameTooLong));
    assert_eq!(read(960, 49, 31, 64), corrupt(C::FramePastEnd));
    assert_eq!(read(64, 80, 3, 128), corrupt(C::FramePastWritePosition));
    assert_eq!(read(0, 0, 0, 64), corrupt(C::WrapAtStart));
    // A header that was wiped out looks like a marker.
    assert_eq!(read(64, 0, 0, 128), corrupt(C::WrapInTheMiddle));
    assert_eq!(read(64, 0, 0, 1000), corrupt(C::WrapInTheMiddle));
    assert_eq!(read(64, 0, 0, 1024), NextError::Nothing, "L23: its frame is yet to come");
    assert_eq!(read(0, 8, 1, 1025), corrupt(C::WritePosition));
}

#[test]
fn l16_a_sequence_gap_is_reported_once_and_then_passed() {
    let heap = Heap::new(512);
    let mut writer = PeerWriter::new(CPP);
    let mut reader = ReaderRing::new(heap.sizes);
    for skipped in [0, 1, 0] {
        // C++ and C# lose a number when a buffer is got twice without a commit.
        writer.sequence += skipped;
        writer.write(&heap, &pattern(writer.sequence, 20));
    }
    assert_eq!(reader.next(&heap, 1).unwrap().sequence, 1);
    assert_eq!(reader.next(&heap, 1), Err(NextError::Gap { expected: 2, found: 3 }));
    assert_eq!(reader.next(&heap, 1).unwrap().sequence, 3);
    assert_eq!(reader.next(&heap, 1).unwrap().sequence, 4);
}

#[test]
fn l17_another_writer_begins_again_at_one() {
    let heap = Heap::new(512);
    let mut reader = ReaderRing::new(heap.sizes);
    for pid in [7, 8, 8] {
        let mut writer = PeerWriter::new(CPP);
        for number in 1..=3 {
            assert_eq!(writer.write(&heap, &pattern(number, 20)), Wrote::Frame);
            let found = reader.next(&heap, pid).unwrap();
            let first_of_all = reader.totals().0 == 1;
            assert_eq!(found.sequence, number);
            assert_eq!(found.restarted, number == 1 && !first_of_all);
            reader.release(&heap, found.ticket);
        }
    }
}

#[test]
fn l20_bytes_are_freed_in_reading_order() {
    let heap = Heap::new(512);
    let mut writer = WriterRing::new(&heap, heap.sizes).unwrap();
    let mut reader = ReaderRing::new(heap.sizes);
    for len in [100, 100, 100] {
        writer.claim(&heap, len, Fit::Exact).unwrap();
        writer.stage(&heap, len).unwrap();
        writer.publish(&heap);
    }
    let held: Vec<_> = (0..3).map(|_| reader.next(&heap, 1).unwrap()).collect();
    let free = || heap.oieb().payload_free_bytes.load(SeqCst);
    let before = free();
    assert!(!reader.release(&heap, held[1].ticket));
    assert!(!reader.release(&heap, held[2].ticket));
    assert_eq!(free(), before, "freed behind a frame that is still held");
    assert_eq!(writer.claim(&heap, 200, Fit::Exact), Err(ClaimError::Full));
    assert!(reader.release(&heap, held[0].ticket));
    assert_eq!(free(), 512);
    assert!(!reader.release(&heap, held[0].ticket), "twice");
    assert!(!reader.release(&heap, 99), "never handed out");
}

#[test]
fn l23_a_wrap_without_its_frame_is_passed() {
    let heap = Heap::new(256);
    let mut dead = PeerWriter::new(CPP);
    let mut reader = ReaderRing::new(heap.sizes);
    dead.write(&heap, &pattern(1, 176));
    let found = reader.next(&heap, 7).unwrap();
    reader.release(&heap, found.ticket);
    // "Get buffer" publishes the wrap, then its writer dies.
    heap.write_header(192, FrameHeader::WRAP);
    heap.oieb().payload_written_count.fetch_add(1, SeqCst);
    heap.oieb().payload_free_bytes.fetch_sub(64, SeqCst);
    heap.oieb().payload_write_pos.store(0, SeqCst);
    let mut next = WriterRing::new(&heap, heap.sizes).unwrap();
    next.claim(&heap, 20, Fit::Exact).unwrap();
    next.stage(&heap, 20).unwrap();
    next.publish(&heap);
    let found = reader.next(&heap, 8).unwrap();
    assert_eq!((found.data_index, found.length, found.restarted), (16, 20, true));
    reader.release(&heap, found.ticket);
    assert_eq!(heap.oieb().payload_free_bytes.load(SeqCst), 256);
    // And ours publishes nothing before it commits.
    let mut ours = WriterRing::new(&heap, heap.sizes).unwrap();
    let before = heap.oieb().load();
    ours.claim(&heap, 80, Fit::Exact).unwrap();
    ours.abort();
    assert_eq!(heap.oieb().load(), before);
}
