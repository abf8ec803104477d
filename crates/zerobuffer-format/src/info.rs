//! The whole of a metadata block.

use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

use crate::MAX_TEXT_BYTES;
use crate::audio::{self, Audio, SampleFormat};
use crate::caps::Caps;
use crate::error::{DoesNotFit, FormatError};
use crate::framerate::Framerate;
use crate::tensor::{DType, Tensor};
use crate::text::{Grouped, Shown};
use crate::video::{self, Format, Plane, Video};

/// What the frames of a buffer are, as its metadata tells.
///
/// Of two that are equal, metadata is the same to the byte; where only the meaning counts, compare
/// [`content`](Self::content).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    content: Content,
    caps: Option<Caps>,
    problem: Option<FormatError>,
    bytes: Vec<u8>,
}

/// What a frame is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// A picture.
    Video(Video),
    /// Samples of sound.
    Audio(Audio),
    /// Something else that has caps: encoded pictures and sound, for example. Frames have any size.
    Media(Media),
    /// An array of numbers.
    Tensor(Tensor),
    /// Whatever its JSON says to those who know it.
    Json,
    /// Unknown bytes, or no metadata at all.
    Opaque,
}

/// A media type of which frames have no fixed size, or none that is known here.
///
/// ```
/// use zerobuffer_format::StreamInfo;
///
/// let info = StreamInfo::parse(b"video/x-h264,stream-format=byte-stream,width=1280,height=720,framerate=25/1");
/// assert_eq!(info.to_string(), "video/x-h264 1280×720 25 fps");
/// assert_eq!(info.frame_bytes(), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    name: String,
    size: Option<(u32, u32)>,
    framerate: Framerate,
}

impl Media {
    fn from_caps(caps: &Caps) -> Self {
        let pixels = |field| caps.positive(field, "").ok();
        Self {
            name: caps.media().to_owned(),
            size: pixels("width").zip(pixels("height")),
            framerate: caps.fraction("framerate").ok().flatten().unwrap_or_default(),
        }
    }

    /// The media type, such as `video/x-h264`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Width and height in pixels, if the caps tell.
    pub const fn size(&self) -> Option<(u32, u32)> {
        self.size
    }

    /// Frames per second, if the caps tell.
    pub const fn framerate(&self) -> Framerate {
        self.framerate
    }
}

/// `video/x-h264 1280×720 25 fps`.
impl Display for Media {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Shown(&self.name))?;
        if let Some((width, height)) = self.size {
            write!(f, " {width}×{height}")?;
        }
        if self.framerate != Framerate::VARIABLE {
            write!(f, " {}", self.framerate)?;
        }
        Ok(())
    }
}

impl Content {
    fn from_caps(caps: &Caps) -> Result<Self, FormatError> {
        match caps.media() {
            video::RAW | video::BAYER => Video::from_caps(caps).map(Self::Video),
            audio::RAW => Audio::from_caps(caps).map(Self::Audio),
            _ => Ok(Self::Media(Media::from_caps(caps))),
        }
    }
}

impl StreamInfo {
    /// What `metadata` tells. Never fails: what is not understood is [`Json`](Content::Json) or
    /// [`Opaque`](Content::Opaque).
    ///
    /// Copies what it looks at, and opaque bytes as a whole: `StreamInfo::from` does not if it is given a `Vec`.
    pub fn parse(metadata: &[u8]) -> Self {
        Self::described(metadata).unwrap_or_else(|problem| Self::opaque(metadata.to_vec(), problem))
    }

    /// Raw pictures, of `width` and `height` pixels. See [`Video::new`], also for errors, and [`Video`] for the short
    /// form `1920x1080@30:I420`.
    pub fn video(
        format: Format,
        width: u32,
        height: u32,
        framerate: Framerate,
    ) -> Result<Self, FormatError> {
        Video::new(format, width, height, framerate).map(Self::from)
    }

