//! A server's way back to one client: requests in hand, and how they are answered.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::turn::{Deadline, Taken, Turns};
use super::wire::{AnswerHeader, Consent, HEADER_BYTES, Status, bytes_before_a_request};
use crate::endpoint::claimed::Claimed;
use crate::endpoint::frame::OwnedFrame;
use crate::endpoint::writer::Writer;
use crate::values::call_error::Failure;
use crate::values::config::Protocol;
use crate::values::error::WriteError;
use crate::wait::armed::Armed;

/// Longest text of a failure, in bytes.
const MAX_MESSAGE_BYTES: usize = 4096;

/// What a server has done for its clients, counted by whoever does it.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) answers: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) undeliverable: AtomicU64,
}

impl Counters {
    /// Counts a request that got no answer, and whether its caller could be told.
    pub(super) fn count_refused(&self, was_sent: bool) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.undeliverable.fetch_add(u64::from(!was_sent), Ordering::Relaxed);
    }
}

/// The response buffer of one client.
#[derive(Debug)]
pub(crate) struct Answers {
    /// Of the buffer that they go through.
    name: Arc<str>,
    sending: Turns<Sending>,
    protocol: Protocol,
    /// How long an answer waits for room: a client that keeps its answers must not stop the server for good.
    patience: Duration,
    counters: Arc<Counters>,
}

/// The same without locks.
#[derive(Debug)]
pub(super) struct Alone<'a> {
    pub(super) writer: &'a mut Writer,
    pub(super) patience: Duration,
    pub(super) counters: &'a Counters,
}

#[derive(Debug)]
struct Sending {
    writer: Writer,
    order: Order,
}

/// Protocol 1.0 tells answers apart by their order alone, so they are kept until it is their turn.
#[derive(Debug, Default)]
struct Order {
    /// Which request's answer is next.
    next: u64,
    /// Answers before their turn; `None` for those that are not to be sent.
    kept: BTreeMap<u64, Option<Vec<u8>>>,
}

impl Answers {
    pub(crate) fn new(writer: Writer, patience: Duration, counters: Arc<Counters>) -> Arc<Self> {
        let (protocol, name) = (writer.protocol(), writer.name().into());
        let sending = Turns::new(Sending { writer, order: Order::default() });
        Arc::new(Self { name, sending, protocol, patience, counters })
    }

    pub(super) fn count_request(&self) {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether somebody is there to get them, as of now.
    pub(crate) fn has_client(&self) -> bool {
        // Whoever has the writer at the moment notices by himself.
        self.sending.try_take().is_none_or(|sending| sending.writer.has_live_reader())
    }

    /// What is needed to answer, for one who has all of this alone; `None` in protocol 1.0, which has an order to keep.
    pub(super) fn alone(&mut self) -> Option<Alone<'_>> {
        let Self { sending, protocol, patience, counters, .. } = self;
        let sending = sending.get_mut().filter(|_| *protocol == Protocol::V2)?;
        Some(Alone { writer: &mut sending.writer, patience: *patience, counters })
    }

    /// Fails in a forked child.
    pub(super) fn check_process(&self) -> Result<(), WriteError> {
        match self.sending.is_ours() {
            true => Ok(()),
            false => Err(WriteError::Forked { name: self.name.clone() }),
        }
    }

    fn take(&self, deadline: Deadline) -> Result<Taken<'_, Sending>, WriteError> {
        self.check_process()?;
        self.sending.take(deadline).ok_or_else(|| WriteError::Full {
            name: "(kept by other threads that answer)".into(),
            waited: deadline.waited(),
            holder: crate::values::error::Peer::nobody(),
        })
    }

    /// Sends what the request's caller gets instead of an answer. Protocol 1.0 has no such thing: nothing is sent.
    fn refuse(
        &self,
        request: &Ticket,
        status: Status,
        code: u32,
        message: &str,
        deadline: Deadline,
    ) -> Result<(), WriteError> {
        let mut sending = self.take(deadline)?;
        if self.protocol == Protocol::V1 {
            sending.pass(request, None, Deadline::after(self.patience));
            return Ok(());
        }
        let header = AnswerHeader { request: request.sequence, status, code };
        write_refusal(&mut sending.writer, header, message, deadline)
    }

    fn count_refused(&self, was_sent: bool) {
        self.counters.count_refused(was_sent);
    }
}

