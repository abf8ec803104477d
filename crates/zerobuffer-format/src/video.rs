//! Raw pictures: formats, and where their planes lie.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use crate::caps::Caps;
use crate::error::FormatError;
use crate::framerate::Framerate;
use crate::named::named;
use crate::text::Grouped;

pub(crate) const RAW: &str = "video/x-raw";
pub(crate) const BAYER: &str = "video/x-bayer";

named! {
    /// How the pixels of a picture lie in memory. Names and meaning are GStreamer's.
    Format {
        /// Planes Y, U, V; U and V have half the width and half the height.
        I420 "I420",
        /// Planes Y, V, U; otherwise like `I420`.
        Yv12 "YV12",
        /// Plane Y, and one of half the height with U and V in turn.
        Nv12 "NV12",
        /// Plane Y, and one of half the height with V and U in turn.
        Nv21 "NV21",
        /// Y U Y V for two pixels.
        Yuy2 "YUY2",
        /// U Y V Y for two pixels.
        Uyvy "UYVY",
        /// Three bytes a pixel.
        Rgb "RGB",
        /// Three bytes a pixel.
        Bgr "BGR",
        /// Four bytes a pixel, alpha last.
        Rgba "RGBA",
        /// Four bytes a pixel, alpha last.
        Bgra "BGRA",
        /// Four bytes a pixel, the last unused.
        Rgbx "RGBx",
        /// Four bytes a pixel, the last unused.
        Bgrx "BGRx",
        /// One byte a pixel.
        Gray8 "GRAY8",
        /// Two bytes a pixel, little-endian.
        Gray16Le "GRAY16_LE",
        /// Like `Nv12` with 16 bits little-endian, of which the upper ten count. `P010` for short.
        P010 "P010_10LE",
        /// Like `I420` with 16 bits little-endian, of which the lower ten count.
        I420_10Le "I420_10LE",
        /// Six pixels of ten bits, 4:2:2, in 16 bytes.
        V210 "v210",
        /// One byte from a sensor's colour filter: B G above G R.
        Bggr "bggr",
        /// One byte from a sensor's colour filter: G B above R G.
        Gbrg "gbrg",
        /// One byte from a sensor's colour filter: G R above B G.
        Grbg "grbg",
        /// One byte from a sensor's colour filter: R G above G B.
        Rggb "rggb",
        /// Like `Bggr` with 16 bits little-endian.
        Bggr16Le "bggr16le",
        /// Like `Gbrg` with 16 bits little-endian.
        Gbrg16Le "gbrg16le",
        /// Like `Grbg` with 16 bits little-endian.
        Grbg16Le "grbg16le",
        /// Like `Rggb` with 16 bits little-endian.
        Rggb16Le "rggb16le",
    }
}

impl Format {
    /// The media type that it has in caps.
    const fn media(self) -> &'static str {
        match self {
            Self::Bggr | Self::Gbrg | Self::Grbg | Self::Rggb => BAYER,
            Self::Bggr16Le | Self::Gbrg16Le | Self::Grbg16Le | Self::Rggb16Le => BAYER,
            _ => RAW,
        }
    }
}

/// By its name, in upper or lower case; `P010` is `P010_10LE`.
impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        if text.eq_ignore_ascii_case("P010") {
            return Ok(Self::P010);
        }
        let known = Self::ALL.iter().find(|format| format.name().eq_ignore_ascii_case(text));
        known.copied().ok_or_else(|| unknown(text))
    }
}

fn unknown(format: &str) -> FormatError {
    FormatError::Unsupported { field: "format", found: format.to_owned() }
}

/// One plane of a picture. Sizes are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plane {
    /// From the beginning of the frame to the first row.
    pub offset: u64,
    /// From the beginning of a row to that of the next.
    pub stride: u64,
    /// What of a row is pixels; the rest, up to `stride`, is not.
    pub row_bytes: u64,
    /// Rows with pixels. Behind the last there may be a row or two without, before the next plane begins.
    pub rows: u64,
}

