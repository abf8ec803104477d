//! The same for a 1.0 buffer, which has one reader, and lives in `/dev/shm`.

use zerobuffer::{BufferConfig, Reader, WaitStrategy, Writer, inspect};

use crate::{Keepers, Place, Scenario, Signal, check, finish, frame, len, start};

pub(crate) const ALL: [Scenario; 5] = [
    ("1.0, ends spin", |_| streamed(WaitStrategy::Spin)),
    ("1.0, ends sleep", |_| streamed(WaitStrategy::Park)),
    ("1.0, loans, batches and kept frames", kept_frames),
    ("1.0, writers follow each other", successive_writers),
    ("1.0, looking on", looking_on),
];

const FRAMES: u64 = 1500;

/// A name that no other process has: 1.0 has no directories.
fn name(what: &str) -> String {
    format!("zerobuffer-threads-{what}-{}", std::process::id())
}

fn config() -> BufferConfig {
    BufferConfig::v1().payload_bytes(1 << 14).metadata_bytes(64)
}

fn write_all(writer: &mut Writer, until: u64) {
    while writer.next_sequence() <= until {
        let sequence = writer.next_sequence();
        writer.write(&frame(sequence, len(sequence))).unwrap();
    }
}

/// Leaves when everything was read, or the reader has gone with all that was read.
fn leave(mut writer: Writer) {
    let _ = writer.wait_drained(None);
}

fn streamed(wait: WaitStrategy) {
    let name = name("streamed");
    let mut reader = Reader::options().wait_strategy(wait).create(&name, &config()).unwrap();
    finish([
        start(move || {
            let mut writer = Writer::options().wait_strategy(wait).connect(&name).unwrap();
            writer.set_metadata(b"metadata").unwrap();
            write_all(&mut writer, FRAMES);
            leave(writer);
        }),
        start(move || {
            for sequence in 1..=FRAMES {
                let frame = reader.read().unwrap().expect("more is to come");
                assert_eq!(frame.sequence(), sequence);
                check(sequence, &frame);
                drop(frame);
                if sequence == 10 {
                    assert_eq!(
                        &reader.metadata().unwrap().expect("it was set first")[..],
                        b"metadata"
                    );
                }
            }
        }),
    ]);
}

fn kept_frames(_: Place) {
    let name = name("kept");
    let mut reader = Reader::create(&name, &config()).unwrap();
    finish([
        start(move || {
            let mut writer = Writer::connect(&name).unwrap();
            while writer.next_sequence() <= FRAMES {
                let sequence = writer.next_sequence();
                let mut loan = writer.loan(len(sequence)).unwrap();
                loan.fill(sequence as u8);
                loan.commit();
                let mut batch = writer.batch();
                for sequence in sequence + 1..sequence + 5 {
                    batch.push(&frame(sequence, 100)).unwrap();
                }
                batch.commit();
            }
            leave(writer);
        }),
        start(move || {
            let mut keepers = Keepers::default();
            for sequence in 1..=FRAMES {
                let frame = reader.read().unwrap().expect("more is to come");
                check(sequence, &frame);
                if sequence % 3 != 0 {
                    keepers.keep(frame.into_owned());
                }
            }
            keepers.finish();
        }),
    ]);
}

/// Each writer numbers its frames from 1.
fn successive_writers(_: Place) {
    const EACH: u64 = 150;
    let name = name("successive");
    let mut reader = Reader::create(&name, &config()).unwrap();
    let reading = start(move || {
        let mut read = 0;
        while read < FRAMES {
            // None: a writer has closed.
            if let Some(frame) = reader.read().unwrap() {
                assert_eq!(frame.sequence(), read % EACH + 1);
                check(frame.sequence(), &frame);
                read += 1;
            }
        }
    });
    let writing = start(move || {
        for _ in 0..FRAMES / EACH {
            let name = name.clone();
            finish([start(move || {
                let mut writer = Writer::connect(&name).unwrap();
                write_all(&mut writer, EACH);
                leave(writer);
            })]);
        }
    });
    finish([reading, writing]);
}

fn looking_on(_: Place) {
    let name = name("looking-on");
    let mut reader = Reader::create(&name, &config()).unwrap();
    let over = Signal::new();
    let looked_at = name.clone();
    finish([
        start(move || {
            let mut writer = Writer::connect(&name).unwrap();
            writer.set_metadata(b"metadata").unwrap();
            write_all(&mut writer, FRAMES);
            let _ = (writer.readers(), writer.undelivered(), writer.stats());
            leave(writer);
        }),
        start(move || {
            for sequence in 1..=FRAMES {
                let frame = reader.read().unwrap().expect("more is to come");
                check(sequence, &frame);
            }
            over.give();
        }),
        start(move || {
            while !over.is_given() {
                let _ = inspect::snapshot(&looked_at, "/dev/shm".as_ref());
            }
        }),
    ]);
}
