//! Those who sleep, and are to be told.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use zerobuffer::duplex::Client;
use zerobuffer::{FullPolicy, Reader, Writer, inspect};
use zerobuffer_async::{AsyncReader, AsyncWriter};

use super::victims::{BYTES, GROUP, PATIENCE, config, config_v1, retried, server_options};
use super::{Kind, Meeting};

/// Waits until a death was told; when that was.
pub(super) fn wait(meeting: &Meeting) -> anyhow::Result<Instant> {
    let name = &meeting.name;
    match meeting.kind {
        Kind::Reader => read(meeting.reader().join(name)?),
        Kind::AsyncReader => {
            let mut reader = AsyncReader::new(meeting.reader().join(name)?)?;
            drop(block_on(reader.read())?);
            let is_told = block_on(reader.read()).is_err_and(|error| error.is_peer_gone());
            let told = Instant::now();
            reader.into_inner().unsubscribe();
            ensure!(is_told, "there was something else to tell");
            Ok(told)
        }
        Kind::Writer => write(meeting.writer().create(name, &config())?),
        Kind::AsyncWriter => {
            let mut writer = AsyncWriter::new(meeting.writer().create(name, &config())?)?;
            let error = loop {
                if let Err(error) = block_on(writer.write(&[1; BYTES])) {
                    break error;
                }
            };
            let told = Instant::now();
            writer.into_inner().discard_undelivered();
            ensure!(error.is_peer_gone(), error);
            Ok(told)
        }
        Kind::Member => take_over(meeting),
        Kind::V1Reader => read(Reader::options().create(name, &config_v1())?),
        Kind::V1Writer => {
            let options = Writer::options().full_policy(FullPolicy::Block { timeout: None });
            let told = write(retried(|| options.connect(name))?)?;
            // Removes what the dead one has left.
            drop(Reader::options().create(name, &config_v1())?);
            Ok(told)
        }
        Kind::Client => {
            let options = Client::options().dir(&meeting.dir).wait_for_server(PATIENCE);
            let client = options.connect(name)?;
            let answer = client.call(&[1; BYTES], 2 * PATIENCE);
            let told = Instant::now();
            let error = answer.err();
            ensure!(
                error.as_ref().is_some_and(|error| error.is_peer_gone()),
                "not told of the server's death but {error:?}"
            );
            Ok(told)
        }
        Kind::Server => serve(meeting),
    }
}

fn read(mut reader: Reader) -> anyhow::Result<Instant> {
    drop(reader.read()?);
    let is_told = reader.read().is_err_and(|error| error.is_peer_gone());
    let told = Instant::now();
    reader.unsubscribe();
    ensure!(is_told, "there was something else to tell");
    Ok(told)
}

fn write(mut writer: Writer) -> anyhow::Result<Instant> {
    let error = loop {
        if let Err(error) = writer.write(&[1; BYTES]) {
            break error;
        }
    };
    let told = Instant::now();
    writer.discard_undelivered();
    ensure!(error.is_peer_gone(), error);
    Ok(told)
}

/// The only frame is the victim's when this member comes.
fn take_over(meeting: &Meeting) -> anyhow::Result<Instant> {
    let mut writer = meeting.writer().create(&meeting.name, &config())?;
    writer.write(&[1; BYTES])?;
    // It is claimed before there is anybody else to claim it.
    let options = meeting.reader().group(GROUP);
    while !inspect::snapshot(&meeting.name, &meeting.dir)?
        .readers
        .iter()
        .any(|reader| reader.held_frames > 0)
    {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut member = options.join(&meeting.name)?;
    let is_again = member.read()?.is_some_and(|frame| frame.is_redelivered());
    let told = Instant::now();
    ensure!(is_again, "the frame that came was nobody's before");
    member.unsubscribe();
    writer.discard_undelivered();
    Ok(told)
}

/// A server of many clients tells nobody: the dead one's buffers are removed.
fn serve(meeting: &Meeting) -> anyhow::Result<Instant> {
    let server = server_options(&meeting.dir).create_for_many(&meeting.name)?;
    let stopper = server.stopper();
    let is_asked = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| {
            server.serve(|request| {
                is_asked.store(true, Ordering::Release);
                Ok(request.to_vec())
            })
        });
        // The client's buffers are there then.
        while !is_asked.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let own_channel = format!("{}.", meeting.name);
        let is_there = |buffer: &inspect::Listing| buffer.name.starts_with(&own_channel);
        while inspect::list(&meeting.dir)?.iter().any(is_there) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let told = Instant::now();
        stopper.stop();
        serving.join().map_err(|_| anyhow::anyhow!("the server panicked"))??;
        Ok(told)
    })
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(told) = future.as_mut().poll(&mut context) {
            return told;
        }
        std::thread::park();
    }
}
