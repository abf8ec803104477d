//! Those who die.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use zerobuffer::duplex::{Client, Server, ServerOptions};
use zerobuffer::{BufferConfig, OpenError, Reader, Writer};

use super::{Kind, Meeting};

#[derive(Debug, Args)]
pub(crate) struct VictimArgs {
    #[arg(long)]
    kind: Kind,
    #[arg(long)]
    name: String,
    #[arg(long)]
    dir: PathBuf,
}

/// How long one side waits for the other at the start.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a frame, some of which fill a ring.
pub(super) const BYTES: usize = 700;
pub(super) const GROUP: &str = "group";

pub(super) fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(4096)
}

pub(super) fn config_v1() -> BufferConfig {
    BufferConfig::v1().payload_bytes(4096)
}

/// Small buffers: what is measured is not how long the kernel takes to free large ones.
pub(super) fn server_options(dir: &Path) -> ServerOptions {
    Server::options().dir(dir).request_buffer(config()).response_buffer(config())
}

/// Plays one until it is killed.
pub(crate) fn play(args: &VictimArgs) -> anyhow::Result<()> {
    crate::ends::lifeline();
    let (name, dir) = (&args.name, &args.dir);
    match args.kind {
        Kind::Reader | Kind::AsyncReader => {
            let mut writer = Writer::options().dir(dir).create(name, &config())?;
            writer.write(&[1; BYTES])?;
            linger()
        }
        Kind::Writer | Kind::AsyncWriter => {
            let reader = Reader::options().dir(dir).wait_for_buffer(PATIENCE);
            keep_one(reader.join(name)?)
        }
        Kind::Member => {
            let reader = Reader::options().dir(dir).wait_for_buffer(PATIENCE);
            keep_one(reader.group(GROUP).join(name)?)
        }
        Kind::V1Reader => {
            let options = Writer::options();
            let mut writer = retried(|| options.connect(name))?;
            writer.write(&[1; BYTES])?;
            linger()
        }
        Kind::V1Writer => keep_one(Reader::options().create(name, &config_v1())?),
        Kind::Client => {
            let server = server_options(dir).create(name)?;
            let _request = server.receive(PATIENCE)?;
            linger()
        }
        Kind::Server => {
            let options = Client::options().dir(dir).wait_for_server(PATIENCE);
            let client = options.connect(name)?;
            drop(client.call(&[1; BYTES], PATIENCE)?);
            linger()
        }
    }
}

/// Holds the first frame.
fn keep_one(mut reader: Reader) -> anyhow::Result<()> {
    let _kept = reader.read()?.map(zerobuffer::Frame::into_owned);
    linger()
}

/// Says that it may die, and waits for that.
fn linger() -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(&[1])?;
    out.flush()?;
    loop {
        std::thread::park();
    }
}

impl Meeting {
    pub(super) fn writer(&self) -> zerobuffer::WriterOptions {
        let forever = zerobuffer::FullPolicy::Block { timeout: None };
        Writer::options().dir(&self.dir).full_policy(forever)
    }

    pub(super) fn reader(&self) -> zerobuffer::ReaderOptions {
        Reader::options().dir(&self.dir).wait_for_buffer(PATIENCE)
    }
}

/// Until the reader of a 1.0 buffer has made it.
pub(super) fn retried<T>(open: impl Fn() -> Result<T, OpenError>) -> Result<T, OpenError> {
    let begun = Instant::now();
    loop {
        match open() {
            Err(error) if error.is_not_found() && begun.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(1));
            }
            opened => return opened,
        }
    }
}
