//! Metadata as readers see it.

use std::ops::Deref;

use super::reader::Reader;
use crate::engine::Reading;
use crate::v2::engine::metadata::Version;
use crate::v2::engine::reader::V2Reader;
use crate::values::error::MetadataError;

impl Reader {
    /// The metadata in place, if any is set: no copy is made, and this version stays as it is meanwhile.
    ///
    /// # Errors
    /// [`MetadataError::Damaged`] if the block contradicts itself.
    pub fn metadata(&self) -> Result<Option<Metadata<'_>>, MetadataError> {
        let held = match &self.lender.engine {
            Reading::Everyday(engine) => {
                engine.hold_metadata()?.map(|version| MetadataPlace::Held(engine, version))
            }
            Reading::Other(engine) => engine
                .metadata()?
                .map(|(generation, bytes)| MetadataPlace::Copied(generation, bytes)),
        };
        Ok(held.map(|place| Metadata { place }))
    }
}

/// Metadata. While it lives the writer of a 2.0 buffer cannot replace this version's successor. For other
/// kinds of readers than those that get every frame, and from a 1.0 buffer, it is a copy.
#[derive(Debug)]
pub struct Metadata<'a> {
    place: MetadataPlace<'a>,
}

/// The metadata, for one who cannot ask the writer to leave it as it is.
#[derive(Debug)]
enum MetadataPlace<'a> {
    Held(&'a V2Reader, Version),
    Copied(u64, Vec<u8>),
}

impl Metadata<'_> {
    /// Which version this is, from 1.
    pub fn generation(&self) -> u64 {
        match &self.place {
            MetadataPlace::Held(_, version) => version.generation,
            MetadataPlace::Copied(generation, _) => *generation,
        }
    }
}

impl Deref for Metadata<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.place {
            MetadataPlace::Held(engine, version) => {
                engine.segment().lend_metadata(version.offset, version.len, self)
            }
            MetadataPlace::Copied(_, bytes) => bytes,
        }
    }
}

impl Drop for Metadata<'_> {
    fn drop(&mut self) {
        if let MetadataPlace::Held(engine, version) = &self.place {
            engine.let_metadata_go(version.generation);
        }
    }
}
