//! YUV4MPEG2 streams: raw pictures with a header that says how large they are, as `ffmpeg -f yuv4mpegpipe` and
//! mjpegtools write and read them.
//!
//! The header's line becomes the buffer's metadata, and each picture a frame, without its `FRAME` line.

use zerobuffer::printable;

/// What a stream begins with.
const MAGIC: &str = "YUV4MPEG2";
/// What each picture begins with.
pub(crate) const FRAME_LINE: &[u8] = b"FRAME\n";
/// Longest line that is read. Others stop at 80 to 256 bytes.
pub(crate) const MOST_LINE_BYTES: usize = 1024;
/// Bytes of something unexpected that a message shows.
const SHOWN: usize = 48;

/// A checked header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    line: String,
    frame_bytes: usize,
}

/// What a line between pictures is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A picture follows. Whether the line has parameters, which a frame cannot keep.
    Picture { parameters: bool },
    /// The same header again: a stream that was restarted, or put behind another one.
    Again,
}

/// How the colour planes of a picture lie.
struct Layout {
    /// Samples of brightness for each of colour, across and down; `None`: no colour.
    chroma: Option<(usize, usize)>,
    /// A fourth plane, as large as the first.
    alpha: bool,
    bytes_per_sample: usize,
}

impl Header {
    /// Reads a header's line, without its end.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(line).ok().filter(|text| !text.contains(char::is_control));
        let (Some(text), true) = (text, line.len() <= MOST_LINE_BYTES) else {
            return Err(format!("not a YUV4MPEG2 stream: it begins with `{}`", shown(line)));
        };
        let mut words = text.split(' ');
        if words.next() != Some(MAGIC) {
            return Err(format!("not a YUV4MPEG2 stream: it begins with `{}`", shown(line)));
        }
        let (mut width, mut height, mut colour) = (None, None, None);
        for word in words.filter(|word| !word.is_empty()) {
            let mut rest = word.chars();
            let (tag, value) = (rest.next(), rest.as_str());
            let given = match tag {
                Some('W') => width.replace(side("width", value)?).is_some(),
                Some('H') => height.replace(side("height", value)?).is_some(),
                Some('C') => colour.replace(value).is_some(),
                // Rate, interlacing, aspect and comments do not change sizes.
                _ => false,
            };
            if given {
                return Err(format!("its header has `{}` twice", printable(&word[..1])));
            }
        }
        let (Some(width), Some(height)) = (width, height) else {
            return Err(format!("its header has no width (W) or no height (H): `{}`", shown(line)));
        };
        let frame_bytes = layout(colour.unwrap_or("420"))?
            .frame_bytes(width, height)
            .ok_or_else(|| format!("pictures of {width}x{height} are too large for any memory"))?;
        Ok(Self { line: text.to_owned(), frame_bytes })
    }

    /// The line, without its end.
    pub(crate) fn line(&self) -> &str {
        &self.line
    }

    /// Bytes of each picture.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// Reads what stands where a picture should begin, without its end.
    pub(crate) fn between(&self, line: &[u8]) -> Result<Line, String> {
        if let Some(rest) = line.strip_prefix(b"FRAME")
            && matches!(rest.first(), None | Some(b' '))
        {
            return Ok(Line::Picture { parameters: rest.iter().any(|&byte| byte != b' ') });
        }
        if line == self.line.as_bytes() {
            return Ok(Line::Again);
        }
        if line.starts_with(MAGIC.as_bytes()) {
            return Err(format!(
                "the header changes from `{}` to `{}`: pictures of another kind need a writer of their own; restart it",
                self.line,
                shown(line)
            ));
        }
        Err(format!(
            "`{}` where `FRAME` is expected: the stream is damaged, or its pictures are not as large as its header says ({} bytes)",
            shown(line),
            self.frame_bytes
        ))
    }
}

impl Layout {
    fn frame_bytes(&self, width: usize, height: usize) -> Option<usize> {
        let plane = width.checked_mul(height)?;
        let colour = match self.chroma {
            None => 0,
            // A row or column of brightness without a whole sample of colour has one of its own.
            Some((across, down)) => {
                width.div_ceil(across).checked_mul(height.div_ceil(down))?.checked_mul(2)?
            }
        };
        let samples = plane.checked_add(colour)?;
        let samples = if self.alpha { samples.checked_add(plane)? } else { samples };
        samples.checked_mul(self.bytes_per_sample)
    }
}

/// The kinds that mjpegtools and ffmpeg know.
fn layout(colour: &str) -> Result<Layout, String> {
    let unknown = || {
        format!(
            "its colour space `C{}` is not known here: 420 (jpeg, mpeg2, paldv), 411, 422, 440, 444, 444alpha, mono, \
             and p9 to p16 (or mono9 to mono16) are",
            printable(colour)
        )
    };
    let one = |chroma, alpha| Ok(Layout { chroma, alpha, bytes_per_sample: 1 });
    match colour {
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => return one(Some((2, 2)), false),
        "411" => return one(Some((4, 1)), false),
        "422" => return one(Some((2, 1)), false),
        "440" => return one(Some((1, 2)), false),
        "444" => return one(Some((1, 1)), false),
        "444alpha" => return one(Some((1, 1)), true),
        "mono" => return one(None, false),
        _ => {}
    }
    // With more than 8 bits every sample takes two bytes.
    let (chroma, bits) = if let Some(bits) = colour.strip_prefix("mono") {
        (None, bits)
    } else {
        let (kind, bits) = colour.split_once('p').ok_or_else(unknown)?;
        let chroma = match kind {
            "420" => (2, 2),
            "422" => (2, 1),
            "440" => (1, 2),
            "444" => (1, 1),
            _ => return Err(unknown()),
        };
        (Some(chroma), bits)
    };
    match bits {
        "9" | "10" | "12" | "14" | "16" => Ok(Layout { chroma, alpha: false, bytes_per_sample: 2 }),
        _ => Err(unknown()),
    }
}

