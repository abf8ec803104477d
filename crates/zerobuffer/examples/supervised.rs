//! Programs that outlive each other: a writer and a reader that are killed and started again, as an orchestrator does.
//!
//! Run without arguments it is the orchestrator: it starts itself as `writer` and as `reader`, kills each a few times in
//! the middle of its work, and starts it again with the same command line. Every frame arrives, in order.
//!
//! ```sh
//! cargo run --example supervised
//! ```

use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use zerobuffer::{BufferConfig, Event, ReadError, Reader, WriteError, Writer};

const FRAMES: u64 = 2000;

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(1 << 16)
}

/// Writes frames until the last one; it does not know, and need not, whether it is the first to try.
fn write(name: &str) -> zerobuffer::Result<()> {
    let mut writer = Writer::create(name, &config())?;
    while writer.next_sequence() <= FRAMES {
        let number = writer.next_sequence();
        match writer.write(&number.to_le_bytes()) {
            Ok(_) => sleep(Duration::from_micros(200)),
            Err(WriteError::ReaderGone { .. }) => println!("writer: waiting for the next reader"),
            Err(error) => return Err(error.into()),
        }
    }
    // Not gone before the reader has everything; one that dies now still finds it in the buffer.
    writer.wait_drained(None);
    Ok(())
}

/// Reads frames until the last one.
fn read(name: &str) -> zerobuffer::Result<()> {
    let mut reader = Reader::create(name, &config())?;
    loop {
        match reader.read() {
            Ok(Some(frame)) => {
                assert_eq!(frame[..], frame.sequence().to_le_bytes());
                if frame.is_redelivered() {
                    println!("reader: frame {} again", frame.sequence());
                }
                let is_last = frame.sequence() == FRAMES;
                drop(frame);
                if is_last {
                    println!("reader: all {FRAMES} frames");
                    return Ok(());
                }
            }
            // Closed gracefully; here it means that there is another to come.
            Ok(None) => {}
            Err(ReadError::WriterGone { pid, .. }) => println!("reader: writer {pid} died"),
            Err(error) => return Err(error.into()),
        }
        for event in reader.events() {
            if let Event::WriterAttached { generation } = event {
                println!("reader: writer number {generation}");
            }
        }
    }
}

fn start(role: &str, name: &str) -> Child {
    let program = std::env::current_exe().expect("this program has a path");
    Command::new(program).args([role, name]).spawn().expect("this program can be started")
}

/// Kills either side now and then, and starts it again, until the reader has everything.
fn supervise(name: &str) {
    let (mut writer, mut reader) = (start("writer", name), start("reader", name));
    for round in 0..6 {
        sleep(Duration::from_millis(60));
        let (role, child) =
            if round % 2 == 0 { ("writer", &mut writer) } else { ("reader", &mut reader) };
        child.kill().expect("a child can be killed");
        if !child.wait().expect("a child can be waited for").success() {
            println!("-- killed the {role}");
        }
        *child = start(role, name);
    }
    assert!(reader.wait().expect("a child can be waited for").success());
    assert!(writer.wait().expect("a child can be waited for").success());
}

fn main() -> zerobuffer::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["writer", name] => write(name),
        ["reader", name] => read(name),
        _ => {
            supervise(&format!("supervised-{}", std::process::id()));
            Ok(())
        }
    }
}