    /// Raw samples: `rate` of each of so many `channels` in a second. See [`Audio::new`], also for errors.
    pub fn audio(format: SampleFormat, rate: u32, channels: u32) -> Result<Self, FormatError> {
        Audio::new(format, rate, channels).map(Self::from)
    }

    /// Arrays of a shape. See [`Tensor::new`], also for errors.
    pub fn tensor(dtype: DType, shape: &[u64]) -> Result<Self, FormatError> {
        Tensor::new(dtype, shape).map(Self::from)
    }

    /// What caps tell that somebody typed, with types or without.
    ///
    /// ```
    /// use zerobuffer_format::{FormatError, StreamInfo};
    ///
    /// let info = StreamInfo::from_caps("video/x-raw,format=GRAY8,width=640,height=480")?;
    /// assert_eq!(info.frame_bytes(), Some(307200));
    /// let error = StreamInfo::from_caps("video/x-raw,format=GRAY8,width=640").expect_err("no height");
    /// assert_eq!(error.to_string(), "video/x-raw without `height`");
    /// # Ok::<(), FormatError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As from parsing [`Caps`], and what is missing or wrong in raw pictures and samples. Formats that are not known
    /// here are no error: frames of any size are [`Media`], and [`problem`](Self::problem) says why.
    pub fn from_caps(caps: &str) -> Result<Self, FormatError> {
        let info = Self::of_caps(caps.parse()?)?;
        match info.problem {
            None | Some(FormatError::Unsupported { .. }) => Ok(info),
            Some(problem) => Err(problem),
        }
    }

    /// From caps alone: with JSON around them, which has to be as short as what is looked at.
    fn of_caps(caps: Caps) -> Result<Self, FormatError> {
        let bytes = json_around(&caps);
        if bytes.len() > MAX_TEXT_BYTES {
            return Err(FormatError::TooLong { found: bytes.len() as u64 });
        }
        Ok(Self::with_caps(caps, bytes))
    }

    fn with_caps(caps: Caps, bytes: Vec<u8>) -> Self {
        let (content, problem) = match Content::from_caps(&caps) {
            Ok(content) => (content, None),
            Err(problem) => (Content::Media(Media::from_caps(&caps)), Some(problem)),
        };
        Self { content, caps: Some(caps), problem, bytes }
    }

    fn opaque(bytes: Vec<u8>, problem: Option<FormatError>) -> Self {
        Self { content: Content::Opaque, caps: None, problem, bytes }
    }

    /// Metadata that is more than bytes; otherwise why not, if it looked as if it were.
    fn described(metadata: &[u8]) -> Result<Self, Option<FormatError>> {
        if metadata.len() > MAX_TEXT_BYTES + LENGTH_BYTES {
            return Err(Some(FormatError::TooLong { found: metadata.len() as u64 }));
        }
        match Self::of_text(metadata) {
            Err(None) => behind_its_length(metadata).map_or(Err(None), Self::of_text),
            decided => decided,
        }
    }

    fn of_text(bytes: &[u8]) -> Result<Self, Option<FormatError>> {
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let bytes = bytes[..end].trim_ascii();
        if bytes.len() > MAX_TEXT_BYTES {
            return Err(None);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| None)?;
        if text.starts_with(['{', '[']) {
            let value = serde_json::from_str(text).map_err(|_| None)?;
            return Ok(Self::of_json(&value, bytes.to_vec()));
        }
        let family = text.split_once('/').map(|(family, _)| family);
        if !family.is_some_and(|family| FAMILIES.contains(&family)) {
            return Err(None);
        }
        text.parse().and_then(Self::of_caps).map_err(Some)
    }

    fn of_json(value: &Value, bytes: Vec<u8>) -> Self {
        let (content, problem) = if let Some(Value::String(caps)) = value.get("caps") {
            match caps.parse() {
                Ok(caps) => return Self::with_caps(caps, bytes),
                Err(problem) => (Content::Json, Some(problem)),
            }
        } else if let Some(tensor) = value.get("tensor") {
            match Tensor::from_json(tensor) {
                Ok(tensor) => (Content::Tensor(tensor), None),
                Err(problem) => (Content::Json, Some(problem)),
            }
        } else {
            (Content::Json, None)
        };
        Self { content, caps: None, problem, bytes }
    }

