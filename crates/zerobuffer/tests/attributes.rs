//! Attributes beside frames: carried to readers of every kind, by reference and by copy, of every size.

mod common;

use std::path::Path;
use std::time::Duration;

use common::{reader_in, shm_dir, writer_in};
use zerobuffer::attributes::{Attributes, FrameFlags};
use zerobuffer::{BufferConfig, Frame, Reader, StartAt, WriteError, Writer};

const FRAMES: u64 = 200;

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(256 << 10)
}

/// Attributes of the frame `number`: none for some, and of many lengths.
fn attributes_of(number: u64) -> Attributes {
    let mut attributes = Attributes::new();
    if !number.is_multiple_of(3) {
        attributes.set_source_sequence(number).set_presentation_time(Duration::from_nanos(number));
        attributes.set_flags(FrameFlags::from_bits(number as u32));
        attributes.set(200, &vec![number as u8; (number * 7 % 256) as usize]).unwrap();
    }
    attributes
}

/// Its payload: from nothing to some thousand bytes.
fn payload_of(number: u64) -> Vec<u8> {
    vec![number as u8; (number * number * 31 % 5000) as usize]
}

fn write(writer: &mut Writer, number: u64) {
    let (attributes, payload) = (attributes_of(number), payload_of(number));
    let written = match number % 5 {
        0 if attributes.is_empty() && !payload.is_empty() => writer.write(&payload),
        _ => writer.write_with(&attributes, &payload),
    };
    assert_eq!(written.unwrap().sequence(), Some(number));
}

#[track_caller]
fn check(frame: &Frame<'_>) {
    let number = frame.sequence();
    assert_eq!(frame.attributes().unwrap(), attributes_of(number).view(), "{number}");
    assert_eq!(frame[..], payload_of(number), "{number}");
    let mut copy = vec![0; 5000];
    let copied = frame.copy_to(&mut copy);
    assert_eq!(copy[..copied], payload_of(number));
}

#[test]
fn readers_of_every_kind_get_them() {
    type Join = fn(&Path) -> Reader;
    let kinds: [(&str, Join); 5] = [
        ("every", |dir| reader_in(dir).join("b").unwrap()),
        ("ephemeral", |dir| reader_in(dir).ephemeral().join("b").unwrap()),
        ("member", |dir| reader_in(dir).group("crew").join("b").unwrap()),
        ("lossy", |dir| reader_in(dir).lossy().start_at(StartAt::Oldest).join("b").unwrap()),
        ("observer", |dir| reader_in(dir).observe().start_at(StartAt::Oldest).join("b").unwrap()),
    ];
    for (kind, join) in kinds {
        for timestamps in [false, true] {
            let dir = shm_dir();
            let config = config().timestamps(timestamps).keep_for_first_reader(false);
            let mut writer = writer_in(dir.path()).create("b", &config).unwrap();
            let mut reader = join(dir.path());
            let mut kept = Vec::new();
            for number in 1..=FRAMES {
                write(&mut writer, number);
                let frame = reader.try_read().unwrap().expect(kind);
                assert_eq!(frame.sequence(), number, "{kind}");
                check(&frame);
                if number % 10 == 0 {
                    kept.push(frame.into_owned());
                    kept.drain(..kept.len().saturating_sub(3));
                }
            }
            for frame in &kept {
                let number = frame.sequence();
                assert_eq!(frame.attributes().unwrap(), attributes_of(number).view(), "{kind}");
                assert_eq!(frame[..], payload_of(number), "{kind}");
            }
            let payload: u64 = (1..=FRAMES).map(|number| payload_of(number).len() as u64).sum();
            assert_eq!((reader.stats().bytes, writer.stats().bytes), (payload, payload), "{kind}");
        }
    }
}

#[test]
fn a_successor_finds_them_again() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &config()).unwrap();
    for number in 1..=10 {
        write(&mut writer, number);
    }
    drop(writer);
    let mut writer = writer_in(dir.path()).connect("b").unwrap();
    write(&mut writer, 11);
    let mut reader = reader_in(dir.path()).join("b").unwrap();
    for number in 1..=11 {
        let frame = reader.read().unwrap().unwrap();
        assert_eq!(frame.sequence(), number);
        check(&frame);
    }
}

#[test]
fn forwarding_carries_them_by_reference_and_by_copy() {
    for shares in [true, false] {
        let dir = shm_dir();
        let config = config().payload_sharing(shares);
        let mut source = writer_in(dir.path()).create("a", &config).unwrap();
        let mut input = reader_in(dir.path()).join("a").unwrap();
        let mut output = writer_in(dir.path()).create("b", &config).unwrap();
        let mut sink = reader_in(dir.path()).join("b").unwrap();
        let mut watcher =
            reader_in(dir.path()).lossy().start_at(StartAt::Oldest).join("b").unwrap();
        for number in 1..=FRAMES {
            write(&mut source, number);
            let frame = input.read().unwrap().unwrap();
            let forwarded = output.forward(&frame).unwrap();
            assert_eq!(forwarded.copied.is_none(), shares, "{number}: {forwarded:?}");
            drop(frame);
            check(&watcher.read().unwrap().unwrap());
            let frame = sink.read().unwrap().unwrap();
            check(&frame);
        }
    }
}

