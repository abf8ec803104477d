//! The waiting threads: each sleeps on the words of up to 127 endpoints at once and calls their wakers.

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use rustix::thread::futex;
use zerobuffer::{Armed, ForkMark, PeerWatch, WaitWord};

use crate::words::{self, MOST_AWAITED, Sleep};

/// Sleep while nobody waits: somebody who comes wakes the thread.
const LONG: Duration = Duration::from_secs(3600);

thread_local! {
    static IS_WAITING_THREAD: Cell<bool> = const { Cell::new(false) };
}

static THREADS: Mutex<Vec<Arc<Post>>> = Mutex::new(Vec::new());

/// One waiting thread's desk.
#[derive(Debug)]
struct Post {
    /// Threads stay behind when a process forks: a child needs its own.
    process: ForkMark,
    table: Mutex<Table>,
    /// Changes when the thread must look at the table although nobody called.
    news: AtomicU32,
}

#[derive(Debug, Default)]
struct Table {
    places: Vec<Place>,
    /// Words that places may wait for, all together.
    reserved: usize,
    /// When the thread looks again by itself; `None` while it is awake.
    asleep_until: Option<Instant>,
}

#[derive(Debug, Default)]
struct Place {
    is_taken: bool,
    /// There is one while somebody waits.
    waker: Option<Waker>,
    words: Vec<WaitWord>,
    look_again: Option<Instant>,
    /// It need not be called when the time has come, unless its peer has news.
    watched: Option<Watched>,
    peer: Option<PeerWatch>,
    /// The thread's sleep is on these words.
    is_slept_on: bool,
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    every: Duration,
    lived: bool,
}

/// A place at a waiting thread. Whoever has it drops it before the endpoints that it waits for, see [`words`].
#[derive(Debug)]
pub(crate) struct Registration {
    post: Arc<Post>,
    index: usize,
    /// Most that it waits for at once.
    words: usize,
}

impl Registration {
    /// A place for one who waits for one endpoint.
    pub(crate) fn new() -> io::Result<Self> {
        let mut threads = lock(&THREADS);
        threads.retain(|post| post.process.is_current());
        let mut room = threads.iter();
        let post = match room.find(|post| lock(&post.table).reserved < MOST_AWAITED) {
            Some(post) => Arc::clone(post),
            None => {
                let process = ForkMark::current();
                let post = Post { process, table: Mutex::default(), news: AtomicU32::new(0) };
                let post = Arc::new(post);
                let thread = Arc::clone(&post);
                let name = format!("zerobuffer-{}", threads.len());
                std::thread::Builder::new().name(name).spawn(move || thread.run())?;
                threads.push(Arc::clone(&post));
                post
            }
        };
        let index = lock(&post.table).take_place();
        Ok(Self { post, index, words: 1 })
    }

    /// Whether this is the process that made it. A forked child has no waiting thread, and perhaps its table locked.
    pub(crate) fn is_ours(&self) -> bool {
        self.post.process.is_current()
    }

    /// Whose writer the thread looks after while the reader of this place is armed.
    pub(crate) fn look_after(&self, peer: Option<PeerWatch>) {
        if !self.is_ours() {
            return;
        }
        let replaced = std::mem::replace(&mut lock(&self.post.table).places[self.index].peer, peer);
        drop(replaced);
    }

    /// Makes room for one more endpoint; false if its thread has none.
    pub(crate) fn grow(&mut self) -> bool {
        if !self.is_ours() {
            return false;
        }
        let mut table = lock(&self.post.table);
        let has_room = table.reserved < MOST_AWAITED;
        table.reserved += usize::from(has_room);
        self.words += usize::from(has_room);
        has_room
    }

    /// For how many endpoints it has room.
    pub(crate) fn room(&self) -> usize {
        if self.is_ours() { self.words } else { 0 }
    }

    /// Has `waker` called when the armed endpoint is to be tried again. False: try now.
    pub(crate) fn call_when(&self, armed: Armed, waker: &Waker) -> bool {
        let Armed::Asleep { word, look_again_after: every, peer_lived } = armed else {
            return false;
        };
        if !self.is_ours() {
            return false;
        }
        self.begin(word.as_slice(), every, peer_lived, waker);
        true
    }

    /// Has `waker` called when one of `words` is called, or at the latest after some time.
    pub(crate) fn call_when_any(&self, words: &[WaitWord], after: Duration, waker: &Waker) {
        if self.is_ours() {
            self.begin(words, after, None, waker);
        }
    }

    fn begin(&self, words: &[WaitWord], every: Duration, peer_lived: Option<bool>, waker: &Waker) {
        debug_assert!(words.len() <= self.words, "room was made for them");
        let waker = waker.clone();
        let look_again = Instant::now() + every;
        let mut table = lock(&self.post.table);
        let asleep_until = table.asleep_until;
        let place = &mut table.places[self.index];
        let replaced = place.waker.replace(waker);
        place.look_again = Some(look_again);
        place.watched = match (peer_lived, &place.peer) {
            (Some(lived), Some(_)) => Some(Watched { every, lived }),
            _ => None,
        };
        if !place.is_slept_on || place.words != words {
            place.words.clear();
            place.words.extend_from_slice(words);
            place.is_slept_on = false;
        }
        // It looks at the table by itself before it sleeps; if it sleeps, that may be just what we want.
        let must_know = asleep_until.is_some_and(|until| !place.is_slept_on || until > look_again);
        drop(table);
        if must_know {
            self.post.news.fetch_add(1, Ordering::Release);
            let _ = futex::wake(&self.post.news, futex::Flags::empty(), 1);
        }
        drop(replaced); // A waker's drop is somebody else's code: not while the table is locked.
    }

