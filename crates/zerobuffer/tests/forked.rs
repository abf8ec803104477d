//! Every method of every endpoint, called in a forked child on what it inherited: says `Forked`, or does nothing.
//!
//! Each row of the table forks, right where it stands, so that what is lent, claimed or pending there is inherited
//! too. At the end the parent goes on as if nothing had been, and every public method has had its row.

mod common;
mod forked_rows;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use common::{PATIENCE, frame, is_frame, reader_in, shm_dir, until, writer_in};
use forked_rows::{Rows, methods_of, row, says_forked};
use zerobuffer::attributes::Attributes;
use zerobuffer::duplex::{Client, DuplexChannelFactory, Failure, Request, Server, ServerOptions};
use zerobuffer::{
    Armed, BufferConfig, ForkMark, Protocol, Reader, SharedWriter, StartAt, Writer, WriterPresence,
};

const NOW: Duration = Duration::ZERO;
/// A call that waits this long is killed.
const LONG: Duration = Duration::from_secs(600);
const LEN: usize = 100;

/// A buffer with both its ends.
struct Pair {
    writer: Writer,
    reader: Reader,
    #[allow(dead_code)] // Removed when dropped.
    dir: tempfile::TempDir,
}

fn config() -> BufferConfig {
    BufferConfig::new().payload_bytes(64 << 10).metadata_bytes(256).timestamps(true)
}

/// One of 1.0, with a name that is its own.
fn pair_v1(what: &str) -> Pair {
    let name = format!("zb-forked-{what}-{}", std::process::id());
    let config = BufferConfig::v1().payload_bytes(64 << 10).metadata_bytes(256);
    let reader = Reader::create(&name, &config).unwrap();
    Pair { writer: Writer::connect(&name).unwrap(), reader, dir: shm_dir() }
}

fn pair_v2(join: fn(&Path) -> Reader) -> Pair {
    let dir = shm_dir();
    // Work groups cannot read a buffer that takes part in sharing.
    let shares = !std::ptr::fn_addr_eq(join, member as fn(&Path) -> Reader);
    let writer = writer_in(dir.path()).create("b", &config().payload_sharing(shares)).unwrap();
    let reader = join(dir.path());
    Pair { writer, reader, dir }
}

fn every(dir: &Path) -> Reader {
    reader_in(dir).name("every").join("b").unwrap()
}

fn member(dir: &Path) -> Reader {
    reader_in(dir).group("crew").join("b").unwrap()
}

fn lossy(dir: &Path) -> Reader {
    reader_in(dir).lossy().start_at(StartAt::Oldest).join("b").unwrap()
}

fn observer(dir: &Path) -> Reader {
    reader_in(dir).observe().start_at(StartAt::Oldest).join("b").unwrap()
}

/// Writes frames `from..to`, each of which says which it is.
fn write(writer: &mut Writer, frames: std::ops::Range<u64>) {
    for sequence in frames {
        assert_eq!(writer.write(&frame(sequence, LEN)).unwrap().sequence(), Some(sequence));
    }
}

fn read(reader: &mut Reader, frames: std::ops::Range<u64>) {
    for sequence in frames {
        let frame = reader.read_timeout(PATIENCE).unwrap().unwrap();
        assert!(frame.sequence() == sequence && is_frame(sequence, &frame), "{sequence}");
    }
}

