//! Request and response: a channel of two buffers, `{name}_request` and `{name}_response`.
//!
//! A [`Client`] sends requests and gets, for each, its own answer, whatever the order in which the [`Server`] gives
//! them; see both for examples, and `docs/DUPLEX.md` for when to use what.
//!
//! One server can have many clients: [`ManyServer`], which gives each a channel of its own.
//!
//! # What to know
//!
//! * **Errors** of a handler, its panics, and requests it drops reach the caller as [`CallError`], not as silence.
//! * **Death** of the server fails every waiting call within 100 ms. A server that is started again gets the requests
//!   that its predecessor had not come to; what that one had in hand is refused, unless
//!   [it is to be done again](ServerOptions::redo_interrupted). A client that dies costs the server nothing.
//! * **Timeouts** are the caller's, for every call. A call that timed out, or whose server went, may have been executed:
//!   [`CallError::was_not_executed`] tells where that is certain.
//! * **Protocol 1.0** channels of deployed C++, C# and Python programs work in both directions; their limits are named
//!   where they matter: no error reaches the caller, and answers are told apart by their order alone.
//!
//! # Invariants
//!
//! * A server releases a request only after its answer is committed. So a request is always either in the request buffer,
//!   for a successor, or answered: no caller waits for what nobody has.
//! * A call is entered in the table before its request is committed, and what is known of the server is changed under the
//!   same lock: a call either sees that the server is gone, or is failed by who noticed.

mod accept;
mod alone;
mod answers;
mod client;
mod factory;
mod hello;
mod in_place;
mod names;
mod pending;
#[cfg(test)]
mod pending_properties;
mod response;
mod server;
mod tasks;
mod turn;
mod waiter;
mod wire;

pub use crate::values::call_error::{CallError, Failure, Gone};
pub use accept::ManyServer;
pub use alone::{LentRequest, Reply};
pub use answers::{AnswerLoan, Answered, Request};
pub use client::{Canceller, Client, ClientOptions, PendingCall, RequestLoan};
pub use factory::{DuplexChannelFactory, DuplexClient, ImmutableDuplexServer, MutableDuplexServer};
pub use in_place::InPlace;
pub use names::{accept_buffer, request_buffer, response_buffer};
pub use response::Response;
pub use server::{Answer, Server, ServerOptions, ServerStats, Stopper};
pub use waiter::Doorbell;
