//! A second thread that answers: what a sleeper costs shows only where somebody sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Something that one thread sleeps on until another one calls it.
pub trait Turn: Default + Send + Sync + 'static {
    /// Calls who sleeps, or will.
    fn give(&self);
    /// Sleeps until it is called.
    fn take(&self);
}

#[derive(Debug, Default)]
struct Table<T> {
    there: T,
    back: T,
    ended: AtomicBool,
}

/// A thread that sleeps until its turn, and then gives the turn back.
#[derive(Debug)]
pub struct Partner<T: Turn> {
    table: Arc<Table<T>>,
    thread: JoinHandle<u64>,
}

impl<T: Turn> Partner<T> {
    /// Begins.
    #[must_use]
    pub fn start() -> Self {
        let table = Arc::new(Table::<T>::default());
        let its = Arc::clone(&table);
        let thread = std::thread::spawn(move || {
            let mut rounds = 0;
            loop {
                its.there.take();
                if its.ended.load(Ordering::SeqCst) {
                    return rounds;
                }
                rounds += 1;
                its.back.give();
            }
        });
        Self { table, thread }
    }

    /// There and back: two wake-ups.
    #[inline]
    pub fn round(&self) {
        self.table.there.give();
        self.table.back.take();
    }

    /// Ends the thread, and says how many rounds it saw.
    ///
    /// # Panics
    ///
    /// If the thread panicked.
    #[must_use]
    pub fn end(self) -> u64 {
        self.table.ended.store(true, Ordering::SeqCst);
        self.table.there.give();
        self.thread.join().expect("it only waits and counts")
    }
}
