//! Metadata of whatever bytes, and the same bytes as caps and as the short form of pictures.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zerobuffer_format::{Caps, Content, StreamInfo, Video};

fuzz_target!(|input: &[u8]| {
    let info = StreamInfo::parse(input);
    consistent(&info);
    if info.content() == &Content::Opaque {
        assert_eq!(info.to_bytes(), input);
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(caps) = text.parse::<Caps>() {
        assert_eq!(harmless(&caps).parse().as_ref(), Ok(&caps));
    }
    match StreamInfo::from_caps(text) {
        Ok(info) => consistent(&info),
        Err(error) => drop(harmless(&error)),
    }
    match text.parse::<Video>() {
        Ok(video) => consistent(&StreamInfo::from(video)),
        Err(error) => drop(harmless(&error)),
    }
});

fn consistent(info: &StreamInfo) {
    harmless(info);
    assert_eq!(&StreamInfo::parse(&info.to_bytes()), info);
    if let Some(bytes) = info.to_bytes_with_length() {
        assert_eq!(&StreamInfo::parse(&bytes), info);
    }
    let mut end = 0;
    for plane in info.planes() {
        assert!(plane.offset >= end && plane.row_bytes <= plane.stride);
        end = plane.offset + plane.stride * plane.rows;
    }
    if let Some(bytes) = info.frame_bytes() {
        assert!(end <= bytes);
        assert!(info.check(bytes as usize).is_ok());
    }
    let _ = info.check(64);
}

/// Nothing that is shown steers a terminal.
fn harmless(shown: &impl std::fmt::Display) -> String {
    let shown = shown.to_string();
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    shown
}
