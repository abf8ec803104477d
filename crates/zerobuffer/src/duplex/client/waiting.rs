//! Waiting for answers: whoever of the waiting threads has the reader looks for the answers of all.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Client, ServerState};
use crate::duplex::pending::Delivery;
use crate::duplex::response::{Outcome, Response};
use crate::duplex::turn::{Deadline, Taken, lock};
use crate::duplex::waiter::Waiter;
use crate::duplex::wire::{AnswerHeader, HEADER_BYTES, Status};
use crate::endpoint::frame::{Frame, OwnedFrame};
use crate::endpoint::reader::Reader;
use crate::values::call_error::{CallError, Gone};
use crate::values::config::Protocol;
use crate::values::error::{ReadError, WriterPresence};

/// How long one look for an answer takes at most: so soon a cancelled call is noticed by who looks for all.
const LOOK_LIMIT: Duration = Duration::from_millis(80);
/// So many answers are looked for before others have a turn.
const MOST_ANSWERS: u32 = 1024;

impl Client {
    /// Waits for the answer to a request; whoever of the waiting threads has the reader looks for the answers of all.
    pub(crate) fn wait(&self, number: u64, deadline: Deadline) -> Outcome {
        if !self.is_ours() {
            return Err(ReadError::Forked { name: self.name.clone() }.into());
        }
        let outcome = loop {
            if let Some(outcome) = lock(&self.table).pending.take(number, Waiter::current_thread) {
                break outcome;
            }
            let left = deadline.left();
            if left.is_zero() {
                break Err(self.late(deadline.waited()));
            }
            match self.responses.try_take() {
                Some(mut reader) => {
                    if self.receive(&mut reader, left.min(LOOK_LIMIT)) == Some(number) {
                        continue;
                    }
                }
                None => std::thread::park_timeout(left.min(LOOK_LIMIT)),
            }
        };
        self.hand_over(number);
        outcome.map(|response| Response { request: number, ..response })
    }

    /// Lets another thread look for answers, now that this one does not.
    fn hand_over(&self, number: u64) {
        let mut table = lock(&self.table);
        table.pending.leave(number);
        let waiter = table.pending.any_waiter().cloned();
        drop(table);
        self.pass_reader_to(waiter);
    }

    /// After the reader was returned: lets somebody look who waits and may have found it taken.
    pub(crate) fn pass_reader_on(&self) {
        let waiter = lock(&self.table).pending.any_waiter().cloned();
        self.pass_reader_to(waiter);
    }

    fn pass_reader_to(&self, waiter: Option<Waiter>) {
        // Whoever has the reader does the same when he returns it.
        if let Some(waiter) = waiter
            && !self.responses.is_taken()
        {
            waiter.wake();
        }
        if self.is_reader_wanted.load(Ordering::SeqCst)
            && self.is_reader_wanted.swap(false, Ordering::SeqCst)
        {
            self.look_for_answers();
        }
    }

    /// Looks for one answer and gives it to its caller; whose it was, if one came.
    pub(crate) fn receive(&self, reader: &mut Reader, timeout: Duration) -> Option<u64> {
        let read = reader.read_timeout(timeout).map(|frame| frame.map(Frame::into_owned));
        let frame = match read {
            Ok(Some(frame)) => frame,
            Err(ReadError::Timeout { .. } | ReadError::SequenceGap { .. }) => return None,
            ended => {
                self.break_off(ended.err(), reader.writer_presence());
                return None;
            }
        };
        let (number, outcome) = match self.protocol {
            Protocol::V1 => (0, Ok(Response { request: 0, frame, skip: 0, cut: 0 })),
            Protocol::V2 => self.outcome(frame),
        };
        let mut table = lock(&self.table);
        let number = number.wrapping_add(table.base);
        let delivery = table.pending.answer(number, outcome);
        drop(table);
        match delivery {
            Delivery::To(number, waiter) => {
                if let Some(waiter) = waiter {
                    waiter.wake();
                }
                Some(number)
            }
            Delivery::Late => Some(0),
        }
    }

