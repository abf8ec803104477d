//! Every method of the async layer, called in a forked child on what it inherited: says `Forked`, or does nothing.
//! The waiting thread is not there, and its table may be locked for ever.

#[path = "../../zerobuffer/tests/forked_rows/mod.rs"]
mod forked_rows;

use std::os::fd::AsFd;
use std::path::Path;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use forked_rows::{Rows, methods_of, row, says_forked};
use futures::executor::block_on;
use futures::{SinkExt, StreamExt};
use zerobuffer::duplex::{Client, Failure, Request, Server};
use zerobuffer::{BufferConfig, Reader, Writer};
use zerobuffer_async::{
    AsyncClient, AsyncReader, AsyncServer, AsyncWaitSet, AsyncWriter, PolledReader, PolledWriter,
    Token, Told, WaitSet,
};

const LONG: Duration = Duration::from_secs(600);

fn ready(told: Poll<bool>) -> bool {
    told == Poll::Ready(true)
}

fn told_forked(told: Option<(Token, Told<'_>)>) -> bool {
    told.is_some_and(|(_, told)| says_forked(told))
}

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("zerobuffer-test-").tempdir_in("/dev/shm");
        Self(dir.unwrap())
    }

    fn writer(&self, name: &str) -> Writer {
        let config = BufferConfig::new().payload_bytes(64 << 10);
        Writer::options().dir(self.0.path()).create(name, &config).unwrap()
    }

    fn reader(&self, name: &str) -> Reader {
        Reader::options().dir(self.0.path()).join(name).unwrap()
    }
}

fn end_rows(rows: &mut Rows) {
    let dir = Dir::new();
    let mut writer = AsyncWriter::new(dir.writer("ends")).unwrap();
    let mut reader = AsyncReader::new(dir.reader("ends")).unwrap();
    block_on(writer.write(b"first")).unwrap();
    assert_eq!(&block_on(reader.read()).unwrap().unwrap()[..], b"first");
    let mut context = Context::from_waker(Waker::noop());
    // It waits at its place with the waiting thread.
    assert!(reader.poll_read(&mut context).is_pending());
    row!(rows, "AsyncReader::read", says_forked(block_on(reader.read())));
    row!(rows, "AsyncReader::next_batch", says_forked(block_on(reader.next_batch(2))));
    row!(rows, "AsyncReader::poll_read", {
        ready(reader.poll_read(&mut context).map(says_forked))
    });
    row!(rows, "AsyncReader::into_stream", {
        block_on(reader.into_stream().next()).is_some_and(says_forked)
    });
    row!(rows, "Frames::into_reader", {
        says_forked(block_on(reader.into_stream().into_reader().read()))
    });
    row!(rows, "AsyncReader::get_ref", reader.get_ref().backlog_bytes() == 0);
    row!(rows, "AsyncReader::get_mut", says_forked(reader.get_mut().try_read()));
    row!(rows, "AsyncReader::into_inner", says_forked(reader.into_inner().try_read()));
    row!(rows, "AsyncReader (dropped)", {
        drop(reader);
        true
    });
    row!(rows, "AsyncWriter::write", says_forked(block_on(writer.write(b"x"))));
    row!(rows, "AsyncWriter::loan", says_forked(block_on(writer.loan(1))));
    row!(rows, "AsyncWriter::poll_write", {
        ready(writer.poll_write(&mut context, b"x").map(says_forked))
    });
    row!(rows, "AsyncWriter::into_sink", {
        let mut sink = writer.into_sink::<Vec<u8>>();
        says_forked(block_on(sink.send(vec![1])))
    });
    row!(rows, "FrameSink::into_parts", {
        let (mut writer, left) = writer.into_sink::<Vec<u8>>().into_parts();
        left.is_none() && says_forked(writer.get_mut().write(b"x"))
    });
    row!(rows, "AsyncWriter::get_ref", writer.get_ref().readers().is_empty());
    row!(rows, "AsyncWriter::get_mut", says_forked(writer.get_mut().write(b"x")));
    row!(rows, "AsyncWriter::into_inner", says_forked(writer.into_inner().write(b"x")));
    row!(rows, "AsyncWriter (dropped)", {
        drop(writer);
        true
    });
    // A child has a waiting thread of its own for its own endpoints.
    row!(rows, "AsyncReader (the child's own)", {
        let mut writer = AsyncWriter::new(dir.writer("own")).unwrap();
        let mut reader = AsyncReader::new(dir.reader("own")).unwrap();
        let sent = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            block_on(writer.write(b"own")).unwrap();
        });
        let is_there = block_on(reader.read()).unwrap().is_some_and(|frame| &frame[..] == b"own");
        sent.join().is_ok() && is_there
    });
    block_on(writer.write(b"second")).unwrap();
    assert_eq!(&block_on(reader.read()).unwrap().unwrap()[..], b"second");
}

