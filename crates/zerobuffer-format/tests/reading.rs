//! What is read from metadata that lies in the field, from other metadata, and from what is wrong.

use zerobuffer_format::{
    Content, DType, Format, FormatError, Framerate, MAX_TEXT_BYTES, SampleFormat, StreamInfo,
    Tensor, Video,
};

/// As the deployed sink writes it.
const SINK: &str = r#"{"caps":"video/x-raw, format=(string)GRAY8, width=(int)512, height=(int)512, framerate=(fraction)25/1","element_name":"zerosink0","type":"zerosink","version":"GStreamer 1.24.2"}"#;

/// As the deployed filter writes it.
const FILTER: &str = r#"{
    "type": "gstreamer-filter",
    "version": "GStreamer 1.20.3",
    "caps": "video/x-raw, format=(string)RGB, width=(int)640, height=(int)480, framerate=(fraction)30/1, multiview-mode=(string)mono, pixel-aspect-ratio=(fraction)1/1, interlace-mode=(string)progressive",
    "element_name": "zerofilter0"
}"#;

fn behind_its_length(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn video(info: &StreamInfo) -> &Video {
    match info.content() {
        Content::Video(video) => video,
        other => panic!("{other:?}"),
    }
}

#[test]
fn metadata_of_deployed_elements_is_read_with_and_without_its_length() {
    for (json, shown) in [
        (SINK, "GRAY8 512×512 25 fps, 262,144 bytes a frame"),
        (FILTER, "RGB 640×480 30 fps, 921,600 bytes a frame"),
    ] {
        let plain = StreamInfo::parse(json.as_bytes());
        assert_eq!(plain.to_string(), shown);
        assert_eq!(plain.to_bytes(), json.as_bytes(), "no member is lost");
        assert_eq!(StreamInfo::parse(&behind_its_length(json)), plain);
        // Blocks that are larger than the text.
        let padded = |mut bytes: Vec<u8>| {
            bytes.resize(1024, 0);
            StreamInfo::from(bytes)
        };
        assert_eq!(padded(json.into()), plain);
        assert_eq!(padded(behind_its_length(json)), plain);
    }
    let filter = StreamInfo::parse(FILTER.as_bytes());
    assert_eq!(filter.caps().and_then(|caps| caps.get("multiview-mode")), Some("mono"));
}

#[test]
fn what_is_written_has_the_types_that_deployed_readers_look_for() {
    let info =
        StreamInfo::from_caps("video/x-raw,format=I420,width=1920,height=1080,framerate=30/1");
    let info = info.expect("caps");
    let json = String::from_utf8(info.to_bytes()).expect("UTF-8");
    let caps = "video/x-raw, format=(string)I420, width=(int)1920, height=(int)1080, framerate=(fraction)30/1";
    assert!(json.starts_with(&format!(r#"{{"caps":"{caps}""#)), "{json}");
    for member in ["type", "version", "element_name"] {
        assert!(json.contains(&format!(r#""{member}":""#)), "{json}");
    }
    // Typed with types, or bare in the metadata, it is the same.
    assert_eq!(StreamInfo::from_caps(caps).as_ref(), Ok(&info));
    assert_eq!(StreamInfo::parse(caps.as_bytes()), info);
    let built = StreamInfo::video(Format::I420, 1920, 1080, Framerate::fps(30));
    assert_eq!(built.as_ref(), Ok(&info));
    let typed: Video = "1920x1080@30:I420".parse().expect("short form");
    assert_eq!(StreamInfo::from(typed), info);
}

#[test]
fn the_form_with_a_length_is_utf8_and_begins_with_no_brace() {
    // So deployed Python reads it: it decodes the whole, and takes what is between the first `{` and the last `}`.
    // Deployed C++ takes as many bytes as the length says.
    for padding in 0..700 {
        let json = format!(r#"{{"caps":"video/x-h264","id":"{}"}}"#, "x".repeat(padding));
        let info = StreamInfo::parse(json.as_bytes());
        let bytes = info.to_bytes_with_length().expect("a text");
        let text = std::str::from_utf8(&bytes).expect("UTF-8");
        let (start, end) = (text.find('{').expect("{"), text.rfind('}').expect("}"));
        assert_eq!(&text[start..=end], json);
        let len = u32::from_le_bytes(bytes[..4].try_into().expect("4 bytes"));
        assert_eq!(len as usize, bytes.len() - 4);
        assert_eq!(StreamInfo::parse(&bytes), info);
    }
    assert_eq!(StreamInfo::parse(b"\xff").to_bytes_with_length(), None);
}

#[test]
fn pictures_are_read_with_all_that_belongs_to_them() {
    let info =
        StreamInfo::parse(b"video/x-raw,format=P010_10LE,width=3,height=5,framerate=30000/1001");
    let picture = video(&info);
    assert_eq!((picture.format(), picture.width(), picture.height()), (Format::P010, 3, 5));
    assert_eq!(picture.framerate(), "29.97".parse().expect("a rate"));
    assert_eq!(info.planes().len(), 2);
    assert_eq!((info.planes()[1].row_bytes, info.planes()[1].rows), (8, 3));
    let variable = StreamInfo::parse(b"video/x-raw,format=RGB,width=3,height=5,framerate=0/1");
    assert_eq!(variable.to_string(), "RGB 3×5, 60 bytes a frame");
    assert_eq!(
        variable.content(),
        StreamInfo::parse(b"video/x-raw,format=RGB,width=3,height=5").content()
    );
    let interlaced =
        StreamInfo::parse(b"video/x-raw,format=I420,width=720,height=482,interlace-mode=mixed");
    assert_eq!(interlaced.to_string(), "I420 720×482 interlaced, 521,280 bytes a frame");
    let again = StreamInfo::from(*video(&interlaced));
    assert_eq!(again.content(), interlaced.content());
}

#[test]
fn audio_is_read_and_frames_are_multiples_of_its_sample_frame() {
    let info = StreamInfo::parse(
        b"audio/x-raw, format=(string)S24LE, rate=(int)44100, channels=(int)6, layout=(string)interleaved",
    );
    assert_eq!(info.to_string(), "S24LE 44,100 Hz 6 channels, 18 bytes a sample frame");
    assert_eq!((info.frame_bytes(), info.planes().len()), (None, 0));
    assert_eq!((info.check(0), info.check(36)), (Ok(()), Ok(())));
    let error = info.check(64).expect_err("no multiple of 18");
    assert_eq!((error.expected, error.found, error.multiple), (18, 64, true));
    assert_eq!(error.to_string(), "does not fit: a multiple of 18 bytes expected, 64 found");
    // As gst_audio_info_from_caps of GStreamer 1.22.0 says: bytes of a sample frame of six channels.
    let theirs = [6, 6, 12, 12, 18, 18, 24, 24, 24, 24, 24, 24, 48, 48];
    for (format, bytes) in SampleFormat::ALL.iter().zip(theirs) {
        let info = StreamInfo::audio(*format, 48_000, 6).expect("audio");
        let Content::Audio(audio) = info.content() else { panic!("{info}") };
        assert_eq!(audio.sample_frame_bytes(), bytes, "{format}");
    }
    assert!(StreamInfo::audio(SampleFormat::U8, 0, 1).is_err());
    assert!(StreamInfo::audio(SampleFormat::U8, 1, 1 << 31).is_err());
}

#[test]
fn tensors_are_read_and_their_sizes_checked() {
    let json = |shape: &str| format!(r#"{{"tensor":{{"dtype":"float32","shape":{shape}}}}}"#);
    let size = |shape: &str| StreamInfo::parse(json(shape).as_bytes()).frame_bytes();
    assert_eq!(size("[1,3,224,224]"), Some(602_112));
    assert_eq!(size("[]"), Some(4));
    assert_eq!(size("[5,0]"), Some(0));
    assert_eq!(size("[4611686018427387903]"), Some(u64::MAX - 3));
    for shape in [
        "[4611686018427387904]",
        "[4294967296,4294967296]",
        "[0,4294967296,4294967296]",
        "[-1]",
        "[1.5]",
        "[18446744073709551616]",
        "[1e3]",
        "[\"1\"]",
        "5",
        "null",
    ] {
        let info = StreamInfo::parse(json(shape).as_bytes());
        assert_eq!(info.content(), &Content::Json, "{shape}");
        assert!(info.problem().is_some(), "{shape}");
    }
    let many = |count: usize| json(&format!("{:?}", vec![1; count]));
    assert_eq!(StreamInfo::parse(many(64).as_bytes()).frame_bytes(), Some(4));
    assert_eq!(StreamInfo::parse(many(65).as_bytes()).frame_bytes(), None);
    for dtype in [r#""f32""#, "32", "null"] {
        let info = StreamInfo::parse(
            format!(r#"{{"tensor":{{"dtype":{dtype},"shape":[1]}}}}"#).as_bytes(),
        );
        assert!(info.content() == &Content::Json && info.problem().is_some(), "{dtype}");
    }
    let built = StreamInfo::tensor(DType::F32, &[1, 3, 224, 224]).expect("fits");
    assert_eq!(built, StreamInfo::parse(json("[1,3,224,224]").as_bytes()));
    assert_eq!(Tensor::new(DType::C128, &[1 << 60]), Err(FormatError::TooLarge));
    for (bytes, names) in [
        (1, "bool uint8 int8"),
        (2, "uint16 int16 float16 bfloat16"),
        (4, "uint32 int32 float32"),
        (8, "uint64 int64 float64 complex64"),
        (16, "complex128"),
    ] {
        for name in names.split(' ') {
            let known = DType::ALL.iter().find(|dtype| dtype.name() == name).expect(name);
            assert_eq!(known.bytes(), bytes, "{name}");
        }
    }
}

#[test]
fn a_frame_that_contradicts_the_caps_does_not_fit() {
    let info = StreamInfo::video(Format::I420, 1920, 1080, Framerate::fps(30)).expect("fits");
    assert_eq!(info.check(3_110_400), Ok(()));
    for found in [0, 64, 3_110_399, 3_110_401] {
        let error = info.check(found).expect_err("another length");
        assert_eq!((error.expected, error.found), (3_110_400, found as u64));
        let shown = format!("does not fit: 3110400 bytes expected, {found} found");
        assert_eq!(error.to_string(), shown);
    }
    for anything in [&b"video/x-h265"[..], b"{}", b"\xff", b""] {
        assert_eq!(StreamInfo::parse(anything).check(64), Ok(()));
    }
}

#[test]
fn what_is_not_understood_stays_as_it_is() {
    for (metadata, content, shown) in [
        (&b""[..], Content::Opaque, "no metadata"),
        (b"\0\0\0\0", Content::Opaque, "4 bytes of unknown kind"),
        (b"hello", Content::Opaque, "5 bytes of unknown kind"),
        (b"and/or", Content::Opaque, "6 bytes of unknown kind"),
        (b"\xff\xfe\x00{", Content::Opaque, "4 bytes of unknown kind"),
        (b"{\"caps\":", Content::Opaque, "8 bytes of unknown kind"),
        (b"{} and more", Content::Opaque, "11 bytes of unknown kind"),
        (b"{\"a\":\"\xff\"}", Content::Opaque, "9 bytes of unknown kind"),
        (b"{\"a\":1e999}", Content::Opaque, "11 bytes of unknown kind"),
        (b"{}", Content::Json, "JSON, 2 bytes"),
        (b"[1,2]", Content::Json, "JSON, 5 bytes"),
        (b"{\"caps\":{\"width\":640}}", Content::Json, "JSON, 22 bytes"),
        (b"{\"caps\":null}", Content::Json, "JSON, 13 bytes"),
        // A length that is too long, and one with something behind.
        (b"\x07\0\0\0{}    ", Content::Opaque, "10 bytes of unknown kind"),
        (b"\x02\0\0\0{}x", Content::Opaque, "7 bytes of unknown kind"),
        (b"\xff\xff\xff\xff{}", Content::Opaque, "6 bytes of unknown kind"),
    ] {
        let info = StreamInfo::parse(metadata);
        assert_eq!((info.content(), info.to_string().as_str()), (&content, shown), "{metadata:?}");
        assert_eq!(info.to_bytes(), metadata);
        assert_eq!((info.problem(), info.frame_bytes(), info.caps()), (None, None, None));
    }
}

#[test]
fn what_looks_like_caps_and_is_not_says_why() {
    for (caps, shown) in [
        (
            "video/x-raw,width=[1,9]",
            "not fixed caps: `width` is a range; a stream has one value for each field",
        ),
        (
            "video/x-raw,format={ I420 }",
            "not fixed caps: `format` is a list; a stream has one value for each field",
        ),
        (
            "video/x-raw;audio/x-raw",
            "not fixed caps: there are alternatives, divided by `;`; a stream has one value for each field",
        ),
        (
            "video/x-raw(ANY)",
            "not fixed caps: the features are `ANY`; a stream has one value for each field",
        ),
        ("video/x-raw width=5", "`,` or the end expected at byte 12"),
        ("video/x-raw,width", "`=` and a value expected at byte 17"),
        ("video/x-raw,width=", "a value expected at byte 18"),
        ("video/x-raw,a=\"x", "`\"` at the end of the text expected at byte 16"),
        ("video/x-raw,a=(int)ten", "`a` is `ten`, but should be a number of 32 bits"),
        ("video/x-raw,a=<1", "`>` at the end of the array expected at byte 16"),
        ("video/x-raw(", "a caps feature such as memory:SystemMemory expected at byte 12"),
    ] {
        let error = StreamInfo::from_caps(caps).expect_err(caps);
        assert_eq!(error.to_string(), shown, "{caps}");
        let bare = StreamInfo::parse(caps.as_bytes());
        assert_eq!((bare.content(), bare.problem()), (&Content::Opaque, Some(&error)), "{caps}");
        let quoted = serde_json::Value::from(caps);
        let json = StreamInfo::parse(format!(r#"{{"caps":{quoted}}}"#).as_bytes());
        assert_eq!((json.content(), json.problem()), (&Content::Json, Some(&error)), "{caps}");
    }
    for (whole, shown) in
        [("ANY", "`ANY` is every format"), ("", "they are empty"), (" EMPTY", "they are empty")]
    {
        let error = StreamInfo::from_caps(whole).expect_err(whole);
        assert!(error.to_string().contains(shown), "{error}");
    }
    assert_eq!(
        StreamInfo::from_caps("hello"),
        Err(FormatError::Syntax { at: 0, expected: "a media type such as video/x-raw" })
    );
}

#[test]
fn raw_pictures_and_samples_that_lack_something_are_errors_of_who_typed_them() {
    for (caps, shown) in [
        ("video/x-raw", "video/x-raw without `format`"),
        ("video/x-raw,format=RGB,height=5", "video/x-raw without `width`"),
        ("video/x-raw,format=RGB,width=5", "video/x-raw without `height`"),
        ("video/x-raw,format=5,width=5,height=5", "`format` is `(int)5`, but should be a text"),
        (
            "video/x-raw,format=RGB,width=0,height=5",
            "`width` is `0`, but should be a number of pixels from 1 to 2147483647",
        ),
        (
            "video/x-raw,format=RGB,width=-1,height=5",
            "`width` is `-1`, but should be a number of pixels from 1 to 2147483647",
        ),
        (
            "video/x-raw,format=RGB,width=2147483648,height=5",
            "`width` is `(double)2147483648`, but should be a number of pixels from 1 to 2147483647",
        ),
        (
            "video/x-raw,format=RGB,width=(string)5,height=5",
            "`width` is `(string)5`, but should be a number of pixels from 1 to 2147483647",
        ),
        (
            "video/x-raw,format=RGB,width=5,height=5,framerate=30",
            "`framerate` is `(int)30`, but should be a fraction such as 30/1",
        ),
        (
            "video/x-raw,format=RGB,width=5,height=5,framerate=-1/2",
            "`framerate` is `-1/2`, but should be frames per second, such as 30, 30000/1001 or 29.97",
        ),
        ("audio/x-raw,format=S16LE,rate=48000", "audio/x-raw without `channels`"),
        (
            "audio/x-raw,format=S16LE,rate=0,channels=1",
            "`rate` is `0`, but should be a number from 1 to 2147483647",
        ),
    ] {
        let error = StreamInfo::from_caps(caps).expect_err(caps);
        assert_eq!(error.to_string(), shown, "{caps}");
        // In metadata it is a medium of unknown size.
        let info = StreamInfo::parse(caps.as_bytes());
        assert!(matches!(info.content(), Content::Media(_)), "{caps}");
        assert_eq!((info.problem(), info.frame_bytes()), (Some(&error), None), "{caps}");
    }
}

#[test]
fn what_is_not_known_here_may_be_written_all_the_same() {
    for (caps, shown) in [
        (
            "video/x-raw,format=ARGB64,width=640,height=480",
            "video/x-raw 640×480 (format `ARGB64` is not known here, nor is the size of frames)",
        ),
        (
            "video/x-raw,format=bggr,width=640,height=480",
            "video/x-raw 640×480 (format `bggr` is not known here, nor is the size of frames)",
        ),
        (
            "video/x-raw(memory:DMABuf),format=NV12,width=640,height=480",
            "video/x-raw 640×480 (feature `memory:DMABuf` is not known here, nor is the size of frames)",
        ),
        (
            "video/x-raw(format:Interlaced),format=NV12,width=640,height=480,interlace-mode=alternate",
            "video/x-raw 640×480 (interlace-mode `alternate` is not known here, nor is the size of frames)",
        ),
        (
            "audio/x-raw,format=S18LE,rate=48000,channels=1",
            "audio/x-raw (format `S18LE` is not known here, nor is the size of frames)",
        ),
        ("image/jpeg,width=640,height=480,framerate=25/1", "image/jpeg 640×480 25 fps"),
        ("video/x-h264,stream-format=byte-stream,alignment=au", "video/x-h264"),
        ("audio/mpeg,mpegversion=4,rate=48000", "audio/mpeg"),
        ("image/png,width=0,height=5,framerate=-1/1", "image/png"),
        ("application/x-rtp,media=video,clock-rate=90000", "application/x-rtp"),
    ] {
        let info = StreamInfo::from_caps(caps).expect(caps);
        assert_eq!(info.to_string(), shown, "{caps}");
        assert_eq!(info.frame_bytes(), None);
        assert_eq!(StreamInfo::parse(&info.to_bytes()), info);
    }
}

#[test]
fn the_largest_pictures_are_exact_or_refused() {
    let edge = i32::MAX as u32;
    let bytes = |format, width, height| {
        Video::new(format, width, height, Framerate::VARIABLE).map(|video| video.frame_bytes())
    };
    assert_eq!(bytes(Format::Gray8, edge, edge), Ok((1 << 31) * u64::from(edge)));
    assert_eq!(bytes(Format::Rgba, edge, edge), Ok(4 * u64::from(edge) * u64::from(edge)));
    assert_eq!(bytes(Format::P010, edge, edge), Ok((1 << 63) + (1 << 62)));
    for (width, height) in [(0, 1), (1, 0), (1 << 31, 1), (1, 1 << 31)] {
        assert!(bytes(Format::Gray8, width, height).is_err());
    }
    for format in Format::ALL {
        for (width, height) in [(1, edge), (edge, 1), (edge, edge)] {
            assert!(bytes(*format, width, height).is_ok(), "{format}");
        }
    }
}

#[test]
fn the_short_form_is_read_as_people_type_it() {
    for (text, shown) in [
        ("1920x1080@30:I420", "I420 1920×1080 30 fps, 3,110,400 bytes a frame"),
        ("640x480:gray8", "GRAY8 640×480, 307,200 bytes a frame"),
        ("640×480@29.97:p010", "P010_10LE 640×480 29.97 fps, 921,600 bytes a frame"),
        ("640x480@60/2:V210", "v210 640×480 30 fps, 860,160 bytes a frame"),
        ("4x4@0:rggb16le", "rggb16le 4×4, 32 bytes a frame"),
    ] {
        assert_eq!(text.parse::<Video>().expect(text).to_string(), shown);
    }
    for (text, shown) in [
        ("", "`video` is ``, but should be written like 1920x1080@30:I420"),
        ("1920x1080", "`video` is `1920x1080`, but should be written like 1920x1080@30:I420"),
        ("1920:I420", "`video` is `1920:I420`, but should be written like 1920x1080@30:I420"),
        ("x:I420", "`width` is ``, but should be a number of pixels from 1 to 2147483647"),
        ("+4x4:I420", "`width` is `+4`, but should be a number of pixels from 1 to 2147483647"),
        ("4x0:I420", "`height` is `0`, but should be a number of pixels from 1 to 2147483647"),
        (
            "4x99999999999:I420",
            "`height` is `99999999999`, but should be a number of pixels from 1 to 2147483647",
        ),
        (
            "4x4@fast:I420",
            "`framerate` is `fast`, but should be frames per second, such as 30, 30000/1001 or 29.97",
        ),
        ("4x4:I421", "format `I421` is not known here, nor is the size of frames"),
    ] {
        assert_eq!(text.parse::<Video>().expect_err(text).to_string(), shown);
    }
}

#[test]
fn long_texts_are_not_looked_at() {
    let json = |len: usize| format!(r#"{{"caps":"video/x-h264"{}}}"#, " ".repeat(len - 23));
    assert_eq!(json(100).len(), 100);
    let fits = StreamInfo::from(json(MAX_TEXT_BYTES).into_bytes());
    assert!(matches!(fits.content(), Content::Media(_)));
    let with_length = fits.to_bytes_with_length().expect("a text");
    assert_eq!(StreamInfo::parse(&with_length), fits);
    for len in [MAX_TEXT_BYTES + 1, MAX_TEXT_BYTES + 4, MAX_TEXT_BYTES + 5, 1 << 20] {
        let info = StreamInfo::from(json(len).into_bytes());
        assert_eq!(info.content(), &Content::Opaque, "{len}");
        assert_eq!(info.to_bytes().len(), len);
        // Up to there it might have had a length before it.
        let told = (len > MAX_TEXT_BYTES + 4).then_some(FormatError::TooLong { found: len as u64 });
        assert_eq!(info.problem(), told.as_ref());
    }
    let too_long = format!("video/x-raw,a={}", "x".repeat(MAX_TEXT_BYTES));
    assert!(matches!(StreamInfo::from_caps(&too_long), Err(FormatError::TooLong { .. })));
    // Short enough by itself, but not with quotes and escapes and JSON around it.
    let grows = format!("video/x-raw,a=\"{}\"", "é".repeat(MAX_TEXT_BYTES / 4));
    assert!(matches!(StreamInfo::from_caps(&grows), Err(FormatError::TooLong { .. })));
    let info = StreamInfo::parse(grows.as_bytes());
    assert_eq!((info.content(), info.to_bytes()), (&Content::Opaque, grows.into_bytes()));
}

#[test]
fn many_fields_and_deep_nesting_are_refused() {
    let fields = |count: usize| {
        let fields: String = (0..count).map(|index| format!(",f{index}=1")).collect();
        StreamInfo::from_caps(&format!("video/x-h264{fields}"))
    };
    assert!(fields(256).is_ok());
    assert!(matches!(fields(257), Err(FormatError::Syntax { .. })));
    let deep = "[".repeat(30_000);
    assert_eq!(StreamInfo::parse(deep.as_bytes()).content(), &Content::Opaque);
    let arrays = format!("video/x-h264,a={}{}", "<".repeat(20_000), ">".repeat(20_000));
    assert!(StreamInfo::from_caps(&arrays).is_ok(), "nothing calls itself");
    let features = format!("video/x-h264({})", ["a"; 300].join(","));
    assert!(StreamInfo::from_caps(&features).is_err());
}

#[test]
fn nothing_that_is_shown_steers_a_terminal() {
    let evil = r#"{"caps":"video/x-raw,format=\"\u001b[31m\u202e\",width=1,height=1"}"#;
    let shown = StreamInfo::parse(evil.as_bytes()).to_string();
    assert_eq!(
        shown,
        "video/x-raw 1×1 (format `\\u{1b}[31m\\u{202e}` is not known here, nor is the size of frames)"
    );
    let long = format!("video/x-raw,format={},width=1,height=1", "x".repeat(10_000));
    assert!(StreamInfo::parse(long.as_bytes()).to_string().len() < 200);
}
