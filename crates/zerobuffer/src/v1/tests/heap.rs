//! A 1.0 segment without an operating system. Every access outside the payload panics.

use std::cell::RefCell;

use crate::v1::protocol::layout::{HEADER_BYTES, Oieb, Sizes};
use crate::v1::rules::ring::{FrameHeader, Memory};

#[derive(Debug)]
pub(super) struct Heap {
    pub(super) sizes: Sizes,
    oieb: Oieb,
    payload: RefCell<Vec<u8>>,
}

impl Heap {
    pub(super) fn new(payload_bytes: u64) -> Self {
        let sizes = Sizes::rounded(0, payload_bytes).unwrap();
        let oieb = Oieb::default();
        oieb.initialize(sizes, 1);
        let payload = RefCell::new(vec![0; sizes.payload_bytes as usize]);
        Self { sizes, oieb, payload }
    }

    pub(super) fn put(&self, index: u64, bytes: &[u8]) {
        let index = index as usize;
        self.payload.borrow_mut()[index..index + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) fn get(&self, index: u64, len: u64) -> Vec<u8> {
        self.payload.borrow()[index as usize..(index + len) as usize].to_vec()
    }

    pub(super) fn capacity(&self) -> u64 {
        self.sizes.payload_bytes
    }
}

impl Memory for Heap {
    fn oieb(&self) -> &Oieb {
        &self.oieb
    }

    fn read_header(&self, index: u64) -> FrameHeader {
        let bytes = self.get(index, HEADER_BYTES);
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        FrameHeader { length: word(0), sequence: word(8) }
    }

    fn write_header(&self, index: u64, header: FrameHeader) {
        self.put(index, &header.length.to_le_bytes());
        self.put(index + 8, &header.sequence.to_le_bytes());
    }
}

/// Frame content that tells one frame from every other.
pub(super) fn pattern(sequence: u64, len: u64) -> Vec<u8> {
    (0..len).map(|at| (sequence.wrapping_mul(31) ^ at ^ (at >> 8)) as u8).collect()
}
