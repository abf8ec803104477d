//! What a buffer is made of, and how its two ends behave.

use std::time::Duration;

/// Default size of the payload ring: 32 MiB, which fits a container's default 64 MB `/dev/shm`.
pub const DEFAULT_PAYLOAD_BYTES: usize = 32 << 20;
/// Default size of the metadata block: 4 KiB.
pub const DEFAULT_METADATA_BYTES: usize = 4 << 10;
/// Default payload size of a 1.0 buffer, as the deployed tools have it.
const V1_PAYLOAD_BYTES: usize = 1 << 20;
/// Default metadata size of a 1.0 buffer, as the deployed tools have it.
const V1_METADATA_BYTES: usize = 1 << 10;
/// Default number of reader slots.
pub const DEFAULT_READER_SLOTS: u32 = 16;
/// Default number of work groups that a buffer has room for.
pub const DEFAULT_WORK_GROUPS: u32 = 4;
/// Default number of frames that a work group can have in hand.
pub const DEFAULT_GROUP_WINDOW: u32 = 1024;
/// Name of the durable reader slot that a reader takes when it names none.
pub const MAIN_READER: &str = "main";

/// Which protocol a buffer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// 1.0, the deployed C++, C# and Python programs'.
    V1,
    /// 2.0.
    V2,
}

/// What a buffer is made of: fixed when it is created, the same for everyone who attaches.
///
/// A plain value: every setter takes and returns `Self` and none fails; the create call checks the whole.
///
/// ```
/// use zerobuffer::BufferConfig;
/// let config = BufferConfig::new().payload_bytes(64 << 20).metadata_bytes(1024).timestamps(true);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferConfig {
    pub(crate) protocol: Protocol,
    pub(crate) payload_bytes: usize,
    pub(crate) metadata_bytes: usize,
    pub(crate) reader_slots: u32,
    pub(crate) work_groups: u32,
    pub(crate) group_window: u32,
    pub(crate) timestamps: bool,
    pub(crate) payload_sharing: bool,
    pub(crate) attributes: bool,
    pub(crate) keep_for_main: bool,
    pub(crate) mode: u32,
    pub(crate) group: Option<u32>,
    pub(crate) start_position: u64,
}

impl Default for BufferConfig {
    fn default() -> Self {
        Self {
            protocol: Protocol::V2,
            payload_bytes: DEFAULT_PAYLOAD_BYTES,
            metadata_bytes: DEFAULT_METADATA_BYTES,
            reader_slots: DEFAULT_READER_SLOTS,
            work_groups: DEFAULT_WORK_GROUPS,
            group_window: DEFAULT_GROUP_WINDOW,
            timestamps: false,
            payload_sharing: false,
            attributes: true,
            keep_for_main: true,
            mode: 0o600,
            group: None,
            start_position: 0,
        }
    }
}

impl BufferConfig {
    /// The defaults: 32 MiB payload, 4 KiB metadata, 16 reader slots, no timestamps, mode 0600.
    pub fn new() -> Self {
        Self::default()
    }

    /// The defaults for a buffer of protocol 1.0, which the deployed C++, C# and Python programs speak: 1 MiB
    /// payload, 1 KiB metadata.
    ///
    /// In protocol 1.0 the [`Reader`](crate::Reader) makes the buffer, in `/dev/shm`, and it goes with it; there is
    /// one reader, and nothing survives a crash. [`Writer::connect`](crate::Writer::connect) finds buffers of
    /// either protocol by itself.
    ///
    /// ```
    /// use zerobuffer::{BufferConfig, Reader, Writer};
    /// # fn main() -> zerobuffer::Result<()> {
    /// # let name = format!("doc-v1-{}", std::process::id());
    /// let mut reader = Reader::create(&name, &BufferConfig::v1())?; // or a deployed peer's reader
    /// let mut writer = Writer::connect(&name)?; // or a deployed peer's writer
    /// writer.write(b"hello")?;
    /// assert_eq!(&reader.read()?.unwrap()[..], b"hello");
    /// # Ok(()) }
    /// ```
    pub fn v1() -> Self {
        Self {
            protocol: Protocol::V1,
            payload_bytes: V1_PAYLOAD_BYTES,
            metadata_bytes: V1_METADATA_BYTES,
            ..Self::default()
        }
    }

