//! `--group`, where the group is not one's own, or does not exist in a user namespace.

use crate::common::SMALL;
use crate::ground::{Ground, Needs, says};

const WRITE: [&str; 12] = [
    "write",
    "cam",
    "--create",
    "--keep",
    "-n",
    "1",
    "--group",
    "4000",
    "--mode",
    "660",
    "--buffer-size",
    SMALL,
];

#[test]
fn a_group_of_others_is_named() {
    if !Needs::all(&[Needs::Root]) {
        return;
    }
    let ground = Ground::mounted("tmpfs", "size=64M,mode=1777");
    let ended = ground.run_as_nobody(&[], &WRITE).expect_code(1);
    says(&ended, &["`cam`", "group 4000", "not a member", "usermod"]);
    assert_eq!(ground.files(), [""; 0]);
}

#[test]
fn a_group_that_is_not_mapped_is_named() {
    const USER_NAMESPACES: Needs =
        Needs::Program(&["unshare", "--user", "--map-root-user", "true"]);
    if !Needs::all(&[Needs::Root, USER_NAMESPACES]) {
        return;
    }
    let ground = Ground::mounted("tmpfs", "size=64M,mode=1777");
    let rootless = ["unshare", "--user", "--map-root-user"];
    let ended = ground.run_as_nobody(&rootless, &WRITE).expect_code(1);
    says(&ended, &["`cam`", "group 4000", "mapped", "gid_map"]);
    assert_eq!(ground.files(), [""; 0]);
}