#[test]
fn batches_are_read_with_them() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &config()).unwrap();
    let mut reader = reader_in(dir.path()).join("b").unwrap();
    for round in 0..20 {
        for number in 1..=10 {
            write(&mut writer, round * 10 + number);
        }
        let mut batch = reader.try_read_batch(100).unwrap().unwrap();
        let mut next = round * 10 + 1;
        while let Some(frame) = batch.next() {
            assert_eq!(frame.sequence, next);
            assert_eq!(*frame.payload, payload_of(next));
            assert_eq!(frame.attributes().unwrap(), attributes_of(next).view());
            next += 1;
        }
        assert_eq!(next, round * 10 + 11);
    }
}

#[test]
fn a_buffer_without_them_says_so() {
    let dir = shm_dir();
    let plain = config().attributes(false);
    let mut writer = writer_in(dir.path()).create("b", &plain).unwrap();
    let refused = writer.write_with(&attributes_of(1), b"x").unwrap_err();
    assert!(matches!(refused, WriteError::NoAttributes { .. }), "{refused}");
    assert!(refused.to_string().contains("attributes(true)"), "{refused}");
    assert_eq!(writer.write(b"x").unwrap().sequence(), Some(1));
    let other = writer_in(dir.path()).create("b", &config()).unwrap_err();
    assert!(other.to_string().contains("b"), "{other}");

    let name = format!("zb-attributes-{}", std::process::id());
    let _reader = Reader::create(&name, &BufferConfig::v1().payload_bytes(4096)).unwrap();
    let mut writer = Writer::connect(&name).unwrap();
    let refused = writer.write_with(&attributes_of(1), b"x").unwrap_err();
    assert!(matches!(refused, WriteError::NoAttributes { .. }), "{refused}");
}

#[test]
fn loans_are_filled_cut_and_given_their_attributes_late() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &config().timestamps(true)).unwrap();
    let mut reader = reader_in(dir.path()).join("b").unwrap();
    let mut long = Attributes::new();
    long.set(128, &[1; 255]).unwrap();
    for len in [0, 1, 7, 64, 900, 1000, 1024, 5000] {
        for keep in [0, 1, len / 2, len, len + 1] {
            let mut attributes = attributes_of(0);
            attributes.set_source_sequence(0);
            let mut loan = writer.loan_with(&attributes, len).unwrap();
            assert_eq!(loan.len(), len);
            let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
            loan.copy_from_slice(&bytes);
            assert_eq!(loan[..], bytes);
            loan.truncate(keep);
            attributes.set_source_sequence(len as u64 + 1);
            loan.set_attributes(&attributes).unwrap();
            let refused = loan.set_attributes(&long).unwrap_err();
            assert!(refused.to_string().contains("room"), "{refused}");
            let sequence = loan.commit();
            let frame = reader.read().unwrap().unwrap();
            assert_eq!(frame.sequence(), sequence);
            assert_eq!(frame[..], bytes[..keep.min(len)], "{len}, {keep}");
            assert_eq!(frame.attributes().unwrap().source_sequence(), Some(len as u64 + 1));
        }
    }
    drop(writer.loan_with(&long, 100).unwrap());
    assert!(reader.try_read().unwrap_err().is_timeout());
}

#[test]
fn large_payloads_begin_on_a_cache_line() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &config()).unwrap();
    let mut reader = reader_in(dir.path()).join("b").unwrap();
    for number in 1..=50 {
        writer.write(&vec![1; number]).unwrap();
        _ = reader.read().unwrap().unwrap();
        writer.write_with(&attributes_of(number as u64), &[1; 4096]).unwrap();
        let frame = reader.read().unwrap().unwrap();
        assert_eq!(frame.as_ptr() as usize % 64, 0, "{number}");
    }
}

#[test]
fn batches_are_written_with_them_and_make_room_for_themselves() {
    let dir = shm_dir();
    let mut writer = writer_in(dir.path()).create("b", &config()).unwrap();
    let mut reader = reader_in(dir.path()).join("b").unwrap();
    let mut next = 1;
    for round in 0..40 {
        let mut batch = writer.batch();
        let first = next;
        for _ in 0..round {
            let (attributes, payload) = (attributes_of(next), payload_of(next));
            let staged = match next % 2 {
                0 if !payload.is_empty() && attributes.is_empty() => batch.push(&payload),
                _ => batch.push_with(&attributes, &payload),
            };
            assert_eq!(staged.unwrap().sequence(), Some(next));
            next += 1;
        }
        assert_eq!(batch.commit(), round);
        for number in first..next {
            let frame = reader.try_read().unwrap().expect("committed");
            assert_eq!(frame.sequence(), number);
            check(&frame);
        }
    }
}

#[test]
fn a_full_ring_drops_or_refuses_them_as_it_does_others() {
    let dir = shm_dir();
    let options = writer_in(dir.path()).full_policy(zerobuffer::FullPolicy::DropNewest);
    let mut writer = options.create("b", &config()).unwrap();
    let mut written = 0;
    while writer.write_with(&attributes_of(1), &[1; 5000]).unwrap().sequence().is_some() {
        written += 1;
    }
    assert!(written > 40, "{written}");
    assert_eq!((writer.stats().dropped_frames, writer.stats().dropped_bytes), (1, 5000));
    let refused = writer.loan_with(&attributes_of(1), 5000).unwrap_err();
    assert!(refused.is_timeout(), "{refused}");
    assert_eq!(writer.stats().dropped_frames, 2);
    let staged = writer.batch().push_with(&attributes_of(1), &[1; 5000]).unwrap();
    assert_eq!(staged.sequence(), None);
    let large = vec![0; writer.max_frame_bytes()];
    let refused = writer.write_with(&attributes_of(1), &large).unwrap_err();
    assert!(matches!(refused, WriteError::FrameTooLarge { .. }), "{refused}");
}
