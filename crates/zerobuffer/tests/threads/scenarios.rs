//! What two ends, and those who look on, do at the same time in a 2.0 buffer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use zerobuffer::{
    FullPolicy, MetadataError, ReadError, Reader, StartAt, WaitStrategy, WriteError, Writer,
    inspect,
};

use crate::{Keepers, NAME, Place, Scenario, Signal, check, finish, frame, len, small, start};

pub(crate) const ALL: [Scenario; 19] = [
    ("copied, readers spin", |place| copied(place, WaitStrategy::Spin)),
    ("copied, readers spin and sleep", |place| copied(place, WaitStrategy::SpinThenPark)),
    ("copied, readers sleep", |place| copied(place, WaitStrategy::Park)),
    ("a full ring", full_ring),
    ("loans", loans),
    ("batches", batches),
    ("kept frames", kept_frames),
    ("drop policy", drop_policy),
    ("metadata", metadata),
    ("writers follow each other", successive_writers),
    ("readers follow each other", successive_readers),
    ("observers come and go", passing_readers),
    ("elastic ring", elastic),
    ("looking on", looking_on),
    ("looking on at metadata", looking_on_at_metadata),
    ("a work group", work_group),
    ("members come and go", passing_members),
    ("lossy readers", lossy_readers),
    ("passing on by reference", passing_on),
];

/// Frames a scenario moves.
const FRAMES: u64 = 2000;

