//! Races on purpose, in the bytes of a ring: whoever watches has to see them, or sees nothing.
//!
//! The threads tell each other when by signals, which order nothing.
//!
//! # Safety
//! There is none: these break the promise that frames rest on. Only for `--planted`; the bytes stay mapped meanwhile.
#![allow(unsafe_code)]

use crate::{NAME, Place, Signal, finish, small, start};

pub(crate) fn run(name: &str, place: Place) {
    match name {
        "write-after-commit" => write_after_commit(place),
        "read-after-release" => read_after_release(place),
        _ => panic!("no planted race {name:?}"),
    }
    println!("threads: planted {name}");
}

/// A writer goes on filling a frame that it has committed, and that a reader has looked at.
fn write_after_commit(place: Place) {
    let mut writer = place.writer().create(NAME, &small()).unwrap();
    let mut reader = place.reader().join(NAME).unwrap();
    let (looked, written) = (Signal::new(), Signal::new());
    finish([
        start(move || {
            let mut loan = writer.loan(1000).unwrap();
            loan.fill(1);
            let bytes = loan.as_mut_ptr();
            loan.commit();
            looked.wait();
            // SAFETY: mapped; the race is the purpose.
            unsafe { bytes.write_volatile(2) };
            written.give();
        }),
        start(move || {
            let frame = reader.read().unwrap().expect("it comes");
            assert_eq!(frame[0], 1);
            looked.give();
            written.wait();
        }),
    ]);
}

/// A reader goes on looking at a frame that it has released, and whose place another frame has taken.
fn read_after_release(place: Place) {
    let mut writer = place.writer().create(NAME, &small()).unwrap();
    let mut reader = place.reader().join(NAME).unwrap();
    let taken = Signal::new();
    finish([
        start(move || {
            // Fifteen fill the ring. The one that takes the first one's place lies there as that did, and not in the ring's
            // second appearance.
            for _ in 0..24 {
                writer.write(&[1; 1024 - 8]).unwrap();
            }
            taken.give();
        }),
        start(move || {
            let next = || reader.read().unwrap().expect("it comes").into_owned();
            let mut kept: Vec<_> = std::iter::repeat_with(next).take(15).collect();
            let first = kept[0].as_ptr();
            // All at once, by the oldest: who releases one by one wakes a writer that has taken the place already, and what that
            // one wrote before it slept is ordered then.
            while kept.pop().is_some() {}
            taken.wait();
            // SAFETY: mapped; the race is the purpose.
            let _ = unsafe { first.read_volatile() };
        }),
    ]);
}
