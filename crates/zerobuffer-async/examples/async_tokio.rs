//! Under tokio: a camera, a stream that works on its pictures and passes them on, and a viewer that gives up waiting now and
//! then.
//!
//! ```sh
//! cargo run -p zerobuffer-async --example async_tokio
//! ```

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use tokio::time::{sleep, timeout};
use zerobuffer::{BufferConfig, Reader, Writer};
use zerobuffer_async::{AsyncReader, AsyncWriter};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const PICTURES: u64 = 60;
const PICTURE_BYTES: usize = 640 * 480;

/// Fills pictures in place.
async fn camera(mut writer: AsyncWriter) -> Outcome<()> {
    for number in 1..=PICTURES {
        let mut picture = writer.loan(PICTURE_BYTES).await?;
        picture.fill(number as u8);
        picture.commit();
        sleep(Duration::from_millis(3)).await;
    }
    Ok(())
}

/// Every picture becomes eight bytes.
async fn measure(pictures: AsyncReader, results: AsyncWriter) -> Outcome<()> {
    let mut pictures = pictures.into_stream();
    let mut results = results.into_sink();
    while let Some(picture) = pictures.next().await {
        let sum: u64 = picture?.iter().map(|byte| u64::from(*byte)).sum();
        results.send(sum.to_le_bytes()).await?;
    }
    Ok(())
}

/// How many results there were, and how often it had something else to do meanwhile.
async fn viewer(mut results: AsyncReader) -> Outcome<(u64, u64)> {
    let (mut seen, mut idle) = (0, 0);
    loop {
        // A read that is dropped when the time is up loses nothing.
        match timeout(Duration::from_millis(1), results.read()).await {
            Ok(Ok(Some(result))) => {
                let sum = u64::from_le_bytes(result[..].try_into()?);
                seen += 1;
                assert_eq!(sum, seen * PICTURE_BYTES as u64);
            }
            Ok(Ok(None)) => return Ok((seen, idle)),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => idle += 1,
        }
    }
}

fn ends(name: &str, config: &BufferConfig) -> Outcome<(AsyncWriter, AsyncReader)> {
    let writer = Writer::create(name, config)?;
    Ok((AsyncWriter::new(writer)?, AsyncReader::new(Reader::join(name)?)?))
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let id = std::process::id();
    let config = BufferConfig::new().room_for(3, PICTURE_BYTES);
    let (shutter, pictures) = ends(&format!("async-pictures-{id}"), &config)?;
    let (sums, results) = ends(&format!("async-sums-{id}"), &BufferConfig::new())?;
    let camera = tokio::spawn(camera(shutter));
    let measuring = tokio::spawn(measure(pictures, sums));
    let (seen, idle) = viewer(results).await?;
    camera.await??;
    measuring.await??;
    assert_eq!(seen, PICTURES);
    println!("{seen} pictures, measured on the way; the viewer was idle {idle} times");
    Ok(())
}