/// Calls on a Writer, and on what it lends.
fn writer_rows(rows: &mut Rows, mut writer: Writer, mut reader: Reader) {
    let is_v2 = writer.protocol() == Protocol::V2;
    let (max, payload) = (writer.max_frame_bytes(), writer.payload_bytes());
    write(&mut writer, 1..4);
    row!(rows, "Writer::name", !writer.name().is_empty());
    row!(rows, "Writer::protocol", (writer.protocol() == Protocol::V2) == is_v2);
    row!(rows, "Writer::max_frame_bytes", writer.max_frame_bytes() == max);
    row!(rows, "Writer::payload_bytes", writer.payload_bytes() == payload);
    row!(rows, "Writer::set_metadata", says_forked(writer.set_metadata(b"x")));
    row!(rows, "Writer::replace_metadata", says_forked(writer.replace_metadata(b"x")));
    row!(rows, "Writer::write", says_forked(writer.write(b"x")));
    row!(rows, "Writer::write", says_forked(writer.write(&vec![0; max])));
    row!(rows, "Writer::try_write", says_forked(writer.try_write(b"x")));
    row!(rows, "Writer::write_timeout", says_forked(writer.write_timeout(b"x", LONG)));
    row!(rows, "Writer::loan", says_forked(writer.loan(1)));
    row!(rows, "Writer::try_loan", says_forked(writer.try_loan(1)));
    row!(rows, "Writer::loan_timeout", says_forked(writer.loan_timeout(1, LONG)));
    row!(rows, "Writer::arm", writer.arm(1) == Armed::Ready || !is_v2);
    row!(rows, "Writer::batch", writer.batch().commit() == 0);
    row!(rows, "WriteBatch::push", says_forked(writer.batch().push(b"x")));
    row!(rows, "Writer::readers", writer.readers().is_empty());
    row!(rows, "Writer::has_live_reader", !writer.has_live_reader());
    row!(rows, "Writer::is_removed", !writer.is_removed());
    row!(rows, "Writer::has_had_reader", !writer.has_had_reader() || !is_v2);
    row!(rows, "Writer::undelivered", writer.undelivered().frames == 0);
    row!(rows, "Writer::wait_drained", !writer.wait_drained(None));
    row!(rows, "Writer::next_sequence", writer.next_sequence() == 4);
    row!(rows, "Writer::stats", writer.stats().frames == 3);
    row!(rows, "Writer::head_position", writer.head_position() < 1 << 20);
    row!(rows, "Writer::discard_undelivered", {
        writer.discard_undelivered();
        true
    });
    row!(rows, "Writer (dropped)", {
        drop(writer);
        true
    });

    let mut batch = writer.batch();
    batch.push(&frame(4, LEN)).unwrap();
    row!(rows, "WriteBatch::push", says_forked(batch.push(b"x")));
    row!(rows, "WriteBatch::commit", batch.commit() == 0);
    row!(rows, "WriteBatch (dropped)", {
        drop(batch);
        true
    });
    assert_eq!(batch.commit(), 1);

    let mut loan = writer.loan(LEN).unwrap();
    loan.copy_from_slice(&frame(5, LEN));
    row!(rows, "FrameMut::commit", loan.commit() == 0);
    row!(rows, "FrameMut::commit", {
        loan.truncate(7);
        loan.commit() == 0
    });
    row!(rows, "FrameMut::truncate", {
        loan.truncate(7);
        loan.len() == 7
    });
    row!(rows, "FrameMut::copy_from_slice", {
        loan.copy_from_slice(&[9; LEN]);
        loan.commit() == 0
    });
    row!(rows, "FrameMut (its bytes)", {
        // Nobody sees what is stored there.
        loan.fill(9);
        loan[..].len() == LEN
    });
    row!(rows, "FrameMut (dropped)", {
        drop(loan);
        true
    });
    assert_eq!(loan.commit(), 5);
    read(&mut reader, 1..6);
}

