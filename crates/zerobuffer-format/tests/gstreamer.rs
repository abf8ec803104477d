//! The same caps and pictures as GStreamer itself makes of them: tables that its libraries wrote.

use zerobuffer_format::{Caps, Content, FormatError, StreamInfo};

const SIZES: &str = include_str!("gstreamer/sizes.txt");
const CAPS: &str = include_str!("gstreamer/caps.txt");

fn lines(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter(|line| !line.starts_with('#'))
}

#[test]
fn pictures_lie_as_gstreamer_lays_them_out() {
    let mut formats = Vec::new();
    for line in lines(SIZES) {
        let words: Vec<_> = line.split(' ').collect();
        let [format, width, height, mode, bytes, planes @ ..] = &words[..] else {
            panic!("{line}");
        };
        let media = if *format == format.to_lowercase() && *format != "v210" {
            "video/x-bayer"
        } else {
            "video/x-raw"
        };
        let caps = format!(
            "{media},format={format},width={width},height={height},interlace-mode={mode},framerate=30/1"
        );
        let info = StreamInfo::from_caps(&caps).expect(line);
        assert_eq!(
            info.frame_bytes().map(|bytes| bytes.to_string()).as_deref(),
            Some(*bytes),
            "{line}"
        );
        let laid_out: Vec<_> = info
            .planes()
            .iter()
            .map(|plane| format!("{}+{}", plane.offset, plane.stride))
            .collect();
        assert_eq!(laid_out, planes, "{line}");
        let Content::Video(video) = info.content() else { panic!("{line}") };
        assert_eq!(video.is_interlaced(), *mode == "interleaved", "{line}");
        formats.push(video.format());
    }
    formats.dedup();
    let sixteen = |format: &zerobuffer_format::Format| format.name().ends_with("16le");
    let mut expected = zerobuffer_format::Format::ALL.to_vec();
    // No element of that version makes Bayer with 16 bits; later ones take two bytes where these have one.
    expected.retain(|format| !sixteen(format));
    assert_eq!(formats, expected, "each format is in the table");
}

#[test]
fn bayer_of_16_bits_has_rows_twice_as_long() {
    for name in ["bggr", "gbrg", "grbg", "rggb"] {
        let caps = |bits| format!("video/x-bayer,format={name}{bits},width=641,height=481");
        let info = |bits| StreamInfo::from_caps(&caps(bits)).expect("known");
        assert_eq!(info("").frame_bytes(), Some(644 * 481));
        assert_eq!(info("16le").frame_bytes(), Some(2 * 644 * 481));
        assert_eq!(info("16le").planes()[0].row_bytes, 2 * 641);
    }
}

#[test]
fn caps_are_read_as_gstreamer_reads_them() {
    let mut table = lines(CAPS).peekable();
    while let Some(line) = table.next() {
        let (text, theirs) = line.split_once('\t').expect(line);
        let ours = match text.parse::<Caps>() {
            Ok(caps) => caps.to_string(),
            Err(FormatError::NotFixed { .. }) => "NOT FIXED".to_owned(),
            Err(_) => "ERROR".to_owned(),
        };
        match table.next_if(|next| next.starts_with('~')) {
            None => assert_eq!(ours, theirs, "{text}"),
            Some(different) => {
                let (expected, why) = different[1..].split_once('\t').expect(different);
                assert_eq!(ours, expected, "{text}");
                assert!(ours != theirs && !why.is_empty(), "{text}: no difference any more");
            }
        }
    }
}
