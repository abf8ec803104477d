//! Whatever is in the metadata.

use proptest::prelude::*;
use zerobuffer_format::{Caps, Content, DType, Format, Framerate, SampleFormat, StreamInfo, Video};

/// Everything that a program does with metadata.
fn look_at(metadata: &[u8]) -> Result<StreamInfo, TestCaseError> {
    let info = StreamInfo::parse(metadata);
    let shown = info.to_string();
    prop_assert!(!shown.is_empty() && !shown.chars().any(char::is_control), "{:?}", shown);
    prop_assert_eq!(&StreamInfo::from(metadata.to_vec()), &info);
    prop_assert_eq!(&StreamInfo::parse(&info.to_bytes()), &info);
    if let Some(bytes) = info.to_bytes_with_length() {
        prop_assert_eq!(&StreamInfo::parse(&bytes), &info);
    }
    if info.content() == &Content::Opaque {
        prop_assert_eq!(&info.to_bytes(), metadata);
    }
    if let Some(caps) = info.caps() {
        let shown = caps.to_string();
        prop_assert!(!shown.chars().any(char::is_control), "{:?}", shown);
        prop_assert_eq!(&shown.parse::<Caps>().expect("shown caps are caps"), caps);
    }
    planes_lie_in_the_frame(&info)?;
    let length = usize::try_from(info.frame_bytes().unwrap_or(0)).unwrap_or(0);
    prop_assert_eq!(info.check(length), Ok(()));
    Ok(info)
}

fn planes_lie_in_the_frame(info: &StreamInfo) -> Result<(), TestCaseError> {
    let mut end = 0;
    for plane in info.planes() {
        prop_assert!(plane.offset >= end, "no overlap");
        prop_assert!(0 < plane.row_bytes && plane.row_bytes <= plane.stride && plane.rows > 0);
        prop_assert_eq!((plane.offset % 4, plane.stride % 4), (0, 0));
        end = plane.offset + plane.stride * plane.rows;
    }
    prop_assert!(info.planes().is_empty() || Some(end) <= info.frame_bytes());
    Ok(())
}

fn framerate() -> impl Strategy<Value = Framerate> {
    let rate = |(numerator, denominator)| Framerate::new(numerator, denominator).expect("31 bits");
    prop_oneof![(0..200_u32, 1..1100_u32), (0..1_u32 << 31, 1..1_u32 << 31)].prop_map(rate)
}

fn video() -> impl Strategy<Value = StreamInfo> {
    let pixels = || prop_oneof![1..5000_u32, 1..1_u32 << 30];
    (prop::sample::select(Format::ALL), pixels(), pixels(), framerate()).prop_map(
        |(format, width, height, rate)| {
            StreamInfo::video(format, width, height, rate).expect("less than 64 bits")
        },
    )
}

fn audio() -> impl Strategy<Value = StreamInfo> {
    (prop::sample::select(SampleFormat::ALL), 1..1_u32 << 31, 1..1_u32 << 31).prop_map(
        |(format, rate, channels)| StreamInfo::audio(format, rate, channels).expect("31 bits"),
    )
}

fn tensor() -> impl Strategy<Value = StreamInfo> {
    let shape = prop::collection::vec(prop_oneof![0..2000_u64, any::<u64>()], 0..6);
    (prop::sample::select(DType::ALL), shape)
        .prop_filter_map("more than 64 bits", |(dtype, shape)| {
            StreamInfo::tensor(dtype, &shape).ok()
        })
}

/// Caps as people and programs write them, right and wrong ones.
fn caps() -> impl Strategy<Value = String> {
    let media = prop_oneof![
        Just("video/x-raw".to_owned()),
        Just("video/x-bayer".to_owned()),
        Just("audio/x-raw".to_owned()),
        Just("video/x-raw(memory:DMABuf)".to_owned()),
        "(video|audio|image|application)/[a-z-]{1,8}(\\([a-zA-Z:]{0,8}\\))?",
    ];
    let name = prop_oneof![
        4 => prop::sample::select(vec![
            "format", "width", "height", "framerate", "interlace-mode", "rate", "channels",
        ]).prop_map(str::to_owned),
        1 => "[a-z-]{0,6}",
    ];
    let kind = prop_oneof![
        4 => Just(String::new()),
        4 => prop::sample::select(vec!["(int)", "(string)", "(fraction)", "( i )", "(boolean)", "(double)"])
            .prop_map(str::to_owned),
        1 => "\\([a-zA-Z ]{0,5}\\)?",
    ];
    let value = prop_oneof![
        prop::sample::select(vec![
            "I420",
            "NV12",
            "v210",
            "bggr",
            "S16LE",
            "30/1",
            "0/1",
            "progressive",
            "interleaved",
            "\"RGB\"",
        ])
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        (1..9000_u32).prop_map(|number| number.to_string()),
        any::<(i32, i32)>()
            .prop_map(|(numerator, denominator)| format!("{numerator}/{denominator}")),
        any::<f64>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| format!("{text:?}")),
        "\"([ -~]|\\\\[0-7]{3}|\\\\.)*\"",
        "[\\[{<][ -~]{0,10}[\\]}>]",
        any::<(String, String)>().prop_map(|(one, other)| format!("< {one:?}, <{other:?}\n> >")),
        "[ -~]{0,10}",
    ];
    let field = (name, kind, value).prop_map(|(name, kind, value)| format!("{name}={kind}{value}"));
    let fields = prop::collection::vec(field, 0..8);
    (media, fields, prop::sample::select(vec![",", ", ", " ,", ";", ""])).prop_map(
        |(media, fields, comma)| {
            fields.into_iter().fold(media, |caps, field| caps + comma + &field)
        },
    )
}

