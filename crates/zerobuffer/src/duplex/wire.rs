//! What a duplex channel of protocol 2.0 adds to its frames: a header before every answer. See `docs/protocol/2.0.md`.

use crate::values::config::Protocol;

/// Bytes before an answer's own.
pub(crate) const HEADER_BYTES: usize = 16;

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// The handler's bytes.
    Answer,
    /// The handler's error: its code is in the header, the rest is text.
    Failed,
    /// The handler panicked; the rest is text.
    Panicked,
    /// The request was dropped without an answer.
    Unanswered,
    /// The server closed before it came to the request.
    Closing,
    /// A server died while it had the request, and its successor does not try again.
    Interrupted,
}

impl Status {
    const ALL: [Self; 6] = [
        Self::Answer,
        Self::Failed,
        Self::Panicked,
        Self::Unanswered,
        Self::Closing,
        Self::Interrupted,
    ];
}

/// The header of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AnswerHeader {
    /// Number of the frame that the request was.
    pub(crate) request: u64,
    pub(crate) status: Status,
    /// The handler's error code; of an answer: how many bytes at the frame's end do not belong to it.
    pub(crate) code: u32,
}

impl AnswerHeader {
    pub(crate) fn answer(request: u64) -> Self {
        Self { request, status: Status::Answer, code: 0 }
    }

    pub(crate) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&self.request.to_le_bytes());
        bytes[8..10].copy_from_slice(&(self.status as u16).to_le_bytes());
        bytes[10..12].copy_from_slice(&(HEADER_BYTES as u16).to_le_bytes());
        bytes[12..].copy_from_slice(&self.code.to_le_bytes());
        bytes
    }

    /// Reads the header from the beginning of a frame, copied out of shared memory.
    pub(crate) fn parse(frame: &[u8]) -> Result<Self, &'static str> {
        let Some(bytes) = frame.first_chunk::<HEADER_BYTES>() else {
            return Err("an answer is shorter than its header");
        };
        let [r0, r1, r2, r3, r4, r5, r6, r7, s0, s1, h0, h1, c0, c1, c2, c3] = *bytes;
        if u16::from_le_bytes([h0, h1]) as usize != HEADER_BYTES {
            return Err("an answer has a header of another length");
        }
        let status = u16::from_le_bytes([s0, s1]) as usize;
        let Some(&status) = Status::ALL.get(status) else {
            return Err("an answer has a status that is not known");
        };
        Ok(Self {
            request: u64::from_le_bytes([r0, r1, r2, r3, r4, r5, r6, r7]),
            status,
            code: u32::from_le_bytes([c0, c1, c2, c3]),
        })
    }
}

/// What begins a request in a channel whose buffers share their payload, where the header of an answer has room: whether the
/// server may change the request where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    /// It is to be left as it is.
    Keep = 0x100,
    /// It may be changed, and given back as its own answer.
    Change = 0x101,
    /// It is being changed: if its server dies, nobody can tell what it said.
    Changing = 0x102,
}

impl Consent {
    pub(crate) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[8..10].copy_from_slice(&(self as u16).to_le_bytes());
        bytes[10..12].copy_from_slice(&(HEADER_BYTES as u16).to_le_bytes());
        bytes
    }

    /// What the beginning of a request says, copied out of shared memory; `None` if that is nothing known.
    pub(crate) fn parse(request: &[u8; HEADER_BYTES]) -> Option<Self> {
        let known = [Self::Keep, Self::Change, Self::Changing];
        known.into_iter().find(|consent| consent.to_bytes()[8..12] == request[8..12])
    }
}

/// Bytes before a request's own: where the answer's header will stand if it is given in place. In any case, for then
/// requests and answers are aligned alike, and one is copied to the other at full speed wherever they lie.
pub(super) fn bytes_before_a_request(protocol: Protocol) -> usize {
    match protocol {
        Protocol::V1 => 0,
        Protocol::V2 => HEADER_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consent_comes_back_and_nothing_else_is_consent() {
        for consent in [Consent::Keep, Consent::Change, Consent::Changing] {
            assert_eq!(Consent::parse(&consent.to_bytes()), Some(consent));
            // Nor is it an answer.
            assert!(AnswerHeader::parse(&consent.to_bytes()).is_err());
        }
        assert_eq!(Consent::parse(&AnswerHeader::answer(7).to_bytes()), None);
        assert_eq!(Consent::parse(&[0xff; HEADER_BYTES]), None);
    }

    #[test]
    fn headers_come_back_and_nothing_else_is_one() {
        for status in Status::ALL {
            let header = AnswerHeader { request: 0x1122_3344_5566_7788, status, code: 7 };
            assert_eq!(AnswerHeader::parse(&header.to_bytes()), Ok(header));
        }
        let bytes = AnswerHeader::answer(1).to_bytes();
        assert!(AnswerHeader::parse(&bytes[..15]).is_err());
        for (place, value) in [(8, 6), (9, 1), (10, 15), (11, 1)] {
            let mut other = bytes;
            other[place] = value;
            assert!(AnswerHeader::parse(&other).is_err(), "byte {place}");
        }
    }
}