    /// What an answer says, and of which request.
    pub(crate) fn outcome(&self, frame: OwnedFrame) -> (u64, Outcome) {
        let mut start = [0; HEADER_BYTES];
        let copied = frame.copy_to(&mut start);
        let header = match AnswerHeader::parse(&start[..copied]) {
            Ok(header) => header,
            Err(problem) => {
                // Nobody can be told whose it was.
                let error = CallError::Damaged { name: self.name.clone(), problem };
                self.fail_all(&error, WriterPresence::Attached);
                return (0, Err(error));
            }
        };
        let name = self.name.clone();
        let message = || String::from_utf8_lossy(&frame[HEADER_BYTES..]).into_owned();
        let outcome = match header.status {
            Status::Answer => match header.code as usize {
                cut if cut <= frame.len() - HEADER_BYTES => {
                    Ok(Response { request: header.request, frame, skip: HEADER_BYTES, cut })
                }
                _ => Err(CallError::Damaged { name, problem: "an answer ends before it begins" }),
            },
            Status::Failed => {
                Err(CallError::Failed { name, code: header.code, message: message() })
            }
            Status::Panicked => Err(CallError::Panicked { name, message: message() }),
            Status::Unanswered => Err(CallError::Unanswered { name }),
            Status::Closing => Err(CallError::ServerGone { name, how: Gone::Refused }),
            Status::Interrupted => Err(CallError::ServerGone { name, how: Gone::Interrupted }),
        };
        (header.request, outcome)
    }

    /// Tells everybody that no more answers come: the server has closed, or `why`. Nobody, and nothing is returned, if the
    /// server only went and its successor is there already, who has their requests.
    #[cold]
    pub(crate) fn break_off(
        &self,
        why: Option<ReadError>,
        presence: WriterPresence,
    ) -> Option<CallError> {
        let how = match why {
            None => Gone::Closed,
            Some(ReadError::WriterGone { pid, .. }) => Gone::Died { pid },
            Some(damage) => {
                lock(&self.table).lost = true;
                let error = damage.into();
                self.fail_all(&error, WriterPresence::Dead);
                return Some(error);
            }
        };
        if self.protocol == Protocol::V2 && presence == WriterPresence::Attached {
            return None;
        }
        let error = CallError::ServerGone { name: self.name.clone(), how };
        self.fail_all(&error, presence);
        Some(error)
    }

    fn fail_all(&self, error: &CallError, presence: WriterPresence) {
        let mut table = lock(&self.table);
        if presence != WriterPresence::Attached {
            table.server = ServerState::Gone(presence);
        }
        let woken = table.pending.fail_all(|| Err(error.clone()));
        drop(table);
        woken.iter().for_each(Waiter::wake);
    }

    pub(crate) fn abandon(&self, number: u64) {
        let woken = lock(&self.table).pending.abandon(number, || Err(self.out_of_step()));
        woken.iter().for_each(Waiter::wake);
    }

    /// Looks for answers and gives them to their callers, then arms the doorbell: also while nobody waits, for answers that
    /// nobody wants any more must not fill their buffer.
    pub fn look_for_answers(&self) {
        let Some(bell) = self.bell.get().filter(|_| self.is_ours()) else { return };
        while let Some(mut reader) = self.take_reader_or_want_it() {
            self.is_reader_wanted.store(false, Ordering::SeqCst);
            // Not without end, whatever the server sends: behind that the bell rings at once.
            let _ = (0..MOST_ANSWERS)
                .take_while(|_| self.receive(&mut reader, Duration::ZERO).is_some())
                .count();
            let is_done = if lock(&self.table).lost {
                // Everybody was told, and nothing comes before it is opened anew.
                bell.silence();
                true
            } else {
                // While the reader is ours, nobody can replace it.
                bell.ring_when(reader.arm())
            };
            drop(reader);
            // It may have rung already, for one who found the reader taken.
            if is_done && !self.is_reader_wanted.swap(false, Ordering::SeqCst) {
                return;
            }
        }
    }

    /// Whoever has the reader looks again, for us, when he has returned it.
    fn take_reader_or_want_it(&self) -> Option<Taken<'_, Reader>> {
        self.responses.try_take().or_else(|| {
            self.is_reader_wanted.store(true, Ordering::SeqCst);
            // He may have returned it before he could see that.
            self.responses.try_take()
        })
    }
}
