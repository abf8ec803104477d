//! Writes five frames and leaves. They wait in the buffer for `hello_reader`, which may also be started first.
//!
//! ```sh
//! cargo run --example hello_writer
//! ```

use zerobuffer::{BufferConfig, Writer};

fn main() -> zerobuffer::Result<()> {
    let config = BufferConfig::new().payload_bytes(1 << 20);
    let mut writer = Writer::create("hello", &config)?;
    writer.set_metadata(b"text/plain; charset=utf-8")?;
    for number in 1..=5 {
        writer.write(format!("frame number {number}").as_bytes())?;
    }
    println!("wrote 5 frames into `hello`");
    Ok(())
}
