//! Whether the demo that started this process still wants it.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Becomes set when stdin ends.
#[derive(Clone, Debug)]
pub(crate) struct Lifeline(Arc<AtomicBool>);

impl Lifeline {
    pub(crate) fn of_stdin() -> std::io::Result<Self> {
        let cut = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&cut);
        std::thread::Builder::new().name("lifeline".to_owned()).spawn(move || {
            // Data or an error: either way nobody holds the other end as agreed.
            let _ = std::io::stdin().read(&mut [0]);
            flag.store(true, Ordering::Relaxed);
        })?;
        Ok(Self(cut))
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
