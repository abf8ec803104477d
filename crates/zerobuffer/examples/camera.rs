//! A camera: two seconds of 1080p I420 frames at 30 a second, filled in place, read in place.
//!
//! Both ends run in this one program to keep it short; they would be the same in two.
//!
//! ```sh
//! cargo run --release --example camera
//! ```

use std::thread;
use std::time::{Duration, Instant};

use zerobuffer::{BufferConfig, FullPolicy, Reader, Writer};

const FRAME_BYTES: usize = 1920 * 1080 * 3 / 2;
const FRAMES: u32 = 60;
const INTERVAL: Duration = Duration::from_nanos(1_000_000_000 / 30);

fn main() -> zerobuffer::Result<()> {
    let name = format!("camera-{}", std::process::id());
    let config = BufferConfig::new().room_for(4, FRAME_BYTES).timestamps(true);
    // A camera cannot wait: what finds no room is dropped and counted.
    let options = Writer::options().full_policy(FullPolicy::DropNewest);
    let writer = options.create(&name, &config)?;
    let mut reader = Reader::join(&name)?;
    let camera = thread::spawn(move || film(writer));
    let mut worst = Duration::ZERO;
    while let Some(frame) = reader.read()? {
        worst = worst.max(frame.age().unwrap_or_default());
        let brightness: u64 = frame[..1920 * 1080].iter().map(|&luma| u64::from(luma)).sum();
        if frame.sequence().is_multiple_of(15) {
            println!("frame {}: brightness {}", frame.sequence(), brightness / (1920 * 1080));
        }
    }
    let dropped = camera.join().expect("the camera does not panic")?;
    println!(
        "{} frames, {dropped} dropped, {worst:?} from commit to read at worst",
        reader.stats().frames
    );
    Ok(())
}

fn film(mut writer: Writer) -> zerobuffer::Result<u64> {
    let begin = Instant::now();
    for number in 0..FRAMES {
        thread::sleep((begin + INTERVAL * number).saturating_duration_since(Instant::now()));
        match writer.loan(FRAME_BYTES) {
            Ok(mut frame) => {
                // Here the driver, or the decoder, would write its pixels: there is no copy after it.
                frame.fill(number as u8);
                frame.commit();
            }
            Err(error) if error.is_timeout() => {} // Full: counted as dropped.
            Err(error) => return Err(error.into()),
        }
    }
    Ok(writer.stats().dropped_frames)
}
