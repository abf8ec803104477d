//! Calls by one thread that has its end of a channel to itself, as `&mut` tells: requests and answers are lent, not kept, and
//! while both sides are awake there is no lock, no clock and no table of calls between them and the rings.
//!
//! Whatever does not fit, protocol 1.0, a ring that is full, a server that is gone, requests that others still have in hand,
//! goes the way of [`Client::call`] and [`Server::receive`].

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::answers::{Alone, Answers, Request, write_refusal};
use super::client::{Client, ServerState};
use super::response::Response;
use super::server::{LOOK_LIMIT, Server, text_of};
use super::turn::Deadline;
use super::wire::{AnswerHeader, Consent, HEADER_BYTES, Status, bytes_before_a_request};
use crate::endpoint::frame::Frame;
use crate::endpoint::loan::FrameMut;
use crate::values::call_error::{CallError, Failure};
use crate::values::config::Protocol;
use crate::values::error::{ReadError, WriteError};
use crate::wait::Patience;

/// An answer, read in place and released when dropped, before the next call. To keep it, copy it, or use
/// [`Client::call`], whose [`Response`] can be kept.
///
/// Its bytes are shared memory: see [`Frame`].
#[derive(Debug)]
#[must_use = "dropping an answer releases it"]
pub struct Reply<'a>(Received<'a>);

#[derive(Debug)]
enum Received<'a> {
    /// Behind the header, and without so many bytes at the end.
    Lent {
        frame: Frame<'a>,
        cut: usize,
    },
    // In a box, so that the other kind is moved as the few words that it is.
    Kept(Box<Response>),
}

impl Deref for Reply<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Received::Lent { frame, cut } => {
                // Loaded once: the frame's length does not change, and `cut` was checked against it.
                let bytes: &[u8] = frame;
                &bytes[HEADER_BYTES..bytes.len() - cut]
            }
            Received::Kept(response) => response,
        }
    }
}

