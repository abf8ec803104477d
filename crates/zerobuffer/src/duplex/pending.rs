//! Which request waits for which answer: pure rules, without clock, threads or shared memory.
//!
//! In protocol 2.0 an answer names its request. Deployed 1.0 peers name nothing: the n-th answer belongs to the n-th
//! request. Then a request that nobody waits for any more stays in the order. And when one was not answered in time,
//! nothing can be told from there on: its answer may be late, or may never come, for a deployed server says nothing when
//! its handler fails. So everything behind it is given up as well ([out of step](Pending::is_in_step)), until the
//! answers to all that is under way have arrived.

use std::collections::VecDeque;

/// How answers find their requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Correlation {
    /// An answer names its request.
    BySequence,
    /// The n-th answer is the n-th request's.
    ByOrder,
}

/// What became of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivery<W> {
    /// It is for this call, whose waiter wants to know, if there is one yet.
    To(u64, Option<W>),
    /// Nobody waits for it: its caller gave up, or was told that the server had died.
    Late,
}

/// Calls under way. `W` wakes a waiter, `A` is what it is woken for.
#[derive(Debug)]
pub(crate) struct Pending<W, A> {
    correlation: Correlation,
    /// By number, ascending: numbers only grow.
    calls: VecDeque<Call<W, A>>,
    /// By order only: requests whose answers have not arrived, oldest first.
    under_way: VecDeque<u64>,
    /// By order only: an answer is missing, or late.
    is_in_doubt: bool,
}

#[derive(Debug)]
struct Call<W, A> {
    number: u64,
    waiter: Option<W>,
    outcome: Option<A>,
}

impl<W, A> Pending<W, A> {
    pub(crate) fn new(correlation: Correlation) -> Self {
        Self { correlation, calls: VecDeque::new(), under_way: VecDeque::new(), is_in_doubt: false }
    }

    /// Whether an answer can still be told to be whose. If not, nothing may be sent.
    pub(crate) fn is_in_step(&self) -> bool {
        !self.is_in_doubt
    }

    /// A request is about to be sent, under a number above all before.
    pub(crate) fn begin(&mut self, number: u64) {
        debug_assert!(
            self.calls.back().is_none_or(|last| last.number < number) && self.is_in_step()
        );
        self.calls.push_back(Call { number, waiter: None, outcome: None });
        if self.correlation == Correlation::ByOrder {
            self.under_way.push_back(number);
        }
    }

    /// An answer arrived; `number` is what it says of its request, which by order is nothing.
    pub(crate) fn answer(&mut self, number: u64, outcome: A) -> Delivery<W> {
        let number = match self.correlation {
            Correlation::BySequence => number,
            Correlation::ByOrder => {
                let Some(oldest) = self.under_way.pop_front() else { return Delivery::Late };
                if self.under_way.is_empty() {
                    self.is_in_doubt = false;
                }
                // What was sent after one that was given up has its outcome already.
                oldest
            }
        };
        match self.find(number) {
            Some(call) if self.calls[call].outcome.is_none() => self.settle(call, outcome),
            _ => Delivery::Late,
        }
    }

    fn settle(&mut self, call: usize, outcome: A) -> Delivery<W> {
        let call = &mut self.calls[call];
        call.outcome = Some(outcome);
        Delivery::To(call.number, call.waiter.take())
    }

    /// What became of a call, if that is known; the call is over then. Otherwise `waiter` is woken for it.
    pub(crate) fn take(&mut self, number: u64, waiter: impl FnOnce() -> W) -> Option<A> {
        let at = self.find(number)?;
        let call = &mut self.calls[at];
        match call.outcome.take() {
            Some(outcome) => {
                self.calls.remove(at);
                Some(outcome)
            }
            None => {
                call.waiter.get_or_insert_with(waiter);
                None
            }
        }
    }

    /// Nobody waits for a call at the moment, but somebody may come back for it.
    pub(crate) fn leave(&mut self, number: u64) {
        if let Some(at) = self.find(number) {
            self.calls[at].waiter = None;
        }
    }

    /// Nobody wants the answer to a request, which may come all the same.
    pub(crate) fn ignore(&mut self, number: u64) {
        if let Some(at) = self.find(number) {
            self.calls.remove(at);
        }
    }

    /// A request was not answered in time. By order, all that was sent after that request gets `out_of_step`; returns who is to be woken.
    pub(crate) fn abandon(&mut self, number: u64, mut out_of_step: impl FnMut() -> A) -> Vec<W> {
        let Some(at) = self.find(number) else { return Vec::new() };
        self.calls.remove(at);
        // Its own answer has arrived: nothing is in doubt.
        if !self.under_way.contains(&number) {
            return Vec::new();
        }
        self.is_in_doubt = true;
        self.settle_all(|call| call.number > number, &mut out_of_step)
    }

    /// A caller is told something else than an answer, such as that it was cancelled; returns who is to be woken.
    pub(crate) fn settle_one(&mut self, number: u64, outcome: A) -> Option<W> {
        let at = self.find(number)?;
        if self.calls[at].outcome.is_some() {
            return None;
        }
        if let Delivery::To(_, waiter) = self.settle(at, outcome) { waiter } else { None }
    }

    /// The server is gone: every call gets `outcome`, and no answer will come; returns who is to be woken.
    pub(crate) fn fail_all(&mut self, mut outcome: impl FnMut() -> A) -> Vec<W> {
        self.under_way.clear();
        self.is_in_doubt = false;
        self.settle_all(|_| true, &mut outcome)
    }

    fn settle_all(
        &mut self,
        concerned: impl Fn(&Call<W, A>) -> bool,
        outcome: &mut impl FnMut() -> A,
    ) -> Vec<W> {
        let mut woken = Vec::new();
        for call in self.calls.iter_mut().filter(|call| call.outcome.is_none() && concerned(call)) {
            call.outcome = Some(outcome());
            woken.extend(call.waiter.take());
        }
        woken
    }

    /// Somebody who waits, to look for answers in the place of one who did.
    pub(crate) fn any_waiter(&self) -> Option<&W> {
        self.calls.iter().find_map(|call| call.waiter.as_ref())
    }

    /// Calls whose outcome is not known.
    pub(crate) fn in_flight(&self) -> usize {
        self.calls.iter().filter(|call| call.outcome.is_none()).count()
    }

    fn find(&self, number: u64) -> Option<usize> {
        self.calls.binary_search_by_key(&number, |call| call.number).ok()
    }
}
