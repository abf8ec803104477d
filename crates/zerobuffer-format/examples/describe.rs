//! Describes frames, and what a description comes to: caps, the short form of pictures, or metadata from a file.
//!
//! ```sh
//! cargo run -p zerobuffer-format --example describe -- 641x481@25:I420
//! cargo run -p zerobuffer-format --example describe -- 'audio/x-raw,format=S16LE,rate=48000,channels=2'
//! cargo run -p zerobuffer-format --example describe -- metadata.json
//! ```

use std::error::Error;

use zerobuffer_format::{StreamInfo, Video};

fn main() -> Result<(), Box<dyn Error>> {
    let mut given: Vec<String> = std::env::args().skip(1).collect();
    if given.is_empty() {
        given = vec![
            "641x481@25:I420".into(),
            "video/x-raw,format=NV12,width=1920,height=1080,framerate=30000/1001".into(),
            "audio/x-raw,format=S16LE,rate=48000,channels=2".into(),
            "video/x-h264,stream-format=byte-stream,width=1280,height=720".into(),
        ];
    }
    for text in given {
        describe(&text)?;
    }
    Ok(())
}

fn describe(text: &str) -> Result<(), Box<dyn Error>> {
    let info = if let Ok(metadata) = std::fs::read(text) {
        StreamInfo::from(metadata)
    } else if text.contains('/') && text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        StreamInfo::from_caps(text)?
    } else {
        StreamInfo::from(text.parse::<Video>()?)
    };
    println!("{info}");
    for (index, plane) in info.planes().iter().enumerate() {
        println!(
            "  plane {index}: from byte {}, {} rows of {} bytes, {} from row to row",
            plane.offset, plane.rows, plane.row_bytes, plane.stride
        );
    }
    if let Some(caps) = info.caps() {
        println!("  {caps}");
    }
    Ok(())
}
