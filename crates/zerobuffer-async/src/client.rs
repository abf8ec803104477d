//! Calls of a duplex channel as futures.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use zerobuffer::Armed;
use zerobuffer::duplex::{CallError, Client, Doorbell, RequestLoan, Response};

use crate::hub::{self, Registration};

/// Look again after a while.
const SOON: Armed =
    Armed::Asleep { word: None, look_again_after: Duration::from_millis(1), peer_lived: None };

/// The asking end of a duplex channel, for tasks. Share it (`Arc`, or by reference): any number of calls can be under way.
///
/// There are no timeouts: the runtime's own, around the future, ends a call at any time. What is sent by then is executed all
/// the same, and its answer is nobody's.
///
/// ```
/// use zerobuffer::duplex::{Client, Server};
/// use zerobuffer_async::{AsyncClient, AsyncServer};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let name = &format!("doc-async-duplex-{}", std::process::id());
/// let mut server = AsyncServer::new(Server::create(name)?)?;
/// let client = AsyncClient::new(Client::connect(name)?)?;
/// # futures::executor::block_on(async {
/// let serving = server.serve(16, async |request| Ok(request.to_ascii_uppercase()));
/// let calling = async {
///     let (one, two) = futures::try_join!(client.call(b"one"), client.call(b"two"))?;
///     Ok::<_, Box<dyn std::error::Error>>((one.to_vec(), two.to_vec()))
/// };
/// futures::select_biased! {
///     answers = Box::pin(futures::FutureExt::fuse(calling)) => assert_eq!(answers?, (b"ONE".to_vec(), b"TWO".to_vec())),
///     served = Box::pin(futures::FutureExt::fuse(serving)) => served?,
/// }
/// # Ok(()) })}
/// ```
#[derive(Debug)]
pub struct AsyncClient {
    client: Arc<Client>,
    bell: Arc<Bell>,
    look: Arc<Look>,
}

impl AsyncClient {
    /// Lets tasks wait for a client's answers.
    ///
    /// # Errors
    /// No more threads, when one was yet to be started.
    pub fn new(client: Client) -> io::Result<Self> {
        let client = Arc::new(client);
        let look = Arc::new(Look(Mutex::new(Arc::downgrade(&client))));
        let answers = Waker::from(Arc::clone(&look));
        let queue = Arc::new(Queue::default());
        let bell = Arc::new(Bell {
            answers: (Registration::new()?, answers),
            room: (Registration::new()?, Waker::from(Arc::clone(&queue))),
            queue,
        });
        if !client.set_doorbell(Arc::clone(&bell) as _) {
            return Err(io::Error::other("this client has a doorbell already"));
        }
        Ok(Self { client, bell, look })
    }

    /// Sends a request and waits for its answer.
    ///
    /// Cancellation safe: dropped before it is sent, nothing happens; after that the request is executed, and its answer
    /// dropped when it comes. In protocol 1.0, which cannot tell answers apart, the channel is then out of step until the
    /// answer has come.
    ///
    /// # Errors
    /// As [`Client::call`], without [`CallError::Timeout`].
    pub async fn call(&self, request: &[u8]) -> Result<Response, CallError> {
        self.call_with(request.len(), |space| space.copy_from_slice(request)).await
    }

    /// As [`call`](Self::call), with a request of `len` bytes that `fill` makes in place: no copy.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn call_with(
        &self,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<Response, CallError> {
        let mut pending = {
            let mut loan = self.loan(len).await?;
            fill(&mut loan);
            loan.commit()?
        };
        poll_fn(|context| pending.poll(context)).await
    }

    /// Lends `len` bytes of the request buffer, once there is room. Others cannot send until it is committed or dropped, so do
    /// not keep it while waiting for something else.
    ///
    /// Cancellation safe: a loan that is not committed never happened.
    ///
    /// # Errors
    /// As [`Client::loan`], without those of time.
    pub async fn loan(&self, len: usize) -> Result<RequestLoan<'_>, CallError> {
        let place = QueuePlace { bell: &self.bell };
        poll_fn(|context| {
            loop {
                let not_now = match self.client.loan(len, Duration::ZERO) {
                    Err(not_now) if not_now.is_timeout() => not_now,
                    told => return Poll::Ready(told),
                };
                place.wait(context.waker());
                let (registration, waker) = &self.bell.room;
                let sleep = |armed| registration.call_when(armed, waker);
                let sleeps = match not_now {
                    // A thread has an end of the channel, and tells nobody when it returns it.
                    CallError::NotSent { .. } => sleep(SOON),
                    _ => self.client.arm_requests(len, sleep),
                };
                if sleeps {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// The client itself; it may also be used by threads that block.
    pub fn get_ref(&self) -> &Client {
        &self.client
    }
}

/// What the client rings.
#[derive(Debug)]
struct Bell {
    answers: (Registration, Waker),
    room: (Registration, Waker),
    queue: Arc<Queue>,
}

impl Doorbell for Bell {
    fn ring_when(&self, armed: Armed) -> bool {
        let (registration, waker) = &self.answers;
        registration.call_when(armed, waker)
    }

    fn silence(&self) {
        self.answers.0.pause();
    }

    fn ends_go(&self) {
        self.answers.0.forget();
        self.room.0.forget();
        if !self.room.0.is_ours() {
            return;
        }
        // They sleep for a writer that is gone.
        self.queue.wake_all();
    }
}

/// Called by the waiting thread: it gives the answers to the tasks, so that none of them waits for another one to be polled.
#[derive(Debug)]
struct Look(Mutex<Weak<Client>>);

impl Wake for Look {
    fn wake(self: Arc<Self>) {
        let client = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = client.upgrade() {
            client.look_for_answers();
        }
    }
}

impl Drop for AsyncClient {
    /// A look that is under way ends first: it would have the client leave its channel in the waiting thread, or not at all
    /// if the process ends meanwhile.
    fn drop(&mut self) {
        // A forked child may have inherited the lock taken.
        if !self.bell.room.0.is_ours() {
            return;
        }
        let client = if hub::is_waiting_thread() {
            // Dropped by a task that it runs in its waker: that look is its own.
            self.look.0.try_lock().ok()
        } else {
            Some(self.look.0.lock().unwrap_or_else(PoisonError::into_inner))
        };
        if let Some(mut client) = client {
            *client = Weak::new();
        }
    }
}

/// Tasks that wait for room for a request.
#[derive(Debug, Default)]
struct Queue(Mutex<Vec<(usize, Waker)>>);

impl Queue {
    fn tasks(&self) -> MutexGuard<'_, Vec<(usize, Waker)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        let tasks = std::mem::take(&mut *self.tasks());
        tasks.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl Wake for Queue {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}

/// One future's place in the queue; its address is its name.
struct QueuePlace<'a> {
    bell: &'a Bell,
}

impl QueuePlace<'_> {
    fn name(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn wait(&self, waker: &Waker) {
        let (name, waker) = (self.name(), waker.clone());
        let mut tasks = self.bell.queue.tasks();
        let old = tasks.iter().position(|(task, _)| *task == name);
        let old = old.map(|index| tasks.swap_remove(index));
        tasks.push((name, waker));
        drop(tasks);
        drop(old);
    }
}

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        if !self.bell.room.0.is_ours() {
            return;
        }
        let name = self.name();
        let mut tasks = self.bell.queue.tasks();
        let own = tasks.iter().position(|(task, _)| *task == name);
        let own = own.map(|index| tasks.swap_remove(index));
        if own.is_some() && tasks.is_empty() {
            self.bell.room.0.pause();
        }
        drop(tasks);
        drop(own);
    }
}