    /// Whether nothing has happened since it began to wait; from now on `waker` is called.
    pub(crate) fn is_still_waiting(&self, waker: &Waker) -> bool {
        if !self.is_ours() {
            return false;
        }
        let mut table = lock(&self.post.table);
        let place = &mut table.places[self.index];
        let Some(waiting) = &mut place.waker else { return false };
        if place.words.iter().any(|word| is_called(*word)) {
            return false;
        }
        let replaced = if waiting.will_wake(waker) {
            None
        } else {
            Some(std::mem::replace(waiting, waker.clone()))
        };
        drop(table);
        drop(replaced);
        true
    }

    /// Waits for nothing any more: the words are not read again, unless it begins to wait for them anew.
    pub(crate) fn pause(&self) {
        if !self.is_ours() {
            return;
        }
        let forgotten = lock(&self.post.table).places[self.index].waker.take();
        drop(forgotten);
    }

    /// Waits for nothing any more, and the words are about to go: other words may come to lie at their addresses.
    pub(crate) fn forget(&self) {
        if self.is_ours() {
            lock(&self.post.table).places[self.index].is_slept_on = false;
            self.pause();
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if !self.is_ours() {
            return;
        }
        let mut table = lock(&self.post.table);
        table.reserved -= self.words;
        // The thread may still sleep on its words. It is the kernel that finds out then that they are gone.
        let left = std::mem::take(&mut table.places[self.index]);
        drop(table);
        drop(left);
    }
}

impl Table {
    fn take_place(&mut self) -> usize {
        self.reserved += 1;
        let free = self.places.iter().position(|place| !place.is_taken);
        let index = free.unwrap_or(self.places.len());
        if free.is_none() {
            self.places.push(Place::default());
        }
        self.places[index].is_taken = true;
        index
    }

    /// The waker of the place whose word woke the thread.
    fn called(&mut self, index: usize) -> Option<Waker> {
        let place = &mut self.places[index];
        let is_called = place.waker.is_some() && place.words.iter().any(|word| is_called(*word));
        if is_called { place.waker.take() } else { None }
    }

    /// Collects the wakers of those who are to be called, the words of those who are not and their places, and for how long.
    fn look_around(
        &mut self,
        sleep: &mut Sleep,
        owners: &mut Vec<usize>,
        due: &mut Vec<Waker>,
    ) -> Duration {
        let now = Instant::now();
        let mut limit = LONG;
        for (index, place) in self.places.iter_mut().enumerate() {
            place.is_slept_on = false;
            if place.waker.is_none() {
                continue;
            }
            let is_called = place.words.iter().any(|word| is_called(*word));
            let left = if is_called { Duration::ZERO } else { place.time_left(now) };
            if left.is_zero() {
                due.extend(place.waker.take());
                continue;
            }
            place.is_slept_on = true;
            for word in &place.words {
                sleep.add(*word);
                owners.push(index);
            }
            limit = limit.min(left);
        }
        self.asleep_until = due.is_empty().then(|| now + limit);
        limit
    }
}

impl Place {
    /// Until it is to be called although nobody has called it.
    fn time_left(&mut self, now: Instant) -> Duration {
        let left = self.look_again.map_or(LONG, |at| at.saturating_duration_since(now));
        match (self.watched, &self.peer) {
            (Some(Watched { every, lived }), Some(peer))
                if left.is_zero() && !peer.has_news(lived) =>
            {
                self.look_again = Some(now + every);
                every
            }
            _ => left,
        }
    }
}

impl Post {
    fn run(&self) {
        IS_WAITING_THREAD.set(true);
        let mut sleep = Sleep::new();
        let (mut owners, mut due) = (Vec::new(), Vec::new());
        loop {
            // Read before the table: a change after it makes the sleep below return at once.
            let news = self.news.load(Ordering::Acquire);
            sleep.clear();
            owners.clear();
            let limit = lock(&self.table).look_around(&mut sleep, &mut owners, &mut due);
            if due.is_empty() {
                let woken = sleep.sleep(&self.news, news, limit);
                // Who was called first, before anything else is looked at.
                let owner = woken.and_then(|word| owners.get(word));
                due.extend(owner.and_then(|place| lock(&self.table).called(*place)));
            }
            let has_called = !due.is_empty();
            for waker in due.drain(..) {
                // Wakers do not panic; one that does must not take all the others along.
                let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
            }
            if has_called {
                // Whoever was woken may be waiting for this very processor; the next look can wait.
                std::thread::yield_now();
            }
        }
    }
}

fn is_called(word: WaitWord) -> bool {
    #[allow(unsafe_code)]
    // SAFETY: it is in the table, which is locked: its endpoint exists, see the module `words`.
    unsafe {
        words::is_called(word)
    }
}

/// Whether this is one of the waiting threads.
pub(crate) fn is_waiting_thread() -> bool {
    IS_WAITING_THREAD.get()
}

/// How many wait at the moment, of this process: for tests.
pub(crate) fn waiting() -> usize {
    let waits = |post: &Arc<Post>| {
        lock(&post.table).places.iter().filter(|place| place.waker.is_some()).count()
    };
    lock(&THREADS).iter().map(waits).sum()
}

/// No code of others runs under these locks; a table is whole also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