impl AsRef<[u8]> for Reply<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Client {
    /// As [`call`](Self::call), for one thread that has the client to itself: a small call costs hardly more than a frame
    /// each way. Nothing else of this client can be under way meanwhile; answers to calls that were given up are passed over.
    ///
    /// The timeout begins when this call has found that it has to wait.
    ///
    /// ```
    /// use std::time::Duration;
    /// use zerobuffer::duplex::{Client, Server};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let name = format!("doc-alone-{}", std::process::id());
    /// let mut server = Server::create(&name)?;
    /// let stopper = server.stopper();
    /// std::thread::scope(|scope| {
    ///     scope.spawn(move || server.serve_alone(|request| Ok(request.to_ascii_uppercase())));
    ///     let mut client = Client::connect(&name).unwrap();
    ///     for _ in 0..1000 {
    ///         let reply = client.call_alone(b"hello", Duration::from_secs(5)).unwrap();
    ///         assert_eq!(&reply[..], b"HELLO");
    ///     }
    ///     stopper.stop();
    /// });
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`call`](Self::call).
    #[inline]
    pub fn call_alone(
        &mut self,
        request: &[u8],
        timeout: Duration,
    ) -> Result<Reply<'_>, CallError> {
        let len = request.len();
        match self.send_alone(len, |loan, skip| loan.copy_in(skip, request)) {
            Some(sequence) => self.reply_alone(sequence, timeout),
            None => self.call(request, timeout).map(|kept| Reply(Received::Kept(Box::new(kept)))),
        }
    }

    /// As [`call_alone`](Self::call_alone), with a request of `len` bytes that `fill` makes in place: no copy.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    #[inline]
    pub fn call_alone_with(
        &mut self,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
        timeout: Duration,
    ) -> Result<Reply<'_>, CallError> {
        let mut fill = Some(fill);
        let fill_once = |loan: &mut FrameMut<'_>, skip: usize| {
            fill.take().into_iter().for_each(|fill| fill(&mut loan[skip..]));
        };
        match self.send_alone(len, fill_once) {
            Some(sequence) => self.reply_alone(sequence, timeout),
            None => {
                let fill_once = |space: &mut [u8]| fill.into_iter().for_each(|fill| fill(space));
                self.call_with(len, fill_once, timeout)
                    .map(|kept| Reply(Received::Kept(Box::new(kept))))
            }
        }
    }

    /// Sends a request, if that needs nothing but room that is there; its number in the buffer. `fill` is told how many bytes
    /// stand before the request's own.
    #[inline(always)]
    fn send_alone(
        &mut self,
        len: usize,
        fill: impl FnOnce(&mut FrameMut<'_>, usize),
    ) -> Option<u64> {
        let consent = self.consent();
        let table = self.table.get_mut().ok()?;
        let is_plain =
            self.protocol == Protocol::V2 && table.server == ServerState::Attached && !table.lost;
        let writer = self.requests.get_mut().filter(|_| is_plain)?;
        let skip = bytes_before_a_request(Protocol::V2);
        let sequence = writer.next_sequence();
        let mut loan = writer.loan_ready(len.checked_add(skip)?)?;
        loan.copy_in(0, &consent.to_bytes());
        fill(&mut loan, skip);
        loan.commit();
        table.newest = table.base.wrapping_add(sequence);
        Some(sequence)
    }

    /// Waits for the answer to the request of that number in the buffer.
    #[inline(always)]
    fn reply_alone(&mut self, sequence: u64, timeout: Duration) -> Result<Reply<'_>, CallError> {
        let cut = self.wait_alone(sequence, timeout)?;
        // It was there a moment ago.
        let Some(reader) = self.responses.get_mut() else { return Err(unreadable(&self.name)) };
        Ok(Reply(Received::Lent { frame: reader.lent_frame(), cut }))
    }

    /// Waits for the answer to the request of that number in the buffer, which the reader then lends: how many bytes at its
    /// end do not belong to it.
    #[inline]
    fn wait_alone(&mut self, sequence: u64, timeout: Duration) -> Result<usize, CallError> {
        let mut patience = Patience::up_to(timeout);
        let mut passed_over: Option<Instant> = None;
        loop {
            let Some(reader) = self.responses.get_mut() else { return Err(unreadable(&self.name)) };
            match reader.receive_within(patience) {
                Ok(true) => {
                    let bytes = reader.lent_bytes();
                    let header = AnswerHeader::parse(bytes);
                    match header {
                        Ok(header) if header.request != sequence => {}
                        Ok(AnswerHeader { status: Status::Answer, code, .. })
                            if code as usize <= bytes.len() - HEADER_BYTES =>
                        {
                            return Ok(code as usize);
                        }
                        _ => {
                            let frame = reader.lent_frame().into_owned();
                            return Err(self
                                .outcome(frame)
                                .1
                                .err()
                                .unwrap_or_else(|| unreadable(&self.name)));
                        }
                    }
                    // An answer that somebody gave up, or an answer to nobody.
                    drop(reader.lent_frame());
                }
                Err(ReadError::Timeout { .. }) => return Err(self.late(timeout)),
                Err(ReadError::SequenceGap { .. }) => {}
                ended => {
                    let presence = reader.writer_presence();
                    self.break_off(ended.err(), presence).map_or(Ok(()), Err)?;
                }
            }
            let waited = passed_over.get_or_insert_with(Instant::now).elapsed();
            patience = Patience::up_to(timeout.saturating_sub(waited));
        }
    }
}

#[cold]
fn unreadable(name: &Arc<str>) -> CallError {
    CallError::Damaged { name: name.clone(), problem: "its answers cannot be read any more" }
}

#[cold]
fn nobody_answers() -> WriteError {
    WriteError::Retired { name: "(its writer was forgotten)".into() }
}

/// A request in hand, lent until it is answered. Dropped without an answer, the caller is told so
/// ([`CallError::Unanswered`]).
///
/// Its bytes are shared memory: see [`Frame`].
#[derive(Debug)]
#[must_use = "dropping a request tells its caller that there is no answer"]
pub struct LentRequest<'a>(Held<'a>);

#[derive(Debug)]
enum Held<'a> {
    Lent(Lent<'a>),
    // In a box, so that the other kind is moved as the few words that it is.
    Kept(Box<Request>),
}

#[derive(Debug)]
struct Lent<'a> {
    answers: &'a mut Answers,
    is_answered: bool,
    /// Bytes before the request's own.
    skip: u32,
    // Last, so that it is released after it was answered: see the parent module's invariants.
    frame: Frame<'a>,
}

