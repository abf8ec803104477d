//! Raw audio.

use std::fmt::{self, Display, Formatter};

use crate::caps::Caps;
use crate::error::FormatError;
use crate::named::named;
use crate::text::Grouped;

pub(crate) const RAW: &str = "audio/x-raw";

named! {
    /// How a sample lies in memory: signed, unsigned or floating, its bits, its byte order. Names are GStreamer's.
    SampleFormat {
        /// 8 bits, signed.
        S8 "S8",
        /// 8 bits, unsigned.
        U8 "U8",
        /// 16 bits, signed, little-endian.
        S16Le "S16LE",
        /// 16 bits, signed, big-endian.
        S16Be "S16BE",
        /// 24 bits in three bytes, signed, little-endian.
        S24Le "S24LE",
        /// 24 bits in three bytes, signed, big-endian.
        S24Be "S24BE",
        /// 24 bits in four bytes, signed, little-endian.
        S24_32Le "S24_32LE",
        /// 24 bits in four bytes, signed, big-endian.
        S24_32Be "S24_32BE",
        /// 32 bits, signed, little-endian.
        S32Le "S32LE",
        /// 32 bits, signed, big-endian.
        S32Be "S32BE",
        /// 32 bits, floating, little-endian.
        F32Le "F32LE",
        /// 32 bits, floating, big-endian.
        F32Be "F32BE",
        /// 64 bits, floating, little-endian.
        F64Le "F64LE",
        /// 64 bits, floating, big-endian.
        F64Be "F64BE",
    }
}

impl SampleFormat {
    /// Bytes of a sample of one channel.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::S8 | Self::U8 => 1,
            Self::S16Le | Self::S16Be => 2,
            Self::S24Le | Self::S24Be => 3,
            Self::S24_32Le | Self::S24_32Be | Self::S32Le | Self::S32Be => 4,
            Self::F32Le | Self::F32Be => 4,
            Self::F64Le | Self::F64Be => 8,
        }
    }
}

/// Raw samples. A frame of the buffer has any number of *sample frames*: one sample of each channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audio {
    format: SampleFormat,
    rate: u32,
    channels: u32,
}

impl Audio {
    /// Interleaved samples: `rate` of each of so many `channels` in a second.
    ///
    /// # Errors
    ///
    /// `rate` or `channels` is 0 or has more than 31 bits.
    pub fn new(format: SampleFormat, rate: u32, channels: u32) -> Result<Self, FormatError> {
        for (field, number) in [("rate", rate), ("channels", channels)] {
            if !(1..=i32::MAX as u32).contains(&number) {
                return Err(FormatError::invalid(field, number.to_string(), NUMBER));
            }
        }
        Ok(Self { format, rate, channels })
    }

    /// What `caps` of type [`RAW`] say.
    pub(crate) fn from_caps(caps: &Caps) -> Result<Self, FormatError> {
        let name = caps.required("format")?;
        let unknown = || FormatError::Unsupported { field: "format", found: name.to_owned() };
        let format = SampleFormat::named(name).ok_or_else(unknown)?;
        Self::new(format, caps.positive("rate", NUMBER)?, caps.positive("channels", NUMBER)?)
    }

    pub(crate) fn to_caps(self) -> Caps {
        let mut caps = Caps::new(RAW);
        caps.set("format", "string", self.format.name());
        caps.set("rate", "int", &self.rate.to_string());
        caps.set("channels", "int", &self.channels.to_string());
        caps.set("layout", "string", "interleaved");
        caps
    }

    /// The format of samples.
    pub const fn format(&self) -> SampleFormat {
        self.format
    }

    /// Samples of each channel in a second.
    pub const fn rate(&self) -> u32 {
        self.rate
    }

    /// Channels; at least 1.
    pub const fn channels(&self) -> u32 {
        self.channels
    }

    /// Bytes of one sample of each channel. A frame has a multiple of it.
    pub const fn sample_frame_bytes(&self) -> u64 {
        // At most 8 times 31 bits.
        self.format.bytes() * self.channels as u64
    }
}

const NUMBER: &str = "a number from 1 to 2147483647";

/// `S16LE 48,000 Hz 2 channels, 4 bytes a sample frame`.
impl Display for Audio {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let channels = if self.channels == 1 { "channel" } else { "channels" };
        let (rate, bytes) = (Grouped(self.rate.into()), Grouped(self.sample_frame_bytes()));
        write!(
            f,
            "{} {rate} Hz {} {channels}, {bytes} bytes a sample frame",
            self.format, self.channels
        )
    }
}
