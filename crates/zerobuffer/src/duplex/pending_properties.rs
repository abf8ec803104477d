//! The rules of `pending` against models that know everything: random calls, answers in any order (or, by order, late or
//! left out), callers that give up, servers that go.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::pending::{Correlation, Delivery, Pending};

/// What a call gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The answer to this request.
    Answer(u64),
    OutOfStep,
    Gone,
    Cancelled,
}

#[derive(Debug, Clone)]
enum Action {
    Begin,
    /// The nth request under way is answered; by order, the server only has a choice between doing it and not.
    Answer(usize),
    /// By order: the oldest request will never be answered.
    Swallow,
    /// The nth caller looks, and waits if there is nothing.
    Take(usize),
    Leave(usize),
    GiveUp(usize),
    Cancel(usize),
    Ignore(usize),
    ServerGoes,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let nth = 0usize..6;
    let action = prop_oneof![
        6 => Just(Action::Begin),
        6 => nth.clone().prop_map(Action::Answer),
        1 => Just(Action::Swallow),
        5 => nth.clone().prop_map(Action::Take),
        1 => nth.clone().prop_map(Action::Leave),
        2 => nth.clone().prop_map(Action::GiveUp),
        1 => nth.clone().prop_map(Action::Cancel),
        1 => nth.prop_map(Action::Ignore),
        1 => Just(Action::ServerGoes),
    ];
    proptest::collection::vec(action, 1..120)
}

/// What a conforming server and the callers know.
#[derive(Debug, Default)]
struct Model {
    next: u64,
    /// Calls whose callers have not given up, with what they are to be told.
    calls: BTreeMap<u64, Option<Outcome>>,
    /// Callers that sleep.
    asleep: BTreeSet<u64>,
    /// At the server, oldest first.
    at_server: VecDeque<u64>,
}

impl Model {
    fn nth(&self, n: usize) -> Option<u64> {
        self.calls.keys().nth(n % self.calls.len().max(1)).copied()
    }

    /// Notes an outcome; whether a sleeper has to be woken for it.
    fn settle(&mut self, number: u64, outcome: Outcome) -> bool {
        match self.calls.get_mut(&number) {
            Some(unknown @ None) => {
                *unknown = Some(outcome);
                self.asleep.remove(&number)
            }
            _ => false,
        }
    }
}

fn check_all(pending: &mut Pending<u64, Outcome>, model: &mut Model) {
    assert_eq!(pending.in_flight(), model.calls.values().filter(|known| known.is_none()).count());
    match pending.any_waiter() {
        Some(waiter) => assert!(model.asleep.contains(waiter)),
        None => assert!(model.asleep.is_empty()),
    }
}

