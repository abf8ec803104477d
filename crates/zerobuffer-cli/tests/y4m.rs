//! Pictures with the header that says how large they are.

mod common;

use common::{Place, noise};

const HEADER: &str = "YUV4MPEG2 W32 H16 F30:1 Ip A1:1 C420jpeg";
const PICTURE: usize = 32 * 16 * 3 / 2;

fn stream(header: &str, pictures: usize, bytes: usize, seed: u64) -> Vec<u8> {
    let mut stream = format!("{header}\n").into_bytes();
    for picture in 0..pictures {
        stream.extend_from_slice(b"FRAME\n");
        stream.extend_from_slice(&noise(bytes, seed + picture as u64));
    }
    stream
}

const WRITE: [&str; 4] = ["write", "cam", "--stdin", "--y4m"];
const READ: [&str; 4] = ["read", "cam", "--stdout", "--y4m"];

#[test]
fn what_goes_in_comes_out_with_its_header() {
    for (header, bytes) in [
        (HEADER, PICTURE),
        ("YUV4MPEG2 W3 H5 C420p10 XYSCSS=420P10", 2 * (15 + 2 * 2 * 3)),
        ("YUV4MPEG2 W200 H101 C444", 3 * 200 * 101),
        ("YUV4MPEG2 W1 H1 Cmono", 1),
    ] {
        let place = Place::new();
        let input = stream(header, 20, bytes, 1);
        let reader = place.start(&[&READ[..], &["--json-output"]].concat());
        let writer = place.start(&[&WRITE[..], &["--json-output"]].concat());
        let writer = writer.feed(&input).end().expect_code(0).json_on_stderr();
        let reader = reader.end().expect_code(0);
        assert!(reader.bytes == input, "{header}: {} of {}", reader.bytes.len(), input.len());
        assert_eq!(writer["frame_size"], bytes);
        assert_eq!(writer["frames_written"], 20);
        assert_eq!(writer["metadata_size"], header.len());
        assert_eq!(reader.json_on_stderr()["frames_read"], 20);
        place.assert_empty();
    }
}

#[test]
fn the_ring_has_room_for_pictures_of_the_header() {
    let place = Place::new();
    let input = stream("YUV4MPEG2 W3000 H2000 C444", 2, 18_000_000, 1);
    place.start(&[&WRITE[..], &["--keep"]].concat()).feed(&input).end().expect_code(0);
    let cam = place.run(&["inspect", "cam", "--json"]).expect_code(0).json();
    assert!(cam["payload_bytes"].as_u64() >= Some(4 * 18_000_000), "{cam}");
    assert_eq!(cam["metadata"], "YUV4MPEG2 W3000 H2000 C444");
    assert!(place.run(&READ).expect_code(0).bytes == input);
}

#[test]
fn another_header_or_garbage_is_an_error_and_what_came_before_arrives() {
    let good = stream(HEADER, 3, PICTURE, 1);
    let cases = [
        (stream("YUV4MPEG2 W64 H32", 1, 3072, 5), "the header changes from `YUV4MPEG2 W32 H16"),
        // As `ffmpeg -autoscale 0` makes them: larger pictures under the old header.
        (stream(HEADER, 1, 3072, 5)[HEADER.len() + 1..].to_vec(), "where `FRAME` is expected"),
        (b"\x1b[2J garbage".to_vec(), "where `FRAME` is expected"),
        (b"FRAME\nshort".to_vec(), "5 of 768 bytes"),
    ];
    for (bad, problem) in cases {
        let place = Place::new();
        let input = [&good[..], &bad].concat();
        let writer = place.start(&[&WRITE[..], &["--keep"]].concat()).feed(&input).end();
        let writer = writer.expect_code(2);
        assert!(writer.stderr.contains(problem), "{problem}: {}", writer.stderr);
        assert!(!writer.stderr.contains('\x1b'));
        let got = place.run(&READ).bytes;
        assert!(got.starts_with(&good), "{problem}: {} bytes", got.len());
    }
}

#[test]
fn the_same_header_again_is_no_change() {
    let place = Place::new();
    let input = [stream(HEADER, 3, PICTURE, 1), stream(HEADER, 2, PICTURE, 7)].concat();
    place.start(&[&WRITE[..], &["--keep"]].concat()).feed(&input).end().expect_code(0);
    assert_eq!(place.run(&READ).expect_code(0).bytes.len(), input.len() - HEADER.len() - 1);
}

#[test]
fn what_is_no_stream_is_refused_at_its_beginning() {
    for (input, problem) in [
        (&b"RIFF....WAVE"[..], "not a YUV4MPEG2 stream"),
        (&[0; 100_000], "not a YUV4MPEG2 stream"),
        (b"YUV4MPEG2 W0 H4\n", "width is `0`"),
        (b"YUV4MPEG2 W4 H4 Cnew\n", "`Cnew`"),
    ] {
        let place = Place::new();
        let ended = place.start(&WRITE).feed(input).end().expect_code(2);
        assert!(ended.stderr.contains(problem), "{}", ended.stderr);
        place.assert_empty();
    }
    let place = Place::new();
    place.start(&WRITE).feed(&[]).end().expect_code(0);
    place.assert_empty();
}

#[test]
fn a_buffer_without_a_header_is_no_stream() {
    let place = Place::new();
    for metadata in [&["-m", "video/x-raw"][..], &[]] {
        let words = ["write", "cam", "--create", "--keep", "-n", "2"];
        place.run(&[&words[..], metadata].concat()).expect_code(0);
        let ended = place.run(&READ).expect_code(2);
        assert_eq!(ended.stdout, "");
        assert!(ended.stderr.contains("YUV4MPEG2 header"), "{}", ended.stderr);
        place.run(&["rm", "cam"]).expect_code(0);
    }
}

#[test]
fn a_header_that_changes_between_writers_ends_a_stream_that_follows() {
    let place = Place::new();
    let mut reader = place.start(&[&READ[..], &["--follow"]].concat());
    place.inspect_until("cam", common::has_live_reader);
    let first = stream(HEADER, 3, PICTURE, 1);
    place.start(&WRITE).feed(&first).end().expect_code(0);
    place.inspect_until("cam", |cam| cam["fill_bytes"] == 0);
    let second = stream("YUV4MPEG2 W64 H32", 1, 3072, 5);
    place.start(&[&WRITE[..], &["--keep"]].concat()).feed(&second).end().expect_code(0);
    let ended = reader.wait().expect_code(2);
    assert!(ended.stderr.contains("header changed"), "{}", ended.stderr);
    assert!(ended.bytes == first, "{} bytes", ended.bytes.len());
    // The picture under the new header was not passed on, and comes again.
    assert!(place.run(&READ).bytes == second);
}
