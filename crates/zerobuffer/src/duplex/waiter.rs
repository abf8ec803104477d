//! Who waits for answers: threads, and tasks, which somebody wakes.

use std::fmt;
use std::task::Waker;
use std::thread::Thread;

use crate::wait::armed::Armed;

/// Who waits for an answer.
#[derive(Debug, Clone)]
pub(crate) enum Waiter {
    Thread(Thread),
    Task(Waker),
}

impl Waiter {
    pub(super) fn current_thread() -> Self {
        Self::Thread(std::thread::current())
    }

    /// Not with the table locked: a waker is somebody else's code.
    pub(super) fn wake(&self) {
        match self {
            Self::Thread(thread) => thread.unpark(),
            Self::Task(waker) => waker.wake_by_ref(),
        }
    }
}

/// What has [`Client::look_for_answers`](super::Client::look_for_answers) called when there may be answers, for the tasks that wait for them.
///
/// Its methods may be called by any thread, never call back, and never wait for long.
pub trait Doorbell: fmt::Debug + Send + Sync {
    /// The reader of answers is armed. False: try again now.
    fn ring_when(&self, armed: Armed) -> bool;
    /// There is nothing to wait for.
    fn silence(&self);
    /// The client is about to open its ends anew: every word that it, or [`Client::arm_requests`](super::Client::arm_requests), has given is as good as
    /// gone, and must not be read after this returns.
    fn ends_go(&self);
}