/// Calls on a Reader, and on what it lends.
fn reader_rows(rows: &mut Rows, mut writer: Writer, mut reader: Reader) {
    let is_v2 = reader.protocol() == Protocol::V2;
    let (max, payload, kind) = (reader.max_frame_bytes(), reader.payload_bytes(), reader.kind());
    writer.set_metadata(b"grey").unwrap();
    write(&mut writer, 1..4);
    read(&mut reader, 1..2);
    // Some remember the frame that did not fit.
    assert!(reader.read_into(&mut [0; 1]).is_err());
    row!(rows, "Reader::name", !reader.name().is_empty());
    row!(rows, "Reader::protocol", (reader.protocol() == Protocol::V2) == is_v2);
    row!(rows, "Reader::kind", reader.kind() == kind);
    row!(rows, "Reader::max_frame_bytes", reader.max_frame_bytes() == max);
    row!(rows, "Reader::payload_bytes", reader.payload_bytes() == payload);
    row!(rows, "Reader::metadata", says_forked(reader.metadata()));
    row!(rows, "Reader::read", says_forked(reader.read()));
    row!(rows, "Reader::read_timeout", says_forked(reader.read_timeout(LONG)));
    row!(rows, "Reader::try_read", says_forked(reader.try_read()));
    row!(rows, "Reader::latest", says_forked(reader.latest()));
    row!(rows, "Reader::read_batch", says_forked(reader.read_batch(2)));
    row!(rows, "Reader::read_batch_timeout", says_forked(reader.read_batch_timeout(2, LONG)));
    row!(rows, "Reader::try_read_batch", says_forked(reader.try_read_batch(2)));
    row!(rows, "Reader::read_into", says_forked(reader.read_into(&mut [0; LEN])));
    row!(
        rows,
        "Reader::arm",
        matches!(reader.arm(), Armed::Ready | Armed::Asleep { word: None, .. })
    );
    row!(rows, "Reader::peer_watch", says_forked(reader.peer_watch()));
    row!(rows, "Reader::is_quiet", !reader.is_quiet());
    row!(rows, "Reader::events", reader.events().count() == 0);
    row!(rows, "Reader::writer_presence", reader.writer_presence() == WriterPresence::Never);
    row!(rows, "Reader::stats", reader.stats().frames == 1);
    row!(rows, "Reader::is_removed", !reader.is_removed());
    row!(rows, "Reader::has_timestamps", reader.has_timestamps() || !is_v2);
    row!(rows, "Reader::backlog_bytes", reader.backlog_bytes() == 0);
    row!(rows, "Reader::is_durable", {
        reader.is_durable();
        true
    });
    row!(rows, "Reader::unsubscribe", {
        reader.unsubscribe();
        true
    });
    row!(rows, "Reader (dropped)", {
        drop(reader);
        true
    });
    if let Some(watch) = reader.peer_watch().unwrap() {
        row!(rows, "PeerWatch::has_news", !watch.has_news(true));
    }
    let metadata = reader.metadata().unwrap().unwrap();
    row!(rows, "Metadata::generation", metadata.generation() == 1);
    row!(rows, "Metadata (its bytes)", metadata[..].len() == 4);
    row!(rows, "Metadata (dropped)", {
        drop(metadata);
        true
    });
    assert_eq!(&metadata[..], b"grey");
    drop(metadata);

    let lent = reader.read().unwrap().unwrap();
    // A frame of a reader's own memory is the child's as well.
    let is_own = matches!(kind, zerobuffer::ReaderKind::Lossy | zerobuffer::ReaderKind::Observer);
    let bytes = if is_own { LEN } else { 0 };
    row!(rows, "Frame::sequence", lent.sequence() == 2);
    row!(rows, "Frame::is_redelivered", !lent.is_redelivered());
    row!(rows, "Frame::committed_at", lent.committed_at().is_some() == is_own);
    row!(rows, "Frame::age", lent.age().is_some() == is_own);
    row!(rows, "Frame::copy_to", lent.copy_to(&mut [0; LEN]) == bytes);
    row!(rows, "Frame (its bytes)", is_own || lent[..] == [0; LEN]);
    row!(rows, "Frame::into_owned", {
        let owned = lent.into_owned();
        owned.copy_to(&mut [0; LEN]) == bytes
    });
    row!(rows, "Frame (dropped)", {
        drop(lent);
        true
    });
    let owned = lent.into_owned();
    row!(rows, "OwnedFrame::sequence", owned.sequence() == 2);
    row!(rows, "OwnedFrame::is_redelivered", !owned.is_redelivered());
    row!(rows, "OwnedFrame::committed_at", owned.committed_at().is_some() == is_own);
    row!(rows, "OwnedFrame::age", owned.age().is_some() == is_own);
    row!(rows, "OwnedFrame::copy_to", owned.copy_to(&mut [0; LEN]) == bytes);
    row!(rows, "OwnedFrame (its bytes)", is_own || owned[..] == [0; LEN]);
    row!(rows, "OwnedFrame (dropped)", {
        drop(owned);
        true
    });
    assert!(is_frame(2, &owned));
    drop(owned);

    write(&mut writer, 4..6);
    let mut batch = reader.read_batch(2).unwrap().unwrap();
    row!(rows, "Batch::next", batch.next().is_none());
    assert_eq!(batch.next().unwrap().sequence, 3);
    row!(rows, "Batch::next", batch.next().is_none());
    row!(rows, "Batch (dropped)", {
        drop(batch);
        true
    });
    drop(batch);
    read(&mut reader, 4..6);
    write(&mut writer, 6..7);
    read(&mut reader, 6..7);
}

