//! The waiting threads: each sleeps on the words of up to 127 endpoints at once and calls their wakers.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use rustix::thread::futex;
use zerobuffer::{Armed, WaitWord};

use crate::words::{self, MOST_WORDS};

/// Places at one thread; one word is its own, by which it is told of changes.
const PLACES: usize = MOST_WORDS - 1;
/// Sleep while nobody waits: somebody who comes wakes the thread.
const LONG: Duration = Duration::from_secs(3600);
/// Where the kernel cannot wait for many words.
const WITHOUT_WAITV: Duration = Duration::from_millis(1);

static THREADS: Mutex<Vec<Arc<Post>>> = Mutex::new(Vec::new());

/// One waiting thread's table.
#[derive(Debug)]
struct Post {
    table: Mutex<Vec<Place>>,
    /// Changes with each change of the table that the thread must know of.
    news: AtomicU32,
}

#[derive(Debug)]
enum Place {
    Free,
    Idle,
    Waiting { word: Option<WaitWord>, look_again: Instant, waker: Waker },
}

/// An endpoint's place at a waiting thread. Whoever has it drops it before the endpoint, see [`words`].
#[derive(Debug)]
pub(crate) struct Registration {
    post: Arc<Post>,
    index: usize,
}

impl Registration {
    pub(crate) fn new() -> io::Result<Self> {
        let mut threads = lock(&THREADS);
        for post in threads.iter() {
            if let Some(index) = post.take_place() {
                return Ok(Self { post: Arc::clone(post), index });
            }
        }
        let post = Arc::new(Post { table: Mutex::default(), news: AtomicU32::new(0) });
        let thread = Arc::clone(&post);
        let name = format!("zerobuffer-{}", threads.len());
        std::thread::Builder::new().name(name).spawn(move || thread.run())?;
        let index = post.take_place().unwrap_or_default();
        threads.push(Arc::clone(&post));
        Ok(Self { post, index })
    }

    /// Has `waker` called when the armed endpoint is to be tried again. False: try now.
    pub(crate) fn call_when(&self, armed: Armed, waker: &Waker) -> bool {
        let Armed::Asleep { word, look_again_after } = armed else { return false };
        let look_again = Instant::now() + look_again_after;
        self.replace(Place::Waiting { word, look_again, waker: waker.clone() });
        true
    }

    /// Waits for nothing any more: the word, if there was one, is not read again.
    pub(crate) fn forget(&self) {
        self.replace(Place::Idle);
    }

    fn replace(&self, place: Place) {
        let replaced = std::mem::replace(&mut lock(&self.post.table)[self.index], place);
        self.post.tell();
        drop(replaced); // A waker's drop is somebody else's code: not while the table is locked.
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.replace(Place::Free);
    }
}

impl Post {
    fn take_place(&self) -> Option<usize> {
        let mut table = lock(&self.table);
        let free = table.iter().position(|place| matches!(place, Place::Free));
        if let Some(index) = free {
            table[index] = Place::Idle;
            return free;
        }
        if table.len() == PLACES {
            return None;
        }
        table.push(Place::Idle);
        Some(table.len() - 1)
    }

    fn tell(&self) {
        self.news.fetch_add(1, Ordering::Release);
        let _ = futex::wake(&self.news, futex::Flags::empty(), 1);
    }

    fn run(&self) {
        let mut can_waitv = true;
        let mut words = Vec::with_capacity(MOST_WORDS);
        let mut due = Vec::new();
        loop {
            // Read before the table: a change after it makes the sleep below return at once.
            let news = self.news.load(Ordering::Acquire);
            words.clear();
            let limit = self.look_around(&mut words, &mut due);
            if !due.is_empty() {
                due.drain(..).for_each(Waker::wake);
                continue;
            }
            if can_waitv {
                let address = std::ptr::from_ref(&self.news).addr();
                words.push(WaitWord { address, expected: news });
                can_waitv = words::sleep_on(&words, limit);
                continue;
            }
            let limit = if words.is_empty() { limit } else { limit.min(WITHOUT_WAITV) };
            let limit = futex::Timespec {
                tv_sec: limit.as_secs().cast_signed(),
                tv_nsec: limit.subsec_nanos().into(),
            };
            let _ = futex::wait(&self.news, futex::Flags::empty(), news, Some(&limit));
        }
    }

    /// Collects the wakers of those who are to be called, the words of those who are not, and for how long.
    fn look_around(&self, words: &mut Vec<WaitWord>, due: &mut Vec<Waker>) -> Duration {
        let now = Instant::now();
        let mut limit = LONG;
        for place in lock(&self.table).iter_mut() {
            let Place::Waiting { word, look_again, .. } = place else { continue };
            let left = look_again.saturating_duration_since(now);
            if left.is_zero() || word.is_some_and(is_called) {
                if let Place::Waiting { waker, .. } = std::mem::replace(place, Place::Idle) {
                    due.push(waker);
                }
                continue;
            }
            words.extend(*word);
            limit = limit.min(left);
        }
        limit
    }
}

fn is_called(word: WaitWord) -> bool {
    #[allow(unsafe_code)]
    // SAFETY: it is in the table, which is locked: its endpoint exists, see the module `words`.
    unsafe {
        words::is_called(word)
    }
}

/// No code of others runs under these locks; a table is whole also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
