//! Metadata that says what frames are: written by `--video` and `--caps`, shown by `inspect`.

mod common;

use common::Place;

#[test]
fn pictures_are_described_and_have_their_size() {
    let place = Place::new();
    let write = ["write", "cam", "--create", "--keep", "-n", "2", "--video", "641x481@30:I420"];
    place.run(&write).expect_code(0);
    let shown = place.run(&["inspect", "cam"]).expect_code(0).stdout;
    assert!(shown.contains("I420 641×481 30 fps, 466,576 bytes a frame"), "{shown}");
    let json = place.run(&["inspect", "cam", "--json"]).expect_code(0).json();
    assert_eq!(json["stream"]["frame_bytes"], 466_576);
    assert!(json["stream"]["caps"].as_str().unwrap().contains("width=(int)641"), "{json}");
    let read = place.run(&["read", "cam", "-n", "2", "--json-output"]).expect_code(0).json();
    assert_eq!(read["frames_read"], 2, "{read}");
}

#[test]
fn caps_are_taken_as_people_type_them_and_what_is_wrong_is_named() {
    let place = Place::new();
    let caps = "video/x-raw,format=GRAY8,width=64,height=48,framerate=25/1";
    let write = ["write", "cam", "--create", "--keep", "-n", "1", "--caps", caps];
    place.run(&write).expect_code(0);
    let shown = place.run(&["inspect", "cam"]).expect_code(0).stdout;
    assert!(shown.contains("GRAY8 64×48 25 fps, 3,072 bytes a frame"), "{shown}");
    for (words, told) in [
        (&["--video", "1920x1080"][..], "--video"),
        (&["--video", "0x0@30:I420"], "--video"),
        (&["--caps", "video/x-raw,format=I420,width=64"], "height"),
        (&["--caps", caps, "--size", "64"], "3072"),
        (&["--caps", caps, "--metadata", "x"], "--metadata"),
    ] {
        let ended = place.run(&[&["write", "other", "--create", "-n", "1"], words].concat());
        let said = ended.expect_code(3).stderr;
        assert!(said.contains(told), "{words:?}: {said}");
    }
}

#[test]
fn metadata_that_says_nothing_is_shown_as_it_is() {
    let place = Place::new();
    let write = ["write", "cam", "--create", "--keep", "-n", "1", "--metadata"];
    place.run(&[&write[..], &["video/x-raw,format=I420,width={1,2}"]].concat()).expect_code(0);
    let shown = place.run(&["inspect", "cam"]).expect_code(0).stdout;
    assert!(shown.contains("not told by the metadata"), "{shown}");
    place.run(&["rm", "cam"]).expect_code(0);
    place.run(&[&write[..], &["just text"]].concat()).expect_code(0);
    let shown = place.run(&["inspect", "cam"]).expect_code(0).stdout;
    assert!(shown.contains("just text") && !shown.contains("frames are"), "{shown}");
}