/// Passing frames on: the Writer is the parent's, or the frame is.
fn forwarding_rows(rows: &mut Rows, pair: Pair) {
    let Pair { mut writer, mut reader, dir } = pair;
    let sharing = config().payload_sharing(true);
    let mut output = writer_in(dir.path()).create("output", &sharing).unwrap();
    let mut sink = reader_in(dir.path()).join("output").unwrap();
    write(&mut writer, 1..5);
    for is_new in [true, false] {
        let lent = reader.read().unwrap().unwrap();
        row!(rows, "Writer::forward", says_forked(output.forward(&lent)));
        row!(rows, "Writer::forward", {
            let mut own = writer_in(dir.path()).create("child's", &config()).unwrap();
            let told = says_forked(own.forward(&lent));
            own.discard_undelivered();
            told
        });
        let owned = lent.into_owned();
        row!(rows, "Writer::forward_owned", says_forked(output.forward_owned(&owned)));
        row!(rows, "Writer::forward_owned", {
            let mut own = writer_in(dir.path()).create("child's", &config()).unwrap();
            let told = says_forked(own.forward_owned(&owned));
            own.discard_undelivered();
            told
        });
        // The second time by a way that is open already.
        let forwarded = output.forward_owned(&owned).unwrap();
        assert_eq!(forwarded.sequence, Some(if is_new { 1 } else { 2 }));
    }
    let passed_on = sink.read().unwrap().unwrap();
    row!(rows, "Frame (passed on, its bytes)", passed_on[..].len() == LEN);
    row!(rows, "Frame (passed on, dropped)", {
        drop(passed_on);
        true
    });
    row!(rows, "OwnedFrame (passed on, dropped)", {
        drop(passed_on.into_owned());
        true
    });
    assert!(is_frame(1, &passed_on));
    drop(passed_on);
    assert!(is_frame(2, &sink.read().unwrap().unwrap()));
}

fn serve_echo(server: &Server) {
    server.serve(|request: &Request| Ok::<_, Failure>(request.to_vec())).unwrap();
}

/// A server and a client that has connected to it.
fn channel(options: &ServerOptions, name: &str, dir: Option<&Path>) -> (Server, Client) {
    let server = options.create(name).unwrap();
    let mut options = Client::options().in_place(true).wait_for_server(PATIENCE);
    if let Some(dir) = dir {
        options = options.dir(dir);
    }
    let client = std::thread::scope(|scope| {
        let client = scope.spawn(|| options.connect(name).unwrap());
        // In protocol 1.0 the server finds the client while it waits for requests.
        while !client.is_finished() {
            assert!(server.receive(Duration::from_millis(1)).unwrap().is_none());
        }
        client.join().unwrap()
    });
    (server, client)
}

fn client_rows(rows: &mut Rows, server: &Server, mut client: Client) {
    row!(rows, "Client::name", !client.name().is_empty());
    row!(rows, "Client::protocol", matches!(client.protocol(), Protocol::V1 | Protocol::V2));
    row!(rows, "Client::call", says_forked(client.call(b"x", LONG)));
    row!(rows, "Client::call_with", says_forked(client.call_with(1, |_| (), LONG)));
    row!(rows, "Client::call_alone", says_forked(client.call_alone(b"x", LONG)));
    row!(rows, "Client::call_alone_with", says_forked(client.call_alone_with(1, |_| (), LONG)));
    row!(rows, "Client::send", says_forked(client.send(b"x", LONG)));
    row!(rows, "Client::loan", says_forked(client.loan(1, LONG)));
    row!(rows, "Client::is_server_attached", !client.is_server_attached());
    row!(rows, "Client::wait_for_server", says_forked(client.wait_for_server(LONG)));
    row!(rows, "Client::in_flight", client.in_flight() == 0);
    row!(rows, "Client::look_for_answers", {
        client.look_for_answers();
        true
    });
    row!(rows, "Client::arm_requests", client.arm_requests(1, |armed| armed != Armed::Ready));
    row!(rows, "Client::set_doorbell", client.in_flight() == 0);
    row!(rows, "Client (dropped)", {
        drop(client);
        true
    });
    let mut loan = client.loan(LEN, LONG).unwrap();
    loan.copy_from_slice(&frame(1, LEN));
    row!(rows, "RequestLoan::commit", says_forked(loan.commit()));
    row!(rows, "RequestLoan::copy_from_slice", {
        loan.copy_from_slice(&[9; LEN]);
        true
    });
    row!(rows, "RequestLoan::truncate", {
        loan.truncate(3);
        says_forked(loan.commit())
    });
    row!(rows, "RequestLoan (its bytes)", {
        loan.fill(9);
        true
    });
    row!(rows, "RequestLoan (dropped)", {
        drop(loan);
        true
    });
    let mut pending = loan.commit().unwrap();
    row!(rows, "PendingCall::number", pending.number() == 1);
    row!(rows, "PendingCall::wait", says_forked(pending.wait(LONG)));
    row!(rows, "PendingCall::wait_timeout", pending.wait_timeout(LONG).is_some_and(says_forked));
    row!(rows, "PendingCall::poll", {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match pending.poll(&mut context) {
            std::task::Poll::Ready(told) => says_forked(told),
            std::task::Poll::Pending => false,
        }
    });
    row!(rows, "PendingCall::canceller", {
        pending.canceller().cancel();
        true
    });
    row!(rows, "Canceller::cancel", {
        pending.canceller().cancel();
        true
    });
    row!(rows, "PendingCall (dropped)", {
        drop(pending);
        true
    });
    let response = std::thread::scope(|scope| {
        scope.spawn(|| serve_echo(server));
        let response = pending.wait(PATIENCE).unwrap();
        server.stopper().stop();
        response
    });
    row!(rows, "Response::request", response.request() == 1);
    row!(rows, "Response::sequence", response.sequence() == 1);
    row!(rows, "Response (its bytes)", response[..] == [0; LEN]);
    row!(rows, "Response (dropped)", {
        drop(response);
        true
    });
    assert!(is_frame(1, &response));
}