fn polled_rows(rows: &mut Rows) {
    let dir = Dir::new();
    let mut writer = PolledWriter::new(dir.writer("polled")).unwrap();
    let mut reader = PolledReader::new(dir.reader("polled")).unwrap();
    writer.try_write(b"first").unwrap();
    assert_eq!(&reader.try_read().unwrap().unwrap()[..], b"first");
    assert!(reader.try_read().is_err());
    row!(rows, "PolledReader::try_read", says_forked(reader.try_read()));
    row!(rows, "PolledReader::try_read_batch", says_forked(reader.try_read_batch(2)));
    row!(rows, "PolledReader::get_ref", reader.get_ref().backlog_bytes() == 0);
    row!(rows, "PolledReader::into_inner", says_forked(reader.into_inner().try_read()));
    row!(rows, "PolledReader (its descriptor)", reader.as_fd().try_clone_to_owned().is_ok());
    row!(rows, "PolledReader (dropped)", {
        drop(reader);
        true
    });
    row!(rows, "PolledWriter::try_write", says_forked(writer.try_write(b"x")));
    row!(rows, "PolledWriter::try_loan", says_forked(writer.try_loan(1)));
    row!(rows, "PolledWriter::get_ref", writer.get_ref().readers().is_empty());
    row!(rows, "PolledWriter::into_inner", says_forked(writer.into_inner().write(b"x")));
    row!(rows, "PolledWriter (dropped)", {
        drop(writer);
        true
    });
    writer.try_write(b"second").unwrap();
    assert_eq!(&reader.try_read().unwrap().unwrap()[..], b"second");
}

fn set_rows(rows: &mut Rows) {
    let dir = Dir::new();
    let mut writer = dir.writer("set");
    let mut set = WaitSet::new();
    let token = set.add(dir.reader("set"));
    writer.write(b"first").unwrap();
    assert!(set.next().is_some());
    row!(rows, "WaitSet::add", {
        set.add(set_reader(&dir));
        set.len() == 2
    });
    row!(rows, "WaitSet::remove", says_forked(set.remove(token).unwrap().try_read()));
    row!(rows, "WaitSet::get", set.get(token).unwrap().backlog_bytes() == 0);
    row!(rows, "WaitSet::get_mut", says_forked(set.get_mut(token).unwrap().try_read()));
    row!(rows, "WaitSet::len", set.len() == 1);
    row!(rows, "WaitSet::is_empty", !set.is_empty());
    row!(rows, "WaitSet::tokens", set.tokens().count() == 1);
    row!(rows, "WaitSet::next", told_forked(set.next()));
    row!(rows, "WaitSet::next_timeout", told_forked(set.next_timeout(LONG)));
    row!(rows, "WaitSet::try_next", told_forked(set.try_next()));
    row!(rows, "WaitSet (dropped)", {
        drop(set);
        true
    });
    writer.write(b"second").unwrap();
    assert!(set.next().is_some());

    let mut set = AsyncWaitSet::new();
    let path = dir.0.path().to_owned();
    let token = set.add(set_reader(&dir)).unwrap();
    writer.write(b"third").unwrap();
    assert!(block_on(set.next()).is_some());
    row!(rows, "AsyncWaitSet::add", {
        // The parent's says so each time; the child's own is waited for.
        let own = set.add(set_reader(&dir)).unwrap();
        assert!(told_forked(block_on(set.next())));
        drop(set.remove(token));
        let there = path.clone();
        let sent = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            let config = BufferConfig::new().payload_bytes(64 << 10);
            let mut writer = Writer::options().dir(&path).create("other", &config).unwrap();
            writer.write(b"own").unwrap();
            writer
        });
        drop(set.remove(own));
        let other = Reader::options().dir(there).ephemeral().wait_for_buffer(LONG);
        set.add(other.join("other").unwrap()).unwrap();
        let is_there = block_on(set.next()).is_some_and(|(_, told)| told.unwrap().is_some());
        sent.join().is_ok() && is_there
    });
    row!(rows, "AsyncWaitSet::remove", says_forked(set.remove(token).unwrap().try_read()));
    row!(rows, "AsyncWaitSet::get", set.get(token).unwrap().backlog_bytes() == 0);
    row!(rows, "AsyncWaitSet::get_mut", says_forked(set.get_mut(token).unwrap().try_read()));
    row!(rows, "AsyncWaitSet::len", set.len() == 1);
    row!(rows, "AsyncWaitSet::is_empty", !set.is_empty());
    row!(rows, "AsyncWaitSet::tokens", set.tokens().count() == 1);
    row!(rows, "AsyncWaitSet::next", told_forked(block_on(set.next())));
    row!(rows, "AsyncWaitSet::try_next", told_forked(set.try_next()));
    row!(rows, "AsyncWaitSet (dropped)", {
        drop(set);
        true
    });
    writer.write(b"fourth").unwrap();
    assert!(block_on(set.next()).is_some());
}