/// Sends what a caller gets instead of an answer.
pub(super) fn write_refusal(
    writer: &mut Writer,
    header: AnswerHeader,
    message: &str,
    deadline: Deadline,
) -> Result<(), WriteError> {
    let room = writer.max_frame_bytes().saturating_sub(HEADER_BYTES);
    let text = shortened(message, room.min(MAX_MESSAGE_BYTES)).as_bytes();
    let claimed = writer.claim_timeout(HEADER_BYTES + text.len(), deadline.left())?;
    let space = writer.lend_mut(&claimed);
    space[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
    space[HEADER_BYTES..].copy_from_slice(text);
    writer.commit(claimed);
    Ok(())
}

impl Sending {
    /// Sends an answer in its turn, and those that were kept until after it.
    fn pass(&mut self, request: &Ticket, answer: Option<Vec<u8>>, deadline: Deadline) {
        self.order.kept.insert(request.ordinal, answer);
        while let Some(answer) = self.order.kept.remove(&self.order.next) {
            self.order.next += 1;
            if let Some(bytes) = answer {
                // Who is no longer there to get it is noticed where requests are read.
                let _ = self.writer.write_timeout(&bytes, deadline.left());
            }
        }
    }
}

/// The text, cut at a character's end.
fn shortened(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Which request is answered.
#[derive(Debug, Clone, Copy)]
struct Ticket {
    /// Number of its frame.
    sequence: u64,
    /// How many requests of this client came before it.
    ordinal: u64,
}

/// A request in hand, read in place: no copy was made. It can be kept, sent to another thread, and answered in any
/// order.
///
/// It is answered once; dropped without an answer, the caller is told so ([`CallError::Unanswered`]). Its place in
/// the request buffer is taken until it is dropped. If this process dies before, it goes to the next server.
///
/// Its bytes are shared memory: see [`Frame`](crate::Frame).
///
/// [`CallError::Unanswered`]: super::CallError::Unanswered
#[derive(Debug)]
#[must_use = "dropping a request tells its caller that there is no answer"]
pub struct Request {
    answers: Arc<Answers>,
    ticket: Ticket,
    is_answered: AtomicBool,
    /// Bytes before the request's own, and what they say.
    skip: usize,
    consent: Option<Consent>,
    // Last, so that it is released after it was answered: see the module's invariants.
    frame: OwnedFrame,
}

/// What a handler returns that has answered its request by itself.
#[derive(Debug)]
pub struct Answered(());

impl Request {
    /// A request that came through a buffer of that protocol.
    pub(crate) fn new(
        answers: Arc<Answers>,
        ordinal: u64,
        frame: OwnedFrame,
        protocol: Protocol,
    ) -> Self {
        answers.count_request();
        let ticket = Ticket { sequence: frame.sequence(), ordinal };
        let (mut skip, mut consent) = (0, Some(Consent::Keep));
        if bytes_before_a_request(protocol) > 0 {
            let mut beginning = [0; HEADER_BYTES];
            skip = frame.copy_to(&mut beginning);
            consent = Consent::parse(&beginning);
        }
        Self { answers, ticket, is_answered: AtomicBool::new(false), skip, consent, frame }
    }

    pub(super) fn is_answered(&self) -> bool {
        self.is_answered.load(Ordering::Relaxed)
    }

    /// Whether its bytes may be changed where they lie: the client agreed, and this server can.
    pub(super) fn may_be_changed(&mut self) -> bool {
        self.consent == Some(Consent::Change)
            && self.skip == HEADER_BYTES
            && self.frame.bytes_mut().is_some()
    }

    /// Whether a server that died may have begun to change it.
    pub(super) fn is_half_changed(&self) -> bool {
        !matches!(self.consent, Some(Consent::Keep | Consent::Change))
    }

    /// Fails in a forked child.
    pub(super) fn check_process(&self) -> Result<(), WriteError> {
        self.answers.check_process()
    }

    /// The whole frame, to be changed where it lies; `None` if that cannot be.
    pub(super) fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        self.frame.bytes_mut()
    }

    /// Answers with the request's frame as it is by now, passed on by reference.
    pub(super) fn give_back(&self) -> Result<Answered, WriteError> {
        let deadline = Deadline::after(self.answers.patience);
        self.answers.take(deadline)?.writer.forward_owned(&self.frame)?;
        self.is_answered.store(true, Ordering::Relaxed);
        self.answers.counters.answers.fetch_add(1, Ordering::Relaxed);
        Ok(Answered(()))
    }

    /// Number of the request on its channel.
    pub fn number(&self) -> u64 {
        self.ticket.sequence
    }

    /// Whether a server that died had received this request, and may have executed it.
    pub fn is_redelivered(&self) -> bool {
        self.frame.is_redelivered()
    }

    /// Copies as much as fits into `space`; the number of bytes copied. Never forms a reference to shared bytes.
    pub fn copy_to(&self, space: &mut [u8]) -> usize {
        self.frame.copy_from(self.skip, space)
    }

    /// Answers with a copy of `bytes`.
    ///
    /// # Errors
    /// [`WriteError`]; for example it is too large, or the client keeps its answers and the buffer stays full.
    /// Nothing was sent then, and another answer is possible.
    ///
    /// # Panics
    /// If it was answered before.
    pub fn answer(&self, bytes: &[u8]) -> Result<Answered, WriteError> {
        let mut loan = self.loan(bytes.len())?;
        loan.copy_from_slice(bytes);
        Ok(loan.commit())
    }

    /// Lends `len` bytes of the response buffer to be filled and sent: no copy. Other threads cannot answer meanwhile;
    /// a pool that takes long to make its answers makes them elsewhere.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    ///
    /// # Panics
    /// If it was answered before.
    pub fn loan(&self, len: usize) -> Result<AnswerLoan<'_>, WriteError> {
        self.loan_until(len, Deadline::after(self.answers.patience))
    }

    /// As [`loan`](Self::loan), but never waits.
    ///
    /// # Errors
    /// [`WriteError::Full`] if there is no room now, or another thread answers; otherwise as [`answer`](Self::answer).
    ///
    /// # Panics
    /// If it was answered before.
    pub fn try_loan(&self, len: usize) -> Result<AnswerLoan<'_>, WriteError> {
        self.loan_until(len, Deadline::after(Duration::ZERO))
    }

    /// As [`answer`](Self::answer), but never waits.
    ///
    /// # Errors
    /// As [`try_loan`](Self::try_loan).
    ///
    /// # Panics
    /// If it was answered before.
    pub fn try_answer(&self, bytes: &[u8]) -> Result<Answered, WriteError> {
        let mut loan = self.try_loan(bytes.len())?;
        loan.copy_from_slice(bytes);
        Ok(loan.commit())
    }

    fn loan_until(&self, len: usize, deadline: Deadline) -> Result<AnswerLoan<'_>, WriteError> {
        assert!(!self.is_answered.load(Ordering::Relaxed), "a request is answered once");
        let mut sending = self.answers.take(deadline)?;
        let place = match self.answers.protocol {
            Protocol::V1 if sending.order.next != self.ticket.ordinal => {
                Destination::Kept(vec![0; len])
            }
            Protocol::V1 => {
                Destination::Ring(sending.writer.claim_timeout(len, deadline.left())?, 0)
            }
            Protocol::V2 => {
                let all = len.saturating_add(HEADER_BYTES);
                let claimed = sending.writer.claim_timeout(all, deadline.left())?;
                let header = AnswerHeader::answer(self.ticket.sequence).to_bytes();
                sending.writer.copy_in(&claimed, 0, &header);
                Destination::Ring(claimed, HEADER_BYTES)
            }
        };
        Ok(AnswerLoan { request: self, sending, place })
    }

    /// Answers with an error, which the caller gets as [`CallError::Failed`](super::CallError::Failed). In protocol 1.0
    /// the caller gets nothing, as from deployed servers.
    ///
    /// # Panics
    /// If it was answered before.
    pub fn fail(&self, failure: &Failure) -> Answered {
        assert!(!self.is_answered.load(Ordering::Relaxed), "a request is answered once");
        self.refuse(Status::Failed, failure.code, &failure.message);
        Answered(())
    }

    /// As [`fail`](Self::fail), but never waits.
    ///
    /// # Errors
    /// As [`try_loan`](Self::try_loan); the request is not answered then.
    ///
    /// # Panics
    /// If it was answered before.
    pub fn try_fail(&self, failure: &Failure) -> Result<Answered, WriteError> {
        self.try_refuse(Status::Failed, failure.code, &failure.message)
    }

    /// As [`try_fail`](Self::try_fail), for a handler that panicked; the caller gets
    /// [`CallError::Panicked`](super::CallError::Panicked).
    ///
    /// # Errors
    /// As [`try_fail`](Self::try_fail).
    ///
    /// # Panics
    /// If it was answered before.
    pub fn try_tell_panic(&self, message: &str) -> Result<Answered, WriteError> {
        self.try_refuse(Status::Panicked, 0, message)
    }

    fn try_refuse(&self, status: Status, code: u32, message: &str) -> Result<Answered, WriteError> {
        assert!(!self.is_answered.load(Ordering::Relaxed), "a request is answered once");
        let now = Deadline::after(Duration::ZERO);
        self.answers.refuse(&self.ticket, status, code, message, now)?;
        self.is_answered.store(true, Ordering::Relaxed);
        self.answers.count_refused(true);
        Ok(Answered(()))
    }

    /// Gives up telling its caller anything: it runs into its own timeout.
    pub fn leave_unanswered(&self) {
        if !self.is_answered.swap(true, Ordering::Relaxed) {
            self.answers.count_refused(false);
        }
    }

    /// How long its answer may wait for room.
    pub fn answer_patience(&self) -> Duration {
        self.answers.patience
    }

    pub(super) fn kept_answers(&self) -> Arc<Answers> {
        Arc::clone(&self.answers)
    }

    pub(super) fn armed(&self, len: usize) -> Armed {
        // Taken: another thread answers.
        self.answers.sending.try_take().map_or(Armed::unattended(), |mut it| {
            let all = len.saturating_add(HEADER_BYTES).min(it.writer.max_frame_bytes());
            it.writer.arm(all)
        })
    }

    pub(crate) fn refuse(&self, status: Status, code: u32, message: &str) {
        if self.check_process().is_ok() && !self.is_answered.swap(true, Ordering::Relaxed) {
            let deadline = Deadline::after(self.answers.patience);
            let sent = self.answers.refuse(&self.ticket, status, code, message, deadline);
            self.answers.count_refused(sent.is_ok());
        }
    }
}