fn server_rows(rows: &mut Rows, mut server: Server, client: &Client) {
    let handler = |_: &Request| Ok::<_, Failure>(b"x");
    row!(rows, "Server::name", !server.name().is_empty());
    row!(rows, "Server::stopper", {
        server.stopper().stop();
        true
    });
    row!(rows, "Stopper::stop", {
        server.stopper().stop();
        true
    });
    row!(rows, "Server::stats", server.stats().answers == 0);
    row!(rows, "Server::serve", says_forked(server.serve(handler)));
    row!(rows, "Server::serve_in_place", says_forked(server.serve_in_place(|_| Ok(()))));
    row!(rows, "Server::serve_pool", says_forked(server.serve_pool(2, handler)));
    row!(rows, "Server::serve_alone", says_forked(server.serve_alone(|_| Ok::<_, Failure>(b"x"))));
    row!(rows, "Server::receive", says_forked(server.receive(LONG)));
    row!(rows, "Server::receive_alone", says_forked(server.receive_alone(LONG)));
    row!(
        rows,
        "Server::arm",
        server.arm() != Armed::Asleep { word: None, look_again_after: LONG, peer_lived: None }
    );
    row!(rows, "Server (dropped)", {
        drop(server);
        true
    });
    let calls = [0; 3].map(|_| client.send(&[7; LEN], LONG).unwrap());
    let mut request = server.receive(PATIENCE).unwrap().unwrap();
    row!(rows, "Request::number", request.number() == 1);
    row!(rows, "Request::is_redelivered", !request.is_redelivered());
    row!(rows, "Request::copy_to", request.copy_to(&mut [0; LEN]) == 0);
    row!(rows, "Request::answer", says_forked(request.answer(b"x")));
    row!(rows, "Request::loan", says_forked(request.loan(1)));
    row!(rows, "Request::try_loan", says_forked(request.try_loan(1)));
    row!(rows, "Request::try_answer", says_forked(request.try_answer(b"x")));
    row!(rows, "Request::fail", {
        request.fail(&Failure::new(1, "no"));
        true
    });
    row!(rows, "Request::try_fail", says_forked(request.try_fail(&Failure::new(1, "no"))));
    row!(rows, "Request::try_tell_panic", says_forked(request.try_tell_panic("no")));
    row!(rows, "Request::leave_unanswered", {
        request.leave_unanswered();
        true
    });
    row!(rows, "Request::answer_patience", request.answer_patience() > NOW);
    row!(rows, "Request::in_place", says_forked(request.in_place()));
    row!(
        rows,
        "Request::arm",
        request.arm(1) != Armed::Asleep { word: None, look_again_after: LONG, peer_lived: None }
    );
    row!(rows, "Request::keep_buffer", {
        drop(request.keep_buffer());
        true
    });
    row!(rows, "Request (its bytes)", request[..] == [0; LEN]);
    row!(rows, "Request (dropped)", {
        drop(request);
        true
    });
    let mut place = request.in_place().unwrap();
    row!(rows, "InPlace::is_shared", {
        place.is_shared();
        true
    });
    row!(rows, "InPlace::truncate", {
        place.truncate(3);
        place.len() == 3
    });
    row!(rows, "InPlace::commit", {
        place.fill(9);
        // A copy is committed like any loan, which cannot fail: nothing is.
        !place.is_shared() || says_forked(place.commit())
    });
    row!(rows, "InPlace (dropped)", {
        drop(place);
        true
    });
    place.commit().unwrap();
    drop(request);

    let request = server.receive(PATIENCE).unwrap().unwrap();
    let mut loan = request.loan(LEN).unwrap();
    loan.copy_from_slice(&frame(2, LEN));
    row!(rows, "AnswerLoan::copy_from_slice", {
        loan.copy_from_slice(&[9; LEN]);
        true
    });
    row!(rows, "AnswerLoan::truncate", {
        loan.truncate(3);
        loan.len() == 3
    });
    row!(rows, "AnswerLoan (its bytes)", {
        loan.fill(9);
        true
    });
    row!(rows, "AnswerLoan::commit", {
        loan.commit();
        server.stats().answers == 1
    });
    row!(rows, "AnswerLoan (dropped)", {
        drop(loan);
        true
    });
    loan.commit();
    drop(request);

    let request = server.receive_alone(PATIENCE).unwrap().unwrap();
    row!(rows, "LentRequest::number", request.number() == 3);
    row!(rows, "LentRequest::answer", says_forked(request.answer(b"x")));
    row!(rows, "LentRequest::answer_from", says_forked(request.answer_from(|bytes| bytes)));
    row!(rows, "LentRequest::answer_with", says_forked(request.answer_with(1, |_, _| ())));
    row!(rows, "LentRequest::fail", {
        request.fail(&Failure::new(1, "no"));
        true
    });
    row!(rows, "LentRequest (dropped)", {
        drop(request);
        true
    });
    request.answer(b"third").unwrap();
    let [first, second, third] = calls.map(|call| call.wait(PATIENCE).unwrap());
    assert!(first[..] == [7; LEN] && is_frame(2, &second) && &third[..] == b"third");
}

