//! Which engine a buffer gets: by the protocol that it speaks, and the kind of reader that is asked for.

use std::path::Path;

use super::reading::{Reading, ReadingEngine};
use super::writing::Writing;
use crate::v1;
use crate::v1::engine::reader::V1Reader;
use crate::v1::engine::writer::V1Writer;
use crate::v2::engine::member::{self, V2Member};
use crate::v2::engine::onlooker::{self, V2Onlooker};
use crate::v2::engine::reader::{self, V2Reader};
use crate::v2::engine::writer::{self, V2Writer};
use crate::v2::ground::removal;
use crate::values::config::{BufferConfig, Protocol, WaitStrategy};
use crate::values::error::OpenError;
use crate::values::name::{self, Location};

/// 1.0 buffers have one directory.
fn may_hold_v1(dir: Option<&Path>) -> bool {
    match dir {
        Some(dir) => dir == Path::new(v1::ground::segment::SHM_DIR),
        None => name::default_dir() == Path::new(v1::ground::segment::SHM_DIR),
    }
}

/// Refuses a name that a live buffer of protocol 1.0 has too.
fn refuse_live_v1(name: &str, dir: Option<&Path>, advice: &'static str) -> Result<(), OpenError> {
    if may_hold_v1(dir) && v1::engine::inspect::is_live(name) {
        return Err(OpenError::OtherProtocol { name: name.to_owned(), found: "1.0", advice });
    }
    Ok(())
}

const USE_ANOTHER_NAME: &str =
    "connect to that one as its writer, stop its reader, or use another name";

impl Writing {
    pub(crate) fn create(
        name: &str,
        dir: Option<&Path>,
        config: &BufferConfig,
        behaviour: writer::Behaviour,
    ) -> Result<Self, OpenError> {
        if config.protocol == Protocol::V1 {
            return Err(OpenError::InvalidConfig {
                name: name.to_owned(),
                problem: "in protocol 1.0 the reader makes the buffer: start it first, or wait \
                          for it (`connect` with `wait_for_buffer`)"
                    .to_owned(),
            });
        }
        refuse_live_v1(name, dir, USE_ANOTHER_NAME)?;
        V2Writer::create(name, dir, config, behaviour).map(Self::Everyday)
    }

    /// Attaches to the buffer of that name, whichever protocol it speaks.
    pub(crate) fn connect(
        name: &str,
        dir: Option<&Path>,
        behaviour: writer::Behaviour,
    ) -> Result<Self, OpenError> {
        match V2Writer::connect(name, dir, behaviour) {
            Ok(engine) => {
                refuse_live_v1(name, dir, "stop one of the two, or use another name")?;
                Ok(Self::Everyday(engine))
            }
            Err(not_found @ OpenError::NotFound { .. }) if may_hold_v1(dir) => {
                match V1Writer::connect(name, behaviour.wait, behaviour.streaming) {
                    Err(OpenError::NotFound { .. }) => Err(not_found),
                    other => other.map(|engine| Self::Other(Box::new(engine))),
                }
            }
            Err(error) => Err(error),
        }
    }
}

/// How a Reader behaves, by its kind.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Attendance {
    /// It gets every frame.
    Every(reader::Behaviour),
    /// It is registered, and gets what it is in time for.
    Lossy(onlooker::Behaviour),
    /// It looks on from outside.
    Observer(onlooker::Behaviour),
    /// It gets its share of a work group's frames.
    Member(member::Behaviour),
}

impl Reading {
    pub(crate) fn create(
        name: &str,
        dir: Option<&Path>,
        config: &BufferConfig,
        attendance: Attendance,
    ) -> Result<Self, OpenError> {
        let kind = match (config.protocol, attendance) {
            (Protocol::V2, Attendance::Every(behaviour)) => {
                refuse_live_v1(name, dir, USE_ANOTHER_NAME)?;
                return V2Reader::create(name, dir, config, behaviour).map(Self::Everyday);
            }
            (Protocol::V2, Attendance::Lossy(behaviour)) => {
                refuse_live_v1(name, dir, USE_ANOTHER_NAME)?;
                return V2Onlooker::create(name, dir, config, behaviour).map(Self::other);
            }
            (Protocol::V2, Attendance::Member(behaviour)) => {
                refuse_live_v1(name, dir, USE_ANOTHER_NAME)?;
                return V2Member::create(name, dir, config, behaviour).map(Self::other);
            }
            (Protocol::V1, Attendance::Every(behaviour)) => {
                return Self::create_v1(name, dir, config, behaviour.wait);
            }
            (_, Attendance::Observer(_)) => {
                "an observer looks at a buffer that others made: join it"
            }
            (Protocol::V1, Attendance::Lossy(_)) => {
                "protocol 1.0 has no lossy readers: use 2.0, or read every frame"
            }
            (Protocol::V1, Attendance::Member(_)) => {
                "protocol 1.0 has one reader and no work groups: use 2.0"
            }
        };
        Err(OpenError::InvalidConfig { name: name.to_owned(), problem: kind.to_owned() })
    }

    fn create_v1(
        name: &str,
        dir: Option<&Path>,
        config: &BufferConfig,
        strategy: WaitStrategy,
    ) -> Result<Self, OpenError> {
        let not_in_v1 = config.not_in_v1().or_else(|| {
            (!may_hold_v1(dir)).then_some("buffers outside /dev/shm (`--dir`, ZEROBUFFER_DIR)")
        });
        if let Some(wish) = not_in_v1 {
            let problem = format!("protocol 1.0 does not have {wish}: use 2.0, or do without");
            return Err(OpenError::InvalidConfig { name: name.to_owned(), problem });
        }
        let place = Location::new(name, dir)?;
        if removal::is_live(&place) {
            let advice = "join that one, stop those who use it, or use another name";
            return Err(OpenError::OtherProtocol { name: name.to_owned(), found: "2.0", advice });
        }
        V1Reader::create(name, config.metadata_bytes, config.payload_bytes, strategy)
            .map(Self::other)
    }

    pub(crate) fn join(
        name: &str,
        dir: Option<&Path>,
        attendance: Attendance,
    ) -> Result<Self, OpenError> {
        let joined = match attendance {
            Attendance::Every(behaviour) => {
                V2Reader::join(name, dir, behaviour).map(Self::Everyday)
            }
            Attendance::Lossy(behaviour) => V2Onlooker::join(name, dir, behaviour).map(Self::other),
            Attendance::Observer(behaviour) => {
                V2Onlooker::observe(name, dir, behaviour).map(Self::other)
            }
            Attendance::Member(behaviour) => V2Member::join(name, dir, behaviour).map(Self::other),
        };
        if let Err(OpenError::NotFound { .. }) = joined {
            let advice = "a 1.0 buffer has one reader, who makes it: read it there, or create \
                          one with `BufferConfig::v1()` (`--protocol 1`) under another name";
            refuse_live_v1(name, dir, advice)?;
        }
        joined
    }

    fn other(engine: impl ReadingEngine + 'static) -> Self {
        Self::Other(Box::new(engine))
    }
}