    /// What was asked for that protocol 1.0 does not have.
    pub(crate) fn not_in_v1(&self) -> Option<&'static str> {
        let plain = Self::v1();
        [
            (self.timestamps, "timestamps"),
            (self.payload_sharing, "payload sharing"),
            (self.reader_slots != plain.reader_slots, "reader slots"),
            (
                (self.work_groups, self.group_window) != (plain.work_groups, plain.group_window),
                "work groups",
            ),
            (!self.keep_for_main, "a choice of what happens before its reader, who makes it"),
            (self.mode != plain.mode || self.group.is_some(), "a choice of mode or group"),
            (self.start_position != 0, "a start position"),
        ]
        .into_iter()
        .find_map(|(asked, what)| asked.then_some(what))
    }

    /// Size of the ring in bytes; default [`DEFAULT_PAYLOAD_BYTES`], range 1 byte to 4 GiB.
    /// Rounded up to a power of two of at least one page.
    #[must_use]
    pub fn payload_bytes(mut self, bytes: usize) -> Self {
        self.payload_bytes = bytes;
        self
    }

    /// Makes the ring large enough for `count` frames of up to `frame_bytes` bytes at once: those from the oldest one that a
    /// reader has not released up to the newest, and the one that is being written.
    ///
    /// A reader that always keeps its last five frames and may be three behind needs `room_for(9, …)`. Then a write waits for
    /// nobody, whatever the sizes and the order in which frames were written, held and released, and with every
    /// [`Elastic`](crate::Elastic). One that keeps a single old frame needs room for all that came after it, released or
    /// not: room is given back in the order of frames.
    ///
    /// The ring has room for one frame more than asked for, since two stretches of free bytes may each be too short
    /// for it: at the end of a lap, and before the oldest frame.
    #[must_use]
    pub fn room_for(self, count: usize, frame_bytes: usize) -> Self {
        // 16 header + up to 56 alignment + 8 rounding a frame; terminators and the lines behind the words of skips.
        let per_frame = frame_bytes.saturating_add(80);
        let frames = count.saturating_add(1);
        self.payload_bytes(frames.saturating_mul(per_frame).saturating_add(5 * 64))
    }

    /// Room for metadata in bytes; default [`DEFAULT_METADATA_BYTES`]. Zero: a buffer without metadata.
    #[must_use]
    pub fn metadata_bytes(mut self, bytes: usize) -> Self {
        self.metadata_bytes = bytes;
        self
    }

    /// How many readers can be registered at once; default 16, range 1 to 64.
    #[must_use]
    pub fn reader_slots(mut self, count: u32) -> Self {
        self.reader_slots = count;
        self
    }

    /// How many [work groups](crate::ReaderOptions::group) the buffer has room for; default
    /// [`DEFAULT_WORK_GROUPS`], range 0 to 64. A group takes a reader slot too, and each of its members one.
    #[must_use]
    pub fn work_groups(mut self, count: u32) -> Self {
        self.work_groups = count;
        self
    }

    /// How many frames a work group can be ahead of the oldest one that some member still holds; default
    /// [`DEFAULT_GROUP_WINDOW`], range 1 to 2^20, rounded up to a power of two; 8 bytes each.
    #[must_use]
    pub fn group_window(mut self, frames: u32) -> Self {
        self.group_window = frames;
        self
    }

    /// Whether each frame carries the time of its commit (8 bytes and about 25 ns a frame); default off.
    #[must_use]
    pub fn timestamps(mut self, on: bool) -> Self {
        self.timestamps = on;
        self
    }

    /// Whether this buffer takes part in payload sharing; default off.
    ///
    /// [`Writer::forward`](crate::Writer::forward) passes a frame on without copying it when both buffers do: the one
    /// that the frame lies in, and the one that it is forwarded to. Its readers then need access to the first one,
    /// in the same directory. Work groups cannot read a buffer that takes part.
    #[must_use]
    pub fn payload_sharing(mut self, on: bool) -> Self {
        self.payload_sharing = on;
        self
    }

    /// Whether frames may have [attributes](crate::attributes), and may be empty; default yes. Frames without attributes are
    /// the same either way, and cost the same. No effect in protocol 1.0.
    #[must_use]
    pub fn attributes(mut self, on: bool) -> Self {
        self.attributes = on;
        self
    }

    /// Whether frames written before the first reader came, whatever its name, are kept for it (the writer
    /// then finds the ring full rather than overwriting); default on.
    #[must_use]
    pub fn keep_for_first_reader(mut self, keep: bool) -> Self {
        self.keep_for_main = keep;
        self
    }

    /// Permission bits of the buffer's file, up to 0777 and at least 0600; default 0600, this user alone. Not subject to the
    /// umask. Others make creating fail with [`InvalidConfig`](crate::OpenError::InvalidConfig): the owner has to read and write,
    /// and a buffer is no program that runs with somebody else's rights. Protocol 1.0 knows none.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Group id that the buffer's file is given; default: the creator's.
    #[must_use]
    pub fn group(mut self, gid: u32) -> Self {
        self.group = Some(gid);
        self
    }

    /// Ring position of the first frame, rounded up to 64: for tests of what happens where positions wrap.
    #[doc(hidden)]
    #[must_use]
    pub fn start_position(mut self, position: u64) -> Self {
        self.start_position = position;
        self
    }
}

