//! Trying, sleeping, trying again.
//!
//! # Safety
//! See the one block.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use zerobuffer::Armed;

use crate::hub::Registration;

/// Done when an armed endpoint is to be tried again. Dropped before, nobody waits for that endpoint any more.
#[derive(Debug)]
pub(crate) struct Nap<'a> {
    registration: &'a Registration,
    armed: Armed,
    has_begun: bool,
}

/// The endpoint was armed just now, in the same poll.
pub(crate) fn nap(registration: &Registration, armed: Armed) -> Nap<'_> {
    Nap { registration, armed, has_begun: false }
}

impl Future for Nap<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waits = if self.has_begun {
            self.registration.is_still_waiting(context.waker())
        } else {
            self.has_begun = true;
            self.registration.call_when(self.armed, context.waker())
        };
        if waits { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Nap<'_> {
    fn drop(&mut self) {
        self.registration.pause();
    }
}

/// Tries once. If there is something else to tell than "not now", returns that from the function around it.
macro_rules! unless_told {
    ($endpoint:ident = $place:expr, $attempt:expr) => {
        crate::when::unless_told!($endpoint = $place, $attempt, told => told)
    };
    ($endpoint:ident = $place:expr, $attempt:expr, $told:ident => $answer:expr) => {{
        let place = std::ptr::from_mut(&mut $place);
        #[allow(unsafe_code)]
        // SAFETY: what an attempt borrows is either returned, and then as long as the caller's borrow of the place, or gone at
        // the end of this block. The borrow checker of today takes each attempt's borrow for a returned one.
        let $endpoint = unsafe { &mut *place };
        match $attempt {
            Err(not_now) if not_now.is_timeout() => not_now,
            $told => return $answer,
        }
    }};
}

/// Tries until there is something to tell; returns that from the function around it.
macro_rules! when_ready {
    ($self:ident, $endpoint:ident, $arm:expr, $attempt:expr) => {
        loop {
            crate::when::unless_told!($endpoint = $self.$endpoint, $attempt);
            let armed = $arm;
            crate::when::nap(&$self.registration, armed).await;
        }
    };
}

/// Asks once. If there is an answer, returns that from the function around it.
macro_rules! unless_none {
    ($readers:ident = $place:expr, $attempt:expr) => {{
        let place = std::ptr::from_mut(&mut $place);
        #[allow(unsafe_code)]
        // SAFETY: as in `unless_told`.
        let $readers = unsafe { &mut *place };
        if let Some(told) = $attempt {
            return Some(told);
        }
    }};
}

pub(crate) use {unless_none, unless_told, when_ready};