/// A server of many clients, while it serves.
fn many_rows(rows: &mut Rows) {
    let dir = shm_dir();
    let small = BufferConfig::new().payload_bytes(64 << 10);
    let options = Server::options().dir(dir.path()).request_buffer(small.clone());
    let server = options.response_buffer(small).create_for_many("many").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            server.serve(|request: &Request| Ok::<_, Failure>(request.to_vec())).unwrap()
        });
        let stop = server.stopper();
        let options = Client::options().dir(dir.path()).wait_for_server(PATIENCE);
        let client = options.connect("many").unwrap();
        assert_eq!(&client.call(b"a", PATIENCE).unwrap()[..], b"a");
        row!(rows, "ManyServer::name", server.name() == "many");
        row!(rows, "ManyServer::stopper", {
            server.stopper().stop();
            true
        });
        row!(rows, "ManyServer::stats", server.stats().requests == 1);
        row!(rows, "ManyServer::clients", server.clients() == 0);
        row!(rows, "ManyServer::refused_clients", server.refused_clients() == 0);
        let handler = |_: &Request| Ok::<_, Failure>(b"x");
        row!(rows, "ManyServer::serve", says_forked(server.serve(handler)));
        assert_eq!(&client.call(b"b", PATIENCE).unwrap()[..], b"b");
        stop.stop();
    });
}