/// What both correlations have in common; false if the action is not of that kind.
fn callers_act(action: &Action, pending: &mut Pending<u64, Outcome>, model: &mut Model) -> bool {
    match *action {
        Action::Take(n) => {
            let Some(number) = model.nth(n) else { return true };
            let taken = pending.take(number, || number);
            assert_eq!(taken, model.calls[&number]);
            if taken.is_some() {
                model.calls.remove(&number);
                assert_eq!(pending.take(number, || number), None, "told once");
            } else {
                model.asleep.insert(number);
            }
        }
        Action::Leave(n) => {
            let Some(number) = model.nth(n) else { return true };
            pending.leave(number);
            model.asleep.remove(&number);
        }
        Action::Cancel(n) => {
            let Some(number) = model.nth(n) else { return true };
            let woken = pending.settle_one(number, Outcome::Cancelled);
            let expected = model.settle(number, Outcome::Cancelled).then_some(number);
            assert_eq!(woken, expected);
        }
        Action::Ignore(n) => {
            let Some(number) = model.nth(n) else { return true };
            pending.ignore(number);
            model.calls.remove(&number);
            model.asleep.remove(&number);
        }
        Action::ServerGoes => {
            let woken: BTreeSet<_> = pending.fail_all(|| Outcome::Gone).into_iter().collect();
            let numbers: Vec<_> = model.calls.keys().copied().collect();
            let expected: BTreeSet<_> =
                numbers.into_iter().filter(|&number| model.settle(number, Outcome::Gone)).collect();
            assert_eq!(woken, expected);
            assert!(model.asleep.is_empty() && pending.is_in_step());
            model.at_server.clear();
        }
        _ => return false,
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Every caller gets the answer to its own request, in whatever order they come, and nobody else's.
    #[test]
    fn answers_that_name_their_request_reach_it(actions in actions()) {
        let mut pending = Pending::new(Correlation::BySequence);
        let mut model = Model::default();
        for action in actions {
            if callers_act(&action, &mut pending, &mut model) {
                check_all(&mut pending, &mut model);
                continue;
            }
            match action {
                Action::Begin => {
                    // Numbers grow, with gaps: others write to the buffer too.
                    model.next += 1 + model.next % 3;
                    pending.begin(model.next);
                    model.calls.insert(model.next, None);
                    model.at_server.push_back(model.next);
                }
                Action::Answer(n) => {
                    let n = n % model.at_server.len().max(1);
                    let Some(number) = model.at_server.remove(n) else { continue };
                    let waits = model.calls.get(&number) == Some(&None);
                    let asleep = model.settle(number, Outcome::Answer(number));
                    let expected = if waits {
                        Delivery::To(number, asleep.then_some(number))
                    } else {
                        Delivery::Late
                    };
                    prop_assert_eq!(pending.answer(number, Outcome::Answer(number)), expected);
                    // A successor answers again what its predecessor had answered and not released.
                    prop_assert_eq!(pending.answer(number, Outcome::Answer(number)), Delivery::Late);
                }
                Action::GiveUp(n) => {
                    let Some(number) = model.nth(n) else { continue };
                    prop_assert_eq!(pending.abandon(number, || Outcome::OutOfStep), vec![]);
                    model.calls.remove(&number);
                    model.asleep.remove(&number);
                }
                _ => {}
            }
            prop_assert!(pending.is_in_step());
            check_all(&mut pending, &mut model);
        }
    }

    /// By order: as long as the server answers everything, no caller ever gets another one's answer, whoever gives up.
    #[test]
    fn answers_by_order_reach_their_request_or_nobody(actions in actions()) {
        let mut pending = Pending::new(Correlation::ByOrder);
        let mut model = Model::default();
        let mut out_of_step_since: Option<u64> = None;
        for action in actions {
            let gone = matches!(action, Action::ServerGoes);
            if callers_act(&action, &mut pending, &mut model) {
                if gone {
                    out_of_step_since = None;
                }
                check_all(&mut pending, &mut model);
                continue;
            }
            match action {
                Action::Begin if pending.is_in_step() => {
                    model.next += 1;
                    pending.begin(model.next);
                    model.calls.insert(model.next, None);
                    model.at_server.push_back(model.next);
                }
                Action::Answer(_) => {
                    let Some(number) = model.at_server.pop_front() else { continue };
                    let trusted = out_of_step_since.is_none_or(|since| number < since);
                    let waits = model.calls.get(&number) == Some(&None);
                    let expected = if trusted && waits {
                        let asleep = model.settle(number, Outcome::Answer(number));
                        Delivery::To(number, asleep.then_some(number))
                    } else {
                        Delivery::Late
                    };
                    prop_assert_eq!(pending.answer(0, Outcome::Answer(number)), expected);
                    if model.at_server.is_empty() {
                        out_of_step_since = None;
                    }
                }
                Action::GiveUp(n) => {
                    let Some(number) = model.nth(n) else { continue };
                    let woken: BTreeSet<_> =
                        pending.abandon(number, || Outcome::OutOfStep).into_iter().collect();
                    model.calls.remove(&number);
                    model.asleep.remove(&number);
                    let mut expected = BTreeSet::new();
                    if model.at_server.contains(&number) {
                        out_of_step_since =
                            Some(out_of_step_since.map_or(number, |since| since.min(number)));
                        let later: Vec<_> = model.calls.range(number + 1..).map(|c| *c.0).collect();
                        expected.extend(
                            later.into_iter().filter(|&n| model.settle(n, Outcome::OutOfStep)),
                        );
                    }
                    prop_assert_eq!(woken, expected);
                }
                _ => {}
            }
            prop_assert_eq!(pending.is_in_step(), out_of_step_since.is_none());
            check_all(&mut pending, &mut model);
        }
    }

    /// By order, with one caller that waits at a time, as `Client::call` has it: whatever the server swallows, no caller
    /// gets another one's answer; and once one has missed his, nothing is sent any more.
    #[test]
    fn one_at_a_time_a_server_that_says_nothing_confuses_nobody(actions in actions()) {
        let mut pending = Pending::<u64, Outcome>::new(Correlation::ByOrder);
        let mut at_server = VecDeque::new();
        let (mut next, mut swallowed, mut missing) = (0, false, false);
        for action in actions {
            match action {
                Action::Begin if pending.is_in_step() && pending.in_flight() == 0 => {
                    prop_assert!(!missing, "sent although a caller missed his answer for good");
                    next += 1;
                    pending.begin(next);
                    at_server.push_back(next);
                }
                Action::Answer(_) => {
                    let Some(number) = at_server.pop_front() else { continue };
                    let waits = pending.in_flight() == 1 && number == next;
                    let delivery = pending.answer(0, Outcome::Answer(number));
                    if !swallowed {
                        let to_caller = Delivery::To(number, None);
                        let expected = if waits { to_caller } else { Delivery::Late };
                        prop_assert_eq!(&delivery, &expected);
                    }
                    if let Delivery::To(to, _) = delivery {
                        prop_assert_eq!(to, number);
                        prop_assert_eq!(pending.take(number, || 0), Some(Outcome::Answer(number)));
                    }
                }
                Action::Swallow => swallowed |= at_server.pop_front().is_some(),
                Action::Ignore(_) => pending.ignore(next),
                Action::GiveUp(_) if pending.in_flight() == 1 => {
                    prop_assert_eq!(pending.abandon(next, || Outcome::OutOfStep), vec![]);
                    prop_assert!(!pending.is_in_step());
                    missing |= swallowed;
                }
                _ => {}
            }
        }
    }
}