fn write_all(writer: &mut Writer, until: u64) {
    while writer.next_sequence() <= until {
        let sequence = writer.next_sequence();
        match writer.write(&frame(sequence, len(sequence))) {
            // Told once when the ring is full and its successor has not come yet.
            Ok(_) | Err(WriteError::ReaderGone { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads in place until the writer closes; the number of the last frame.
fn read_all(reader: &mut Reader) -> u64 {
    let mut last = 0;
    while let Some(frame) = reader.read().unwrap() {
        last = frame.sequence();
        check(last, &frame);
    }
    last
}

/// A durable reader's: nothing is missing.
fn read_each(reader: &mut Reader) {
    let mut next = 1;
    while let Some(frame) = reader.read().unwrap() {
        assert_eq!(frame.sequence(), next);
        check(next, &frame);
        next += 1;
    }
    assert_eq!(next, FRAMES + 1);
}

/// Two readers, one of which copies out, while the writer waits for both.
fn copied(place: Place, wait: WaitStrategy) {
    let mut writer = place.writer().wait_strategy(wait).create(NAME, &small()).unwrap();
    let mut lending = place.reader().wait_strategy(wait).join(NAME).unwrap();
    let mut copying = place.reader().wait_strategy(wait).name("copying").join(NAME).unwrap();
    finish([
        start(move || write_all(&mut writer, FRAMES)),
        start(move || read_each(&mut lending)),
        start(move || {
            let mut space = [0; 4096];
            let mut sequence = 0;
            while let Some(len) = copying.read_into(&mut space).unwrap() {
                sequence += 1;
                check(sequence, &space[..len]);
            }
            assert_eq!(sequence, FRAMES);
        }),
    ]);
}

/// A ring of four frames: the writer waits for nearly every one.
fn full_ring(place: Place) {
    let config = small().payload_bytes(4096).timestamps(true);
    let wait = FullPolicy::Block { timeout: None };
    let options = place.writer().wait_strategy(WaitStrategy::Park).full_policy(wait);
    let mut writer = options.create(NAME, &config).unwrap();
    let mut reader = place.reader().wait_strategy(WaitStrategy::Park).join(NAME).unwrap();
    finish([
        start(move || {
            for sequence in 1..=FRAMES {
                writer.write(&frame(sequence, 1000)).unwrap();
            }
            assert!(writer.wait_drained(None));
        }),
        start(move || {
            let mut last = 0;
            while let Some(frame) = reader.read().unwrap() {
                assert!(frame.age().is_some());
                last = frame.sequence();
                check(last, &frame);
            }
            assert_eq!(last, FRAMES);
        }),
    ]);
}

/// Frames filled in place, shortened, and given back.
fn loans(place: Place) {
    let mut writer = place.writer().create(NAME, &small()).unwrap();
    let mut reader = place.reader().join(NAME).unwrap();
    finish([
        start(move || {
            while writer.next_sequence() <= FRAMES {
                let sequence = writer.next_sequence();
                let mut given_back = writer.loan(300).unwrap();
                given_back.fill(!(sequence as u8));
                drop(given_back);
                let len = len(sequence);
                let mut loan = writer.loan(len).unwrap();
                loan.fill(sequence as u8);
                loan.truncate(len - len / 3);
                loan.commit();
            }
        }),
        start(move || read_each(&mut reader)),
    ]);
}

fn batches(place: Place) {
    let mut writer = place.writer().create(NAME, &small()).unwrap();
    let mut reader = place.reader().join(NAME).unwrap();
    finish([
        start(move || {
            let mut sequence = 0;
            while sequence < FRAMES {
                let mut batch = writer.batch();
                for _ in 0..(FRAMES - sequence).min(7) {
                    sequence += 1;
                    batch.push(&frame(sequence, len(sequence))).unwrap();
                }
                batch.commit();
                // One that never happened.
                let _ = writer.batch().push(b"forgotten").unwrap();
            }
        }),
        start(move || {
            let mut next = 1;
            while let Some(mut batch) = reader.read_batch(5).unwrap() {
                while let Some(frame) = batch.next() {
                    assert_eq!(frame.sequence, next);
                    check(next, frame.payload);
                    next += 1;
                }
            }
            assert_eq!(next, FRAMES + 1);
        }),
    ]);
}

/// Other threads look at kept frames and release them, also when the reader is gone.
fn kept_frames(place: Place) {
    let mut writer = place.writer().create(NAME, &small()).unwrap();
    let mut reader = place.reader().join(NAME).unwrap();
    finish([
        start(move || write_all(&mut writer, FRAMES)),
        start(move || {
            let mut keepers = Keepers::default();
            while let Some(frame) = reader.read().unwrap() {
                check(frame.sequence(), &frame);
                if frame.sequence() % 3 != 0 {
                    keepers.keep(frame.into_owned());
                }
            }
            drop(reader);
            keepers.finish();
        }),
    ]);
}

/// The writer never waits; what arrives is whole.
fn drop_policy(place: Place) {
    let options = place.writer().full_policy(FullPolicy::DropNewest);
    let mut writer = options.create(NAME, &small()).unwrap();
    let mut reader = place.reader().join(NAME).unwrap();
    finish([
        start(move || {
            for _ in 0..FRAMES * 4 {
                let sequence = writer.next_sequence();
                writer.write(&frame(sequence, 700)).unwrap();
            }
        }),
        start(move || assert!(read_all(&mut reader) > 0)),
    ]);
}

/// Replaced as fast as it goes, while two readers look at it.
fn metadata(place: Place) {
    let mut writer = place.writer().create(NAME, &small()).unwrap();
    writer.set_metadata(&frame(1, 60)).unwrap();
    let readers = ["main", "other"].map(|name| place.reader().name(name).join(NAME).unwrap());
    let reading = readers.map(|mut reader| {
        start(move || {
            loop {
                let seen = reader.metadata().unwrap().expect("it was set first");
                check(seen.generation(), &seen);
                let again = reader.metadata().unwrap().expect("it was set first");
                check(again.generation(), &again);
                drop((seen, again));
                match reader.try_read() {
                    Ok(None) => break,
                    Ok(Some(_)) => {}
                    Err(error) => assert!(error.is_timeout(), "{error}"),
                }
            }
        })
    });
    let writing = start(move || {
        let mut generation = 1;
        while generation < FRAMES {
            match writer.replace_metadata(&frame(generation + 1, (generation % 64) as usize)) {
                Ok(()) => generation += 1,
                Err(MetadataError::Held { .. }) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    });
    finish(reading.into_iter().chain([writing]));
}

/// Each writer goes on where the one before left, in a thread of its own, while the reader reads.
fn successive_writers(place: Place) {
    const WRITERS: u64 = 20;
    let mut reader = place.reader().create(NAME, &small()).unwrap();
    let reading = start(move || {
        let mut next = 1;
        while next <= FRAMES {
            // None: a writer has closed.
            if let Some(frame) = reader.read().unwrap() {
                assert_eq!(frame.sequence(), next);
                check(next, &frame);
                next += 1;
            }
        }
    });
    let writing = start(move || {
        for turn in 1..=WRITERS {
            let place = place.clone();
            finish([start(move || {
                let mut writer = place.writer().connect(NAME).unwrap();
                writer.replace_metadata(&frame(turn, 10)).unwrap();
                write_all(&mut writer, FRAMES / WRITERS * turn);
            })]);
        }
    });
    finish([reading, writing]);
}

/// Each reader goes on where the one before left; another one reads all along.
fn successive_readers(place: Place) {
    let mut writer = place.writer().create(NAME, &small()).unwrap();
    let mut steady = place.reader().name("steady").join(NAME).unwrap();
    let first = place.reader().join(NAME).unwrap();
    finish([
        start(move || write_all(&mut writer, FRAMES)),
        start(move || read_each(&mut steady)),
        start(move || {
            let mut reader = Some(first);
            let mut next = 1;
            while next <= FRAMES {
                let place = place.clone();
                let mut reader =
                    reader.take().unwrap_or_else(|| place.reader().join(NAME).unwrap());
                let until = FRAMES.min(next + 99);
                finish([start(move || {
                    for sequence in next..=until {
                        let frame = reader.read().unwrap().expect("more is to come");
                        assert_eq!(frame.sequence(), sequence);
                        check(sequence, &frame);
                    }
                    // Received and not released: it comes again, to the next one.
                    drop(reader);
                })]);
                next = until + 1;
            }
        }),
    ]);
}

/// Readers that nothing is kept for join a ring that laps, at either end of it, and leave.
fn passing_readers(place: Place) {
    let options = place.writer().full_policy(FullPolicy::Fail);
    let config = small().keep_for_first_reader(false);
    let mut writer = options.create(NAME, &config).unwrap();
    let over = Signal::new();
    let passing = [StartAt::Oldest, StartAt::Newest].map(|from| {
        let place = place.clone();
        start(move || {
            while !over.is_given() {
                let mut reader = match place.reader().ephemeral().start_at(from).join(NAME) {
                    Ok(reader) => reader,
                    // The writer was the last to leave.
                    Err(error) if error.is_not_found() && over.is_given() => break,
                    Err(error) => panic!("{error}"),
                };
                for _ in 0..20 {
                    match reader.read_timeout(Duration::from_millis(1)) {
                        Ok(Some(frame)) => check(frame.sequence(), &frame),
                        Ok(None) => break,
                        Err(ReadError::Timeout { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        })
    });
    let writing = start(move || {
        while writer.next_sequence() <= FRAMES {
            let sequence = writer.next_sequence();
            match writer.write(&frame(sequence, len(sequence))) {
                Ok(_) => {}
                Err(error) if error.is_timeout() || error.is_peer_gone() => {
                    std::thread::yield_now();
                }
                Err(error) => panic!("{error}"),
            }
        }
        over.give();
    });
    finish(passing.into_iter().chain([writing]));
}

/// The writer skips to the start of the ring while its reader keeps up.
fn elastic(place: Place) {
    let options = place.writer().elastic_window(Some(4096));
    let mut writer = options.create(NAME, &small()).unwrap();
    let mut reader = place.reader().join(NAME).unwrap();
    finish([
        start(move || {
            write_all(&mut writer, FRAMES);
            assert!(writer.stats().skipped_bytes > 0, "it never skipped");
        }),
        start(move || read_each(&mut reader)),
    ]);
}

/// Everything that can be asked, asked by those who are there and by one who is not.
fn looking_on(place: Place) {
    let mut writer = place.writer().create(NAME, &small()).unwrap();
    writer.set_metadata(b"metadata").unwrap();
    let mut reader = place.reader().join(NAME).unwrap();
    let over = Signal::new();
    finish([
        start(move || {
            while writer.next_sequence() <= FRAMES {
                let until = (writer.next_sequence() + 10).min(FRAMES);
                write_all(&mut writer, until);
                let _ = (writer.readers(), writer.undelivered(), writer.stats());
                let _ = (writer.has_live_reader(), writer.has_had_reader());
            }
        }),
        start(move || {
            let mut next = 1;
            while reader.read().unwrap().map(|frame| check(next, &frame)).is_some() {
                next += 1;
                if next % 10 == 0 {
                    let _ = (reader.stats(), reader.backlog_bytes(), reader.writer_presence());
                    let _ = reader.events().count();
                }
            }
            over.give();
        }),
        start(move || {
            while !over.is_given() {
                if let Ok(seen) = inspect::snapshot(NAME, &place.0) {
                    assert!(seen.newest_sequence <= FRAMES);
                }
                let _ = inspect::list(&place.0).unwrap();
            }
        }),
    ]);
}

/// What is shown is one version, however fast they follow each other.
fn looking_on_at_metadata(place: Place) {
    let config = small().metadata_bytes(1 << 14);
    let mut writer = place.writer().create(NAME, &config).unwrap();
    writer.set_metadata(&frame(1, 1 << 14)).unwrap();
    let over = Signal::new();
    finish([
        start(move || {
            for generation in 2..FRAMES * 50 {
                writer.replace_metadata(&frame(generation, 1 << 14)).unwrap();
            }
            over.give();
        }),
        start(move || {
            while !over.is_given() {
                let Ok(seen) = inspect::snapshot(NAME, &place.0) else { continue };
                match seen.metadata {
                    Some(bytes) => check(seen.metadata_generation, &bytes),
                    None => assert!(!seen.problems.is_empty()),
                }
            }
        }),
    ]);
}

/// Three members divide the frames, beside a reader of all.
fn work_group(place: Place) {
    let mut writer = place.writer().create(NAME, &small()).unwrap();
    let mut every = place.reader().join(NAME).unwrap();
    let taken = Arc::new(AtomicU64::new(0));
    // All are there before the first frame.
    let members = [(); 3].map(|()| place.reader().group("members").join(NAME).unwrap());
    let mut ends =
        vec![start(move || write_all(&mut writer, FRAMES)), start(move || read_each(&mut every))];
    for mut member in members {
        let taken = Arc::clone(&taken);
        ends.push(start(move || {
            while let Some(frame) = member.read().unwrap() {
                check(frame.sequence(), &frame);
                taken.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    finish(ends);
    assert_eq!(taken.load(Ordering::Relaxed), FRAMES);
}

/// Members that leave after a few frames, one of which they keep until then; others take their places.
fn passing_members(place: Place) {
    let mut writer = place.writer().create(NAME, &small()).unwrap();
    let taken = Arc::new(AtomicU64::new(0));
    let mut ends = Vec::new();
    for _ in 0..2 {
        let options = place.reader().group("members");
        let (mut member, taken) = (options.join(NAME).unwrap(), Arc::clone(&taken));
        ends.push(start(move || {
            loop {
                for _ in 0..20 {
                    let Some(frame) = member.read().unwrap() else { return };
                    let frame = frame.into_owned();
                    check(frame.sequence(), &frame);
                    taken.fetch_add(1, Ordering::Relaxed);
                }
                member = match options.join(NAME) {
                    Ok(member) => member,
                    // All frames are taken, and the other one has left.
                    Err(error) => return assert!(error.is_not_found(), "{error}"),
                };
            }
        }));
    }
    ends.push(start(move || write_all(&mut writer, FRAMES)));
    finish(ends);
    assert_eq!(taken.load(Ordering::Relaxed), FRAMES);
}

/// Readers whom the writer goes round: what they show is whole.
fn lossy_readers(place: Place) {
    let config = small().payload_bytes(4096).keep_for_first_reader(false);
    let mut writer = place.writer().create(NAME, &config).unwrap();
    let mut ends = Vec::new();
    for latest in [false, true] {
        let mut reader = place.reader().lossy().join(NAME).unwrap();
        ends.push(start(move || {
            loop {
                let got = if latest {
                    reader.latest()
                } else {
                    reader.read_timeout(Duration::from_millis(1))
                };
                match got {
                    Ok(Some(frame)) => check(frame.sequence(), &frame),
                    Ok(None) => break,
                    Err(error) => assert!(error.is_timeout(), "{error}"),
                }
            }
        }));
    }
    ends.push(start(move || write_all(&mut writer, FRAMES)));
    finish(ends);
}

/// A relay passes every frame on by reference; two readers behind it keep some, and let go in another order.
fn passing_on(place: Place) {
    let config = small().payload_sharing(true);
    let mut camera = place.writer().create(NAME, &config).unwrap();
    let mut input = place.reader().join(NAME).unwrap();
    let mut output = place.writer().create("behind", &config).unwrap();
    let behind = ["one", "other"].map(|name| place.reader().name(name).join("behind").unwrap());
    let mut ends = vec![
        start(move || write_all(&mut camera, FRAMES)),
        start(move || {
            while let Some(frame) = input.read().unwrap() {
                assert_eq!(output.forward(&frame).unwrap().copied, None);
            }
        }),
    ];
    for mut reader in behind {
        ends.push(start(move || {
            let mut kept = Vec::new();
            while let Some(frame) = reader.read().unwrap() {
                check(frame.sequence(), &frame);
                if frame.sequence().is_multiple_of(2) {
                    kept.push(frame.into_owned());
                }
                if kept.len() == 2 {
                    // The newest first.
                    for frame in kept.drain(..).rev() {
                        check(frame.sequence(), &frame);
                    }
                }
            }
        }));
    }
    finish(ends);
}
