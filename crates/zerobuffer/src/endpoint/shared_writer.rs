//! One writer for many threads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::writer::{Writer, Written};
use crate::sys::fork::ForkMark;
use crate::values::attributes::Attributes;
use crate::values::error::WriteError;

/// A [`Writer`] that the threads of a process share; clones are the same one. A buffer has one writer, and this is how many
/// threads are it.
///
/// Frames are whole, and those of one thread are in its order. Threads take turns at a lock: while one waits for room, the others
/// wait for it. The writer closes with its last clone.
///
/// ```
/// use zerobuffer::{BufferConfig, Reader, SharedWriter, Writer};
/// # fn main() -> zerobuffer::Result<()> {
/// # let name = format!("doc-shared-{}", std::process::id());
/// let writer = SharedWriter::new(Writer::create(&name, &BufferConfig::new())?);
/// let mut reader = Reader::join(&name)?;
/// std::thread::scope(|scope| {
///     for text in ["one", "two", "three"] {
///         let writer = writer.clone();
///         scope.spawn(move || writer.write(text.as_bytes()).unwrap());
///     }
/// });
/// let mut total = 0;
/// for _ in 0..3 {
///     total += reader.read()?.unwrap().len();
/// }
/// assert_eq!(total, "onetwothree".len());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct SharedWriter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: Arc<str>,
    /// In a forked child the lock is left alone: a thread that the child has not may have it.
    mark: ForkMark,
    writer: Mutex<Writer>,
}

impl SharedWriter {
    /// Shares a writer.
    pub fn new(writer: Writer) -> Self {
        let (name, mark) = (writer.name().into(), ForkMark::current());
        Self { shared: Arc::new(Shared { name, mark, writer: Mutex::new(writer) }) }
    }

    /// Name of the buffer.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    fn lock(&self) -> Result<MutexGuard<'_, Writer>, WriteError> {
        let Shared { name, mark, writer } = &*self.shared;
        if !mark.is_current() {
            return Err(WriteError::Forked { name: name.clone() });
        }
        // A panic leaves a writer between two calls.
        Ok(writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Copies a frame into the ring and commits it, as [`Writer::write`] does.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn write(&self, payload: &[u8]) -> Result<Written, WriteError> {
        self.lock()?.write(payload)
    }

    /// The same, with attributes, as [`Writer::write_with`] does.
    ///
    /// # Errors
    /// As [`Writer::write_with`].
    pub fn write_with(
        &self,
        attributes: &Attributes,
        payload: &[u8],
    ) -> Result<Written, WriteError> {
        self.lock()?.write_with(attributes, payload)
    }

    /// Has `act` use the writer, while no other thread does: for loans, batches, and frames that are to follow each other.
    ///
    /// # Errors
    /// [`WriteError::Forked`] in a forked child; `act` is not called then.
    pub fn with<T>(&self, act: impl FnOnce(&mut Writer) -> T) -> Result<T, WriteError> {
        Ok(act(&mut *self.lock()?))
    }

    /// The writer, for the last one that has it.
    ///
    /// # Errors
    /// Itself, if there are other clones.
    pub fn into_writer(self) -> Result<Writer, Self> {
        let shared = Arc::try_unwrap(self.shared).map_err(|shared| Self { shared })?;
        Ok(shared.writer.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}