fn json() -> impl Strategy<Value = String> {
    let quote = |text: String| serde_json::Value::from(text).to_string();
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<f64>().prop_map(|number| serde_json::Value::from(number).to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(quote),
        caps().prop_map(quote),
    ];
    let name = prop_oneof![
        prop::sample::select(vec!["caps", "tensor", "dtype", "shape"]).prop_map(str::to_owned),
        any::<String>(),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        let member = (name.clone().prop_map(quote), inner.clone())
            .prop_map(|(name, value)| format!("{name}: {value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(|values| format!("[{}]", values.join(","))),
            prop::collection::vec(member, 0..6)
                .prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

/// Something that is nearly right.
fn changed(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (
        bytes,
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(mut bytes, changes, end)| {
            for (index, byte) in changes {
                if !bytes.is_empty() {
                    let index = index.index(bytes.len());
                    bytes[index] = byte;
                }
            }
            let end = end.index(2 * bytes.len() + 1);
            bytes.truncate(end);
            bytes
        })
}

fn described() -> impl Strategy<Value = StreamInfo> {
    prop_oneof![video(), audio(), tensor()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_are_metadata(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        look_at(&bytes)?;
    }

    #[test]
    fn what_is_described_is_read_again(info in described()) {
        prop_assert_eq!(&look_at(&info.to_bytes())?, &info);
        prop_assert!(info.problem().is_none());
    }

    #[test]
    fn what_is_nearly_described_is_metadata(
        plain in changed(described().prop_map(|info| info.to_bytes())),
        with_length in changed(described().prop_map(|info| info.to_bytes_with_length().expect("a text"))),
    ) {
        look_at(&plain)?;
        look_at(&with_length)?;
    }

    #[test]
    fn arbitrary_caps_are_metadata_and_caps_or_an_error(caps in caps()) {
        let info = look_at(caps.as_bytes())?;
        match StreamInfo::from_caps(caps.trim_ascii()) {
            Ok(typed) => prop_assert_eq!(typed, info),
            Err(error) => {
                prop_assert!(!error.to_string().chars().any(char::is_control), "{}", error);
                // Other texts than caps are typed seldom, and are metadata often.
                prop_assert!(info.problem() == Some(&error) || info.problem().is_none());
                prop_assert!(info.frame_bytes().is_none());
            }
        }
    }

    #[test]
    fn arbitrary_json_is_metadata(json in json()) {
        look_at(json.as_bytes())?;
    }

    #[test]
    fn arbitrary_text_is_no_video_or_one_that_can_be_written(text in ".{0,20}|[0-9]{1,5}x[0-9]{1,5}(@[0-9/.]{1,6})?:[A-Za-z0-9_]{2,9}|[0-9]{1,5}x[0-9]{1,5}:(I420|v210)") {
        match text.parse::<Video>() {
            Ok(video) => { look_at(&StreamInfo::from(video).to_bytes())?; }
            Err(error) => prop_assert!(!error.to_string().chars().any(char::is_control)),
        }
    }

    #[test]
    fn a_larger_picture_is_no_smaller(
        format in prop::sample::select(Format::ALL), width in 1..5000_u32, height in 1..5000_u32,
    ) {
        let bytes = |width, height| {
            Video::new(format, width, height, Framerate::VARIABLE).expect("small").frame_bytes()
        };
        prop_assert!(bytes(width, height) <= bytes(width + 1, height));
        prop_assert!(bytes(width, height) <= bytes(width, height + 1));
    }
}
