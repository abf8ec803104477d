//! Identities that containers fake: the boot id, of which some give each container one of its own, and the clocks.

use std::process::Command;

use crate::common::{SMALL, has_live_reader};
use crate::ground::{Ground, Needs, UNSHARE, run, says};

/// A container with a boot id of its own, and more words behind that.
fn container(ground: &Ground, number: u32, more: &[&str]) -> Vec<String> {
    let id = ground.scratch().join(format!("boot-id-{number}"));
    std::fs::write(&id, format!("{number:08x}-1111-4222-8333-444444444444\n")).expect("a file");
    let script =
        format!("mount --bind {} /proc/sys/kernel/random/boot_id && exec \"$@\"", id.display());
    let wrapper = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    wrapper.iter().chain(more).map(|word| (*word).to_owned()).collect()
}

/// The reader comes when the writer is gone, from a container of its own.
fn frames_are_handed_on(ground: &Ground, more: &[&str]) {
    let (one, two) = (container(ground, 1, more), container(ground, 2, more));
    let (one, two) = (crate::ground::words(&one), crate::ground::words(&two));
    let write = ["write", "cam", "--create", "--keep", "-n", "100", "--buffer-size", SMALL];
    ground.run_in(&one, &write).expect_code(0);
    // Whoever only looks does not take it for damaged.
    let seen = ground.run_in(&two, &["inspect", "cam", "--json"]).expect_code(0).json();
    assert_eq!(seen["problems"], serde_json::json!([]), "{seen:#}");
    let read = ["read", "cam", "-n", "100", "--wait-ms", "20000", "--json-output"];
    let report = ground.run_in(&two, &read).expect_code(0).json();
    assert_eq!(report["frames_read"], 100, "{report:#}");
}

/// Both are there at once.
fn frames_flow(ground: &Ground) {
    let (one, two) = (container(ground, 3, &[]), container(ground, 4, &[]));
    let (one, two) = (crate::ground::words(&one), crate::ground::words(&two));
    let create = ["--buffer-size", SMALL, "--wait-ms", "60000"];
    let read = [&["read", "cam", "-n", "50", "--json-output"], &create[..]].concat();
    let mut reader = ground.start_in(&two, &read);
    let inspect = || ground.run(&["inspect", "cam", "--json"]);
    crate::ground::until("the reader is attached", || {
        let ended = inspect();
        ended.code == Some(0) && has_live_reader(&ended.json())
    });
    let write = ["write", "cam", "-n", "50", "--delay-ms", "2"];
    ground.run_in(&one, &write).expect_code(0);
    let report = reader.wait().expect_code(0).json();
    assert_eq!(report["frames_read"], 50, "{report:#}");
}

#[test]
fn a_boot_id_of_ones_own_loses_no_frames_in_memory() {
    if Needs::all(&[Needs::Root, UNSHARE]) {
        let ground = Ground::mounted("tmpfs", "size=64M");
        frames_are_handed_on(&ground, &[]);
        frames_flow(&ground);
    }
}

#[test]
fn a_boot_id_of_ones_own_loses_no_frames_on_a_disk() {
    if Needs::all(&[Needs::Root, UNSHARE]) {
        let ground = Ground::on_disk();
        frames_are_handed_on(&ground, &[]);
        frames_flow(&ground);
    }
}

/// By the clock in such a namespace, the machine was started a moment ago, after the file was made.
#[test]
fn nor_do_clocks_that_a_time_namespace_shifts() {
    if Needs::all(&[Needs::Root, UNSHARE, Needs::TimeNamespaces]) {
        for shift in ["100000", "-1"] {
            let namespace = ["unshare", "--time", "--boottime", shift, "--fork"];
            frames_are_handed_on(&Ground::on_disk(), &namespace);
        }
    }
}

/// What is on a disk, was last touched before this boot, and has another boot id, is of no use to anybody.
#[test]
fn a_file_from_before_a_reboot_is_replaced() {
    const EXT4: Needs = Needs::Program(&["mkfs.ext4", "-V"]);
    const DEBUGFS: Needs = Needs::Program(&["debugfs", "-V"]);
    if !Needs::all(&[Needs::Root, UNSHARE, EXT4, DEBUGFS]) {
        return;
    }
    let mut ground = Ground::image(&["mkfs.ext4", "-q"], 32);
    let old = container(&ground, 5, &[]);
    let write = ["write", "cam", "--create", "--keep", "-n", "3", "--buffer-size", SMALL];
    // Long ago by its own account, too.
    ground.run_in(&crate::ground::words(&old), &write).expect_code(0);
    let file = std::fs::OpenOptions::new().write(true).open(ground.path().join("cam.zb2"));
    let created_ns = 1_600_000_000_000_000_000_u64.to_le_bytes();
    std::os::unix::fs::FileExt::write_all_at(&file.expect("it is ours"), &created_ns, 0x90)
        .expect("written");
    ground.unmount();
    let long_ago = "set_inode_field /cam.zb2 ctime 20200913122640";
    run(Command::new("debugfs").args(["-w", "-R", long_ago]).arg(ground.image_path()));
    ground.mount_image();
    let seen = ground.run(&["inspect", "cam"]).expect_code(0);
    says(&seen, &["made before the last reboot"]);
    let read = ["read", "cam", "-n", "1", "--wait-ms", "100", "--buffer-size", SMALL];
    let ended = ground.run(&read).expect_code(2);
    says(&ended, &["no writer has come yet"]);
}
