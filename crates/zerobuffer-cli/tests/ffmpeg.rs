//! Real video, as `examples/ffmpeg` has it.

mod common;

use std::process::Command;

use common::{Place, Running, Tool};

fn example(place: &Place, mode: &str, frames: &str) -> common::Ended {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/ffmpeg/run.sh");
    let found = Command::new("ffmpeg").arg("-version").output();
    assert!(
        found.is_ok_and(|o| o.status.success()),
        "this test needs ffmpeg: apt-get install ffmpeg"
    );
    let mut command = Command::new("bash");
    command.args([script, mode]);
    command.env("ZEROBUFFER", Tool::Zerobuffer.path());
    command.env("ZEROBUFFER_DIR", place.path());
    command.env("FRAMES", frames);
    Running::spawn(command).end()
}

#[test]
fn three_hundred_frames_of_1080p_come_out_as_they_went_in() {
    let place = Place::new();
    let ended = example(&place, "fast", "300").expect_code(0);
    assert!(ended.stdout.contains("md5 equal"), "{}", ended.stdout);
    assert!(ended.stdout.contains("300 frames"), "{}", ended.stdout);
    place.assert_empty();
}

#[test]
fn a_paced_source_is_measured_frame_by_frame() {
    let place = Place::new();
    let ended = example(&place, "camera", "60").expect_code(0);
    assert!(ended.stdout.contains("md5 equal"), "{}", ended.stdout);
    assert!(ended.stdout.contains("latency p50"), "{}", ended.stdout);
    place.assert_empty();
}
