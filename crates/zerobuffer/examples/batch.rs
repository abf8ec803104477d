//! Small messages in batches: a million of 32 bytes, each batch visible at once and with one wake-up.
//!
//! ```sh
//! cargo run --release --example batch
//! ```

use std::thread;
use std::time::Instant;

use zerobuffer::{BufferConfig, Reader, Writer};

const MESSAGES: u64 = 1_000_000;
const AT_ONCE: u64 = 100;

fn main() -> zerobuffer::Result<()> {
    let name = format!("batch-{}", std::process::id());
    let mut writer = Writer::create(&name, &BufferConfig::new().payload_bytes(1 << 20))?;
    let mut reader = Reader::join(&name)?;
    let begin = Instant::now();
    let sender = thread::spawn(move || -> zerobuffer::Result<()> {
        for first in (0..MESSAGES).step_by(AT_ONCE as usize) {
            let mut batch = writer.batch();
            for number in first..first + AT_ONCE {
                let mut message = [0; 32];
                message[..8].copy_from_slice(&number.to_le_bytes());
                batch.push(&message)?;
            }
            batch.commit();
        }
        Ok(())
    });
    let mut expected = 0_u64;
    while let Some(mut batch) = reader.read_batch(AT_ONCE as usize)? {
        while let Some(message) = batch.next() {
            assert_eq!(message.payload[..8], expected.to_le_bytes());
            expected += 1;
        }
    }
    sender.join().expect("the sender does not panic")?;
    println!("{expected} messages in {:?}", begin.elapsed());
    Ok(())
}
