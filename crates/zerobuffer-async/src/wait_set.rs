//! Waiting for many readers at once: fan-in, by one thread or one task.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use zerobuffer::{Reader, WaitWord};

use crate::fan_in::{Asleep, Readers, Token, Told};
use crate::hub::Registration;
use crate::when::unless_none;
use crate::words::{MOST_AWAITED, Sleep};

/// Readers of many buffers, waited for by one thread that blocks.
///
/// Fair: the readers take turns, a frame each, so one that always has a frame costs each of the others one frame of waiting.
///
/// Up to 127 readers need nothing but the thread that waits (`futex_waitv`); for more, the waiting threads of the process
/// help, one for each 127. Where nobody wakes (protocol 1.0, observers, members of a work group), or the kernel has no
/// `futex_waitv`, the set looks every millisecond.
///
/// ```
/// use zerobuffer::{BufferConfig, Reader, Writer};
/// use zerobuffer_async::WaitSet;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let names: Vec<_> = (0..3).map(|i| format!("doc-set-{}-{i}", std::process::id())).collect();
/// # let mut writers = Vec::new();
/// # for name in &names { writers.push(Writer::create(name, &BufferConfig::new())?); }
/// let mut set = WaitSet::new();
/// for name in &names {
///     set.add(Reader::join(name)?);
/// }
/// # for writer in &mut writers { writer.write(b"hello")?; }
/// # drop(writers);
/// loop {
///     let Some((token, told)) = set.next() else { break };
///     let Some(frame) = told? else {
///         set.remove(token); // its writer has closed
///         continue;
///     };
///     assert_eq!(&frame[..], b"hello");
/// }
/// assert!(set.is_empty());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct WaitSet {
    // Before the readers, which they must not outlive; see `words`.
    registrations: Registrations,
    readers: Readers,
    sleep: Sleep,
    words: Vec<WaitWord>,
}

impl Default for WaitSet {
    fn default() -> Self {
        Self::new()
    }
}

impl WaitSet {
    /// An empty set.
    pub fn new() -> Self {
        Self {
            registrations: Registrations::default(),
            readers: Readers::default(),
            sleep: Sleep::new(),
            words: Vec::new(),
        }
    }

    /// Adds a reader; its token comes with whatever it tells.
    pub fn add(&mut self, reader: Reader) -> Token {
        self.readers.add(reader)
    }

    /// Takes a reader out of the set. Nothing of it was lost.
    pub fn remove(&mut self, token: Token) -> Option<Reader> {
        self.readers.remove(token)
    }

    /// A reader of the set.
    pub fn get(&self, token: Token) -> Option<&Reader> {
        self.readers.get(token)
    }