    /// The metadata to write: JSON whose member `caps` is a caps string with types, as deployed elements write it, and
    /// without a length before it. That is the one form that the deployed readers in C# (which take no other), those in
    /// Python, and this crate have in common; the deployed client in C++ needs
    /// [`to_bytes_with_length`](Self::to_bytes_with_length).
    ///
    /// What came from JSON is that very JSON, with all its members, and opaque bytes are those bytes. Parsing gives
    /// `self` again.
    ///
    /// ```
    /// use zerobuffer_format::{SampleFormat, StreamInfo};
    ///
    /// let info = StreamInfo::audio(SampleFormat::S16Le, 48_000, 2)?;
    /// let json = String::from_utf8(info.to_bytes()).expect("JSON");
    /// assert!(json.starts_with(
    ///     r#"{"caps":"audio/x-raw, format=(string)S16LE, rate=(int)48000, channels=(int)2, layout=(string)interleaved","#
    /// ));
    /// # Ok::<(), zerobuffer_format::FormatError>(())
    /// ```
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// The same behind its length, four bytes little-endian, for the deployed client in C++, which takes no other
    /// form. This crate and the deployed readers in Python take it, too, those in C# do not.
    ///
    /// `None` where there is no text to put a length before: [`Opaque`](Content::Opaque).
    pub fn to_bytes_with_length(&self) -> Option<Vec<u8>> {
        if self.content == Content::Opaque {
            return None;
        }
        // Python takes the whole for UTF-8, in which no byte from 128 on stands alone, and looks for the first `{`:
        // spaces behind the text until its length has neither.
        let harmless = |len: &usize| len.to_le_bytes().iter().all(|&b| b < 0x80 && b != b'{');
        let len = (self.bytes.len()..).find(harmless)?;
        let mut bytes = u32::try_from(len).ok()?.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.bytes);
        bytes.resize(LENGTH_BYTES + len, b' ');
        Some(bytes)
    }

    /// What a frame is.
    pub const fn content(&self) -> &Content {
        &self.content
    }

    /// The caps, if there are any, with fields that this crate makes nothing of, such as `colorimetry`.
    pub const fn caps(&self) -> Option<&Caps> {
        self.caps.as_ref()
    }

    /// Why [`content`](Self::content) is less than the metadata seemed to say: caps that are not fixed, a format that
    /// is not known here, and so on.
    ///
    /// ```
    /// use zerobuffer_format::StreamInfo;
    ///
    /// let info = StreamInfo::parse(br#"{"caps":"video/x-raw,format={I420,NV12},width=640,height=480"}"#);
    /// assert_eq!(info.frame_bytes(), None);
    /// assert_eq!(
    ///     info.problem().expect("not fixed").to_string(),
    ///     "not fixed caps: `format` is a list; a stream has one value for each field",
    /// );
    /// ```
    pub const fn problem(&self) -> Option<&FormatError> {
        self.problem.as_ref()
    }

    /// Bytes of each frame, if all have the same number. From another program: compare with the largest frame of the
    /// buffer before allocating so much.
    pub const fn frame_bytes(&self) -> Option<u64> {
        match &self.content {
            Content::Video(video) => Some(video.frame_bytes()),
            Content::Tensor(tensor) => Some(tensor.frame_bytes()),
            Content::Audio(_) | Content::Media(_) | Content::Json | Content::Opaque => None,
        }
    }

    /// Where in a frame the planes of the picture lie; none if frames are no raw pictures.
    pub fn planes(&self) -> &[Plane] {
        match &self.content {
            Content::Video(video) => video.planes(),
            _ => &[],
        }
    }

    /// Whether a frame of `len` bytes is what the metadata says: exactly as long as a picture or tensor, a multiple of
    /// audio's sample frame. Everything fits metadata that says nothing of sizes.
    ///
    /// A frame that fits has all rows of all [`planes`](Self::planes). What somebody puts before the picture, as deployed
    /// elements do with 24 bytes, is no part of it: `len` is without.
    ///
    /// # Errors
    ///
    /// [`DoesNotFit`], with both lengths.
    pub const fn check(&self, len: usize) -> Result<(), DoesNotFit> {
        let found = len as u64;
        let (expected, multiple) = match (&self.content, self.frame_bytes()) {
            (_, Some(bytes)) => (bytes, false),
            (Content::Audio(audio), None) => (audio.sample_frame_bytes(), true),
            _ => return Ok(()),
        };
        let fits = if multiple { found.is_multiple_of(expected) } else { found == expected };
        if fits { Ok(()) } else { Err(DoesNotFit { expected, found, multiple }) }
    }
}

