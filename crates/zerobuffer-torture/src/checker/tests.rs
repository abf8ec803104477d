use super::*;
use What::{Committed, Finished, PayloadLost, Received, Redelivered, Released, Torn};

fn note(sequence: u64, what: What) -> Note {
    Note::of(what, sequence).by(7)
}

fn at(sequence: u64, what: What, at_ns: u64) -> Note {
    Note { at_ns, ..note(sequence, what) }
}

fn checked(notes: &[(Part, Note)]) -> Checker {
    let mut checker = Checker::default();
    for (part, note) in notes {
        checker.take(*part, *note);
    }
    checker
}

/// The notes of a reader that dies once.
fn two_lives(part: Part, first: &[Note], second: &[Note]) -> Checker {
    let mut checker = Checker::default();
    for life in [first, second] {
        checker.begins(part);
        for note in life {
            checker.take(part, *note);
        }
    }
    checker
}

#[test]
fn each_kind_of_wrong_is_seen_and_redelivery_is_none() {
    let fine = two_lives(
        Part::A,
        &[note(1, Received), note(2, Received), note(1, Released)],
        &[note(2, Redelivered), note(3, Received)],
    );
    assert!(fine.first_wrong.is_none(), "{fine:?}");
    assert_eq!((fine.seen.received, fine.seen.redelivered), (4, 1));
    let lost = two_lives(Part::A, &[note(1, Received)], &[note(3, Received)]);
    assert_eq!(lost.wrong.lost, 1);
    let gap = checked(&[(Part::A, note(1, Received)), (Part::A, note(4, Received))]);
    assert_eq!(gap.wrong.lost, 2);
    let twice = two_lives(Part::A, &[note(1, Received)], &[note(1, Received)]);
    assert_eq!(twice.wrong.duplicated, 1);
    let late = two_lives(Part::A, &[note(1, Received), note(1, Released)], &[note(1, Redelivered)]);
    assert_eq!(late.wrong.duplicated, 1);
    assert_eq!(checked(&[(Part::A, note(1, Torn))]).wrong.torn, 1);
    let other = note(1, Received).by(8);
    assert_eq!(checked(&[(Part::Writer, note(1, Committed)), (Part::A, other)]).wrong.mixed_up, 1);
    let reused = checked(&[(Part::Writer, note(1, Committed)), (Part::Writer, note(1, Committed))]);
    assert_eq!(reused.wrong.mixed_up, 1);
}

#[test]
fn an_ephemeral_reader_may_miss_what_came_while_it_was_away_and_nothing_else() {
    let part = Part::Ephemeral;
    let fine = two_lives(part, &[note(3, Received), note(4, Received)], &[note(9, Received)]);
    assert!(fine.first_wrong.is_none(), "{fine:?}");
    let gap = two_lives(part, &[note(3, Received), note(5, Received)], &[]);
    assert_eq!(gap.wrong.lost, 1);
    let back = two_lives(part, &[note(3, Received), note(3, Received)], &[]);
    assert_eq!(back.wrong.duplicated, 1);
}

#[test]
fn one_that_looks_on_may_miss_frames_but_not_go_back() {
    for part in [Part::Lossy, Part::Observer] {
        let fine = checked(&[(part, note(1, Received)), (part, note(9, Received))]);
        assert!(fine.first_wrong.is_none(), "{fine:?}");
        let back = checked(&[(part, note(9, Received)), (part, note(9, Received))]);
        assert_eq!(back.wrong.duplicated, 1);
    }
}

#[test]
fn a_frame_of_a_group_has_one_holder_at_a_time() {
    let (one, other) = (Part::Member0, Part::Member1);
    let finish = |notes: &[(Part, Note)]| {
        let mut checker = checked(notes);
        checker.take(Part::Writer, note(1, Committed));
        checker.finish(&[GROUP]);
        checker
    };
    let fine = finish(&[
        (one, at(1, Received, 10)),
        (other, at(1, Redelivered, 20)),
        (other, at(1, Finished, 30)),
    ]);
    assert!(fine.first_wrong.is_none(), "{fine:?}");
    // The same, told in another order.
    let late = finish(&[
        (other, at(1, Redelivered, 20)),
        (other, at(1, Finished, 30)),
        (one, at(1, Received, 10)),
    ]);
    assert!(late.first_wrong.is_none(), "{late:?}");
    let both = finish(&[(one, at(1, Received, 10)), (other, at(1, Received, 20))]);
    assert_eq!(both.wrong.duplicated, 1);
    let again = finish(&[
        (one, at(1, Received, 10)),
        (one, at(1, Finished, 15)),
        (other, at(1, Redelivered, 20)),
    ]);
    assert_eq!(again.wrong.duplicated, 1);
    assert_eq!(finish(&[]).wrong.lost, 1);
    let nobodys = finish(&[(one, at(1, Received, 10)), (other, at(1, Finished, 20))]);
    assert_eq!(nobodys.wrong.mixed_up, 1);
}

#[test]
fn what_a_relay_passed_on_is_in_the_origins_order_and_complete_but_for_what_was_told_lost() {
    let part = Part::Downstream;
    let passed = |number, origin| note(number, Received).written_as(origin);
    let settled = (part, note(1, Released));
    let fine = checked(&[(part, passed(1, 1)), (part, passed(2, 1)), (part, passed(3, 2))]);
    assert!(fine.first_wrong.is_none(), "{fine:?}");
    let gap = checked(&[(part, passed(1, 1)), settled, (part, passed(2, 3))]);
    assert_eq!(gap.wrong.lost, 1);
    let told = checked(&[
        (part, passed(1, 1)),
        settled,
        (part, note(2, PayloadLost)),
        (part, passed(3, 3)),
    ]);
    // Once, for the payload; not again for the gap.
    assert_eq!((told.wrong.lost, told.newest_of("downstream")), (1, 3));
    let mut end = checked(&[(part, passed(1, 1)), (Part::Writer, note(2, Committed))]);
    end.finish(&["downstream"]);
    assert_eq!(end.wrong.lost, 1);
}
