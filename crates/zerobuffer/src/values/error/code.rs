//! Numbers of errors: one for each condition, the same in every language.

/// What went wrong, as a number that stays: programs in other languages get the same. `docs/ERRORS.md` has the table.
///
/// From 201: not now, the same call may succeed later. From 301: the other side. From 601: never again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u16)]
pub enum ErrorCode {
    /// The name cannot be a file name.
    InvalidName = 101,
    /// There is no buffer of that name.
    NotFound = 102,
    /// The configuration asks for something that cannot be.
    InvalidConfig = 103,
    /// The buffer exists with another configuration.
    ConfigMismatch = 104,
    /// Another writer is attached.
    WriterConnected = 105,
    /// A live reader has that name.
    ReaderConnected = 106,
    /// The name stands for something else there.
    NameTaken = 107,
    /// There is no room for another work group.
    NoWorkGroup = 108,
    /// Nothing is kept for a reader of that name.
    NoSuchReader = 109,
    /// A place was to be given up whose owner lives.
    ReaderAlive = 110,
    /// All reader slots are taken.
    NoReaderSlot = 111,
    /// Too little room in the file system, the memory or the cgroup.
    NoSpace = 112,
    /// The segment speaks another protocol version.
    WrongVersion = 113,
    /// The segment needs what this library does not have.
    UnknownFeatures = 114,
    /// The segment's creator has not finished it.
    NotReady = 115,
    /// The semaphores of a 1.0 buffer are not there.
    MissingSemaphores = 116,
    /// A live buffer of the other protocol has the name.
    OtherProtocol = 117,
    /// The name stands for something that is no buffer.
    NotABuffer = 118,
    /// Somebody is attached, and removal was not forced.
    InUse = 119,
    /// The directory cannot hold shared memory.
    UnsuitableDirectory = 120,
    /// The operating system refused.
    System = 121,
    /// No room in time.
    Full = 201,
    /// No frame, or no answer, in time.
    Timeout = 202,
    /// No room for the request in time.
    NotSent = 203,
    /// A reader still looks at the metadata that would be overwritten.
    MetadataHeld = 204,
    /// The call was cancelled.
    Cancelled = 205,
    /// No live reader is attached.
    NoReader = 301,
    /// The reader that holds the ring back died or left.
    ReaderGone = 302,
    /// The writer died, after all its frames.
    WriterGone = 303,
    /// There is no server.
    NoServer = 304,
    /// The server went, and may have executed the request.
    ServerGone = 305,
    /// A frame of zero bytes.
    EmptyFrame = 401,
    /// The frame can never fit.
    FrameTooLarge = 402,
    /// The frame does not fit from a 1.0 ring's present position.
    NeverFitsHere = 403,
    /// Frames of this buffer have no attributes.
    NoAttributes = 404,
    /// The frame is larger than the space for it.
    SpaceTooSmall = 405,
    /// Frames are missing, in protocol 1.0.
    SequenceGap = 406,
    /// What a reference leads to is gone.
    PayloadLost = 407,
    /// The metadata does not fit its block.
    MetadataTooLarge = 408,
    /// Metadata was set before.
    MetadataSet = 409,
    /// Metadata of protocol 1.0 stays.
    MetadataNotReplaceable = 410,
    /// The handler answered with an error.
    Failed = 501,
    /// The handler panicked.
    Panicked = 502,
    /// The handler dropped the request.
    Unanswered = 503,
    /// Answers of a 1.0 channel cannot be told apart any more.
    OutOfStep = 504,
    /// Shared memory holds what no conforming peer writes.
    Damaged = 601,
    /// The buffer was removed or replaced while in use.
    Retired = 602,
    /// Another process made the file shorter.
    CutShort = 603,
    /// The endpoint is the parent process's.
    Forked = 604,
    /// The reader's place was given up.
    Evicted = 605,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: &[Self] = &[
        Self::InvalidName,
        Self::NotFound,
        Self::InvalidConfig,
        Self::ConfigMismatch,
        Self::WriterConnected,
        Self::ReaderConnected,
        Self::NameTaken,
        Self::NoWorkGroup,
        Self::NoSuchReader,
        Self::ReaderAlive,
        Self::NoReaderSlot,
        Self::NoSpace,
        Self::WrongVersion,
        Self::UnknownFeatures,
        Self::NotReady,
        Self::MissingSemaphores,
        Self::OtherProtocol,
        Self::NotABuffer,
        Self::InUse,
        Self::UnsuitableDirectory,
        Self::System,
        Self::Full,
        Self::Timeout,
        Self::NotSent,
        Self::MetadataHeld,
        Self::Cancelled,
        Self::NoReader,
        Self::ReaderGone,
        Self::WriterGone,
        Self::NoServer,
        Self::ServerGone,
        Self::EmptyFrame,
        Self::FrameTooLarge,
        Self::NeverFitsHere,
        Self::NoAttributes,
        Self::SpaceTooSmall,
        Self::SequenceGap,
        Self::PayloadLost,
        Self::MetadataTooLarge,
        Self::MetadataSet,
        Self::MetadataNotReplaceable,
        Self::Failed,
        Self::Panicked,
        Self::Unanswered,
        Self::OutOfStep,
        Self::Damaged,
        Self::Retired,
        Self::CutShort,
        Self::Forked,
        Self::Evicted,
    ];

    /// The number.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The code with that number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }

    /// Whether the endpoint will never work again: what it is attached to was removed, replaced, damaged or cut short, belongs to
    /// the parent process, or has given its place up.
    pub const fn is_final(self) -> bool {
        self.number() >= 600
    }

    /// Whether the same call may succeed later.
    pub const fn is_not_now(self) -> bool {
        self.number() >= 200 && self.number() < 300
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?} ({})", self.number())
    }
}
