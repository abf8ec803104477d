//! The 24 bytes that programs of protocol 1.0 put in front of their frames: number, time, exposure.
//!
//! Three little-endian numbers of 64 bits: the frame's number at its source, its presentation time in nanoseconds, its
//! exposure time in microseconds. All ones: unknown.

use std::time::Duration;

use super::block::{Attributes, AttributesRef};

/// Bytes of the prefix.
pub const PREFIX_BYTES: usize = 24;

const UNKNOWN: u64 = u64::MAX;
const NANOS_PER_MICRO: u64 = 1_000;

impl Attributes {
    /// The attributes that a prefix of protocol 1.0 stands for.
    pub fn from_prefix(prefix: &[u8; PREFIX_BYTES]) -> Self {
        let mut numbers = [UNKNOWN; 3];
        for (number, bytes) in numbers.iter_mut().zip(prefix.chunks_exact(8)) {
            *number = u64::from_le_bytes(bytes.try_into().unwrap_or([0xff; 8]));
        }
        let [sequence, time, exposure] =
            numbers.map(|number| (number != UNKNOWN).then_some(number));
        let mut attributes = Self::new();
        if let Some(sequence) = sequence {
            attributes.set_source_sequence(sequence);
        }
        if let Some(time) = time {
            attributes.set_presentation_time(Duration::from_nanos(time));
        }
        if let Some(exposure) = exposure {
            attributes.set_exposure(Duration::from_micros(exposure));
        }
        attributes
    }
}

impl AttributesRef<'_> {
    /// The prefix of protocol 1.0 for these attributes: number at the source, presentation time, exposure; what else
    /// there is has no room in it.
    pub fn to_prefix(self) -> [u8; PREFIX_BYTES] {
        let exposure = self.exposure().map(|time| time.as_nanos() as u64 / NANOS_PER_MICRO);
        let time = self.presentation_time().map(|time| time.nanos);
        let numbers = [self.source_sequence(), time, exposure];
        let mut prefix = [0; PREFIX_BYTES];
        for (bytes, number) in prefix.chunks_exact_mut(8).zip(numbers) {
            bytes.copy_from_slice(&number.unwrap_or(UNKNOWN).to_le_bytes());
        }
        prefix
    }
}