fn side(what: &str, value: &str) -> Result<usize, String> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    // More than a ring holds in one row: nothing that follows from it overflows.
    match value.parse::<u32>() {
        Ok(side) if digits && side > 0 => Ok(side as usize),
        _ => Err(format!("its {what} is `{}`, no number of pixels", printable(value))),
    }
}

fn shown(line: &[u8]) -> String {
    use std::os::unix::ffi::OsStrExt;
    let begin = &line[..line.len().min(SHOWN)];
    let more = if line.len() > SHOWN { "…" } else { "" };
    format!("{}{more}", printable(std::ffi::OsStr::from_bytes(begin)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(line: &str) -> usize {
        Header::parse(line.as_bytes()).unwrap().frame_bytes()
    }

    #[test]
    fn frame_sizes_follow_from_the_header() {
        for (colour, size) in [
            ("", 640 * 480 * 3 / 2),
            (" C420jpeg", 640 * 480 * 3 / 2),
            (" C420mpeg2", 640 * 480 * 3 / 2),
            (" C420paldv", 640 * 480 * 3 / 2),
            (" C420p10 XYSCSS=420P10", 640 * 480 * 3),
            (" C411", 640 * 480 * 3 / 2),
            (" C422", 640 * 480 * 2),
            (" C422p10", 640 * 480 * 4),
            (" C440", 640 * 480 * 2),
            (" C444", 640 * 480 * 3),
            (" C444p12", 640 * 480 * 6),
            (" C444alpha", 640 * 480 * 4),
            (" Cmono", 640 * 480),
            (" Cmono10", 640 * 480 * 2),
        ] {
            let line = format!("YUV4MPEG2 W640 H480 F30:1 Ip A1:1{colour}");
            assert_eq!(bytes(&line), size, "{line}");
        }
        // Half a sample of colour is a whole one.
        assert_eq!(bytes("YUV4MPEG2 W3 H5"), 15 + 2 * 2 * 3);
        assert_eq!(bytes("YUV4MPEG2 H1 W1 C411"), 3);
    }

    #[test]
    fn what_is_no_header_is_refused_with_what_it_is() {
        for (line, problem) in [
            ("RIFF....WAVE", "begins with `RIFF....WAVE`"),
            ("YUV4MPEG W1 H1", "not a YUV4MPEG2"),
            ("YUV4MPEG2", "no width"),
            ("YUV4MPEG2 W640", "no width (W) or no height"),
            ("YUV4MPEG2 W0 H480", "width is `0`"),
            ("YUV4MPEG2 W+4 H480", "width is `+4`"),
            ("YUV4MPEG2 W4 W5 H480", "`W` twice"),
            ("YUV4MPEG2 W640 H480 C420p11", "`C420p11`"),
            ("YUV4MPEG2 W640 H480 Crgb", "`Crgb`"),
            ("YUV4MPEG2 W4294967295 H4294967295 C444p16", "too large"),
            ("YUV4MPEG2 W1 H1 X\x1b[2J", "not a YUV4MPEG2"),
        ] {
            let error = Header::parse(line.as_bytes()).unwrap_err();
            assert!(error.contains(problem), "{line:?}: {error}");
            assert!(!error.contains('\x1b'));
        }
    }

    #[test]
    fn lines_between_pictures_are_told_apart() {
        let header = Header::parse(b"YUV4MPEG2 W4 H4").unwrap();
        assert_eq!(header.between(b"FRAME"), Ok(Line::Picture { parameters: false }));
        assert_eq!(header.between(b"FRAME Ippp"), Ok(Line::Picture { parameters: true }));
        assert_eq!(header.between(b"YUV4MPEG2 W4 H4"), Ok(Line::Again));
        let error = header.between(b"YUV4MPEG2 W8 H4").unwrap_err();
        assert!(error.contains("changes from `YUV4MPEG2 W4 H4` to `YUV4MPEG2 W8 H4`"), "{error}");
        for garbage in [&b"FRAMES"[..], b"", b"\x10\x80\x80", b"\xff\x1b[2J"] {
            let error = header.between(garbage).unwrap_err();
            assert!(error.contains("where `FRAME` is expected"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_a_header_or_an_error_fit_to_print(line: Vec<u8>, tail in "[WHCFIAX0-9 :p]{0,40}") {
            for line in [line, [b"YUV4MPEG2 ", tail.as_bytes()].concat()] {
                match Header::parse(&line) {
                    Ok(header) => {
                        prop_assert_eq!(header.line().as_bytes(), &line[..]);
                        prop_assert!(header.frame_bytes() > 0);
                        prop_assert_eq!(header.between(&line), Ok(Line::Again));
                        prop_assert_eq!(Header::parse(header.line().as_bytes()), Ok(header));
                    }
                    Err(error) => prop_assert!(!error.contains(char::is_control)),
                }
            }
        }

        #[test]
        fn sizes_add_up(width in 1_usize..5000, height in 1_usize..5000) {
            let size = |colour| bytes(&format!("YUV4MPEG2 W{width} H{height} C{colour}"));
            let plane = width * height;
            prop_assert_eq!(size("mono"), plane);
            prop_assert_eq!(size("444"), 3 * plane);
            prop_assert_eq!(size("444alpha"), 4 * plane);
            prop_assert_eq!(size("422"), plane + 2 * (width.div_ceil(2) * height));
            prop_assert_eq!(size("420"), plane + 2 * (width.div_ceil(2) * height.div_ceil(2)));
            prop_assert_eq!(size("420p10"), 2 * size("420"));
        }
    }
}