/// Raw pictures of one size and format. Planes lie as GStreamer lays them out by default: rows begin at multiples
/// of four bytes (`v210`: 128), and where chroma has half the width or height of the picture, that is rounded up.
///
/// ```
/// use zerobuffer_format::{Format, Framerate, Video};
///
/// let video = Video::new(Format::I420, 641, 481, Framerate::fps(25))?;
/// let [y, u, v] = video.planes() else { panic!("three planes") };
/// assert_eq!((y.stride, y.row_bytes, y.rows), (644, 641, 481));
/// assert_eq!((u.offset, u.stride, u.row_bytes, u.rows), (310408, 324, 321, 241));
/// assert_eq!((v.offset, video.frame_bytes()), (388492, 466576)); // Not 641 × 481 × 1.5.
/// # Ok::<(), zerobuffer_format::FormatError>(())
/// ```
///
/// The short form that people type is WIDTHxHEIGHT, a rate that may be left out, and the format:
///
/// ```
/// use zerobuffer_format::Video;
///
/// let video: Video = "1920x1080@30:I420".parse()?;
/// assert_eq!(video.to_string(), "I420 1920×1080 30 fps, 3,110,400 bytes a frame");
/// # Ok::<(), zerobuffer_format::FormatError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Video {
    format: Format,
    width: u32,
    height: u32,
    framerate: Framerate,
    interlaced: bool,
    layout: Layout,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    planes: [Plane; 3],
    count: usize,
    frame_bytes: u64,
}

impl Video {
    /// Progressive pictures, `width` and `height` in pixels.
    ///
    /// # Errors
    ///
    /// `width` or `height` is 0 or has more than 31 bits. Frames of all formats have less than 2⁶⁴ bytes then.
    pub fn new(
        format: Format,
        width: u32,
        height: u32,
        framerate: Framerate,
    ) -> Result<Self, FormatError> {
        Self::with(format, width, height, framerate, false)
    }

    fn with(
        format: Format,
        width: u32,
        height: u32,
        framerate: Framerate,
        interlaced: bool,
    ) -> Result<Self, FormatError> {
        for (field, pixels) in [("width", width), ("height", height)] {
            if !(1..=i32::MAX as u32).contains(&pixels) {
                return Err(FormatError::invalid(field, pixels.to_string(), PIXELS));
            }
        }
        let layout = Layout::of(format, width.into(), height.into(), interlaced)
            .ok_or(FormatError::TooLarge)?;
        Ok(Self { format, width, height, framerate, interlaced, layout })
    }

    /// What `caps` of type [`RAW`] or [`BAYER`] say.
    pub(crate) fn from_caps(caps: &Caps) -> Result<Self, FormatError> {
        let other_memory = |feature: &&String| {
            !matches!(feature.as_str(), "memory:SystemMemory" | "format:Interlaced")
        };
        if let Some(feature) = caps.features().iter().find(other_memory) {
            return Err(FormatError::Unsupported { field: "feature", found: feature.clone() });
        }
        let name = caps.required("format")?;
        let known = Format::named(name).filter(|format| format.media() == caps.media());
        let format = known.ok_or_else(|| unknown(name))?;
        let width = caps.positive("width", PIXELS)?;
        let height = caps.positive("height", PIXELS)?;
        let framerate = caps.fraction("framerate")?.unwrap_or_default();
        let interlaced = match caps.get("interlace-mode") {
            None | Some("progressive") => false,
            Some("interleaved" | "mixed" | "fields") => true,
            // One field in each frame, among others.
            Some(mode) => {
                let found = mode.to_owned();
                return Err(FormatError::Unsupported { field: "interlace-mode", found });
            }
        };
        Self::with(format, width, height, framerate, interlaced)
    }

    pub(crate) fn to_caps(self) -> Caps {
        let mut caps = Caps::new(self.format.media());
        caps.set("format", "string", self.format.name());
        caps.set("width", "int", &self.width.to_string());
        caps.set("height", "int", &self.height.to_string());
        let (numerator, denominator) = (self.framerate.numerator(), self.framerate.denominator());
        caps.set("framerate", "fraction", &format!("{numerator}/{denominator}"));
        if self.interlaced {
            caps.set("interlace-mode", "string", "interleaved");
        }
        caps
    }

    /// The format of pixels.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Pixels in a row; at least 1.
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Rows; at least 1.
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// Frames per second.
    pub const fn framerate(&self) -> Framerate {
        self.framerate
    }

    /// Whether a frame has two fields, in turn: `interlace-mode` in caps. Chroma may have a row more then.
    pub const fn is_interlaced(&self) -> bool {
        self.interlaced
    }

    /// Where the planes lie, in their order in memory: one to three.
    pub fn planes(&self) -> &[Plane] {
        &self.layout.planes[..self.layout.count]
    }

    /// Bytes that each frame has.
    pub const fn frame_bytes(&self) -> u64 {
        self.layout.frame_bytes
    }
}