impl LentRequest<'_> {
    /// Number of the request on its channel.
    pub fn number(&self) -> u64 {
        match &self.0 {
            Held::Lent(lent) => lent.frame.sequence(),
            Held::Kept(request) => request.number(),
        }
    }

    /// Answers with a copy of `bytes`.
    ///
    /// # Errors
    /// [`WriteError`], see [`Request::answer`]; the caller is then told that there is no answer.
    #[inline]
    pub fn answer(mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.send(bytes)
    }

    #[inline]
    fn send(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        match &mut self.0 {
            Held::Lent(lent) => lent.send(bytes.len(), |_, loan| loan.copy_in(HEADER_BYTES, bytes)),
            Held::Kept(request) => request.answer(bytes).map(drop),
        }
    }

    /// Answers with a copy of what `choose` picks of the request's bytes.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// # use zerobuffer::duplex::{Client, Server};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let name = format!("doc-answer-from-{}", std::process::id());
    /// # let mut server = Server::create(&name)?;
    /// # let mut client = Client::connect(&name)?;
    /// # let asking = std::thread::spawn(move || client.call_alone(b"some bytes", Duration::from_secs(5)).map(|answer| answer.to_vec()));
    /// # let mut is_answered = false;
    /// # while !is_answered {
    /// if let Some(request) = server.receive_alone(Duration::from_secs(1))? {
    ///     request.answer_from(|bytes| &bytes[..4])?;
    /// #   is_answered = true;
    /// }
    /// # }
    /// # assert_eq!(asking.join().unwrap()?, b"some");
    /// # Ok(()) }
    /// ```
    #[inline]
    pub fn answer_from(mut self, choose: impl FnOnce(&[u8]) -> &[u8]) -> Result<(), WriteError> {
        match &mut self.0 {
            Held::Lent(lent) => lent.send_copy(choose),
            Held::Kept(request) => request.answer(choose(request)).map(drop),
        }
    }

    /// Answers with `len` bytes that `fill` makes in place from the request's: no copy.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    #[inline]
    pub fn answer_with(
        mut self,
        len: usize,
        fill: impl FnOnce(&[u8], &mut [u8]),
    ) -> Result<(), WriteError> {
        match &mut self.0 {
            Held::Lent(lent) => {
                lent.send(len, |request, loan| fill(request, &mut loan[HEADER_BYTES..]))
            }
            Held::Kept(request) => {
                let mut loan = request.loan(len)?;
                fill(request, &mut loan);
                loan.commit();
                Ok(())
            }
        }
    }

    /// Answers with an error, which the caller gets as [`CallError::Failed`]. In protocol 1.0 the caller gets nothing.
    pub fn fail(mut self, failure: &Failure) {
        match &mut self.0 {
            Held::Lent(lent) => lent.refuse(Status::Failed, failure.code, &failure.message),
            Held::Kept(request) => {
                request.fail(failure);
            }
        }
    }

    fn tell_panic(mut self, text: &str) {
        match &mut self.0 {
            Held::Lent(lent) => lent.refuse(Status::Panicked, 0, text),
            Held::Kept(request) => request.refuse(Status::Panicked, 0, text),
        }
    }
}

impl Answers {
    /// Sends the answer to the request of that number, of `len` bytes, which `fill` puts behind the header of a loan.
    #[inline(always)]
    fn send_alone(
        &mut self,
        sequence: u64,
        len: usize,
        fill: impl FnOnce(&mut FrameMut<'_>),
    ) -> Result<(), WriteError> {
        let header = AnswerHeader::answer(sequence).to_bytes();
        let all = len.saturating_add(HEADER_BYTES);
        let Some(Alone { writer, patience, counters }) = self.alone() else {
            return Err(nobody_answers());
        };
        let mut loan = match writer.loan_ready(all) {
            Some(loan) => loan,
            None => writer.loan_timeout(all, patience)?,
        };
        loan.copy_in(0, &header);
        fill(&mut loan);
        loan.commit();
        counters.answers.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Lent<'_> {
    /// Whether a server that died has certainly not begun to change it.
    fn is_whole(&self) -> bool {
        let beginning = self.frame.first_chunk::<HEADER_BYTES>().copied();
        let says = || beginning.as_ref().and_then(Consent::parse);
        self.skip == 0 || matches!(says(), Some(Consent::Keep | Consent::Change))
    }

    /// Answers with `len` bytes that `fill` makes from the request's.
    #[inline(always)]
    fn send(
        &mut self,
        len: usize,
        fill: impl FnOnce(&[u8], &mut FrameMut<'_>),
    ) -> Result<(), WriteError> {
        let request = &self.frame[self.skip as usize..];
        let sequence = self.frame.sequence();
        self.answers.send_alone(sequence, len, |loan| fill(request, loan))?;
        self.is_answered = true;
        Ok(())
    }

    /// Answers with a copy of what `choose` picks.
    #[inline]
    fn send_copy(&mut self, choose: impl FnOnce(&[u8]) -> &[u8]) -> Result<(), WriteError> {
        let bytes = choose(&self.frame[self.skip as usize..]);
        let copy = |loan: &mut FrameMut<'_>| loan.copy_in(HEADER_BYTES, bytes);
        self.answers.send_alone(self.frame.sequence(), bytes.len(), copy)?;
        self.is_answered = true;
        Ok(())
    }

    #[cold]
    fn refuse(&mut self, status: Status, code: u32, message: &str) {
        self.is_answered = true;
        let header = AnswerHeader { request: self.frame.sequence(), status, code };
        if let Some(Alone { writer, patience, counters }) = self.answers.alone() {
            let sent = write_refusal(writer, header, message, Deadline::after(patience));
            counters.count_refused(sent.is_ok());
        }
    }
}

impl Drop for Lent<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.is_answered {
            self.refuse(Status::Unanswered, 0, "");
        }
        // Late, when the caller has its answer.
        self.answers.count_request();
    }
}

impl Deref for LentRequest<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Held::Lent(lent) => &lent.frame[lent.skip as usize..],
            Held::Kept(request) => request,
        }
    }
}