impl Deref for Request {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.frame[self.skip..]
    }
}

impl AsRef<[u8]> for Request {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.refuse(Status::Unanswered, 0, "");
    }
}

/// An answer being filled in place. Dropped without [`commit`](Self::commit), nothing was sent.
#[derive(Debug)]
#[must_use = "a loan that is not committed is given back unused"]
pub struct AnswerLoan<'a> {
    request: &'a Request,
    sending: Taken<'a, Sending>,
    place: Destination,
}

#[derive(Debug)]
enum Destination {
    /// In the ring, behind a header of so many bytes.
    Ring(Claimed, usize),
    /// Until its turn.
    Kept(Vec<u8>),
}

impl AnswerLoan<'_> {
    /// Copies `bytes`, as many as were loaned, into the answer, as [`Request::answer`] does: see
    /// [`FrameMut::copy_from_slice`](crate::FrameMut::copy_from_slice).
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn copy_from_slice(&mut self, bytes: &[u8]) {
        assert_eq!(bytes.len(), self.len(), "copied from one length to another");
        match &mut self.place {
            Destination::Ring(claimed, header) => {
                self.sending.writer.copy_in(claimed, *header, bytes)
            }
            Destination::Kept(kept) => kept.copy_from_slice(bytes),
        }
    }

    /// Sends the answer.
    pub fn commit(mut self) -> Answered {
        if self.request.check_process().is_err() {
            return Answered(());
        }
        self.request.is_answered.store(true, Ordering::Relaxed);
        self.request.answers.counters.answers.fetch_add(1, Ordering::Relaxed);
        // For those whose turn comes with this one's.
        let deadline = Deadline::after(self.request.answers.patience);
        match self.place {
            Destination::Kept(bytes) => {
                self.sending.pass(&self.request.ticket, Some(bytes), deadline);
            }
            Destination::Ring(claimed, _) => {
                self.sending.writer.commit(claimed);
                if self.request.answers.protocol == Protocol::V1 {
                    self.sending.pass(&self.request.ticket, None, deadline);
                }
            }
        }
        Answered(())
    }

    /// Keeps only the first `len` bytes; longer changes nothing.
    pub fn truncate(&mut self, len: usize) {
        match &mut self.place {
            Destination::Ring(claimed, header) => claimed.truncate(len.saturating_add(*header)),
            Destination::Kept(bytes) => bytes.truncate(len),
        }
    }
}

impl Deref for AnswerLoan<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.place {
            Destination::Ring(claimed, header) => &self.sending.writer.lend(claimed)[*header..],
            Destination::Kept(bytes) => bytes,
        }
    }
}

impl DerefMut for AnswerLoan<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.place {
            Destination::Ring(claimed, header) => {
                &mut self.sending.writer.lend_mut(claimed)[*header..]
            }
            Destination::Kept(bytes) => bytes,
        }
    }
}
