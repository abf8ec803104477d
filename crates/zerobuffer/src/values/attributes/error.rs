//! What can be wrong with an attribute block.

/// Why an attribute block cannot be read, or a record not be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttributesError {
    /// The block says that it has no head, or ends behind the frame.
    #[error(
        "an attribute block of {found} bytes in a frame of {frame}: at least 8, at most the frame's, and a multiple of 8 were expected"
    )]
    BlockLength {
        /// Bytes that the block says it has.
        found: usize,
        /// Bytes of the frame, block and payload.
        frame: usize,
    },
    /// The records end behind their block.
    #[error("attribute records of {found} bytes: at most {room} have room in their block")]
    RecordsLength {
        /// Bytes that the block says its records have.
        found: usize,
        /// Bytes behind the block's head.
        room: usize,
    },
    /// A record ends behind the records.
    #[error("the attribute at byte {at} is cut off: {missing} bytes are missing")]
    Truncated {
        /// Where the record begins, from the first record on.
        at: usize,
        /// How many bytes it is short of.
        missing: usize,
    },
    /// A kind stands there twice.
    #[error("attribute {kind} stands there twice: each kind may stand there once")]
    Doubled {
        /// The kind.
        kind: u8,
    },
    /// A kind that no record may have.
    #[error("attribute kind {kind} is reserved: use 128 to 254 for your own")]
    ReservedKind {
        /// The kind.
        kind: u8,
    },
    /// A value that is too short for what its kind means, or holds text that is not UTF-8.
    #[error(
        "attribute {kind} ({name}) has a value of {found} bytes that does not say that: {expected} expected"
    )]
    Value {
        /// The kind.
        kind: u8,
        /// What it stands for.
        name: &'static str,
        /// Bytes of the value.
        found: usize,
        /// What was expected.
        expected: &'static str,
    },
    /// The attributes need more room than their loan has.
    #[error(
        "attributes of {needed} bytes where the loan has room for {room}: begin it with attributes that are as long"
    )]
    NoRoom {
        /// Bytes of their block.
        needed: usize,
        /// Bytes of the block that the loan began with.
        room: usize,
    },
    /// A value that is too long for a record.
    #[error("an attribute value of {found} bytes: at most {most} fit a record; split it over several kinds", most = u8::MAX)]
    TooLong {
        /// Bytes of the value.
        found: usize,
    },
}
