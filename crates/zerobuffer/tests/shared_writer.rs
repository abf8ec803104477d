//! One writer for many threads: frames whole, none lost, each thread's in its order.

mod common;

use common::{reader_in, shm_dir, writer_in};
use zerobuffer::attributes::Attributes;
use zerobuffer::{BufferConfig, SharedWriter};

const THREADS: u64 = 8;

/// How many frames each thread writes; `SHARED_WRITER_FRAMES` asks for more.
fn frames() -> u64 {
    let asked = std::env::var("SHARED_WRITER_FRAMES").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(20_000)
}

/// Frame `number` of a thread: its name, its number, and bytes that tell whether it is whole.
fn payload(thread: u64, number: u64) -> Vec<u8> {
    let mut bytes = [thread, number].map(u64::to_le_bytes).concat();
    bytes.resize(16 + (number % 50) as usize, (thread * 31 + number) as u8);
    bytes
}

#[test]
fn threads_lose_nothing_tear_nothing_and_keep_their_order() {
    let dir = shm_dir();
    let config = BufferConfig::new().payload_bytes(1 << 20);
    let writer = SharedWriter::new(writer_in(dir.path()).create("b", &config).unwrap());
    let mut reader = reader_in(dir.path()).join("b").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let writer = writer.clone();
            scope.spawn(move || {
                let mut attributes = Attributes::new();
                for number in 0..frames() {
                    let bytes = payload(thread, number);
                    match number % 10 {
                        0 => {
                            attributes.set_source_sequence(number);
                            writer.write_with(&attributes, &bytes).unwrap();
                        }
                        1 => writer
                            .with(|writer| {
                                let mut loan = writer.loan(bytes.len()).unwrap();
                                loan.copy_from_slice(&bytes);
                                loan.commit();
                            })
                            .unwrap(),
                        _ => _ = writer.write(&bytes).unwrap(),
                    }
                }
            });
        }
        let mut next = [0; THREADS as usize];
        for sequence in 1..=THREADS * frames() {
            let frame = reader.read().unwrap().unwrap();
            assert_eq!(frame.sequence(), sequence);
            let thread = u64::from_le_bytes(*frame.first_chunk().unwrap());
            let number = &mut next[thread as usize];
            assert!(frame[..] == payload(thread, *number), "frame {number} of thread {thread}");
            if *number % 10 == 0 {
                assert_eq!(frame.attributes().unwrap().source_sequence(), Some(*number));
            }
            *number += 1;
        }
    });
    assert_eq!(writer.name(), "b");
    let clone = writer.clone();
    let writer = writer.into_writer().unwrap_err();
    drop(clone);
    assert_eq!(writer.into_writer().unwrap().stats().frames, THREADS * frames());
}

#[test]
fn a_thread_that_panics_leaves_the_writer_to_the_others() {
    let dir = shm_dir();
    let writer = writer_in(dir.path()).create("b", &BufferConfig::new()).unwrap();
    let writer = SharedWriter::new(writer);
    let other = writer.clone();
    let panicked = std::thread::spawn(move || {
        other.with(|writer| {
            _ = writer.loan(10).unwrap();
            panic!("within a turn");
        })
    });
    assert!(panicked.join().is_err());
    assert_eq!(writer.write(b"after it").unwrap().sequence(), Some(1));
}
