//! What a reader of protocol 1.0 leaves when it dies: alone, since every reader that starts removes what dead ones left.

mod common;

use common::Tool;
use common::protocol1::{Buffer, zerobuffer};

#[test]
fn what_a_dead_reader_left_is_named_by_the_doctor_and_removed() {
    let cam = Buffer::new("rm-dead");
    let reader = cam.read(&["-n", "0"]);
    let advice = format!("`zerobuffer rm {}`", cam.name());
    let doctor = || zerobuffer(&["doctor"]).end().stdout;
    assert!(!doctor().contains(&advice), "it is in use");
    reader.kill();
    assert!(cam.line().contains("abandoned, its reader is gone"), "{}", cam.line());
    assert!(doctor().contains(&advice), "{}", doctor());
    let shown = cam.command("inspect", &[]).end().expect_code(0).stdout;
    assert!(shown.contains("dead"), "{shown}");
    let nobody = cam.start(Tool::TestWriter, &["-n", "1"]).end().expect_code(1);
    assert!(nobody.stderr.contains("reader"), "{}", nobody.stderr);
    cam.command("rm", &[]).end().expect_code(0);
    cam.assert_gone();
    let nothing = cam.command("rm", &[]).end().expect_code(1);
    assert!(nothing.stderr.contains("no buffer"), "{}", nothing.stderr);
}