    /// A reader of the set, for everything that does not wait.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut Reader> {
        self.readers.get_mut(token)
    }

    /// How many readers are in it.
    pub fn len(&self) -> usize {
        self.readers.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tokens of all of its readers.
    pub fn tokens(&self) -> impl Iterator<Item = Token> {
        self.readers.tokens()
    }

    /// What the next reader tells; waits without limit. `None` if the set is empty.
    ///
    /// A reader whose writer has closed, or died, tells that once and stays: it waits for a successor. One that tells of
    /// damage, or of removal, does so whenever it is its turn, until it is removed.
    // An `Iterator` could let frames outlive the set.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<(Token, Told<'_>)> {
        self.next_until(None)
    }

    /// What the next reader tells; `None` if none does in time, or the set is empty.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<(Token, Told<'_>)> {
        self.next_until(Instant::now().checked_add(timeout))
    }

    /// What the next reader tells, if there is one that does.
    pub fn try_next(&mut self) -> Option<(Token, Told<'_>)> {
        self.readers.try_next()
    }

    fn next_until(&mut self, deadline: Option<Instant>) -> Option<(Token, Told<'_>)> {
        loop {
            unless_none!(readers = self.readers, readers.try_next());
            if self.is_empty() {
                return None;
            }
            let Asleep::For(limit) = self.readers.arm(&mut self.words) else { continue };
            let left = deadline.map_or(limit, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return None;
            }
            self.sleep(limit.min(left));
        }
    }

    fn sleep(&mut self, limit: Duration) {
        static NOBODY: AtomicU32 = AtomicU32::new(0);
        let is_small = self.words.len() <= MOST_AWAITED;
        if is_small || self.registrations.reserve(self.words.len()).is_err() {
            self.sleep.clear();
            let own = &self.words[..self.words.len().min(MOST_AWAITED)];
            own.iter().for_each(|word| self.sleep.add(*word));
            // Without threads that would help: look soon after those that have no place here.
            let limit = if is_small { limit } else { limit.min(Duration::from_millis(1)) };
            self.sleep.sleep(&NOBODY, 0, limit);
            return;
        }
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        self.registrations.begin(&self.words, limit, &waker);
        std::thread::park_timeout(limit);
        // Readers are taken out, or replaced, at any time after this.
        self.registrations.forget();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Readers of many buffers, waited for by one task. As fair as a [`WaitSet`].
///
/// ```
/// use zerobuffer::{BufferConfig, Reader, Writer};
/// use zerobuffer_async::AsyncWaitSet;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let names: Vec<_> = (0..3).map(|i| format!("doc-aset-{}-{i}", std::process::id())).collect();
/// # let mut writers = Vec::new();
/// # for name in &names { writers.push(Writer::create(name, &BufferConfig::new())?); }
/// let mut set = AsyncWaitSet::new();
/// for name in &names {
///     set.add(Reader::join(name)?)?;
/// }
/// # for writer in &mut writers { writer.write(b"hello")?; }
/// # drop(writers);
/// # futures::executor::block_on(async {
/// loop {
///     let Some((token, told)) = set.next().await else { break };
///     let Some(frame) = told? else {
///         set.remove(token); // its writer has closed
///         continue;
///     };
///     assert_eq!(&frame[..], b"hello");
/// }
/// # Ok(()) })}
/// ```
#[derive(Debug, Default)]
pub struct AsyncWaitSet {
    // Before the readers, which they must not outlive; see `words`.
    registrations: Registrations,
    readers: Readers,
    words: Vec<WaitWord>,
}

impl AsyncWaitSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a reader; its token comes with whatever it tells.
    ///
    /// # Errors
    /// No more threads, when one was yet to be started. The reader is dropped then.
    pub fn add(&mut self, reader: Reader) -> io::Result<Token> {
        self.registrations.reserve(self.len() + 1)?;
        Ok(self.readers.add(reader))
    }

    /// Takes a reader out of the set. Nothing of it was lost.
    pub fn remove(&mut self, token: Token) -> Option<Reader> {
        self.registrations.forget();
        self.readers.remove(token)
    }

    /// A reader of the set.
    pub fn get(&self, token: Token) -> Option<&Reader> {
        self.readers.get(token)
    }

    /// A reader of the set, for everything that does not wait.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut Reader> {
        self.registrations.forget();
        self.readers.get_mut(token)
    }

    /// How many readers are in it.
    pub fn len(&self) -> usize {
        self.readers.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tokens of all of its readers.
    pub fn tokens(&self) -> impl Iterator<Item = Token> {
        self.readers.tokens()
    }

    /// What the next reader tells, as [`WaitSet::next`]. `None` if the set is empty.
    ///
    /// Cancellation safe: a frame is received only by the poll that hands it out.
    pub async fn next(&mut self) -> Option<(Token, Told<'_>)> {
        loop {
            unless_none!(readers = self.readers, readers.try_next());
            if self.is_empty() {
                return None;
            }
            if let Asleep::For(limit) = self.readers.arm(&mut self.words) {
                let nap = SetNap { registrations: &self.registrations };
                let mut has_begun = false;
                poll_fn(|context| nap.poll(&mut has_begun, &self.words, limit, context)).await;
            }
        }
    }

    /// What the next reader tells, if there is one that does.
    pub fn try_next(&mut self) -> Option<(Token, Told<'_>)> {
        self.readers.try_next()
    }
}

/// A sleep of all readers of a set. Dropped, nobody waits for them any more.
struct SetNap<'a> {
    registrations: &'a Registrations,
}

impl SetNap<'_> {
    fn poll(
        &self,
        has_begun: &mut bool,
        words: &[WaitWord],
        limit: Duration,
        context: &Context<'_>,
    ) -> Poll<()> {
        if !*has_begun {
            *has_begun = true;
            self.registrations.begin(words, limit, context.waker());
            return Poll::Pending;
        }
        let waits = self.registrations.are_still_waiting(context.waker());
        if waits { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for SetNap<'_> {
    fn drop(&mut self) {
        self.registrations.pause();
    }
}

/// Places at as many waiting threads as it takes.
#[derive(Debug, Default)]
struct Registrations(Vec<Registration>);

impl Registrations {
    /// Makes room for so many words.
    fn reserve(&mut self, words: usize) -> io::Result<()> {
        let mut room: usize = self.0.iter().map(Registration::room).sum();
        while room < words {
            if !self.0.last_mut().is_some_and(Registration::grow) {
                self.0.push(Registration::new()?);
            }
            room += 1;
        }
        Ok(())
    }

    /// Has `waker` called when one of the words is.
    fn begin(&self, words: &[WaitWord], limit: Duration, waker: &Waker) {
        let mut left = words;
        for registration in &self.0 {
            let (own, others) = left.split_at(left.len().min(registration.room()));
            registration.call_when_any(own, limit, waker);
            left = others;
        }
    }

    fn are_still_waiting(&self, waker: &Waker) -> bool {
        // Those of a parent process, in a child that goes on with its set, wait for nothing.
        let mut own = self.0.iter().filter(|registration| registration.is_ours());
        own.all(|registration| registration.is_still_waiting(waker))
    }

    fn pause(&self) {
        self.0.iter().for_each(Registration::pause);
    }

    fn forget(&self) {
        self.0.iter().for_each(Registration::forget);
    }
}