/// Calls on frames with attributes.
fn attribute_rows(rows: &mut Rows, Pair { mut writer, mut reader, dir }: Pair) {
    let mut attributes = Attributes::new();
    attributes.set_source_sequence(1);
    row!(rows, "Writer::write_with", says_forked(writer.write_with(&attributes, b"x")));
    row!(rows, "Writer::loan_with", says_forked(writer.loan_with(&attributes, 1)));
    row!(rows, "WriteBatch::push_with", says_forked(writer.batch().push_with(&attributes, b"x")));
    let mut loan = writer.loan_with(&attributes, LEN).unwrap();
    row!(rows, "FrameMutWith::commit", loan.commit() == 0);
    row!(rows, "FrameMutWith::set_attributes", loan.set_attributes(&attributes).is_ok());
    row!(rows, "FrameMutWith::copy_from_slice", {
        loan.copy_from_slice(&[7; LEN]);
        loan[..] == [0; LEN]
    });
    row!(rows, "FrameMutWith::truncate", {
        loan.truncate(1);
        loan.commit() == 0
    });
    loan.copy_from_slice(&frame(1, LEN));
    assert_eq!(loan.commit(), 1);
    writer.write_with(&attributes, &frame(2, LEN)).unwrap();

    let lent = reader.read().unwrap().unwrap();
    row!(rows, "Frame::attributes", lent.attributes().is_err());
    let kept = lent.into_owned();
    row!(rows, "OwnedFrame::attributes", kept.attributes().is_err());
    assert_eq!(kept.attributes().unwrap(), attributes.view());
    let mut batch = reader.try_read_batch(1).unwrap().unwrap();
    let lent = batch.next().unwrap();
    row!(rows, "BatchFrame::attributes", lent.attributes().is_err());
    assert_eq!(lent.attributes().unwrap(), attributes.view());
    drop(dir);
}

/// Calls on a writer that threads share.
fn shared_writer_rows(rows: &mut Rows, Pair { writer, mut reader, dir }: Pair) {
    let writer = SharedWriter::new(writer);
    let clone = writer.clone();
    let held = writer.with(|_| {
        row!(rows, "SharedWriter::write", says_forked(clone.write(b"x")));
        row!(rows, "SharedWriter::with", says_forked(clone.with(|_| ())));
        let attributes = Attributes::new();
        row!(rows, "SharedWriter::write_with", says_forked(clone.write_with(&attributes, b"x")));
    });
    held.unwrap();
    row!(rows, "SharedWriter::name", !writer.name().is_empty());
    row!(rows, "SharedWriter::into_writer", {
        drop(clone);
        says_forked(writer.into_writer().unwrap().write(b"x"))
    });
    writer.write(&frame(1, LEN)).unwrap();
    read(&mut reader, 1..2);
    drop(dir);
}

/// Calls on servers with a thread of their own, which a child has not.
fn factory_rows(rows: &mut Rows) {
    let dir = shm_dir();
    let factory = DuplexChannelFactory::new().dir(dir.path());
    let config = config().keep_for_first_reader(false);
    let mut server = factory.create_immutable_server("immutable", &config).unwrap();
    server.start(|request| Ok(request.to_vec()));
    row!(rows, "ImmutableDuplexServer::is_running", !server.is_running());
    row!(rows, "ImmutableDuplexServer::stats", server.stats().requests == 0);
    row!(rows, "ImmutableDuplexServer::stop", server.stop().is_ok());
    row!(rows, "ImmutableDuplexServer::start", {
        _ = server.stop();
        server.start(|request| Ok(request.to_vec()));
        server.stop().is_ok()
    });
    row!(rows, "ImmutableDuplexServer (dropped)", {
        drop(server);
        true
    });
    let mut server = factory.create_mutable_server("mutable", &config).unwrap();
    server.start(|_| Ok(()));
    row!(rows, "MutableDuplexServer::is_running", !server.is_running());
    row!(rows, "MutableDuplexServer::stats", server.stats().requests == 0);
    row!(rows, "MutableDuplexServer::stop", server.stop().is_ok());
    row!(rows, "MutableDuplexServer::start", {
        _ = server.stop();
        server.start(|_| Ok(()));
        server.stop().is_ok()
    });
}