/// How an endpoint waits for the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitStrategy {
    /// Never sleeps: lowest latency, one core at 100 % while waiting.
    Spin,
    /// Spins as long as that has paid off lately, then sleeps. Where spinning was in vain, waits sleep at once, and only if those
    /// sleeps are brief one of many tries it again: so two sides that are pinned to a core each spin, and two that share one core
    /// take turns.
    #[default]
    SpinThenPark,
    /// Sleeps as soon as there is nothing to do: no CPU while waiting, a wake-up (tens of µs) per arrival.
    Park,
}

/// Whether a writer copies large frames in with streaming (non-temporal) stores, which go past the caches.
///
/// Where the cores of writer and reader share no cache (two groups of cores, two sockets) they are several times as fast;
/// where they do, ordinary stores are, as the reader then finds the frame in the cache. Frames from 2 KiB on are large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StreamingStores {
    /// Whatever is faster: ordinary stores, unless streaming ones take less than half the time. Both are tried and timed now and then,
    /// the one that is not in use for a lap of the ring: at first often, later when the one in use has become faster or slower,
    /// or in one of 2048 laps.
    #[default]
    Auto,
    /// Ordinary stores only.
    Never,
    /// Streaming stores only.
    Always,
}

/// Whether a writer uses only a part of a large ring while readers keep up, so that frames stay in the cache: 4 MiB, or two frames;
/// 1 MiB, or two frames, while readers wait for each. Bulk throughput grows severalfold, and large frames are there sooner.
///
/// When a reader lags by more than that, the writer has the rest of the ring, less at most 4 MiB while the reader has yet to come
/// to where the writer went back to the start. A call that may wait for room does so for 20 µs and a nanosecond per byte of the
/// frame before it takes that; one that may not takes it at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Elastic {
    /// If that is faster: in rings of more than 8 MiB and more than a quarter of the processor's largest cache both ways are
    /// tried now and then, and timed, for some megabytes each; first after 32 MiB, then at most once in 2 GiB. In smaller rings
    /// of more than 2 MiB the part is used while readers wait for each frame.
    #[default]
    Auto,
    /// The writer goes round the whole ring.
    Never,
    /// In all rings, also where the whole ring would be faster: for small frames between cores that share no cache it is three
    /// times as fast.
    Always,
}

/// What a writer does when the ring has no room for a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FullPolicy {
    /// Wait for room. `None` waits without limit.
    Block {
        /// How long to wait before [`WriteError::Full`](crate::WriteError::Full).
        timeout: Option<Duration>,
    },
    /// Fail at once with [`WriteError::Full`](crate::WriteError::Full).
    Fail,
    /// Drop the frame being written, count it, and report success as [`Written::Dropped`](crate::Written::Dropped).
    DropNewest,
}

impl Default for FullPolicy {
    /// Block for at most five seconds, as deployed 1.0 peers do.
    fn default() -> Self {
        Self::Block { timeout: Some(Duration::from_secs(5)) }
    }
}

/// What a reader gets, and what it asks of the writer for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReaderKind {
    /// Every frame; the writer waits for the slowest such reader.
    #[default]
    Every,
    /// What it is in time for: the writer never waits for it, and what was overwritten before it came to it is
    /// missed and counted.
    Lossy,
    /// The same, without a registration: nobody can tell that it is there.
    Observer,
    /// Its share: the members of a work group divide the frames among them.
    Member,
    /// What a work group's members divide. Only in what is told of registered readers.
    Group,
    /// What readers of another buffer have of this one by reference. Only in what is told of registered readers.
    Export,
}

impl std::fmt::Display for ReaderKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Every => "every frame",
            Self::Lossy => "lossy",
            Self::Observer => "observer",
            Self::Member => "member",
            Self::Group => "group",
            Self::Export => "export",
        })
    }
}

/// Where a reader that registers for the first time begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartAt {
    /// At the oldest frame that is still in the ring.
    #[default]
    Oldest,
    /// Behind the newest frame: only what is written from now on.
    Newest,
}