impl AsRef<[u8]> for LentRequest<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Server {
    /// As [`receive`](Self::receive), for one thread that has the server to itself: the request is lent until it is answered.
    /// `None` if none came in time, or none that is to be handled.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    #[inline]
    pub fn receive_alone(
        &mut self,
        timeout: Duration,
    ) -> Result<Option<LentRequest<'_>>, ReadError> {
        if !self.can_lend() {
            let request = self.receive(timeout)?;
            return Ok(request.map(|request| LentRequest(Held::Kept(Box::new(request)))));
        }
        let redo = self.options.redo_interrupted;
        let Some(receiving) = self.receiving.get_mut() else { return Ok(None) };
        // Before the wait, which whoever asks does not wait for.
        let answers = receiving.way_back.as_mut().and_then(Arc::get_mut);
        let Some(answers) = answers else { return Ok(None) };
        let reader = &mut receiving.reader;
        match reader.receive_within(Patience::up_to(timeout)) {
            Ok(true) => {}
            // The client closed or died; the next one may come.
            Ok(false) | Err(ReadError::WriterGone { .. }) => return Ok(None),
            Err(ReadError::Timeout { .. } | ReadError::SequenceGap { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
        receiving.ordinal += 1;
        let before = bytes_before_a_request(reader.protocol());
        let mut lent = Lent { answers, is_answered: false, skip: 0, frame: reader.lent_frame() };
        lent.skip = lent.frame.len().min(before) as u32;
        if lent.frame.is_redelivered() && !(redo && lent.is_whole()) {
            lent.refuse(Status::Interrupted, 0, "");
            return Ok(None);
        }
        Ok(Some(LentRequest(Held::Lent(lent))))
    }

    /// Whether nobody else has a request in hand, and answers name their requests.
    #[inline]
    fn can_lend(&mut self) -> bool {
        self.receiving.get_mut().is_some_and(|receiving| {
            let answers = receiving.way_back.as_mut().and_then(Arc::get_mut);
            answers.and_then(Answers::alone).is_some()
        })
    }

    /// As [`serve`](Self::serve), for one thread that has the server to itself: the handler is lent each request, and its
    /// answer is copied to where the client reads it.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub fn serve_alone<A: AsRef<[u8]>>(
        &mut self,
        mut handler: impl FnMut(&[u8]) -> Result<A, Failure>,
    ) -> Result<(), ReadError> {
        while !self.is_stopped() {
            let Some(mut request) = self.receive_alone(LOOK_LIMIT)? else { continue };
            // A panic leaves nothing of ours half done.
            match catch_unwind(AssertUnwindSafe(|| handler(&request))) {
                Ok(Ok(answer)) => {
                    if let Err(error) = request.send(answer.as_ref()) {
                        request.fail(&error.into());
                    }
                }
                Ok(Err(failure)) => request.fail(&failure),
                Err(panic) => request.tell_panic(text_of(&*panic)),
            }
        }
        Ok(())
    }
}