/// As from [`StreamInfo::parse`], without a copy of opaque bytes.
impl From<Vec<u8>> for StreamInfo {
    fn from(metadata: Vec<u8>) -> Self {
        match Self::described(&metadata) {
            Ok(info) => info,
            Err(problem) => Self::opaque(metadata, problem),
        }
    }
}

impl From<Video> for StreamInfo {
    fn from(video: Video) -> Self {
        let caps = video.to_caps();
        let bytes = json_around(&caps);
        Self { content: Content::Video(video), caps: Some(caps), problem: None, bytes }
    }
}

impl From<Audio> for StreamInfo {
    fn from(audio: Audio) -> Self {
        let caps = audio.to_caps();
        let bytes = json_around(&caps);
        Self { content: Content::Audio(audio), caps: Some(caps), problem: None, bytes }
    }
}

impl From<Tensor> for StreamInfo {
    fn from(tensor: Tensor) -> Self {
        let bytes = json!({ "tensor": tensor.to_json() }).to_string().into_bytes();
        Self { content: Content::Tensor(tensor), caps: None, problem: None, bytes }
    }
}

/// For people, in one line: `I420 1920×1080 30 fps, 3,110,400 bytes a frame`.
impl Display for StreamInfo {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let bytes = Grouped(self.bytes.len() as u64);
        match &self.content {
            Content::Video(video) => write!(f, "{video}")?,
            Content::Audio(audio) => write!(f, "{audio}")?,
            Content::Media(media) => write!(f, "{media}")?,
            Content::Tensor(tensor) => write!(f, "{tensor}")?,
            Content::Json => write!(f, "JSON, {bytes} bytes")?,
            Content::Opaque if self.bytes.is_empty() => f.write_str("no metadata")?,
            Content::Opaque => write!(f, "{bytes} bytes of unknown kind")?,
        }
        match &self.problem {
            Some(problem) => write!(f, " ({problem})"),
            None => Ok(()),
        }
    }
}

/// Bytes of a length before a text.
const LENGTH_BYTES: usize = 4;

/// What media types begin with, which tells caps from other text.
const FAMILIES: [&str; 9] = [
    "video",
    "audio",
    "image",
    "text",
    "application",
    "subpicture",
    "closedcaption",
    "meta",
    "other",
];

/// The text that a length of four bytes, little-endian, is before, if nothing but zeros is behind it.
fn behind_its_length(metadata: &[u8]) -> Option<&[u8]> {
    let (len, rest) = metadata.split_first_chunk()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let (text, padding) = rest.split_at_checked(len)?;
    padding.iter().all(|&byte| byte == 0).then_some(text)
}

/// The metadata that deployed elements write, with these caps.
fn json_around(caps: &Caps) -> Vec<u8> {
    let version = concat!("ZeroBuffer ", env!("CARGO_PKG_VERSION"));
    let members = json!({
        "caps": caps.to_string(),
        "element_name": "zerobuffer",
        "type": "zerobuffer",
        "version": version,
    });
    members.to_string().into_bytes()
}