const PIXELS: &str = "a number of pixels from 1 to 2147483647";

/// `I420 1920×1080 30 fps, 3,110,400 bytes a frame`.
impl Display for Video {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}×{}", self.format, self.width, self.height)?;
        if self.framerate != Framerate::VARIABLE {
            write!(f, " {}", self.framerate)?;
        }
        if self.interlaced {
            f.write_str(" interlaced")?;
        }
        write!(f, ", {} bytes a frame", Grouped(self.frame_bytes()))
    }
}

/// The short form: `1920x1080@30:I420`, `640x480:GRAY8`.
impl FromStr for Video {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let invalid = || FormatError::invalid("video", text, "written like 1920x1080@30:I420");
        let (picture, format) = text.rsplit_once(':').ok_or_else(invalid)?;
        let (size, rate) = match picture.split_once('@') {
            Some((size, rate)) => (size, rate.parse()?),
            None => (picture, Framerate::VARIABLE),
        };
        let (width, height) = size.split_once(['x', '×']).ok_or_else(invalid)?;
        let pixels = |field, digits: &str| match digits.bytes().all(|digit| digit.is_ascii_digit())
        {
            true => digits.parse().map_err(|_| FormatError::invalid(field, digits, PIXELS)),
            false => Err(FormatError::invalid(field, digits, PIXELS)),
        };
        Self::new(format.parse()?, pixels("width", width)?, pixels("height", height)?, rate)
    }
}

impl Layout {
    /// Planes one behind the other. `None` if there are more bytes than 64 bits count.
    fn of(format: Format, width: u64, height: u64, interlaced: bool) -> Option<Self> {
        let (up2, up4) = (|n: u64| n.next_multiple_of(2), |n: u64| n.next_multiple_of(4));
        let (even_width, even_height) = (up2(width), up2(height));
        let chroma = even_height / 2;
        // Each of two fields has the same number of rows.
        let chroma_room = if interlaced { up2(chroma) } else { chroma };
        // Stride, bytes of pixels in it; rows with pixels, and room for rows.
        let one = |stride, row_bytes| ([(stride, row_bytes, height, height), NONE, NONE], 1);
        let (planes, count) = match format {
            Format::I420 | Format::Yv12 => {
                let half = (up4(even_width / 2), even_width / 2, chroma, chroma_room);
                ([(up4(width), width, height, even_height), half, half], 3)
            }
            Format::I420_10Le => {
                let half = (up4(width), even_width, chroma, chroma_room);
                ([(up4(2 * width), 2 * width, height, even_height), half, half], 3)
            }
            Format::Nv12 | Format::Nv21 => {
                let pairs = (up4(width), even_width, chroma, chroma_room);
                ([(up4(width), width, height, even_height), pairs, NONE], 2)
            }
            // GStreamer leaves no room for a row more here.
            Format::P010 => {
                let pairs = (up4(2 * width), 2 * even_width, chroma, chroma);
                ([(up4(2 * width), 2 * width, height, even_height), pairs, NONE], 2)
            }
            Format::Yuy2 | Format::Uyvy => one(up4(2 * width), 2 * even_width),
            Format::Rgb | Format::Bgr => one(up4(3 * width), 3 * width),
            Format::Rgba | Format::Bgra | Format::Rgbx | Format::Bgrx => one(4 * width, 4 * width),
            Format::Gray8 => one(up4(width), width),
            Format::Gray16Le => one(up4(2 * width), 2 * width),
            Format::V210 => one(width.div_ceil(48) * 128, width.div_ceil(6) * 16),
            Format::Bggr | Format::Gbrg | Format::Grbg | Format::Rggb => one(up4(width), width),
            Format::Bggr16Le | Format::Gbrg16Le | Format::Grbg16Le | Format::Rggb16Le => {
                one(2 * up4(width), 2 * width)
            }
        };
        let mut offset = 0_u64;
        let mut laid_out = [Plane { offset: 0, stride: 0, row_bytes: 0, rows: 0 }; 3];
        for (plane, (stride, row_bytes, rows, room)) in laid_out.iter_mut().zip(planes).take(count)
        {
            *plane = Plane { offset, stride, row_bytes, rows };
            offset = offset.checked_add(stride.checked_mul(room)?)?;
        }
        Some(Self { planes: laid_out, count, frame_bytes: offset })
    }
}

/// No plane.
const NONE: (u64, u64, u64, u64) = (0, 0, 0, 0);
