//! Reads what `hello_writer` writes, to its end. Waits ten seconds for the buffer if it is not there yet.
//!
//! ```sh
//! cargo run --example hello_reader
//! ```

use std::time::Duration;

use zerobuffer::Reader;

fn main() -> zerobuffer::Result<()> {
    let mut reader = Reader::options().wait_for_buffer(Duration::from_secs(10)).join("hello")?;
    if let Some(metadata) = reader.metadata()? {
        println!("metadata: {}", String::from_utf8_lossy(&metadata));
    }
    // `None` comes when the writer has closed and everything was read.
    while let Some(frame) = reader.read()? {
        // The frame is the memory that the writer wrote; it goes back to the ring at the end of this block.
        println!("{}: {}", frame.sequence(), String::from_utf8_lossy(&frame));
    }
    Ok(())
}
