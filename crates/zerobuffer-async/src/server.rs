//! The answering end of a duplex channel, for tasks.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_core::Stream as _;
use futures_util::stream::FuturesUnordered;
use zerobuffer::duplex::{Answer, Answered, Failure, Request, Server};
use zerobuffer::{ReadError, WriteError};

use crate::hub::Registration;
use crate::when::nap;

/// The text of a failure is cut to this, if not to less.
const MAX_MESSAGE_BYTES: usize = 4096;

/// A [`Server`] whose waiting is asynchronous.
///
/// Give [`serve`](Self::serve) a handler, or take requests with [`receive`](Self::receive), hand them to other tasks, and
/// [`answer`] them there.
#[derive(Debug)]
pub struct AsyncServer {
    // Before the server, which it must not outlive; see `words`.
    registration: Registration,
    server: Server,
}

impl AsyncServer {
    /// Gives a server a place at the waiting thread.
    ///
    /// # Errors
    /// No more threads, when one was yet to be started.
    pub fn new(server: Server) -> io::Result<Self> {
        Ok(Self { registration: Registration::new()?, server })
    }

    /// The next request.
    ///
    /// Cancellation safe: a request is received only by the poll that hands it out.
    ///
    /// # Errors
    /// [`ReadError`]: no request can be read any more. Clients that die or leave are no error.
    pub async fn receive(&mut self) -> Result<Request, ReadError> {
        loop {
            if let Some(request) = self.server.receive(Duration::ZERO)? {
                return Ok(request);
            }
            nap(&self.registration, self.server.arm()).await;
        }
    }

    /// Handles requests, up to `most` at once, as long as it is polled. Answers may overtake each other.
    ///
    /// What the handler returns is the answer; its errors, and its panics, reach the caller as such. An answer waits for room
    /// for as long as [the server's options](zerobuffer::duplex::ServerOptions::answer_patience) say.
    ///
    /// Dropped, it drops the handlers that are under way: their callers are told that there is no answer. Others wait for the
    /// next call of this, or the next server.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), after the requests in hand were handled.
    pub async fn serve<A: Answer>(
        &mut self,
        most: usize,
        handler: impl AsyncFn(&Request) -> Result<A, Failure>,
    ) -> Result<(), ReadError> {
        let handler = &handler;
        let mut in_hand = FuturesUnordered::new();
        let mut failed = None;
        loop {
            let may_receive = failed.is_none() && in_hand.len() < most.max(1);
            let mut receiving = pin!(self.receive());
            let received = poll_fn(|context| {
                // First what is in hand; each pass ends with nothing of it ready.
                while let Poll::Ready(Some(())) = pin!(&mut in_hand).poll_next(context) {
                    if !may_receive {
                        return Poll::Ready(None);
                    }
                }
                if may_receive { receiving.as_mut().poll(context).map(Some) } else { Poll::Pending }
            })
            .await;
            match received {
                Some(Ok(request)) => in_hand.push(handle(request, handler)),
                Some(Err(error)) => failed = Some(error),
                None => {}
            }
            if in_hand.is_empty()
                && let Some(error) = failed
            {
                return Err(error);
            }
        }
    }

    /// The server itself.
    pub fn get_ref(&self) -> &Server {
        &self.server
    }

    /// The server itself, blocking again.
    pub fn into_inner(self) -> Server {
        let Self { registration, server } = self;
        drop(registration);
        server
    }
}

/// Has a request handled; whatever happens in the handler, its caller is told.
async fn handle<A: Answer>(
    request: Request,
    handler: &impl AsyncFn(&Request) -> Result<A, Failure>,
) {
    let handled = {
        let mut handling = pin!(handler(&request));
        poll_fn(|context| {
            // A panic leaves nothing of ours half done: loans are given back, and locks hold nothing.
            match catch_unwind(AssertUnwindSafe(|| handling.as_mut().poll(context))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(handled)) => Poll::Ready(Ok(handled)),
                Err(panic) => Poll::Ready(Err(text_of(&*panic))),
            }
        })
        .await
    };
    let told = match handled {
        Ok(Ok(made)) => match made.bytes() {
            None => return,
            Some(bytes) => match answer(&request, bytes).await {
                Ok(_) => return,
                Err(error) => fail(&request, &Failure::from(error)).await,
            },
        },
        Ok(Err(failure)) => fail(&request, &failure).await,
        Err(text) => {
            once_there_is_room(&request, text.len().min(MAX_MESSAGE_BYTES), || {
                request.try_tell_panic(&text)
            })
            .await
        }
    };
    if told.is_err() {
        request.leave_unanswered();
    }
}

/// Answers with a copy of `bytes`, once there is room; waits for that as long as the server's options say.
///
/// Cancellation safe: it was answered by the poll that says so, or not at all.
///
/// # Errors
/// As [`Request::answer`].
///
/// # Panics
/// If it was answered before.
pub async fn answer(request: &Request, bytes: &[u8]) -> Result<Answered, WriteError> {
    once_there_is_room(request, bytes.len(), || request.try_answer(bytes)).await
}

/// As [`Request::fail`], once there is room.
///
/// Cancellation safe, as [`answer`].
///
/// # Errors
/// As [`answer`].
///
/// # Panics
/// If it was answered before.
pub async fn fail(request: &Request, failure: &Failure) -> Result<Answered, WriteError> {
    once_there_is_room(request, failure.message.len().min(MAX_MESSAGE_BYTES), || {
        request.try_fail(failure)
    })
    .await
}

/// What a panic says.
fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("with something that is not text").to_owned()
}

async fn once_there_is_room(
    request: &Request,
    len: usize,
    attempt: impl Fn() -> Result<Answered, WriteError>,
) -> Result<Answered, WriteError> {
    let begun = Instant::now();
    // A future may be forgotten instead of dropped, with its place at the waiting thread: then the buffer has to stay.
    let _buffer = request.keep_buffer();
    let mut registration = None;
    loop {
        match attempt() {
            Err(full) if full.is_timeout() && begun.elapsed() < request.answer_patience() => {
                let Some(place) = place_in(&mut registration) else { return Err(full) };
                nap(place, request.arm(len)).await;
            }
            told => return told,
        }
    }
}

/// A place at a waiting thread, made when it is needed.
fn place_in(registration: &mut Option<Registration>) -> Option<&Registration> {
    if registration.is_none() {
        *registration = Registration::new().ok();
    }
    registration.as_ref()
}
