//! What a reader is told about the other side.

/// Something that happened to the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The writer died; a read has told of it too.
    WriterGone {
        /// Process id that it announced.
        pid: u32,
    },
    /// The writer closed gracefully; a read has told of it too.
    WriterClosed,
    /// A writer attached: the first one, or a successor that goes on with the numbers.
    WriterAttached {
        /// How many writers the buffer has had.
        generation: u64,
    },
    /// The metadata was set or replaced.
    MetadataChanged {
        /// Its version, from 1.
        generation: u64,
    },
}

/// Events since the last look, oldest first.
#[derive(Debug)]
pub struct Events {
    events: std::array::IntoIter<Option<Event>, 4>,
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.events.by_ref().flatten().next()
    }
}

/// What a reader's engine noticed and what of it was told.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Noticed {
    /// Newest writer generation told of.
    pub(crate) writer: u64,
    /// Newest metadata generation told of.
    pub(crate) metadata: u64,
    /// Writer generation whose end `read` told of.
    pub(crate) ended: u64,
    /// That end was a death, and `events` did not tell yet.
    pub(crate) died: Option<u32>,
    /// That end was a close, and `events` did not tell yet.
    pub(crate) closed: bool,
}

impl Noticed {
    /// Tells what is new, given the newest generations of the writer and of the metadata, if they are known.
    pub(crate) fn tell(&mut self, generations: Option<(u64, u64)>) -> Events {
        let (died, closed) = (self.died.take(), std::mem::take(&mut self.closed));
        let seen = (self.writer, self.metadata);
        (self.writer, self.metadata) = generations.unwrap_or(seen);
        let (writer, metadata) = (self.writer, self.metadata);
        let attached = (writer != seen.0).then_some(Event::WriterAttached { generation: writer });
        let died = died.map(|pid| Event::WriterGone { pid });
        let closed = closed.then_some(Event::WriterClosed);
        let changed =
            (metadata != seen.1).then_some(Event::MetadataChanged { generation: metadata });
        // What ended is the writer that is new to us, or one before it.
        let events = if self.ended == writer {
            [attached, changed, died, closed]
        } else {
            [died, closed, attached, changed]
        };
        Events { events: events.into_iter() }
    }
}
