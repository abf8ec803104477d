//! What the frames of a ZeroBuffer are: metadata that describes itself.
//!
//! The metadata block of a buffer is a few bytes of which ZeroBuffer itself knows nothing. [`StreamInfo`] reads what
//! is there in the field, and writes what everybody reads. It needs neither GStreamer nor a library for pictures.
//!
//! ```
//! use zerobuffer_format::{Content, StreamInfo};
//!
//! // What deployed GStreamer elements write.
//! let metadata = br#"{"type":"zerosink","version":"GStreamer 1.24.2","element_name":"zerosink0",
//!     "caps":"video/x-raw, format=(string)I420, width=(int)1920, height=(int)1080, framerate=(fraction)30/1"}"#;
//! let info = StreamInfo::parse(metadata);
//! assert_eq!(info.to_string(), "I420 1920×1080 30 fps, 3,110,400 bytes a frame");
//!
//! // A reader's frame, before anything is made of it.
//! let frame = [0; 64];
//! let error = info.check(frame.len()).expect_err("much too short");
//! assert_eq!(error.to_string(), "does not fit: 3110400 bytes expected, 64 found");
//!
//! // Where the planes lie.
//! let Content::Video(video) = info.content() else { panic!("pictures") };
//! assert_eq!(video.planes()[1].offset, 1920 * 1080);
//! ```
//!
//! A writer describes its frames:
//!
//! ```
//! use zerobuffer_format::{Format, Framerate, StreamInfo};
//!
//! let info = StreamInfo::video(Format::I420, 1920, 1080, Framerate::fps(30))?;
//! let metadata = info.to_bytes(); // for the writer
//! assert_eq!(info.frame_bytes(), Some(3110400));
//! assert_eq!(StreamInfo::parse(&metadata), info);
//! # Ok::<(), zerobuffer_format::FormatError>(())
//! ```
//!
//! # What is read
//!
//! | metadata | [`Content`] |
//! |---|---|
//! | JSON object whose member `caps` is a caps string | what the caps say: see below |
//! | the same behind its length, four bytes little-endian | the same |
//! | a caps string | the same |
//! | JSON object with a member `tensor`: `{"dtype":"float32","shape":[1,3,224,224]}` | [`Tensor`] |
//! | any other JSON object or array | [`Json`](Content::Json) |
//! | anything else, and whatever is longer than [`MAX_TEXT_BYTES`] | [`Opaque`](Content::Opaque) |
//!
//! Bytes of 0 behind a text are padding. Caps are `video/x-raw` and `video/x-bayer` ([`Video`]), `audio/x-raw`
//! ([`Audio`]), or something else, such as encoded video, whose frames have no fixed size ([`Media`]). Types may be
//! left out (`width=1920` for `width=(int)1920`).
//!
//! # What to know
//!
//! * **Metadata is never wrong.** What is not understood is opaque or JSON; [`StreamInfo::problem`] says why, if it
//!   looked like caps. What users type is checked by [`StreamInfo::from_caps`] and `parse::<Video>()`, with errors.
//! * **Metadata is another program's word.** No text, number or nesting in it makes this crate panic, and nothing is
//!   allocated by a number that it claims: what is read takes a few MiB at most. Sizes have 64 bits and are checked.
//!   Whoever allocates by them compares them with the largest frame of the buffer first, and each frame with
//!   [`StreamInfo::check`].
//! * **What is shown** ([`Display`](std::fmt::Display), errors) has no control characters, whatever is in the metadata.

mod audio;
mod caps;
mod error;
mod framerate;
mod info;
mod named;
mod tensor;
mod text;
mod video;

pub use audio::{Audio, SampleFormat};
pub use caps::Caps;
pub use error::{DoesNotFit, FormatError};
pub use framerate::Framerate;
pub use info::{Content, Media, StreamInfo};
pub use tensor::{DType, Tensor};
pub use video::{Format, Plane, Video};

/// The longest text that is looked at, in bytes: 64 KiB. Longer metadata is opaque, longer caps are an error.
pub const MAX_TEXT_BYTES: usize = 64 << 10;