#[test]
fn every_method_called_in_a_forked_child_says_so_or_does_nothing() {
    let mut rows = Rows::default();
    let pairs = [pair_v1("writer"), pair_v2(every)];
    for Pair { writer, reader, dir } in pairs {
        writer_rows(&mut rows, writer, reader);
        drop(dir);
    }
    let pairs =
        [pair_v1("reader"), pair_v2(every), pair_v2(member), pair_v2(lossy), pair_v2(observer)];
    for Pair { writer, reader, dir } in pairs {
        reader_rows(&mut rows, writer, reader);
        drop(dir);
    }
    for pair in [pair_v1("forward"), pair_v2(every), pair_v2(member)] {
        forwarding_rows(&mut rows, pair);
    }
    let dir = shm_dir();
    let options = || Server::options().dir(dir.path()).in_place(true);
    let name = |what| format!("zb-forked-{what}-{}", std::process::id());
    let (v1, in_dir) = (Server::options().v1(), Some(dir.path()));
    for (options, name, dir) in
        [(options(), name("calls"), in_dir), (v1.clone(), name("calls"), None)]
    {
        let (server, client) = channel(&options, &name, dir);
        client_rows(&mut rows, &server, client);
    }
    for (options, name, dir) in [(options(), name("serves"), in_dir), (v1, name("serves"), None)] {
        let (server, client) = channel(&options, &name, dir);
        server_rows(&mut rows, server, &client);
    }
    many_rows(&mut rows);
    attribute_rows(&mut rows, pair_v2(every));
    factory_rows(&mut rows);
    shared_writer_rows(&mut rows, pair_v2(every));
    let mark = ForkMark::current();
    row!(rows, "ForkMark::is_current", !mark.is_current());
    rows.finish();

    // Those hold nothing that is shared: settings, values, errors.
    let hold_nothing = BTreeSet::from([
        "Attributes",
        "AttributesRef",
        "BufferConfig",
        "CallError",
        "ClientOptions",
        "DuplexChannelFactory",
        "Error",
        "ErrorCode",
        "MetadataError",
        "OpenError",
        "Peer",
        "ReadError",
        "ReaderOptions",
        "ServerOptions",
        "TraceContext",
        "WriteError",
        "WriterOptions",
        "Written",
    ]);
    let methods = methods_of(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(methods.len() > 100, "the sources are found: {methods:?}");
    let missing: Vec<_> = methods
        .iter()
        .filter(|method| !hold_nothing.contains(method.split("::").next().unwrap()))
        .filter(|method| !rows.has(method))
        .collect();
    assert!(missing.is_empty(), "call these in a forked child, too: {missing:?}");
    until("nothing is left behind", || common::left_behind(dir.path()).is_empty());
}

#[test]
fn a_childs_child_and_the_childs_own_endpoints_are_as_any() {
    let mut rows = Rows::default();
    let Pair { mut writer, mut reader, dir } = pair_v2(every);
    write(&mut writer, 1..3);
    let kept = reader.read().unwrap().unwrap().into_owned();
    row!(rows, "a child's child", {
        let mut rows = Rows::default();
        row!(rows, "reads zeros", kept[..] == [0; LEN]);
        row!(rows, "is told", says_forked(writer.write(b"x")));
        drop((kept, reader));
        row!(rows, "is told when its parent dropped it", says_forked(writer.write(b"x")));
        // The child's own may take the places of those that it dropped.
        let mut own = writer_in(dir.path()).create("own", &config()).unwrap();
        let mut its_reader = reader_in(dir.path()).join("own").unwrap();
        own.write(&frame(1, LEN)).unwrap();
        let lent = its_reader.read().unwrap().unwrap();
        row!(rows, "has zeros for the child's, too", lent[..] == [0; LEN]);
        rows.finish();
        is_frame(1, &lent)
    });
    rows.finish();
    assert!(is_frame(1, &kept));
    drop(kept);
    read(&mut reader, 2..3);
}

#[test]
fn a_child_reads_zeros_also_where_no_more_memory_is_promised() {
    let mut rows = Rows::default();
    row!(rows, "a child with a limit", {
        let dir = shm_dir();
        // Writable private memory counts against it; zeros that can only be read do not.
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let used = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap();
        let used: u64 = used.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        let large = BufferConfig::new().payload_bytes(32 << 20);
        let mut writer = writer_in(dir.path()).create("large", &large).unwrap();
        let mut reader = reader_in(dir.path()).join("large").unwrap();
        let most = (used << 10) + (16 << 20);
        let limit = libc::rlimit { rlim_cur: most, rlim_max: libc::RLIM_INFINITY };
        #[allow(unsafe_code)]
        // SAFETY: the limit outlives the call.
        let limited = unsafe { libc::setrlimit(libc::RLIMIT_DATA, &raw const limit) };
        writer.write(&frame(1, LEN)).unwrap();
        let lent = reader.read().unwrap().unwrap();
        let mut rows = Rows::default();
        row!(rows, "reads zeros", lent[..] == [0; LEN]);
        rows.finish();
        limited == 0 && is_frame(1, &lent)
    });
    rows.finish();
}
