//! Frames handed to worker threads without a copy, and released in whatever order the workers finish.
//!
//! ```sh
//! cargo run --release --example owned_frames
//! ```

use std::sync::{Mutex, mpsc};
use std::thread;

use zerobuffer::{BufferConfig, OwnedFrame, Reader, Writer};

const FRAMES: u64 = 200;
const FRAME_BYTES: usize = 256 << 10;

fn main() -> zerobuffer::Result<()> {
    let name = format!("owned-frames-{}", std::process::id());
    let mut writer = Writer::create(&name, &BufferConfig::new().room_for(8, FRAME_BYTES))?;
    let mut reader = Reader::join(&name)?;
    let source = thread::spawn(move || -> zerobuffer::Result<()> {
        for number in 0..FRAMES {
            // Blocks while the workers hold all there is room for.
            let mut frame = writer.loan(FRAME_BYTES)?;
            frame.fill(number as u8);
            frame.commit();
        }
        Ok(())
    });
    let (work, queue) = mpsc::channel::<OwnedFrame>();
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        for worker in 0..3 {
            let queue = &queue;
            scope.spawn(move || {
                let mut done = 0;
                loop {
                    let Ok(frame) = queue.lock().expect("no worker panics").recv() else { break };
                    let sum: u64 = frame.iter().map(|&byte| u64::from(byte)).sum();
                    assert_eq!(sum, (frame.sequence() - 1) % 256 * FRAME_BYTES as u64);
                    done += 1;
                } // The frame goes back to the ring here.
                println!("worker {worker} did {done} frames");
            });
        }
        while let Some(frame) = reader.read()? {
            // The frame outlives the next read; the writer will not touch it before it is dropped.
            let _ = work.send(frame.into_owned());
        }
        drop(work);
        Ok::<_, zerobuffer::ReadError>(())
    })?;
    source.join().expect("the source does not panic")
}