fn set_reader(dir: &Dir) -> Reader {
    Reader::options().dir(dir.0.path()).ephemeral().join("set").unwrap()
}

fn call_rows(rows: &mut Rows) {
    let dir = Dir::new();
    let server = Server::options().dir(dir.0.path()).create("calls").unwrap();
    let client = Client::options().dir(dir.0.path()).connect("calls").unwrap();
    let mut server = AsyncServer::new(server).unwrap();
    let client = AsyncClient::new(client).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    {
        let mut call = Box::pin(client.call(b"first"));
        assert!(call.as_mut().poll(&mut context).is_pending());
        row!(rows, "AsyncClient (a call that waits)", says_forked(block_on(call)));
        row!(rows, "AsyncClient (a call that waits, dropped)", {
            drop(call);
            true
        });
        row!(rows, "AsyncServer::receive", says_forked(block_on(server.receive())));
        row!(rows, "AsyncServer::serve", {
            let echo = async |request: &Request| Ok::<_, Failure>(request.to_vec());
            says_forked(block_on(server.serve(2, echo)))
        });
        row!(rows, "AsyncServer::get_ref", server.get_ref().stats().answers == 0);
        row!(rows, "AsyncServer::into_inner", says_forked(server.into_inner().receive(LONG)));
        row!(rows, "AsyncServer (dropped)", {
            drop(server);
            true
        });
        row!(rows, "AsyncClient::call", says_forked(block_on(client.call(b"x"))));
        row!(rows, "AsyncClient::call_with", says_forked(block_on(client.call_with(1, |_| ()))));
        row!(rows, "AsyncClient::loan", says_forked(block_on(client.loan(1))));
        row!(rows, "AsyncClient::get_ref", client.get_ref().in_flight() == 0);
        let request = block_on(server.receive()).unwrap();
        row!(rows, "answer", says_forked(block_on(zerobuffer_async::answer(&request, b"x"))));
        row!(rows, "fail", {
            let failure = Failure::new(1, "no");
            says_forked(block_on(zerobuffer_async::fail(&request, &failure)))
        });
        block_on(zerobuffer_async::answer(&request, b"answer")).unwrap();
        drop(request);
        assert_eq!(&block_on(call).unwrap()[..], b"answer");
    }
    row!(rows, "AsyncClient (dropped)", {
        drop(client);
        true
    });
}

#[test]
fn every_method_called_in_a_forked_child_says_so_or_does_nothing() {
    let mut rows = Rows::default();
    end_rows(&mut rows);
    polled_rows(&mut rows);
    set_rows(&mut rows);
    call_rows(&mut rows);
    rows.finish();
    let methods = methods_of(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(methods.len() > 40, "the sources are found: {methods:?}");
    let missing: Vec<_> = methods.iter().filter(|method| !rows.has(method)).collect();
    assert!(missing.is_empty(), "call these in a forked child, too: {missing:?}");
}
